# SPDX-License-Identifier: Apache-2.0
"""The command line as the record has it: with placeholders, without what is secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from repropack.agent.log import ProcessObservation
from repropack.capture.arguments import recorded_text, without_homes
from repropack.capture.ended import EndedCommand
from repropack.capture.gaps import Gaps, some
from repropack.capture.preparation import plain
from repropack.environment.machine import allowed_variables, is_address, is_secret_name
from repropack.model import Invocation
from repropack.placeholders import Recording

__all__ = ["invocation_of"]


def invocation_of(
    ended: EndedCommand,
    argv: tuple[str, ...],
    processes: tuple[ProcessObservation, ...],
    paths: Recording,
) -> Invocation:
    """How the command is started again.

    Args:
        ended: The command.
        argv: Its words, without what only made its environment.
        processes: What Python processes told.
        paths: The placeholders of this run.
    """
    directory, gaps = ended.directory, ended.gaps
    return Invocation(
        argv=(
            *_assigned(ended.request.assigned, directory, paths, gaps),
            *_arguments(argv, processes, directory, paths),
        ),
        directory=paths.text(plain(str(directory))),
        variables=_variables(ended.environment, str(directory), paths, gaps),
    )


def _arguments(
    argv: tuple[str, ...],
    processes: tuple[ProcessObservation, ...],
    directory: Path,
    paths: Recording,
) -> list[str]:
    """The command line with placeholders; an interpreter named by a path becomes `{env}/bin/…`."""
    arguments = [recorded_text(argument, str(directory), paths) for argument in argv]
    if "/" in argv[0]:
        place = os.path.normpath(directory / argv[0])
        interpreters = {p.executable for p in processes}
        if place in interpreters or os.path.dirname(place) in {
            f"{p.prefix}/bin" for p in processes
        }:
            arguments[0] = "{env}/bin/" + os.path.basename(place)
    return arguments


def _assigned(
    assigned: Mapping[str, str], directory: Path, paths: Recording, gaps: Gaps
) -> list[str]:
    """Variables that the user named before the command and that are on no list, as env(1) words."""
    allowed = allowed_variables(assigned)
    secret = [name for name in assigned if name not in allowed and is_secret_name(name)]
    if secret:
        gaps.add("environment", f"named like secrets, so not recorded: {some(sorted(secret))}")
    words = [
        f"{name}={recorded_text(value, str(directory), paths)}"
        for name, value in assigned.items()
        if name not in allowed and name not in secret
    ]
    return ["env", *words] if words else []


def _variables(
    environment: Mapping[str, str], directory: str, paths: Recording, gaps: Gaps
) -> dict[str, str]:
    """The variables that are recorded: no addresses, and no paths in the home of somebody else."""
    recorded = {}
    for name, value in allowed_variables(environment).items():
        if is_address(name, value):
            gaps.add(
                "environment",
                f"the variable {name} names a host, a network or a way to it; it is not recorded",
            )
            continue
        kept, dropped = without_homes(recorded_text(value, directory, paths))
        if dropped:
            gaps.add(
                "environment",
                f"the variable {name} names a place in a home directory that is not yours; it is "
                "not recorded",
            )
        if kept or not dropped:
            recorded[name] = kept
    return recorded
