# SPDX-License-Identifier: Apache-2.0
"""Turns sources into frames: which bytes belong where, then read, hash and compress them.

A frame is read, hashed and compressed by one thread, while its bytes are in that processor's cache.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from repropack.bundle.frames import FrameEncoder
from repropack.bundle.limits import FRAME_CONTENT, OWN_FRAMES
from repropack.bundle.pipeline import Buffers, Turns
from repropack.bundle.tar_layer import ZEROS, member_header, padding
from repropack.digest import new_sha256, sha256_hex
from repropack.errors import RepropackError
from repropack.model import Member, Role

__all__ = ["MemberSource", "Packer", "Sink", "StoredFrame"]

SMALL: Final = 256 * 1024
"""Bytes up to which a file is read while frames are planned."""

WRITEBACK: Final = 32 * 1024 * 1024
"""Bytes after which the kernel is asked to begin writing: many, so that it writes in long runs."""


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


class StoredFrame(Struct, frozen=True, kw_only=True):
    """A compressed frame."""

    data: bytes
    content_size: int


class _File(Struct, frozen=True):
    """A source on the disk, as it was when its frames were planned."""

    number: int
    path: str
    size: int
    identity: tuple[int, ...]


class _Extent(Struct, frozen=True):
    """A part of a large file, and where in its frame it goes.

    Attributes:
        offset: Of its first byte in the file.
        position: Of its first byte in the frame.
    """

    file: _File
    offset: int
    size: int
    position: int


class PlannedFrame(Struct, frozen=True, kw_only=True):
    """A frame of members, complete but for the extents, which are read when it is packed."""

    number: int
    buffer: bytearray
    size: int
    extents: tuple[_Extent, ...]


class Packer:
    """Makes the frames of a bundle from its sources.

    Attributes:
        content_size: Bytes of the tar stream that `plan` has planned.
    """

    def __init__(self, sources: Sequence[MemberSource]) -> None:
        self._sources = sources
        self._sizes: list[int] = []
        self._digests: dict[int, str] = {}
        self._encoder = FrameEncoder()
        self._buffers = Buffers(FRAME_CONTENT)
        self._turns = Turns()
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
                descriptor, file = _open(number, path)
                try:
                    size = file.size
                    header = self._header(source, size)
                    if size <= SMALL and len(header) + size <= frame.room:
                        frame.put(header)
                        piece = frame.take(size)
                        _read(descriptor, file, 0, piece)
                        self._digests[number] = sha256_hex(piece)
                    else:
                        frame = yield from frame.append(header)
                        if size >= OWN_FRAMES:
                            frame = yield from frame.ended()
                        frame = yield from frame.append_file(file)
                finally:
                    os.close(descriptor)
            frame = yield from frame.append(ZEROS[: padding(size)])
            if size >= OWN_FRAMES:
                frame = yield from frame.ended()
        frame = yield from frame.ended()
        self.content_size = frame.start

    def pack(self, planned: PlannedFrame) -> StoredFrame:
        """Reads, hashes and compresses a frame of members; from any thread.

        Raises:
            RepropackError: A source cannot be read, or changed.
        """
        with self._turns.job(planned.number):
            view = memoryview(planned.buffer)[: planned.size]
            spanning: list[tuple[_Extent, memoryview]] = []
            for extent in planned.extents:
                piece = view[extent.position : extent.position + extent.size]
                descriptor, file = _open(extent.file.number, extent.file.path)
                try:
                    if file.identity != extent.file.identity:
                        raise _changed(file.path)
                    _read(descriptor, file, extent.offset, piece)
                finally:
                    os.close(descriptor)
                if extent.size == file.size:
                    self._digests[file.number] = sha256_hex(piece)
                else:
                    spanning.append((extent, piece))
            with self._turns.turn(planned.number):
                for extent, piece in spanning:
                    self._hash_spanning(extent, piece)
            stored = StoredFrame(data=self._encoder.encode(view), content_size=planned.size)
            self._buffers.give(planned.buffer)
            return stored

    def pack_section(self, content: bytes) -> Iterator[StoredFrame]:
        """The frames of a section that is in memory."""
        view = memoryview(content)
        for start in range(0, len(view), FRAME_CONTENT):
            piece = view[start : start + FRAME_CONTENT]
            yield StoredFrame(data=self._encoder.encode(piece), content_size=len(piece))

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


class Sink:
    """The file; what is in it goes to the disk early, so that the fsync at the end waits less.

    Attributes:
        size: Bytes so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._begun = 0
        self.size = 0

    def write(self, data: bytes) -> int:
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

    def append_file(self, file: _File) -> Generator[PlannedFrame, None, _Filling]:
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


def _open(number: int, path: str) -> tuple[int, _File]:
    """Opens a source and looks at it. The caller closes the descriptor."""
    try:
        # Without O_NONBLOCK a fifo would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise RepropackError(f"cannot read {path}: it is not a regular file")
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise _unreadable(path, error) from error
    return descriptor, _File(number, path, status.st_size, _identity(status))


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read(descriptor: int, file: _File, offset: int, view: memoryview) -> None:
    """Fills a buffer from a file, which must stay as it was when it was looked at."""
    try:
        position = 0
        while position < len(view):
            count = os.preadv(descriptor, [view[position:]], offset + position)
            if not count:
                raise _changed(file.path)
            position += count
        if _identity(os.fstat(descriptor)) != file.identity:
            raise _changed(file.path)
    except OSError as error:
        raise _unreadable(file.path, error) from error


def _unreadable(path: str, error: OSError) -> RepropackError:
    return RepropackError(f"cannot read {path}: {error.strerror or error}")


def _changed(path: str) -> RepropackError:
    return RepropackError(
        f"{path} changed while it was read", advice="export again when nothing writes to it"
    )
