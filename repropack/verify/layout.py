# SPDX-License-Identifier: Apache-2.0
"""What a repeated run finds in its project beside its code: files that it read, or wrote before."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from repropack.findings import Code, DefectError, Finding
from repropack.importers.recurring import is_random, natural_order, place_of
from repropack.model import Material, Segment
from repropack.paths import descend_beneath, open_beneath
from repropack.placeholders import PROJECT_DATA, split_data
from repropack.verify.conditions import Conditions, RepetitionFailedError, filled
from repropack.verify.release import ReleaseRun
from repropack.verify.workspace import PLACE_TAKEN, place_file

__all__ = ["MadeFiles", "carry_over", "lay_out", "open_material"]


class MadeFiles(Struct, frozen=True, kw_only=True):
    """Where a repeated segment left its files.

    Attributes:
        names: Paths below the project of all that the run's segments up to this one wrote.
    """

    segment: Segment
    project: Path
    names: frozenset[str]


def carry_over(before: MadeFiles, project: Path) -> frozenset[str]:
    """What the segment before wrote lies there for the next, unless its code has such a file.

    Returns:
        The names of what was placed.
    """
    placed = set()
    for name in sorted(before.names):
        with contextlib.suppress(OSError):
            os.close(open_beneath(project, name))
            continue
        try:
            source = open_beneath(before.project, name)
        except OSError:
            # The code that ran has removed it, or put something else in its place.
            continue
        try:
            executable = bool(os.fstat(source).st_mode & 0o100)
            place_file(project, name, source, executable=executable)
            placed.add(name)
        except OSError as error:
            if error.errno not in PLACE_TAKEN:
                raise
        finally:
            os.close(source)
    return frozenset(placed)


def lay_out(
    run: ReleaseRun,
    segment: Segment,
    project: Path,
    values: Mapping[str, str],
    conditions: Conditions,
    made: Mapping[str, Sequence[MadeFiles]],
) -> frozenset[str]:
    """What the run read inside the project, beside its code.

    Returns:
        The names of those files that the repetition made itself.
    """
    anew = set()
    for directory in segment.directories:
        _make_directory(project, directory)
    for material in segment.materials:
        split = split_data(material.path)
        if split is not None and split[0] == PROJECT_DATA:
            name = filled(split[1], values, run)
            if _place_material(material, split[1], name, project, run, values, conditions, made):
                anew.add(name)
    return frozenset(anew)


def _make_directory(project: Path, recorded: str) -> None:
    """A directory that the run found, perhaps empty; a place of another kind stays as it is."""
    split = split_data(recorded)
    if split is None or split[0] != PROJECT_DATA:
        return
    top = os.open(project, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.close(descend_beneath(top, split[1].split("/"), create=True))
    finally:
        os.close(top)


def _place_material(
    material: Material,
    relative: str,
    name: str,
    project: Path,
    run: ReleaseRun,
    values: Mapping[str, str],
    conditions: Conditions,
    made: Mapping[str, Sequence[MadeFiles]],
) -> bool:
    """Places one file; whether it is one that the repetition made itself."""
    source = open_material(material, relative, run, values, conditions, made)
    remade = material.origin is not None and bool(made.get(material.origin.run))
    try:
        found = place_file(project, name, source)
    except OSError as error:
        if error.errno not in PLACE_TAKEN:
            raise
        raise DefectError(
            Code.RECORD_REFERENCE, material.path, found=error.strerror or str(error)
        ) from error
    finally:
        os.close(source)
    if not remade and found != material.sha256:
        # It was checked before; since then somebody has changed it.
        raise RepetitionFailedError(
            Finding(
                code=Code.DATA_DIFFERS,
                subject=material.path,
                found=f"sha256:{found}",
                expected=f"sha256:{material.sha256}",
            )
        )
    return remade


def _maker(repeated: Sequence[MadeFiles], path: str, sha256: str | None) -> MadeFiles:
    """The repeated segment that wrote a file; the last one where no record says which it was."""
    return next(
        (
            one
            for one in reversed(repeated)
            if any(p.path == path and p.sha256 == sha256 for p in one.segment.products)
        ),
        repeated[-1],
    )


def _named_anew(maker: MadeFiles, recorded: str) -> str | None:
    """Where a repetition has what it names by time or number: `outputs/2026-01-02/03-04-05/x.pt`.

    Of several such files it is the one at the same place in their order, if there are as many.
    """
    pattern = place_of(recorded)
    if pattern == recorded:
        return None
    then = sorted(
        {p.path for p in maker.segment.products if place_of(p.path) == pattern}, key=natural_order
    )
    if recorded not in then or (len(then) > 1 and is_random(recorded)):
        return None
    now = [p for p in ("{project}/" + name for name in maker.names) if place_of(p) == pattern]
    if len(now) != len(then):
        return None
    return sorted(now, key=natural_order)[then.index(recorded)].removeprefix("{project}/")


def _number(run_id: str, conditions: Conditions) -> int:
    return next(r.number for r in conditions.release.runs if r.packed.record.id == run_id)


def open_material(
    material: Material,
    relative: str,
    run: ReleaseRun,
    values: Mapping[str, str],
    conditions: Conditions,
    made: Mapping[str, Sequence[MadeFiles]],
) -> int:
    """Opens what a run read: made anew by this repetition, or packed, or at the reader's side.

    Args:
        material: What was read.
        relative: Its path below the project, or below its data set.
        run: The run that read it.
        values: What placeholders stand for.
        conditions: What the repetition works with.
        made: What it made so far, by run.

    Raises:
        RepetitionFailedError: It was not made, or is not to be had.
        DefectError: The release does not have it.
    """
    origin = material.origin
    if origin is not None and (repeated := made.get(origin.run)):
        # Made anew by this repetition, at the place where the segment that wrote it left it.
        path = filled(origin.path.removeprefix("{project}/"), values, run)
        maker = _maker(repeated, origin.path, material.sha256)
        try:
            try:
                if path not in maker.names:
                    # What lies there came with its code: the repetition did not make it.
                    raise FileNotFoundError(errno.ENOENT, "not written again", path)
                return open_beneath(maker.project, path)
            except FileNotFoundError:
                anew = _named_anew(maker, origin.path)
                if anew is None:
                    raise
                return open_beneath(maker.project, anew)
        except OSError as error:
            raise RepetitionFailedError(
                Finding(
                    code=Code.RUN_FAILED,
                    subject=f"run {_number(origin.run, conditions)}",
                    found=f"{path} was not written",
                    expected="the file that is read later",
                )
            ) from error
    if origin is not None:
        member = conditions.release.artifacts.get((origin.run, origin.path, material.sha256 or ""))
        if member is None:
            raise DefectError(
                Code.RECORD_REFERENCE, material.path, expected="its content in the bundle"
            )
        return os.open(conditions.unpacked.path(member), os.O_RDONLY | os.O_CLOEXEC)
    located = conditions.data.get(PROJECT_DATA)
    if located is None or material.sha256 is None:
        raise RepetitionFailedError(
            Finding(
                code=Code.DATA_MISSING,
                subject=material.path,
                found="its content is not known",
                expected="a record of what the run read",
            )
        )
    # Without O_NONBLOCK a fifo that has taken its place would block for ever.
    return os.open(located.file(relative), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
