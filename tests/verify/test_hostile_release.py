# SPDX-License-Identifier: Apache-2.0
"""Releases that a hostile author signed: each is good but for one thing.

`check` asserts for each of them that nothing is left behind or written elsewhere, that no exception
comes out and that nothing unprintable is said; a test says what the verdict has to be.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from repropack.digest import sha256_hex
from repropack.model import (
    CodeRoot,
    Evidence,
    Material,
    MetricSource,
    Report,
    Role,
    SourceSnapshot,
    StepStatus,
    Verdict,
)
from repropack.verify import Mode
from tests.verify.release_builder import (
    Draft,
    Link,
    chain,
    check,
    code_bundle,
    metrics,
    segment_of,
    simple,
    unprintable,
)

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202ereversed\u200b\r\n\x00\x7f\u2028"


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


def malformed(report: Report, code: str = "RPK502") -> None:
    assert (report.verdict, report.exit_status) == (Verdict.NOT_INTACT, 1)
    assert codes(report) == {code}
    assert "malformed" in report.reason
    assert report.steps[0].name == "integrity"
    assert report.steps[0].status is StepStatus.PASSED
    assert report.steps[-1].status is StepStatus.FAILED
    assert report.claims == ()


def undecided(report: Report, *code: str) -> None:
    assert (report.verdict, report.exit_status) == (Verdict.INCONCLUSIVE, 3)
    assert codes(report) == set(code)


def edit_run(change: Callable[[Any], object], number: int = 1) -> dict[str, Any]:
    """An edit of the JSON of a run."""

    def edit(run: Any) -> Any:
        change(run)
        return run

    return {f"runs/{number}/run.json": edit}


def material(path: str, **fields: Any) -> dict[str, Any]:
    return {
        "path": path,
        "size": 1,
        "sha256": sha256_hex(b"x"),
        "evidence": ["trace"],
        **fields,
    }


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize(
    "path",
    [
        "{project}/../x",
        "{project}//x",
        "{project}//etc/passwd",
        "{project}/a/../../x",
        "{project}/./x",
        "{project}/",
        "{project}/x\0y",
        "{project}/.git/config",
        "{project}/sub/.Git/hooks/post-checkout",
        "{project}/" + "d/" * 100 + "x",
        "{project}/" + "n" * 300,
        "{data:numbers}/../x",
    ],
)
def test_material_path_that_leads_elsewhere(tmp_path: Path, path: str) -> None:
    draft = simple(tmp_path)
    draft.edits = edit_run(lambda run: segment_of(run).update(materials=[material(path)]))
    malformed(check(draft.write()))


@pytest.mark.parametrize(
    "path", ["{project}/../x", "{project}", "stdout", "{data:d}/x", "/etc/passwd", "{project}/a\0"]
)
@pytest.mark.parametrize("mode", [Mode.EVALUATE, Mode.RETRAIN])
def test_origin_path_that_leads_elsewhere(tmp_path: Path, path: str, mode: Mode) -> None:
    draft = chain(tmp_path)
    draft.edits = edit_run(lambda r: segment_of(r)["materials"][0]["origin"].update(path=path), 2)
    malformed(check(draft.write(), mode=mode))


@pytest.mark.parametrize(
    "directory",
    ["{project}/../..", "/etc", "", "..", "{home}", "{project}/x\0", "{data:n}/../x", "{project}/"],
)
def test_working_directory_that_leads_elsewhere(tmp_path: Path, directory: str) -> None:
    draft = simple(tmp_path)
    draft.edits = edit_run(lambda r: segment_of(r)["invocation"].update(directory=directory))
    malformed(check(draft.write()))


def test_working_directory_that_is_not_there(tmp_path: Path) -> None:
    draft = simple(tmp_path)
    draft.edits = edit_run(
        lambda r: segment_of(r)["invocation"].update(directory="{project}/nowhere")
    )
    bundle = draft.write()
    for sandbox in (True, False):
        undecided(check(bundle, sandbox=sandbox), "RPK802")


def with_material(place: Path, path: str, files: dict[str, str]) -> Draft:
    """A release whose run read a file of the project that comes from the bundle's data."""
    draft = Draft(place)
    draft.add_data("project", {path: b"x"}, included="data/project")
    draft.members[f"data/project/{path}"] = (Role.DATA, b"x")
    draft.add_run(
        files,
        *("sh", "run.sh"),
        data=("project",),
        materials=(
            Material(
                path=f"{{project}}/{path}",
                size=1,
                sha256=sha256_hex(b"x"),
                evidence=(Evidence.TRACE,),
            ),
        ),
    )
    draft.add_claim(0.91)
    return draft


