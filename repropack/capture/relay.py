# SPDX-License-Identifier: Apache-2.0
"""Carries what the recorded command writes: from a pipe or pty to our own stream and to a file."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import termios
import threading
import time
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import Final, NoReturn

from repropack.errors import RepropackError

__all__ = [
    "SILENCE",
    "STDERR",
    "STDOUT",
    "CommandNotWatchedError",
    "Log",
    "Relay",
    "open_pipe",
    "open_relays",
    "wait_ready",
]

STDOUT: Final = 1
STDERR: Final = 2

CHUNK: Final = 256 * 1024
"""Bytes read at a time; a pipe holds 64 KiB unless its owner asks for more."""

LEFT_BEHIND: Final = 1024 * 1024
"""Bytes that an ended command can have left in a stream: the most that a pipe holds
(/proc/sys/fs/pipe-max-size). What comes after them is from its descendants."""

SILENCE: Final = 0.2
"""Seconds without data after which we no longer wait for descendants that hold a stream."""

LINGER: Final = 2.0
"""Seconds after which we no longer wait for them although they go on writing."""

UNTOUCHED_BY: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)
"""Signals to our process group, which a background process may have chosen to survive."""


class CommandNotWatchedError(RepropackError):
    """What is needed to watch the command is not to be had: descriptors, threads, a process.

    The command was not started. It may well run without us, who need more than it does.
    """


class Log:
    """One file of kept output.

    Attributes:
        failed: Something could not be written. That is all that a failure does.
    """

    def __init__(self, path: Path) -> None:
        self.failed = False
        self._path = path
        self._file: FileIO | None = None

    def __enter__(self) -> Log:
        try:
            self._file = FileIO(self._path, "w")
        except OSError:
            self.failed = True
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def fileno(self) -> int | None:
        """Its descriptor; None where it takes no more bytes."""
        return None if self._file is None else self._file.fileno()

    def write(self, data: bytes) -> None:
        """Appends the bytes, unless something has failed before."""
        if self._file is None:
            return
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError:
            self.failed = True
            self._close()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError:
            # A network file system may say only now that it could not write.
            self.failed = True


class Relay(threading.Thread):
    """Carries one output stream of the command to ours and to its log.

    A thread for each, because a reader who has paused one stream (`| less`) must not hold up the
    other one.

    Attributes:
        source: The end that we read. It is closed when nobody takes the bytes any more, so that
            the command gets the SIGPIPE that it would have got without us. It stays open when
            descendants of the ended command still hold the other end.
    """

    def __init__(self, source: FileIO, target: int, log: Log, running: FileIO) -> None:
        super().__init__(daemon=True)
        self.source = source
        self._target = target
        self._log = log
        self._running = running

    def run(self) -> None:
        """Carries until the stream ends, or the command has ended and what it left is through."""
        in_use = False
        try:
            in_use = self._carry_all(self.source.fileno(), self._running.fileno())
        finally:
            if not in_use:
                self.source.close()

    def _carry_all(self, source: int, ended: int) -> bool:
        """Returns whether the stream has not ended: a descendant still holds it."""
        left = LEFT_BEHIND
        while left > 0:
            ready = wait_ready((source, ended))
            if source not in ready:
                break
            carried = self._carry()
            if carried is None:
                return False
            if ended in ready:
                left -= carried
        deadline = time.monotonic() + LINGER
        while time.monotonic() < deadline and wait_ready((source,), timeout=SILENCE):
            if self._carry() is None:
                return False
        return True

    def hand_over(self) -> None:
        """Leaves a stream that has not ended to a process of its own; call it after join().

        Without it, what the command has left in the background would get SIGPIPE. No thread of ours
        may run, since only the calling one goes on in a fork.
        """
        if self.source.closed:
            return
        before = signal.pthread_sigmask(signal.SIG_BLOCK, UNTOUCHED_BY)
        try:
            # If there can be no more processes, the stream breaks, which is all that we can do.
            with suppress(OSError):
                child = os.fork()
                if child == 0:
                    self._start_orphan()
                os.waitpid(child, 0)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.source.close()

    def _start_orphan(self) -> NoReturn:
        """Forks once more, so that init, and not we, or whoever has started us, must reap it."""
        try:
            if os.fork() == 0:
                log = self._log.fileno()
                # A reader of anything else that we have open must not wait for this process.
                _close_all_but(self.source.fileno(), self._target, *(() if log is None else (log,)))
                while self._carry() is not None:
                    pass
        finally:
            os._exit(0)

    def _carry(self) -> int | None:
        """Carries what is there; None where the stream has ended or nobody takes it."""
        try:
            data = self.source.read(CHUNK)
        except OSError:
            # EIO: no process has the other end of the pty open any more.
            return None
        if data is None:
            return 0
        if not data:
            return None
        shown = self._show(data)
        self._log.write(data)
        return len(data) if shown else None

    def _show(self, data: bytes) -> bool:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._target, rest) :]
            except BlockingIOError:
                # Somebody who shares the open file has set O_NONBLOCK on it.
                wait_ready((), writable=self._target)
            except OSError:
                return False
        return True

    def copy_size(self) -> None:
        """Gives the pty the window size of the terminal that it stands for."""
        if self.source.closed or not self.source.isatty():
            return
        with suppress(OSError, ValueError):
            size = fcntl.ioctl(self._target, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self.source, termios.TIOCSWINSZ, size)


def open_pipe(resources: ExitStack) -> tuple[FileIO, FileIO]:
    """The end to read from and the end to write to; `resources` closes both.

    Raises:
        CommandNotWatchedError: There is none.
    """
    try:
        reading, writing = os.pipe()
    except OSError as error:
        raise CommandNotWatchedError(str(error.strerror)) from error
    return (
        resources.enter_context(FileIO(reading, "r")),
        resources.enter_context(FileIO(writing, "w")),
    )


def open_relays(
    logs: tuple[Log, Log], running: FileIO, resources: ExitStack, *, processed: bool
) -> tuple[tuple[Relay, ...], tuple[FileIO, FileIO]]:
    """Relays for standard output and standard error.

    Where both of ours go to the same place there is only one, for both, and all is in the first
    log: two could not keep the order in which the command has written.

    Args:
        logs: Get what is written, for each of the two.
        running: Ends when the command has ended.
        resources: Closes all that is opened.
        processed: As in `_open_channel`.

    Returns:
        The relays, not started, and the standard output and standard error for the command.

    Raises:
        CommandNotWatchedError: There are no descriptors for them.
    """
    source, stdout = _open_channel(STDOUT, resources, processed=processed)
    relay = Relay(source, STDOUT, logs[0], running)
    if _go_to_same_place(STDOUT, STDERR):
        try:
            copy = os.dup(stdout.fileno())
        except OSError as error:
            raise CommandNotWatchedError(str(error.strerror)) from error
        return (relay,), (stdout, resources.enter_context(FileIO(copy, "w")))
    source, stderr = _open_channel(STDERR, resources, processed=processed)
    return (relay, Relay(source, STDERR, logs[1], running)), (stdout, stderr)


def _go_to_same_place(one: int, other: int) -> bool:
    with suppress(OSError):
        if os.path.sameopenfile(one, other):
            return True
        # Only our controlling terminal has an answer. It has two names: that, and /dev/tty.
        os.tcgetpgrp(one)
        os.tcgetpgrp(other)
        return True
    return False


def _close_all_but(*kept: int) -> None:
    for number in map(int, os.listdir("/dev/fd")):
        if number not in kept:
            # The list has the descriptor that it was read from.
            with suppress(OSError):
                os.close(number)


def _open_channel(number: int, resources: ExitStack, *, processed: bool) -> tuple[FileIO, FileIO]:
    """A pty in place of a terminal, a pipe in place of anything else.

    Args:
        number: Our descriptor that it stands for.
        resources: Closes both ends.
        processed: Whether the pty turns line feeds into what our terminal needs. Not where our
            terminal still does so itself.

    Returns:
        The end that we read and the end that the command writes.
    """
    if not os.isatty(number):
        return open_pipe(resources)
    try:
        outer, inner = os.openpty()
    except OSError:
        return open_pipe(resources)
    ends = (
        resources.enter_context(FileIO(outer, "r+")),
        resources.enter_context(FileIO(inner, "r+")),
    )
    modes = termios.tcgetattr(number)
    if not processed:
        modes[1] &= ~termios.OPOST
    termios.tcsetattr(inner, termios.TCSANOW, modes)
    return ends


def wait_ready(
    readable: tuple[int, ...], *, writable: int | None = None, timeout: float | None = None
) -> set[int]:
    """The descriptors on which a call would not block. `timeout` is in seconds."""
    poll = select.poll()
    for number in readable:
        poll.register(number, select.POLLIN)
    if writable is not None:
        poll.register(writable, select.POLLOUT)
    return {number for number, _ in poll.poll(None if timeout is None else timeout * 1000)}
