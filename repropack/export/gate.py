# SPDX-License-Identifier: Apache-2.0
"""The leak gate: every member is searched before a bundle gets its name.

Wheels of the author's package index, by digest, are not: they are public. Only for an anonymous
release they are searched, for the author's terms.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from repropack.bundle import MemberSource
from repropack.errors import RepropackError
from repropack.model import Role
from repropack.privacy.terms import Term, TermKind
from repropack.privacy.waivers import Waiver, unwaived
from repropack.privacy.walk import AS_BYTES, Leak, Scanned, Target, scan

__all__ = ["Cleared", "LeakError", "clear", "look"]

SHARED: Final = frozenset({f"term: {TermKind.NAME.value}", f"term: {TermKind.USER.value}"})
"""Terms that others have too: among the authors of a hundred public packages is every family name.
In a wheel they are shown and stop nothing."""


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
        anonymous: Whether her name is unwanted also where authors are named. Public wheels are
            then searched for her terms, for the index may be her laboratory's.
        public: Members that everybody has: wheels of the package index.

    Raises:
        RepropackError: A file cannot be read.
    """
    searched = scan(
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
    wheels = [source for source in sources if source.path in public] if anonymous else []
    return _with_wheels(searched, wheels, terms) if wheels else searched


def _with_wheels(
    searched: Scanned, wheels: Sequence[MemberSource], terms: Sequence[Term]
) -> Scanned:
    """The search together with what wheels hold of the author's terms."""
    found = scan(
        [Target(place=one.path, member=one.path, content=one.content) for one in wheels],
        terms,
        anonymous=True,
    )
    return Scanned(
        files=searched.files + found.files,
        size=searched.size + found.size,
        # What is no term of hers is for whoever published the wheel.
        leaks=(
            *searched.leaks,
            *(
                replace(leak, blocks=leak.blocks and leak.rule not in SHARED)
                for leak in found.leaks
                if leak.rule.startswith("term: ")
            ),
        ),
        # Nearly every wheel has libraries, which are searched as bytes; what was not is said.
        unsearched=(
            *searched.unsearched,
            *(one for one in found.unsearched if one.reason != AS_BYTES),
        ),
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
