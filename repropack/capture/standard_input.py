# SPDX-License-Identifier: Apache-2.0
"""Whether the command read its standard input, as far as that can be seen from beside it.

The command has our open file. Of a file its position moves, and of a pipe fewer bytes wait than
before. What is read from a pipe that is filled meanwhile is not seen.
"""

from __future__ import annotations

import array
import fcntl
import os
import stat
import termios
from typing import Final

__all__ = ["StandardInput"]

STDIN: Final = 0


class StandardInput:
    """Standard input as it is before the command starts.

    Attributes:
        is_file: It is a regular file; else a pipe or socket, or nothing that is looked at.
    """

    def __init__(self) -> None:
        self.is_file = False
        self._before = self._state()

    def was_read(self) -> bool:
        """Whether something of it has been read since."""
        after = self._state()
        if self._before is None or after is None:
            return False
        return after > self._before if self.is_file else after < self._before

    def _state(self) -> int | None:
        """The position in a file, or the bytes that wait in a pipe; None for anything else."""
        try:
            mode = os.fstat(STDIN).st_mode
            self.is_file = stat.S_ISREG(mode)
            if self.is_file:
                return os.lseek(STDIN, 0, os.SEEK_CUR)
            if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
                waiting = array.array("i", [0])
                fcntl.ioctl(STDIN, termios.FIONREAD, waiting)
                return waiting[0]
        except OSError:
            # It is closed, or of a kind that does not tell.
            return None
        return None
