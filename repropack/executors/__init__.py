# SPDX-License-Identifier: Apache-2.0
"""The family of executors: where a repeated command runs.

An executor is told everything in a `Job` and answers with a `JobEnd`; it knows nothing of bundles
and sandboxes (the sandbox is part of the command line). Jobs and answers are values that JSON can
carry: what comes back from another machine is never unpickled, because the code that ran there
could have written it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Final, Protocol, cast

from msgspec import Struct

from repropack.errors import UsageError

__all__ = ["TABLE", "Executor", "Job", "JobEnd", "executor"]


class Job(Struct, frozen=True, kw_only=True):
    """A command to execute.

    Attributes:
        argv: Program (an absolute path) and arguments. There is no shell.
        environment: All its variables; nothing is inherited.
        directory: Where it starts.
        stdout: The log that its standard output goes to; a new file.
        stderr: The log that its standard error goes to; a new file.
        wall_seconds: When it is ended, or None.
        room: A directory on the disk that the command writes to.
        least_room: Bytes that have to stay free there; when there are fewer, it is ended at once.
        least_files: As many files must be able to be made there, for the same end.
        enough: Asked about twice a second whether the command has done what it was started for;
            when it has, it is ended at once.
        live: Told the name of the stream (`stdout`, `stderr`) and each piece of output when it
            comes, from a single thread.
    """

    argv: tuple[str, ...]
    environment: dict[str, str]
    directory: str
    stdout: str
    stderr: str
    wall_seconds: float | None = None
    room: str = "/"
    least_room: int = 0
    least_files: int = 0
    enough: Callable[[], bool] | None = None
    live: Callable[[str, bytes], None] | None = None


class JobEnd(Struct, frozen=True, kw_only=True):
    """How a command ended.

    Attributes:
        status: Its exit status, or None where a signal ended it.
        signal: The signal's name such as `SIGKILL`, or None.
        timed_out: Whether it was ended because its time was over.
        out_of_room: Whether it was ended because the disk was nearly full.
        enough: Whether it was ended because it had done enough.
        seconds: How long it ran.
        cut: The streams (`stdout`, `stderr`) of which not all could be kept.
    """

    status: int | None
    signal: str | None
    timed_out: bool
    seconds: float
    out_of_room: bool = False
    enough: bool = False
    cut: tuple[str, ...] = ()


class Executor(Protocol):
    """What every row of `TABLE` is."""

    def execute(self, job: Job) -> JobEnd:
        """Runs a command to its end and returns how it ended.

        After it returns, and also when it raises, no process of the command's process group is left
        and both logs are complete.

        Raises:
            RepropackError: The command could not be started, or a log could not be written.
            KeyboardInterrupt: The user pressed Ctrl-C; the command has been ended.
        """
        ...


TABLE: Final = {"local": "repropack.executors.local:LocalExecutor"}
"""Name to implementation, imported when it is asked for."""


def executor(name: str) -> Executor:
    """The executor of a name.

    Raises:
        UsageError: There is none; the message lists those that there are.
    """
    if name not in TABLE:
        raise UsageError(
            f"there is no executor {name!r}", advice=f"known are: {', '.join(sorted(TABLE))}"
        )
    module, _, attribute = TABLE[name].partition(":")
    return cast("Executor", getattr(importlib.import_module(module), attribute)())
