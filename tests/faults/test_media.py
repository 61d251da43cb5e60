# SPDX-License-Identifier: Apache-2.0
"""Real disks that are full or lose power: a small tmpfs, and images of an ext4 file system.

An image that is copied while the file system is mounted is what a disk holds when power fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repropack.bundle import MemberSource, write_bundle
from repropack.errors import RepropackError
from repropack.model import Role
from tests.faults.injection import Injector, Kind
from tests.faults.test_recorder_faults import FIRST, STATUS, recorded_id, template
from tests.project import Project

__all__ = ["template"]

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount file systems"
    ),
]

STEP = 64 * 1024
IMAGE = 16 * 1024 * 1024

Mount = Callable[..., Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a file system on a directory, until the test ends or `unmount` is called."""
    mounted: list[Path] = []

    def act(place: Path, *options: str) -> Path:
        place.mkdir(exist_ok=True)
        done = subprocess.run(
            ["mount", *options, place], check=False, capture_output=True, text=True
        )
        if done.returncode != 0:
            pytest.skip(f"mount is not allowed here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield act
    for place in reversed(mounted):
        subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)


def unmount(place: Path) -> None:
    subprocess.run(["umount", place], check=True)


def bundle(path: Path, content: bytes) -> None:
    sources = [
        MemberSource(path="README.md", role=Role.DOCUMENT, content=b"# hello\n"),
        MemberSource(path="weights/w", role=Role.WEIGHTS, content=content),
    ]
    write_bundle(path, sources, seal=lambda manifest, offset: b"{}")


def test_a_bundle_on_a_disk_of_any_size(mount: Mount, tmp_path: Path) -> None:
    noise = os.urandom(10 * STEP)
    bundle(tmp_path / "old.rpk", b"old")
    bundle(tmp_path / "new.rpk", noise)
    old, new = ((tmp_path / name).read_bytes() for name in ("old.rpk", "new.rpk"))
    disk = mount(tmp_path / "disk", "-t", "tmpfs", "-o", f"size={STEP}", "none")
    target = disk / "x.rpk"
    outcomes = []
    complaints = set()
    for steps in range(1, 21):
        subprocess.run(["mount", "-o", f"remount,size={steps * STEP}", disk], check=True)
        target.write_bytes(old)
        try:
            bundle(target, noise)
        except RepropackError as error:
            complaints.add(str(error))
            assert target.read_bytes() == old
            outcomes.append(False)
        else:
            assert target.read_bytes() == new
            outcomes.append(True)
        assert os.listdir(disk) == ["x.rpk"]
        target.unlink()
    assert complaints == {
        f"cannot write {target}: No space left on device; nothing was changed there"
    }
    assert outcomes == sorted(outcomes)
    assert 8 < outcomes.count(False) < 15


