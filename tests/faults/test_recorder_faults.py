# SPDX-License-Identifier: Apache-2.0
"""`repropack run`, with each call on the store failing in turn.

What must hold: the command does, prints and returns what it does without us; what was reported as
recorded can be read, with every file that the record calls kept; earlier runs stay as they were;
`list` and `show` work; the next run is recorded.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.durability import Durability
from tests.faults.injection import Injector, Kind, Outcome, numbers
from tests.project import Project

STATUS = 7
PRINTED = "accuracy: 0.75\n"
COMPLAINED = "a warning of the command\n"
STEP = f"""\
import pathlib, sys
weights = pathlib.Path("out/model.bin")
made = pathlib.Path("out/second.bin") if len(sys.argv) > 1 else weights
sys.stdout.write({PRINTED!r})
sys.stderr.write({COMPLAINED!r})
made.parent.mkdir(exist_ok=True)
made.write_text("weights" + (weights.read_text() if weights.exists() else ""))
sys.exit({STATUS})
"""
FIRST = ("run", "--", "python", "step.py")
SECOND = ("run", "--", "python", "step.py", "out/model.bin")


class Recording:
    """A project of its own for each case: a copy of one that is fresh, or has a run already."""

    def __init__(self, injector: Injector, template: Project, place: Path, *, fresh: bool) -> None:
        self.injector = injector
        self.template = template
        self.root = place / "project"
        self.argv = FIRST if fresh else SECOND
        self.fresh = fresh
        self.first = template.show("first")

    @property
    def store(self) -> Path:
        return self.root / ".repropack"

    def lay_out(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self.template.root, self.root, symlinks=True)
        if self.fresh:
            shutil.rmtree(self.store)
            shutil.rmtree(self.root / "out")

    def run(
        self,
        *argv: str,
        at: int = 0,
        kind: Kind = Kind.NONE,
        error: int = 0,
        below: Path | None = None,
    ) -> Outcome:
        return self.injector.run(
            argv or self.argv,
            directory=self.root,
            environment=self.template.environment,
            below=below or self.store,
            at=at,
            kind=kind,
            error=error,
        )

    def json(self, *argv: str) -> Any:
        done = self.run(*argv)
        assert done.status == 0, (argv, done.status, done.stderr)
        return json.loads(done.stdout)

    def check_command(self, done: Outcome, where: str) -> None:
        """The command was what it is without us, and whatever else was said are lines of ours."""
        assert done.status == STATUS, where
        assert done.stdout == PRINTED, where
        lines = done.stderr.splitlines(keepends=True)
        assert lines.count(COMPLAINED) == 1, where
        others = [line for line in lines if line != COMPLAINED]
        assert all(line.startswith("repropack: ") for line in others), where
        assert "Error:" not in done.stderr, where
        made = "out/model.bin" if self.fresh else "out/second.bin"
        assert (self.root / made).read_text().startswith("weights")

    def check_store(self, reported: str | None, where: str) -> None:
        """All that was reported is there, in the store as the next command finds it."""
        if not (self.store / "runs").is_dir():
            assert reported is None, where
            return
        runs = {run["id"]: run for run in self.json("list", "--json")}
        assert all(run["ended"] != "damaged" for run in runs.values()), where
        if not self.fresh:
            assert self.json("show", "first", "--json") == self.first, where
            self.check_kept(self.first, where)
        if reported is not None:
            assert runs[reported]["ended"] == f"status {STATUS}", where
            self.check_kept(self.json("show", reported, "--json"), where)

    def check_kept(self, shown: Any, where: str) -> None:
        """Every product is kept whole, or the record says that it is not."""
        segment = shown["run"]["segments"][-1]
        (product,) = segment["products"]
        sha256 = product["sha256"]
        kept = self.store / "objects" / sha256[:2] / sha256[2:]
        if product.get("kept", True):
            assert hashlib.sha256(kept.read_bytes()).hexdigest() == sha256, where
        else:
            assert any("is not kept" in gap["message"] for gap in segment["gaps"]), where

    def check_next(self, where: str) -> None:
        """The next run is recorded, and leaves nothing of the one that failed in its way."""
        done = self.run(*SECOND)
        run = recorded_id(done)
        assert done.status == STATUS, f"{where}\n{done.stderr}"
        assert run is not None, f"{where}\n{done.stderr}"
        shown = self.json("show", run, "--json")
        segment = shown["run"]["segments"][-1]
        assert [p["path"] for p in segment["products"]] == ["{project}/out/second.bin"], where
        assert segment["source"] is not None, where
        # A lock of the run that failed would look as if that run still went on.
        assert "at the same time" not in done.stderr, where
        self.check_kept(shown, where)
        assert not list((self.store / "objects").glob(".*")), where


def recorded_id(done: Outcome) -> str | None:
    """The run that the last line reports."""
    lines = done.stderr.splitlines()
    word = "repropack: recorded run "
    return lines[-1].removeprefix(word) if lines and lines[-1].startswith(word) else None


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, python_environment: Path) -> Project:
    place = tmp_path_factory.mktemp("recorder")
    (place / "home").mkdir()
    (place / "project").mkdir()
    project = Project(
        place / "project",
        {
            "HOME": str(place / "home"),
            "PATH": f"{python_environment}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )
    project.write("step.py", STEP)
    project.write(".gitignore", "out/\n")
    subprocess.run(["git", "init", "-q", project.root], check=True)
    project.repropack("run", "--name", "first", "--", "python", "step.py")
    return project


@pytest.fixture(params=[True, False], ids=["first-run", "second-run"])
def recording(
    request: pytest.FixtureRequest, injector: Injector, template: Project, tmp_path: Path
) -> Recording:
    recording = Recording(injector, template, tmp_path, fresh=request.param)
    recording.lay_out()
    return recording


def points(recording: Recording, config: pytest.Config, turn: int) -> list[int]:
    """Which calls are hit, and one more.

    Each kind of call is hit by one of the kinds of failure: `turn` says by which. With
    `--every-call` each call is hit by all of them.
    """
    done = recording.run()
    recording.check_command(done, "untouched")
    assert recorded_id(done) is not None, done.stderr
    every = bool(config.getoption("--every-call"))
    chosen = numbers(done.calls, every=every)
    # A second run has few calls that the first has not.
    step = TURNS if recording.fresh else 2 * TURNS
    return chosen if every else [*chosen[turn:-1:step], chosen[-1]]


TURNS = 6
FAULTS = [
    pytest.param(Kind.ONCE, errno.EIO, 0, id="EIO"),
    pytest.param(Kind.ONCE, errno.ENOSPC, 1, id="ENOSPC"),
    pytest.param(Kind.FULL, 0, 2, id="full-disk"),
    pytest.param(Kind.DEAD, errno.EIO, 3, id="dead-disk"),
]


@pytest.mark.parametrize(("kind", "error", "turn"), FAULTS)
def test_a_call_fails(
    recording: Recording, pytestconfig: pytest.Config, kind: Kind, error: int, turn: int
) -> None:
    unrecorded = 0
    for at in points(recording, pytestconfig, turn):
        recording.lay_out()
        done = recording.run(at=at, kind=kind, error=error)
        where = f"call {at}: {done.calls[at - 1 : at]}\n{done.stderr}"
        recording.check_command(done, where)
        reported = recorded_id(done)
        unrecorded += reported is None
        if reported is None:
            said = ("is not recorded", "could not be written", "unknown whether it survives")
            assert any(word in done.stderr for word in said), where
            records = list(recording.store.glob("runs/*/run.json"))
            unconfirmed = len(records) > (not recording.fresh)
            assert unconfirmed == ("unknown whether it survives" in done.stderr), where
        recording.check_store(reported, where)
        recording.check_next(where)
    assert reported is not None, "the last one is untouched"
    assert unrecorded > 0


@pytest.mark.parametrize(("kind", "turn"), [(Kind.KILL, 4), (Kind.ORPHAN, 5)])
def test_sigkill(recording: Recording, pytestconfig: pytest.Config, kind: Kind, turn: int) -> None:
    for at in points(recording, pytestconfig, turn):
        recording.lay_out()
        done = recording.run(at=at, kind=kind)
        where = f"call {at}: {done.calls[at - 1 : at]}\n{done.stderr}"
        if at <= len(done.calls):
            assert done.status == -signal.SIGKILL, where
        recording.check_store(recorded_id(done), where)
        recording.check_next(where)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_store_that_cannot_be_written(recording: Recording, error: int) -> None:
    done = recording.run(at=1, kind=Kind.DEAD, error=error)
    recording.check_command(done, done.stderr)
    assert recorded_id(done) is None
    assert os.strerror(error) in done.stderr
    recording.check_store(None, done.stderr)
    recording.check_next(done.stderr)


def test_what_was_reported_is_on_the_disk(recording: Recording) -> None:
    """Names and contents, by the letter of POSIX; git syncs its objects in its own way."""
    done = recording.run(below=recording.root)
    run = recorded_id(done)
    assert run is not None
    durability = Durability(
        call for call in done.calls if not call.path.is_relative_to(recording.store / "git")
    )
    shown = recording.json("show", run, "--json")["run"]["segments"][-1]
    directory = recording.store / "runs" / run
    files = [directory / name for name in ("started.json", "run.json", "metrics.json")]
    files += [directory / name for name in ("private.json", "stdout.log", "stderr.log")]
    for sha256 in (shown["environment"], *(p["sha256"] for p in shown["products"])):
        files.append(recording.store / "objects" / sha256[:2] / sha256[2:])
    for path in files:
        assert path.is_file()
        assert durability.content(path), path
        assert durability.name(path, recording.root), path


def test_two_recorders_at_once(recording: Recording, tmp_path: Path) -> None:
    """Each has its own run with its own output; neither waits for the other, nor loses a line."""
    recording.lay_out()
    script = "import sys\nfor n in range(200):\n    print(sys.argv[1], n, flush=True)\n"
    (recording.root / "talk.py").write_text(script)
    running = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "repropack",
                "run",
                "--name",
                name,
                "--",
                "python",
                "talk.py",
                name,
            ],
            cwd=recording.root,
            env=recording.template.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two", "three")
    ]
    for name, process in zip(("one", "two", "three"), running, strict=True):
        out, err = process.communicate(timeout=100)
        wanted = "".join(f"{name} {n}\n" for n in range(200))
        assert (process.returncode, out) == (0, wanted), err
        shown = recording.json("show", name, "--json")["run"]
        assert err.splitlines()[-1] == f"repropack: recorded run {shown['id']}"
        assert (recording.store / "runs" / shown["id"] / "stdout.log").read_text() == wanted


@pytest.mark.parametrize("recording", [False], ids=["second-run"], indirect=True)
@pytest.mark.parametrize("damage", ["missing", "empty", "noise", "directory"])
def test_the_index_is_rebuilt(recording: Recording, damage: str) -> None:
    """Lineage is found although the index is gone: the records are the truth."""
    index = recording.store / "index.sqlite"
    index.unlink()
    if damage == "empty":
        index.touch()
    elif damage == "noise":
        index.write_bytes(b"no database" * 1000)
    elif damage == "directory":
        index.mkdir()
    done = recording.run()
    recording.check_command(done, done.stderr)
    run = recorded_id(done)
    assert run is not None, done.stderr
    segment = recording.json("show", run, "--json")["run"]["segments"][-1]
    if damage == "directory":
        assert any(gap["code"] == "lineage" for gap in segment["gaps"])
    else:
        assert [m["origin"]["path"] for m in segment["materials"]] == ["{project}/out/model.bin"]


TELL = """\
import glob, os
for name in ("one.txt", "two.txt", "three.txt"):
    open(os.path.join("out", name)).read()
