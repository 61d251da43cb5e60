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

import errno
import fcntl
import os
import signal
import subprocess
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn, Protocol, TypeAlias

from msgspec import Struct

from repropack.capture.relay import SILENCE, STDOUT, Log, Relay, open_pipe, open_relays, wait_ready
from repropack.errors import RepropackError
from repropack.process import are_ends_ignored, find_program

__all__ = ["CommandNotStartedError", "Follower", "ProcessEnd", "run_command"]

STDIN: Final = 0

FORWARDED: Final = (
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)

_Handler: TypeAlias = Callable[[int, FrameType | None], None]


class ProcessEnd(Struct, frozen=True, kw_only=True):
    """How the command ended: by itself with a status, or by a signal.

    Attributes:
        parent: Process id of what started the command: ours, or that of a session leader.
        log_failed: What the command wrote could not be kept whole.
    """

    status: int | None
    signal: int | None
    parent: int
    log_failed: bool


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


class _Command(Struct, frozen=True):
    argv: tuple[str, ...]
    environment: dict[str, str]
    directory: Path
    followers: tuple[Follower, ...]


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
    """
    command = _Command(tuple(argv), dict(environment), directory, followers)
    if not directory.is_dir():
        raise CommandNotStartedError(f"{directory} is not a directory", status=126)
    with ExitStack() as resources:
        logs = (
            resources.enter_context(Log(stdout_log)),
            resources.enter_context(Log(stderr_log)),
        )
        end = None
        if _is_main_thread() and os.isatty(STDOUT) and _in_foreground():
            with suppress(_NoTerminalError):
                end = _run_in_own_terminal(command, logs)
        code, parent = end or (_run_in_place(command, logs), os.getpid())
    return ProcessEnd(
        status=code if code >= 0 else None,
        signal=-code if code < 0 else None,
        parent=parent,
        log_failed=any(log.failed for log in logs),
    )


# ---------------------------------------------------------------- starting


def _start(
    command: _Command,
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


def _not_started(command: _Command, number: int) -> CommandNotStartedError:
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


# ---------------------------------------------------------------- in place


def _run_in_place(command: _Command, logs: tuple[Log, Log]) -> int:
    """Runs the command in our process group, with our standard input.

    Returns:
        The exit status, or minus the signal.

    Raises:
        CommandNotStartedError: It cannot be started.
    """
    with ExitStack() as resources:
        running, ended = open_pipe(resources)
        relays, outputs = open_relays(logs, running, resources, processed=False)
        forward = _Forwarder()

        def follow_size(number: int, frame: FrameType | None) -> None:
            for relay in relays:
                relay.copy_size()
            # The terminal has told the command already, but then the size was still the old one.
            forward(number, frame)

        ignored = are_ends_ignored()
        handlers: dict[int, _Handler] = dict.fromkeys(FORWARDED, forward)
        # Ctrl-C reaches the command as well, because it is in our process group.
        handlers[signal.SIGINT] = _ignore
        if any(relay.source.isatty() for relay in relays):
            handlers[signal.SIGWINCH] = follow_size
        with _handling(handlers) as awake:
            for relay in relays:
                relay.copy_size()
            try:
                process = _start(command, None, outputs, _ignore_ends if ignored else None)
            except OSError as error:
                raise _not_started(command, error.errno or 0) from error
            forward.aim(process.pid)
            for output in outputs:
                output.close()
            exit_seen, see_exit = open_pipe(resources)
            watch = threading.Thread(target=_watch_exit, args=(process.pid, see_exit), daemon=True)
            _start_threads(*relays, watch, *(f.thread for f in command.followers))
            _wait_for(exit_seen, awake)
            forward.aim(None)
            code = process.wait()
        ended.close()
        _join(command, *relays, watch)
        _hand_over(command, *relays)
        return code


def _watch_exit(process: int, see_exit: FileIO) -> None:
    try:
        # It stays a zombie, so that no signal can go to another process with its number.
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    finally:
        see_exit.close()


# ---------------------------------------------------------------- in a terminal of its own


class _NoTerminalError(Exception):
    """The system has no pseudo terminal left, or none at all (a container without /dev/pts)."""


def _run_in_own_terminal(command: _Command, logs: tuple[Log, Log]) -> tuple[int, int]:
    """Runs the command in a new session with a pty as its controlling terminal.

    Between us and the command is a process that leads the session. Without it the command's process
    group would be orphaned (POSIX.1-2024, XBD 3.250), and the kernel would ignore Ctrl-Z.

    Returns:
        The exit status, or minus the signal; and the process id of the session leader.

    Raises:
        CommandNotStartedError: It cannot be started.
        _NoTerminalError: There is no pseudo terminal.
    """
    with ExitStack() as resources:
        running, ended = open_pipe(resources)
        notices, tell = open_pipe(resources)
        relays, outputs = open_relays(logs, running, resources, processed=True)
        terminal, slave = relays[0].source, outputs[0]
        if not terminal.isatty():
            raise _NoTerminalError
        # Input that the command does not read must not block us for ever.
        os.set_blocking(terminal.fileno(), False)
        ours = _OurTerminal(relays, termios.tcgetattr(STDIN))
        forward = _Forwarder()
        handlers: dict[int, _Handler] = dict.fromkeys((*FORWARDED, signal.SIGINT), forward)
        handlers[signal.SIGWINCH] = handlers[signal.SIGCONT] = ours.handle
        with _handling(handlers) as awake, ours:
            leader = os.fork()
            if leader == 0:
                foreign = (*(relay.source for relay in relays), notices)
                _lead_session(command, outputs, tell, foreign)
            tell.close()
            outputs[1].close()
            typing = threading.Thread(
                target=_forward_input, args=(ours, terminal, running), daemon=True
            )
            _start_threads(*relays, typing, *(f.thread for f in command.followers))
            code = _follow(_read_notices(notices, awake), forward, ours)
            _, status = os.waitpid(leader, 0)
            # We have kept it open, so that there is no end of file before the command has ended.
            slave.close()
            ended.close()
            _join(command, *relays, typing)
        # The terminal itself ends with us, as it does under script(1).
        _hand_over(command, *relays[1:])
        if code is None:
            # The session leader itself did not get to its end: it was killed.
            return os.waitstatus_to_exitcode(status), leader
        if isinstance(code, OSError):
            raise _not_started(command, code.errno or 0)
        return code, leader


def _read_notices(notices: FileIO, awake: FileIO) -> Iterator[tuple[bytes, int]]:
    """What the session leader reports, one word and one number each."""
    rest = b""
    while True:
        _wait_for(notices, awake)
        data = notices.read(4096)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            word, _, number = line.partition(b" ")
            yield word, int(number)


def _follow(
    notices: Iterator[tuple[bytes, int]], forward: _Forwarder, ours: _OurTerminal
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
                os.kill(0, number)
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
    command: _Command,
    outputs: tuple[FileIO, FileIO],
    tell: FileIO,
    foreign: tuple[FileIO, ...],
) -> NoReturn:
    """The life of the session leader, a fork of us."""
    slave, stderr = outputs
    try:
        signal.set_wakeup_fd(-1)
        for number in (*FORWARDED, signal.SIGINT, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _ignore)
        for file in foreign:
            file.close()
        try:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            process = _start(command, slave, outputs, _take_foreground)
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
        _ignore_ends()


def _ignore_ends() -> None:
    """In the new process: SIGCHLD is ignored, as it was for us when we started."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


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
            if _in_foreground():
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
            if _in_foreground():
                termios.tcsetattr(STDIN, termios.TCSADRAIN, self._modes)


