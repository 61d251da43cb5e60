# SPDX-License-Identifier: Apache-2.0
"""What the agent says of a repetition: the numerical settings that were really in force.

A repetition is observed as the recording was, so that threads, BLAS kernels and settings of
frameworks can be compared by fact. The agent writes inside the work directory, where the code can
write too: what comes back is the word of a stranger, bounded, and decides nothing but the order in
which causes are named, and whether a number that stood in a file before counts (`stale_numbers`).
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from repropack.agent.log import ProcessObservation, read_agent_logs
from repropack.paths import descend_beneath

__all__ = ["MAX_SAID", "SANDBOX_AGENT", "observed_processes", "place_for_agent"]

SANDBOX_AGENT: Final = "/mnt/agent"
"""Where executed code sees the agent."""

MAX_SAID: Final = 64 * 1024 * 1024
"""Bytes of all that the processes of a repetition say: 1,000 workers with 500 files each."""

MAX_PROCESSES: Final = 4096
"""Processes whose word is read."""


def place_for_agent(project: Path) -> str:
    """A new directory for the agent, below the project: only that is writable for the code.

    Returns:
        Its path below the project; none where the code has something else at that place.
    """
    name = f".repropack/agent-{secrets.token_hex(8)}"
    top = os.open(project, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(descend_beneath(top, name.split("/"), create=True))
    except OSError:
        return ""
    finally:
        os.close(top)
    return name


def observed_processes(project: Path, name: str) -> tuple[ProcessObservation, ...]:
    """What the Python processes of a repetition said; empty where nothing was, or too much.

    Args:
        project: The project of the repetition, in which nothing runs any more.
        name: From `place_for_agent`.
    """
    if not name:
        return ()
    top = os.open(project, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        directory = descend_beneath(top, name.split("/"), create=False)
    except OSError:
        # The code has removed it, or put something else in its place.
        return ()
    finally:
        os.close(top)
    try:
        sizes = [
            status.st_size
            for entry in os.listdir(directory)
            if stat.S_ISREG(
                (status := os.stat(entry, dir_fd=directory, follow_symlinks=False)).st_mode
            )
        ]
        if len(sizes) > MAX_PROCESSES or sum(sizes) > MAX_SAID:
            return ()
        return read_agent_logs(Path(f"/proc/self/fd/{directory}"))
    except OSError:
        return ()
    finally:
        os.close(directory)
