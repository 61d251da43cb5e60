# SPDX-License-Identifier: Apache-2.0
"""An open bundle: its frames, read and decoded one by one, from any thread.

Knows zstd and the seek table, and nothing of members (docs/spec/rpk-v1.md, section 3).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

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
from repropack.bundle.sources import Source
from repropack.findings import Code, DefectError

__all__ = ["Container", "Frames", "open_container"]


class Frames(Protocol):
    """The tar stream of a bundle before `manifest.json`, one frame at a time, from any thread.

    Attributes:
        starts: Offset of each frame in the tar stream, and of the end of the last. Frames of
            something else may follow those of the members.
    """

    @property
    def starts(self) -> Sequence[int]:
        """See `Frames`."""

    def frame(self, index: int, subject: str, buffer: bytearray | None = None) -> memoryview:
        """The content of a frame; see `Container.frame`."""

    def ahead(self, frames: Iterable[int]) -> AbstractContextManager[None]:
        """Says which frames will be asked for soon, each once, in about this order."""


class Container:
    """The frames of an open bundle, wherever its bytes are.

    Attributes:
        size: Bytes of the bundle when it was opened.
        table: Where its frames lie. Only its form was checked.
    """

    def __init__(self, source: Source, table: SeekTable) -> None:
        self._source = source
        self._decoder = FrameDecoder()
        self._threads = threading.local()
        self.size = source.size
        self.table = table

    @property
    def starts(self) -> Sequence[int]:
        """Offset of each frame in the tar stream; see `Frames`."""
        return self.table.starts

    def frame(self, index: int, subject: str, buffer: bytearray | None = None) -> memoryview:
        """The content of a frame.

        Args:
            index: Which frame, from 0.
            subject: The member that lies there, for the finding.
            buffer: At least as many bytes as the frame has, to reuse; None for a new buffer.

        Raises:
            DefectError: The frame has a form that is not allowed, or does not decode to the size
                that the seek table states.
            RepropackError: The bytes cannot be read.
        """
        size = self.table.content_size(index)
        content = memoryview(buffer if buffer is not None else bytearray(size))[:size]
        stored = getattr(self._threads, "stored", None)
        if stored is None:
            room = min(MAX_FRAME_STORED, self.size)
            stored = self._threads.stored = memoryview(bytearray(room))
        start = self.table.offsets[index]
        frame = stored[: self.table.offsets[index + 1] - start]
        self._source.read_into(frame, start)
        try:
            self._decoder.decode(frame, content, subject)
        except DefectError as error:
            place = self._source.place(start)
            if not place:
                raise
            finding = error.finding
            raise DefectError(
                finding.code,
                finding.subject,
                found=f"{finding.found} in {place}",
                expected=finding.expected,
            ) from error
        return content

    def ahead(self, frames: Iterable[int]) -> AbstractContextManager[None]:
        """Says which frames will be asked for soon, each once, in about this order."""
        offsets = self.table.offsets
        return self._source.ahead([(offsets[i], offsets[i + 1] - offsets[i]) for i in frames])

    def stored(self, index: int) -> bytes:
        """The bytes of a frame as they are stored.

        Raises:
            DefectError: The bundle became shorter.
            RepropackError: It cannot be read.
        """
        start = self.table.offsets[index]
        return _read(self._source, self.table.offsets[index + 1] - start, start)

    def close(self) -> None:
        """Closes the source; closing twice does nothing."""
        self._source.close()


def open_container(source: Source) -> Container:
    """Reads the seek table of a bundle. The container closes the source, this function does not.

    Raises:
        DefectError: It is no bundle, was cut off, or its seek table does not describe it.
        RepropackError: It cannot be read.
    """
    return Container(source, _read_table(source))


def _read_table(source: Source) -> SeekTable:
    size = source.size
    if size < len(FRAME_MAGIC) or _read(source, len(FRAME_MAGIC), 0) != FRAME_MAGIC:
        raise DefectError(Code.NOT_RPK, source.place(0))
    if size < len(FRAME_MAGIC) + FOOTER.size:
        raise DefectError(Code.TRUNCATED, source.place(0), found=f"{size} bytes")
    try:
        count = frame_count(_read(source, FOOTER.size, size - FOOTER.size))
        length = seek_table_size(count)
        if length > size:
            raise DefectError(Code.SEEK_TABLE, found=f"{count} frames in a file of {size} bytes")
        return decode_seek_table(_read(source, length, size - length), count, size)
    except DefectError as error:
        place = source.place(size - 1)
        if not place:
            raise
        finding = error.finding
        raise DefectError(
            finding.code,
            place,
            found=f"{finding.found}, so that it is not the last volume of these",
            expected=finding.expected,
        ) from error


def _read(source: Source, count: int, offset: int) -> bytes:
    data = bytearray(count)
    source.read_into(memoryview(data), offset)
    return bytes(data)
