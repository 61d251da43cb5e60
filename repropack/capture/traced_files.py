# SPDX-License-Identifier: Apache-2.0
"""What a trace by strace tells of the files of a command, without the reader of traces."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = ["CALLS", "UNTRACED", "TracedFiles"]

CALLS: Final = (
    "open", "openat", "openat2", "creat", "truncate", "rename", "renameat", "renameat2",
    "execve", "execveat", "chdir", "fchdir",
)  # fmt: skip
"""The calls that open or replace a file, and those that say what a relative path means."""


class TracedFiles(Struct, frozen=True, kw_only=True):
    """What a trace tells. Paths are absolute, in order of first use.

    Attributes:
        read: Files that were opened for reading, or executed, before the command replaced them.
        written: Files that were opened for writing, truncated, or that another was renamed to.
        created: Those of them whose earlier content, if any, the command did not read.
        led: Where paths led that were read, of those that went through a link.
        exchanged: Files that were read before another directory took the place of theirs.
        programs: Programs that were executed.
        whole: Whether it tells of the end of the command and every line could be read.
    """

    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    led: dict[str, str] = {}
    exchanged: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    whole: bool = False


UNTRACED: Final = TracedFiles()