def test_material_in_the_way_of_nothing(tmp_path: Path) -> None:
    draft = with_material(
        tmp_path, "in/put.bin", {"run.sh": "test -f in/put.bin\n" + metrics("0.91")}
    )
    report = check(draft.write())
    assert report.verdict is Verdict.REPRODUCED, report.reason


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("out/x", {"out": Link(".")}),
        ("out", {"out": Link("run.sh")}),
        ("d", {"d/file": "x"}),
        ("run.sh/x", {}),
    ],
)
def test_material_in_the_way_of_code(tmp_path: Path, path: str, files: dict[str, str]) -> None:
    draft = with_material(tmp_path, path, {"run.sh": metrics("0.91"), **files})
    malformed(check(draft.write()))


def test_material_whose_content_is_not_the_recorded_data(tmp_path: Path) -> None:
    draft = with_material(tmp_path, "in", {"run.sh": metrics("0.91")})
    draft.edits = edit_run(
        lambda r: segment_of(r)["materials"][0].update(sha256=sha256_hex(b"other"))
    )
    malformed(check(draft.write()))


# ---------------------------------------------------------------- the reader's own files


@pytest.mark.parametrize("with_file", [True, False])
def test_recorded_path_opens_no_directory_of_the_reader(tmp_path: Path, with_file: bool) -> None:
    """A stranger who knows one file, or none, of a directory must not get to see the others."""
    private = tmp_path / "private"
    private.mkdir()
    (private / "id_ed25519").write_text("secret")
    (private / "known").write_text("known")
    draft = Draft(tmp_path)
    draft.add_data("keys", {"known": b"known"} if with_file else {}, recorded_path=str(private))
    draft.add_run(
        {"run.sh": 'cat "$1/id_ed25519" && ' + metrics("0.91")},
        *("sh", "run.sh", "{data:keys}"),
        data=("keys",),
    )
    draft.add_claim(0.91)
    report = check(draft.write())
    undecided(report, "RPK701")
    assert report.isolation is None


@pytest.mark.parametrize("recorded", ["/", "/proc", "/proc/self", "/etc", "/dev", "/sys", "/tmp"])
def test_recorded_path_of_the_system(tmp_path: Path, recorded: str) -> None:
    draft = Draft(tmp_path)
    draft.add_data("d", {"kcore": b"x"}, recorded_path=recorded)
    draft.add_run({"run.sh": metrics("0.91")}, "sh", "run.sh", data=("d",))
    draft.add_claim(0.91)
    undecided(check(draft.write()), "RPK701")


@pytest.mark.parametrize("recorded", ["relative", "/a/../b", "/a/", "//a", "/a\0b", ""])
def test_recorded_path_that_is_none(tmp_path: Path, recorded: str) -> None:
    draft = simple(tmp_path)
    draft.add_data("d", {"x": b"x"}, recorded_path=recorded)
    malformed(check(draft.write()))


@pytest.mark.parametrize(
    "position",
    ["data", "/data", "..", "../", "../..", "../../../../x", "../a/../b", "../.git", "../a\n", ""],
)
def test_position_of_data_that_is_none(tmp_path: Path, position: str) -> None:
    draft = simple(tmp_path)
    draft.add_data("d", {"x": b"x"}, position=position)
    malformed(check(draft.write()))


def test_position_of_project_data_shows_no_directory_of_the_reader(tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "listed").write_text("x")
    (given / "id_ed25519").write_text("secret")
    draft = Draft(tmp_path)
    draft.add_data("project", {"listed": b"x"}, position="../given")
    draft.add_run(
        {"run.sh": "test ! -e ../given && " + metrics("0.91")}, "sh", "run.sh", data=("project",)
    )
    draft.add_claim(0.91)
    report = check(draft.write(), data={"project": given})
    assert report.verdict is Verdict.REPRODUCED, report.reason


@pytest.mark.parametrize(
    "position", ["../project", "../project/x", "../../in", "../../in/project/a"]
)
def test_position_of_data_on_the_code_is_not_taken(tmp_path: Path, position: str) -> None:
    draft = Draft(tmp_path)
    draft.add_data("d", {"run.sh": b"exit 9"}, position=position, included="data/d")
    draft.members["data/d/run.sh"] = (Role.DATA, b"exit 9")
    draft.add_run({"run.sh": metrics("0.91")}, "sh", "run.sh", data=("d",))
    draft.add_claim(0.91)
    report = check(draft.write())
    assert report.verdict is Verdict.REPRODUCED, report.reason


