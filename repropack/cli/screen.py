# SPDX-License-Identifier: Apache-2.0
"""How repropack speaks: plain lines, a little colour on a terminal, nothing when piped."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import Final, TextIO

from repropack.escaping import show

__all__ = [
    "bold",
    "complain",
    "dim",
    "folded",
    "human_size",
    "plural",
    "say",
    "styled",
    "tell",
]

MIN_WIDTH: Final = 40
"""Columns of a terminal below which lines are not broken further."""

_STYLE: Final = re.compile(r"\x1b\[[0-9;]*m")


def say(text: str = "") -> None:
    """Prints a result line. Foreign text in it has been through `show`.

    Raises:
        OSError: Nobody takes it (`BrokenPipeError`), or it cannot be written.
    """
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except OSError as error:
        # What is still in the buffer would fail once more when Python ends, with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OSError(error.errno, error.strerror, "standard output") from error


def tell(text: str) -> None:
    """Prints a line beside the result: what goes on, a warning, the id of a run."""
    # Unbuffered, and no failure: what was asked for does not depend on who hears about it.
    with contextlib.suppress(OSError):
        os.write(2, (text + "\n").encode("utf-8", "backslashreplace"))


def complain(message: str, advice: str = "") -> None:
    """Prints an error in one line."""
    line = f"repropack: {show(message, limit=2000)}"
    tell(f"{line}; {show(advice, limit=1000)}" if advice else line)


def bold(text: str, stream: TextIO | None = None) -> str:
    """Text that stands out on a terminal."""
    return styled(text, "1", stream or sys.stdout)


def dim(text: str, stream: TextIO | None = None) -> str:
    """Text that stands back on a terminal."""
    return styled(text, "2", stream or sys.stdout)


def folded(text: str, indent: int = 0) -> str:
    """Text in lines that fit a terminal, the later ones indented; as it is where it is piped.

    Only spaces are broken at, so that digests, paths and commands can be copied.
    """
    if not sys.stdout.isatty():
        return text
    import shutil  # with its archives some 2 ms, which most commands do without

    width = max(shutil.get_terminal_size().columns, MIN_WIDTH)
    lines: list[str] = []
    line = ""
    for number, word in enumerate(text.split(" ")):
        longer = f"{line} {word}" if number else word
        if line.strip() and len(_STYLE.sub("", longer)) > width:
            lines.append(line.rstrip(" "))
            line = " " * indent + word
        else:
            line = longer
    return "\n".join((*lines, line))


def human_size(count: int) -> str:
    """Bytes for people: powers of 1024, as `ls -h`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def plural(count: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def styled(text: str, style: str, stream: TextIO) -> str:
    """Text in a style (ECMA-48, SGR) on a terminal that shows it, and as it is elsewhere."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{style}m{text}\x1b[0m"
