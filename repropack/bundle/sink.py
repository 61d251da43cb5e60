# SPDX-License-Identifier: Apache-2.0
"""The file that a bundle is written to."""

from __future__ import annotations

import contextlib
import os
from typing import BinaryIO, Final

__all__ = ["Sink"]

WRITEBACK: Final = 32 * 1024 * 1024
"""Bytes after which the kernel is asked to begin writing: many, so that it writes in long runs."""


class Sink:
    """The file; what is in it goes to the disk early, so that the fsync at the end waits less.

    Attributes:
        size: Bytes so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._begun = 0
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        """Appends bytes and returns their number.

        Raises:
            OSError: They could not be written.
        """
        self._file.write(data)
        self.size += len(data)
        pending = self.size - self._begun
        if pending >= WRITEBACK and hasattr(os, "posix_fadvise"):
            # Linux takes this advice as a request to begin with the writing of dirty pages.
            with contextlib.suppress(OSError):
                os.posix_fadvise(self._file.fileno(), self._begun, pending, os.POSIX_FADV_DONTNEED)
            self._begun = self.size
        return len(data)