def test_project_material_is_never_taken_from_an_unlisted_file(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir()
    (private / "id_ed25519").write_text("secret")
    draft = simple(tmp_path)
    draft.add_data("project", {}, recorded_path=str(private))

    def change(run: Any) -> None:
        run["data"] = ["project"]
        segment_of(run)["materials"] = [material("{project}/id_ed25519")]

    draft.edits = edit_run(change)
    malformed(check(draft.write()))


@pytest.mark.parametrize("included", ["data", "..", "/", "data/../../x", "data/other", "weights"])
def test_included_data_of_another_directory(tmp_path: Path, included: str) -> None:
    draft = simple(tmp_path)
    draft.add_data("d", {}, included=included)
    draft.edits = edit_run(lambda r: r.update(data=["d"]))
    malformed(check(draft.write()))


@pytest.mark.parametrize("name", [".", "..", "../x", "a b", "", "x" * 101, "a\n", "ä", NASTY])
def test_data_name(tmp_path: Path, name: str) -> None:
    draft = simple(tmp_path)
    draft.add_data("d", {})
    draft.edits = {"data/d.json": lambda data: {**data, "name": name}}
    malformed(check(draft.write()))


def test_data_name_of_dots_as_a_member(tmp_path: Path) -> None:
    draft = simple(tmp_path)
    draft.members["data/...json"] = (
        Role.DATA_MANIFEST,
        b'{"files":[],"included":"data/..","name":"..","version":1}',
    )
    malformed(check(draft.write()))


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../b", "", "a\0b"])
def test_data_file_path(tmp_path: Path, path: str) -> None:
    draft = simple(tmp_path)
    draft.add_data("d", {path: b"x"})
    malformed(check(draft.write()))


# ---------------------------------------------------------------- references


def twice(run: Any) -> None:
    run["record"]["id"] = "run000000002"


REFERENCES: dict[str, Callable[[Any], object]] = {
    "code that is not there": lambda r: r["code"][0].update(member="code/none.bundle"),
    "code outside of code/": lambda r: r["code"][0].update(member="README.md"),
    "a tree that is not there": lambda r: r["code"][0].update(tree="0" * 40),
    "a segment without source": lambda r: segment_of(r).update(source=None),
    "an artifact that is not there": lambda r: r.update(
        artifacts=[{"path": "{project}/x", "member": "weights/x", "sha256": "0" * 64}]
    ),
    "an artifact with another digest": lambda r: r.update(
        artifacts=[{"path": "{project}/x", "member": "README.md", "sha256": "0" * 64}]
    ),
    "data that is not there": lambda r: r.update(data=["none"]),
    "an environment elsewhere": lambda r: r.update(environment="environment/../x"),
    "an absolute environment": lambda r: r.update(environment="/environment"),
    "an origin of no run": lambda r: segment_of(r).update(
        materials=[material("{project}/x", origin={"run": "none00000000", "path": "{project}/x"})]
    ),
    "a product that climbs": lambda r: segment_of(r).update(
        products=[{"path": "{project}/../x", "size": 1, "sha256": "0" * 64}]
    ),
    "a command with a NUL": lambda r: segment_of(r)["invocation"].update(argv=["sh", "a\0b"]),
    "a variable with a NUL": lambda r: segment_of(r)["invocation"].update(
        variables={"OMP_X": "a\0b"}
    ),
    "a variable with a sign": lambda r: segment_of(r)["invocation"].update(
        variables={"OMP_X=1\0": "1"}
    ),
    "a variable without a name": lambda r: segment_of(r)["invocation"].update(variables={"": "1"}),
}


@pytest.mark.parametrize("defect", REFERENCES)
def test_record_that_refers_to_what_is_not_there(tmp_path: Path, defect: str) -> None:
    draft = simple(tmp_path)
    draft.edits = edit_run(REFERENCES[defect])
    malformed(check(draft.write()))


def test_run_that_stands_twice(tmp_path: Path) -> None:
    draft = chain(tmp_path)
    draft.edits = edit_run(twice)
    malformed(check(draft.write()))


@pytest.mark.parametrize("origin", ["run000000001", "run000000002"])
def test_origin_in_itself_or_in_a_later_run(tmp_path: Path, origin: str) -> None:
    draft = chain(tmp_path)
    cyclic = material("{project}/x", origin={"run": origin, "path": "{project}/out/model"})
    draft.edits = edit_run(lambda r: segment_of(r).update(materials=[cyclic]))
    for mode in (Mode.EVALUATE, Mode.RETRAIN):
        malformed(check(draft.write(), mode=mode))


def test_material_whose_origin_left_no_such_file(tmp_path: Path) -> None:
    draft = chain(tmp_path)
    draft.edits = edit_run(lambda r: r.update(artifacts=[]))
    malformed(check(draft.write()))


@pytest.mark.parametrize("where", ["claims", "statement"])
def test_claims_about_another_run(tmp_path: Path, where: str) -> None:
    draft = simple(tmp_path)
    if where == "claims":
        draft.edits = {"claims.json": lambda claims: {**claims, "run": "other0000000"}}
    else:
        draft.statement = lambda s: s["predicate"].update(run="other0000000")
    malformed(check(draft.write()))


@pytest.mark.parametrize(
    ("member", "code"),
    [
        ("claims.json", "RPK207"),
        ("runs/1/run.json", "RPK207"),
        ("runs/1/metrics.json", "RPK207"),
        ("environment/environment.json", "RPK207"),
    ],
)
def test_missing_record(tmp_path: Path, member: str, code: str) -> None:
    draft = simple(tmp_path)
    draft.edits = {member: lambda _: None}
    malformed(check(draft.write()), code)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"version":1,"version":1,"run":"run000000001","claims":[]}',
        b'{"version":1,"run":"run000000001","claims":[],"extra":1}',
        b'{"version":1,"run":"RUN","claims":[]}',
        b'{"version":0,"run":"run000000001","claims":[]}',
        b'{"version":1e999,"run":"run000000001","claims":[]}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"version":' + b"1" * 5_000 + b"}",
    ],
)
def test_record_that_is_not_strict_json_of_its_type(tmp_path: Path, content: bytes) -> None:
    draft = simple(tmp_path)
    draft.edits = {"claims.json": lambda _: content}
    malformed(check(draft.write()), "RPK501")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(expected=float("nan")),
        lambda c: c.update(expected=float("inf")),
        lambda c: c.update(expected="0.91"),
        lambda c: c.update(expected=10**399),
        lambda c: c.update(metric="\ud800"),
        lambda c: c["source"].update(line=2**60),
        lambda c: c["source"].update(line=10**30),
        lambda c: c["tolerance"].update(within=-1.0),
        lambda c: c["tolerance"].update(kind="always"),
        lambda c: c.update(mode="retrain_until_it_fits"),
    ],
)
def test_claim_that_cannot_be_judged(tmp_path: Path, change: Callable[[Any], object]) -> None:
    draft = simple(tmp_path)

    def edit(claims: Any) -> Any:
        change(claims["claims"][0])
        return claims

    draft.edits = {"claims.json": edit}
    malformed(check(draft.write()), "RPK501")


