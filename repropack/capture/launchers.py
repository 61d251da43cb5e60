# SPDX-License-Identifier: Apache-2.0
"""What a command line really starts, where its first words only say in which surroundings.

`DATA=x python train.py`, as a shell takes it, and `uv run train.py`: a reader has neither the
author's shell nor her uv project, but an environment in which `python train.py` runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

from repropack.agent.log import ProcessObservation

__all__ = ["ENVIRONMENT_LAUNCHERS", "LAUNCHERS", "assignments", "launched"]

ENVIRONMENT_LAUNCHERS: Final = frozenset(
    {
        "conda", "hatch", "mamba", "micromamba", "pdm", "pipenv", "pixi", "poetry", "rye", "uv",
        "uvx",
    }
)  # fmt: skip
"""Programs that find or make an environment and start another program in it."""

LAUNCHERS: Final = ENVIRONMENT_LAUNCHERS | frozenset(
    {
        "chrt", "env", "ionice", "mpiexec", "mpirun", "nice", "nohup", "numactl", "setsid", "srun",
        "stdbuf", "taskset", "time", "timeout",
    }
)  # fmt: skip
"""Programs that do nothing but start another one, which stands in their arguments."""

_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def assignments(argv: Sequence[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables that a command line sets before its command, and the command.

    As in `A=1 B=2 python train.py` for a shell, and `env A=1 python train.py`.
    """
    words = list(argv)
    if os.path.basename(words[0]) == "env" and len(words) > 1 and _ASSIGNMENT.fullmatch(words[1]):
        del words[0]
    found = {}
    while words and (matched := _ASSIGNMENT.fullmatch(words[0])):
        found[matched[1]] = matched[2]
        del words[0]
    return (found, tuple(words)) if words else ({}, tuple(argv))


def launched(
    argv: tuple[str, ...], processes: Sequence[ProcessObservation]
) -> tuple[tuple[str, ...], tuple[ProcessObservation, ...]] | None:
    """The command that a launcher of environments started in Python.

    Args:
        argv: The command line.
        processes: What the agent saw, in the order in which they started.

    Returns:
        The command, and the processes without those of the launcher, which may be a Python in an
        environment of its own. The command is the end of the command line that a process has as
        its own: for `uv run train.py` it is `python train.py`, for `poetry run fit --lr 1` it is
        `fit --lr 1`. None if there is no launcher, or no process that fits.
    """
    if os.path.basename(argv[0]) not in ENVIRONMENT_LAUNCHERS:
        return None
    for number, process in enumerate(processes):
        command = _end_of(argv, process.argv)
        if command is not None:
            above = _ancestors(process, processes[:number])
            return command, tuple(p for p in processes if p is process or p not in above)
    return None


def _end_of(argv: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...] | None:
    """The end of a command line that a Python process was started with."""
    for start in range(1, len(argv) if own else 0):
        rest = argv[start:]
        if rest[0] == "-m" and rest == own[1:]:
            return ("python", *rest)
        if rest[0].startswith("python") and rest[1:] == own[1:]:
            return rest
        if len(own) > 1 and rest[1:] == own[2:] and not rest[0].startswith("-"):
            if rest[0] == own[1] and rest[0].endswith(".py"):
                return ("python", *rest)
            if os.path.basename(own[1]) == rest[0]:
                return rest
    return None


def _ancestors(
    process: ProcessObservation, earlier: Sequence[ProcessObservation]
) -> list[ProcessObservation]:
    """The processes from which one descends, or that it was before it replaced itself."""
    wanted = {process.pid, process.ppid}
    found = []
    for one in reversed(earlier):
        if one.pid in wanted:
            found.append(one)
            wanted.add(one.ppid)
    return found
