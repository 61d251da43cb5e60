# SPDX-License-Identifier: Apache-2.0
"""Writes one sequence of bytes as volumes that get their names only when all of them are whole.

Many names cannot appear in one step. They appear from the last to the first, and the first is the
one that a reader names: until then there is no bundle. Volumes are never replaced, because a set
of old and new ones would be no bundle at all.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from repropack.bundle.sources.volumes import MAX_VOLUMES, volume_name, volume_number
from repropack.durable import create_partial, sync_directory
from repropack.errors import RepropackError

__all__ = ["existing_volumes", "new_volumes"]


def existing_volumes(destination: Path) -> list[Path]:
    """The volumes of a bundle that are there already.

    Raises:
        OSError: The directory cannot be read.
    """
    return sorted(
        destination.with_name(name)
        for name in os.listdir(destination.parent)
        if (split := volume_number(name)) and split[0] == destination.name
    )


@contextlib.contextmanager
def new_volumes(destination: Path, each: int) -> Iterator[BinaryIO]:
    """Opens volumes for writing, one after another.

    Args:
        destination: The name of the bundle, without a volume's number.
        each: Bytes of all volumes but the last.

    Yields:
        A file with `write`, `flush` and `fileno`.

    Raises:
        RepropackError: More than `MAX_VOLUMES` would be needed.
        UnconfirmedError: The volumes are in place, but may not survive a power cut.
        OSError: There are volumes of that name, or they cannot be written; nothing has changed.
    """
    present = existing_volumes(destination)
    if present:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(present[0]))
    volumes = _Volumes(destination, each)
    named: list[Path] = []
    try:
        yield cast("BinaryIO", volumes)
        volumes.end()
        for number, temporary in reversed(list(enumerate(volumes.temporary, 1))):
            final = destination.with_name(volume_name(destination.name, number))
            os.rename(temporary, final)
            named.append(final)
    except BaseException:
        volumes.abandon()
        for path in named:
            with contextlib.suppress(OSError):
                os.unlink(path)
        raise
    volumes.unlock()
    sync_directory(destination.parent)


class _Volumes:
    """Temporary files, filled one after another.

    Attributes:
        temporary: Their names, in order.
    """

    def __init__(self, destination: Path, each: int) -> None:
        self._destination = destination
        self._each = each
        self._room = 0
        self._files: list[BinaryIO] = []
        self.temporary: list[Path] = []

    def write(self, data: bytes | memoryview) -> int:
        """Appends bytes."""
        view = memoryview(data)
        while view:
            if not self._room:
                self._begin()
            piece = view[: self._room]
            self._files[-1].write(piece)
            self._room -= len(piece)
            view = view[len(piece) :]
        return len(data)

    def fileno(self) -> int:
        """The descriptor of the volume that is written."""
        return self._files[-1].fileno()

    def end(self) -> None:
        """Brings the last volume to the disk."""
        if self._files:
            self._files[-1].flush()
            os.fsync(self._files[-1].fileno())

    def unlock(self) -> None:
        """Closes the files; their locks said that somebody was at work."""
        for file in self._files:
            # All of them were synced: nothing that close could report is lost.
            with contextlib.suppress(OSError):
                file.close()

    def abandon(self) -> None:
        """Closes and removes everything that has a temporary name."""
        for file in self._files:
            with contextlib.suppress(OSError):
                file.close()
        for path in self.temporary:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _begin(self) -> None:
        self.end()
        if len(self._files) == MAX_VOLUMES:
            raise RepropackError(
                f"{self._destination.name} would have more than {MAX_VOLUMES} volumes "
                f"of {self._each} bytes",
                advice="choose larger ones",
            )
        path, descriptor = create_partial(self._destination.parent, self._destination.name, 0o644)
        self.temporary.append(path)
        self._files.append(os.fdopen(descriptor, "wb"))
        self._room = self._each
