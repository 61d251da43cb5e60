# SPDX-License-Identifier: Apache-2.0
"""The agent in the Python processes of a command: how it gets there, and what it writes down.

`startup/` holds what runs inside the command, `sitecustomize.py` and `_repropack_numerics.py`, and
nothing else; `log` reads what they wrote. A recording and its repetition are observed in the same
way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["BEGAN", "DIRECTORY", "VARIABLE", "with_agent", "without_agent"]

DIRECTORY: Final = Path(__file__).with_name("startup")
"""What goes first on the path of Python."""

VARIABLE: Final = "REPROPACK_AGENT"
"""Names the directory that the agent writes to."""


BEGAN: Final = "began"
"""A file in that directory, made when the run begins: what is older was there before. Without it
the agent hashes nothing that the same process has not read; where it is not empty, other programs
than Python may have read what is there."""


def with_agent(
    environment: Mapping[str, str], output: str, directory: str = str(DIRECTORY)
) -> dict[str, str]:
    """The variables of a command that the agent observes.

    Args:
        environment: Its variables.
        output: The directory that the agent writes to, as the command sees it.
        directory: `DIRECTORY`, as the command sees it.
    """
    inherited = environment.get("PYTHONPATH", "")
    return {
        **environment,
        "PYTHONPATH": f"{directory}{os.pathsep}{inherited}" if inherited else directory,
        VARIABLE: output,
    }


def without_agent(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment as the user knows it, where another recording has started this one."""
    kept = {name: value for name, value in environment.items() if name != VARIABLE}
    if VARIABLE in environment:
        ours = str(DIRECTORY)
        paths = [p for p in kept.pop("PYTHONPATH", ours).split(os.pathsep) if p != ours]
        if paths:
            kept["PYTHONPATH"] = os.pathsep.join(paths)
    return kept
