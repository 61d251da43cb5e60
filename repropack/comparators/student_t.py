# SPDX-License-Identifier: Apache-2.0
"""Statistics of small samples, by Student's t. Pure functions of numbers.

The special functions are scipy's; it is imported when the first claim needs it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from repropack.model import Side

__all__ = [
    "POWER",
    "Welch",
    "can_compute",
    "detectable_shift",
    "is_one_of_them",
    "mean",
    "normal_quantile",
    "prediction_half_width",
    "prediction_p_value",
    "sample_deviation",
    "welch",
]

POWER: Final = 0.8
"""The chance with which a detectable shift would be seen: the usual convention (Cohen 1988)."""


STRAY: Final = 0.001
"""The chance below which a number is not of the same kind as others: one honest run in a thousand,
and the best of a dozen never."""

MAX_MAGNITUDE: Final = 1e60
"""Of a value: its fourth power, which Satterthwaite's formula needs, still is a double."""


class Welch(Struct, frozen=True, kw_only=True):
    """The difference of two means with its standard error.

    Attributes:
        difference: Mean of the fresh runs less that of the recorded ones.
        error: sqrt(s1**2 / n1 + s2**2 / n2).
        freedom: Degrees of freedom by Satterthwaite's formula.
    """

    difference: float
    error: float
    freedom: float

    def equivalence_p_value(self, margin: float, side: Side = Side.BOTH) -> float:
        """The larger of the p-values of the two one-sided tests of |difference| < margin.

        With one side that of the test of difference > -margin (lower) or < margin (upper).
        """
        below, above = self.difference + margin, margin - self.difference
        asked = {Side.BOTH: (below, above), Side.LOWER: (below,), Side.UPPER: (above,)}[side]
        least = min(asked)
        if self.error == 0:
            return 0.0 if least > 0 else 1.0
        return _survival(least / self.error, self.freedom)

    def confidence_limits(self, alpha: float) -> tuple[float, float]:
        """The limits of the (1 - 2 alpha) confidence interval of the difference."""
        half = _quantile(1 - alpha, self.freedom) * self.error if self.error else 0.0
        return self.difference - half, self.difference + half


def can_compute(values: Sequence[float]) -> bool:
    """Whether the functions here can be used with these values: none of them is absurd."""
    return all(abs(value) <= MAX_MAGNITUDE for value in values)


def mean(values: Sequence[float]) -> float:
    """The mean: whatever the order of the values, and of equal ones exactly what they are."""
    # Divided first, so that no sum overflows; but seven sevenths of a number are not always it.
    total = math.fsum(value / len(values) for value in values)
    return min(max(total, min(values)), max(values))


def sample_deviation(values: Sequence[float]) -> float:
    """The sample standard deviation, with n - 1."""
    centre = mean(values)
    # By a power of two, which rounds nothing: the square of a small number may be too small.
    _, exponent = math.frexp(max(abs(v - centre) for v in values))
    squares = math.fsum(math.ldexp(v - centre, -exponent) ** 2 for v in values)
    return math.ldexp(math.sqrt(squares / (len(values) - 1)), exponent)


def prediction_half_width(
    values: Sequence[float], runs: int, confidence: float, side: Side = Side.BOTH
) -> float:
    """Half the width of the interval in which the mean of further runs is predicted to lie.

    With one side: how far its only end is from the mean.

    Args:
        values: Recorded values, two at least.
        runs: How many further runs.
        confidence: For example 0.95, of both sides together.
        side: Where the interval has an end.
    """
    quantile = _quantile(_probability(confidence, side), len(values) - 1)
    return quantile * sample_deviation(values) * math.sqrt(1 / len(values) + 1 / runs)


def prediction_p_value(
    values: Sequence[float], fresh: Sequence[float], side: Side = Side.BOTH
) -> float:
    """The chance that the mean of such further runs lies at least as far from the recorded mean.

    With one side: at least as far on that side.
    """
    shift = mean(fresh) - mean(values)
    distance = {Side.BOTH: abs(shift), Side.LOWER: -shift, Side.UPPER: shift}[side]
    error = sample_deviation(values) * math.sqrt(1 / len(values) + 1 / len(fresh))
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    tails = 2 if side is Side.BOTH else 1
    return min(1.0, tails * _survival(distance / error, len(values) - 1))


def is_one_of_them(value: float, values: Sequence[float], least: float) -> bool:
    """Whether a number may well be a run like others: no author claims what none of hers gave.

    Too good counts as much as too bad.

    Args:
        value: The number.
        values: Of the others, two at least.
        least: Up to this distance from their mean it is one of them in any case.
    """
    if not can_compute((value, *values)):
        return False
    return abs(value - mean(values)) <= least or prediction_p_value(values, [value]) >= STRAY


@functools.lru_cache(maxsize=64)
def detectable_shift(recorded: int, runs: int, confidence: float, side: Side = Side.BOTH) -> float:
    """The shift of the mean that the interval would see in 80 of 100 cases.

    Args:
        recorded: How many recorded runs.
        runs: How many fresh ones.
        confidence: Of the interval.
        side: Where the interval has an end; the shift is to that side.

    Returns:
        In standard deviations of a single run, by the noncentral t distribution.
    """
    from scipy.special import nctdtr

    freedom = recorded - 1
    quantile = _quantile(_probability(confidence, side), freedom)
    scale = math.sqrt(1 / recorded + 1 / runs)

    def power(shift: float) -> float:
        nc = shift / scale
        seen = 1 - nctdtr(freedom, nc, quantile)
        return float(seen + nctdtr(freedom, nc, -quantile) if side is Side.BOTH else seen)

    low, high = 0.0, 1.0
    while power(high) < POWER:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


def welch(recorded: Sequence[float], fresh: Sequence[float]) -> Welch:
    """The difference of the means of two samples of two values at least."""
    parts = [sample_deviation(v) ** 2 / len(v) for v in (recorded, fresh)]
    freedom = [len(v) - 1 for v in (recorded, fresh)]
    divisor = math.fsum(p**2 / f for p, f in zip(parts, freedom, strict=True))
    return Welch(
        difference=mean(fresh) - mean(recorded),
        error=math.sqrt(math.fsum(parts)),
        freedom=math.fsum(parts) ** 2 / divisor if divisor else float(sum(freedom)),
    )


def normal_quantile(probability: float) -> float:
    """The quantile of the standard normal distribution."""
    from scipy.special import ndtri

    return float(ndtri(probability))


def _probability(confidence: float, side: Side) -> float:
    return 0.5 + confidence / 2 if side is Side.BOTH else confidence


def _quantile(probability: float, freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def _survival(t: float, freedom: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(freedom, -t))
