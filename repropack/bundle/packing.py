# SPDX-License-Identifier: Apache-2.0
"""Turns sources into frames: which bytes belong where, then read, hash and compress them.

A frame is read, hashed and compressed by one thread, while its bytes are in that processor's cache.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from repropack.bundle.frames import FrameEncoder
from repropack.bundle.limits import FRAME_CONTENT
from repropack.bundle.pipeline import Buffers, Turns
from repropack.bundle.tar_layer import ZEROS, member_header, padding
from repropack.digest import new_sha256, sha256_hex
from repropack.errors import RepropackError
from repropack.model import Member, Role

__all__ = ["MemberSource", "Packer", "Sink", "StoredFrame"]

EMPTY: Final = sha256_hex(b"")
"""The digest of a file of which nothing was read: it had no bytes."""

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
    path: Path
    size: int
    identity: tuple[int, ...]


class _Extent(Struct, frozen=True):
    """A part of a file."""

    file: _File
    offset: int
    size: int


_Part = memoryview | _Extent


class PlannedFrame(Struct, frozen=True):
    """What a frame of members holds, in order."""

    number: int
    parts: tuple[_Part, ...]


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

        Raises:
            RepropackError: A source is missing or no regular file.
        """
        parts: list[_Part] = []
        number = filled = 0
        for part in self._parts():
            rest: _Part | None = part
            while rest is not None:
                size = rest.size if isinstance(rest, _Extent) else len(rest)
                if not size:
                    break
                taken = min(size, FRAME_CONTENT - filled)
                piece, rest = _split(rest, taken)
                parts.append(piece)
                filled += taken
                self.content_size += taken
                if filled == FRAME_CONTENT:
                    yield PlannedFrame(number, tuple(parts))
                    parts, number, filled = [], number + 1, 0
        if filled:
            yield PlannedFrame(number, tuple(parts))

    def pack(self, planned: PlannedFrame) -> StoredFrame:
        """Reads, hashes and compresses a frame of members; from any thread.

        Raises:
            RepropackError: A source cannot be read, or changed.
        """
        with self._turns.job(planned.number):
            buffer = self._buffers.take()
            view = memoryview(buffer)
            position = 0
            spanning: list[tuple[_Extent, memoryview]] = []
            for part in planned.parts:
                if isinstance(part, _Extent):
                    piece = view[position : position + part.size]
                    _read(part, piece)
                    if part.size == part.file.size:
                        self._digests[part.file.number] = sha256_hex(piece)
                    else:
                        spanning.append((part, piece))
                    position += part.size
                else:
                    view[position : position + len(part)] = part
                    position += len(part)
            with self._turns.turn(planned.number):
                for extent, piece in spanning:
                    self._hash_spanning(extent, piece)
            stored = StoredFrame(data=self._encoder.encode(view[:position]), content_size=position)
            self._buffers.give(buffer)
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

    def _parts(self) -> Iterator[_Part]:
        for number, source in enumerate(self._sources):
            content: _Part
            if isinstance(source.content, bytes):
                content = memoryview(source.content)
                size = len(source.content)
                self._digests[number] = sha256_hex(source.content)
            else:
                file = _look_at(number, source.content)
                content = _Extent(file, 0, file.size)
                size = file.size
                self._digests[number] = EMPTY
            self._sizes.append(size)
            yield memoryview(member_header(source.path, size, executable=source.executable))
            yield content
            yield memoryview(ZEROS)[: padding(size)]

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


def _split(part: _Part, size: int) -> tuple[_Part, _Part | None]:
    """The first bytes of a part, and the rest if there is one."""
    if isinstance(part, _Extent):
        if part.size == size:
            return part, None
        return (
            _Extent(part.file, part.offset, size),
            _Extent(part.file, part.offset + size, part.size - size),
        )
    return part[:size], part[size:] if len(part) > size else None


def _look_at(number: int, path: Path) -> _File:
    try:
        status = os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise RepropackError(f"cannot read {path}: it is not a regular file")
    return _File(number, path, status.st_size, _identity(status))


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read(extent: _Extent, view: memoryview) -> None:
    """Fills a buffer from a file, which must be the one that was looked at."""
    path = extent.file.path
    try:
        # Without O_NONBLOCK a fifo that took the file's place would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            position = 0
            while position < extent.size:
                count = os.preadv(descriptor, [view[position:]], extent.offset + position)
                if not count:
                    raise _changed(path)
                position += count
            if _identity(os.fstat(descriptor)) != extent.file.identity:
                raise _changed(path)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RepropackError:
    return RepropackError(f"cannot read {path}: {error.strerror or error}")


def _changed(path: Path) -> RepropackError:
    return RepropackError(
        f"{path} changed while it was read", advice="export again when nothing writes to it"
    )
