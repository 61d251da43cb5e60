# SPDX-License-Identifier: Apache-2.0
"""Command lines of our own small programs, which run before a stranger's code does.

`launcher` and `landlock_launcher` import a few modules of the standard library and nothing of this
package, whose imports would cost more than the sandbox. They are found by directory and not run as
files, so that Python compiles them once and not at every start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

__all__ = ["limited", "program"]

_START: Final = (
    "import sys; sys.path.append(sys.argv[1]); __import__(sys.argv[2]).main(sys.argv[3:])"
)


def program(name: str, *words: str) -> list[str]:
    """The command line of one of them.

    Args:
        name: The module, in this directory, with `main(words)`.
        words: What it is told.
    """
    # Isolated (-I) and without site-packages (-S): nothing of the user's is imported.
    interpreter = (sys.executable, "-I", "-S", "-c", _START)
    return [*interpreter, os.path.dirname(os.path.abspath(__file__)), name, *words]


def limited(limits: Sequence[str], calls: bytes | None, command: Sequence[str]) -> list[str]:
    """The command line that sets limits and starts the program that makes the sandbox.

    Args:
        limits: Words for `launcher`.
        calls: The filter of system calls that it hands over, or None.
        command: The program and its arguments.
    """
    handed = [] if calls is None else [f"calls={calls.hex()}"]
    return program("launcher", *limits, *handed, "--", *command)
