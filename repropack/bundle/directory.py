# SPDX-License-Identifier: Apache-2.0
"""A bundle that was extracted into a directory, by us or by tar (specification section 13).

The tar stream is made again from the manifest and the files, so that one checker and one extractor
serve both forms. The directory belongs to whoever wrote it last: files are opened through
descriptors, never through links, and everything that is handed over is hashed on its way.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from repropack.bundle.container import Frames
from repropack.bundle.limits import ATTESTATION, MANIFEST, MAX_ATTESTATION
from repropack.bundle.tar_layer import Layout, frame_starts, member_header
from repropack.errors import RepropackError, UsageError
from repropack.findings import Code, DefectError
from repropack.model import Manifest, Member
from repropack.paths import descend_beneath, open_beneath, read_beneath

__all__ = ["Extracted", "open_directory"]

_LISTED: Final = 3
"""Unlisted entries that a finding names."""


class Extracted:
    """An extracted bundle; see `repropack.bundle.reading.Form`."""

    def __init__(self, root: int, attestation: bytes) -> None:
        self._root = root
        self.attestation = attestation
        self.size = len(attestation)

    def manifest(self, offset: int, size: int) -> bytes:
        """Reads `manifest.json`; it has no offset here."""
        del offset
        manifest = _read(self._root, MANIFEST, size)
        if len(manifest) != size:
            raise DefectError(
                Code.MANIFEST_DIGEST,
                MANIFEST,
                found=f"{len(manifest)} bytes",
                expected=f"{size} bytes",
            )
        return manifest

    def frames(self, manifest: Manifest, layout: Layout) -> Frames:
        """Compares the names in the directory with the listed ones, and lays the files out."""
        _check_names(self._root, [member.path for member in manifest.members])
        self.size += sum(member.size for member in manifest.members)
        return _MadeFrames(self._root, manifest.members, layout)

    def close(self) -> None:
        """Closes the directory; closing twice does nothing."""
        if self._root >= 0:
            os.close(self._root)
            self._root = -1


def open_directory(path: Path) -> Extracted:
    """Opens a directory and reads its attestation.

    Raises:
        UsageError: It cannot be opened, or no bundle was extracted into it.
        DefectError: It has a manifest and no attestation, or these are no regular files.
        RepropackError: They cannot be read.
    """
    try:
        root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"cannot open {path}: {error.strerror or error}") from error
    try:
        names = os.listdir(root)
        if ATTESTATION not in names:
            if MANIFEST in names:
                raise DefectError(Code.NO_SIGNATURE, ATTESTATION, found="no such file")
            raise UsageError(
                f"{path} is a directory, and no bundle was extracted into it",
                advice=f"name an .rpk file, or a directory with {MANIFEST} and {ATTESTATION}",
            )
        return Extracted(root, _read(root, ATTESTATION, MAX_ATTESTATION))
    except BaseException:
        os.close(root)
        raise


class _MadeFrames:
    """The tar stream, made of the manifest and the files."""

    def __init__(self, root: int, members: tuple[Member, ...], layout: Layout) -> None:
        self._root = root
        self._members = members
        self._layout = layout
        self.starts = frame_starts(members, layout)

    def frame(self, index: int, subject: str, buffer: bytearray | None = None) -> memoryview:
        """The content of a frame; see `Container.frame`.

        Raises:
            DefectError: A file is missing, or has another kind, mode or size.
            RepropackError: A file cannot be read.
        """
        del subject
        start = self.starts[index]
        size = self.starts[index + 1] - start
        content = memoryview(buffer if buffer is not None else bytearray(size))[:size]
        content[:] = bytes(size)
        first = bisect.bisect_right(self._layout.headers, start) - 1
        for number in range(first, len(self._members)):
            header_at = self._layout.headers[number] - start
            if header_at >= size:
                break
            member = self._members[number]
            with _opened(self._root, member) as descriptor:
                header = member_header(member.path, member.size, executable=member.executable)
                _lay(content, header, header_at)
                content_at = self._layout.contents[number] - start
                skipped = max(-content_at, 0)
                room = content[max(content_at, 0) : max(content_at + member.size, 0)]
                _fill(room, descriptor, skipped, member)
        return content

    def ahead(self, frames: Iterable[int]) -> AbstractContextManager[None]:
        """Does nothing: the kernel reads ahead."""
        del frames
        return contextlib.nullcontext()


def _lay(content: memoryview, data: bytes, offset: int) -> None:
    """Puts bytes at an offset, as far as they lie inside."""
    piece = data[max(-offset, 0) : max(len(content) - offset, 0)]
    at = max(offset, 0)
    content[at : at + len(piece)] = piece


def _fill(room: memoryview, descriptor: int, offset: int, member: Member) -> None:
    while room:
        try:
            count = os.preadv(descriptor, [room], offset)
        except OSError as error:
            raise RepropackError(
                f"{member.path} cannot be read: {error.strerror or error}"
            ) from error
        if not count:
            raise DefectError(
                Code.MEMBER_DIGEST, member.path, found="a file that became shorter meanwhile"
            )
        room = room[count:]
        offset += count


@contextlib.contextmanager
def _opened(root: int, member: Member) -> Iterator[int]:
    """The open file of a member, with the kind, mode and size that the manifest states."""
    descriptor = _open(root, member.path)
    try:
        status = os.fstat(descriptor)
        if bool(status.st_mode & stat.S_IXUSR) != member.executable:
            wrong, right = "an executable file", "a file that is not executable"
            if member.executable:
                wrong, right = right, wrong
            raise DefectError(Code.NOT_AS_LISTED, member.path, found=wrong, expected=right)
        if status.st_size != member.size:
            raise DefectError(
                Code.MEMBER_DIGEST,
                member.path,
                found=f"{status.st_size} bytes",
                expected=f"{member.size} bytes",
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _open(root: int, path: str) -> int:
    try:
        return open_beneath(root, path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EINVAL, errno.ENXIO):
            raise DefectError(
                Code.NOT_AS_LISTED, path, found=_kind(root, path), expected="a regular file"
            ) from error
        raise RepropackError(f"{path} cannot be read: {error.strerror or error}") from error


def _read(root: int, path: str, limit: int) -> bytes:
    """A small file of the directory."""
    os.close(_open(root, path))  # says what it is, if it is no regular file
    try:
        return read_beneath(root, path, limit=limit)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise DefectError(
                Code.TOO_LARGE, path, found=f"more than {limit} bytes", expected=f"{limit} bytes"
            ) from error
        raise RepropackError(f"{path} cannot be read: {error.strerror or error}") from error


def _kind(root: int, path: str) -> str:
    """What stands at a path instead of a regular file, in words."""
    *directories, name = path.split("/")
    try:
        parent = descend_beneath(root, directories, create=False)
        try:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        finally:
            os.close(parent)
    except OSError as error:
        return "no such file" if error.errno == errno.ENOENT else "a link instead of a directory"
    for is_kind, words in (
        (stat.S_ISLNK, "a symbolic link"),
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISREG, "a regular file a moment later"),
    ):
        if is_kind(mode):
            return words
    return "a special file"


def _check_names(root: int, listed: list[str]) -> None:
    """Checks that a directory holds exactly the listed files, and no other directory.

    Names are compared as they are stored: on a file system that ignores case, `readme.md` could be
    opened as `README.md` all the same.

    Raises:
        DefectError: `UNLISTED` or `NOT_AS_LISTED`.
    """
    missing = dict.fromkeys((MANIFEST, ATTESTATION, *listed))
    directories = {path[:i] for path in listed for i, c in enumerate(path) if c == "/"}
    unlisted: list[str] = []
    pending: list[list[str]] = [[]]
    while pending:
        inside = pending.pop()
        for name, is_directory in _entries(root, inside):
            path = "/".join((*inside, name))
            if is_directory and path in directories:
                pending.append([*inside, name])
            elif path in missing:
                del missing[path]
            else:
                unlisted.append(path)
                if len(unlisted) > _LISTED:
                    break
    if unlisted:
        more = " and more" if len(unlisted) > _LISTED else ""
        raise DefectError(Code.UNLISTED, found=", ".join(sorted(unlisted)[:_LISTED]) + more)
    if missing:
        path = next(iter(missing))
        raise DefectError(
            Code.NOT_AS_LISTED, path, found=_kind(root, path), expected="a regular file"
        )


def _entries(root: int, inside: list[str]) -> list[tuple[str, bool]]:
    try:
        directory = descend_beneath(root, inside, create=False)
        try:
            with os.scandir(directory) as entries:
                return [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        finally:
            os.close(directory)
    except OSError as error:
        path = "/".join(inside) or "the directory"
        raise RepropackError(f"{path} cannot be read: {error.strerror or error}") from error
