# SPDX-License-Identifier: Apache-2.0
"""Which files that git does not track are code, and why the others are not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from repropack.model import UncapturedFile
from repropack.source.trees import link_defect, path_defect, recorded_name

__all__ = ["PRODUCT", "STORE_NAME", "UNTRACKED_LIMIT", "choose", "ignored_files", "over_limit"]

UNTRACKED_LIMIT: Final = 10 * 1024 * 1024
"""Bytes of one untracked file: code is smaller, what is larger is data or a product."""

UNTRACKED_TOTAL: Final = 256 * 1024 * 1024
"""Bytes of all untracked files: they are hashed before every run, about a second for this much."""

UNTRACKED_COUNT: Final = 50_000
"""Untracked files: a folder of images that nobody ignored should not delay each run by minutes."""

STORE_NAME: Final = b".repropack"
"""The directory of our own at the root of a project."""

_LISTED: Final = 20
"""Excluded files of one directory, for one reason, beyond which the directory is one entry."""

PRODUCT: Final = "product of this run or an earlier one"
"""Why an output is no code. Of this run is the file that its output goes to (`> train.log`)."""

_LARGER: Final = "untracked and larger than"
_MORE: Final = "untracked files are more than"

_LITTER: Final = frozenset({STORE_NAME, b"__pycache__"})
_ENVIRONMENT_MARKS: Final = (b"/pyvenv.cfg", b"/conda-meta/history")


def choose(
    root: Path,
    candidates: Iterable[bytes],
    products: Mapping[str, tuple[int, int, int]],
    limit: int,
    before_ns: int | None,
) -> tuple[set[bytes], list[UncapturedFile]]:
    """Which untracked files are code, and why the others are not.

    Args:
        root: The work tree.
        candidates: Paths below it.
        products: As for `repropack.source.snapshot.take`.
        limit: Bytes; larger files are left out.
        before_ns: Nanoseconds since 1970; files that were changed then or later are left out.
    """
    names = list(candidates)
    environments = {
        name[: -len(mark)] + b"/"
        for name in names
        for mark in _ENVIRONMENT_MARKS
        if name.endswith(mark)
    }
    sizes: dict[bytes, int] = {}
    refused: dict[bytes, tuple[int, str]] = dict.fromkeys(
        environments, (0, "an installed environment")
    )
    for name in names:
        # Bytecode follows from the code, and no two interpreters write the same.
        if not _LITTER.isdisjoint(name.split(b"/")):
            continue
        if name.endswith(b"/"):
            refused[name] = (0, "a nested git repository")
            continue
        if environments and any(name.startswith(prefix) for prefix in environments):
            continue
        path = os.path.join(os.fsencode(root), name)
        try:
            status = os.lstat(path)
            target = os.readlink(path) if stat.S_ISLNK(status.st_mode) else None
        except OSError:
            continue  # It has gone since git listed it.
        stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
        reason = path_defect(name)
        if not reason and target is not None:
            reason = link_defect(name, target)
        if not reason and products.get(os.fsdecode(name)) == stamp:
            reason = PRODUCT
        if not reason and before_ns is not None and status.st_ctime_ns >= before_ns:
            reason = "written while the run went on"
        if not reason and name.endswith(b".rpk"):
            # Code of the next release would hold all of the last one.
            reason = "a release"
        if not reason and status.st_size > limit:
            reason = f"{_LARGER} {limit} bytes"
        if not reason and target is None and not os.access(path, os.R_OK):
            reason = "not readable"
        if reason:
            refused[name] = (status.st_size, reason)
        else:
            sizes[name] = status.st_size
    # The smallest first: that is where the code is.
    total = 0
    included: set[bytes] = set()
    for name in sorted(sizes, key=lambda n: (sizes[n], n)):
        total += sizes[name]
        if total > UNTRACKED_TOTAL or len(included) == UNTRACKED_COUNT:
            refused[name] = (
                sizes[name],
                f"{_MORE} {UNTRACKED_COUNT} or {UNTRACKED_TOTAL} bytes",
            )
        else:
            included.add(name)
    return included, _gather(refused)


def over_limit(file: UncapturedFile) -> bool:
    """Whether a file, or those of a directory, may be code and are only too large or too many."""
    return _LARGER in file.reason or _MORE in file.reason


def ignored_files(root: Path, names: Iterable[bytes]) -> list[UncapturedFile]:
    """What the exclusions of a directory without git keep out of its snapshot."""
    ignored: dict[bytes, tuple[int, str]] = {}
    for name in names:
        if STORE_NAME not in name.split(b"/"):
            try:
                status = os.lstat(os.path.join(os.fsencode(root), name))
            except OSError:
                continue  # It has gone since git listed it.
            ignored[name] = (0 if name.endswith(b"/") else status.st_size, "ignored")
    return _gather(ignored)


def _gather(files: Mapping[bytes, tuple[int, str]]) -> list[UncapturedFile]:
    """The entries of a record; many files of one directory become one."""
    groups: dict[tuple[bytes, str], list[bytes]] = {}
    for name, (_, reason) in files.items():
        parent = b"" if name.endswith(b"/") else name.rpartition(b"/")[0]
        groups.setdefault((parent, reason), []).append(name)
    entries = []
    for (parent, reason), names in groups.items():
        if parent and len(names) > _LISTED:
            entries.append(
                UncapturedFile(
                    path=recorded_name(parent) + "/",
                    size=sum(files[name][0] for name in names),
                    reason=f"{len(names)} files: {reason}",
                )
            )
        else:
            entries += [
                UncapturedFile(path=recorded_name(name), size=files[name][0], reason=reason)
                for name in names
            ]
    return entries
