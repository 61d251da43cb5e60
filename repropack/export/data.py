# SPDX-License-Identifier: Apache-2.0
"""The data sets of a release: what the runs of the chain read that no run of the chain made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack.errors import UsageError
from repropack.export.chain import ChainedRun, materials_of
from repropack.model import RECORD_VERSION, DataFile, DataManifest
from repropack.placeholders import PROJECT_DATA, split_data
from repropack.project_file import ProjectFile
from repropack.store import Store

__all__ = ["ChosenData", "choose_data"]

MAX_CLIMBS: Final = 3
"""Of a position beside the project, as for code (specification, 6.8)."""

_HOMES: Final = ("/home", "/Users")


class ChosenData(Struct, frozen=True, kw_only=True):
    """A data set that the release names.

    Attributes:
        directory: Where it is on the author's machine.
        runs: Ids of the runs that read it.
        copied: Whether all its files are copies of packed outputs of earlier runs.
    """

    manifest: DataManifest
    directory: Path
    runs: frozenset[str]
    copied: bool = False


def choose_data(
    store: Store, chain: tuple[ChainedRun, ...], declared: ProjectFile, *, include: bool
) -> tuple[ChosenData, ...]:
    """Collects the data sets of a chain.

    Raises:
        UsageError: Two runs of the chain read different contents under one path, or
            `repropack.yaml` describes a data set that no run read.
    """
    files: dict[str, dict[str, DataFile]] = {}
    readers: dict[str, set[str]] = {}
    places: dict[str, str] = {}
    projects: dict[str, str] = {}
    unpacked: set[str] = set()
    for chained in chain:
        private = store.private(chained.stored)
        for material in materials_of(chained.record):
            split = split_data(material.path)
            if material.sha256 is None or split is None:
                continue
            name, relative = split
            if material.origin is not None and name == PROJECT_DATA:
                # It goes out with the run that made it.
                continue
            if material.origin is None or not store.has(material.sha256):
                unpacked.add(name)
            entry = DataFile(path=relative, size=material.size, sha256=material.sha256)
            present = files.setdefault(name, {}).setdefault(relative, entry)
            if present != entry:
                raise UsageError(
                    f"{material.path} was different for two runs of this release",
                    advice="record the later run again, or give the two data sets names "
                    "(`repropack run --data NAME=DIR`)",
                )
            projects[name] = private.project
            readers.setdefault(name, set()).add(chained.record.id)
            places[name] = (
                str(store.project) if name == PROJECT_DATA else private.data_roots.get(name, "")
            )
    unknown = set(declared.data) - set(files)
    if unknown:
        raise UsageError(
            f"repropack.yaml describes the data set {min(unknown)!r}, which no run read "
            f"(read were: {', '.join(sorted(files)) or 'none'})",
            advice="mend its name",
        )
    home = os.path.expanduser("~")
    chosen = []
    for name, entries in sorted(files.items()):
        about = declared.data.get(name)
        place = places[name]
        chosen.append(
            ChosenData(
                manifest=DataManifest(
                    version=RECORD_VERSION,
                    name=name,
                    files=tuple(entries[path] for path in sorted(entries)),
                    recorded_path=_public_path(name, place, home),
                    position=_position(name, place, projects[name], home),
                    address=about.address if about else None,
                    licence=about.licence if about else None,
                    # Where all are copies of outputs, they are packed with the runs that made them.
                    included=f"data/{name}" if include and name in unpacked else None,
                ),
                directory=Path(place),
                runs=frozenset(readers[name]),
                copied=name not in unpacked,
            )
        )
    return tuple(chosen)


def _public_path(name: str, place: str, home: str) -> str | None:
    """The author's path, if it says nothing about her: `/data/imagenet`, not `/home/…`."""
    if name == PROJECT_DATA or not place or place.startswith((home + "/", "/home/", "/Users/")):
        return None
    return None if _tells(place, home) else place


def _position(name: str, place: str, project: str, home: str) -> str | None:
    """Where a data set stands as seen from the project, if that says nothing of the author.

    `../data`, for code that has this path built in. What lies on the other side of a home
    directory would show how homes are named here.
    """
    if name == PROJECT_DATA or not place:
        return None
    position = os.path.relpath(place, project)
    climbs = position.split("/").count("..")
    names = position.split("/")[climbs:]
    above = os.path.normpath(os.path.join(project, *[".."] * climbs))
    if (
        not 1 <= climbs <= MAX_CLIMBS
        or not names
        or above in ("/", *_HOMES)
        or (project.startswith(f"{home}/") and not f"{above}/".startswith(f"{home}/"))
        or not position.isprintable()
        or "{" in position
        or "\\" in position
        or any(part.lower() == ".git" for part in names)
    ):
        return None
    return None if _tells("/".join(names), home) else position


def _tells(place: str, home: str) -> bool:
    """Whether a path holds the name of this host or of the user's home."""
    words = {os.uname().nodename, os.path.basename(home)} - {"", "root"}
    return any(word in place for word in words)
