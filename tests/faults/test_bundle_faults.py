# SPDX-License-Identifier: Apache-2.0
"""`repropack export`, with each of its calls failing in turn.

What must hold (the promises of SECURITY.md): under the final name is the old or the new bundle, and
it is whole; success is reported only when the new one is on the disk for good; a failure is one
line; only SIGKILL leaves a temporary file, and the next export removes it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.durability import Durability
from tests.faults.injection import Injector, Kind, Outcome, numbers
from tests.project import Project

NAME = "release.rpk"


PROGRESS = (
    "repropack: looking up the packages' digests",
    "repropack: searching what goes out for secrets and for your names",
    "repropack: packing",
)


def complaints(done: Outcome) -> list[str]:
    return [line for line in done.stderr.splitlines() if line not in PROGRESS]


class Release(NamedTuple):
    """Two bundles of one name: what lies there, and what is exported over it."""

    project: Project
    old: bytes
    new: bytes


@pytest.fixture(scope="module")
def release(recorded: Project, tmp_path_factory: pytest.TempPathFactory) -> Release:
    place = tmp_path_factory.mktemp("release")
    contents = []
    for run in ("train", "eval"):
        recorded.ok("export", "--run", run, "-o", str(place / NAME), "--yes")
        recorded.ok("verify", "--no-run", "--allow-unknown-signer", str(place / NAME))
        contents.append((place / NAME).read_bytes())
    assert contents[0] != contents[1]
    return Release(recorded, *contents)


class Exporting:
    """An export over an old bundle, in a directory of its own with its temporary files."""

    def __init__(self, injector: Injector, release: Release, place: Path) -> None:
        self.injector = injector
        self.release = release
        self.place = place
        self.out = place / "out"
        self.temporary = place / "temporary"
        self.below = place
        self.options: tuple[str, ...] = ()

    def lay_out(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        self.out.mkdir(parents=True)
        self.temporary.mkdir()
        (self.out / NAME).write_bytes(self.release.old)

    def run(self, at: int = 0, kind: Kind = Kind.NONE, error: int = 0) -> Outcome:
        return self.injector.run(
            ["export", "--run", "eval", "-o", str(self.out / NAME), "--yes", *self.options],
            directory=self.release.project.root,
            environment={**self.release.project.environment, "TMPDIR": str(self.temporary)},
            below=self.below,
            at=at,
            kind=kind,
            error=error,
        )

    def content(self) -> bytes:
        return (self.out / NAME).read_bytes()

    def partials(self) -> list[str]:
        return sorted(set(os.listdir(self.out)) - {NAME})


@pytest.fixture
def exporting(injector: Injector, release: Release, tmp_path: Path) -> Exporting:
    exporting = Exporting(injector, release, tmp_path / "place")
    exporting.lay_out()
    return exporting


FAULTS = [
    pytest.param(Kind.ONCE, errno.ENOSPC, id="ENOSPC"),
    pytest.param(Kind.ONCE, errno.EIO, id="EIO"),
    pytest.param(Kind.FULL, 0, id="full-disk"),
    pytest.param(Kind.DEAD, errno.EIO, id="dead-disk"),
    pytest.param(Kind.DEAD, errno.EROFS, id="read-only"),
]


def sweep(exporting: Exporting, kind: Kind, error: int, points: list[int]) -> tuple[int, int]:
    """Lets calls fail; the numbers of failures, and of those with the new bundle in place."""
    release = exporting.release
    failures = unknown = 0
    for at in points:
        exporting.lay_out()
        done = exporting.run(at, kind, error)
        content = exporting.content()
        where = f"call {at}: {done}"
        # A disk that is gone does not even let a file be removed.
        dead = kind is Kind.DEAD and any(call.name == "unlink" for call in done.calls)
        assert len(exporting.partials()) <= dead, where
        if done.status == 0:
            assert content == release.new, where
            assert complaints(done) == [], where
            continue
        failures += 1
        assert done.status == 3, where
        (complaint,) = complaints(done)
        assert complaint.startswith("repropack: "), where
        assert "defect" not in complaint, where
        assert "next:" not in done.stdout, where
        if content == release.new:
            unknown += 1
            assert "it is unknown whether it survives a power cut" in complaint, where
        else:
            assert content == release.old, where
    # The last number is beyond the last call: that export is untouched.
    assert done.status == 0, where
    return failures, unknown


@pytest.mark.parametrize(("kind", "error"), FAULTS)
def test_every_call_on_the_bundle_fails(exporting: Exporting, kind: Kind, error: int) -> None:
    exporting.below = exporting.out
    points = numbers(exporting.run().calls, every=True)
    failures, unknown = sweep(exporting, kind, error, points)
    assert failures >= 5 - 3 * (kind is Kind.FULL)
    # After the rename: opening, syncing and closing the directory. A full disk can do all three.
    assert unknown == (0 if kind is Kind.FULL else 3)


@pytest.mark.parametrize(("kind", "error"), FAULTS)
def test_every_call_on_temporary_files_fails(
    exporting: Exporting, kind: Kind, error: int, pytestconfig: pytest.Config
) -> None:
    """git writes the code bundle there, and reads it back."""
    exporting.below = exporting.temporary
    every = pytestconfig.getoption("--every-call")
    points = numbers(exporting.run().calls, every=every)
    if not every:
        # Each kind of call is hit by one of the kinds of failure.
        turn = [parameter.values for parameter in FAULTS].index((kind, error))
        points = [*points[turn : -1 : len(FAULTS)], points[-1]]
    failures, unknown = sweep(exporting, kind, error, points)
    assert failures >= 2
    assert unknown == 0


def test_sigkill_at_every_call(exporting: Exporting) -> None:
    release = exporting.release
    exporting.below = exporting.out
    seen = set()
    for at in numbers(exporting.run().calls, every=True):
        exporting.lay_out()
        done = exporting.run(at, Kind.KILL)
        content = exporting.content()
        assert content in (release.old, release.new), f"call {at}: {done}"
        left = exporting.partials()
        assert len(left) <= 1
        seen.add((content == release.new, bool(left)))
        if left:
            # The next export works and removes what the killed one has left.
            assert exporting.run().status == 0
            assert exporting.content() == release.new
            assert exporting.partials() == []
        assert done.status == (-signal.SIGKILL if at <= len(done.calls) else 0)
    assert seen >= {(False, False), (False, True), (True, False)}


@pytest.mark.parametrize(
    ("kind", "error"), [FAULTS[1], FAULTS[3], pytest.param(Kind.KILL, 0, id="SIGKILL")]
)
def test_every_call_on_volumes_fails(exporting: Exporting, kind: Kind, error: int) -> None:
    """All volumes, or none that a reader could take for a bundle: the first one comes last."""
    exporting.below = exporting.out
    exporting.options = ("--volumes", "4096")
    exporting.lay_out()
    names = [
        f"{NAME}.{number:03}" for number in range(1, -(-len(exporting.release.new) // 4096) + 1)
    ]
    for at in numbers(exporting.run().calls, every=True):
        exporting.lay_out()
        done = exporting.run(at, kind, error)
        where = f"call {at}: {done}"
        there = [name for name in sorted(os.listdir(exporting.out)) if name in names]
        assert exporting.content() == exporting.release.old, where
        if there == names:
            whole = b"".join((exporting.out / name).read_bytes() for name in names)
            assert whole == exporting.release.new, where
            assert done.status in (0, -signal.SIGKILL) or (
                "unknown whether it survives" in done.stderr
            ), where
        else:
            assert done.status != 0, where
            assert names[0] not in there, where
            assert not there or kind in (Kind.KILL, Kind.DEAD), where
    assert done.status == 0


def test_success_is_reported_when_the_disk_has_it(exporting: Exporting) -> None:
    done = exporting.run()
    assert done.status == 0
    durability = Durability(done.calls)
    assert durability.content(exporting.out / NAME)
    assert durability.name(exporting.out / NAME)


def test_only_abandoned_files_are_removed(exporting: Exporting) -> None:
    """A file that another export is writing is locked; one for another name is not ours."""
    living = exporting.out / f".{NAME}.0123456789ab.partial"
    dead = exporting.out / f".{NAME}.ab0123456789.partial"
    other = exporting.out / f".{NAME}.rpk.ab0123456789.partial"
    for path in (living, dead, other):
        path.write_bytes(b"x")
    with living.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert exporting.run().status == 0
    assert exporting.partials() == sorted([living.name, other.name])


def test_the_longest_name_that_a_file_can_have(exporting: Exporting) -> None:
    name = "é" * 125 + ".rpk"
    done = exporting.release.project.repropack(
        "export", "--run", "eval", "-o", str(exporting.out / name), "--yes"
    )
    assert done.returncode == 0, done.stderr
    assert exporting.partials() == [name]


@pytest.mark.parametrize("command", [("list",), ("show", "last")])
def test_a_full_standard_output_is_one_line(release: Release, command: tuple[str, ...]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "repropack", *command],
            cwd=release.project.root,
            env=release.project.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.stderr == b"repropack: standard output: No space left on device\n"
    assert done.returncode == 3


WRITER = """
import os, signal, sys, time
from pathlib import Path
from repropack.bundle import MemberSource, write_bundle
from repropack.model import Role

