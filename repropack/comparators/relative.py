# SPDX-License-Identifier: Apache-2.0
"""Relative: |fresh - recorded| <= within * |recorded|, as numpy's isclose with atol=0."""

from __future__ import annotations

from collections.abc import Sequence

from repropack.comparators.decimals import is_within
from repropack.comparators.outcome import Band, Comparison, every_run
from repropack.model import Relative

__all__ = ["band", "compare", "defect", "describe"]


def defect(tolerance: Relative, recorded: float) -> str:
    """A relative bound around 0 accepts nothing but 0 and is surely a mistake."""
    del tolerance
    return "a relative tolerance cannot be used around 0" if recorded == 0 else ""


def compare(tolerance: Relative, recorded: float, fresh: Sequence[float]) -> Comparison:
    """Every run has to be within the distance."""
    return every_run(
        fresh,
        lambda value: is_within(value, recorded, 0, tolerance.within),
        band(tolerance, recorded, len(fresh)),
        describe(tolerance),
    )


def band(tolerance: Relative, recorded: float, runs: int) -> Band:
    """The recorded value with the distance on both sides."""
    del runs
    half = tolerance.within * abs(recorded)
    return Band(low=recorded - half, high=recorded + half)


def describe(tolerance: Relative) -> str:
    """In words."""
    return f"± {100 * tolerance.within:g} %"
