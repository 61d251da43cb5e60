# SPDX-License-Identifier: Apache-2.0
"""Equivalent: the means of recorded and fresh runs differ by less than a margin (Welch's TOST)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from repropack.comparators.outcome import Band, Comparison, stray
from repropack.comparators.student_t import can_compute, is_one_of_them, welch
from repropack.model import Equivalent, Side, Verdict

__all__ = ["band", "compare", "defect", "describe"]

MIN_RUNS: Final = 2
"""Runs on each side: one has no spread."""


def defect(tolerance: Equivalent, recorded: float) -> str:
    """Values that nothing can be computed from are a mistake, or of another number."""
    if not can_compute(tolerance.values):
        return "the recorded values are too large"
    if len(tolerance.values) >= MIN_RUNS and not is_one_of_them(
        recorded, tolerance.values, tolerance.margin
    ):
        return stray(recorded, tolerance.values)
    return ""


def compare(tolerance: Equivalent, recorded: float, fresh: Sequence[float]) -> Comparison:
    """Decides by the confidence interval of the difference of the means."""
    del recorded
    if min(len(tolerance.values), len(fresh)) < MIN_RUNS:
        return Comparison(
            verdict=Verdict.INCONCLUSIVE,
            evidence=f"equivalence needs {MIN_RUNS} recorded and {MIN_RUNS} fresh runs at least, "
            f"there are {len(tolerance.values)} and {len(fresh)}; --runs makes more",
        )
    if not can_compute(fresh):
        return Comparison(
            verdict=Verdict.INCONCLUSIVE, evidence="the fresh values are too large to compute with"
        )
    found = welch(tolerance.values, fresh)
    low, high = found.confidence_limits(tolerance.alpha)
    least, most = _limits(tolerance)
    if least < low and high < most:
        verdict, words = Verdict.REPRODUCED, "inside"
    elif high <= least or most <= low:
        verdict, words = Verdict.NOT_REPRODUCED, "outside"
    else:
        verdict, words = Verdict.INCONCLUSIVE, "across an end of"
    share = f"{100 * (1 - 2 * tolerance.alpha):g} %"
    return Comparison(
        verdict=verdict,
        evidence=f"the difference of the means has the {share} confidence interval "
        f"[{low:.6g}, {high:.6g}], {words} {_words(tolerance)} "
        f"(p = {found.equivalence_p_value(tolerance.margin, tolerance.side):.3g}; "
        f"{len(tolerance.values)} recorded and {len(fresh)} fresh runs); a difference of "
        f"{tolerance.margin:g} would pass {100 * tolerance.alpha:g} % of the time at most"
        + ("" if words != "across an end of" else "; more runs decide"),
    )


def band(tolerance: Equivalent, recorded: float, runs: int) -> Band | None:
    """What the mean may be is not an interval: it depends on the spread of the fresh runs."""
    del tolerance, recorded, runs
    return None


def describe(tolerance: Equivalent) -> str:
    """In words."""
    if tolerance.side is Side.BOTH:
        return f"mean within {_words(tolerance)}, by two one-sided tests"
    return f"mean {_words(tolerance)} than recorded, by a one-sided test"


def _limits(tolerance: Equivalent) -> tuple[float, float]:
    """Between which differences of the means all are as good as equal."""
    return (
        -math.inf if tolerance.side is Side.UPPER else -tolerance.margin,
        math.inf if tolerance.side is Side.LOWER else tolerance.margin,
    )


def _words(tolerance: Equivalent) -> str:
    margin = f"{tolerance.margin:g}"
    return {
        Side.BOTH: f"± {margin}",
        Side.LOWER: f"less than {margin} lower",
        Side.UPPER: f"less than {margin} higher",
    }[tolerance.side]
