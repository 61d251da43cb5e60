# SPDX-License-Identifier: Apache-2.0
"""Turns sources into frames: which bytes belong where, then read, hash, compress and store them.

All of it is done to a frame by one thread, while its bytes are in that processor's cache.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from repropack.bundle.frames import FrameEncoder
from repropack.bundle.limits import FRAME_CONTENT, MAX_FRAME_STORED, OWN_FRAMES
from repropack.bundle.pipeline import Buffers, Turns
from repropack.bundle.reuse import EarlierBundles, EarlierContent, FrameNotes, KnownBundle
from repropack.bundle.source_files import (
    SourceFile,
    changed,
    open_source_file,
    read_source_file,
)
from repropack.bundle.tar_layer import ZEROS, member_header, padding
from repropack.digest import new_sha256, sha256_hex
from repropack.errors import RepropackError
from repropack.model import Member, Role

__all__ = ["FramesDifferError", "MemberSource", "Packer", "StoredFrame"]

SMALL: Final = 256 * 1024
"""Bytes up to which a file is read while frames are planned."""


class FramesDifferError(Exception):
    """A frame was made again and is not what a note about an earlier bundle says."""


class MemberSource(Struct, frozen=True, kw_only=True):
    """A file that becomes a member.

    Attributes:
        path: Its logical path in the bundle.
        content: The file to read, or the content itself.
        sha256: The digest that the content must have, where it is known beforehand.
    """

    path: str
    role: Role
    content: Path | bytes
    executable: bool = False
    sha256: str | None = None


class StoredFrame(NamedTuple):
    """A frame in the file: an entry of the seek table."""

    size: int
    content_size: int


class _Extent(Struct, frozen=True):
    """A part of a large file, and where in its frame it goes.

    Attributes:
        offset: Of its first byte in the file.
        position: Of its first byte in the frame.
    """

    file: SourceFile
    offset: int
    size: int
    position: int


class PlannedFrame(Struct, frozen=True, kw_only=True):
    """A frame of members, complete but for the extents, which are read when it is packed."""

    number: int
    buffer: bytearray
    size: int
    extents: tuple[_Extent, ...]

    @property
    def large(self) -> _Extent | None:
        """The part of a large file, if the frame holds one and so nothing else."""
        only = self.extents[0] if self.extents else None
        return only if only is not None and only.file.size >= OWN_FRAMES else None


class Packer:
    """Makes the frames of a bundle from its sources.

    Args:
        sources: The members, in archive order.
        store: Appends a frame to the file and returns its size.
        earlier: Bundles that may hold some of the frames; None to make all of them.

    Attributes:
        content_size: Bytes of the tar stream that `plan` has planned.
    """

    def __init__(
        self,
        sources: Sequence[MemberSource],
        store: Callable[[bytes | memoryview], int],
        earlier: EarlierBundles | None,
    ) -> None:
        self._sources = sources
        self._store = store
        self._earlier = earlier
        self._notes = FrameNotes() if earlier is not None else None
        self._known: dict[int, EarlierContent] = {}
        self._first_frames: dict[int, int] = {}
        self._sizes: list[int] = []
        self._digests: dict[int, str] = {}
        self._encoder = FrameEncoder()
        self._buffers = Buffers(MAX_FRAME_STORED)
        self._hashing = Turns()
        self._storing = Turns()
        self._running = new_sha256()
        self.content_size = 0

    def plan(self) -> Iterator[PlannedFrame]:
        """Cuts headers, contents and padding of all members into frames.

        Small files are read at once: threads that make short system calls side by side spend more
        time on waiting for the interpreter than on the calls.

        Raises:
            RepropackError: A source is missing, no regular file, or changed.
        """
        frame = _Filling(0, 0, self._buffers)
        for number, source in enumerate(self._sources):
            if isinstance(source.content, bytes):
                size = len(source.content)
                self._digests[number] = sha256_hex(source.content)
                frame = yield from frame.append(self._header(source, size))
                if size >= OWN_FRAMES:
                    frame = yield from frame.ended()
                frame = yield from frame.append(source.content)
            else:
                path = os.fspath(source.content)
                descriptor, file = open_source_file(number, path)
                try:
                    size = file.size
                    header = self._header(source, size)
                    if size <= SMALL and len(header) + size <= frame.room:
                        frame.put(header)
                        piece = frame.take(size)
                        read_source_file(descriptor, file, 0, piece)
                        self._digests[number] = sha256_hex(piece)
                    else:
                        frame = yield from frame.append(header)
                        if size >= OWN_FRAMES:
                            frame = yield from frame.ended()
                            self._begin_large(file, source, frame.number)
                        frame = yield from frame.append_file(file)
                finally:
                    os.close(descriptor)
            frame = yield from frame.append(ZEROS[: padding(size)])
            if size >= OWN_FRAMES:
                frame = yield from frame.ended()
        frame = yield from frame.ended()
        self.content_size = frame.start

    def pack(self, planned: PlannedFrame) -> StoredFrame:
        """Reads, hashes, compresses and stores a frame of members, or copies it; from any thread.

        Raises:
            AbandonedError: An earlier frame could not be packed.
            RepropackError: A source cannot be read, or changed.
            FramesDifferError: What is known of an earlier bundle is wrong.
            OSError: It could not be stored.
        """
        with self._hashing.job(planned.number), self._storing.job(planned.number):
            copied = self._copied(planned)
            spanning = [] if copied is not None else self._read(planned)
            with self._hashing.turn(planned.number):
                for extent, piece in spanning:
                    self._hash_spanning(extent, piece)
            stored = copied if copied is not None else self._encoded(planned)
            self._note(planned, stored)
            with self._storing.turn(planned.number):
                size = self._store(stored)
            self._buffers.give(planned.buffer)
            return StoredFrame(size, planned.size)

    def pack_section(self, content: bytes) -> Iterator[StoredFrame]:
        """Stores the frames of a section that is in memory."""
        view = memoryview(content)
        for start in range(0, len(view), FRAME_CONTENT):
            piece = view[start : start + FRAME_CONTENT]
            yield StoredFrame(self._store(self._encoder.encode(piece)), len(piece))

    def _copied(self, planned: PlannedFrame) -> memoryview | None:
        """The frame out of an earlier bundle, if there is one that holds it."""
        known = self._known_frame(planned)
        return None if known is None else known[0].copy(known[1], planned.buffer)

    def _read(self, planned: PlannedFrame) -> list[tuple[_Extent, memoryview]]:
        """Reads what lies in files; takes the digests of files that lie wholly in the frame.

        Returns:
            The parts of files whose digests have to wait for their turn.
        """
        view = memoryview(planned.buffer)
        spanning = []
        for extent in planned.extents:
            piece = view[extent.position : extent.position + extent.size]
            descriptor, file = open_source_file(extent.file.number, extent.file.path)
            try:
                if file.identity != extent.file.identity:
                    raise changed(file.path)
                read_source_file(descriptor, file, extent.offset, piece)
            finally:
                os.close(descriptor)
            if extent.size == file.size:
                self._digests[file.number] = sha256_hex(piece)
            elif file.number not in self._known:
                spanning.append((extent, piece))
        return spanning

    def _encoded(self, planned: PlannedFrame) -> bytes:
        """The frame, compressed. Of a known content it must be the frame that is known."""
        stored = self._encoder.encode(memoryview(planned.buffer)[: planned.size])
        known = self._known_frame(planned)
        if known is not None and not known[0].is_frame(known[1], stored):
            raise FramesDifferError
        return stored

    def _note(self, planned: PlannedFrame, stored: bytes | memoryview) -> None:
        """Notes a frame for later bundles, if the digest of its content is known beforehand."""
        large = planned.large
        sha256 = None if large is None else self._sources[large.file.number].sha256
        if self._notes is not None and sha256 is not None:
            self._notes.note(planned.number, sha256, stored)

    def _known_frame(self, planned: PlannedFrame) -> tuple[EarlierContent, int] | None:
        """What is known of a frame: a content, and which of its frames it is."""
        large = planned.large
        if large is None or large.file.number not in self._known:
            return None
        return self._known[large.file.number], large.offset // FRAME_CONTENT

    def members(self) -> tuple[Member, ...]:
        """The members with their digests; after the last frame was packed.

        Raises:
            RepropackError: A source does not have the digest that it should have.
        """
        members = []
        for number, (source, size) in enumerate(zip(self._sources, self._sizes, strict=True)):
            digest = self._digests[number]
            if source.sha256 is not None and source.sha256 != digest:
                raise RepropackError(
                    f"{source.path} has the SHA-256 {digest}, not the recorded {source.sha256}"
                )
            members.append(
                Member(
                    path=source.path,
                    size=size,
                    sha256=digest,
                    executable=source.executable,
                    role=source.role,
                )
            )
        return tuple(members)

    def known_bundle(self, path: Path, entries: Sequence[StoredFrame]) -> KnownBundle | None:
        """A note about the bundle, for later ones; after the last frame was packed.

        Args:
            path: Where it lies now.
            entries: All frames of the file, in order.
        """
        if self._notes is None:
            return None
        contents = [
            self._notes.content(self._digests[number], self._sizes[number], first, entries)
            for number, first in self._first_frames.items()
        ]
        return self._notes.bundle(path, contents)

    def _begin_large(self, file: SourceFile, source: MemberSource, frame: int) -> None:
        """Notes where the frames of a large file begin, and looks for them elsewhere."""
        if self._earlier is not None and source.sha256 is not None:
            self._first_frames[file.number] = frame
            known = self._earlier.find(source.sha256, file.size)
            if known is not None:
                self._known[file.number] = known
                self._digests[file.number] = source.sha256

    def _header(self, source: MemberSource, size: int) -> bytes:
        self._sizes.append(size)
        return member_header(source.path, size, executable=source.executable)

    def _hash_spanning(self, extent: _Extent, piece: memoryview) -> None:
        """Goes on with the digest of a file whose pieces come frame by frame."""
        if not extent.offset:
            self._running = new_sha256()
        self._running.update(piece)
        if extent.offset + extent.size == extent.file.size:
            self._digests[extent.file.number] = self._running.hexdigest()


class _Filling:
    """A frame while it is filled.

    Attributes:
        number: Which frame of the stream it is.
        start: Offset of its first byte in the stream.
        size: Bytes so far.
    """

    def __init__(self, number: int, start: int, buffers: Buffers) -> None:
        self._buffers = buffers
        self._buffer = buffers.take()
        self._view = memoryview(self._buffer)
        self._extents: list[_Extent] = []
        self.number = number
        self.start = start
        self.size = 0

    @property
    def room(self) -> int:
        """Bytes that still fit."""
        return FRAME_CONTENT - self.size

    def take(self, size: int) -> memoryview:
        """The next bytes of the frame, for the caller to fill; they must fit."""
        start = self.size
        self.size += size
        return self._view[start : self.size]

    def put(self, data: bytes | memoryview) -> None:
        """Adds bytes that fit."""
        self.take(len(data))[:] = data

    def append(self, data: bytes) -> Generator[PlannedFrame, None, _Filling]:
        """Adds bytes; yields each frame that they complete, and returns the one that is open."""
        frame = self
        view = memoryview(data)
        while len(view) >= frame.room:
            room = frame.room
            frame.put(view[:room])
            view = view[room:]
            frame = yield from frame.ended()
        frame.put(view)
        return frame

    def append_file(self, file: SourceFile) -> Generator[PlannedFrame, None, _Filling]:
        """Adds a file, to be read when its frames are packed; else as `append`."""
        frame = self
        offset = 0
        while offset < file.size:
            size = min(file.size - offset, frame.room)
            frame._extents.append(_Extent(file, offset, size, frame.size))
            frame.size += size
            offset += size
            if not frame.room:
                frame = yield from frame.ended()
        return frame

    def ended(self) -> Generator[PlannedFrame, None, _Filling]:
        """Ends the frame, unless it is empty; yields it, and returns the one that is open."""
        if not self.size:
            return self
        yield PlannedFrame(
            number=self.number,
            buffer=self._buffer,
            size=self.size,
            extents=tuple(self._extents),
        )
        return _Filling(self.number + 1, self.start + self.size, self._buffers)
