# SPDX-License-Identifier: Apache-2.0
"""The recorded command in a terminal of its own, as under script(1).

Ours is raw meanwhile and only carries bytes; the pseudo terminal interprets them.
"""

from __future__ import annotations

import fcntl
import os
import signal
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from io import FileIO
from types import FrameType
from typing import Final, NoReturn

from repropack.capture.command import (
    Command,
    hand_over,
    join,
    not_started,
    spare_threads,
    start,
    start_threads,
)
from repropack.capture.relay import SILENCE, Log, Relay, open_pipe, open_relays, wait_ready
from repropack.capture.signals import (
    FORWARDED,
    Forwarder,
    Handler,
    handling,
    ignore,
    ignore_ends,
    stop_ourselves,
    wait_for,
)
from repropack.process import are_ends_ignored

__all__ = ["NoTerminalError", "in_foreground", "run_in_own_terminal"]

STDIN: Final = 0


def in_foreground() -> bool:
    """Whether standard input is our controlling terminal and we are in its foreground."""
    try:
        return os.tcgetpgrp(STDIN) == os.getpgrp()
    except OSError:
        return False


class NoTerminalError(Exception):
    """The system has no pseudo terminal left, or none at all (a container without /dev/pts)."""


def run_in_own_terminal(command: Command, logs: tuple[Log, Log]) -> tuple[int, int, bool]:
    """Runs the command in a new session with a pty as its controlling terminal.

    Between us and the command is a process that leads the session. Without it the command's process
    group would be orphaned (POSIX.1-2024, XBD 3.250), and the kernel would ignore Ctrl-Z.

    Returns:
        The exit status, or minus the signal; the process id of the session leader; and whether a
        descendant of the command still holds what it wrote to.

    Raises:
        CommandNotStartedError: It cannot be started.
        CommandNotWatchedError: There are no descriptors, threads or processes left.
        NoTerminalError: There is no pseudo terminal.
    """
    with ExitStack() as resources:
        running, ended = open_pipe(resources)
        notices, tell = open_pipe(resources)
        relays, outputs = open_relays(logs, running, resources, processed=True)
        spare_threads(len(relays) + 1 + len(command.followers))
        terminal, slave = relays[0].source, outputs[0]
        if not terminal.isatty():
            raise NoTerminalError
        # Input that the command does not read must not block us for ever.
        os.set_blocking(terminal.fileno(), False)
        ours = _OurTerminal(relays, termios.tcgetattr(STDIN))
        forward = Forwarder()
        # SIGTSTP stops the command, and what has stopped it stops us.
        handlers: dict[int, Handler] = dict.fromkeys((*FORWARDED, signal.SIGTSTP), forward)
        handlers[signal.SIGWINCH] = handlers[signal.SIGCONT] = ours.handle
        with handling(handlers) as awake, ours:
            try:
                leader = os.fork()
            except OSError as error:
                raise not_started(command, error.errno or 0) from error
            if leader == 0:
                foreign = (*(relay.source for relay in relays), notices)
                _lead_session(command, outputs, tell, foreign)
            tell.close()
            outputs[1].close()
            typing = threading.Thread(
                target=_forward_input, args=(ours, terminal, running), daemon=True
            )
            start_threads(*relays, typing, *(f.thread for f in command.followers))
            code = _follow(_read_notices(notices, awake), forward, ours)
            _, status = os.waitpid(leader, 0)
            # We have kept it open, so that there is no end of file before the command has ended.
            slave.close()
            ended.close()
            join(command, *relays, typing)
        # The terminal itself ends with us, as it does under script(1).
        goes_on = not relays[0].source.closed
        goes_on = hand_over(command, *relays[1:]) or goes_on
        if code is None:
            # The session leader itself did not get to its end: it was killed.
            return os.waitstatus_to_exitcode(status), leader, goes_on
        if isinstance(code, OSError):
            raise not_started(command, code.errno or 0)
        return code, leader, goes_on


def _read_notices(notices: FileIO, awake: FileIO) -> Iterator[tuple[bytes, int]]:
    """What the session leader reports, one word and one number each."""
    rest = b""
    while True:
        wait_for(notices, awake)
        data = notices.read(4096)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            yield word, int(number)