place = Path(sys.argv[1])
new = [
    MemberSource(path=path, role=Role.DOCUMENT, content=bytes([65 + n]) * 200_000)
    for n, path in enumerate(("README.md", "a", "b"))
]
while delay := sys.stdin.readline():
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        write_bundle(place / "x.rpk", new, seal=lambda manifest, offset: b"{}", workers=1)
        os._exit(0)
    if float(delay):
        time.sleep(float(delay))
        # A child that has ended is there until we wait for it.
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(time.monotonic() - began, flush=True)
"""


def test_200_sigkills_at_random_moments(tmp_path: Path) -> None:
    place = tmp_path / "out"
    place.mkdir()
    target = place / "x.rpk"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None

        def write(delay: float = 0) -> float:
            assert writer.stdin is not None
            assert writer.stdout is not None
            writer.stdin.write(f"{delay}\n")
            writer.stdin.flush()
            return float(writer.stdout.readline())

        usual = sorted(write() for _ in range(5))[2]
        new = target.read_bytes()
        chance = random.Random(7)
        outcomes = []
        for _ in range(200):
            target.write_bytes(b"old")
            write(chance.uniform(0, usual * 1.2))
            outcomes.append(target.read_bytes())
            assert outcomes[-1] in (b"old", new)
            # Each writer removes what its predecessors have left.
            assert len(os.listdir(place)) <= 2
        write()
        writer.stdin.close()
    assert os.listdir(place) == ["x.rpk"]
    assert target.read_bytes() == new
    # The moments were spread over the whole of it.
    assert outcomes.count(b"old") > 10
