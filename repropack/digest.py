# SPDX-License-Identifier: Apache-2.0
"""The one door for hashing: SHA-256 of bytes and of files.

`hashlib` calls OpenSSL, which uses the processor's SHA instructions and lets other threads run.

As a program, `python -I -S digest.py`, it reads paths with a NUL between them and prints a line for
each file: SHA-256, bytes read, and the size, the times of content and of status in nanoseconds, the
inode and the device that it had then; `-` where it cannot be read. So it imports nothing but what
Python brings.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CHUNK",
    "UNREADABLE",
    "hash_and_stat",
    "hash_descriptor",
    "hash_file",
    "hash_file_twice",
    "new_sha256",
    "sha256_hex",
]

CHUNK: Final = 1024 * 1024
"""Bytes read at a time: large enough to hide the call, small enough for the second-level cache."""

UNREADABLE: Final = "-"
"""The line of the program for a file that cannot be read or is no regular file."""


def new_sha256() -> hashlib._Hash:
    """A running SHA-256."""
    return hashlib.sha256()


def sha256_hex(data: bytes | bytearray | memoryview) -> str:
    """The SHA-256 of bytes in memory, as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def hash_descriptor(
    descriptor: int,
    buffer: bytearray | None = None,
    stopped: Callable[[], bool] | None = None,
) -> tuple[str, int]:
    """The SHA-256 of what an open file holds from its present position on, and the bytes read.

    Args:
        descriptor: A file descriptor open for reading.
        buffer: A buffer to reuse. Small files cost mostly its allocation.
        stopped: Asked after each chunk whether nobody waits for the digest any more.

    Raises:
        OSError: Reading failed, or was stopped.
    """
    running = hashlib.sha256()
    view = memoryview(buffer if buffer is not None else bytearray(CHUNK))
    total = 0
    while count := os.readv(descriptor, [view]):
        running.update(view[:count])
        total += count
        if stopped is not None and stopped():
            raise InterruptedError(errno.EINTR, "the reading was stopped")
    return running.hexdigest(), total


def hash_file(path: str | os.PathLike[str], buffer: bytearray | None = None) -> tuple[str, int]:
    """The SHA-256 and the size of a regular file.

    Raises:
        OSError: It cannot be read, or is not a regular file (a fifo would block for ever).
    """
    sha256, size, _ = hash_and_stat(path, buffer)
    return sha256, size


def hash_and_stat(
    path: str | os.PathLike[str],
    buffer: bytearray | None = None,
    stopped: Callable[[], bool] | None = None,
) -> tuple[str, int, os.stat_result]:
    """The SHA-256 of a regular file, the bytes read, and what stat said of it when that was done.

    Raises:
        OSError: As `hash_file`; or somebody wrote it meanwhile; or `stopped` said so.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise OSError(f"{os.fspath(path)} is not a regular file")
        if buffer is None and before.st_size < CHUNK:
            # Most of the time for a small file would be spent on clearing a buffer.
            buffer = bytearray(before.st_size + 1)
        sha256, size = hash_descriptor(descriptor, buffer, stopped)
        after = os.fstat(descriptor)
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            # Part of it may be old and part new.
            raise OSError(errno.EBUSY, "it was written while it was read", os.fspath(path))
        return sha256, size, after
    finally:
        os.close(descriptor)


def hash_file_twice(path: str | os.PathLike[str], algorithm: str) -> tuple[str, str]:
    """The SHA-256 of a regular file and, of the same reading, its digest by another algorithm.

    For lists that others published: nothing of ours rests on another digest than SHA-256.

    Raises:
        OSError: As `hash_file`.
    """
    other = hashlib.new(algorithm, usedforsecurity=False)
    running = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{os.fspath(path)} is not a regular file")
        view = memoryview(bytearray(CHUNK))
        while count := os.readv(descriptor, [view]):
            running.update(view[:count])
            other.update(view[:count])
    finally:
        os.close(descriptor)
    return running.hexdigest(), other.hexdigest()


def _main() -> None:
    buffer = bytearray(CHUNK)
    for path in sys.stdin.buffer.read().split(b"\0"):
        try:
            sha256, size, found = hash_and_stat(os.fsdecode(path), buffer)
        except OSError:
            line = UNREADABLE
        else:
            times = f"{found.st_mtime_ns} {found.st_ctime_ns}"
            line = f"{sha256} {size} {found.st_size} {times} {found.st_ino} {found.st_dev}"
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    _main()