def test_a_store_on_a_disk_of_any_size(
    injector: Injector, template: Project, mount: Mount, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    shutil.copytree(template.root, root, symlinks=True)
    shutil.rmtree(root / ".repropack")
    recorded = []
    for steps in (*range(1, 9), 16, 32):
        shutil.rmtree(root / "out")
        store = mount(root / ".repropack", "-t", "tmpfs", "-o", f"size={steps * STEP}", "none")
        done = injector.run(FIRST, directory=root, environment=template.environment, below=store)
        where = f"{steps}: {done.stderr}"
        assert (done.status, done.stdout) == (STATUS, "accuracy: 0.75\n"), where
        assert (root / "out/model.bin").read_text() == "weights", where
        assert "Traceback" not in done.stderr, where
        run = recorded_id(done)
        recorded.append(run is not None)
        if (store / "runs").is_dir():
            for command in (("list",), ("show", run) if run else ("list", "--json")):
                said = injector.run(
                    command, directory=root, environment=template.environment, below=store
                )
                assert said.status == 0, where
        unmount(store)
    assert recorded[-1]
    assert not recorded[0]


class PowerCuts:
    """An ext4 file system whose image is copied now and then, as if power had failed."""

    def __init__(self, place: Path, mount: Mount) -> None:
        self._image = place / "image"
        self._mount = mount
        self._place = place
        self.images: list[Path] = []
        self._image.touch()
        os.truncate(self._image, IMAGE)
        subprocess.run(["mkfs.ext4", "-q", "-F", self._image], check=True)
        self.disk = mount(place / "disk", "-o", "loop", str(self._image))

    def cut(self) -> None:
        copy = self._place / f"image-{len(self.images)}"
        subprocess.run(["cp", "--sparse=always", self._image, copy], check=True)
        self.images.append(copy)

    def after(self) -> Iterator[Path]:
        """The file system as it is after each of the cuts."""
        for copy in self.images:
            # Mounting replays the journal.
            place = self._mount(self._place / "after", "-o", "loop", str(copy))
            yield place
            unmount(place)
            copy.unlink()


def test_a_bundle_after_a_power_cut(
    injector: Injector, recorded: Project, mount: Mount, tmp_path: Path
) -> None:
    power = PowerCuts(tmp_path, mount)
    target = power.disk / "x.rpk"
    command = ("export", "--yes", "-o", str(target), "--run")
    recorded.ok(*command, "train")
    old = target.read_bytes()
    subprocess.run(["sync", "--file-system", target], check=True)
    reported = []

    def cut(stdout: str) -> None:
        power.cut()
        reported.append("next: " in stdout)

    done = injector.run(
        [*command, "eval"],
        directory=recorded.root,
        environment=recorded.environment,
        below=power.disk,
        at=1,
        kind=Kind.STOP,
        at_stop=cut,
    )
    assert done.status == 0
    cut(done.stdout)
    assert reported[-1]
    new = target.read_bytes()
    assert new != old
    found = []
    for place, was_reported in zip(power.after(), reported, strict=True):
        content = (place / "x.rpk").read_bytes()
        assert content in ((new,) if was_reported else (old, new))
        found.append(content == new)
    # Not before the rename, and not later than the sync of the directory.
    assert found == sorted(found)
    assert not found[0]


@pytest.mark.parametrize("versioned", [True, False], ids=["git", "no-git"])
def test_a_run_after_a_power_cut(
    injector: Injector, template: Project, mount: Mount, tmp_path: Path, versioned: bool
) -> None:
    power = PowerCuts(tmp_path, mount)
    root = power.disk / "project"
    shutil.copytree(template.root, root, symlinks=True)
    shutil.rmtree(root / ".repropack")
    shutil.rmtree(root / "out")
    if not versioned:
        shutil.rmtree(root / ".git")
    subprocess.run(["sync", "--file-system", root], check=True)
    stops = 0

    def cut(stdout: str) -> None:
        nonlocal stops
        stops += 1
        if stops % 20 == 0:
            power.cut()

    done = injector.run(
        FIRST,
        directory=root,
        environment=template.environment,
        below=root / ".repropack",
        at=1,
        kind=Kind.STOP,
        at_stop=cut,
    )
    assert done.status == STATUS
    run = recorded_id(done)
    assert run is not None
    power.cut()
    assert len(power.images) > 4
    for number, place in enumerate(power.after(), 1):
        project = Project(place / "project", template.environment)
        if number == len(power.images):
            # It was reported: the record, the weights and the code are there.
            segment = project.segment(run)
            sha256 = segment["products"][0]["sha256"]
            kept = project.root / ".repropack/objects" / sha256[:2] / sha256[2:]
            assert kept.read_bytes() == b"weights"
            git = ("git", "--git-dir", str(project.root / ".repropack/git"))
            tree = segment["source"]["tree"]
            subprocess.run([*git, "archive", "-o", os.devnull, tree], check=True)
            subprocess.run([*git, "fsck", "--strict", tree], check=True, capture_output=True)
        for command, status in ((FIRST, STATUS), (("list",), 0)):
            again = injector.run(
                command, directory=project.root, environment=template.environment, below=place
            )
            assert again.status == status, again.stderr
            assert recorded_id(again) is not None or command != FIRST, again.stderr
