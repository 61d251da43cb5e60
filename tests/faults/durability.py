# SPDX-License-Identifier: Apache-2.0
"""What a disk has confirmed, by the letter of POSIX, after a sequence of calls.

File systems promise more (ext4 writes out a renamed file, and most journals keep the order), so
that a forgotten fsync goes unnoticed on them. Here only fsync counts: of a file for its content, of
a directory for the names in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.faults.injection import Call

__all__ = ["Durability"]


class Durability:
    """The state after some calls."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._unsynced: set[Path] = set()
        self._unnamed: set[Path] = set()
        for call in calls:
            if call.name in ("create", "mkdir") and call.path.name:
                self._unnamed.add(call.path)
            elif call.name in ("write", "pwrite", "ftruncate"):
                self._unsynced.add(call.path)
            elif call.name in ("fsync", "fdatasync"):
                self._unsynced.discard(call.path)
                self._unnamed = {path for path in self._unnamed if path.parent != call.path}
            elif call.name in ("rename", "link") and call.other is not None:
                self._move(call.path, call.other)
            elif call.name in ("unlink", "rmdir"):
                self._unsynced.discard(call.path)
                self._unnamed.discard(call.path)

    def _move(self, source: Path, target: Path) -> None:
        """A rename of a file, or of a directory with all that is in it."""

        def moved(path: Path) -> Path:
            return target / path.relative_to(source) if path.is_relative_to(source) else path

        self._unsynced = {moved(path) for path in self._unsynced}
        self._unnamed = {moved(path) for path in self._unnamed} | {target}

    def content(self, path: Path) -> bool:
        """Whether what was written to a file is on the disk."""
        return path not in self._unsynced

    def name(self, path: Path, top: Path | None = None) -> bool:
        """Whether a file, and each new directory above it up to `top`, has its name on the disk."""
        names = [path, *(parent for parent in path.parents if top and parent.is_relative_to(top))]
        return not any(name in self._unnamed for name in names)
