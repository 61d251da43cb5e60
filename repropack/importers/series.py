# SPDX-License-Identifier: Apache-2.0
"""Metrics out of samples: what every importer ends with, so that all records look the same.

A series keeps its values as they are, in shortest round-trip form when it is written. Longer ones
than a record holds are thinned evenly, and say how long they were.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

from repropack.model import Metric, MetricSource, Series

__all__ = [
    "MAX_POINTS",
    "STEP_NAMES",
    "Sample",
    "compact",
    "metric",
    "points",
    "series",
    "shortened",
    "stored_value",
]

STEP_NAMES: Final = (
    "step",
    "global_step",
    "total_timesteps",
    "time/total_timesteps",
    "iteration",
    "iter",
    "round",
    "epoch",
)
"""Columns and keys that count the rows of a log, the most exact first."""

MAX_POINTS: Final = 50_000
"""Values of one series: 1 MB of a record. A loss at every step of a long training is thinned to
this, which still finds the step where two trainings part to within 20 of a million."""

Sample: TypeAlias = tuple[float | None, float]
"""A step, or None where it is not known, and a value."""

_Value: TypeAlias = float | Literal["NaN", "Infinity", "-Infinity"]


def metric(
    name: str,
    samples: Sequence[Sample],
    source: MetricSource,
    *,
    text: str | None = None,
    unit: str = "",
    precision: str = "",
    always: bool = False,
) -> Metric:
    """A metric whose value is the last sample.

    Args:
        name: What people call it.
        samples: At least one.
        source: Where it was read.
        text: How the source spells the last value; without it, its shortest exact spelling.
        unit: As in `Metric`.
        precision: As in `Metric`.
        always: Whether a single sample is a series too.
    """
    last = samples[-1][1]
    return Metric(
        name=name,
        value=last if math.isfinite(last) else None,
        text=repr(last) if text is None else text,
        source=source,
        unit=unit,
        precision=precision,
        series=series(samples) if always or len(samples) > 1 else None,
    )


def series(samples: Sequence[Sample]) -> Series:
    """The series of some samples, within `MAX_POINTS`."""
    kept = samples[_offset(len(samples), MAX_POINTS) :: _stride(len(samples), MAX_POINTS)]
    steps = tuple(step for step, _ in kept)
    length = len(samples) if len(kept) < len(samples) else 0
    return compact(tuple(stored_value(value) for _, value in kept), steps, length)


def shortened(whole: Series, limit: int) -> Series:
    """A series with at most so many of its values, evenly spaced; the last is among them."""
    count = len(whole.values)
    if count <= limit:
        return whole
    chosen = slice(_offset(count, limit), None, _stride(count, limit))
    steps = tuple(step for step, _ in points(whole))[chosen]
    return compact(whole.values[chosen], steps, whole.length or count)


def points(whole: Series) -> Iterator[tuple[float | None, float]]:
    """Step and value of each point of a series."""
    for index, value in enumerate(whole.values):
        if whole.steps:
            step = whole.steps[index] if index < len(whole.steps) else None
        else:
            step = whole.first + index * whole.stride
        yield step, float(value)


def compact(values: tuple[_Value, ...], steps: tuple[float | None, ...], length: int) -> Series:
    """The series of at least one value, with its steps in their shortest form.

    Args:
        values: As they are stored.
        steps: As many.
        length: How many values there were, where some are left out; else 0.
    """
    first = steps[0]
    if first is not None:
        second = steps[1] if len(steps) > 1 else first + 1
        stride = second - first if second is not None else math.nan
        # Exactly as a reader will count them again, or not at all.
        if all(step == first + index * stride for index, step in enumerate(steps)):
            return Series(values=values, first=first, stride=stride, length=length)
    return Series(values=values, steps=steps, length=length)


def stored_value(value: float) -> _Value:
    """A value as a series stores it: JSON has no numbers that are not finite."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _stride(count: int, limit: int) -> int:
    return max(1, -(-count // limit))


def _offset(count: int, limit: int) -> int:
    """Where thinning starts, so that it ends at the last."""
    return (count - 1) % _stride(count, limit)
