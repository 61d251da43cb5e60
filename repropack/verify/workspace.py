# SPDX-License-Identifier: Apache-2.0
"""Lays out what a repetition works on: the code as it was, what the run read, and nothing else.

A work directory starts empty, so that no stale output can pass for a fresh one. Everything placed
there comes from a hostile bundle: files are created through descriptors, never through links.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import digest
from repropack.bundle import VerifiedBundle
from repropack.findings import Code, DefectError, Finding
from repropack.model import DataManifest
from repropack.paths import descend_beneath
from repropack.sandbox import Bind
from repropack.verify.release import data_member

__all__ = [
    "PLACE_TAKEN",
    "LocatedData",
    "Unpacked",
    "locate_data",
    "place_file",
    "remove_tree",
    "unpack_members",
]

PLACE_TAKEN: Final = frozenset(
    {errno.EEXIST, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOENT}
)
"""Why a file cannot be where a record wants it; anything else is this machine's trouble."""

_LISTED: Final = 3
"""Missing files that a finding names before it counts the rest."""


class Unpacked(Struct, frozen=True, kw_only=True):
    """Members of a verified bundle on the disk, each written with its digest checked."""

    directory: Path

    def path(self, member: str) -> Path:
        """Where a member was written."""
        return self.directory / member


class LocatedData(Struct, frozen=True, kw_only=True):
    """A data set at the reader's side; every file has the recorded size and digest."""

    manifest: DataManifest
    directory: Path

    def file(self, path: str) -> Path:
        """Where a file of the data set lies."""
        return self.directory / path


def unpack_members(bundle: VerifiedBundle, directory: Path, needed: Set[str]) -> Unpacked:
    """Writes some members of a bundle into a private directory.

    Raises:
        DefectError: A member changed after it was verified.
        RepropackError: Something cannot be written, or there is not enough room.
    """
    bundle.extract(directory, lambda member: member.path in needed)
    return Unpacked(directory=directory)


def locate_data(
    manifest: DataManifest, unpacked: Unpacked, given: Mapping[str, Path]
) -> tuple[LocatedData | None, tuple[Finding, ...]]:
    """Finds a data set: in the bundle, where the reader says, or at the author's path.

    A directory that the reader names is shown to the code as it is. The author's path is the word
    of a stranger, who could name any directory here: it is taken only if it holds the recorded
    files and nothing else, so that the code sees nothing which its author does not know.

    Returns:
        The data set, or None and findings that say what is missing and where it can be had.

    Raises:
        DefectError: Files of an included data set cannot have their names beside each other.
    """
    if manifest.included is not None:
        return LocatedData(manifest=manifest, directory=_own_names(manifest, unpacked)), ()
    directory = given.get(manifest.name)
    recorded = None if directory is not None else _looked_at(manifest)
    directory = directory or recorded
    address = manifest.address or "the author gives no address"
    if directory is None or not directory.is_dir():
        return None, (
            Finding(
                code=Code.DATA_MISSING,
                subject=manifest.name,
                found="nothing" if directory is None else f"no directory {directory}",
                expected=f"{len(manifest.files)} files, to be had at: {address}; "
                f"then give --data {manifest.name}=DIR",
            ),
        )
    if recorded is not None and (other := _other_entry(manifest, recorded)) is not None:
        return None, (
            Finding(
                code=Code.DATA_MISSING,
                subject=manifest.name,
                found=f"{other} in {recorded}, which the run did not read",
                expected=f"--data {manifest.name}={recorded}, if the code may see that directory",
            ),
        )
    missing, different = _check(manifest, directory)
    findings = []
    for code, paths, state in (
        (Code.DATA_MISSING, missing, "are not"),
        (Code.DATA_DIFFERS, different, "have other contents"),
    ):
        if paths:
            more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
            findings.append(
                Finding(
                    code=code,
                    subject=manifest.name,
                    found=f"{', '.join(paths[:_LISTED])}{more} {state} in {directory}",
                    expected=f"the files that the run read, to be had at: {address}",
                )
            )
    if findings:
        return None, tuple(findings)
    return LocatedData(manifest=manifest, directory=directory), ()


