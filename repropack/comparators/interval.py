# SPDX-License-Identifier: Apache-2.0
"""Interval: the mean of the fresh runs lies in the prediction interval of the recorded ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from repropack.comparators.outcome import Band, Comparison, stray
from repropack.comparators.student_t import (
    POWER,
    can_compute,
    detectable_shift,
    is_one_of_them,
    mean,
    normal_quantile,
    prediction_half_width,
    prediction_p_value,
    sample_deviation,
)
from repropack.model import Interval, Side, Verdict

__all__ = ["MIN_RECORDED", "band", "compare", "defect", "describe", "missed"]

MIN_RECORDED: Final = 3
"""Recorded runs: of two, the half width is 15.6 standard deviations, which decides nothing."""


def defect(tolerance: Interval, recorded: float) -> str:
    """Values that nothing can be computed from are a mistake, or of another number."""
    if not can_compute(tolerance.values):
        return "the recorded values are too large"
    if len(tolerance.values) >= MIN_RECORDED and not is_one_of_them(
        recorded, tolerance.values, tolerance.floor
    ):
        return stray(recorded, tolerance.values)
    return ""


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
    subject = "" if runs == 1 else "mean "
    return Comparison(
        verdict=Verdict.REPRODUCED if inside else Verdict.NOT_REPRODUCED,
        evidence=f"{subject}{'inside' if inside else 'outside'} {edges}, {describe(tolerance)}, "
        f"{runs} fresh run{'s' if runs > 1 else ''}",
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


def missed(tolerance: Interval, runs: int, family: int = 1) -> str:
    """Which shift of the mean would have been missed, in words; empty where there is none.

    In standard deviations of a run where the spread of the recorded runs makes the interval, else
    in the metric's own unit: where the floor does.

    Args:
        tolerance: With its recorded values.
        runs: How many fresh runs.
        family: How many claims are judged together: the first of them fails at its share of the
            level (Holm 1979).
    """
    count = len(tolerance.values)
    if count < MIN_RECORDED:
        return ""
    confidence = 1 - (1 - tolerance.confidence) / family
    predicted = prediction_half_width(tolerance.values, runs, confidence, tolerance.side)
    if predicted > tolerance.floor:
        shift = detectable_shift(count, runs, confidence, tolerance.side)
        size = f"{shift:.2g} standard deviations"
    else:
        scale = sample_deviation(tolerance.values) * math.sqrt(1 / count + 1 / runs)
        absolute = tolerance.floor + normal_quantile(POWER) * scale
        if not absolute:
            return ""
        size = f"{absolute:.2g}"
    together = f", of {family} claims judged together," if family > 1 else ""
    return f"a shift below {size} would be missed{together} more than 20 % of the time"


def describe(tolerance: Interval) -> str:
    """In words."""
    share = f"{100 * tolerance.confidence:g} %"
    kind = "interval" if tolerance.side is Side.BOTH else f"interval without {_END[tolerance.side]}"
    return f"{share} prediction {kind} of {len(tolerance.values)} recorded runs"


_END: Final = {Side.LOWER: "upper end", Side.UPPER: "lower end"}
