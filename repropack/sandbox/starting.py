# SPDX-License-Identifier: Apache-2.0
"""Command lines of our own small programs, which run before a stranger's code does.

`launcher` and `landlock_launcher` import a few modules of the standard library and nothing of this
package, whose imports would cost more than the sandbox. They are found by directory and not run as
files, so that Python compiles them once and not at every start.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Final

from repropack.process import ProcessFailedError

__all__ = ["limited", "program", "why_not_started"]

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


def why_not_started(error: ProcessFailedError) -> str:
    """What went wrong where one of them ran, in one line, and what the kernel means by it."""
    if error.completed is None:
        return error.message
    lines = error.completed.stderr.decode("utf-8", "replace").strip().splitlines()
    reason = lines[-1] if lines else error.message
    reason = re.sub(r"repropack: the command was not started: (\[Errno \d+\] )?", "", reason)
    if "No space left" in reason or "ENOSPC" in reason:
        # user_namespaces(7): a limit of namespaces was reached, here or in a namespace around.
        reason += (
            "; that is no disk, but the number of user namespaces, which is used up or zero "
            "(user.max_user_namespaces), as it is inside a sandbox"
        )
    if re.search("[Pp]ermission denied|not permitted|uid map", reason):
        reason += (
            "; this system does not let ordinary users make namespaces (AppArmor or "
            "kernel.unprivileged_userns_clone, or a container that forbids it)"
        )
    return reason


def limited(limits: Sequence[str], calls: bytes | None, command: Sequence[str]) -> list[str]:
    """The command line that sets limits and starts the program that makes the sandbox.

    Args:
        limits: Words for `launcher`.
        calls: The filter of system calls that it hands over, or None.
        command: The program and its arguments.
    """
    handed = [] if calls is None else [f"calls={calls.hex()}"]
    return program("launcher", *limits, *handed, "--", *command)
