# SPDX-License-Identifier: Apache-2.0
"""What is known when a recording begins, and how its places are written down."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct

from repropack.placeholders import Recording, UnfilledError, fill
from repropack.source.snapshot import Taken
from repropack.store import KnownProduct, Store, StoredRun
from repropack.worktree import WorkTree

__all__ = ["Prepared", "is_inside", "mask", "place_on_disk", "plain", "recorded_path"]


class Prepared(Struct, frozen=True, kw_only=True):
    """What was known before the command started.

    Attributes:
        started: The time as records hold it.
        started_ns: The same in nanoseconds since 1970, by the clock of file times: a file that was
            written then or later is not what was read.
        scanned_ns: By the same clock, or that of the server that has the project: before `before`
            was looked at.
        console: Files of the project, by relative path, that our standard output and error go to.
        submodules: Snapshots of submodules, by path below the root.
        known: What earlier runs left in the project, by recorded path.
    """

    root: Path
    store: Store
    run: StoredRun
    started: str
    started_ns: int
    before: WorkTree
    scanned_ns: int
    taken: Taken | None
    submodules: dict[str, Taken] = {}
    known: dict[str, KnownProduct]
    console: frozenset[str] = frozenset()
    paths: Recording


def recorded_path(path: str | Path, paths: Recording) -> str:
    """The recorded form of an absolute path."""
    return paths.text(plain(str(path)))


def mask(text: str, paths: Recording) -> str:
    """Text without the name of this host."""
    return Recording(prefixes={}, words=paths.words).text(text)


def place_on_disk(recorded: str, root: Path) -> str | None:
    """Where a recorded path of the project lies on this machine; None for other paths."""
    try:
        place = fill(recorded, {"project": str(root), "host": os.uname().nodename})
    except UnfilledError:
        return None
    return place if is_inside(place, root) else None


def is_inside(path: str, root: Path) -> bool:
    """Whether an absolute path lies below a directory."""
    return path.startswith(str(root) + "/")


def plain(text: str) -> str:
    """Text that JSON can hold: bytes that are not UTF-8 become an escape such as xff."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
