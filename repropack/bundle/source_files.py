# SPDX-License-Identifier: Apache-2.0
"""Files of the author's that become members: opened, looked at, and read as they then were."""

from __future__ import annotations

import os
import stat

from msgspec import Struct

from repropack.errors import RepropackError

__all__ = ["SourceFile", "changed", "open_source_file", "read_source_file"]


class SourceFile(Struct, frozen=True):
    """A source on the disk, as it was when its frames were planned."""

    number: int
    path: str
    size: int
    identity: tuple[int, ...]


def open_source_file(number: int, path: str) -> tuple[int, SourceFile]:
    """Opens a source and looks at it. The caller closes the descriptor.

    Raises:
        RepropackError: It is missing, or no regular file.
    """
    try:
        # Without O_NONBLOCK a fifo would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise RepropackError(f"cannot read {path}: it is not a regular file")
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise _unreadable(path, error) from error
    return descriptor, SourceFile(number, path, status.st_size, _identity(status))


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_source_file(descriptor: int, file: SourceFile, offset: int, view: memoryview) -> None:
    """Fills a buffer from a file, which must stay as it was when it was looked at.

    Raises:
        RepropackError: It cannot be read, or changed.
    """
    try:
        position = 0
        while position < len(view):
            count = os.preadv(descriptor, [view[position:]], offset + position)
            if not count:
                raise changed(file.path)
            position += count
        if _identity(os.fstat(descriptor)) != file.identity:
            raise changed(file.path)
    except OSError as error:
        raise _unreadable(file.path, error) from error


def _unreadable(path: str, error: OSError) -> RepropackError:
    return RepropackError(f"cannot read {path}: {error.strerror or error}")


def changed(path: str) -> RepropackError:
    """That a source is not what it was when it was looked at."""
    return RepropackError(
        f"{path} changed while it was read", advice="export again when nothing writes to it"
    )
