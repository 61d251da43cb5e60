# SPDX-License-Identifier: Apache-2.0
"""The one door between text that somebody else wrote and a screen.

A bundle can hold terminal escapes, bidirectional overrides and zero-width characters. `show`
makes each of them visible and inert. HTML has its own door, autoescaping in `reports.html`.
"""

from __future__ import annotations

import unicodedata
from typing import Final

__all__ = ["show"]

MAX_SHOWN: Final = 500
"""Characters of one foreign string that reach a screen."""

_INERT_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def show(text: object, *, limit: int = MAX_SHOWN) -> str:
    """Makes text safe to print: one line, no control or invisible characters, bounded length."""
    source = str(text)
    cut = source[:limit]
    plain = cut.isascii() and cut.isprintable()
    shown = cut if plain else "".join(_visible(c) for c in cut)
    return shown if len(source) <= limit else f"{shown}… ({len(source)} characters)"


def _visible(character: str) -> str:
    if unicodedata.category(character) in _INERT_CATEGORIES:
        number = ord(character)
        return f"\\x{number:02x}" if number < 256 else f"\\u{{{number:x}}}"
    return character
