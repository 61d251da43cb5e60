# SPDX-License-Identifier: Apache-2.0
"""Hashing of many files: threads and processes say the same, and what they cannot read is None."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest

from repropack.capture.hashing import FEW, hash_files
from repropack.store import HashedFile
from repropack.store.contents import stamp_of


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """More files than one thread is given, some with odd names, of zero to a few thousand bytes."""
    place = tmp_path_factory.mktemp("many")
    files = []
    for number in range(2 * FEW + 3):
        name = b"odd \xff\n%d" % number if number % 500 == 0 else b"%d" % number
        file = place / os.fsdecode(name)
        file.write_bytes(b"x" * number)
        files.append(file)
    return files


def _hash(files: list[Path], **given: object) -> tuple[list[HashedFile | None], int]:
    told: list[int] = []
    pairs = [(str(file), file.stat().st_size if file.exists() else 0) for file in files]
    stop = given.get("stop", False)
    found = hash_files(pairs, stopped=lambda: bool(stop), advance=told.append)
    return found, sum(told)


@pytest.mark.parametrize("count", [0, 1, 2, 50, FEW + 1, 2 * FEW + 3])
def test_every_file_has_its_digest_and_stamp(many: list[Path], count: int) -> None:
    found, told = _hash(many[:count])
    assert found == [
        HashedFile(
            sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
            size=file.stat().st_size,
            stamp=stamp_of(file.stat()),
        )
        for file in many[:count]
    ]
    assert told == sum(file.stat().st_size for file in many[:count])


@pytest.mark.parametrize("count", [3, 2 * FEW + 3])
def test_what_is_no_readable_file_is_none(many: list[Path], tmp_path: Path, count: int) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    files = [tmp_path / "missing", *many[: count - 3], fifo, tmp_path]
    found, _ = _hash(files)
    assert [place for place, one in enumerate(found) if one is None] == [0, count - 2, count - 1]


@pytest.mark.parametrize("count", [3, 2 * FEW + 3])
def test_once_stopped_nothing_is_read(many: list[Path], count: int) -> None:
    found, told = _hash(many[:count], stop=True)
    assert (found, told) == ([None] * count, 0)


def test_a_large_file_is_not_read_to_its_end_once_stopped(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(1 << 40)  # Without blocks: it would take half an hour to hash.
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(len(asked) > 10)
        return asked[-1]

    assert hash_files([(str(large), 1 << 40)], stopped=stopped, advance=lambda _: None) == [None]


def test_where_no_process_can_be_started_the_files_are_hashed_all_the_same(
    many: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = _hash(many)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert _hash(many)[0] == expected
