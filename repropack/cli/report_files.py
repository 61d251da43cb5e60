# SPDX-License-Identifier: Apache-2.0
"""Files that a check leaves beside its lines on the screen: page, badge, receipt.

Whether they can be written is asked before anything runs; where it fails all the same, the verdict
is not lost over it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from repropack import durable
from repropack.cli.screen import complain, say
from repropack.errors import RepropackError, UsageError

__all__ = ["Left", "complain_of_missing", "leave", "output_path", "say_left"]


def output_path(option: str, text: str | None) -> Path | None:
    """The place of a file that an option names.

    Raises:
        UsageError: No file can be written there.
    """
    if text is None:
        return None
    path = Path(text).expanduser().absolute()
    if not path.parent.is_dir():
        raise UsageError(f"{option} {text}: {path.parent} is not a directory")
    if path.is_dir():
        raise UsageError(f"{option} {text}: is a directory", advice="name a file")
    if not os.access(path.parent, os.W_OK):
        raise UsageError(f"{option} {text}: {path.parent} cannot be written")
    return path


class Left(NamedTuple):
    """A file that was asked for.

    Attributes:
        name: What it is, and the option that asked for it.
        why_not: Why it could not be written; empty where it was.
    """

    name: str
    path: Path
    why_not: str


def leave(name: str, path: Path | None, content: Callable[[], bytes]) -> tuple[Left, ...]:
    """Writes a file, if one was asked for."""
    if path is None:
        return ()
    try:
        durable.write_file(path, content())
    except RepropackError as error:
        return (Left(name, path, error.message),)
    except OSError as error:
        return (Left(name, path, error.strerror or str(error)),)
    return (Left(name, path, ""),)


def say_left(files: Iterable[Left]) -> None:
    """Prints where the files are.

    Raises:
        OSError: Nobody takes it, or it cannot be written.
    """
    for one in files:
        if not one.why_not:
            say(f"{one.name}: {one.path}")


def complain_of_missing(files: Iterable[Left]) -> bool:
    """Says which files could not be written, and returns whether there are any."""
    missing = [one for one in files if one.why_not]
    for one in missing:
        complain(f"--{one.name} {one.path}: {one.why_not}")
    return bool(missing)