def _follow(
    notices: Iterator[tuple[bytes, int]], forward: Forwarder, ours: _OurTerminal
) -> int | OSError | None:
    """Acts on what the session leader reports; returns how the command ended."""
    group = 0
    for word, number in notices:
        match word:
            case b"started":
                group = number
                forward.aim(group)
            case b"stopped":
                ours.leave()
                # As the terminal would have done it: the whole job stops, and the shell that
                # started it sees that. This returns when somebody has continued us.
                stop_ourselves(number, group=0)
                ours.attend()
                with suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGCONT)
            case b"ended":
                forward.aim(None)
                return os.waitstatus_to_exitcode(number)
            case b"failed":
                return OSError(number, os.strerror(number))
    return None


def _lead_session(
    command: Command,
    outputs: tuple[FileIO, FileIO],
    tell: FileIO,
    foreign: tuple[FileIO, ...],
) -> NoReturn:
    """The life of the session leader, a fork of us."""
    slave, stderr = outputs
    try:
        signal.set_wakeup_fd(-1)
        for number in (*FORWARDED, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, ignore)
        for file in foreign:
            file.close()
        try:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            process = start(command, slave, outputs, _take_foreground)
        except OSError as error:
            tell.write(b"failed %d\n" % (error.errno or 0))
            os._exit(0)
        stderr.close()
        tell.write(b"started %d\n" % process.pid)
        while True:
            _, status = os.waitpid(process.pid, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            tell.write(b"stopped %d\n" % os.WSTOPSIG(status))
        # When the leader of a session exits, the foreground group gets SIGHUP. Background
        # processes that the command has left there would not have got one without us.
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        with suppress(OSError):
            os.tcsetpgrp(slave.fileno(), os.getpgrp())
        tell.write(b"ended %d\n" % status)
        os._exit(0)
    finally:
        os._exit(1)


def _take_foreground() -> None:
    """In the new process: a process group of its own, in the foreground of its terminal."""
    os.setpgid(0, 0)
    # Changing the foreground from the background would stop us.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTTOU,))
    os.tcsetpgrp(STDIN, os.getpid())
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if are_ends_ignored():
        ignore_ends()


class _OurTerminal:
    """Our terminal, which is raw while we are in its foreground: the pty interprets all bytes."""

    def __init__(self, relays: tuple[Relay, ...], modes: list[int | list[bytes | int]]) -> None:
        self._relays = relays
        self._modes = modes

    def __enter__(self) -> None:
        self.attend()

    def __exit__(self, *_: object) -> None:
        self.leave()

    def attend(self) -> None:
        """Makes it raw and hands its size on. In the background it belongs to others."""
        # A terminal that has gone away has no modes to set; SIGHUP says so.
        with suppress(termios.error):
            if in_foreground():
                tty.setraw(STDIN, termios.TCSANOW)
        # The size of the pty comes last: setting it tells the command.
        for relay in reversed(self._relays):
            relay.copy_size()

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """The signals that say that the size changed, or that we go on after a stop."""
        self.attend()

    def leave(self) -> None:
        """Restores the modes that it had."""
        with suppress(termios.error):
            if in_foreground():
                termios.tcsetattr(STDIN, termios.TCSADRAIN, self._modes)


def _forward_input(ours: _OurTerminal, terminal: FileIO, running: FileIO) -> None:
    """Hands on what is typed until the command has ended."""
    ended = running.fileno()
    away = False
    try:
        while True:
            if not in_foreground():
                # Reading would stop us. No signal tells that a running job comes to the foreground.
                away = True
                if wait_ready((ended,), timeout=SILENCE):
                    return
                continue
            if away:
                away = False
                ours.attend()
            if ended in wait_ready((STDIN, ended)):
                return
            if not in_foreground():
                continue
            typed = os.read(STDIN, 4096)
            if not typed:
                return
            while typed:
                if ended in wait_ready((ended,), writable=terminal.fileno()):
                    return
                typed = typed[terminal.write(typed) or 0 :]
    except (OSError, ValueError):
        # Our terminal has hung up, or that of the command has been closed for this reason.
        return
