# SPDX-License-Identifier: Apache-2.0
"""The data sets of a repetition: where the reader has them, and copies of earlier runs' outputs.

Copies of what earlier runs made a reader need not have: they are packed with the run that made
them. Where that run is repeated, the next one reads what the repetition made, and not what the
author's run had made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import structs

from repropack.findings import Code, DefectError, Finding
from repropack.model import DataManifest, Material, Segment
from repropack.placeholders import PROJECT_DATA, split_data
from repropack.verify.conditions import Conditions
from repropack.verify.layout import MadeFiles, open_material
from repropack.verify.release import Release, ReleaseRun
from repropack.verify.workspace import PLACE_TAKEN, LocatedData, Unpacked, locate_data, place_file

__all__ = ["find_data", "with_fresh_copies"]


def find_data(
    release: Release, runs: Sequence[ReleaseRun], unpacked: Unpacked, given: Mapping[str, Path]
) -> tuple[dict[str, LocatedData], list[Finding]]:
    """Every data set that runs read, as far as it is to be had, and what is missing.

    Args:
        release: The release.
        runs: Those that are repeated.
        unpacked: What is packed for them.
        given: Directories that the reader names.

    Raises:
        DefectError: Files of a packed data set cannot have their names beside each other.
    """
    located: dict[str, LocatedData] = {}
    missing: list[Finding] = []
    for name in dict.fromkeys(name for run in runs for name in run.packed.data):
        manifest = release.data[name]
        found = None
        findings: tuple[Finding, ...] = ()
        if manifest.included is None and name != PROJECT_DATA and name not in given:
            found = _packed_set(manifest, release, runs, unpacked)
        if found is None:
            found, findings = locate_data(manifest, unpacked, given)
        missing += findings
        if found is not None:
            located[name] = found
    return located, missing


def _packed_set(
    manifest: DataManifest, release: Release, runs: Iterable[ReleaseRun], unpacked: Unpacked
) -> LocatedData | None:
    """A data set of which every file is a copy of a packed output; None for any other.

    Raises:
        DefectError: Its files cannot have their names beside each other.
    """
    members = {
        material.sha256: member
        for run in runs
        for segment in run.packed.record.segments
        for material in segment.materials
        if material.origin is not None
        and (member := release.artifacts.get(_key(material))) is not None
    }
    if not manifest.files or not all(file.sha256 in members for file in manifest.files):
        return None
    place = unpacked.directory.with_name("data") / manifest.name
    place.mkdir(parents=True)
    for file in manifest.files:
        _place(place, file.path, _open(unpacked.path(members[file.sha256])))
    return LocatedData(manifest=manifest, directory=place)


def with_fresh_copies(
    run: ReleaseRun,
    segment: Segment,
    place: Path,
    values: Mapping[str, str],
    conditions: Conditions,
    made: Mapping[str, Sequence[MadeFiles]],
) -> Conditions:
    """The conditions, with data sets that have what this repetition made instead of its copies.

    Args:
        run: The run.
        segment: Which of its segments.
        place: A new directory for such sets.
        values: What placeholders stand for.
        conditions: What the repetition works with.
        made: What it made so far, by run.

    Raises:
        RepetitionFailedError: The repetition did not make such a file.
        DefectError: Files cannot have their names beside each other.
    """
    copies: dict[str, dict[str, Material]] = {}
    for material in segment.materials:
        split = split_data(material.path)
        if (
            split is not None
            and split[0] != PROJECT_DATA
            and material.origin is not None
            and made.get(material.origin.run)
        ):
            copies.setdefault(split[0], {})[split[1]] = material
    fresh = dict(conditions.data)
    for name, materials in copies.items():
        if (located := conditions.data.get(name)) is None:
            continue
        directory = place / name
        directory.mkdir(parents=True)
        replaced = {material.sha256 for material in materials.values()}
        for path, material in materials.items():
            source = open_material(material, path, run, values, conditions, made)
            _place(directory, path, source)
        for file in located.manifest.files:
            if file.sha256 not in replaced:
                _place(directory, file.path, _open(located.file(file.path)))
        fresh[name] = structs.replace(located, directory=directory)
    return structs.replace(conditions, data=fresh)


def _key(material: Material) -> tuple[str, str, str]:
    assert material.origin is not None
    return material.origin.run, material.origin.path, material.sha256 or ""


def _open(path: Path) -> int:
    # Without O_NONBLOCK a fifo that has taken its place would block for ever.
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def _place(directory: Path, path: str, source: int) -> None:
    try:
        place_file(directory, path, source)
    except OSError as error:
        if error.errno not in PLACE_TAKEN:
            raise
        raise DefectError(
            Code.RECORD_REFERENCE, path, found=error.strerror or str(error)
        ) from error
    finally:
        os.close(source)
