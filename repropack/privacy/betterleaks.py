# SPDX-License-Identifier: Apache-2.0
"""A second search for secrets, by betterleaks, where the extra `scan` has installed it.

It gets texts that the walker has unpacked, in a private directory, and works in a process of its
own without network (`betterleaks_child.py`). Its validation, which would send secrets to their
issuers, is off.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from repropack import canonical
from repropack.privacy import betterleaks_child
from repropack.process import ProcessFailedError, run

__all__ = ["BetterleaksError", "Found", "Texts", "location"]

MAX_TEXT: Final = 16 * 1024 * 1024
"""Bytes of one text: its rules are made for files that people write."""

MAX_TEXTS: Final = 256 * 1024 * 1024
"""Bytes that lie in the private directory at a time."""

TIMEOUT: Final = 1800.0
"""Seconds for them: a hundred times what they take."""


class BetterleaksError(Exception):
    """It could not search. The text says why, in a few words."""


class Found(NamedTuple):
    """A secret, and the place and the member of the bundle in which it was found."""

    place: str
    member: str
    rule: str
    why: str
    secret: bytes


class _Finding(Struct, frozen=True, kw_only=True):
    file: str
    rule: str
    why: str
    secret: str


class _Answer(Struct, frozen=True, kw_only=True):
    version: str
    errors: tuple[str, ...]
    findings: tuple[_Finding, ...]


def location() -> str:
    """The directory that holds the package, or an empty text: it is not installed."""
    spec = importlib.util.find_spec("pybetterleaks")
    return str(Path(spec.origin).parents[1]) if spec is not None and spec.origin else ""


class Texts:
    """Collects texts and has them searched.

    Args:
        place: Where the package is (`location`).
    """

    def __init__(self, place: str) -> None:
        self._location = place
        self._directory = tempfile.TemporaryDirectory(prefix="repropack-scan-")
        self._names: list[tuple[str, str]] = []
        self._size = 0

    def add(self, place: str, member: str, text: bytes) -> Iterator[Found]:
        """Takes a text; what was found in those before, when they have become many.

        Raises:
            BetterleaksError: It could not search.
            OSError: The private directory cannot be written.
        """
        if not text or len(text) > MAX_TEXT:
            return
        # It knows kinds of files by their names.
        name = re.sub(r"[^A-Za-z0-9._-]", "_", re.split(r"/| » ", place)[-1])[-100:] or "text"
        folder = Path(self._directory.name, str(len(self._names)))
        folder.mkdir()
        (folder / f"{'_' if name.strip('.') == '' else ''}{name}").write_bytes(text)
        self._names.append((place, member))
        self._size += len(text)
        if self._size > MAX_TEXTS:
            yield from self.search()

    def search(self) -> Iterator[Found]:
        """What is found in the texts; they are forgotten.

        Raises:
            BetterleaksError: It could not search.
        """
        names, self._names, self._size = self._names, [], 0
        root = Path(self._directory.name)
        try:
            for one in _ask(self._location, root) if names else ():
                # `N/NAME`, and what its own unpacking calls what is in it.
                number = int(Path(one.file).relative_to(root).parts[0])
                yield Found(
                    *names[number],
                    rule=one.rule,
                    why=one.why,
                    secret=one.secret.encode("utf-8", "replace"),
                )
        except ValueError as error:
            raise BetterleaksError("it names a file that it was not given") from error
        finally:
            self._directory.cleanup()
            self._directory = tempfile.TemporaryDirectory(prefix="repropack-scan-")

    def close(self) -> None:
        """Removes the texts."""
        self._directory.cleanup()


def _ask(place: str, directory: Path) -> tuple[_Finding, ...]:
    try:
        done = run(
            [sys.executable, "-I", betterleaks_child.__file__, place, str(directory)],
            # No variable names a configuration, or a home that holds one.
            environment={"HOME": str(directory), "LC_ALL": "C.UTF-8"},
            directory=directory,
            timeout=TIMEOUT,
            accept=(0, betterleaks_child.NO_NAMESPACE),
        )
    except ProcessFailedError as error:
        raise BetterleaksError(str(error)) from error
    if done.status:
        raise BetterleaksError("a process without network cannot be made here")
    try:
        answer = canonical.decode(done.stdout, _Answer)
    except canonical.NotCanonicalError as error:
        raise BetterleaksError(f"its answer is not understood: {error}") from error
    if answer.errors:
        raise BetterleaksError(answer.errors[0])
    return answer.findings
