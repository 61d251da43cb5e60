# SPDX-License-Identifier: Apache-2.0
"""Outputs of runs that another project recorded in a store of its own, and that this run read.

No link can stand in the record: a bundle is made of one store, and the id of a run elsewhere would
tie an anonymous release to whatever that other project publishes. So it is only said; on the same
machine it is found anew whenever a graph of runs is drawn.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack.model import Material, Origin
from repropack.placeholders import split_data
from repropack.store import STORE_NAME, Store

__all__ = ["Elsewhere", "found_in_other_stores", "said_of_other_stores"]

SAID: Final = 3
"""Files that are named before the rest is counted."""


class Elsewhere(Struct, frozen=True, kw_only=True):
    """A file that was read and has the content of an output of another project's run.

    Attributes:
        path: Where it was read.
        recorded: The same as the record has it.
        sha256: Its digest.
        project: The other project.
        origin: The latest run there that wrote this content, and where it did.
    """

    path: str
    recorded: str
    sha256: str
    project: Path
    origin: Origin


def said_of_other_stores(
    materials: Iterable[Material], data_roots: Mapping[str, str], own: Path
) -> list[str]:
    """A line for each file that a run of another store left with this content.

    Args:
        materials: What was read.
        data_roots: Directories of data sets by name.
        own: The project.
    """
    lines = [
        f"{one.path} has the content that run {one.origin.run} of {one.project} wrote; that "
        "project has a store of its own, so the file is data here: export that run too, and say so"
        for one in found_in_other_stores(materials, data_roots, own)
    ]
    if len(lines) > SAID:
        lines[SAID:] = [f"the same holds for {len(lines) - SAID} more files"]
    return lines


def found_in_other_stores(
    materials: Iterable[Material], data_roots: Mapping[str, str], own: Path
) -> list[Elsewhere]:
    """Each file that a run of another store left with this content.

    Args:
        materials: What was read.
        data_roots: Directories of data sets by name.
        own: The project.
    """
    stores: dict[Path, list[tuple[str, str, str]]] = {}
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
            path = os.path.join(directory, name)
            stores.setdefault(place, []).append((path, material.path, material.sha256))
    found_there = []
    for place, read in stores.items():
        makers = _makers(place, {sha256 for _, _, sha256 in read})
        found_there += [
            Elsewhere(
                path=path, recorded=recorded, sha256=sha256, project=place, origin=makers[sha256]
            )
            for path, recorded, sha256 in read
            if sha256 in makers
        ]
    return found_there


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


def _makers(project: Path, wanted: Iterable[str]) -> dict[str, Origin]:
    """By digest, the latest run of a project that wrote it. Its store is only read."""
    wanted, found = set(wanted), dict[str, Origin]()
    # It may be another's, or go away meanwhile.
    with contextlib.suppress(OSError):
        for run in Store(project / STORE_NAME).runs():
            for segment in run.record.segments if run.record is not None else ():
                found.update(
                    (product.sha256, Origin(run=run.id, path=product.path))
                    for product in segment.products
                    if product.sha256 in wanted
                )
    return found
