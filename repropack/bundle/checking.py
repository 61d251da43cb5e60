# SPDX-License-Identifier: Apache-2.0
"""Checks every byte of the members: headers, contents, padding (specification section 4).

Frames are decoded by a few threads, which also check what lies wholly in their frame. They take
turns at the digest of a member that spans frames, each right after it decoded a piece.
"""

from __future__ import annotations

import bisect
import contextlib
from collections.abc import Callable, Sequence

from repropack.bundle.container import Frames
from repropack.bundle.limits import FRAME_CONTENT
from repropack.bundle.pipeline import Buffers, Turns, in_order, worker_count
from repropack.bundle.tar_layer import ZEROS, Layout, member_header
from repropack.digest import new_sha256, sha256_hex
from repropack.findings import Code, DefectError
from repropack.model import Member

__all__ = ["check_digest", "check_members"]


def check_members(
    stored: Frames,
    members: Sequence[Member],
    layout: Layout,
    *,
    workers: int | None,
    progress: Callable[[int], None] | None,
) -> None:
    """Compares everything before `manifest.json` with what the manifest says.

    Raises:
        DefectError: The first defect, in the order of the file.
        RepropackError: The file cannot be read.
    """
    buffers = Buffers(min(FRAME_CONTENT, layout.end))
    turns = Turns()
    spanning = _SpanningMember()

    def check(index: int) -> int:
        with turns.job(index):
            buffer = buffers.take()
            start = stored.starts[index]
            first = bisect.bisect_right(layout.headers, start) - 1
            size = len(stored.frame(index, members[first].path, buffer))
            pieces = _check_frame(buffer, size, start, members, layout, first=first)
            with turns.turn(index):
                for member, piece in pieces:
                    spanning.update(member, piece)
            buffers.give(buffer)
            return size

    count = bisect.bisect_left(stored.starts, layout.end)
    # What is read ahead is given up first: a thread may be waiting for it.
    with (
        contextlib.closing(in_order(range(count), check, workers=worker_count(workers))) as checked,
        stored.ahead(range(count)),
    ):
        for size in checked:
            if progress is not None:
                progress(size)


class _SpanningMember:
    """The digest of the member whose pieces come frame by frame."""

    def __init__(self) -> None:
        self._running = new_sha256()
        self._hashed = 0

    def update(self, member: Member, piece: memoryview) -> None:
        self._running.update(piece)
        self._hashed += len(piece)
        if self._hashed == member.size:
            check_digest(member, self._running.hexdigest())
            self._running = new_sha256()
            self._hashed = 0


def check_digest(member: Member, found: str) -> None:
    """Compares a member's digest with the manifest's.

    Raises:
        DefectError: `MEMBER_DIGEST`.
    """
    if found != member.sha256:
        raise DefectError(
            Code.MEMBER_DIGEST,
            member.path,
            found=f"sha256:{found}",
            expected=f"sha256:{member.sha256}",
        )


_Piece = tuple[Member, memoryview]
"""Part of a member that begins or ends in another frame."""


def _check_frame(
    frame: bytearray,
    size: int,
    start: int,
    members: Sequence[Member],
    layout: Layout,
    *,
    first: int,
) -> list[_Piece]:
    """Checks what lies wholly in the first `size` bytes of a frame; returns the other pieces.

    The frame begins at `start` of the tar stream, in the member number `first`.
    """
    view = memoryview(frame)[:size]
    pieces: list[_Piece] = []
    # All offsets below are relative to the frame and may lie outside it.
    following = layout.headers[first] - start
    for number in range(first, len(members)):
        member = members[number]
        header_at = following
        if header_at >= size:
            break
        content_at = layout.contents[number] - start
        content_end = content_at + member.size
        following = content_end + -content_end % len(ZEROS)
        if content_at > 0:
            header = member_header(member.path, member.size, executable=member.executable)
            if not _is_at(frame, size, header, header_at):
                raise DefectError(Code.TAR_HEADER, member.path)
        if content_at >= 0 and content_end <= size:
            check_digest(member, sha256_hex(view[content_at:content_end]))
        elif content_at < size and content_end > 0:
            pieces.append((member, view[max(content_at, 0) : content_end]))
        if not _is_at(frame, size, ZEROS[: following - content_end], content_end):
            raise DefectError(Code.TAR_PADDING, member.path)
    return pieces


def _is_at(frame: bytearray, size: int, expected: bytes, offset: int) -> bool:
    """Whether a frame has these bytes there, as far as they lie in its first `size` bytes."""
    if offset < 0:
        expected = expected[-offset:]
        offset = 0
    if offset + len(expected) > size:
        expected = expected[: max(size - offset, 0)]
    return not expected or frame.startswith(expected, offset)
