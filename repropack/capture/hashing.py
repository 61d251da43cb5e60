# SPDX-License-Identifier: Apache-2.0
"""Hashing many files at once: large ones in threads, thousands of small ones in processes.

OpenSSL hashes without Python's lock, but opening a small file and asking for its size takes longer
than its digest, and holds the lock: for small files two threads are slower than one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Final

from repropack import digest, process
from repropack.parallel import each
from repropack.process import ProcessFailedError
from repropack.store import FileStamp, HashedFile
from repropack.store.contents import stamp_of

__all__ = ["hash_files", "hash_path"]

SLICE_FILES: Final = 8192
SLICE_BYTES: Final = 2**30
"""What is hashed in one go: a second's work at most, for nobody waits longer after Ctrl-C."""

FEW: Final = 1000
"""Files for which no process is started, which would take some 20 ms."""


def hash_path(
    path: str | os.PathLike[str], stopped: Callable[[], bool] | None = None
) -> HashedFile:
    """Hashes a file and stamps it.

    Raises:
        OSError: It cannot be read, is no regular file, or was written meanwhile; or `stopped`,
            which is asked after each mebibyte, says that it is not wanted any more.
    """
    sha256, size, status = digest.hash_and_stat(path, stopped=stopped)
    return HashedFile(sha256=sha256, size=size, stamp=stamp_of(status))


def hash_files(
    files: Sequence[tuple[str, int]],
    *,
    stopped: Callable[[], bool],
    advance: Callable[[int], None],
) -> list[HashedFile | None]:
    """Hashes files on all processors.

    Args:
        files: Path and presumed size of each.
        stopped: Asked before each slice of them, and within large files; then no more is read.
        advance: Told of the bytes of a slice that was read, from any thread.

    Returns:
        For each file its digest, or None: it cannot be read, is no regular file, or came too late.
    """

    def hash_slice(part: Sequence[tuple[str, int]]) -> list[HashedFile | None]:
        if stopped():
            return [None] * len(part)
        paths = [path for path, _ in part]
        hashed = _hash_here(paths, stopped) if len(part) < FEW else _hash_apart(paths, stopped)
        advance(sum(size for _, size in part))
        return hashed

    workers = len(os.sched_getaffinity(0))
    slices = each(hash_slice, _slices(files, workers), workers=workers)
    return [hashed for part in slices for hashed in part]


def _slices(files: Sequence[tuple[str, int]], workers: int) -> list[Sequence[tuple[str, int]]]:
    """Cuts a list so that every processor has something to do, and none too much at once."""
    # As many for each processor, and equally long ones.
    rounds = max(1, -(-len(files) // (SLICE_FILES * workers)))
    most = max(1, -(-len(files) // (rounds * workers)))
    slices = []
    start = size = 0
    for number, (_, length) in enumerate(files):
        if number > start and (number - start == most or size + length > SLICE_BYTES):
            slices.append(files[start:number])
            start, size = number, 0
        size += length
    return [*slices, files[start:]] if files else []


def _hash_here(paths: Sequence[str], stopped: Callable[[], bool]) -> list[HashedFile | None]:
    hashed: list[HashedFile | None] = []
    for path in paths:
        try:
            hashed.append(hash_path(path, stopped))
        except OSError:
            hashed.append(None)
    return hashed


def _hash_apart(paths: Sequence[str], stopped: Callable[[], bool]) -> list[HashedFile | None]:
    """The same in a process of its own; here if there can be none (a limit, a killer)."""
    try:
        done = process.run(
            [sys.executable, "-I", "-S", digest.__file__],
            environment={},
            stdin=b"\0".join(map(os.fsencode, paths)),
        )
    except ProcessFailedError:
        return _hash_here(paths, stopped)
    return [_parse(line) for line in done.stdout.decode("ascii").splitlines()]


def _parse(line: str) -> HashedFile | None:
    if line == digest.UNREADABLE:
        return None
    sha256, size, *stamp = line.split(" ")
    return HashedFile(sha256=sha256, size=int(size), stamp=FileStamp(*map(int, stamp)))
