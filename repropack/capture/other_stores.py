# SPDX-License-Identifier: Apache-2.0
"""Outputs of runs that another project recorded in a store of its own, and that this run read.

No link can stand in the record: a bundle is made of one store, and the id of a run elsewhere would
tie an anonymous release to whatever that other project publishes. So it is only said.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from repropack.model import Material
from repropack.placeholders import split_data
from repropack.store import STORE_NAME, Store

__all__ = ["said_of_other_stores"]

SAID: Final = 3
"""Files that are named before the rest is counted."""


def said_of_other_stores(
    materials: Iterable[Material], data_roots: Mapping[str, str], own: Path
) -> list[str]:
    """A line for each file that a run of another store left with this content.

    Args:
        materials: What was read.
        data_roots: Directories of data sets by name.
        own: The project.
    """
    stores: dict[Path, dict[str, str]] = {}
    # A data set has many files, and few directories: by recorded directory, where it lies and in
    # which other project.
    projects: dict[str, tuple[str, Path] | None] = {}
    for material in materials:
        recorded, _, name = material.path.rpartition("/")
        if recorded not in projects:
            projects[recorded] = _other_project(f"{recorded}/", data_roots, own)
        found = projects[recorded]
        if found is not None and material.sha256 is not None and material.origin is None:
            directory, place = found
            stores.setdefault(place, {})[os.path.join(directory, name)] = material.sha256
    lines = []
    for place, read in stores.items():
        makers = _makers(place, set(read.values()))
        lines += [
            f"{path} has the content that run {makers[sha256]} of {place} wrote; that project has "
            "a store of its own, so the file is data here: export that run too, and say so"
            for path, sha256 in read.items()
            if sha256 in makers
        ]
    if len(lines) > SAID:
        lines[SAID:] = [f"the same holds for {len(lines) - SAID} more files"]
    return lines


def _other_project(
    recorded: str, data_roots: Mapping[str, str], own: Path
) -> tuple[str, Path] | None:
    """Where a recorded directory of a data set lies, and the project with a store around it."""
    split = split_data(recorded)
    if split is None or split[0] not in data_roots:
        return None
    directory = os.path.join(data_roots[split[0]], split[1])
    above = (Path(directory), *Path(directory).parents)
    place = next((p for p in above if (p / STORE_NAME / "runs").is_dir()), own)
    return (directory, place) if place != own else None


def _makers(project: Path, wanted: Iterable[str]) -> dict[str, str]:
    """By digest, the latest run of a project that wrote it. Its store is only read."""
    wanted, found = set(wanted), dict[str, str]()
    # It may be another's, or go away meanwhile.
    with contextlib.suppress(OSError):
        for run in Store(project / STORE_NAME).runs():
            for segment in run.record.segments if run.record is not None else ():
                found.update((p.sha256, run.id) for p in segment.products if p.sha256 in wanted)
    return found
