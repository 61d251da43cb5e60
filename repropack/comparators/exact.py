# SPDX-License-Identifier: Apache-2.0
"""Exact: fresh == recorded as IEEE 754 numbers (so -0.0 equals 0.0)."""

from __future__ import annotations

from collections.abc import Sequence

from repropack.comparators.outcome import Band, Comparison
from repropack.model import Exact, Verdict

__all__ = ["band", "compare", "defect", "describe"]


def defect(tolerance: Exact, recorded: float) -> str:
    """Equality is always defined."""
    del tolerance, recorded
    return ""


def compare(tolerance: Exact, recorded: float, fresh: Sequence[float]) -> Comparison:
    """Every run has to give the number itself."""
    del tolerance
    other = sum(value != recorded for value in fresh)
    words = "not equal" if other else "equal"
    count = f"{other} of {len(fresh)} runs" if other else f"all {len(fresh)} runs"
    return Comparison(
        verdict=Verdict.NOT_REPRODUCED if other else Verdict.REPRODUCED,
        evidence=words if len(fresh) == 1 else f"{count} {words}",
    )


def band(tolerance: Exact, recorded: float, runs: int) -> Band:
    """The recorded value alone."""
    del tolerance, runs
    return Band(low=recorded, high=recorded)


def describe(tolerance: Exact) -> str:
    """In words."""
    del tolerance
    return "exactly"