def test_lone_surrogates_anywhere(tmp_path: Path) -> None:
    for change in (
        lambda r: segment_of(r)["invocation"].update(argv=["sh", "\udcff"]),
        lambda r: segment_of(r)["invocation"].update(directory="{project}/\ud800"),
        lambda r: segment_of(r)["invocation"].update(variables={"OMP_\udc80": "1"}),
        lambda r: segment_of(r).update(materials=[material("{project}/\ud800")]),
    ):
        draft = simple(tmp_path / sha256_hex(os.urandom(4))[:8])
        draft.edits = edit_run(change)
        malformed(check(draft.write()), "RPK501")


# ---------------------------------------------------------------- what is executed


def test_unknown_placeholders_in_the_command(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    draft.add_run({"run.sh": metrics("0.91")}, "sh", "run.sh", "{data:none}")
    draft.add_claim(0.91)
    undecided(check(draft.write()), "RPK701")


def test_text_that_only_looks_like_a_placeholder(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    draft.add_run(
        {"run.sh": 'test "$1 $2" = "{nothing} {project}" || exit 9\n' + metrics("0.91")},
        *("sh", "run.sh", "{nothing}", "{{project}"),
    )
    draft.add_claim(0.91)
    assert check(draft.write()).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize("argv", [[""], ["--"], ["-x"], ["./none"], ["/none"], ["none"], ["/etc"]])
def test_program_that_is_none(tmp_path: Path, argv: list[str]) -> None:
    draft = simple(tmp_path)
    draft.edits = edit_run(lambda r: segment_of(r)["invocation"].update(argv=argv))
    bundle = draft.write()
    for sandbox in (True, False):
        undecided(check(bundle, sandbox=sandbox), "RPK802")


def test_command_line_that_no_kernel_takes(tmp_path: Path) -> None:
    draft = simple(tmp_path)
    draft.edits = edit_run(
        lambda r: segment_of(r)["invocation"].update(argv=["sh", "run.sh", "x" * 3_000_000])
    )
    bundle = draft.write()
    for sandbox in (True, False):
        undecided(check(bundle, sandbox=sandbox), "RPK802")


def test_variables_that_would_reach_beyond_the_code(tmp_path: Path) -> None:
    """What is not allow-listed does not get in; loader variables never."""
    (tmp_path / "canary.sh").write_text(f"touch {tmp_path}/escaped\n")
    dangerous = {
        "LD_PRELOAD": "/nowhere/evil.so",
        "LD_LIBRARY_PATH": "/nowhere",
        "PATH": "/nowhere",
        "HOME": str(tmp_path),
        "BASH_ENV": str(tmp_path / "canary.sh"),
        "ENV": str(tmp_path / "canary.sh"),
        "GIT_SSH_COMMAND": "touch /escaped",
        "IFS": "x",
    }
    script = "".join(
        f'test "${name}" != "{value}" || exit 9\n' for name, value in dangerous.items()
    )
    draft = Draft(tmp_path)
    draft.add_run(
        {"run.sh": script + 'test "$OMP_NUM_THREADS" = 3 || exit 8\n' + metrics("0.91")},
        *("sh", "run.sh"),
        variables={**dangerous, "OMP_NUM_THREADS": "3"},
    )
    draft.add_claim(0.91)
    bundle = draft.write()
    for sandbox in (True, False):
        report = check(bundle, sandbox=sandbox)
        assert report.verdict is Verdict.REPRODUCED, report.reason


def test_negative_number_of_processors(tmp_path: Path) -> None:
    draft = simple(tmp_path, 'test "$OMP_NUM_THREADS" = "" || exit 9\n' + metrics("0.91"))
    draft.edits = {
        "environment/environment.json": lambda e: {
            **e,
            "machine": {**e["machine"], "cpu_count": -5},
        }
    }
    assert check(draft.write()).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize(
    "mess",
    [
        "i=0; while [ $i -lt 2000 ]; do mkdir d; cd d; i=$((i+1)); done; cd /work/project",
        "mkdir -p a/b; touch a/b/c; chmod 000 a/b; chmod 000 a",
        "mkdir a; touch a/b; chmod 555 a; chmod 000 .",
        "ln -s / root; ln -s .. up; mkfifo f; ln -s self self",
        "touch \"$(printf 'a\\033[2J\\377\\nb')\"",
    ],
)
def test_work_directory_is_removed_whatever_the_code_leaves(tmp_path: Path, mess: str) -> None:
    report = check(simple(tmp_path, metrics("0.91") + mess + "\n").write())
    assert report.verdict in (Verdict.REPRODUCED, Verdict.INCONCLUSIVE)


def test_many_files_named_like_metrics(tmp_path: Path) -> None:
    draft = simple(
        tmp_path,
        "i=0; while [ $i -lt 300 ]; do truncate -s 60M m$i.csv; i=$((i+1)); done\n"
        + metrics("0.91"),
    )
    assert check(draft.write()).verdict is Verdict.REPRODUCED


# ---------------------------------------------------------------- what is printed


def nasty(place: Path) -> Draft:
    """Everything in it that is free text is hostile to a screen."""
    draft = Draft(place)
    text = NASTY.replace("\0", "")
    draft.add_run(
        {
            "run.sh": "printf '\\033]0;owned\\007\\n\\233[31m' >&2\n"
            "printf '{\"\\\\u001b[2J\": 0.91}' > m.json\n"
        },
        *("sh", "run.sh", text),
    )
    draft.add_claim(
        0.91,
        metric=NASTY,
        unit="",
        source=MetricSource(importer="json", path="{project}/m.json", key="/\x1b[2J"),
    )
    draft.add_claim(0.5, metric=text, unit=text)
    draft.edits = edit_run(
        lambda r: (
            r["record"].update(name=text),
            segment_of(r).update(gaps=[{"code": text, "message": text}]),
        )
    ) | {
        "environment/environment.json": lambda e: {
            **e,
            "machine": {"system": text, "architecture": text, "cpu": text, "accelerators": [text]},
        },
        "claims.json": lambda c: {
            **c,
            "claims": [{**claim, "note": text} for claim in c["claims"]],
        },
    }
    return draft


def test_nothing_unprintable_in_any_report(tmp_path: Path) -> None:
    report = check(nasty(tmp_path).write())
    assert report.claims[0].verdict is Verdict.REPRODUCED
    assert "\\x1b" in report.runs[0]
    assert any("\\x1b" in d.recorded for d in report.differences)


@pytest.mark.parametrize("change", ["argv", "directory", "material", "member", "address"])
def test_nothing_unprintable_in_findings(tmp_path: Path, change: str) -> None:
    draft = simple(tmp_path)
    draft.add_data("d", {f"{NASTY[:-3]}.txt".replace("\0", ""): b"x"}, address=NASTY)
    bad = f"{{project}}/../{NASTY}"
    draft.edits = edit_run(
        {
            "argv": lambda r: segment_of(r)["invocation"].update(argv=[NASTY.replace("\0", "")]),
            "directory": lambda r: segment_of(r)["invocation"].update(directory=bad),
            "material": lambda r: segment_of(r).update(materials=[material(bad)]),
            "member": lambda r: r["code"][0].update(member=f"code/{NASTY}"),
            "address": lambda r: r.update(data=["d"]),
        }[change]
    )
    report = check(draft.write())
    assert report.exit_status in (1, 3)
    assert report.findings


def test_name_of_the_bundle_itself(tmp_path: Path) -> None:
    written = simple(tmp_path).write()
    name = os.fsencode(tmp_path) + b"/\x1b[2J\xff\xe2\x80\xae.rpk"
    os.rename(written, name)
    assert check(Path(os.fsdecode(name))).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_nothing_unprintable_on_the_screen(tmp_path: Path, options: tuple[str, ...]) -> None:
    bundle = nasty(tmp_path).write()
    done = subprocess.run(
        [sys.executable, "-m", "repropack", "verify", str(bundle), *options],
        cwd=tmp_path,
        capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
    )
    for stream in (done.stdout, done.stderr):
        text = stream.decode("utf-8")
        assert not unprintable(text)
        assert "Traceback" not in text
    assert done.returncode == 3
    assert not options or json.loads(done.stdout)["exit_status"] == 3


# ---------------------------------------------------------------- versions, statement, limits


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["predicate"].update(version=99),
        lambda s: s["predicate"].update(format="rpq"),
        lambda s: s.update(predicateType="urn:repropack:release:v2"),
        lambda s: s.update(
            predicateType="urn:repropack:release:v2", predicate={"something": "else"}
        ),
    ],
)
def test_statement_of_a_later_version_is_undecided_and_says_so(
    tmp_path: Path, change: Callable[[Any], object]
) -> None:
    draft = simple(tmp_path)
    draft.statement = change
    report = check(draft.write())
    undecided(report, "RPK202")
    assert "newer repropack" in report.reason


