# SPDX-License-Identifier: Apache-2.0
"""Scans of the work tree before and after a run: whatever wrote a file, its stamp has changed.

Only stat, no content. Symbolic links are not followed and are not outputs. What belongs to tools
(version control, virtual environments, bytecode) is passed over.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

__all__ = ["SKIPPED_DIRECTORIES", "Changes", "Stamp", "WorkTree", "compare", "scan"]

SKIPPED_DIRECTORIES: Final = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".repropack",
        "__pycache__",
        "node_modules",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
    }
)


class Stamp(NamedTuple):
    """What stat says of a file. A tuple, because a scan makes tens of thousands of them."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


class WorkTree(Struct, frozen=True, kw_only=True):
    """The regular files below a root, by relative path.

    Attributes:
        directories: The directories that were scanned, without the root.
        unreadable: Directories that could not be listed.
    """

    files: dict[str, Stamp]
    directories: frozenset[str] = frozenset()
    unreadable: tuple[str, ...] = ()


class Changes(Struct, frozen=True, kw_only=True):
    """What happened between two scans. `written`: files that are new or have another stamp."""

    written: tuple[str, ...]
    deleted: tuple[str, ...]


def scan(root: Path) -> WorkTree:
    """Stats every regular file below a directory.

    Raises:
        OSError: The root itself cannot be listed.
    """
    files: dict[str, Stamp] = {}
    directories: set[str] = set()
    unreadable: list[str] = []
    with os.scandir(root):
        # Only to fail early: an unreadable root is an error, an unreadable corner is not.
        prefix = ""
    waiting = [prefix]
    base = str(root)
    while waiting:
        prefix = waiting.pop()
        try:
            with os.scandir(f"{base}/{prefix}") as entries:
                _scan_directory(entries, prefix, files, waiting)
        except OSError:
            unreadable.append(prefix.rstrip("/"))
        else:
            directories.add(prefix.rstrip("/"))
    return WorkTree(
        files=files, directories=frozenset(directories - {""}), unreadable=tuple(unreadable)
    )


def _scan_directory(
    entries: Iterator[os.DirEntry[str]], prefix: str, files: dict[str, Stamp], waiting: list[str]
) -> None:
    here: list[tuple[str, Stamp]] = []
    below: list[str] = []
    for entry in entries:
        name = entry.name
        if entry.is_dir(follow_symlinks=False):
            if name not in SKIPPED_DIRECTORIES:
                below.append(f"{prefix}{name}/")
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            # It vanished between the listing and the stat.
            continue
        if stat.S_ISREG(status.st_mode):
            if name == "pyvenv.cfg" and prefix:
                # A virtual environment: its packages are recorded as the environment.
                return
            here.append(
                (
                    prefix + name,
                    Stamp(
                        status.st_size,
                        status.st_mtime_ns,
                        status.st_ctime_ns,
                        status.st_ino,
                        status.st_dev,
                    ),
                )
            )
    files.update(here)
    waiting += below


def compare(before: WorkTree, after: WorkTree) -> Changes:
    """What a run wrote and deleted."""
    old = before.files
    return Changes(
        written=tuple(sorted(p for p, stamp in after.files.items() if old.get(p) != stamp)),
        deleted=tuple(sorted(p for p in old if p not in after.files)),
    )
