# SPDX-License-Identifier: Apache-2.0
"""Files that a check leaves beside its lines on the screen: page, badge, receipt.

Whether they can be written is asked before anything runs; where it fails all the same, the verdict
is not lost over it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from repropack import durable
from repropack.errors import RepropackError, UsageError

__all__ = ["output_path", "written"]


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


def written(path: Path | None, content: Callable[[], bytes]) -> str:
    """Writes a file, if one was asked for. Returns why it could not, or an empty text."""
    if path is None:
        return ""
    try:
        durable.write_file(path, content())
    except RepropackError as error:
        return error.message
    except OSError as error:
        return error.strerror or str(error)
    return ""
