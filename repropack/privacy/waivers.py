# SPDX-License-Identifier: Apache-2.0
"""What the author has looked at and lets go out: by place, rule and content.

The list lies in `.repropack/`, which no snapshot and no bundle has. It holds digests, no secrets.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import canonical
from repropack.durable import replacing
from repropack.errors import UsageError
from repropack.privacy.walk import Leak

__all__ = ["WAIVERS", "Waiver", "add_waivers", "read_waivers", "unwaived"]

WAIVERS: Final = "waivers.json"


class Waiver(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A finding that does not stop an export any more, in this place and with this content."""

    id: str
    place: str
    rule: str
    sha256: str


class _Waivers(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    version: int
    waivers: tuple[Waiver, ...]


def read_waivers(directory: Path) -> tuple[Waiver, ...]:
    """The waivers of a project.

    Args:
        directory: The project's `.repropack`.

    Raises:
        UsageError: The list is damaged.
    """
    path = directory / WAIVERS
    try:
        return canonical.decode(path.read_bytes(), _Waivers).waivers
    except FileNotFoundError:
        return ()
    except canonical.NotCanonicalError as error:
        raise UsageError(f"{path}: {error}", advice="mend or remove it") from error


def add_waivers(
    directory: Path, leaks: Iterable[Leak], ids: Iterable[str], *, keep: bool = True
) -> tuple[Waiver, ...]:
    """Adds findings to the list by their ids, and returns all of it.

    Args:
        directory: The project's `.repropack`.
        leaks: The findings.
        ids: Those that may pass.
        keep: Whether they may also pass the next time.

    Raises:
        UsageError: An id is none of these findings and no waiver.
        OSError: The list cannot be written.
    """
    present = {waiver.id: waiver for waiver in read_waivers(directory)}
    found = {leak.id: leak for leak in leaks}
    wanted = dict.fromkeys(ids)
    for wanted_id in wanted:
        if wanted_id not in found and wanted_id not in present:
            raise UsageError(
                f"--waive {wanted_id}: there is no such finding",
                advice="the ids stand at the beginning of each finding",
            )
    new = {
        i: Waiver(id=i, place=found[i].place, rule=found[i].rule, sha256=found[i].sha256)
        for i in wanted
        if i in found and i not in present
    }
    if new:
        waivers = tuple(sorted((present | new).values(), key=lambda w: (w.place, w.rule, w.id)))
        if keep:
            with replacing(directory / WAIVERS) as file:
                file.write(canonical.encode(_Waivers(version=1, waivers=waivers)))
        return waivers
    return tuple(present.values())


def unwaived(leaks: Iterable[Leak], waivers: Iterable[Waiver]) -> tuple[Leak, ...]:
    """The findings that no waiver names."""
    known = {(w.place, w.rule, w.sha256) for w in waivers}
    return tuple(leak for leak in leaks if (leak.place, leak.rule, leak.sha256) not in known)
