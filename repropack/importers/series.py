# SPDX-License-Identifier: Apache-2.0
"""The points of a series, as many as a record holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from repropack.model import Point

__all__ = ["MAX_POINTS", "STEP_NAMES", "point", "thin"]

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

MAX_POINTS: Final = 10_000
"""Points of one series: a curve on a screen has no more, and a table of a million predictions does
not fill the record."""


def point(step: float | None, value: float, text: str) -> Point:
    """One point; `text` is how the source spells the value, kept where it is not finite."""
    if math.isfinite(value):
        return Point(step=step, value=value)
    return Point(step=step, text=text)


def thin(points: Sequence[Point]) -> tuple[Point, ...]:
    """All points, or evenly spaced ones of a longer series; the last is always among them."""
    stride = -(-len(points) // MAX_POINTS)
    if stride <= 1:
        return tuple(points)
    return tuple(points[(len(points) - 1) % stride :: stride])
