# SPDX-License-Identifier: Apache-2.0
"""The places that arguments and variables name, whatever their spelling.

`../data`, `--data=../data`, `$PWD/../data` and `~/data` may all be the directory of one data set.
Records hold its placeholder instead, so that the command finds it wherever it is repeated.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final

from repropack.capture.materials import Surroundings, is_below, is_broad, is_system
from repropack.capture.preparation import plain
from repropack.placeholders import Recording

__all__ = ["beside_project", "recorded_text", "without_homes"]

_BETWEEN: Final = re.compile(r"([=,:])")
"""Stands between the paths of one argument: `--data=A`, `A:B`, `train=A,test=B`."""

_OPTION: Final = re.compile(r"-[A-Za-z](?=[./~])")
"""An option of one letter with its value: `-I../include`."""

_CLIMBING: Final = re.compile(
    r"(?<![\w./~-])/[^\s'\"=:,;|&<>()]*/\.\.(?![^/\s'\"=:,;|&<>()])"
    r"[^\s'\"=:,;|&<>()]*"
)
"""An absolute path with `..`, inside a longer text such as a command for a shell."""

_PLACED: Final = re.compile(r"\{(?:data|code):")

_HOME: Final = re.compile(
    r"(?:/[^/]+)*/(?:home|homes|users)/[^/]+(?:/|$)"
    r"|/root(?:/|$)|~",
    re.IGNORECASE,
)
"""A home directory."""


def recorded_text(text: str, directory: str, paths: Recording) -> str:
    """The recorded form of an argument or the value of a variable.

    Args:
        text: As the command got it.
        directory: The command's working directory, without links.
        paths: What the places of this machine are called.
    """
    return paths.text(plain(_spelled_out(text, directory, paths)))


def _spelled_out(text: str, directory: str, paths: Recording) -> str:
    """A text in which each path outside the project that is known is absolute and without `..`."""
    whole = _place(text, directory, paths)
    if whole is not None:
        return whole
    if re.search(r"[\s'\"]", text):
        # A relative path in a script belongs to the directory that the script is then in.
        return _CLIMBING.sub(lambda m: _place(m[0], directory, paths) or m[0], text)
    option = _OPTION.match(text)
    start = option[0] if option else ""
    pieces = _BETWEEN.split(text[len(start) :])
    return start + "".join(_place(one, directory, paths) or one for one in pieces)


def _place(path: str, directory: str, paths: Recording) -> str | None:
    """The absolute path for one that climbs, or that begins in the home; None to leave it."""
    scheme = "//" if path.startswith("///") else ""
    path = path.removeprefix(scheme)
    parts = path.split("/")
    if path.startswith("//") or "\0" in path or (".." not in parts and parts[0] != "~"):
        return None
    joined = os.path.join(directory, os.path.expanduser(path))
    end = "/" if path.endswith("/") else ""
    places = _places(joined)
    for place in places:
        if _PLACED.match(paths.text(plain(place))):
            return scheme + place + end
    if os.path.isabs(path) and (places or paths.text(plain(path)) != plain(path)):
        # What follows a placeholder must not climb out of its place.
        return scheme + (places[-1] if places else os.path.normpath(path)) + end
    return None


def _places(joined: str) -> list[str]:
    """The names without `..` of what a path leads to: through its links, and behind them."""
    plainly, really = os.path.normpath(joined), os.path.realpath(joined)
    if not os.path.lexists(joined):
        return []
    # Behind a link, `..` is another directory than the one before it.
    return [plainly, really] if os.path.realpath(plainly) == really else [really]


def beside_project(
    arguments: Iterable[str], directory: str, around: Surroundings
) -> tuple[str, ...]:
    """Directories outside the project that arguments name: what is read below one is one data set.

    Those that lie in another one are left out.
    """
    found: set[str] = set()
    for argument in arguments:
        option = _OPTION.match(argument)
        texts = {argument, *_BETWEEN.split(argument[option.end() if option else 0 :])}
        for text in texts - {"", "=", ",", ":"}:
            if "\0" in text or text.startswith("-"):
                continue
            for place in _places(os.path.join(directory, os.path.expanduser(text))):
                if (
                    os.path.isdir(place)
                    and not is_below(place, around.project)
                    and not is_below(around.project, place)
                    and not is_broad(place, around)
                    and not is_system(place, around)
                ):
                    found.add(place)
    return tuple(
        sorted(one for one in found if not any(one != o and is_below(one, o) for o in found))
    )


def without_homes(value: str) -> tuple[str, int]:
    """The recorded value of a variable without the paths in it that lie in a home directory.

    The user's own home, the project and data sets are placeholders by now: what is left is the
    home of somebody else, or under another name.

    Returns:
        The value, empty where nothing is left of it, and how many paths were left out.
    """
    words = value.split(" ")
    # `XLA_FLAGS=--a=1 --xla_dump_to=/home/zoe/x`: such an option goes as a whole.
    told = [word for word in words if not _HOME.match(word.partition("=")[2])]
    pieces = " ".join(told).split(":")
    kept = [piece for piece in pieces if not _HOME.match(piece)]
    return ":".join(kept), len(words) - len(told) + len(pieces) - len(kept)
