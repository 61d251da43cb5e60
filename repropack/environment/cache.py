# SPDX-License-Identifier: Apache-2.0
"""What was downloaded for environments and is kept for the next one.

`uv/` is uv's own cache; `wheels/` and `conda/` hold one directory for each digest with one file
in it, whose time of modification says when it was last used. All of it can be downloaded again.
Nothing goes by itself: on a machine without network it may be the only copy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import process

__all__ = [
    "Cached",
    "apart",
    "cache_directory",
    "contents",
    "is_unused",
    "mark_used",
    "remove",
]

IN_USE_SECONDS: Final = 3600.0
"""What was used a moment ago may be about to be packed or installed by another command."""

UV_SECONDS: Final = 600.0
"""For uv to delete its cache, and to wait for another uv that works in it."""

_KINDS: Final = ("wheels", "conda")


class Cached(Struct, frozen=True, kw_only=True):
    """A thing in the cache.

    Attributes:
        path: A directory.
        size: Bytes of the files in it.
        used: When it was last used, seconds since the epoch; None where that is not known.
    """

    path: Path
    size: int
    used: float | None = None


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Where it is: in the user's own cache (XDG Base Directory Specification)."""
    cache = Path(environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or "~", ".cache"))
    return cache.expanduser() / "repropack"


def mark_used(file: Path) -> None:
    """Notes that a file of the cache was used now."""
    # A cache that somebody else filled and that we may only read is as good.
    with contextlib.suppress(PermissionError):
        # Not what a link leads to: that is the cache of which `apart` changes nothing.
        os.utime(file, follow_symlinks=False)


def apart(environ: Mapping[str, str], place: Path) -> dict[str, str]:
    """The variables of a command that takes from the cache and leaves it as it is.

    What it downloads goes to another cache, in which files of this one are links.

    Args:
        environ: The user's environment variables.
        place: An empty directory for the other cache.

    Raises:
        OSError: It cannot be written.
    """
    variables = {**environ, "XDG_CACHE_HOME": str(place)}
    # pip's own would come first.
    variables.pop("PIP_CACHE_DIR", None)
    own, other = cache_directory(environ), cache_directory(variables)
    for kind in _KINDS:
        for directory in _directories(own / kind):
            (other / kind / directory.name).mkdir(parents=True)
            for file in directory.iterdir():
                (other / kind / directory.name / file.name).symlink_to(file.absolute())
    return variables


def contents(environ: Mapping[str, str]) -> tuple[Cached, ...]:
    """All that is there: uv's cache as one, the others by digest."""
    place = cache_directory(environ)
    found = [Cached(path=place / "uv", size=_size(place / "uv"))]
    for kind in _KINDS:
        for directory in sorted(_directories(place / kind)):
            files = list(_files(directory))
            found.append(
                Cached(
                    path=directory,
                    size=sum(one.st_size for one in files),
                    used=max((one.st_mtime for one in files), default=0.0),
                )
            )
    return tuple(one for one in found if one.size)


def is_unused(cached: Cached, older_than: float | None) -> bool:
    """Whether it may go: not used for so many seconds, and not in use right now.

    Of uv's cache it is not known what was used when: with a bound it stays.
    """
    if cached.used is None:
        return older_than is None
    return cached.used < time.time() - max(IN_USE_SECONDS, older_than or 0.0)


def remove(cached: Cached, uv: str, uv_environment: Mapping[str, str]) -> None:
    """Removes it. uv empties its own cache, because it knows who else works in it.

    Args:
        cached: Out of `contents`.
        uv: The program.
        uv_environment: The whole environment that it gets.

    Raises:
        OSError: It cannot be removed.
        ProcessFailedError: uv could not.
    """
    if cached.used is None:
        process.run(
            [uv, "cache", "clean"],
            environment=uv_environment,
            directory=Path("/"),
            timeout=UV_SECONDS,
        )
    else:
        shutil.rmtree(cached.path)


def _directories(place: Path) -> Iterator[Path]:
    try:
        yield from (path for path in place.iterdir() if path.is_dir())
    except FileNotFoundError:
        return


def _files(place: Path) -> Iterator[os.stat_result]:
    for directory, _, names in os.walk(place):
        for name in names:
            # What another command has just removed is not there, and has no size.
            with contextlib.suppress(FileNotFoundError):
                yield os.lstat(os.path.join(directory, name))


def _size(place: Path) -> int:
    return sum(one.st_size for one in _files(place))
