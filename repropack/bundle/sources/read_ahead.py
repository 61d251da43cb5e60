# SPDX-License-Identifier: Apache-2.0
"""Asks a slow source for large chunks in advance, over a few connections, in bounded memory."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from repropack.bundle.limits import MAX_FRAME_STORED
from repropack.bundle.sources import Piece, Source
from repropack.http import HttpError

__all__ = ["ReadAhead"]

CHUNK: Final = 2 * MAX_FRAME_STORED
"""Bytes of one request, two frames: at 100 ms for a round trip and 100 MB/s the wait is half of
the time, and other connections use it."""

GAP: Final = 128 * 1024
"""Bytes between two pieces that are fetched and thrown away rather than asked around."""

CONNECTIONS: Final = 4
"""Requests at a time: enough to fill a line whose single streams are slow, and polite."""

CHUNKS: Final = CONNECTIONS + 2
"""Chunks in memory, asked for or arrived."""


class ReadAhead(Source):
    """Another source, read in advance where `ahead` says what will be needed.

    Args:
        source: The slow one; it is read from several threads, and closed with this object.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._plan: _Plan | None = None
        self.size = source.size

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fills a buffer from an offset; see `Source`."""
        plan = self._plan
        if plan is None or not plan.read_into(view, offset):
            self._source.read_into(view, offset)

    def close(self) -> None:
        """Closes the source."""
        self._source.close()

    @contextlib.contextmanager
    def ahead(self, pieces: Sequence[Piece]) -> Iterator[None]:
        """Begins to read; see `Source`.

        Ended before all pieces were read, it closes the source, so that no thread waits for a slow
        server any longer.
        """
        if not pieces:
            yield
            return
        plan = self._plan = _Plan(self._source, pieces)
        try:
            yield
        finally:
            self._plan = None
            if not plan.is_done():
                self._source.close()
            plan.close()

    def place(self, offset: int) -> str:
        """Where an offset lies; see `Source`."""
        return self._source.place(offset)


class _Chunk:
    """Neighbouring pieces that are fetched by one request."""

    def __init__(self, piece: Piece) -> None:
        self.start = piece[0]
        self.end = sum(piece)
        self.pieces = 1
        self.data: Future[bytearray] = Future()

    def add(self, piece: Piece) -> None:
        self.end = sum(piece)
        self.pieces += 1


def _cut(pieces: Sequence[Piece]) -> list[tuple[_Chunk, list[int]]]:
    """Groups pieces into chunks, each with the offsets of its pieces."""
    chunks: list[tuple[_Chunk, list[int]]] = []
    for piece in pieces:
        offset, length = piece
        if chunks:
            chunk, offsets = chunks[-1]
            if 0 <= offset - chunk.end <= GAP and offset + length - chunk.start <= CHUNK:
                chunk.add(piece)
                offsets.append(offset)
                continue
        chunks.append((_Chunk(piece), [offset]))
    return chunks


class _Plan:
    """Chunks that are fetched in order, some ahead of the reader."""

    def __init__(self, source: Source, pieces: Sequence[Piece]) -> None:
        # Nothing but the waiting and the unread pieces may hold a chunk: they hold its bytes.
        chunks = _cut(pieces)
        self._source = source
        self._waiting = [chunk for chunk, _ in reversed(chunks)]
        self._chunks = {offset: chunk for chunk, offsets in chunks for offset in offsets}
        self._lock = threading.Lock()
        self._closed = False
        self._pool = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="ahead")
        with self._lock:
            for _ in range(CHUNKS):
                self._fetch_next()

    def read_into(self, view: memoryview, offset: int) -> bool:
        """Fills a buffer, if the piece is one of the plan that was not read yet."""
        with self._lock:
            chunk = self._chunks.pop(offset, None)
        if chunk is None:
            return False
        data = chunk.data.result()
        start = offset - chunk.start
        view[:] = memoryview(data)[start : start + len(view)]
        with self._lock:
            chunk.pieces -= 1
            if not chunk.pieces:
                self._fetch_next()
        return True

    def is_done(self) -> bool:
        """Whether every piece was read."""
        with self._lock:
            return not self._chunks

    def close(self) -> None:
        """Ends what is in flight. Whoever waits for a piece is told."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, []
        for chunk in waiting:
            chunk.data.set_exception(HttpError("the transfer was given up"))
        self._pool.shutdown()

    def _fetch_next(self) -> None:
        if self._waiting and not self._closed:
            self._pool.submit(self._load, self._waiting.pop())

    def _load(self, chunk: _Chunk) -> None:
        try:
            if self._closed:
                raise HttpError("the transfer was given up")
            data = bytearray(chunk.end - chunk.start)
            self._source.read_into(memoryview(data), chunk.start)
        except BaseException as error:  # noqa: BLE001 - it is the reader's
            chunk.data.set_exception(error)
        else:
            chunk.data.set_result(data)