def _own_names(manifest: DataManifest, unpacked: Unpacked) -> Path:
    """The directory of an included data set, in which its files have the names the run knew."""
    assert manifest.included is not None
    place = unpacked.directory.with_name("data") / manifest.name
    place.mkdir(parents=True)
    for file in manifest.files:
        target = place / file.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(unpacked.path(data_member(manifest, file.path)), target)
        except OSError as error:
            raise DefectError(
                Code.RECORD_REFERENCE, file.path, found=error.strerror or str(error)
            ) from error
    return place


def _looked_at(manifest: DataManifest) -> Path | None:
    """The author's path, if a data set may lie there at all: not in /proc, not /etc."""
    if manifest.recorded_path is None:
        return None
    try:
        return Path(Bind(source=manifest.recorded_path, target=manifest.recorded_path).source)
    except ValueError:
        return None


def _other_entry(manifest: DataManifest, directory: Path) -> str | None:
    """The first entry of a directory that is no file of the data set, if there is one.

    Stops at once: the directory may be the root of this machine.
    """
    files = {file.path for file in manifest.files}
    directories = {parent for path in files for parent in _parents(path)}
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            with os.scandir(directory / prefix) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False) and path in directories:
                        pending.append(f"{path}/")
                    elif path not in files or not entry.is_file(follow_symlinks=False):
                        return path
        except OSError:
            return prefix or "."
    return None


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def place_file(root: Path, path: str, source: int, *, executable: bool = False) -> str:
    """Copies an open file to a path below a directory, replacing a regular file there.

    Args:
        root: A work directory; its content may be hostile.
        path: A plain relative path.
        source: A descriptor open for reading; its position is used up.
        executable: Whether the copy gets mode 0755.

    Returns:
        The SHA-256 of what was copied.

    Raises:
        OSError: The source is no regular file, a component is a link or no directory, or the disk
            is full.
    """
    if not stat.S_ISREG(os.fstat(source).st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    *directories, name = path.split("/")
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        parent = descend_beneath(top, directories, create=True)
    finally:
        os.close(top)
    try:
        # A link or a directory stays, and O_EXCL below refuses it.
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=parent)
        target = os.open(
            name,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o755 if executable else 0o644,
            dir_fd=parent,
        )
    finally:
        os.close(parent)
    running = digest.new_sha256()
    with os.fdopen(target, "wb") as out, os.fdopen(os.dup(source), "rb") as data:
        while chunk := data.read(digest.CHUNK):
            running.update(chunk)
            out.write(chunk)
    return running.hexdigest()


def remove_tree(root: Path) -> None:
    """Removes a directory in which hostile code could write; what cannot be removed stays.

    Directories may lie deeper than any recursion or path reaches, and may be closed to their owner.
    So each is opened to us and moved up to the root before it is emptied: nothing is ever deeper
    than two levels.
    """
    try:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    serial = itertools.count()
    try:
        pending = _clear(top, top, serial)
        while pending:
            name = pending.pop()
            with contextlib.suppress(OSError):
                inner = os.open(
                    name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top
                )
                try:
                    pending += _clear(inner, top, serial)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    with contextlib.suppress(OSError):
        root.rmdir()


def _clear(directory: int, top: int, serial: Iterator[int]) -> list[str]:
    """Unlinks the files of a directory and moves its directories to the top, under new names."""
    moved = []
    with os.scandir(directory) as entries:
        listed = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in listed:
        with contextlib.suppress(OSError):
            if not is_directory:
                os.unlink(name, dir_fd=directory)
                continue
            # Ours, and no link: nothing runs here any more. Moving a directory writes to it.
            os.chmod(name, 0o700, dir_fd=directory)
            fresh = f"{secrets.token_hex(8)}-{next(serial)}"
            os.rename(name, fresh, src_dir_fd=directory, dst_dir_fd=top)
            moved.append(fresh)
    return moved


def _check(manifest: DataManifest, directory: Path) -> tuple[list[str], list[str]]:
    """Names of files that are missing, and of files with another content."""

    def differs(entry: tuple[str, int, str]) -> bool | None:
        path, size, sha256 = entry
        place = directory / path
        try:
            if place.stat().st_size != size:
                return True
            return digest.hash_file(place)[0] != sha256
        except OSError:
            return None

    entries = [(file.path, file.size, file.sha256) for file in manifest.files]
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        answers = list(pool.map(differs, entries))
    return (
        [e[0] for e, answer in zip(entries, answers, strict=True) if answer is None],
        [e[0] for e, answer in zip(entries, answers, strict=True) if answer],
    )
