# SPDX-License-Identifier: Apache-2.0
"""Runs the recorded command: its output is live as without us, and is also kept.

There are two ways. Where our standard input and output are a terminal that we are in the foreground
of, the command gets a terminal of its own, as under script(1), and ours only carries bytes:
isatty, curses, prompts, passwords, widths, Ctrl-C and Ctrl-Z work as before. Everywhere else the
command stays in our process group with our standard input, and only its outputs pass through us, by
a pipe, or by a pseudo terminal (pty) in place of a terminal.

The command inherits what it would inherit without us: open descriptors (`<(…)`, a make job
server), blocked and ignored signals (nohup); signals that we handle are back at their default in
it. Only SIGPIPE and SIGXFSZ are always at their default: Python ignores them itself and does not
know what its caller did. What the command leaves in the background can go on writing after we have
ended.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from types import FrameType

from msgspec import Struct

from repropack.capture.command import (
    Command,
    CommandNotStartedError,
    Follower,
    hand_over,
    join,
    not_started,
    spare_threads,
    start,
    start_threads,
)
from repropack.capture.own_terminal import NoTerminalError, in_foreground, run_in_own_terminal
from repropack.capture.relay import STDOUT, Log, open_pipe, open_relays
from repropack.capture.signals import (
    FORWARDED,
    Forwarder,
    Handler,
    handling,
    ignore_ends,
    is_main_thread,
    wait_for,
)
from repropack.capture.witness import Witness
from repropack.process import are_ends_ignored

__all__ = ["ProcessEnd", "run_command"]


class ProcessEnd(Struct, frozen=True, kw_only=True):
    """How the command ended: by itself with a status, or by a signal.

    Attributes:
        parent: Process id of what started the command: ours, or that of a session leader.
        goes_on: Something that the command started still holds its output.
        log_failed: What the command wrote could not be kept whole.
    """

    status: int | None
    signal: int | None
    parent: int
    goes_on: bool
    log_failed: bool


def run_command(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path,
    stdout_log: Path,
    stderr_log: Path,
    followers: tuple[Follower, ...] = (),
) -> ProcessEnd:
    """Runs a command to its end and keeps what it writes.

    Args:
        argv: Program and arguments. The program is looked up on the PATH of `environment`.
        environment: The whole environment of the command.
        directory: Its working directory.
        stdout_log: Gets the bytes of its standard output, and, where it has a terminal of its own,
            of all that it writes to that terminal.
        stderr_log: Gets the bytes of its standard error. Where that goes to the same place as
            standard output (`2>&1`, a terminal), it stays empty, and `stdout_log` gets them in the
            order in which both were written.
        followers: Watch it while it runs.

    Raises:
        CommandNotStartedError: It does not exist or cannot be executed.
        CommandNotWatchedError: We have not the means to watch it; it was not started.
    """
    command = Command(tuple(argv), dict(environment), directory, followers)
    if not directory.is_dir():
        raise CommandNotStartedError(f"{directory} is not a directory", status=126)
    with ExitStack() as resources:
        logs = (
            resources.enter_context(Log(stdout_log)),
            resources.enter_context(Log(stderr_log)),
        )
        end = None
        if is_main_thread() and os.isatty(STDOUT) and in_foreground():
            with suppress(NoTerminalError):
                end = run_in_own_terminal(command, logs)
        code, parent, goes_on = end or _run_in_place(command, logs)
    return ProcessEnd(
        status=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        parent=parent,
        goes_on=goes_on,
        log_failed=any(log.failed for log in logs),
    )


def _run_in_place(command: Command, logs: tuple[Log, Log]) -> tuple[int, int, bool]:
    """Runs the command in our process group, with our standard input.

    Returns:
        As `run_in_own_terminal`; what starts the command are we.

    Raises:
        CommandNotStartedError: It cannot be started.
        CommandNotWatchedError: There are no descriptors, threads or processes left.
    """
    with ExitStack() as resources:
        running, ended = open_pipe(resources)
        exit_seen, see_exit = open_pipe(resources)
        relays, outputs = open_relays(logs, running, resources, processed=False)
        spare_threads(len(relays) + 1 + len(command.followers))
        forward = Forwarder()

        def follow_size(number: int, frame: FrameType | None) -> None:
            for relay in relays:
                relay.copy_size()
            # The terminal has told the command already, but then the size was still the old one.
            forward(number, frame)

        ignored = are_ends_ignored()
        handlers: dict[int, Handler] = dict.fromkeys(FORWARDED, forward)
        handlers[signal.SIGCONT] = forward
        handlers[signal.SIGTSTP] = forward.stop
        if any(relay.source.isatty() for relay in relays):
            handlers[signal.SIGWINCH] = follow_size
        with handling(handlers) as awake:
            for relay in relays:
                relay.copy_size()
            try:
                process = start(command, None, outputs, ignore_ends if ignored else None)
            except OSError as error:
                raise not_started(command, error.errno or 0) from error
            witness = Witness()
            resources.callback(witness.close)
            forward.aim(process.pid, witness)
            for output in outputs:
                output.close()
            watch = threading.Thread(target=_watch_exit, args=(process.pid, see_exit), daemon=True)
            start_threads(*relays, watch, *(f.thread for f in command.followers))
            wait_for(exit_seen, awake)
            forward.aim(None)
            code = process.wait()
        ended.close()
        join(command, *relays, watch)
        return code, os.getpid(), hand_over(command, *relays)


def _watch_exit(process: int, see_exit: FileIO) -> None:
    try:
        # It stays a zombie, so that no signal can go to another process with its number.
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    finally:
        see_exit.close()
