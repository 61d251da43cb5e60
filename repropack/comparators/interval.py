# SPDX-License-Identifier: Apache-2.0
"""Interval: the mean of the fresh runs lies in the prediction interval of the recorded ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from repropack.comparators.outcome import Band, Comparison
from repropack.comparators.student_t import (
    can_compute,
    detectable_shift,
    mean,
    prediction_half_width,
    prediction_p_value,
)
from repropack.model import Interval, Side, Verdict

__all__ = ["MIN_RECORDED", "band", "compare", "defect", "describe"]

MIN_RECORDED: Final = 3
"""Recorded runs: of two, the half width is 15.6 standard deviations, which decides nothing."""


def defect(tolerance: Interval, recorded: float) -> str:
    """Values that nothing can be computed from are a mistake."""
    del recorded
    return "" if can_compute(tolerance.values) else "the recorded values are too large"


def compare(tolerance: Interval, recorded: float, fresh: Sequence[float]) -> Comparison:
    """Compares the mean of the fresh runs."""
    count, runs = len(tolerance.values), len(fresh)
    edges = band(tolerance, recorded, runs)
    if edges is None:
        return Comparison(
            verdict=Verdict.INCONCLUSIVE,
            evidence=f"{count} recorded runs give no useful prediction interval; "
            f"{MIN_RECORDED} are the least, 5 are advised",
        )
    half = _half_width(tolerance, runs)
    if tolerance.max_half_width is not None and half > tolerance.max_half_width:
        return Comparison(
            verdict=Verdict.INCONCLUSIVE,
            evidence=f"the prediction interval {edges} is wider than ± "
            f"{tolerance.max_half_width:g}, which the author allowed; more runs narrow it",
        )
    centre = mean(fresh)
    inside = edges.low <= centre <= edges.high
    shift = detectable_shift(count, runs, tolerance.confidence, tolerance.side)
    subject = "" if runs == 1 else "mean "
    return Comparison(
        verdict=Verdict.REPRODUCED if inside else Verdict.NOT_REPRODUCED,
        evidence=f"{subject}{'inside' if inside else 'outside'} {edges}, {describe(tolerance)}, "
        f"{runs} fresh run{'s' if runs > 1 else ''}; a shift below {shift:.2g} standard "
        "deviations would be missed more than 20 % of the time",
        p_value=prediction_p_value(tolerance.values, fresh, tolerance.side)
        if can_compute(fresh)
        else 0.0,
    )


def band(tolerance: Interval, recorded: float, runs: int) -> Band | None:
    """The interval; None where there are too few recorded runs."""
    del recorded
    if len(tolerance.values) < MIN_RECORDED:
        return None
    half = _half_width(tolerance, runs)
    centre = mean(tolerance.values)
    return Band(
        low=-math.inf if tolerance.side is Side.UPPER else centre - half,
        high=math.inf if tolerance.side is Side.LOWER else centre + half,
    )


def _half_width(tolerance: Interval, runs: int) -> float:
    predicted = prediction_half_width(tolerance.values, runs, tolerance.confidence, tolerance.side)
    return max(predicted, tolerance.floor)


def describe(tolerance: Interval) -> str:
    """In words."""
    share = f"{100 * tolerance.confidence:g} %"
    kind = "interval" if tolerance.side is Side.BOTH else f"interval without {_END[tolerance.side]}"
    return f"{share} prediction {kind} of {len(tolerance.values)} recorded runs"


_END: Final = {Side.LOWER: "upper end", Side.UPPER: "lower end"}
