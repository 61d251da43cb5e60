# SPDX-License-Identifier: Apache-2.0
"""The one door between text that somebody else wrote and a screen.

A bundle can hold terminal escapes, bidirectional overrides and zero-width characters. `show`
makes each of them visible and inert. HTML has its own door, autoescaping in `reports.html`.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable
from typing import Final

__all__ = ["show", "show_command"]

MAX_SHOWN: Final = 500
"""Characters of one foreign string that reach a screen."""

_PLAIN_WORD: Final = re.compile(
    r"(?:[\w@%+=:,./-]|\{(?:[a-z]+|(?:data|code):[\w.-]+)\})+", re.ASCII
)
"""A word that a shell takes as it is; a placeholder needs no quotes to be read."""

_INERT_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def show(text: object, *, limit: int = MAX_SHOWN) -> str:
    """Makes text safe to print: one line, no control or invisible characters, bounded length."""
    source = str(text)
    cut = source[:limit]
    plain = cut.isascii() and cut.isprintable()
    shown = cut if plain else "".join(_visible(c) for c in cut)
    return shown if len(source) <= limit else f"{shown}… ({len(source)} characters)"


def show_command(argv: Iterable[str], *, limit: int = MAX_SHOWN) -> str:
    """Makes a command line safe to print, quoted so that its arguments can be told apart."""
    words = (one if _PLAIN_WORD.fullmatch(one) else shlex.quote(one) for one in argv)
    return show(" ".join(words), limit=limit)


def _visible(character: str) -> str:
    if unicodedata.category(character) in _INERT_CATEGORIES:
        number = ord(character)
        return f"\\x{number:02x}" if number < 256 else f"\\u{{{number:x}}}"
    return character