@pytest.mark.parametrize(
    "member", ["claims.json", "runs/1/run.json", "runs/1/metrics.json", "data/d.json"]
)
def test_record_of_a_later_version(tmp_path: Path, member: str) -> None:
    draft = simple(tmp_path)
    draft.add_data("d", {})
    draft.edits = {member: lambda record: {**record, "version": 99}}
    undecided(check(draft.write()), "RPK202")


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"),
        lambda s: s.update(subject=[]),
        lambda s: s.update(subject=s["subject"] * 2),
        lambda s: s["subject"][0].update(name="other.json"),
        lambda s: s["subject"][0]["digest"].update(sha512="0"),
        lambda s: s["subject"][0].update(digest={"sha256": "../../x"}),
        lambda s: s.update(extra=1),
        lambda s: s["predicate"].pop("run"),
        lambda s: s["predicate"].update(manifest_offset=-1),
        lambda s: s["predicate"].update(manifest_size=1.5),
    ],
)
def test_statement_of_another_form(tmp_path: Path, change: Callable[[Any], object]) -> None:
    draft = simple(tmp_path)
    draft.statement = change
    report = check(draft.write())
    assert (report.verdict, report.exit_status) == (Verdict.NOT_INTACT, 1)
    assert codes(report) == {"RPK305"}
    assert report.steps[-1].name == "authenticity"


