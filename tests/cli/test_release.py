# SPDX-License-Identifier: Apache-2.0
"""Export, inspect, extract and verify as a user meets them; and a bundle opened by hand."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import pytest
import zstandard

from tests.project import Project

ROOT = Path(__file__).parents[2]


def _bundle(project: Project) -> Path:
    return project.root.parent / "release.rpk"


def _elsewhere(project: Project) -> Path:
    place = project.root.parent / "reader"
    place.mkdir(exist_ok=True)
    return place


def _extracted(project: Project) -> Path:
    place = project.root.parent / "extracted"
    project.ok("extract", str(_bundle(project)), str(place))
    return place


def test_the_export_screen_says_which_code_no_commit_holds(project: Project) -> None:
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    assert re.search(
        r"(?m)^code +tree [0-9a-f]{12}  as committed$", project.ok("export", "-o", "a.rpk", "--yes")
    )
    project.write("train.py", (project.root / "train.py").read_text() + "# changed\n")
    project.write("my notes.txt", "not meant for anybody\n")
    project.ok("run", "--", "python", "train.py")
    text = project.ok("export", "-o", "b.rpk", "--yes")
    assert "changed: train.py; untracked: " in text
    assert "my notes.txt" in text


def test_the_export_screen_says_what_goes_out_and_what_stays(exported: Project) -> None:
    text = exported.ok("export", "--run", "eval", "-o", "again.rpk", "--yes")
    assert "weights/out/model.bin" in text
    assert "score = " in text
    assert "out/metrics.json (--weights adds them)" in text
    assert re.search(r"signer +SHA256:", text)
    assert text.splitlines()[-1].startswith("next: repropack verify again.rpk --signer SHA256:")


def test_the_same_release_twice_has_the_same_bytes(exported: Project) -> None:
    exported.ok("export", "--run", "eval", "-o", "release.rpk", "--yes")
    again = (exported.root / "release.rpk").read_bytes()
    assert again == _bundle(exported).read_bytes()


def test_a_later_release_copies_large_weights_and_has_the_same_bytes(project: Project) -> None:
    project.ok("key", "new")
    project.write("train.sh", "head -c 5000000 /dev/urandom > out/w.bin; echo accuracy: 0.5")
    (project.root / "out").mkdir(exist_ok=True)
    project.ok("run", "--", "sh", "train.sh")
    caches = {name: {"XDG_CACHE_HOME": str(project.root.parent / name)} for name in "ab"}

    def export(name: str, cache: str) -> bytes:
        project.ok("export", "-o", name, "--yes", variables=caches[cache])
        return (project.root / name).read_bytes()

    first = export("first.rpk", "a")
    (project.root / "repropack.yaml").write_text("title: A title that is new\n")
    changed = export("changed.rpk", "a")
    assert changed == export("changed.rpk", "b")
    assert changed != first
    notes = list((project.root.parent / "a/repropack/frames").iterdir())
    assert len(notes) == 2
    project.ok("verify", "changed.rpk", "--no-run", "--allow-unknown-signer")


def test_evaluate_and_retrain_reproduce_in_another_directory(exported: Project) -> None:
    place = _elsewhere(exported)
    for mode, runs in (("--evaluate", 1), ("--retrain", 2)):
        done = exported.repropack("verify", str(_bundle(exported)), mode, "--json", cwd=place)
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(done.stdout)
        assert report["verdict"] == "REPRODUCED"
        assert len(report["runs"]) == runs
        assert report["isolation"]["kind"] == "bubblewrap"
        assert done.stderr == ""
    assert list(place.iterdir()) == []


def test_the_last_line_is_the_verdict(exported: Project) -> None:
    done = exported.repropack("verify", str(_bundle(exported)))
    assert done.stdout.splitlines()[-1].startswith("REPRODUCED: ")
    report = exported.root / "report.html"
    done = exported.repropack("verify", str(_bundle(exported)), "--no-run", "--report", str(report))
    assert done.stdout.splitlines()[-1].startswith("INTACT: ")
    assert "INTACT" in report.read_text()


def test_an_unknown_signer_is_never_shown_as_good(exported: Project) -> None:
    stranger = {"REPROPACK_HOME": str(exported.root / "nobody")}
    done = exported.repropack("verify", str(_bundle(exported)), "--no-run", variables=stranger)
    assert done.returncode == 4
    assert "not established" in done.stdout
    allowed = exported.repropack(
        "verify", str(_bundle(exported)), "--no-run", "--allow-unknown-signer", variables=stranger
    )
    assert allowed.returncode == 0
    fingerprint = exported.ok("key", "show").splitlines()[0]
    named = exported.repropack(
        "verify", str(_bundle(exported)), "--no-run", "--signer", fingerprint, variables=stranger
    )
    assert named.returncode == 0
    exported.ok("key", "trust", fingerprint, "--name", "author", variables=stranger)
    trusted = exported.repropack("verify", str(_bundle(exported)), "--no-run", variables=stranger)
    assert trusted.returncode == 0


def test_a_foreign_signature_is_refused_where_a_signer_is_named(exported: Project) -> None:
    other = {"REPROPACK_HOME": str(exported.root / "thief")}
    fingerprint = exported.ok("key", "show").splitlines()[0]
    exported.ok("key", "new", variables=other)
    exported.ok("export", "--run", "eval", "-o", "stolen.rpk", "--yes", variables=other)
    done = exported.repropack("verify", "stolen.rpk", "--no-run", "--signer", fingerprint)
    assert done.returncode == 1
    assert "RPK306" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("NOT INTACT")
    assert exported.repropack("verify", "stolen.rpk", "--no-run").returncode == 4


def test_a_linked_destination_is_written_where_it_leads(exported: Project) -> None:
    link = exported.root / "link.rpk"
    (exported.root / "old").write_bytes(b"old")
    link.symlink_to("old")
    exported.ok("export", "--run", "eval", "-o", "link.rpk", "--yes")
    assert link.is_symlink()
    assert (exported.root / "old").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    os.mkfifo(exported.root / "pipe")
    done = exported.repropack("export", "--run", "eval", "-o", "pipe", "--yes")
    assert done.returncode == 2
    assert "is no regular file" in done.stderr
    assert (exported.root / "pipe").is_fifo()


def _flipped(data: bytes, position: int) -> bytes:
    """A copy with one byte changed: the first from a position on that changes the content.

    Some do not, for content is signed and its compression is not: a match may be copied from
    another place where the same bytes stand (docs/spec/rpk-v1.md, section 3).
    """

    def content(data: bytes) -> bytes | None:
        reader = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        try:
            return reader.readall()
        except zstandard.ZstdError:
            return None

    whole = content(data)
    assert whole is not None
    for at in range(position, len(data)):
        changed = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        if content(changed) != whole:
            return changed
    raise AssertionError("no byte from there on changes the content")


@pytest.mark.parametrize("position", [0.02, 0.3, 0.6, 0.97])
def test_a_flipped_byte_is_found(exported: Project, position: float) -> None:
    data = _bundle(exported).read_bytes()
    damaged = exported.root / "damaged.rpk"
    damaged.write_bytes(_flipped(data, int(len(data) * position)))
    done = exported.repropack("verify", str(damaged), "--no-run")
    assert done.returncode == 1
    assert re.search(r"NOT INTACT: .*RPK[123]\d\d", done.stdout)
    assert "Traceback" not in done.stderr


def test_missing_data_is_inconclusive_and_given_data_is_used(
    project: Project, tmp_path: Path
) -> None:
    data = tmp_path / "numbers"
    data.mkdir()
    (data / "a.txt").write_text("1 2 3\n")
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py", "--data", str(data))
    project.ok("run", "--name", "e", "--", "python", "eval.py", "out/model.bin")
    project.ok("export", "--run", "e", "-o", "d.rpk", "--yes")
    project.ok("export", "--run", "e", "-o", "with.rpk", "--include-data", "--yes")
    moved = tmp_path / "moved"
    data.rename(moved)
    missing = project.repropack("verify", "d.rpk", "--retrain")
    assert missing.returncode == 3
    assert "RPK701" in missing.stdout
    assert missing.stdout.splitlines()[-1].startswith("INCONCLUSIVE: ")
    assert project.repropack("verify", "d.rpk", "--evaluate").returncode == 0
    given = project.repropack("verify", "d.rpk", "--retrain", "--data", f"numbers={moved}")
    assert given.returncode == 0, given.stdout
    assert project.repropack("verify", "with.rpk", "--retrain").returncode == 0
    (moved / "a.txt").write_text("1 2 4\n")
    changed = project.repropack("verify", "d.rpk", "--retrain", "--data", f"numbers={moved}")
    assert changed.returncode == 3
    assert "RPK702" in changed.stdout


def test_a_number_that_does_not_come_out_again_is_not_reproduced(project: Project) -> None:
    project.write(
        "noise.py", "import os; print('score:', int.from_bytes(os.urandom(6), 'big') + 0.5)"
    )
    project.write("repropack.yaml", "claims:\n  - metric: score\n    retrain: {absolute: 0.001}\n")
    project.ok("key", "new")
    project.ok("run", "--", "python", "noise.py")
    project.ok("export", "-o", "noise.rpk", "--yes")
    done = project.repropack("verify", "noise.rpk")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("NOT REPRODUCED: score = ")
    assert "outside [" in done.stdout


def test_a_retraining_without_a_declared_tolerance_stays_open(project: Project) -> None:
    project.write(
        "noise.py", "import os; print('score:', int.from_bytes(os.urandom(6), 'big') + 0.5)"
    )
    project.ok("key", "new")
    project.ok("run", "--", "python", "noise.py")
    project.ok("export", "-o", "noise.rpk", "--yes")
    done = project.repropack("verify", "noise.rpk")
    assert done.returncode == 3
    assert "declared no tolerance" in done.stdout


def test_inspect_and_extract_execute_nothing_and_check_what_they_write(exported: Project) -> None:
    text = exported.ok("inspect", str(_bundle(exported)))
    assert "weights/out/model.bin" in text
    place = exported.root / "part"
    exported.ok("extract", str(_bundle(exported)), str(place), "weights", "README.md")
    assert sorted(str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()) == [
        "README.md",
        "weights/out/model.bin",
    ]
    assert (place / "weights/out/model.bin").read_text().startswith("[")
    again = exported.repropack("extract", str(_bundle(exported)), str(place))
    assert again.returncode == 2
    absent = exported.repropack("extract", str(_bundle(exported)), str(place / "x"), "nothing")
    assert absent.returncode == 2
    assert not (place / "x").exists()


def test_every_record_validates_against_its_schema(exported: Project) -> None:
    place = _extracted(exported)
    checked = 0
    for pattern, name in (
        ("manifest.json", "manifest"),
        ("claims.json", "claims"),
        ("runs/*/run.json", "run"),
        ("runs/*/metrics.json", "metrics"),
        ("environment/environment.json", "environment"),
    ):
        schema = json.loads((ROOT / "schemas" / f"{name}.json").read_text())
        for path in place.glob(pattern):
            jsonschema.Draft202012Validator(schema).validate(json.loads(path.read_text()))
            checked += 1
    assert checked == 7


def test_nothing_of_the_private_history_or_of_the_author_is_inside(exported: Project) -> None:
    place = _extracted(exported)
    for number, bundle in enumerate(sorted((place / "code").iterdir())):
        clone = place / f"clone-{number}"
        subprocess.run(["git", "clone", "-q", bundle, clone], check=True, capture_output=True)
        log = subprocess.run(
            ["git", "log", "--all", "--format=%an %ae %cn %ce %ad %B %P"],
            cwd=clone,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        assert "Zoe" not in log
        assert "secret message" not in log
        tree = subprocess.run(
            ["git", "rev-parse", "HEAD^{tree}"],
            cwd=clone,
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        assert tree == exported.git("rev-parse", "HEAD^{tree}").strip()
    private = exported.git("rev-parse", "HEAD").strip()
    terms = [str(exported.root.parent), "zoe@private.example", private, "secret message"]
    for path in place.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            data = path.read_bytes()
            for term in terms:
                assert term.encode() not in data, (path, term)


@pytest.fixture(params=["sh", "bash", "busybox"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """A PATH for somebody without repropack. With busybox the usual tools are its own, too."""
    if request.param == "busybox":
        if (busybox := shutil.which("busybox")) is None:
            pytest.skip("busybox is not installed")
        tools = tmp_path / "busybox"
        tools.mkdir()
        applets = ["base64", "cat", "cut", "find", "grep", "mkdir", "printf", "sed", "sh", "sort"]
        for name in [*applets, "tr", "uniq", "wc"]:
            (tools / name).symlink_to(busybox)
        # Its tar knows neither zstd nor long names; git calls programs of its own.
        for name in ("git", "openssl", "tar", "zstd"):
            (tools / name).symlink_to(str(shutil.which(name)))
        return {"PATH": str(tools)}
    program = tmp_path / "shell"
    program.mkdir()
    (program / "sh").symlink_to(str(shutil.which(request.param)))
    return {"PATH": f"{program}:/usr/bin:/bin"}


def test_the_recipes_of_the_readme_work_by_hand(exported: Project, shell: dict[str, str]) -> None:
    place = exported.root.parent / "byhand"
    place.mkdir()
    bundle = place / "release.rpk"
    bundle.write_bytes(_bundle(exported).read_bytes())
    readme = subprocess.run(
        ["tar", "--zstd", "-xOf", bundle, "README.md"], check=True, capture_output=True, text=True
    ).stdout
    unpack, other = (
        line.strip() for line in readme.splitlines() if "tar " in line and " -C " in line
    )
    recipes = re.findall(r"```sh\n(.*?)```", readme, flags=re.DOTALL)
    assert len(recipes) == 3
    release = place / "release"

    def by_hand(script: str, *, where: Path = place) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [f"{shell['PATH'].partition(':')[0]}/sh", "-e", "-c", script],
            cwd=where,
            env=shell,
            capture_output=True,
            text=True,
            check=False,
        )

    def refused(recipe: str, words: str) -> None:
        done = by_hand(recipe + "\necho went on", where=release)
        assert done.returncode != 0
        assert "went on" not in done.stdout
        assert words in done.stdout
        shutil.rmtree(release)
        assert by_hand(unpack).returncode == 0

    assert by_hand(other).returncode == 0
    shutil.rmtree(release)
    done = by_hand(unpack + "\n" + "\n".join(recipes))
    assert done.returncode == 0, done.stderr
    assert "every file is listed and whole" in done.stdout
    assert "Signature Verified Successfully" in done.stdout
    assert "the manifest is the signed one" in done.stdout
    assert (release / "code-run-2" / "eval.py").exists()
    shutil.rmtree(release)
    assert by_hand(unpack).returncode == 0

    files, signed = recipes[:2]
    manifest = release / "manifest.json"
    (release / "weights" / "out" / "model.bin").write_text("tampered")
    refused(files, "weights/out/model.bin")
    (release / "weights" / "out" / "model.bin").unlink()
    refused(files, "weights/out/model.bin")
    (release / "weights" / "more.bin").write_text("not listed")
    refused(files, "weights/more.bin")
    (release / "weights" / "more.bin").symlink_to("out/model.bin")
    refused(files, "weights/more.bin")
    (release / "weights" / "\x1b[2J").write_text("would clear the screen")
    refused(files, "weights/?[2J")
    manifest.write_text(manifest.read_text().replace('"role":"weights"', '"role":"wei\\"ghts"'))
    refused(files, "the files are NOT the listed ones")
    manifest.unlink()
    refused(files, "the files are NOT the listed ones")

    manifest.unlink()
    refused(signed, "the manifest is NOT the signed one")
    manifest.write_text(manifest.read_text().replace("weights/out", "weights/new"))
    refused(signed, "the manifest is NOT the signed one")
    statement = release / "attestation.dsse.json"
    text = statement.read_text()
    at = text.index('"sig":"') + len('"sig":"')
    statement.write_text(text[:at] + ("B" if text[at] == "A" else "A") + text[at + 1 :])
    refused(signed, "the manifest is NOT the signed one")


def test_an_openssh_key_signs(exported: Project) -> None:
    key = exported.root.parent / "ssh-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    exported.ok("export", "--run", "eval", "-o", "ssh.rpk", "--key", str(key), "--yes")
    done = exported.repropack("verify", "ssh.rpk", "--no-run", "--signer", f"{key}.pub")
    assert done.returncode == 0


def test_a_failed_export_leaves_no_file_and_keeps_the_old_one(exported: Project) -> None:
    sha256 = hashlib.sha256((exported.root / "out" / "model.bin").read_bytes()).hexdigest()
    kept = exported.root / ".repropack" / "objects" / sha256[:2] / sha256[2:]
    kept.chmod(0o644)
    kept.write_text("damaged in the store")
    before = _bundle(exported).read_bytes()
    for name, existed in (("release.rpk", True), ("new.rpk", False)):
        done = exported.repropack(
            "export", "--run", "eval", "-o", str(exported.root.parent / name), "--yes"
        )
        assert done.returncode == 3
        assert done.stderr.splitlines()[-1].startswith("repropack: ")
        assert (exported.root.parent / name).exists() is existed
    assert _bundle(exported).read_bytes() == before
    assert not list(exported.root.parent.glob(".*partial*"))


def test_export_needs_a_key_and_says_how(project: Project) -> None:
    project.ok("run", "--", "python", "-c", "print('score: 1.5')")
    done = project.repropack("export", "--yes")
    assert done.returncode == 2
    assert "repropack key new" in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("claims: [{metric: nothing}]", "no such metric"),
        ("claims: [{metric: score, evaluat: {exact: true}}]", "unknown field"),
        ("data: {nothing: {}}", "which no run read"),
        ("claims: [{metric: score, evaluate: {absolute: -1}}]", "negative"),
    ],
)
def test_a_wrong_project_file_is_one_clear_line(exported: Project, text: str, words: str) -> None:
    exported.write("repropack.yaml", text)
    done = exported.repropack("export", "--run", "eval", "-o", "x.rpk", "--yes")
    assert done.returncode == 2
    assert words in done.stderr
    assert "repropack.yaml" in done.stderr
    assert not (exported.root / "x.rpk").exists()


@pytest.mark.slow
def test_the_demo_trains_and_reproduces(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", ROOT / "examples" / "digits" / "demo.sh"],
        env={**os.environ, "DEMO_DIRECTORY": str(tmp_path / "demo")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("REPRODUCED: all 2 claims that were checked hold") == 2
    assert (tmp_path / "demo" / "retrain.html").exists()


def test_a_directory_that_was_there_and_empty_is_there_again(project: Project) -> None:
    project.write(".gitignore", "results/\n")
    (project.root / "results" / "deep").mkdir(parents=True)
    project.ok("key", "new")
    script = "open('results/deep/r.json', 'w').write('{\"score\": 1.5}')"
    project.ok("run", "--", "python", "-c", script)
    assert project.segment()["directories"] == ["{project}/results/deep"]
    project.ok("export", "-o", "r.rpk", "--yes")
    done = project.repropack("verify", "r.rpk")
    assert done.returncode == 0, done.stdout


def test_what_goes_out_as_data_is_not_said_to_stay(bare_project: Project) -> None:
    bare_project.write(".gitignore", "in.txt\n")
    bare_project.write("in.txt", "1\n")
    bare_project.ok("key", "new")
    bare_project.ok("run", "--", "python", "-c", "print('score:', open('in.txt').read())")
    listed = bare_project.ok("export", "-o", "list.rpk", "--yes")
    assert "in.txt: ignored" in listed
    included = bare_project.ok("export", "-o", "included.rpk", "--yes", "--include-data")
    assert "in.txt: ignored" not in included


@pytest.mark.parametrize("command", [["inspect", "{}"], ["extract", "{}", "out"]])
def test_what_is_wrong_with_a_bundle_is_said_with_its_name(
    project: Project, command: list[str]
) -> None:
    project.write(
        "strange.rpk", "this is a text and no bundle at all, however long it may be\n" * 9
    )
    done = project.repropack(*(word.format("strange.rpk") for word in command))
    assert done.returncode == 1
    assert "strange.rpk: RPK101" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (project.root / "out").exists()


@pytest.mark.parametrize("command", ["verify", "inspect"])
def test_an_empty_name_is_no_bundle(project: Project, command: str) -> None:
    done = project.repropack(command, "")
    assert done.returncode == 2
    assert "the name of the bundle is empty" in done.stderr


def test_arguments_can_be_told_apart_on_the_screen(project: Project) -> None:
    project.ok("key", "new")
    code = "print('score: 0.5')"
    project.ok("run", "--", "python", "-c", code, "two words", str(project.root / "train.py"))
    shown = "'two words' {project}/train.py"
    assert shown in project.ok("export", "-o", "a.rpk", "--yes")
    assert shown in project.ok("show")
    assert shown in project.ok("list")
