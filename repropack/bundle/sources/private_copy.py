# SPDX-License-Identifier: Apache-2.0
"""Keeps what was read from far away, so that it is read once and cannot become something else."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import IO

from repropack.bundle.sources import Piece, Source
from repropack.errors import RepropackError

__all__ = ["PrivateCopy"]


class PrivateCopy(Source):
    """Another source, and a private file with the pieces of it that were read.

    Args:
        source: Where the bytes come from; closed with this object.
        file: A file that nobody else can open; closed too.

    Raises:
        RepropackError: The file system has no room for the source.
    """

    def __init__(self, source: Source, file: IO[bytes]) -> None:
        self._source = source
        self._file = file
        self._kept: set[Piece] = set()
        self._lock = threading.Lock()
        self.size = source.size
        room = os.fstatvfs(file.fileno())
        if source.size > room.f_bavail * room.f_frsize:
            file.close()
            raise RepropackError(
                f"there is no room for a private copy of {source.size} bytes",
                advice="TMPDIR names another directory for it",
            )

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fills a buffer from an offset; see `Source`."""
        piece = offset, len(view)
        try:
            if piece in self._kept:
                _fill(self._file.fileno(), view, offset)
                return
            self._source.read_into(view, offset)
            rest, at = view, offset
            while rest:
                count = os.pwrite(self._file.fileno(), rest, at)
                rest, at = rest[count:], at + count
        except OSError as error:
            raise RepropackError(
                f"the private copy failed: {error.strerror or error}",
                advice="TMPDIR names another directory for it",
            ) from error
        with self._lock:
            self._kept.add(piece)

    def close(self) -> None:
        """Closes the source, and removes the copy."""
        self._source.close()
        self._file.close()

    def ahead(self, pieces: Sequence[Piece]) -> AbstractContextManager[None]:
        """Asks for what is not here yet; see `Source`."""
        return self._source.ahead([piece for piece in pieces if piece not in self._kept])

    def place(self, offset: int) -> str:
        """Where an offset lies; see `Source`."""
        return self._source.place(offset)


def _fill(descriptor: int, view: memoryview, offset: int) -> None:
    while view:
        count = os.preadv(descriptor, [view], offset)
        if not count:
            raise OSError("it became shorter")
        view, offset = view[count:], offset + count