@pytest.mark.parametrize("field", ["manifest_offset", "manifest_size"])
@pytest.mark.parametrize("value", [0, 1, 512, 10**9, 2**53 - 1])
def test_statement_that_places_the_manifest_elsewhere(
    tmp_path: Path, field: str, value: int
) -> None:
    draft = simple(tmp_path)
    draft.statement = lambda s: s["predicate"].update({field: value})
    report = check(draft.write())
    assert (report.verdict, report.exit_status) == (Verdict.NOT_INTACT, 1)
    assert report.steps[-1].name == "integrity"


def test_too_many_claims(tmp_path: Path) -> None:
    draft = simple(tmp_path)
    draft.claims *= 10_001
    malformed(check(draft.write()), "RPK109")


@pytest.mark.slow
def test_as_many_claims_as_allowed(tmp_path: Path) -> None:
    draft = simple(tmp_path)
    draft.claims *= 10_000
    assert check(draft.write()).verdict is Verdict.REPRODUCED


def test_too_many_executions(tmp_path: Path) -> None:
    draft = simple(tmp_path)
    draft.edits = edit_run(lambda r: r["record"].update(segments=r["record"]["segments"] * 1_001))
    malformed(check(draft.write()), "RPK109")


def test_too_many_data_sets(tmp_path: Path) -> None:
    draft = simple(tmp_path)
    for number in range(1_001):
        draft.add_data(f"d{number}", {})
    malformed(check(draft.write()), "RPK109")


