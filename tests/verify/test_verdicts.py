# SPDX-License-Identifier: Apache-2.0
"""What a release comes to: bytes, signer, data, numbers, chain, environment, isolation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from repropack.bundle.container import open_container
from repropack.bundle.sources.file import open_file
from repropack.canonical import decode
from repropack.digest import sha256_hex
from repropack.environment.lock import LockedPackage, write_lock
from repropack.errors import UsageError
from repropack.executors import local
from repropack.model import (
    Absolute,
    ClaimMode,
    Distribution,
    Evidence,
    Material,
    MetricSource,
    Origin,
    Outcome,
    Report,
    Role,
    SignerStatus,
    StepStatus,
    Verdict,
    Wheel,
)
from repropack.sandbox import find_bubblewrap
from repropack.signing.policy import TrustPolicy
from repropack.signing.trusted import TrustedSigner
from repropack.verify import Mode, Observer, VerifyRequest, verify
from tests.verify.release_builder import (
    AUTHOR,
    NOW,
    THIEF,
    TRUSTED,
    Draft,
    Link,
    chain,
    check,
    metrics,
    python_environment,
    segment_of,
    simple,
)

ANYBODY = TrustPolicy()


def outcome(report: Report) -> tuple[Verdict, int]:
    return report.verdict, report.exit_status


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}


INTACT = (Verdict.INTACT, 0)
REPRODUCED = (Verdict.REPRODUCED, 0)
NOT_REPRODUCED = (Verdict.NOT_REPRODUCED, 1)
NOT_INTACT = (Verdict.NOT_INTACT, 1)
INCONCLUSIVE = (Verdict.INCONCLUSIVE, 3)


# ---------------------------------------------------------------- bytes and signer


def test_good_release_climbs_every_rung(tmp_path: Path) -> None:
    report = check(simple(tmp_path).write())
    assert outcome(report) == REPRODUCED
    assert [(s.name, s.status) for s in report.steps] == [
        (name, StepStatus.PASSED)
        for name in ("integrity", "authenticity", "environment", "execution", "claims")
    ]
    assert report.isolation is not None
    assert report.isolation.kind == "bubblewrap"
    assert report.runs == ("sh run.sh",)
    assert "0.91" in report.reason


def test_no_run_executes_nothing(tmp_path: Path) -> None:
    report = check(simple(tmp_path).write(), mode=Mode.NO_RUN)
    assert outcome(report) == INTACT
    assert report.runs == ()
    assert [s.name for s in report.steps] == ["integrity", "authenticity"]


def regions(bundle: Path) -> dict[str, int]:
    """An offset in the middle of each frame, of the seek table and of its footer."""
    source = open_file(bundle)
    table = open_container(source).table
    source.close()
    offsets, count = table.offsets, len(table)
    size = bundle.stat().st_size
    frames = {f"frame {i}": (offsets[i] + offsets[i + 1]) // 2 for i in range(count)}
    return {**frames, "magic": 0, "seek table": offsets[count] + 9, "footer": size - 1}


def test_flipped_byte_in_any_region_is_not_intact(tmp_path: Path) -> None:
    good = simple(tmp_path).write()
    for region, offset in regions(good).items():
        for bit in (0, 5):
            data = bytearray(good.read_bytes())
            data[offset] ^= 1 << bit
            bad = tmp_path / "bad.rpk"
            bad.write_bytes(data)
            report = check(bad)
            assert outcome(report) == NOT_INTACT, region
            assert report.steps[-1].status is StepStatus.FAILED
            assert report.runs == ()
            assert codes(report) <= {f"RPK{n}0{i}" for n in (1, 2, 3) for i in range(1, 10)}


def test_every_prefix_and_suffix_is_not_intact(tmp_path: Path) -> None:
    good = simple(tmp_path).write().read_bytes()
    bad = tmp_path / "bad.rpk"
    for data in (b"", good[:1], good[: len(good) // 2], good[:-1], good + b"\0", good + good):
        bad.write_bytes(data)
        assert outcome(check(bad)) == NOT_INTACT


def test_stripped_signature(tmp_path: Path) -> None:
    def strip(envelope: bytes) -> bytes:
        return json.dumps(
            {**json.loads(envelope), "signatures": []}, separators=(",", ":"), sort_keys=True
        ).encode()

    draft = simple(tmp_path)
    draft.envelope = strip
    for policy in (ANYBODY, TrustPolicy(required=(AUTHOR.public.fingerprint,))):
        report = check(draft.write(), policy=policy, allow_unknown_signer=True)
        assert outcome(report) == NOT_INTACT
        assert codes(report) == {"RPK302"}
        assert report.steps[-1].name == "authenticity"


def test_signature_of_another_release(tmp_path: Path) -> None:
    kept: list[bytes] = []
    other = simple(tmp_path / "other", metrics("0.5"))
    other.place.mkdir(exist_ok=True)

    def keep(envelope: bytes) -> bytes:
        kept.append(envelope)
        return envelope

    other.envelope = keep
    other.write()
    draft = simple(tmp_path)
    draft.envelope = lambda _: kept[0]
    report = check(draft.write())
    assert outcome(report) == NOT_INTACT
    assert report.runs == ()


def test_resigned_by_a_thief(tmp_path: Path) -> None:
    stolen = simple(tmp_path).write(key=THIEF)
    report = check(stolen, policy=ANYBODY)
    assert (report.verdict, report.exit_status) == (Verdict.REPRODUCED, 4)
    assert report.signer is not None
    assert report.signer.status is SignerStatus.UNKNOWN
    assert report.signer.fingerprint == THIEF.public.fingerprint
    assert check(stolen, policy=ANYBODY, mode=Mode.NO_RUN).exit_status == 4
    assert check(stolen, policy=ANYBODY, allow_unknown_signer=True).exit_status == 0

    rejected = check(stolen)
    assert outcome(rejected) == NOT_INTACT
    assert codes(rejected) == {"RPK306"}
    assert "signer" in rejected.reason
    assert rejected.runs == ()
    assert [s.name for s in rejected.steps] == ["integrity", "authenticity"]


def test_trusted_signer_is_established(tmp_path: Path) -> None:
    trusted = TrustPolicy(
        trusted=(TrustedSigner(name="zoe", fingerprint=AUTHOR.public.fingerprint),)
    )
    assert outcome(check(simple(tmp_path).write(), policy=trusted)) == REPRODUCED


def test_expected_digest(tmp_path: Path) -> None:
    bundle = simple(tmp_path).write(key=THIEF)
    wrong = check(bundle, policy=ANYBODY, expected_manifest="0" * 64)
    assert outcome(wrong) == NOT_INTACT
    assert codes(wrong) == {"RPK307"}
    digest = check(bundle, policy=ANYBODY, mode=Mode.NO_RUN).manifest_sha256
    right = check(bundle, policy=ANYBODY, mode=Mode.NO_RUN, expected_manifest=digest)
    assert outcome(right) == INTACT
    # A signer that was named and did not sign is not made good by the digest.
    assert outcome(check(bundle, expected_manifest=digest)) == NOT_INTACT


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ("0.91", REPRODUCED),
        ("0.92", REPRODUCED),
        ("0.90", REPRODUCED),
        ("9.1e-1", REPRODUCED),
        ("0.93", NOT_REPRODUCED),
        ("0.9200001", NOT_REPRODUCED),
        ("-0.91", NOT_REPRODUCED),
        ("NaN", INCONCLUSIVE),
        ("Infinity", INCONCLUSIVE),
        ("-Infinity", INCONCLUSIVE),
        ("1e999", INCONCLUSIVE),
        ('"0.91"', INCONCLUSIVE),
        ("null", INCONCLUSIVE),
        ("true", INCONCLUSIVE),
        ("[0.91, NaN]", INCONCLUSIVE),
        ("{}", INCONCLUSIVE),
        ('0.91, "accuracy": 0.91', INCONCLUSIVE),
        ("0.91 junk", INCONCLUSIVE),
    ],
)
def test_number(tmp_path: Path, number: str, expected: tuple[Verdict, int]) -> None:
    report = check(simple(tmp_path, metrics(number)).write())
    assert outcome(report) == expected
    if expected == INCONCLUSIVE:
        assert report.claims[0].fresh is None


@pytest.mark.parametrize(
    "script",
    [
        "true\n",
        "mkfifo metrics.json\n",
        "mkdir metrics.json\n",
        metrics("0.91") + "mv metrics.json real; ln -s real metrics.json\n",
        "ln -s /proc/self/environ metrics.json\n",
        "truncate -s 1G metrics.json\n",
        "ln -s /dev/zero metrics.json\n",
        metrics("0.91") + "chmod 000 metrics.json; mv metrics.json metrics.jsn\n",
        "mkdir d; printf '{\"accuracy\": 0.91}' > d/metrics.json\n",
    ],
)
def test_metric_file_of_another_shape(tmp_path: Path, script: str) -> None:
    report = check(simple(tmp_path, script).write())
    assert outcome(report) == INCONCLUSIVE
    assert "no such number" in report.reason


@pytest.mark.parametrize("script", ["true\n", "cat metrics.json\n", "rm metrics.json\n"])
def test_stale_metric_file_in_the_code_does_not_pass(tmp_path: Path, script: str) -> None:
    draft = Draft(tmp_path)
    draft.add_run({"run.sh": script, "metrics.json": '{"accuracy": 0.91}'}, "sh", "run.sh")
    draft.add_claim(0.91)
    assert outcome(check(draft.write())) == INCONCLUSIVE


def test_stale_metric_file_among_what_was_read_does_not_pass(tmp_path: Path) -> None:
    content = b'{"accuracy": 0.91}'
    draft = Draft(tmp_path)
    draft.add_data("project", {"metrics.json": content}, included="data/project")
    draft.members["data/project/metrics.json"] = (Role.DATA, content)
    draft.add_run(
        {"run.sh": "cat metrics.json\n"},
        "sh",
        "run.sh",
        data=("project",),
        materials=(
            Material(
                path="{project}/metrics.json",
                size=len(content),
                sha256=sha256_hex(content),
                evidence=(Evidence.TRACE,),
            ),
        ),
    )
    draft.add_claim(0.91)
    report = check(draft.write())
    assert outcome(report) == INCONCLUSIVE
    assert "no such number" in report.reason
    # What is missing is no other draw of a random number.
    assert not [c for c in report.causes if "randomness" in c.subject]


def test_nothing_claimed_is_inconclusive(tmp_path: Path) -> None:
    draft = simple(tmp_path)
    draft.claims.clear()
    report = check(draft.write())
    assert outcome(report) == INCONCLUSIVE
    assert "claims no number" in report.reason


def test_one_failure_among_many_decides(tmp_path: Path) -> None:
    draft = simple(tmp_path, 'printf \'{"accuracy": 0.91, "f1": 0.5}\' > metrics.json\n')
    f1 = MetricSource(importer="json", path="{project}/metrics.json", key="/f1")
    draft.add_claim(0.9, metric="f1", source=f1)
    draft.add_claim(
        0.1, source=MetricSource(importer="json", path="{project}/metrics.json", key="/none")
    )
    report = check(draft.write())
    assert outcome(report) == NOT_REPRODUCED
    assert [c.verdict for c in report.claims] == [
        Verdict.REPRODUCED,
        Verdict.NOT_REPRODUCED,
        Verdict.INCONCLUSIVE,
    ]
    assert report.reason.startswith("f1 = 0.5")


def test_unit_is_part_of_the_claim(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    draft.add_run({"run.sh": "echo 'accuracy: 91%'\n"}, "sh", "run.sh")
    source = MetricSource(importer="console", path="stdout", key="accuracy")
    draft.add_claim(91.0, source=source, tolerance=Absolute(within=1.0))
    assert outcome(check(draft.write())) == INCONCLUSIVE
    draft.claims.clear()
    draft.add_claim(91.0, source=source, tolerance=Absolute(within=1.0), unit="%")
    assert outcome(check(draft.write("percent.rpk"))) == REPRODUCED


def test_claims_about_another_repetition_are_counted_not_hidden(tmp_path: Path) -> None:
    report = check(chain(tmp_path).write())
    assert outcome(report) == REPRODUCED
    assert "2 about another kind of repetition were not checked" in report.steps[-1].summary


# ---------------------------------------------------------------- how a run ends


def test_another_exit_status_is_inconclusive(tmp_path: Path) -> None:
    report = check(simple(tmp_path, metrics("0.91") + "echo no GPU here >&2; exit 7\n").write())
    assert outcome(report) == INCONCLUSIVE
    assert codes(report) == {"RPK802"}
    assert "status 7" in report.reason
    assert "no GPU here" in report.reason


@pytest.mark.parametrize(
    ("script", "recorded", "good"),
    [
        ("exit 3", Outcome(status=3), True),
        ("exit 3", Outcome(status=0), False),
        ("kill -KILL $$", Outcome(signal="SIGKILL"), True),
        ("kill -TERM $$", Outcome(signal="SIGKILL"), False),
        ("exit 130", Outcome(signal="SIGKILL"), False),
        ("exit 0", Outcome(signal="SIGNONE"), False),
        ("exit 0", Outcome(), False),
    ],
)
def test_run_has_to_end_as_recorded(
    tmp_path: Path, script: str, recorded: Outcome, good: bool
) -> None:
    draft = Draft(tmp_path)
    draft.add_run({"run.sh": f"{metrics('0.91')}{script}\n"}, "sh", "run.sh", outcome=recorded)
    draft.add_claim(0.91)
    bundle = draft.write()
    for sandbox in (True, False):
        assert outcome(check(bundle, sandbox=sandbox)) == (REPRODUCED if good else INCONCLUSIVE)


def test_run_that_hangs(tmp_path: Path) -> None:
    report = check(simple(tmp_path, metrics("0.91") + "sleep 600\n").write(), wall_seconds=0.5)
    assert outcome(report) == INCONCLUSIVE
    assert codes(report) == {"RPK803"}


def test_recorded_times_of_ten_thousand_years(tmp_path: Path) -> None:
    draft = simple(tmp_path)
    draft.edits["runs/1/run.json"] = lambda run: (
        segment_of(run).update(started="0001-01-01T00:00:00Z", ended="9999-12-31T23:59:59Z") or run
    )
    assert outcome(check(draft.write())) == REPRODUCED


# ---------------------------------------------------------------- isolation


def test_no_network_and_no_home_inside(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("do not read me")
    script = (
        f"test ! -e {tmp_path}/secret || exit 11\n"
        "test ! -e /root || exit 12\n"
        'test "$HOME" = /home/user || exit 13\n'
        'test -z "$(ls -A "$HOME")" || exit 14\n'
        "test \"$(sed 1,2d /proc/net/dev | tr -d ' ' | cut -d: -f1)\" = lo || exit 15\n"
        'test "$(ls -d /proc/[0-9]* | wc -l)" -lt 8 || exit 16\n'
        "touch /usr/x 2>/dev/null && exit 17\n"
        "touch /work/x 2>/dev/null && exit 18\n"
    )
    report = check(simple(tmp_path, script + metrics("0.91")).write())
    assert outcome(report) == REPRODUCED, report.reason


def test_no_sandbox_has_to_be_asked_for_and_is_reported(tmp_path: Path) -> None:
    (tmp_path / "visible").write_text("0.91")
    bundle = simple(
        tmp_path, f'printf \'{{"accuracy": %s}}\' "$(cat {tmp_path}/visible)" > metrics.json\n'
    ).write()
    assert check(bundle).verdict is Verdict.INCONCLUSIVE
    report = check(bundle, sandbox=False)
    assert outcome(report) == REPRODUCED
    assert report.isolation is not None
    assert report.isolation.kind == "none"
    assert "without isolation" in next(s.summary for s in report.steps if s.name == "execution")


def test_where_no_sandbox_works_nothing_is_executed(tmp_path: Path) -> None:
    """In a place where the kernel makes no more namespaces: as on many clusters."""
    canary = tmp_path / "canary"
    bundle = simple(tmp_path, f"touch {canary}\n{metrics('0.91')}").write()
    bubblewrap = find_bubblewrap()
    assert bubblewrap is not None

    def run_verify(*options: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [
                *(bubblewrap.path, "--unshare-user", "--disable-userns"),
                *("--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--"),
                *(sys.executable, "-m", "repropack", "verify", str(bundle), *options),
            ],
            cwd=tmp_path,
            capture_output=True,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)},
        )

    refused = run_verify("--json")
    assert refused.returncode == 3, refused.stderr
    report = decode(refused.stdout, Report)
    assert codes(report) == {"RPK801"}
    assert "--no-sandbox" in report.reason
    assert not canary.exists()
    assert run_verify("--no-sandbox", "--allow-unknown-signer").returncode == 0
    assert canary.exists()


# ---------------------------------------------------------------- data


def with_data(place: Path, **fields: object) -> Draft:
    draft = Draft(place)
    draft.add_data("numbers", {"a.txt": b"0.91\n", "b/c.txt": b"x"}, **fields)
    draft.add_run(
        {"run.sh": 'printf \'{"accuracy": %s}\' "$(cat "$1/a.txt")" > metrics.json\n'},
        *("sh", "run.sh", "{data:numbers}"),
        data=("numbers",),
    )
    draft.add_claim(0.91)
    return draft


def lay_out(directory: Path, a: str = "0.91\n") -> Path:
    (directory / "b").mkdir(parents=True)
    (directory / "a.txt").write_text(a)
    (directory / "b/c.txt").write_text("x")
    return directory


def test_missing_data_is_inconclusive_and_says_where_it_can_be_had(tmp_path: Path) -> None:
    bundle = with_data(tmp_path, address="https://example.org/numbers").write()
    for given in ({}, {"numbers": tmp_path / "nowhere"}):
        report = check(bundle, data=given)
        assert outcome(report) == INCONCLUSIVE
        assert codes(report) == {"RPK701"}
        assert "https://example.org/numbers" in report.reason


def test_given_data(tmp_path: Path) -> None:
    bundle = with_data(tmp_path).write()
    given = lay_out(tmp_path / "here")
    (given / "other.txt").write_text("a directory that the reader names may hold more")
    for sandbox in (True, False):
        assert outcome(check(bundle, data={"numbers": given}, sandbox=sandbox)) == REPRODUCED
    (given / "b/c.txt").unlink()
    report = check(bundle, data={"numbers": given})
    assert outcome(report) == INCONCLUSIVE
    assert codes(report) == {"RPK701"}
    assert "b/c.txt" in report.reason


@pytest.mark.parametrize("content", ["0.95\n", "0.910\n", ""])
def test_data_that_differs_never_decides(tmp_path: Path, content: str) -> None:
    report = check(
        with_data(tmp_path).write(), data={"numbers": lay_out(tmp_path / "here", content)}
    )
    assert outcome(report) == INCONCLUSIVE
    assert codes(report) == {"RPK702"}
    assert report.claims == ()


def test_unknown_data_set_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such data set"):
        check(with_data(tmp_path).write(), data={"other": tmp_path})
    assert not list((tmp_path / "temporary").iterdir())


def test_unknown_data_set_is_refused_before_anything_is_unpacked(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(UsageError, match="no such data set"):
        verify(
            VerifyRequest(
                bundle=with_data(tmp_path).write(),
                mode=Mode.EVALUATE,
                policy=TRUSTED,
                temporary=tmp_path,
                data={"other": tmp_path},
            ),
            {"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            Observer(tell=told.append, advance=lambda _, __: None, live=lambda _, __: None),
            now=NOW,
        )
    assert "unpacking" not in told


def test_included_data_has_its_own_names(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    names = {"a:b.txt": "a%3Ab.txt", "a%3Ab.txt": "a%253Ab.txt", "aux": "%61ux"}
    draft.add_data("numbers", {name: name.encode() for name in names}, included="data/numbers")
    for name, member in names.items():
        draft.members[f"data/numbers/{member}"] = (Role.DATA, name.encode())
    tests = "".join(f'test "$(cat "$1/{name}")" = "{name}" || exit 9\n' for name in names)
    draft.add_run(
        {"run.sh": tests + metrics("0.91")},
        *("sh", "run.sh", "{data:numbers}"),
        data=("numbers",),
    )
    draft.add_claim(0.91)
    report = check(draft.write())
    assert outcome(report) == REPRODUCED, report.reason


def test_the_authors_path_serves_if_it_holds_the_data_and_nothing_else(tmp_path: Path) -> None:
    there = lay_out(tmp_path / "there")
    bundle = with_data(tmp_path, recorded_path=str(there)).write()
    assert outcome(check(bundle)) == REPRODUCED
    (there / "secret").write_text("the reader's own")
    report = check(bundle)
    assert outcome(report) == INCONCLUSIVE
    assert "secret" in report.reason
    assert f"--data numbers={there}" in report.reason
    assert outcome(check(bundle, data={"numbers": there})) == REPRODUCED


def test_data_is_also_at_the_path_that_the_code_has_built_in(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    draft.add_data("numbers", {"a.txt": b"0.91"}, recorded_path="/srv/numbers")
    draft.add_run(
        {"run.sh": 'printf \'{"accuracy": %s}\' "$(cat /srv/numbers/a.txt)" > metrics.json\n'},
        *("sh", "run.sh"),
        data=("numbers",),
    )
    draft.add_claim(0.91)
    given = tmp_path / "given"
    given.mkdir()
    (given / "a.txt").write_text("0.91")
    assert outcome(check(draft.write(), data={"numbers": given})) == REPRODUCED


def test_ignored_files_of_the_project_come_from_data(tmp_path: Path) -> None:
    content = b"0.91"
    draft = Draft(tmp_path)
    draft.add_data("project", {"train.bin": content})
    draft.add_run(
        {"run.sh": 'printf \'{"accuracy": %s}\' "$(cat train.bin)" > metrics.json\n'},
        *("sh", "run.sh"),
        data=("project",),
        materials=(
            Material(
                path="{project}/train.bin",
                size=len(content),
                sha256=sha256_hex(content),
                evidence=(Evidence.TRACE,),
            ),
        ),
    )
    draft.add_claim(0.91)
    given = tmp_path / "given"
    given.mkdir()
    (given / "train.bin").write_bytes(content)
    bundle = draft.write()
    assert outcome(check(bundle)) == INCONCLUSIVE
    assert outcome(check(bundle, data={"project": given})) == REPRODUCED


# ---------------------------------------------------------------- the chain


def test_evaluate_uses_the_packed_file_and_retrain_what_is_made_anew(tmp_path: Path) -> None:
    bundle = chain(tmp_path, packed="0.91", made="0.5").write()
    evaluated = check(bundle)
    assert outcome(evaluated) == REPRODUCED
    assert evaluated.runs == ("sh eval.sh {project}/out/model",)
    assert evaluated.claims[0].claim.mode is ClaimMode.EVALUATE
    retrained = check(bundle, mode=Mode.RETRAIN)
    assert outcome(retrained) == NOT_REPRODUCED
    assert retrained.claims[0].fresh == 0.5
    assert len(retrained.runs) == 2


def test_retrain_that_makes_no_model_is_inconclusive(tmp_path: Path) -> None:
    draft = chain(tmp_path)
    draft.edits["runs/1/run.json"] = lambda run: (
        segment_of(run)["invocation"].update(argv=["true"]) or run
    )
    report = check(draft.write(), mode=Mode.RETRAIN)
    assert outcome(report) == INCONCLUSIVE
    assert codes(report) == {"RPK802"}
    assert outcome(check(draft.write())) == REPRODUCED


@pytest.mark.parametrize("made", ["ln -s /etc/passwd out/model", "mkfifo out/model"])
def test_retrain_takes_no_link_and_no_fifo_for_the_model(tmp_path: Path, made: str) -> None:
    draft = chain(tmp_path)
    draft.edits["runs/1/run.json"] = lambda run: (
        segment_of(run)["invocation"].update(argv=["sh", "-c", f"mkdir out; {made}"]) or run
    )
    report = check(draft.write(), mode=Mode.RETRAIN)
    assert outcome(report) == INCONCLUSIVE
    assert codes(report) == {"RPK802"}


def test_retrain_takes_no_model_that_only_came_with_the_code(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    model = b"0.91\n"
    first = draft.add_run(
        {"train.sh": "test -e out/model || echo 0.5 > out/model\n", "out/model": "0.91\n"},
        "sh",
        "train.sh",
        artifacts={"out/model": model},
    )
    draft.add_run(
        {"eval.sh": 'echo "accuracy: $(cat out/model)"\n'},
        "sh",
        "eval.sh",
        materials=(
            Material(
                path="{project}/out/model",
                size=len(model),
                sha256=sha256_hex(model),
                evidence=(Evidence.TRACE,),
                origin=Origin(run=first, path="{project}/out/model"),
            ),
        ),
    )
    draft.add_claim(0.91, source=MetricSource(importer="console", path="stdout", key="accuracy"))
    report = check(draft.write(), mode=Mode.RETRAIN)
    assert outcome(report) == INCONCLUSIVE
    assert codes(report) == {"RPK802"}
    assert "out/model was not written" in report.reason


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_number_before_the_cut_of_a_log_is_not_the_final_one(
    tmp_path: Path, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MAX_LOG", 1000)
    for size, expected in ((100, REPRODUCED), (2000, INCONCLUSIVE)):
        draft = Draft(tmp_path / str(size))
        script = f"(echo accuracy: 0.91; head -c {size} /dev/zero)"
        draft.add_run({"run.sh": script + ("" if stream == "stdout" else " >&2")}, "sh", "run.sh")
        draft.add_claim(0.91, source=MetricSource(importer="console", path=stream, key="accuracy"))
        assert outcome(check(draft.write())) == expected


# ---------------------------------------------------------------- environment


@pytest.mark.slow
def test_python_environment_is_rebuilt(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    code = (
        "import json, sys\n"
        "assert sys.prefix != sys.base_prefix\n"
        "json.dump({'accuracy': 0.91}, open('metrics.json', 'w'))\n"
    )
    draft.add_run({"run.py": code}, "python", "run.py")
    draft.environments["environment"] = python_environment(
        ".".join(map(str, sys.version_info[:3])), implementation=sys.implementation.name
    )
    draft.add_claim(0.91)
    report = check(draft.write(), offline=True)
    assert outcome(report) == REPRODUCED, report.reason


def with_distributions(place: Path, *distributions: Distribution) -> Draft:
    draft = simple(place)
    python = python_environment(
        ".".join(map(str, sys.version_info[:3])), implementation=sys.implementation.name
    )
    draft.environments["environment"] = replace(python, distributions=distributions)
    return draft


def test_a_package_that_the_run_imported_and_that_is_not_locked(tmp_path: Path) -> None:
    draft = with_distributions(
        tmp_path,
        Distribution(name="thing", version="1.0", imported=True, requires=("other",)),
        Distribution(name="other", version="2.0"),
        Distribution(name="unused", version="2.0"),
        Distribution(name="own", version="2.0", imported=True, editable=True),
    )
    report = check(draft.write(), offline=True)
    assert outcome(report) == INCONCLUSIVE
    assert codes(report) == {"RPK606"}
    assert {finding.subject for finding in report.findings} == {"thing 1.0", "other 2.0"}
    assert report.reason.startswith("thing 1.0: RPK606")
    assert "export the run again" in report.reason
    assert not report.claims


@pytest.mark.slow
def test_a_package_that_was_only_required_and_is_not_locked_is_a_difference(
    tmp_path: Path,
) -> None:
    draft = with_distributions(
        tmp_path,
        Distribution(name="own", version="2.0", imported=True, editable=True, requires=("other",)),
        Distribution(name="other", version="2.0"),
    )
    report = check(draft.write(), offline=True)
    assert outcome(report) == REPRODUCED, report.reason
    assert codes(report) == {"RPK606"}
    assert ("other", "2.0") in {(d.subject, d.recorded) for d in report.differences}
    assert "differ" in next(s.summary for s in report.steps if s.name == "environment")


def test_thousands_of_hostile_packages_without_a_lock(tmp_path: Path) -> None:
    nasty = ("", "\x1b[2J", "x; " + "(" * 5000, "a @ file:///etc", "b; python_version > 'x'")
    draft = with_distributions(
        tmp_path,
        *(
            Distribution(name=f"{text}{i}", version=text, imported=True, requires=nasty)
            for i in range(200)
            for text in nasty
        ),
    )
    report = check(draft.write(), offline=True)
    assert outcome(report) == INCONCLUSIVE
    assert len(report.findings) == 20
    assert "one of 1000 such packages" in report.reason


def test_why_a_package_cannot_be_installed_comes_with_what_to_do(tmp_path: Path) -> None:
    draft = with_distributions(tmp_path, Distribution(name="thing", version="1.0", imported=True))
    wheel = Wheel(filename="thing-1.0-py3-none-any.whl", sha256="0" * 64)
    locked = LockedPackage(name="thing", version="1.0", wheels=(wheel,))
    python = draft.environments["environment"].python
    assert python is not None
    draft.members["environment/pylock.toml"] = (Role.ENVIRONMENT, write_lock(python, (locked,)))
    report = check(draft.write(), offline=True)
    assert outcome(report) == INCONCLUSIVE
    assert codes(report) == {"RPK604"}
    assert "offline, and not downloaded before" in report.reason
    assert "verify once without --offline" in report.reason


@pytest.mark.parametrize(
    "version", ["2.0.0", "3.11.7; curl evil | sh", "", "3", "3.99.0`x`", "٣.١١.٧"]
)
def test_python_that_is_not_here(tmp_path: Path, version: str) -> None:
    draft = simple(tmp_path)
    draft.edits["environment/environment.json"] = lambda e: {
        **e,
        "python": {"implementation": "cpython", "version": version, "cache_tag": "x"},
    }
    python = python_environment("3.11.7").python
    assert python is not None
    draft.members["environment/pylock.toml"] = (Role.ENVIRONMENT, write_lock(python, ()))
    report = check(draft.write())
    assert outcome(report) == INCONCLUSIVE
    assert codes(report) == {"RPK602"}
    assert "curl" not in report.reason.partition("expected")[2]


@pytest.mark.parametrize(
    ("implementation", "version", "advice"),
    [
        ("cpython", "3.4.10+", "cpython 3.4.10+ on PATH; `uv python install 3.4.10` gets it"),
        ("pypy", "3.4.10", "pypy 3.4.10 on PATH; `uv python install pypy@3.4.10` gets it"),
        ("evil; rm -rf ~", "3.4.10", "evil; rm -rf ~ 3.4.10 on PATH"),
    ],
)
def test_how_to_get_python_is_a_command_that_does(
    tmp_path: Path, implementation: str, version: str, advice: str
) -> None:
    draft = simple(tmp_path)
    draft.environments["environment"] = python_environment(version, implementation=implementation)
    report = check(draft.write())
    assert codes(report) == {"RPK602"}
    assert report.findings[-1].expected == advice


def test_work_directory_is_kept_on_request(tmp_path: Path) -> None:
    bundle = simple(tmp_path).write()
    report = verify(
        VerifyRequest(
            bundle=bundle, mode=Mode.EVALUATE, policy=TRUSTED, temporary=tmp_path, keep_work=True
        ),
        {"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        Observer(tell=lambda _: None, advance=lambda _, __: None, live=lambda _, __: None),
        now=NOW,
    )
    assert report.work is not None
    assert Path(report.work, "run-1/work/project/metrics.json").is_file()


def test_code_may_hold_links_within_itself(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    draft.add_run({"run.sh": metrics("0.91"), "out": Link(".")}, "sh", "out/run.sh")
    draft.add_claim(0.91)
    assert outcome(check(draft.write())) == REPRODUCED
