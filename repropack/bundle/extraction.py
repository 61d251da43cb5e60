# SPDX-License-Identifier: Apache-2.0
"""Takes members out of a bundle: into memory, or into a directory that is new or empty.

Digests are taken of what is handed over, not of what was read once before, so that a file that
is swapped after it was verified is noticed.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

from repropack.bundle.checking import check_digest
from repropack.bundle.container import Frames
from repropack.bundle.limits import FRAME_CONTENT
from repropack.bundle.pipeline import Buffers, in_order, worker_count
from repropack.digest import new_sha256
from repropack.errors import RepropackError, UsageError
from repropack.findings import Code, DefectError
from repropack.model import Member
from repropack.paths import create_beneath

__all__ = ["extract_members", "read_member"]


def read_member(stored: Frames, member: Member, content_at: int, limit: int) -> bytes:
    """The content of one member, with its digest checked.

    Args:
        stored: The members.
        member: Which.
        content_at: The offset of its content in the tar stream.
        limit: The most bytes that are accepted.

    Raises:
        DefectError: `TOO_LARGE`, `MEMBER_DIGEST`, or a frame is defective.
        RepropackError: The file cannot be read.
    """
    if member.size > limit:
        raise DefectError(
            Code.TOO_LARGE,
            member.path,
            found=f"{member.size} bytes",
            expected=f"at most {limit} bytes",
        )
    running = new_sha256()
    pieces = []
    with contextlib.closing(_walk(stored, [(member, content_at)])) as walk:
        for piece in walk:
            running.update(piece)
            pieces.append(bytes(piece))
    check_digest(member, running.hexdigest())
    return b"".join(pieces)


def extract_members(
    stored: Frames,
    chosen: Sequence[tuple[Member, int]],
    destination: Path,
    *,
    extra: Sequence[tuple[str, bytes]],
    progress: Callable[[int], None] | None,
) -> None:
    """Writes members below a directory, which gets its name only when all of them are there.

    Args:
        stored: The members.
        chosen: Members in archive order, each with the offset of its content in the tar stream.
        destination: A directory that does not exist yet, or is empty.
        extra: Further files: paths and contents.
        progress: Called with the number of bytes that were written since the last call.

    Raises:
        DefectError: `MEMBER_DIGEST`, or a frame is defective; nothing is left behind.
        UsageError: The destination is not an empty directory.
        RepropackError: Something cannot be written or read, or there is not enough room.
    """
    _check_destination(destination)
    partial = destination.with_name(f".{destination.name[:100]}.{secrets.token_hex(6)}.partial")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    except OSError as error:
        raise UsageError(f"cannot use {destination}: {error.strerror or error}") from error
    try:
        _extract_into(stored, chosen, partial, extra, progress)
        # Takes the place of an empty directory, and of nothing else.
        os.rename(partial, destination)
    except OSError as error:
        raise RepropackError(f"cannot write {destination}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _extract_into(
    stored: Frames,
    chosen: Sequence[tuple[Member, int]],
    directory: Path,
    extra: Sequence[tuple[str, bytes]],
    progress: Callable[[int], None] | None,
) -> None:
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        room = os.fstatvfs(root)
        needed = sum(member.size for member, _ in chosen)
        if needed > room.f_bavail * room.f_frsize:
            raise RepropackError(
                f"{directory.parent} has no room for {needed} bytes",
                advice="choose another directory; for verify, TMPDIR names it",
            )
        for path, content in extra:
            with os.fdopen(create_beneath(root, path, executable=False), "wb") as file:
                file.write(content)
        with contextlib.closing(_walk(stored, chosen)) as pieces:
            for member, _ in chosen:
                _write_member(member, root, pieces)
                if progress is not None:
                    progress(member.size)
    finally:
        os.close(root)


def _check_destination(destination: Path) -> None:
    try:
        with os.scandir(destination) as entries:
            if next(entries, None) is not None:
                raise UsageError(
                    f"{destination} is not empty", advice="name a directory that is new or empty"
                )
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot use {destination}: {error.strerror or error}") from error


def _write_member(member: Member, root: int, pieces: Iterator[memoryview]) -> None:
    descriptor = create_beneath(root, member.path, executable=member.executable)
    try:
        running = new_sha256()
        left = member.size
        while left:
            piece = next(pieces)
            running.update(piece)
            left -= len(piece)
            while piece:
                piece = piece[os.write(descriptor, piece) :]
        check_digest(member, running.hexdigest())
    finally:
        os.close(descriptor)


def _walk(
    stored: Frames, chosen: Sequence[tuple[Member, int]]
) -> Generator[memoryview, None, None]:
    """The contents of members in archive order, in pieces that do not cross members.

    A piece may be used until the next is asked for.
    """
    buffers = Buffers(min(FRAME_CONTENT, stored.starts[-1]))

    def decode(job: tuple[int, str]) -> tuple[int, bytearray, memoryview]:
        buffer = buffers.take()
        return job[0], buffer, stored.frame(*job, buffer)

    buffer, content, start, end = buffers.take(), memoryview(b""), 0, 0
    # What is read ahead is given up first: a thread may be waiting for it.
    with (
        contextlib.closing(
            in_order(_frames_of(stored, chosen), decode, workers=worker_count(None))
        ) as frames,
        stored.ahead(index for index, _ in _frames_of(stored, chosen)),
    ):
        for member, content_at in chosen:
            position, stop = content_at, content_at + member.size
            while position < stop:
                if position >= end:
                    buffers.give(buffer)
                    index, buffer, content = next(frames)
                    start, end = stored.starts[index], stored.starts[index + 1]
                piece = content[position - start : stop - start]
                yield piece
                position += len(piece)


def _frames_of(stored: Frames, chosen: Sequence[tuple[Member, int]]) -> Iterator[tuple[int, str]]:
    """Each frame that holds content of the members, once, with the first of them."""
    following = 0
    for member, content_at in chosen:
        if member.size:
            begin = bisect.bisect_right(stored.starts, content_at) - 1
            end = bisect.bisect_left(stored.starts, content_at + member.size)
            for index in range(max(begin, following), end):
                yield index, member.path
            following = max(end, following)
