# SPDX-License-Identifier: Apache-2.0
"""The leak gate: every member is searched before a bundle gets its name.

Wheels of the author's package index, by digest, are not: they are public.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct

from repropack.bundle import MemberSource
from repropack.errors import RepropackError
from repropack.model import Role
from repropack.privacy.terms import Term
from repropack.privacy.waivers import Waiver, unwaived
from repropack.privacy.walk import Leak, Scanned, Target, scan

__all__ = ["Cleared", "LeakError", "clear", "look"]


class LeakError(RepropackError):
    """What goes out holds something that must not (exit status 1)."""

    exit_status = 1


class Cleared(Struct, frozen=True, kw_only=True):
    """A search that found nothing which the author did not let pass. Made by `clear` only.

    Attributes:
        remarks: Findings that stop nothing.
        waived: Findings that she let pass.
    """

    scanned: Scanned
    remarks: tuple[Leak, ...]
    waived: tuple[Leak, ...]


def look(
    sources: Sequence[MemberSource],
    places: Mapping[str, str],
    terms: Sequence[Term],
    *,
    anonymous: bool = False,
    public: Collection[str] = (),
) -> Scanned:
    """Searches all members.

    Args:
        sources: What goes out.
        places: What the author calls a member, where she has another name for it.
        terms: Her own.
        anonymous: Whether her name is unwanted also where authors are named.
        public: Members that everybody has: wheels of the package index.

    Raises:
        RepropackError: A file cannot be read.
    """
    return scan(
        [
            # A file of the code has its own path in the bundle of git, which she does not know.
            Target(
                place="" if source.role is Role.CODE else places.get(source.path, source.path),
                member=source.path,
                content=source.content,
            )
            for source in sources
            if source.path not in public
        ],
        terms,
        anonymous=anonymous,
    )


def clear(scanned: Scanned, waivers: Sequence[Waiver]) -> Cleared:
    """Lets a search pass.

    Raises:
        LeakError: Something stands that stops an export.
    """
    standing = unwaived(scanned.leaks, waivers)
    blocking = [leak for leak in standing if leak.blocks]
    if blocking:
        first = blocking[0]
        more = f" and {len(blocking) - 1} more" if len(blocking) > 1 else ""
        raise LeakError(
            f"{first.place or first.member}: {first.rule} {first.shown}{more}: nothing was written",
            advice="remove it and record again, or let it pass with --waive "
            + " --waive ".join(leak.id for leak in blocking[:3]),
        )
    stand = {id(leak) for leak in standing}
    return Cleared(
        scanned=scanned,
        remarks=standing,
        waived=tuple(leak for leak in scanned.leaks if id(leak) not in stand),
    )
