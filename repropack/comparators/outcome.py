# SPDX-License-Identifier: Apache-2.0
"""What a comparator says of a claim."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from msgspec import Struct

from repropack.model import Verdict

__all__ = ["Band", "Comparison", "every_run", "stray"]


class Band(Struct, frozen=True, kw_only=True):
    """The closed interval of fresh values that a tolerance accepts; an end may be infinite."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{_edge(self.low)}, {_edge(self.high)}]"


class Comparison(Struct, frozen=True, kw_only=True):
    """The outcome of a comparison.

    Attributes:
        evidence: What was compared with what, as the end of a sentence.
        p_value: The chance of a value at least as far away if nothing had changed, where the
            tolerance is statistical: failures of several claims are judged together by it.
    """

    verdict: Verdict
    evidence: str
    p_value: float | None = None


def every_run(
    fresh: Sequence[float], accepts: Callable[[float], bool], band: Band, words: str
) -> Comparison:
    """The comparison by a tolerance for single values: every run has to be accepted."""
    outside = sum(not accepts(value) for value in fresh)
    if not outside:
        place = "inside" if len(fresh) == 1 else f"all {len(fresh)} runs inside"
    else:
        place = "outside" if len(fresh) == 1 else f"{outside} of {len(fresh)} runs outside"
    return Comparison(
        verdict=Verdict.NOT_REPRODUCED if outside else Verdict.REPRODUCED,
        evidence=f"{place} {band}, {words}",
    )


def stray(recorded: float, values: Sequence[float]) -> str:
    """The defect of a tolerance made of recorded runs, none of which gave the like of the claim."""
    return (
        f"the claimed number {recorded!r} is far outside what its own {len(values)} recorded runs "
        f"gave, {min(values)!r} to {max(values)!r}"
    )


def _edge(value: float) -> str:
    if math.isfinite(value):
        return f"{value:.10g}"
    return "-∞" if value < 0 else "∞"
