# SPDX-License-Identifier: Apache-2.0
"""Tells signals that reach the recorder alone from those that reach the command as well.

A terminal sends Ctrl-C to a whole process group, a batch system often every process of a job; an
editor's stop button and `kill PID` send it to the recorder alone. The kernel does not say which it
was. So a process that does nothing stands beside the command, and what hits it too was meant for
all: the command has it already, and a second one could end it while it tidies up after the first.

It is `cat`, which waits on a pipe of ours and so ends with us, however we end. It does not bear the
name of the recorder, so that `pkill repropack` is no signal for all.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from contextlib import suppress
from typing import Final

from repropack.process import find_program

__all__ = ["WINDOW", "Witness"]

WINDOW: Final = 0.2
"""Seconds in which a signal for all reaches the witness too: who sends it to one process after the
other takes milliseconds, and a busy machine some more to run it."""

STEP: Final = 0.005
"""Seconds between two looks."""


class Witness:
    """The process. Where none can be started, every signal counts as for the recorder alone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    @property
    def stands(self) -> bool:
        """Whether there is one."""
        return self._process is not None

    def saw(self, number: int) -> bool:
        """Whether a signal that has just come to us has come, or comes soon, to the witness too."""
        deadline = time.monotonic() + WINDOW
        while self._process is not None:
            found = self._event(self._process.pid)
            if found == number:
                return True
            if found is None and time.monotonic() > deadline:
                break
            if found is None:
                time.sleep(STEP)
        if number == signal.SIGCONT and self._process is not None:
            # It may have stopped with us, and we have been continued alone.
            with suppress(OSError):
                os.kill(self._process.pid, signal.SIGCONT)
        return False

    def close(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _event(self, pid: int) -> int | None:
        """The signal that has ended, stopped or continued it since the last look."""
        try:
            found, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        except ChildProcessError:
            # SIGCHLD is ignored: the kernel keeps no end for us.
            self._process = None
            return None
        if not found:
            return None
        if os.WIFCONTINUED(status):
            return signal.SIGCONT
        if os.WIFSTOPPED(status):
            return os.WSTOPSIG(status)
        assert self._process is not None
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._process.communicate()
        self._start()
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def _start(self) -> None:
        self._process = None
        program = find_program("cat", os.defpath)
        if program is None:
            return
        with suppress(OSError):
            self._process = subprocess.Popen(
                [program],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
            )
            # SIGQUIT would leave a core file.
            resource.prlimit(self._process.pid, resource.RLIMIT_CORE, (0, 0))
