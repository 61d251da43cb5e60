# SPDX-License-Identifier: Apache-2.0
"""Absolute: |fresh - recorded| <= within."""

from __future__ import annotations

from collections.abc import Sequence

from repropack.comparators.decimals import is_within
from repropack.comparators.outcome import Band, Comparison, every_run
from repropack.model import Absolute

__all__ = ["band", "compare", "defect", "describe"]


def defect(tolerance: Absolute, recorded: float) -> str:
    """Any bound of 0 or more can be used."""
    del tolerance, recorded
    return ""


def compare(tolerance: Absolute, recorded: float, fresh: Sequence[float]) -> Comparison:
    """Every run has to be within the distance."""
    return every_run(
        fresh,
        lambda value: is_within(value, recorded, tolerance.within),
        band(tolerance, recorded, len(fresh)),
        describe(tolerance),
    )


def band(tolerance: Absolute, recorded: float, runs: int) -> Band:
    """The recorded value with the distance on both sides."""
    del runs
    half = tolerance.within
    return Band(low=recorded - half, high=recorded + half)


def describe(tolerance: Absolute) -> str:
    """In words."""
    return f"± {tolerance.within:g}"
