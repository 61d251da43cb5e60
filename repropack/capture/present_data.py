# SPDX-License-Identifier: Apache-2.0
"""The files of a data set as they lie on the disk now, beside those that a run read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from repropack.capture.hashing import hash_files
from repropack.capture.preparation import plain
from repropack.placeholders import UnfilledError, fill
from repropack.store import FileStamp, Store
from repropack.store.contents import stamp_of

__all__ = ["PresentData", "present_data"]


class PresentData(NamedTuple):
    """What lies below the directory of a data set, by recorded path below it.

    Attributes:
        files: Of the wanted files those that are there, each with its digest as bytes; empty where
            it cannot be read.
        new: Further files that were put there, or touched, at the given time or later.
        others: Further files that lay there before.
    """

    files: dict[str, bytes]
    new: tuple[str, ...]
    others: tuple[str, ...]


class _Place(NamedTuple):
    path: str
    stamp: FileStamp


def present_data(
    directory: str, wanted: Iterable[str], store: Store, *, since_ns: int | None
) -> PresentData:
    """Looks at the files of a data set; one that was hashed before and not touched costs a stat.

    Args:
        directory: That of the data set.
        wanted: Recorded paths below it of the files that matter.
        store: Has the digests of files that were hashed before, and is told of new ones.
        since_ns: Since when a further file is new, in nanoseconds; None: do not look for any.

    Raises:
        RepropackError: The index of the store cannot be used.
    """
    recorded = {_on_disk(path): path for path in wanted}
    places: dict[str, _Place] = {}
    others = _listed(directory, recorded, places) if since_ns is not None else []
    for path in recorded.keys() - places.keys():
        # Behind a link to a directory, for one.
        _find(places, path, os.path.join(directory, path))
    known = store.known_digests([place.stamp for place in places.values()])
    digests = dict(zip(places, known, strict=True))
    unknown = [path for path, sha256 in digests.items() if sha256 is None]
    hashed = hash_files(
        [(places[path].path, places[path].stamp.size) for path in unknown],
        stopped=lambda: False,
        advance=lambda _: None,
    )
    store.remember_digests(one for one in hashed if one is not None)
    for path, one in zip(unknown, hashed, strict=True):
        digests[path] = one.sha256 if one is not None else None
    young = {path for path in others if _changed_ns(path) >= (since_ns or 0)}
    start = len(directory.rstrip("/")) + 1
    return PresentData(
        files={recorded[p]: bytes.fromhex(sha256 or "") for p, sha256 in digests.items()},
        new=tuple(sorted(plain(path[start:]) for path in young)),
        others=tuple(sorted(plain(path[start:]) for path in others if path not in young)),
    )


def _listed(directory: str, recorded: dict[str, str], places: dict[str, _Place]) -> list[str]:
    """Finds the wanted files in every directory, and returns where the others are."""
    others: list[str] = []
    waiting = [directory]
    start = len(directory.rstrip("/")) + 1
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    path = entry.path[start:]
                    if not path.isascii():
                        path = plain(path)
                    if path in recorded:
                        _find(places, path, entry)
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.is_dir():
                        others.append(entry.path)
        except OSError:
            # What cannot be listed shows itself when its files are asked for one by one.
            continue
    return others


def _find(places: dict[str, _Place], path: str, at: str | os.DirEntry[str]) -> None:
    try:
        place, status = (at, os.stat(at)) if isinstance(at, str) else (at.path, at.stat())
    except OSError:
        # It is gone, or a link leads nowhere: so it is not among what is there.
        return
    places[path] = _Place(place, stamp_of(status))


def _changed_ns(path: str) -> int:
    try:
        return os.lstat(path).st_ctime_ns
    except OSError:
        # It went away just now.
        return 0


def _on_disk(path: str) -> str:
    """A recorded path as this machine has it: the name of the host may stand in it."""
    if "{" not in path:
        return path
    try:
        return fill(path, {"host": os.uname().nodename})
    except UnfilledError:
        # A file may well be called `{user}`.
        return path