# ---------------------------------------------------------------- code


@pytest.mark.parametrize("content", [b"", b"junk", b"# v2 git bundle\n", None])
def test_code_that_is_no_bundle(tmp_path: Path, content: bytes | None) -> None:
    draft = simple(tmp_path)
    member = draft.runs[0].code[0].member
    whole = draft.members[member][1]
    draft.members[member] = (Role.CODE, whole[:-30] if content is None else content)
    report = check(draft.write())
    assert (report.verdict, report.exit_status) == (Verdict.NOT_INTACT, 1)
    assert codes(report) & {"RPK401", "RPK402"}
    assert report.steps[-1].name == "code"
    assert "malformed" in report.reason


def test_code_with_another_role(tmp_path: Path) -> None:
    """Roles say what a member is for; what a record names is used whatever its role."""
    draft = simple(tmp_path)
    member = draft.runs[0].code[0].member
    draft.members[member] = (Role.LICENSE, draft.members[member][1])
    assert check(draft.write()).verdict is Verdict.REPRODUCED


def with_root(draft: Draft, root: str, files: dict[str, str], **fields: Any) -> None:
    """Adds further code to the only run of a draft."""
    code, bundle = code_bundle(draft.place / f"more-{len(draft.members)}", files)
    draft.members[code.member] = (Role.CODE, bundle)
    (run,) = draft.runs
    (segment,) = run.record.segments
    more = CodeRoot(
        root=root, source=SourceSnapshot(tree=code.tree, versioned=True, dirty=False), **fields
    )
    segment = msgspec.structs.replace(segment, roots=(*segment.roots, more))
    draft.runs[0] = msgspec.structs.replace(
        run,
        code=(*run.code, msgspec.structs.replace(code, root=root)),
        record=msgspec.structs.replace(run.record, segments=(segment,)),
    )


@pytest.mark.parametrize(
    "root",
    [
        "{project}/..", "{project}/../x", "/etc", "", "x", "{home}", "{project}/a//b",
        "{code:x}/..", "{code:..}", "{code:.}/x", "{code:x}/y", "{data:x}", "{project}/a\nb",
        "{project}/", "{project}/.git", "{project}/a/.GIT/hooks", "{project}/git~1", "{code:.git}",
    ],
)  # fmt: skip
def test_code_that_belongs_elsewhere(tmp_path: Path, root: str) -> None:
    draft = simple(tmp_path)
    with_root(draft, root, {"m.py": "x = 1\n"})
    malformed(check(draft.write()))


@pytest.mark.parametrize(
    "position",
    ["..", "../", "../..", "../../../../x", "/etc", "x", "../x/..", "../a\nb", "../.", "../.git"],
)  # fmt: skip
def test_code_at_a_position_that_is_none(tmp_path: Path, position: str) -> None:
    draft = simple(tmp_path)
    with_root(draft, "{code:lib}", {"m.py": "x = 1\n"}, position=position)
    malformed(check(draft.write()))


