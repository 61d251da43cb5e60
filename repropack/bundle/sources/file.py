# SPDX-License-Identifier: Apache-2.0
"""A regular file, opened once: what is swapped in under its name later is never read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from repropack.bundle.sources import Access, Location, Source
from repropack.errors import RepropackError, UsageError
from repropack.findings import Code, DefectError

__all__ = ["FileSource", "open_file", "open_source"]


class FileSource(Source):
    """An open descriptor, which this object closes."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.size = size

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fills a buffer from an offset; see `Source`."""
        while view:
            try:
                count = os.preadv(self._descriptor, [view], offset)
            except OSError as error:
                raise RepropackError(
                    f"the file cannot be read: {error.strerror or error}"
                ) from error
            if not count:
                raise DefectError(Code.TRUNCATED, found="the file became shorter while it was read")
            view = view[count:]
            offset += count

    def close(self) -> None:
        """Closes the file; closing twice does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_source(location: Location, access: Access) -> Source | None:
    """Opens a path; None for anything else.

    Raises:
        UsageError: As `open_file`.
    """
    del access
    return open_file(location) if isinstance(location, Path) else None


def open_file(path: Path) -> FileSource:
    """Opens a file.

    Raises:
        UsageError: There is no such file, or it is not a regular file.
    """
    try:
        # Without O_NONBLOCK a fifo would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"cannot open {path}: {error.strerror or error}") from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"{path} is not a regular file")
        return FileSource(descriptor, status.st_size)
    except BaseException:
        os.close(descriptor)
        raise
