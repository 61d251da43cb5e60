# SPDX-License-Identifier: Apache-2.0
"""A bundle with another attestation is the bundle that would have been written with it."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from repropack.bundle import MemberSource, VerifiedBundle, open_bundle, write_bundle
from repropack.bundle.limits import MAX_ATTESTATION
from repropack.digest import sha256_hex
from repropack.errors import RepropackError
from repropack.model import Role


def _write(path: Path, attestation: bytes) -> tuple[int, int, str]:
    """A bundle of several frames; where its manifest is, and which digest it has."""
    place: list[tuple[int, int, str]] = []

    def seal(manifest: bytes, offset: int) -> bytes:
        place.append((offset, len(manifest), sha256_hex(manifest)))
        return attestation

    noise = random.Random(1).randbytes(9_000_000)
    sources = [
        MemberSource(path="README.md", role=Role.DOCUMENT, content=b"# x\n"),
        MemberSource(path="weights/noise", role=Role.WEIGHTS, content=noise),
    ]
    write_bundle(path, sources, seal=seal)
    return place[0]


def _verified(path: Path, place: tuple[int, int, str]) -> VerifiedBundle:
    offset, size, sha256 = place
    return open_bundle(path).read_manifest(offset=offset, size=size, sha256=sha256).verify()


def test_it_has_the_bytes_of_a_bundle_written_so(tmp_path: Path) -> None:
    place = _write(tmp_path / "old.rpk", b'{"old":1}')
    _write(tmp_path / "new.rpk", b'{"new":"and longer"}')
    old = _verified(tmp_path / "old.rpk", place)
    copied: list[int] = []
    old.reseal(b'{"new":"and longer"}', tmp_path / "again.rpk", progress=copied.append)
    assert (tmp_path / "again.rpk").read_bytes() == (tmp_path / "new.rpk").read_bytes()
    assert len(copied) == 5
    # Its own file may be replaced while it is open.
    old.reseal(b'{"new":"and longer"}', tmp_path / "old.rpk")
    old._frames.close()  # type: ignore[attr-defined]
    assert (tmp_path / "old.rpk").read_bytes() == (tmp_path / "new.rpk").read_bytes()


def test_a_failure_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "old.rpk"
    old = _verified(path, _write(path, b'{"old":1}'))
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(RepropackError, match=r"cannot write .*: No space left"):
        old.reseal(b'{"new":1}', path, progress=full)
    with pytest.raises(RepropackError, match="allowed"):
        old.reseal(b"x" * (MAX_ATTESTATION + 1), path)
    old._frames.close()  # type: ignore[attr-defined]
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["old.rpk"]
