# SPDX-License-Identifier: Apache-2.0
"""An open `.rpk` file: its frames, read and decoded one by one, from any thread.

Knows zstd and the seek table, and nothing of members (docs/spec/rpk-v1.md, section 3).
"""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

from repropack.bundle.frames import (
    FOOTER,
    FRAME_MAGIC,
    FrameDecoder,
    SeekTable,
    decode_seek_table,
    frame_count,
    seek_table_size,
)
from repropack.bundle.limits import MAX_FRAME_STORED
from repropack.errors import RepropackError, UsageError
from repropack.findings import Code, DefectError

__all__ = ["Container", "open_container"]


class Container:
    """The frames of an open file.

    Attributes:
        size: Bytes of the file when it was opened.
        table: Where its frames lie. Only its form was checked.
    """

    def __init__(self, descriptor: int, size: int, table: SeekTable) -> None:
        self._descriptor = descriptor
        self._decoder = FrameDecoder()
        self._threads = threading.local()
        self.size = size
        self.table = table

    def frame(self, index: int, subject: str, buffer: bytearray | None = None) -> memoryview:
        """The content of a frame.

        Args:
            index: Which frame, from 0.
            subject: The member that lies there, for the finding.
            buffer: At least as many bytes as the frame has, to reuse; None for a new buffer.

        Raises:
            DefectError: The frame has a form that is not allowed, or does not decode to the size
                that the seek table states.
            RepropackError: The file cannot be read.
        """
        if buffer is None:
            buffer = bytearray(self.table.sizes[index])
        content = memoryview(buffer)[: self.table.sizes[index]]
        stored = getattr(self._threads, "stored", None)
        if stored is None:
            stored = self._threads.stored = memoryview(bytearray(MAX_FRAME_STORED))
        start = self.table.offsets[index]
        frame = stored[: self.table.offsets[index + 1] - start]
        _read_into(self._descriptor, frame, start)
        self._decoder.decode(frame, content, subject)
        return content

    def close(self) -> None:
        """Closes the file; closing twice does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def open_container(path: Path) -> Container:
    """Opens a file and reads its seek table.

    Raises:
        UsageError: There is no such file, or it is not a regular file.
        DefectError: It is no `.rpk` file, was cut off, or its seek table does not describe it.
        RepropackError: It cannot be read.
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
        return Container(descriptor, status.st_size, _read_table(descriptor, status.st_size))
    except BaseException:
        os.close(descriptor)
        raise


def _read_table(descriptor: int, size: int) -> SeekTable:
    if size < len(FRAME_MAGIC) or _read(descriptor, len(FRAME_MAGIC), 0) != FRAME_MAGIC:
        raise DefectError(Code.NOT_RPK)
    if size < len(FRAME_MAGIC) + FOOTER.size:
        raise DefectError(Code.TRUNCATED, found=f"{size} bytes")
    count = frame_count(_read(descriptor, FOOTER.size, size - FOOTER.size))
    length = seek_table_size(count)
    if length > size:
        raise DefectError(Code.SEEK_TABLE, found=f"{count} frames in a file of {size} bytes")
    return decode_seek_table(_read(descriptor, length, size - length), count, size)


def _read(descriptor: int, count: int, offset: int) -> bytes:
    data = bytearray(count)
    _read_into(descriptor, memoryview(data), offset)
    return bytes(data)


def _read_into(descriptor: int, view: memoryview, offset: int) -> None:
    """Fills a buffer from an offset at which the file had that many bytes when it was opened."""
    while view:
        try:
            count = os.preadv(descriptor, [view], offset)
        except OSError as error:
            raise RepropackError(f"the file cannot be read: {error.strerror or error}") from error
        if not count:
            raise DefectError(Code.TRUNCATED, found="the file became shorter while it was read")
        view = view[count:]
        offset += count
