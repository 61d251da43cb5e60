# SPDX-License-Identifier: Apache-2.0
"""How much a number varies when the same thing is done again, and what tolerance that needs.

Pure: claims and repeated values in, classes and claims out.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from repropack.comparators import comparator_for
from repropack.comparators.interval import MIN_RECORDED
from repropack.comparators.student_t import can_compute, mean, sample_deviation
from repropack.errors import UsageError
from repropack.export.claims import evaluation_tolerance
from repropack.model import Basis, Claim, Interval, Tolerance, Verdict

__all__ = ["Calibration", "Noise", "apply", "calibrate"]


class Noise(enum.StrEnum):
    """What repetitions of a claim gave."""

    BIT_EQUAL = "bit-equal"
    """The very number each time."""
    METRIC_EQUAL = "metric-equal"
    """Numbers that differ by no more than rounding."""
    NOISY = "noisy"
    """Other numbers."""


class Calibration(Struct, frozen=True, kw_only=True):
    """The noise of one claim.

    Attributes:
        values: What the repetitions gave.
        deviation: Their sample standard deviation; None for a single one, or absurd numbers.
        meets: Whether they meet the claim's own tolerance; None if it has none, or cannot be asked.
    """

    claim: Claim
    noise: Noise
    values: tuple[float, ...]
    deviation: float | None
    meets: bool | None


def calibrate(claim: Claim, values: Sequence[float]) -> Calibration:
    """Classes a claim by what one or more repetitions gave."""
    if set(values) == {claim.expected}:
        noise = Noise.BIT_EQUAL
    else:
        same = _meets(evaluation_tolerance(claim.expected), claim.expected, values)
        noise = Noise.METRIC_EQUAL if same else Noise.NOISY
    meets = None
    if claim.tolerance is not None:
        meets = _meets(claim.tolerance, claim.expected, values)
    return Calibration(
        claim=claim,
        noise=noise,
        values=tuple(values),
        deviation=sample_deviation(values) if len(values) > 1 and can_compute(values) else None,
        meets=meets,
    )


def _meets(tolerance: Tolerance, expected: float, values: Sequence[float]) -> bool | None:
    """Whether repeated values meet a tolerance; None where it cannot be asked or told."""
    comparator = comparator_for(tolerance)
    if comparator.defect(tolerance, expected):
        return None
    verdict = comparator.compare(tolerance, expected, values).verdict
    return {Verdict.REPRODUCED: True, Verdict.NOT_REPRODUCED: False}.get(verdict)


def apply(calibration: Calibration) -> Claim:
    """The claim with a tolerance that its noise needs; a declared one stays as it is.

    Raises:
        UsageError: The repetitions do not meet a tolerance that the author declared, or a noisy
            claim was repeated too few times, or gave only numbers that the recorded one is far
            from.
    """
    claim, values = calibration.claim, calibration.values
    name = f"{claim.metric!r} = {claim.expected!r}"
    times = f"{len(values)} repetition" + ("s" if len(values) > 1 else "")
    if claim.basis is not Basis.DEFAULT:
        if calibration.meets is False:
            assert claim.tolerance is not None
            raise UsageError(
                f"the claim {name} is not met by its own evaluation: {times} gave "
                f"{mean(values):.10g}, allowed is "
                f"{comparator_for(claim.tolerance).describe(claim.tolerance)}",
                advice="claim what the packed files give, or declare a wider tolerance",
            )
        return claim
    if calibration.noise is not Noise.NOISY:
        return replace(claim, note=f"{claim.note}; {calibration.noise.value} in {times}")
    if len(values) < MIN_RECORDED:
        raise UsageError(
            f"the claim {name} is noisy: {times} of the same weights gave {mean(values):.10g}",
            advice=f"--calibrate {max(5, MIN_RECORDED)} measures how much it varies",
        )
    if not can_compute(values):
        raise UsageError(
            f"the claim {name} is noisy, and {times} gave numbers too large to compute with",
            advice="declare a tolerance for it in repropack.yaml",
        )
    tolerance = Interval(values=values)
    edges = comparator_for(tolerance).band(tolerance, claim.expected, 1)
    if edges is None or not edges.low <= claim.expected <= edges.high:
        raise UsageError(
            f"the claim {name} is not what its evaluation gives: {times} lie around "
            f"{mean(values):.10g}, and the recorded number is outside {edges}",
            advice="record the evaluation again, and see what is missing in the release",
        )
    return replace(
        claim,
        tolerance=tolerance,
        basis=Basis.REPEATS,
        note=f"noisy; prediction interval of {times} of the same weights",
    )
