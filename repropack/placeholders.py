# SPDX-License-Identifier: Apache-2.0
"""Placeholders stand in records where a path of the author's machine would stand.

`Recording` turns text of this machine into recorded text; `fill` turns recorded text into text of
the machine that repeats the run. Both are pure.

The placeholders: `{project}` root of the code tree, `{env}` the interpreter's prefix, `{home}`,
`{tmp}`, `{host}`, `{user}`, `{data:NAME}` and `{code:NAME}`. Text that happens to look like one is
recorded with doubled braces: `{{project}`; so are the braces before a placeholder: `{{{project}` is
`{` and then the root.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

__all__ = [
    "PROJECT_DATA",
    "Recording",
    "UnfilledError",
    "code_placeholder",
    "data_placeholder",
    "fill",
    "is_recorded_path",
    "names_in",
    "split_code",
    "split_data",
]

PROJECT_DATA: Final = "project"
"""The name of the data set of files inside the project that git ignores."""

_NAME: Final = r"project|env|home|tmp|host|user|(?:data|code):[A-Za-z0-9_.-]+"
_CODE: Final = re.compile(r"\{(?:project|code:([A-Za-z0-9_.-]+))\}(?:/(.+))?", re.DOTALL)
_RECORDED: Final = re.compile(r"\{(?:" + _NAME + r")\}(?:/|\Z)")
_LITERAL: Final = re.compile(r"\{(?=\{*(?:" + _NAME + r")\})")
_TOKEN: Final = re.compile(r"(\{+)(" + _NAME + r")\}")


class UnfilledError(LookupError):
    """A recorded text names a placeholder for which there is no value here."""


class Recording(Struct, frozen=True, kw_only=True, dict=True):
    """What this machine's paths and names are called in records.

    Attributes:
        prefixes: Absolute directory to placeholder name; the longest directory that fits wins.
        words: Names (the host's, the user's) to placeholder name; replaced where they stand alone.
    """

    prefixes: dict[str, str]
    words: dict[str, str] = {}

    def text(self, text: str) -> str:
        """Replaces every directory and word in a text: an argument, a variable, a path."""
        if "{" not in text:
            return self._pattern.sub(self._placeholder, text)
        pieces: list[str] = []
        position = 0
        for match in self._pattern.finditer(text):
            pieces.append(_escape(text[position : match.start()], before_placeholder=True))
            pieces.append(self._placeholder(match))
            position = match.end()
        pieces.append(_escape(text[position:]))
        return "".join(pieces)

    def texts_below(self, directory: str, files: Sequence[str]) -> list[str]:
        """What `text` makes of each file below a directory; nearly always with one search for all.

        Args:
            directory: An absolute directory.
            files: Paths relative to it.
        """
        head = self.text(f"{directory}/")
        # In one text, a name after a line's end begins like one after a slash.
        together = "\n".join(files)
        inner = any(prefix.startswith(f"{directory}/") for prefix in self.prefixes)
        if inner or "{" in together or self._pattern.search(together):
            return [self.text(f"{directory}/{file}") for file in files]
        return [head + file for file in files]

    def _placeholder(self, match: re.Match[str]) -> str:
        found = match.group()
        return "{" + (self.prefixes.get(found) or self.words[found]) + "}"

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _pattern(tuple(self.prefixes), tuple(self.words))


@functools.lru_cache(maxsize=64)  # many recordings have the same few
def _pattern(directories: tuple[str, ...], words: tuple[str, ...]) -> re.Pattern[str]:
    # Each begins with a letter of its own, looked behind afterwards: a search for a letter is fast.
    alternatives = [
        # A directory ends where its name ends, and does not start inside another path; it may
        # follow the letter of an option (`-I/home/…`) or the scheme of an address (`file://`).
        rf"/(?:(?<![\w./-]/)|(?<=^-[A-Za-z]/)|(?<=:///)){re.escape(d[1:])}(?![\w-]|\.+[\w-])"
        for d in sorted(directories, key=len, reverse=True)
        if d != "/"
    ]
    for word in filter(None, words):
        first = re.escape(word[0])
        alternatives.append(rf"{first}(?<![A-Za-z0-9]{first}){re.escape(word[1:])}(?![A-Za-z0-9])")
    return re.compile("|".join(alternatives) if alternatives else r"(?!)")


def data_placeholder(name: str) -> str:
    """The placeholder of a data set, without braces."""
    return f"data:{name}"


def code_placeholder(name: str) -> str:
    """The placeholder of code from outside the project, without braces."""
    return f"code:{name}"


def split_code(path: str) -> tuple[str | None, str] | None:
    """Where a recorded path of code lies: the name in `{code:NAME}`, and the path below it.

    The name is None for the project; the path is empty for the place itself. None for other places.
    """
    found = _CODE.fullmatch(path)
    return (found[1], found[2] or "") if found else None


def is_recorded_path(path: str) -> bool:
    """Whether a path is a placeholder, and nothing or a path without `.` and `..` below it."""
    return _RECORDED.match(path) is not None and not {".", ".."} & set(path.split("/"))


def split_data(path: str) -> tuple[str, str] | None:
    """The data set of a recorded path, and the path below it; None for places of no data set."""
    if path.startswith("{project}/"):
        return PROJECT_DATA, path.removeprefix("{project}/")
    if path.startswith("{data:"):
        name, closed, rest = path.removeprefix("{data:").partition("}/")
        if closed:
            return name, rest
    return None


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replaces placeholders by their values and un-doubles literal braces.

    Raises:
        UnfilledError: A placeholder has no value; the message names it.
    """

    def value(match: re.Match[str]) -> str:
        braces, name = match.groups()
        literal = "{" * (len(braces) // 2)
        if len(braces) % 2 == 0:
            return literal + name + "}"
        try:
            return literal + values[name]
        except KeyError:
            raise UnfilledError(name) from None

    return _TOKEN.sub(value, text)


def names_in(text: str) -> tuple[str, ...]:
    """The placeholders in a recorded text, without braces, in order."""
    return tuple(name for braces, name in _TOKEN.findall(text) if len(braces) % 2 == 1)


def _escape(text: str, *, before_placeholder: bool = False) -> str:
    """Doubles the braces that would be read as part of a placeholder, there or in what follows."""
    doubled = _LITERAL.sub("{{", text) if "{" in text else text
    if before_placeholder:
        plain = doubled.rstrip("{")
        return plain + 2 * doubled[len(plain) :]
    return doubled
