# SPDX-License-Identifier: Apache-2.0
"""Volumes: `x.rpk.001`, `x.rpk.002`, …, which put together are `x.rpk` (specification section 12).

All volumes but the last have one size. Whether each is the right one only the bundle in them can
tell; what the names and sizes say is checked when they are opened.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from repropack.bundle.sources import Access, Location, Source
from repropack.bundle.sources.file import FileSource, open_file
from repropack.errors import RepropackError, UsageError
from repropack.findings import Code, DefectError

__all__ = ["MAX_VOLUMES", "VolumesSource", "open_source", "volume_name", "volume_number"]

MAX_VOLUMES: Final = 999
"""What three digits can count; with more, `cat x.rpk.*` would put them in another order."""

_NUMBERED: Final = re.compile(r"(.+)\.([0-9]{3})", re.DOTALL | re.ASCII)


def volume_name(name: str, number: int) -> str:
    """The name of a volume of the bundle `name`, counted from 1."""
    return f"{name}.{number:03d}"


def volume_number(name: str) -> tuple[str, int] | None:
    """The bundle's name and the number, if a name is that of a volume."""
    match = _NUMBERED.fullmatch(name)
    return (match[1], int(match[2])) if match else None


class VolumesSource(Source):
    """Sources one after another, read as one."""

    def __init__(self, parts: Sequence[Source], names: Sequence[str]) -> None:
        self._parts = parts
        self._names = names
        self._each = parts[0].size
        self.size = sum(part.size for part in parts)

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fills a buffer from an offset; see `Source`."""
        while view:
            number, start = divmod(offset, self._each)
            part = self._parts[number]
            piece = view[: part.size - start]
            part.read_into(piece, start)
            view = view[len(piece) :]
            offset += len(piece)

    def close(self) -> None:
        """Closes all volumes."""
        for part in self._parts:
            part.close()

    def place(self, offset: int) -> str:
        """The volume in which an offset lies."""
        return self._names[min(offset // self._each, len(self._names) - 1)]


def open_source(location: Location, access: Access) -> Source | None:
    """Opens the volumes that belong to a path; None if there are none.

    The path is that of the first volume, or that of the bundle if only its volumes exist.

    Raises:
        UsageError: The path is that of a later volume, or a volume is no regular file.
        DefectError: `VOLUMES`: a volume is missing, or has a size that cannot be.
        RepropackError: There are more volumes than can be open at once.
    """
    del access
    if not isinstance(location, Path):
        return None
    numbered = volume_number(location.name)
    name = location.name if numbered is None else numbered[0]
    if numbered is None and (
        os.path.lexists(location) or not location.with_name(volume_name(name, 1)).exists()
    ):
        return None
    if numbered is not None and numbered[1] != 1:
        first = location.with_name(volume_name(name, 1))
        raise UsageError(f"{location} is not the first volume", advice=f"name {first}")
    names = _names_beside(location, name)
    parts: list[FileSource] = []
    try:
        parts.extend(open_file(location.with_name(volume)) for volume in names)
        check_sizes(names, [part.size for part in parts])
        return VolumesSource(parts, names)
    except BaseException as error:
        for part in parts:
            part.close()
        if isinstance(error, UsageError) and "Too many open files" in str(error):
            raise RepropackError(
                f"{name} has {len(names)} volumes, more than can be open at once",
                advice=f"put them together: cat {name}.* > {name}",
            ) from error
        raise


def check_sizes(names: Sequence[str], sizes: Sequence[int]) -> None:
    """Checks that all volumes but the last have one size, and the last not more.

    Raises:
        DefectError: `VOLUMES`.
    """
    each = sizes[0]
    for volume, size in zip(names, sizes, strict=True):
        last = volume == names[-1]
        if size == 0 or size > each or (size != each and not last):
            raise DefectError(
                Code.VOLUMES,
                volume,
                found=f"{size} bytes",
                expected=f"1 to {each} bytes" if last else f"{each} bytes, as {names[0]} has",
            )


def _names_beside(location: Path, name: str) -> list[str]:
    """The names of all volumes, in order."""
    try:
        beside = os.listdir(location.parent)
    except OSError as error:
        raise UsageError(f"cannot read {location.parent}: {error.strerror or error}") from error
    numbers = sorted(
        split[1] for other in beside if (split := volume_number(other)) and split[0] == name
    )
    if 1 not in numbers:
        return [volume_name(name, 1)]  # opening it says what is wrong
    missing = next((i for i, n in enumerate(numbers, 1) if i != n), None)
    if missing is not None:
        raise DefectError(
            Code.VOLUMES,
            volume_name(name, missing),
            found=f"no such file beside {volume_name(name, numbers[-1])}",
            expected=f"all volumes from 001 to {numbers[-1]:03d}",
        )
    return [volume_name(name, number) for number in numbers]
