# SPDX-License-Identifier: Apache-2.0
"""Equivalent: the means of recorded and fresh runs differ by less than a margin (Welch's TOST)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from repropack.comparators.outcome import Band, Comparison
from repropack.comparators.student_t import can_compute, welch
from repropack.model import Equivalent, Verdict

__all__ = ["band", "compare", "defect", "describe"]

MIN_RUNS: Final = 2
"""Runs on each side: one has no spread."""


def defect(tolerance: Equivalent, recorded: float) -> str:
    """Values that nothing can be computed from are a mistake."""
    del recorded
    return "" if can_compute(tolerance.values) else "the recorded values are too large"


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
    if -tolerance.margin < low and high < tolerance.margin:
        verdict, words = Verdict.REPRODUCED, "inside"
    elif high <= -tolerance.margin or tolerance.margin <= low:
        verdict, words = Verdict.NOT_REPRODUCED, "outside"
    else:
        verdict, words = Verdict.INCONCLUSIVE, "across an end of"
    share = f"{100 * (1 - 2 * tolerance.alpha):g} %"
    return Comparison(
        verdict=verdict,
        evidence=f"the difference of the means has the {share} confidence interval "
        f"[{low:.6g}, {high:.6g}], {words} ± {tolerance.margin:g} "
        f"(p = {found.equivalence_p_value(tolerance.margin):.3g}; {len(tolerance.values)} recorded "
        f"and {len(fresh)} fresh runs)"
        + ("" if words != "across an end of" else "; more runs decide"),
    )


def band(tolerance: Equivalent, recorded: float, runs: int) -> Band | None:
    """What the mean may be is not an interval: it depends on the spread of the fresh runs."""
    del tolerance, recorded, runs
    return None


def describe(tolerance: Equivalent) -> str:
    """In words."""
    return f"mean within ± {tolerance.margin:g}, by two one-sided tests"