def _forward_input(ours: _OurTerminal, terminal: FileIO, running: FileIO) -> None:
    """Hands on what is typed until the command has ended."""
    ended = running.fileno()
    away = False
    try:
        while True:
            if not _in_foreground():
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
            if not _in_foreground():
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


# ---------------------------------------------------------------- signals


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _in_foreground() -> bool:
    """Whether standard input is our controlling terminal and we are in its foreground."""
    try:
        return os.tcgetpgrp(STDIN) == os.getpgrp()
    except OSError:
        return False


def _start_threads(*threads: threading.Thread) -> None:
    """Starts threads that take no signals: those wake only the thread that they are sent to."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        for thread in threads:
            thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _join(command: _Command, *threads: threading.Thread) -> None:
    """Waits for the threads of a command that has ended."""
    for follower in command.followers:
        follower.stop()
    for thread in (*threads, *(f.thread for f in command.followers)):
        thread.join()


def _hand_over(command: _Command, *relays: Relay) -> None:
    """Leaves streams that descendants of the ended command hold to a process of their own."""
    for relay in relays:
        if not relay.source.closed and any(
            follower.holds_alone(relay.source.fileno()) for follower in command.followers
        ):
            relay.source.close()
        else:
            relay.hand_over()


class _Forwarder:
    """A signal handler that hands signals on to the command, those from before its start too."""

    def __init__(self) -> None:
        self._process: int | None = None
        self._early: list[int] = []

    def aim(self, process: int | None) -> None:
        """Sets the process that gets the signals; None when it has ended."""
        self._process = process
        while process is not None and self._early:
            self(self._early.pop(0), None)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self._process is None:
            self._early.append(number)
            return
        with suppress(ProcessLookupError):
            os.kill(self._process, number)


def _ignore(number: int, frame: FrameType | None) -> None:
    """A handler in place of SIG_IGN, which the command would inherit."""


@contextmanager
def _handling(handlers: Mapping[int, _Handler]) -> Iterator[FileIO]:
    """Handles signals, except those that are ignored (nohup): they stay so, also in the command.

    Python can handle signals only in the main thread; elsewhere this does nothing.

    Yields:
        A pipe that becomes readable with each signal. Python runs handlers between its own
        instructions; a signal just before a blocking call would else be handled only after it.
    """
    before: dict[int, _Handler | int | None] = {}
    with ExitStack() as resources:
        awake, wake = open_pipe(resources)
        if not _is_main_thread():
            yield awake
            return
        os.set_blocking(awake.fileno(), False)
        os.set_blocking(wake.fileno(), False)
        earlier = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        try:
            for number, handler in handlers.items():
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before[number] = signal.signal(number, handler)
            yield awake
        finally:
            for number, previous in before.items():
                signal.signal(number, previous)
            signal.set_wakeup_fd(earlier)


def _wait_for(event: FileIO, awake: FileIO) -> None:
    """Waits until `event` is readable; handlers run meanwhile."""
    while event.fileno() not in wait_ready((event.fileno(), awake.fileno())):
        awake.read(4096)
