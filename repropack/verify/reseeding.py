# SPDX-License-Identifier: Apache-2.0
"""A release as if its author had used another seed. Pure: records in, records out."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from repropack.seeds import seeds_of, with_seed
from repropack.verify.release import Release

__all__ = ["can_reseed", "fresh_seed", "reseeded"]

MAX_SEED: Final = 2**31 - 1
"""Beyond this, some libraries refuse a seed."""


def can_reseed(release: Release) -> bool:
    """Whether the recorded commands have one seed, which can be changed."""
    return len(_seeds(release)) == 1


def fresh_seed(release: Release, number: int) -> str:
    """A seed that the author used in none of the recorded runs.

    Args:
        release: Its claims name the seeds of all recorded runs.
        number: Which fresh seed, from 1.
    """
    used = {int(seed) for seed in (*_seeds(release), *release.claims.seeds) if seed.isdecimal()}
    seed = max(used, default=0)
    for _ in range(number):
        seed += 1
        while seed in used or seed > MAX_SEED:
            seed = 0 if seed > MAX_SEED else seed + 1
    return str(seed)


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
