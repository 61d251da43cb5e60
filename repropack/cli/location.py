# SPDX-License-Identifier: Apache-2.0
"""What a user may name as a bundle: a file, volumes, a directory, an address."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from repropack.address import parse_address
from repropack.bundle import Access, Location, UnverifiedBundle, open_bundle
from repropack.cli.progress import ProgressLine
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.findings import DefectError

__all__ = ["begins_as_bundle", "existing_bundle", "is_called_bundle", "open_named"]

_ZSTANDARD: Final = b"\x28\xb5\x2f\xfd"

_KINDS: Final = (
    "give an .rpk file, its first volume, a directory it was extracted to, or an https address"
)


def is_called_bundle(path: Path) -> bool:
    """Whether a name says that it is one, or the first of its volumes."""
    return path.suffix in (".rpk", ".001")


def begins_as_bundle(path: Path) -> bool:
    """Whether a file has the first bytes of one.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(len(_ZSTANDARD)) == _ZSTANDARD


def existing_bundle(text: str) -> Location:
    """The bundle that an argument names.

    Raises:
        UsageError: There is nothing like that, or it is an address of a kind that is not read.
    """
    if "://" in text:
        return parse_address(text)
    if not text:
        raise UsageError("the name of the bundle is empty", advice=_KINDS)
    path = Path(text).expanduser()
    # The bundle itself may exist in volumes only. `os.path.exists` says no to what no file system
    # takes as a name.
    if not os.path.exists(path) and not os.path.exists(f"{path}.001"):
        raise UsageError(f"{show(text, limit=200)}: no such file", advice=_KINDS)
    return path


@contextlib.contextmanager
def open_named(location: Location, *, quiet: bool) -> Iterator[UnverifiedBundle]:
    """Opens a bundle, and says on standard error what takes long.

    Raises:
        RepropackError: As `repropack.bundle.open_bundle`. What is wrong with the bundle, then or
            while it is used, is said with its name.
    """
    try:
        with ProgressLine(quiet=quiet) as line:
            opened = open_bundle(
                location,
                Access(variables=dict(os.environ), tell=line.tell, advance=line.advance),
            )
        with opened:
            yield opened
    except DefectError as error:
        name = show(str(location))
        if name not in error.message:
            error.message = f"{name}: {error.message}"
        raise
