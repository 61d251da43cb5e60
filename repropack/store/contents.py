# SPDX-License-Identifier: Apache-2.0
"""Contents by SHA-256: what a later run cannot overwrite."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Final

from repropack import digest, durable
from repropack.store.index import FileStamp, HashedFile

__all__ = ["Contents", "copy_hashing", "stamp_of"]


_FICLONE: Final = 0x40049409
"""ioctl of linux/fs.h: share the blocks of another file (Btrfs, XFS, bcachefs)."""


class Contents:
    """Files named by the SHA-256 of their content. Constructing it touches nothing."""

    def __init__(self, directory: Path) -> None:
        self.directory: Final = directory

    def path(self, sha256: str) -> Path:
        """Where content with a digest is, or would be."""
        return self.directory / sha256[:2] / sha256[2:]

    def put(self, data: bytes) -> str:
        """Keeps bytes and returns their digest.

        Raises:
            OSError: The store cannot be written.
        """
        sha256 = digest.sha256_hex(data)
        path = self.path(sha256)
        if not _is_whole(path, len(data)):
            path.parent.mkdir(parents=True, exist_ok=True)
            durable.write_file(path, data, mode=0o444)
        return sha256

    def keep(self, source: Path) -> HashedFile:
        """Keeps a copy of a file, so that a later run cannot overwrite it.

        Blocks are shared with the original where the file system can do that. Copy and digest are
        of one reading, so the digest is that of what is kept. Its name is on the disk for good
        only when `finish_run` returns: one sync of a directory serves all its files.

        Raises:
            OSError: It cannot be read or copied, or is no regular file.
        """
        reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            status = os.fstat(reader)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", str(source))
            temporary, writer = durable.create_partial(self.directory, "kept", 0o444)
            try:
                try:
                    sha256, size = copy_hashing(reader, writer)
                    os.fsync(writer)
                finally:
                    os.close(writer)
                path = self.path(sha256)
                if _is_whole(path, size):
                    os.unlink(temporary)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    os.rename(temporary, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            # The stamp from before: what is written meanwhile has not this digest.
            return HashedFile(sha256=sha256, size=size, stamp=stamp_of(status))
        finally:
            os.close(reader)

    def sync(self, digests: Collection[str]) -> None:
        """Makes the names of contents survive a power cut.

        Raises:
            OSError: The disk refuses.
        """
        for directory in {self.path(sha256).parent for sha256 in digests}:
            durable.sync_directory(directory)
        if digests:
            durable.sync_directory(self.directory)


def _is_whole(path: Path, size: int) -> bool:
    """Whether a kept file is there and was not cut short by a disk that lost what it confirmed."""
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


def stamp_of(status: os.stat_result) -> FileStamp:
    """The stamp of a file from its stat."""
    return FileStamp(
        status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev
    )


def copy_hashing(reader: int, writer: int) -> tuple[str, int]:
    """Copies an open file to another, sharing its blocks if possible: digest and size of the copy.

    Raises:
        OSError: It cannot be read or written.
    """
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError:
        running = digest.new_sha256()
        buffer = memoryview(bytearray(digest.CHUNK))
        total = 0
        while count := os.readv(reader, [buffer]):
            running.update(buffer[:count])
            written = 0
            while written < count:
                written += os.write(writer, buffer[written:count])
            total += count
        return running.hexdigest(), total
    return digest.hash_descriptor(writer)
