# SPDX-License-Identifier: Apache-2.0
"""What happens to signals while the recorded command runs: they are the command's.

Those that reach only us are handed on; those that reach the command as well are not. What our
caller ignores (nohup) stays ignored, in the command too. SIGKILL and SIGSTOP cannot be handed on,
and those that a fault of our own raises (SIGSEGV and the like) are not the command's.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import FileIO
from types import FrameType
from typing import Final, TypeAlias

from repropack.capture.relay import open_pipe, wait_ready
from repropack.capture.witness import Witness

__all__ = [
    "FORWARDED",
    "Forwarder",
    "Handler",
    "handling",
    "ignore",
    "ignore_ends",
    "is_main_thread",
    "stop_ourselves",
    "wait_for",
]

FORWARDED: Final = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGVTALRM,
    signal.SIGPROF,
    signal.SIGIO,
    signal.SIGPWR,
    signal.SIGXCPU,
)
"""Those by which people, terminals and batch systems tell a program something."""

Handler: TypeAlias = Callable[[int, FrameType | None], None]


def is_main_thread() -> bool:
    """Whether this is the thread that Python runs signal handlers in."""
    return threading.current_thread() is threading.main_thread()


class Forwarder:
    """A signal handler that hands signals on to the command, those from before its start too."""

    def __init__(self) -> None:
        self._process: int | None = None
        self._witness: Witness | None = None
        self._early: list[int] = []

    def aim(self, process: int | None, witness: Witness | None = None) -> None:
        """Sets the process that gets the signals; None when it has ended.

        Args:
            process: It.
            witness: Says which signals have reached it already; None where none can.
        """
        self._process, self._witness = process, None
        while process is not None and self._early:
            self(self._early.pop(0), None)
        self._witness = witness

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Hands one signal on, or keeps it for `aim`."""
        if self._process is None:
            self._early.append(number)
            return
        if self._witness is not None and (
            self._witness.saw(number)
            # Without a witness it is most likely Ctrl-C, which the command has got.
            or (number == signal.SIGINT and not self._witness.stands)
        ):
            return
        with suppress(ProcessLookupError):
            os.kill(self._process, number)

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Hands SIGTSTP on, and then stops us too, as if there were no handler."""
        self(number, frame)
        if self._process is not None:
            stop_ourselves(number)


def stop_ourselves(number: int, group: int | None = None) -> None:
    """Stops us by a signal; returns when somebody has continued us.

    Args:
        number: SIGTSTP or another that stops.
        group: The process group that is stopped with us, 0 for ours; None for us alone.
    """
    handler = signal.getsignal(number)
    if number != signal.SIGSTOP:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid() if group is None else group, number)
    if number != signal.SIGSTOP:
        signal.signal(number, handler)


def ignore(number: int, frame: FrameType | None) -> None:
    """A handler in place of SIG_IGN, which the command would inherit."""


@contextmanager
def handling(handlers: Mapping[int, Handler]) -> Iterator[FileIO]:
    """Handles signals, except those that are ignored (nohup): they stay so, also in the command.

    Python can handle signals only in the main thread; elsewhere this does nothing.

    Yields:
        A pipe that becomes readable with each signal. Python runs handlers between its own
        instructions; a signal just before a blocking call would else be handled only after it.
    """
    before: dict[int, Handler | int | None] = {}
    with ExitStack() as resources:
        awake, wake = open_pipe(resources)
        if not is_main_thread():
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


def wait_for(event: FileIO, awake: FileIO) -> None:
    """Waits until `event` is readable; handlers run meanwhile."""
    while event.fileno() not in wait_ready((event.fileno(), awake.fileno())):
        awake.read(4096)


def ignore_ends() -> None:
    """In the new process: SIGCHLD is ignored, as it was for us when we started."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
