# SPDX-License-Identifier: Apache-2.0
"""The one door for files that must be whole or absent.

A file gets its final name only after its bytes are on the disk: temporary name in the same
directory, fsync of the file, rename, fsync of the directory. Any failure leaves what was there
before, and no temporary file. Only SIGKILL and a power cut leave one, `.NAME.….partial`: its writer
holds a lock on it, which ends with the process, so that the next one can tell and removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

__all__ = [
    "UnconfirmedError",
    "append_line",
    "create_partial",
    "remove_abandoned",
    "replacing",
    "sync_directory",
    "sync_tree",
    "write_file",
]

_SUFFIX: Final = ".partial"

_NAME_BYTES: Final = 100
"""Bytes of the final name in a temporary one: NAME_MAX is 255 (limits.h)."""


class UnconfirmedError(OSError):
    """A file is whole and in its place, but the disk has not confirmed its name.

    A process sees the new file; after a power cut the old one, or none, may be there again.
    """


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o644) -> Iterator[BinaryIO]:
    """Opens a new file for writing that takes the name `path` when the block ends well.

    Args:
        path: The final name. An existing file is replaced in one step, or kept if the block fails.
        mode: Permission bits, before the umask.

    Yields:
        A binary file, unbuffered beyond Python's own buffer, open for writing.

    Raises:
        UnconfirmedError: The new file is in place, but may not survive a power cut.
        OSError: The file could not be written or renamed, or a device, a pipe, a socket or a
            directory has its name; nothing has changed then.
    """
    _refuse_special(path)
    temporary, descriptor = create_partial(path.parent, path.name, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        # On a disk that has gone this fails too; why we are here says more.
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_directory(path.parent)


def _refuse_special(path: Path) -> None:
    """Refuses to put a file in the place of a device: `/dev/null` would be gone for everybody.

    Raises:
        OSError: Something else than a regular file has this name, or a link leads to it.
    """
    try:
        found = os.stat(path).st_mode
    except OSError:
        return
    if stat.S_ISDIR(found):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found):
        raise OSError(errno.EEXIST, "a device, a pipe or a socket has this name", str(path))


def create_partial(directory: Path, name: str, mode: int) -> tuple[Path, int]:
    """Makes and locks the temporary file of a file that will have a name there.

    Returns:
        Its path, and a descriptor for reading and writing.

    Raises:
        OSError: It cannot be made.
    """
    stem = os.fsdecode(os.fsencode(name)[:_NAME_BYTES])
    while True:
        path = directory / f".{stem}.{os.urandom(6).hex()}{_SUFFIX}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, mode)
        # A file system without locks: then nobody can tell, and nothing is removed.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        # Another process took it for abandoned before it was locked.
        os.close(descriptor)


def remove_abandoned(directory: Path, name: str = "") -> None:
    """Removes temporary files that killed processes left: those that nobody holds a lock on.

    What cannot be removed stays; it is litter, and nobody reads it.

    Args:
        directory: Where they are.
        name: The final name that they were for, or an empty string for all.
    """
    prefix = f".{os.fsdecode(os.fsencode(name)[:_NAME_BYTES])}." if name else "."
    try:
        found = [
            entry
            for entry in os.listdir(directory)
            if entry.startswith(prefix) and entry.endswith(_SUFFIX)
        ]
    except OSError:
        return
    for entry in found:
        if name and len(entry) != len(prefix) + 12 + len(_SUFFIX):
            # It is for another name that begins with this one.
            continue
        with contextlib.suppress(OSError):
            _remove_unlocked(directory / entry)


def _remove_unlocked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)
    finally:
        os.close(descriptor)


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
        data = line.rstrip(b"\n") + b"\n"
        if os.write(descriptor, data) != len(data):
            # The rest would be a second write, and another process's line may stand between.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Makes a rename in the directory survive a power cut.

    Raises:
        UnconfirmedError: The directory could not be synced.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnconfirmedError(
            error.errno, f"{path}: written, but may not survive a power cut: {error.strerror}"
        ) from error


def sync_tree(directory: Path) -> None:
    """Makes all files and directories below one survive a power cut; for few and small ones.

    Raises:
        OSError: Something could not be read or synced.
    """
    for parent, _, files in os.walk(directory, topdown=False):
        for name in files:
            descriptor = os.open(
                os.path.join(parent, name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
            )
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_directory(Path(parent))
