# SPDX-License-Identifier: Apache-2.0
"""A release as if its author had used another seed. Records in, records out."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from repropack.seeds import seeds_of, with_seed
from repropack.verify.release import Release

__all__ = ["MAX_SEED", "can_reseed", "fresh_seeds", "reseeded", "used_seeds"]

MAX_SEED: Final = 2**31 - 1
"""Beyond this, some libraries refuse a seed."""


def can_reseed(release: Release) -> bool:
    """Whether the recorded commands have one seed, which can be changed."""
    return len(_seeds(release)) == 1


def fresh_seeds(
    release: Release, count: int, draw: Callable[[int], int] = secrets.randbelow
) -> tuple[str, ...]:
    """Different seeds that the author used in none of the recorded runs.

    They are drawn, so that nobody can have tried beforehand what they give: an author who knew
    them could publish the seeds beside which they look good.

    Args:
        release: Its claims name the seeds of all recorded runs.
        count: How many.
        draw: Gives a number below another one; by default from the operating system.
    """
    used = set(used_seeds(release))
    fresh: list[str] = []
    while len(fresh) < count:
        seed = str(draw(MAX_SEED + 1))
        if seed not in used:
            used.add(seed)
            fresh.append(seed)
    return tuple(fresh)


def used_seeds(release: Release) -> frozenset[str]:
    """The seeds of all recorded runs, without zeros before them."""
    found = (*_seeds(release), *release.claims.seeds)
    return frozenset(str(int(seed)) for seed in found if seed.isdecimal())


def reseeded(release: Release, seed: str) -> Release:
    """The release with another seed in commands, variables and paths."""
    return replace(
        release,
        runs=tuple(
            replace(run, packed=replace(run.packed, record=with_seed(run.packed.record, seed)))
            for run in release.runs
        ),
    )


def _seeds(release: Release) -> frozenset[str]:
    return frozenset(seed for run in release.runs for seed in seeds_of(run.packed.record))
