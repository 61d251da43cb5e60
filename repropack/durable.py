# SPDX-License-Identifier: Apache-2.0
"""The one door for files that must be whole or absent.

A file gets its final name only after its bytes are on the disk: temporary name in the same
directory, fsync of the file, rename, fsync of the directory. Any failure leaves what was there
before, and no temporary file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["append_line", "replacing", "sync_directory", "write_file"]


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Opens a new file for writing that takes the name `path` when the block ends well.

    Args:
        path: The final name. An existing file is replaced in one step, or kept if the block fails.
        mode: Permission bits, before the umask.

    Yields:
        A binary file, unbuffered beyond Python's own buffer, open for writing.

    Raises:
        OSError: The file could not be written or renamed; nothing has changed then. If only the
            last fsync of the directory fails, the new file is in place but may not survive a
            power cut; the error says so.
    """
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.partial")
    descriptor = os.open(
        temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def write_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Writes a whole file, durably and in one step.

    Raises:
        OSError: As `replacing`.
    """
    with replacing(path, mode=mode) as file:
        file.write(data)


def append_line(path: Path, line: bytes, *, mode: int = 0o644) -> None:
    """Appends one line by a single write, so that two processes cannot mix theirs, and syncs it.

    Raises:
        OSError: It could not be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode)
    try:
        os.write(descriptor, line.rstrip(b"\n") + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Makes a rename in the directory survive a power cut.

    Raises:
        OSError: The directory could not be synced.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(
            error.errno, f"{path}: written, but may not survive a power cut: {error.strerror}"
        ) from error
    finally:
        os.close(descriptor)
