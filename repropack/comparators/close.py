# SPDX-License-Identifier: Apache-2.0
"""Close: |fresh - recorded| <= absolute + relative * |recorded|, as numpy's isclose."""

from __future__ import annotations

from collections.abc import Sequence

from repropack.comparators.decimals import is_within
from repropack.comparators.outcome import Band, Comparison, every_run
from repropack.model import Close

__all__ = ["band", "compare", "defect", "describe"]


def defect(tolerance: Close, recorded: float) -> str:
    """Any two bounds of 0 or more can be used."""
    del tolerance, recorded
    return ""


def compare(tolerance: Close, recorded: float, fresh: Sequence[float]) -> Comparison:
    """Every run has to be within the distance."""
    return every_run(
        fresh,
        lambda value: is_within(value, recorded, tolerance.absolute, tolerance.relative),
        band(tolerance, recorded, len(fresh)),
        describe(tolerance),
    )


def band(tolerance: Close, recorded: float, runs: int) -> Band:
    """The recorded value with the distance on both sides."""
    del runs
    half = tolerance.absolute + tolerance.relative * abs(recorded)
    return Band(low=recorded - half, high=recorded + half)


def describe(tolerance: Close) -> str:
    """In words."""
    return f"± ({tolerance.absolute:g} + {100 * tolerance.relative:g} %)"
