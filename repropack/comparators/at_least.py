# SPDX-License-Identifier: Apache-2.0
"""AtLeast: fresh >= bound."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec.structs import replace

from repropack.comparators.outcome import Band, Comparison, every_run
from repropack.model import AtLeast

__all__ = ["band", "compare", "defect", "describe"]


def defect(tolerance: AtLeast, recorded: float) -> str:
    """A bound that the recorded value does not meet claims what was never seen."""
    if recorded >= tolerance.bound:
        return ""
    return f"the recorded value does not meet its own bound, {describe(tolerance)}"


def compare(tolerance: AtLeast, recorded: float, fresh: Sequence[float]) -> Comparison:
    """Every run has to meet the bound.

    A value that is better than the recorded one by more than the bound lets it be worse is
    reproduced, and said: test data may have leaked into the training.
    """
    found = every_run(
        fresh,
        lambda value: value >= tolerance.bound,
        band(tolerance, recorded, len(fresh)),
        describe(tolerance),
    )
    if recorded != tolerance.bound and any(
        value > 2 * recorded - tolerance.bound for value in fresh
    ):
        return replace(found, evidence=f"{found.evidence}; better than recorded by far")
    return found


def band(tolerance: AtLeast, recorded: float, runs: int) -> Band:
    """All that meets the bound."""
    del recorded, runs
    return Band(low=tolerance.bound, high=math.inf)


def describe(tolerance: AtLeast) -> str:
    """In words."""
    return f"at least {tolerance.bound:.10g}"
