# SPDX-License-Identifier: Apache-2.0
"""What a release promises: numbers, and how near a repetition must come."""

from __future__ import annotations

import enum
from typing import Annotated, TypeAlias

from msgspec import Meta

from repropack.model.fields import Count, Record, RunId, SparseRecord
from repropack.model.metric import MetricSource

__all__ = [
    "Absolute",
    "AtLeast",
    "AtMost",
    "Basis",
    "Claim",
    "ClaimMode",
    "ClaimSet",
    "Close",
    "Equivalent",
    "Exact",
    "Interval",
    "Relative",
    "Side",
    "Tolerance",
]


class Exact(Record, frozen=True, kw_only=True, tag_field="kind", tag="exact"):
    """Fresh equals recorded (-0.0 equals 0.0)."""


class Absolute(Record, frozen=True, kw_only=True, tag_field="kind", tag="absolute"):
    """|fresh - recorded| <= within."""

    within: Annotated[float, Meta(ge=0)]


class Relative(Record, frozen=True, kw_only=True, tag_field="kind", tag="relative"):
    """|fresh - recorded| <= within * |recorded|; refused where recorded is 0."""

    within: Annotated[float, Meta(ge=0)]


class Close(Record, frozen=True, kw_only=True, tag_field="kind", tag="close"):
    """|fresh - recorded| <= absolute + relative * |recorded|, as numpy's and torch's isclose."""

    absolute: Annotated[float, Meta(ge=0)]
    relative: Annotated[float, Meta(ge=0)]


class AtLeast(Record, frozen=True, kw_only=True, tag_field="kind", tag="at_least"):
    """fresh >= bound: for a metric of which more is better."""

    bound: float


class AtMost(Record, frozen=True, kw_only=True, tag_field="kind", tag="at_most"):
    """fresh <= bound: for a metric of which less is better."""

    bound: float


class Side(enum.StrEnum):
    """On which side of the recorded mean a value counts against a claim."""

    BOTH = "both"
    LOWER = "lower"
    """More is better: only what is too low fails."""
    UPPER = "upper"
    """Less is better: only what is too high fails."""


class Interval(SparseRecord, frozen=True, kw_only=True, tag_field="kind", tag="interval"):
    """The mean of the fresh runs lies in the prediction interval of recorded runs.

    The interval is mean ± t(1 - (1 - confidence)/2; k - 1) * s * sqrt(1/k + 1/m), for k recorded
    and m fresh runs (Hahn and Meeker, Statistical Intervals, section 4.3), and never narrower than
    the floor. With one side it has one end, at t(confidence; k - 1) instead.

    Attributes:
        values: What the recorded runs gave, one for each seed.
        confidence: Share of honest repetitions that lie inside.
        floor: The least half width: the resolution of the metric.
        max_half_width: Above this half width the interval says too little to decide by.
        side: Where it has an end.
    """

    values: Annotated[tuple[float, ...], Meta(min_length=1, max_length=10_000)]
    confidence: Annotated[float, Meta(gt=0.5, le=0.9999)] = 0.95
    floor: Annotated[float, Meta(ge=0)] = 0.0
    max_half_width: Annotated[float, Meta(gt=0)] | None = None
    side: Side = Side.BOTH


class Equivalent(SparseRecord, frozen=True, kw_only=True, tag_field="kind", tag="equivalent"):
    """The means of recorded and fresh runs differ by less than a margin (Welch's TOST).

    Two one-sided tests with Welch's standard error and Satterthwaite's degrees of freedom
    (Schuirmann 1987). With one side it is one of the two: not worse by more than the margin.

    Attributes:
        values: What the recorded runs gave, one for each seed.
        margin: The least difference that would matter.
        alpha: The chance of calling runs equivalent that differ by the margin.
        side: On which side the difference matters.
    """

    values: Annotated[tuple[float, ...], Meta(min_length=1, max_length=10_000)]
    margin: Annotated[float, Meta(gt=0)]
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05
    side: Side = Side.BOTH


Tolerance: TypeAlias = (
    Exact | Absolute | Relative | Close | AtLeast | AtMost | Interval | Equivalent
)
"""A closed family: an unknown kind is refused when the record is read."""


class ClaimMode(enum.StrEnum):
    """Which repetition a claim speaks about: each has its own noise."""

    EVALUATE = "evaluate"
    RETRAIN_SAME_SEED = "retrain_same_seed"
    RETRAIN_NEW_SEED = "retrain_new_seed"


class Basis(enum.StrEnum):
    """Where a claim's tolerance comes from."""

    DECLARED = "declared"
    """The author wrote it down."""
    DEFAULT = "default"
    """Nobody did; it is what such a repetition usually needs."""
    SEEDS = "seeds"
    """Recorded runs with several seeds."""
    REPEATS = "repeats"
    """Repetitions before the release was made."""


class Claim(SparseRecord, frozen=True, kw_only=True):
    """A metric, its expected value, and how near a repetition must come.

    Attributes:
        tolerance: None where the author declared none; then only equality can show that
            the claim was reproduced, and anything else is inconclusive.
        note: Where the tolerance comes from, for people.
        basis: The same for programs. What was only assumed cannot refute an evaluation that gives
            another number each time.
    """

    metric: str
    source: MetricSource
    expected: float
    mode: ClaimMode
    tolerance: Tolerance | None
    unit: str = ""
    note: str = ""
    basis: Basis = Basis.DECLARED


class ClaimSet(SparseRecord, frozen=True, kw_only=True):
    """`claims.json`. `run` is the run whose numbers are claimed.

    Attributes:
        seeds: Of all recorded runs whose numbers stand in an interval: a fresh one is another.
    """

    version: Count
    run: RunId
    claims: tuple[Claim, ...]
    seeds: tuple[str, ...] = ()
