# SPDX-License-Identifier: Apache-2.0
"""A bundle is whole or absent, and what goes wrong is said in one line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from repropack.bundle import MemberSource, write_bundle
from repropack.errors import RepropackError
from repropack.model import Role
from tests.bundle.rpk_forge import FRAME, source, write

README = source("README.md", b"# hello\n")


def seal(manifest: bytes, offset: int) -> bytes:
    return b"{}"


def fails(directory: Path, *sources: MemberSource, match: str) -> None:
    """Writing fails with one line; the old file is intact and nothing else is there."""
    directory.mkdir(exist_ok=True)
    (directory / "x.rpk").write_bytes(b"old")
    with pytest.raises(RepropackError, match=match) as caught:
        write_bundle(directory / "x.rpk", sources, seal=seal)
    assert "\n" not in str(caught.value)
    assert os.listdir(directory) == ["x.rpk"]
    assert (directory / "x.rpk").read_bytes() == b"old"


@pytest.mark.parametrize("kind", ["pipe", "socket", "directory", "link to a pipe"])
def test_what_is_no_file_keeps_its_name(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "x.rpk"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(place))
    elif kind == "directory":
        place.mkdir()
    else:
        os.mkfifo(tmp_path / "pipe" if kind == "link to a pipe" else place)
    if kind == "link to a pipe":
        place.symlink_to("pipe")
    before = {name: (tmp_path / name).lstat() for name in os.listdir(tmp_path)}
    with pytest.raises(RepropackError, match="cannot write") as caught:
        write(place, README)
    assert "\n" not in str(caught.value)
    after = {name: (tmp_path / name).lstat() for name in os.listdir(tmp_path)}
    assert {n: (s.st_ino, s.st_mode) for n, s in after.items()} == {
        n: (s.st_ino, s.st_mode) for n, s in before.items()
    }


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.rpk").write_bytes(b"old")
    write(tmp_path / "x.rpk", README).listed().verify()
    assert os.listdir(tmp_path) == ["x.rpk"]


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("../x", "component '..'"),
        ("a\\b", "U\\+005C"),
        ("manifest.json", "same file"),
        ("ATTESTATION.dsse.json", "same file"),
        ("readme.md", "same file"),
        ("README.md/x", "directory"),
        ("README.md", "twice"),
        ("e\u0301", "normal form"),
    ],
)
def test_paths_that_no_bundle_can_have(tmp_path: Path, path: str, match: str) -> None:
    fails(tmp_path, README, source(path, b""), match=match)


def test_readme_is_required(tmp_path: Path) -> None:
    fails(tmp_path, source("a", b""), match=r"README\.md")


def test_sources_that_cannot_be_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, match in (
        ("missing", "No such file"),
        ("fifo", "not a regular file"),
        (".", "not a regular file"),
    ):
        fails(tmp_path / "out", README, source("w", tmp_path / name), match=match)


def test_a_source_with_another_digest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"content")
    for content in (b"content", tmp_path / "w"):
        lying = MemberSource(path="w", role=Role.WEIGHTS, content=content, sha256="0" * 64)
        fails(tmp_path / "out", README, lying, match="not the recorded 0000")


def shorter(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def longer(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def other(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other bytes at its beginning")


@pytest.mark.parametrize("change", [shorter, longer, other])
def test_a_file_that_changes_while_it_is_read(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(bytes(20 * FRAME))
    out = tmp_path / "out"
    out.mkdir()
    changed: list[int] = []

    def progress(count: int) -> None:
        if not changed:  # the reader is in the middle of the file now
            change(weights)
            changed.append(count)

    with pytest.raises(RepropackError, match="weights changed while it was read"):
        write_bundle(
            out / "x.rpk",
            [README, source("w", weights)],
            seal=seal,
            workers=1,
            progress=progress,
        )
    assert changed
    assert os.listdir(out) == []


@pytest.mark.parametrize("attestation", [b"", b"{}\0", b"x" * (1024 * 1024 + 1)])
def test_attestations_that_do_not_fit(tmp_path: Path, attestation: bytes) -> None:
    with pytest.raises(RepropackError, match="attestation"):
        write_bundle(tmp_path / "x.rpk", [README], seal=lambda m, o: attestation)
    assert os.listdir(tmp_path) == []


def test_a_signer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def refuse(manifest: bytes, offset: int) -> bytes:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(tmp_path / "x.rpk", [README], seal=refuse)
    assert os.listdir(tmp_path) == []


FULL_DISK = """
import os, resource, signal, sys
from pathlib import Path
from repropack.bundle import MemberSource, write_bundle
from repropack.errors import RepropackError
from repropack.model import Role

limit, target = int(sys.argv[1]), Path(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
noise = os.urandom(9_000_000)
sources = [MemberSource(path=p, role=Role.DATA, content=noise) for p in ("README.md", "a", "b")]
try:
    write_bundle(target, sources, seal=lambda manifest, offset: b"{}")
except RepropackError as error:
    print(error)
"""


@pytest.mark.parametrize("limit", [0, 1, 5_000_000, 26_999_999])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, limit: int) -> None:
    target = tmp_path / "x.rpk"
    target.write_bytes(b"old")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(limit), target],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith(f"cannot write {target}: ")
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    assert os.listdir(tmp_path) == ["x.rpk"]
    assert target.read_bytes() == b"old"


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RepropackError, match="cannot write"):
        write_bundle(tmp_path / "none" / "x.rpk", [README], seal=seal)


MEMORY = """
import sys
from pathlib import Path
from repropack.bundle import MemberSource, open_bundle, write_bundle
from repropack.model import Role

place = {}
def seal(manifest, offset):
    place.update(offset=offset, size=len(manifest))
    return b"{}"
readme = MemberSource(path="README.md", role=Role.DOCUMENT, content=b"")
big = MemberSource(path="w", role=Role.WEIGHTS, content=Path(sys.argv[1]))
written = write_bundle(Path(sys.argv[2]), [readme, big], seal=seal)
with open_bundle(written.path) as bundle:
    listed = bundle.read_manifest(sha256=written.manifest_sha256, **place)
    listed.verify().extract(Path(sys.argv[3]), select=lambda member: member.path == "README.md")
# Unlike ru_maxrss this does not count what the parent had before exec.
status = Path("/proc/self/status").read_text().splitlines()
print(next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.touch()
    peaks = []
    for size in (64 << 20, 1 << 30):
        os.truncate(weights, size)  # sparse: the content costs the test no disk
        arguments = [weights, tmp_path / "x.rpk", tmp_path / f"out-{size}"]
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, *arguments], check=True, capture_output=True
        )
        peaks.append(int(done.stdout))
    assert max(peaks) <= 300
    assert peaks[1] <= peaks[0] * 1.5
