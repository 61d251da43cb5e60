# SPDX-License-Identifier: Apache-2.0
"""What a sandbox adds to the start and end of one command.

Wall clock and processor time: where others use the machine only the second says something. With
nothing inside but an interpreter that does nothing, all kinds in turns.
"""

from __future__ import annotations

import ctypes
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring import table
from repropack.sandbox import (
    Bind,
    NoSandbox,
    Sandbox,
    SandboxSpec,
    confined,
    find_landlock,
    find_sandbox,
    usual_limits,
)

ROUNDS = 50
NONE = "no sandbox"
PR_SET_CHILD_SUBREAPER = 36


class Start(NamedTuple):
    """Milliseconds of one start, from before its preparation to after its removal."""

    wall: float
    processor: float


def measure(scratch: Path) -> str:
    """The section `Sandbox` of docs/performance.md."""
    # Bubblewrap's first process is left to whoever adopts orphans; its time counts all the same.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = time.perf_counter()
    found = [find_sandbox(), find_landlock()]
    looking = 1000 * (time.perf_counter() - started)
    kinds: dict[str, Sandbox | None] = {NONE: None}
    kinds |= {one.kind: one for one in found if not isinstance(one, str | NoSandbox)}
    python, prefix = os.path.realpath(sys.executable), os.path.realpath(sys.base_prefix)
    spec = SandboxSpec(
        directory="/work",
        environment={},
        limits=usual_limits(),
        read_only=(Bind(source=prefix, target=prefix),),
        writable=(Bind(source=str(scratch), target="/work"),),
    )
    starts: dict[str, list[Start]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, sandbox in kinds.items():
            starts[kind].append(_start(sandbox, spec, [python, "-I", "-S", "-c", "pass"]))
    alone = starts.pop(NONE)
    rows = [[kind, *_added(ones, alone)] for kind, ones in starts.items()]
    header = ["sandbox", "adds, median", "adds, quickest", "of processor time, median"]
    return "\n".join(
        [
            *("## Sandbox", "", *table(header, rows), ""),
            f"Milliseconds that it adds to the start and end of a command, {ROUNDS} rounds in "
            f"turns; `python -c pass` alone takes {statistics.median(s.wall for s in alone):.0f} "
            f"ms. To find out which kinds work here: {looking:.0f} ms, once.",
        ]
    )


def _start(sandbox: Sandbox | None, spec: SandboxSpec, command: list[str]) -> Start:
    used, started = _processor(), time.perf_counter()
    with ExitStack() as stack:
        if sandbox is not None:
            command = list(stack.enter_context(confined(sandbox, spec, command)).argv)
        subprocess.run(command, env={}, check=True, capture_output=True)
    wall = time.perf_counter() - started
    with suppress(ChildProcessError):
        while True:
            os.wait()
    return Start(1000 * wall, 1000 * (_processor() - used))


def _processor() -> float:
    """Seconds of processor time of this process and of those that it has waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _added(ones: list[Start], alone: list[Start]) -> list[str]:
    def added(measure: Callable[[Iterable[float]], float], index: int) -> str:
        return f"{measure(s[index] for s in ones) - measure(s[index] for s in alone):.0f}"

    return [added(statistics.median, 0), added(min, 0), added(statistics.median, 1)]