log = open(glob.glob(os.environ["REPROPACK_AGENT"] + "/*.log")[0], "r+b")
content = log.read()
at = content.index(WORD)
if END:
    log.truncate(at)
else:
    log.seek(at)
    log.write(b"T")
log.flush()
os._exit(0)
"""


@pytest.mark.parametrize(
    ("word", "end", "said", "known"),
    [
        ("three.txt", True, "its last line was cut off, and is left out", ["one", "two"]),
        ("two.txt", False, "lines are missing or changed", ["one", "three"]),
    ],
    ids=["torn-last-line", "damaged-middle-line"],
)
def test_a_damaged_log_of_a_process(
    recording: Recording, word: str, end: bool, said: str, known: list[str]
) -> None:
    """A bad line is not used, the others are, and the record says so."""
    (recording.root / "out").mkdir(exist_ok=True)
    for name in ("one", "two", "three"):
        (recording.root / f"out/{name}.txt").write_text(name)
    script = TELL.replace("WORD", repr(word.encode())).replace("END", repr(end))
    (recording.root / "tell.py").write_text(script)
    done = recording.run("run", "--", "python", "tell.py")
    assert (done.status, done.stdout) == (0, "")
    run = recorded_id(done)
    assert run is not None
    segment = recording.json("show", run, "--json")["run"]["segments"][-1]
    (gap,) = (gap["message"] for gap in segment["gaps"] if "process" in gap["message"])
    assert said in gap
    assert said in done.stderr
    read = {m["path"] for m in segment["materials"] if "python-open" in m["evidence"]}
    assert read >= {f"{{project}}/out/{name}.txt" for name in known}
    assert "{project}/out/" + word not in read
