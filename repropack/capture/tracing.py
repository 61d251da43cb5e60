# SPDX-License-Identifier: Apache-2.0
"""Whether a command is traced by strace, and how it is started then.

strace attaches from a session of its own (`-DDD`): the command stays our child, with our terminal,
and its exit status and signals reach us as without it. A seccomp-bpf filter stops only the calls
that are asked for. What strace changes all the same: programs with rights of their own
(set-user-ID) do not get them, and no other debugger can attach.
"""

from __future__ import annotations

import enum
import os
import stat
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from repropack import process
from repropack.capture.launchers import LAUNCHERS
from repropack.capture.traced_files import CALLS
from repropack.capture.unobserved import head_of, loads_no_agent, runs_python

__all__ = [
    "TRACE_LOG",
    "TraceMode",
    "is_python",
    "place_of",
    "traced",
    "why_not_traced",
    "with_rights",
]

TRACE_LOG: Final = "trace.log"
"""In the directory of a run, while its command runs."""

PROBE_SECONDS: Final = 10.0
LAST_WORDS_SECONDS: Final = 2.0


class TraceMode(enum.StrEnum):
    """How a command is observed: `--trace`."""

    AUTO = "auto"
    """strace for commands that are not Python, where it is permitted; else the agent alone."""
    PYTHON = "python"
    """The agent in Python processes alone."""
    STRACE = "strace"
    """strace, and the agent in Python processes."""


def is_python(argv: Sequence[str], directory: Path, search: str) -> bool:
    """Whether a command is Python, or a launcher of one, in which the agent sees what it does."""
    name = os.path.basename(argv[0])
    if name.startswith(("python", "pypy")):
        return not loads_no_agent(argv)
    if name in LAUNCHERS:
        return any(_names_python(argument, search) for argument in argv[1:])
    place = place_of(argv[0], directory, search)
    return place is not None and runs_python(head_of(place))


def why_not_traced(argv: Sequence[str], directory: Path, environment: Mapping[str, str]) -> str:
    """Why strace cannot trace a command here; empty where it can.

    It is tried with a program that does nothing: containers and settings of the kernel forbid it in
    several ways.
    """
    strace = _strace()
    if strace is None:
        return "strace is not installed"
    place = place_of(argv[0], directory, environment.get("PATH", os.defpath))
    if place is None or not _is_executable(place):
        # Whatever is wrong with it is said as without strace.
        return f"{argv[0]} is no program of this machine"
    if with_rights([place]):
        return f"{argv[0]} has rights of its own, which it would lose"
    reading, writing = os.pipe()
    try:
        # The probe ends before its tracer: what comes through the pipe is the tracer's last word.
        os.set_blocking(reading, False)
        process.run(
            (*_options(strace, f"/proc/{os.getpid()}/fd/{writing}"), "/bin/sh", "-c", ":"),
            environment=environment,
            timeout=PROBE_SECONDS,
        )
        seen = b"+++ exited with 0 +++" in _last_words(reading)
    except (process.ProcessFailedError, OSError) as error:
        return f"strace is not permitted: {error}"
    finally:
        os.close(reading)
        os.close(writing)
    return "" if seen else "strace is not permitted here"


def traced(argv: Sequence[str], log: Path) -> tuple[str, ...]:
    """The command line that runs a command under strace."""
    return (*_options(_strace() or "strace", str(log)), *argv)


def with_rights(programs: Sequence[str]) -> list[str]:
    """Those programs that get rights by being started, for which a traced start is no use."""
    if os.geteuid() == 0:
        return []
    found = []
    for program in programs:
        try:
            mode = os.stat(program).st_mode
        except OSError:
            continue
        if mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(mode):
            found.append(program)
    return found


def _strace() -> str | None:
    return process.find_program("strace")


def _options(strace: str, log: str) -> tuple[str, ...]:
    return (
        strace, "-f", "-DDD", "--seccomp-bpf", "-q", "-y",
        # Only what succeeded; `?` for calls that this processor does not have.
        "-z", "-e", "signal=none", "-e", "trace=" + ",".join(f"?{call}" for call in CALLS),
        "-o", log, "--",
    )  # fmt: skip


def _last_words(reading: int) -> bytes:
    """What the tracer writes up to the end of the process that it traces."""
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    data = b""
    while time.monotonic() < deadline and b"+++" not in data:
        try:
            data += os.read(reading, 65536)
        except BlockingIOError:
            time.sleep(0.001)
    return data


def _names_python(argument: str, search: str) -> bool:
    name = os.path.basename(argument)
    if name.startswith("python") or name.endswith(".py"):
        return True
    place = process.find_program(argument, search) if argument and "/" not in argument else None
    return place is not None and runs_python(head_of(place))


def place_of(program: str, directory: Path, search: str) -> str | None:
    """Where a program lies that a command names; None where it is none."""
    if "/" in program:
        place = str(directory / program)
        return place if os.path.isfile(place) and os.access(place, os.X_OK) else None
    return process.find_program(program, search)


def _is_executable(place: str) -> bool:
    """Whether the kernel starts it by itself: strace says nothing usable about what it cannot."""
    head = head_of(place)
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n", 1)[0].split()
        return bool(words) and os.path.exists(words[0])
    # Class, byte order and processor of an ELF file (elf(5)).
    ours = head_of("/proc/self/exe")
    return head[:6] == ours[:6] and head[18:20] == ours[18:20]
