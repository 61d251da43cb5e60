# SPDX-License-Identifier: Apache-2.0
"""The one door for programs that repropack itself starts: git, uv, bubblewrap, strace.

Arguments are lists, there is no shell, the environment is built by the caller, the output is
bounded. The recorded command itself is run by `repropack.capture.streams` (live, unbounded) and
by `repropack.executors`.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Final, NamedTuple

from repropack.errors import RepropackError

__all__ = [
    "Completed",
    "ProcessFailedError",
    "are_ends_ignored",
    "callers_environment",
    "find_program",
    "learn_ends",
    "run",
]

MAX_OUTPUT: Final = 512 * 1024 * 1024
"""Bytes of standard output that are kept: a listing of a million objects has about 60 MiB."""


class Completed(NamedTuple):
    """A program that has ended. `status` is negative where a signal ended it."""

    argv: tuple[str, ...]
    status: int
    stdout: bytes
    stderr: bytes


class ProcessFailedError(RepropackError):
    """A program could not be started, ran too long, or ended with an error.

    Attributes:
        completed: What it printed, or None where it never ran to its end.
    """

    def __init__(
        self, message: str, *, advice: str = "", completed: Completed | None = None
    ) -> None:
        super().__init__(message, advice=advice)
        self.completed = completed


def learn_ends() -> None:
    """Lets us learn how the processes that we start end. To be called once, at the start.

    Where our caller ignores SIGCHLD, so do we, and the kernel throws exit statuses away: everything
    would seem to have ended well. Call it in the main thread.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, _learn_end)


def are_ends_ignored() -> bool:
    """Whether our caller ignores SIGCHLD, which a recorded command inherits."""
    return signal.getsignal(signal.SIGCHLD) in (signal.SIG_IGN, _learn_end)


def callers_environment() -> dict[str, str]:
    """The environment that our caller gave us, which a recorded command inherits.

    Where the locale is C (containers, cron, `env -i`), Python starts with `LC_CTYPE=C.UTF-8` in its
    own environment (PEP 538): with it `sort`, `ls` or R would do something else than without us.
    """
    environment = dict(os.environ)
    if "LC_CTYPE" in environment:
        given = _first_environment()
        if given is not None:
            prefix = b"LC_CTYPE="
            value = next((e.removeprefix(prefix) for e in given if e.startswith(prefix)), None)
            del environment["LC_CTYPE"]
            if value is not None:
                environment["LC_CTYPE"] = os.fsdecode(value)
    return environment


def _first_environment() -> list[bytes] | None:
    """What the kernel was given when we started; None where nobody can read it."""
    try:
        with open("/proc/self/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return None


def _learn_end(number: int, frame: FrameType | None) -> None:
    """A handler in place of SIG_IGN; programs that we start get the default."""


def find_program(name: str, search: str | None = None) -> str | None:
    """The absolute path of a program on PATH (or on `search`), or None."""
    for directory in (search if search is not None else os.environ.get("PATH", "")).split(
        os.pathsep
    ):
        candidate = os.path.join(directory or ".", name)
        if os.path.isabs(candidate) and os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    return None


def run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    stdin: bytes | int = b"",
    stdout: int | None = None,
    timeout: float | None = None,
    accept: Sequence[int] = (0,),
) -> Completed:
    """Runs a program to its end and returns what it printed.

    Args:
        argv: Program and arguments.
        environment: The whole environment; nothing is inherited.
        directory: Working directory, or None for ours.
        stdin: Bytes for its standard input, or an open file descriptor to read them from.
        stdout: An open file descriptor for its standard output, which is then not kept here.
        timeout: Seconds after which it is killed.
        accept: Exit statuses that are no error.

    Raises:
        ProcessFailedError: It is missing, timed out, printed more than `MAX_OUTPUT`, or ended with
            another status; the message has the last line of its standard error.
    """
    import subprocess  # some 2 ms, which a command that starts nothing does without

    feed: dict[str, object] = {"stdin": stdin} if isinstance(stdin, int) else {"input": stdin}
    try:
        done = subprocess.run(  # type: ignore[call-overload]
            list(argv),
            env=dict(environment),
            cwd=directory,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            timeout=timeout,
            check=False,
            **feed,
        )
    except FileNotFoundError as error:
        raise ProcessFailedError(
            f"{argv[0]} was not found", advice="install it, or put it on PATH"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ProcessFailedError(f"{argv[0]} did not end within {timeout:g} s") from error
    except OSError as error:
        raise ProcessFailedError(
            f"{argv[0]} could not be started: {error.strerror or error}"
        ) from error
    completed = Completed(
        argv=tuple(argv), status=done.returncode, stdout=done.stdout or b"", stderr=done.stderr
    )
    if len(completed.stdout) > MAX_OUTPUT:
        raise ProcessFailedError(f"{argv[0]} printed more than {MAX_OUTPUT} bytes")
    if completed.status not in accept:
        lines = completed.stderr.decode("utf-8", "replace").strip().splitlines()
        said = lines[-1] if lines else "nothing on standard error"
        name = " ".join(argv[:2]) if os.path.basename(argv[0]) in ("git", "uv") else argv[0]
        raise ProcessFailedError(
            f"{os.path.basename(name)} ended with status {completed.status}: {said}",
            completed=completed,
        )
    return completed
