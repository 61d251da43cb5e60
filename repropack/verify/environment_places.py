# SPDX-License-Identifier: Apache-2.0
"""Rebuilt environments at the places in the project where a run's commands name them.

A Makefile that calls `.venv/bin/python` finds one there: a link to what was rebuilt. Where a run
used several environments, that is how each of its processes gets its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from repropack.findings import Code, DefectError
from repropack.model import Difference, UsedEnvironment
from repropack.paths import descend_beneath
from repropack.verify.conditions import Conditions, filled
from repropack.verify.environments import BuiltEnvironment
from repropack.verify.release import ReleaseRun
from repropack.verify.workspace import PLACE_TAKEN

__all__ = ["link_environments", "unplaced_environments"]


def link_environments(
    run: ReleaseRun, project: Path, values: Mapping[str, str], conditions: Conditions
) -> None:
    """Puts links in a work directory; what the code itself has at such a place stays.

    Raises:
        RepetitionFailedError: Nothing is known for a placeholder of a place.
        DefectError: A place leads through a link or a file of the code.
        OSError: The directory cannot be written.
    """
    top = os.open(project, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for used, built in _used(run, conditions):
            if not used.place or built.directory is None:
                continue
            relative = filled(used.place.removeprefix("{project}/"), values, run)
            *directories, name = relative.split("/")
            try:
                parent = descend_beneath(top, directories, create=True)
            except OSError as error:
                if error.errno not in PLACE_TAKEN:
                    raise
                raise DefectError(
                    Code.RECORD_REFERENCE, used.place, found=error.strerror or str(error)
                ) from error
            try:
                os.symlink(built.directory, name, dir_fd=parent)
            except FileExistsError:
                continue
            finally:
                os.close(parent)
    finally:
        os.close(top)


def unplaced_environments(run: ReleaseRun, conditions: Conditions) -> list[Difference]:
    """The environments beside that of the main process that its commands do not find."""
    return [
        Difference(
            subject=f"environment of {', '.join(used.programs) or 'a command'}",
            recorded=f"Python {built.recorded.python.version}, outside the project",
            present="rebuilt, but not where the commands of the run name it",
        )
        for number, (used, built) in enumerate(_used(run, conditions))
        if number > 0 and not used.place and built.recorded.python is not None
    ]


def _used(
    run: ReleaseRun, conditions: Conditions
) -> Iterator[tuple[UsedEnvironment, BuiltEnvironment]]:
    for used, directory in zip(
        run.packed.record.segments[-1].environments, run.packed.environments, strict=True
    ):
        yield used, conditions.environments[directory]