@pytest.mark.parametrize(
    "path", ["{code:other}", "{project}/../x", "/usr/lib", "{env}", "{code:lib}/a\nimport os"]
)
def test_python_path_to_elsewhere(tmp_path: Path, path: str) -> None:
    draft = simple(tmp_path)
    with_root(draft, "{code:lib}", {"m.py": "x = 1\n"})
    draft.edits = edit_run(lambda run: segment_of(run).update(python_path=[path]))
    malformed(check(draft.write()))


@pytest.mark.parametrize(
    ("root", "position", "ours"),
    [
        # Would write through the link of another tree, or over its file.
        ("{project}/link", None, {"link": Link("sub"), "sub/x": "x"}),
        ("{project}/link/deep", None, {"link": Link("sub"), "sub/x": "x"}),
        ("{project}/file", None, {"file": "x"}),
        ("{project}/file/deep", None, {"file": "x"}),
        ("{project}/sub", None, {"sub/m.py": "x"}),
    ],
)
def test_code_whose_place_is_taken(
    tmp_path: Path, root: str, position: str | None, ours: dict[str, str]
) -> None:
    draft = simple(tmp_path, metrics("0.91"), files=ours)
    with_root(draft, root, {"m.py": "x = 1\n"}, position=position)
    malformed(check(draft.write()), "RPK404")


def test_code_that_replaces_a_link_does_not_follow_it(tmp_path: Path) -> None:
    draft = simple(
        tmp_path,
        "test ! -L link && test $(cat link) = new && test $(cat target) = old || exit 1\n"
        + metrics("0.91"),
        files={"link": Link("target"), "target": "old\n"},
    )
    with_root(draft, "{project}", {"link": "new\n"})
    assert check(draft.write()).verdict is Verdict.REPRODUCED


def test_positions_that_would_meet_the_project_are_not_taken(tmp_path: Path) -> None:
    draft = simple(
        tmp_path,
        "test -f /work/code/one/m.py && test -f /work/two/m.py && test -f /work/two/in/m.py"
        " && test ! -e m.py || exit 1\n" + metrics("0.91"),
    )
    with_root(draft, "{code:one}", {"m.py": "x = 1\n"}, position="../project")
    with_root(draft, "{code:inner}", {"m.py": "x = 2\n"}, position="../two/in")
    with_root(draft, "{code:two}", {"m.py": "x = 3\n"}, position="../two")
    assert check(draft.write()).verdict is Verdict.REPRODUCED


def test_link_in_code_that_leaves_the_tree(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    draft.add_run({"run.sh": metrics("0.91"), "out": Link("../../..")}, "sh", "run.sh")
    draft.add_claim(0.91)
    report = check(draft.write())
    assert (report.verdict, report.exit_status) == (Verdict.NOT_INTACT, 1)
    assert codes(report) == {"RPK404"}


# ---------------------------------------------------------------- nothing raises


@pytest.mark.slow
def test_any_value_at_any_place_of_a_run_is_answered(tmp_path: Path) -> None:
    """Every leaf of every record replaced by each of a few values; no exception comes out."""
    values: tuple[Any, ...] = ("", "\0", "\ud800", -1, 10**30, 1.5, None, [], {}, "{project}/../..")
    place = tmp_path / "draft"
    draft = chain(place)
    draft.add_data("d", {"x": b"x"}, recorded_path="/srv/d", address="https://example.org")
    count = 0
    plain = {
        source.path: json.loads(source.content)
        for source in draft.sources()
        if source.path.endswith(".json") and isinstance(source.content, bytes)
    }
    for member, document in plain.items():
        for keys in leaves(document):
            value = values[count % len(values)]
            count += 1
            draft.edits = {member: functools.partial(replaced, keys=keys, value=value)}
            report = check(
                draft.write(), mode=Mode.EVALUATE if member != "runs/1/run.json" else Mode.RETRAIN
            )
            assert report.exit_status in (0, 1, 3), (member, keys, value)
    assert count > 60


def leaves(value: Any, keys: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict) and value:
        return [k for key, inner in value.items() for k in leaves(inner, (*keys, key))]
    if isinstance(value, list) and value:
        return [k for i, inner in enumerate(value) for k in leaves(inner, (*keys, i))]
    return [keys]


def replaced(document: Any, *, keys: tuple[Any, ...], value: Any) -> Any:
    inner = document
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return document
