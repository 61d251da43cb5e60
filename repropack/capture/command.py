# SPDX-License-Identifier: Apache-2.0
"""The recorded command: how it is started, who watches it, and what it leaves behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Final, NoReturn, Protocol

from msgspec import Struct

from repropack.capture.relay import CommandNotWatchedError, Relay
from repropack.errors import RepropackError
from repropack.process import are_ends_ignored, find_program

__all__ = [
    "Command",
    "CommandNotStartedError",
    "Follower",
    "become",
    "hand_over",
    "join",
    "not_started",
    "spare_threads",
    "start",
    "start_threads",
]


_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)
"""Errors of a start that tell of our means, and not of the program."""


class CommandNotStartedError(RepropackError):
    """The command could not be started.

    Attributes:
        status: The exit status that a shell gives: 127 not found, 126 cannot be executed
            (POSIX.1-2024, XCU 2.8.2).
    """

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class Follower(Protocol):
    """A thread that watches the command while it runs."""

    @property
    def thread(self) -> threading.Thread:
        """Started after the command, because no thread may run when we fork."""

    def stop(self) -> None:
        """Told once the command has ended; the thread ends soon after."""

    def holds_alone(self, pipe: int) -> bool:
        """Whether the other end of a pipe is open in nothing but the follower's own processes."""


class Command(Struct, frozen=True):
    """What is started.

    Attributes:
        argv: Program and arguments.
        environment: Its whole environment.
        directory: Its working directory.
        followers: Watch it while it runs.
    """

    argv: tuple[str, ...]
    environment: dict[str, str]
    directory: Path
    followers: tuple[Follower, ...]


def start(
    command: Command,
    stdin: FileIO | None,
    outputs: tuple[FileIO, FileIO],
    prepare: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts the command. `prepare` runs in the new process.

    Raises:
        OSError: It cannot be started.
    """

    def popen(argv: tuple[str, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=outputs[0],
            stderr=outputs[1],
            env=command.environment,
            cwd=command.directory,
            # Our own descriptors close on exec; those of our caller are meant for the command.
            close_fds=False,
            preexec_fn=prepare,  # noqa: PLW1509 - system calls only; no threads run yet
        )

    try:
        return popen(command.argv)
    except OSError as error:
        program = command.argv[0]
        found = (
            program if "/" in program else find_program(program, command.environment.get("PATH"))
        )
        if error.errno != errno.ENOEXEC or found is None:
            raise
        # A script without a #! line: execvp(3) and every shell hand it to sh.
        return popen(("/bin/sh", found, *command.argv[1:]))


def become(argv: Sequence[str], environment: Mapping[str, str], directory: Path) -> NoReturn:
    """Goes on as the command: where it cannot be watched, it runs as if we had never been.

    Raises:
        CommandNotStartedError: It cannot be executed.
    """
    # Python ignores these itself; what the caller did with them is not known (see `streams`).
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if are_ends_ignored():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    command = Command(tuple(argv), dict(environment), directory, ())
    os.chdir(directory)
    try:
        os.execvpe(argv[0], command.argv, command.environment)  # noqa: S606 - what the user typed
    except OSError as error:
        found = argv[0] if "/" in argv[0] else find_program(argv[0], environment.get("PATH"))
        if error.errno == errno.ENOEXEC and found is not None:
            shell = ("/bin/sh", found, *argv[1:])
            os.execve(shell[0], shell, command.environment)  # noqa: S606 - as above
        raise not_started(command, error.errno or 0) from error


def not_started(command: Command, number: int) -> RepropackError:
    """What a shell would say and return, from the error number of the start."""
    if number in _EXHAUSTED:
        return CommandNotWatchedError(os.strerror(number))
    program = command.argv[0]
    if number not in (errno.ENOENT, errno.ENOTDIR):
        return CommandNotStartedError(
            f"{program} cannot be executed: {os.strerror(number)}", status=126
        )
    if "/" in program and (command.directory / program).exists():
        return CommandNotStartedError(
            f"{program} cannot be executed: the interpreter that its #! line names was not found",
            status=126,
        )
    return CommandNotStartedError(f"{program}: command not found", status=127)


def spare_threads(count: int) -> None:
    """Makes sure that so many threads can be started, before there is a command to be watched.

    Raises:
        CommandNotWatchedError: They cannot, for want of memory or by a limit.
    """
    go = threading.Event()
    threads = [threading.Thread(target=go.wait, daemon=True) for _ in range(count)]
    try:
        start_threads(*threads)
    except RuntimeError as error:
        raise CommandNotWatchedError(str(error)) from error
    finally:
        go.set()
        for thread in threads:
            if thread.ident is not None:
                thread.join()


def start_threads(*threads: threading.Thread) -> None:
    """Starts threads that take no signals: those wake only the thread that they are sent to."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        for thread in threads:
            thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def join(command: Command, *threads: threading.Thread) -> None:
    """Waits for the threads of a command that has ended."""
    for follower in command.followers:
        follower.stop()
    for thread in (*threads, *(f.thread for f in command.followers)):
        thread.join()


def hand_over(command: Command, *relays: Relay) -> bool:
    """Leaves streams that descendants of the ended command hold to a process of their own.

    Returns:
        Whether there is such a stream, and so a descendant that goes on.
    """
    held = False
    for relay in relays:
        if not relay.source.closed and any(
            follower.holds_alone(relay.source.fileno()) for follower in command.followers
        ):
            relay.source.close()
        else:
            held = held or not relay.source.closed
            relay.hand_over()
    return held
