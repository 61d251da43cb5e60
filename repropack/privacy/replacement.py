# SPDX-License-Identifier: Apache-2.0
"""Replaces an author's terms, where she says so, by words that she chooses.

Pure. A term is replaced exactly as it is spelled and only where no letter adjoins, which is where
the leak gate finds it: `kim` in `skimage` stays. Text is edited, binary content never.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from repropack.privacy.edges import AFTER_ESCAPE

__all__ = ["Replacement", "ReplacementError", "apply", "parse_replacements"]

MAX_TERM: Final = 200
"""Characters of a term: the longest affiliation has fewer."""

_TEXT: Final = re.compile(r"[\w .@+-]{1,200}")
"""What may stand in code, in a string of any language, in JSON and in a path alike."""


class ReplacementError(ValueError):
    """A replacement that could not be made without harm."""


class Replacement(Struct, frozen=True, kw_only=True):
    """A term and what stands there instead."""

    term: str
    text: str


def parse_replacements(given: Sequence[str]) -> tuple[Replacement, ...]:
    """Reads `TERM=TEXT`, each; the longest term first, so that it is not broken by a shorter one.

    Raises:
        ReplacementError: A form that is not allowed, or a term that would stand there again.
    """
    found: dict[str, Replacement] = {}
    for one in given:
        term, equals, text = one.rpartition("=")
        if not equals or not term.strip() or term != term.strip() or not term.isprintable():
            raise ReplacementError(f"{one!r}: expected TERM=TEXT, such as `Zoe Marsh=Author`")
        if len(term) > MAX_TERM or "/" in term or "\\" in term:
            raise ReplacementError(
                f"{term!r}: expected a name or a word, not a path, of at most {MAX_TERM} characters"
            )
        if not _TEXT.fullmatch(text) or text != text.strip() or text in (".", ".."):
            raise ReplacementError(
                f"{text!r}: expected letters, digits and `. _ - + @` or spaces between them, "
                "which may stand in code and in file names"
            )
        if term in found and found[term].text != text:
            raise ReplacementError(f"{term!r} has two replacements")
        found[term] = Replacement(term=term, text=text)
    for text in (each.text for each in found.values()):
        for term in found:
            if _pattern(term).search(text):
                raise ReplacementError(f"{text!r} holds {term!r}, which is to go")
    return tuple(sorted(found.values(), key=lambda r: (-len(r.term), r.term)))


def apply(
    text: str, replacements: Sequence[Replacement], counts: dict[str, int] | None = None
) -> str:
    """The text with every term replaced.

    Args:
        text: Any text.
        replacements: As `parse_replacements` orders them.
        counts: By term, how often it was replaced; added to.
    """
    for one in replacements:
        if one.term not in text:
            continue
        # The characters that a text may have mean nothing to `re`.
        text, times = _pattern(one.term).subn(one.text, text)
        if times and counts is not None:
            counts[one.term] = counts.get(one.term, 0) + times
    return text


def _pattern(term: str) -> re.Pattern[str]:
    left = rf"(?:(?<![^\W\d_])|{AFTER_ESCAPE})" if term[0].isalpha() else ""
    right = r"(?![^\W\d_])" if term[-1].isalpha() else ""
    return re.compile(left + re.escape(term) + right)
