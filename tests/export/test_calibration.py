# SPDX-License-Identifier: Apache-2.0
"""How noisy a claim is, and what an export makes of it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from repropack.errors import UsageError
from repropack.export.calibration import Noise, apply, calibrate
from repropack.model import (
    Absolute,
    Basis,
    Claim,
    ClaimMode,
    Equivalent,
    Interval,
    MetricSource,
    Relative,
    Tolerance,
)

ASSUMED = Relative(within=1e-5)


def claim(tolerance: Tolerance = ASSUMED, basis: Basis = Basis.DEFAULT) -> Claim:
    return Claim(
        metric="accuracy",
        source=MetricSource(importer="json", path="{project}/m.json", key="/accuracy"),
        expected=0.9,
        mode=ClaimMode.EVALUATE,
        tolerance=tolerance,
        basis=basis,
    )


@pytest.mark.parametrize(
    ("values", "noise"),
    [
        ([0.9], Noise.BIT_EQUAL),
        ([0.9, 0.9], Noise.BIT_EQUAL),
        ([0.9, 0.9000001], Noise.METRIC_EQUAL),
        ([0.9, 0.91], Noise.NOISY),
        ([0.91, 0.91], Noise.NOISY),
    ],
)
def test_classes(values: list[float], noise: Noise) -> None:
    assert calibrate(claim(), values).noise is noise


@pytest.mark.parametrize(
    ("values", "noise"), [([1e-17, -1e-17], Noise.METRIC_EQUAL), ([1e-3], Noise.NOISY)]
)
def test_around_zero_rounding_is_no_noise(values: list[float], noise: Noise) -> None:
    assert calibrate(replace(claim(), expected=0.0), values).noise is noise


def test_numbers_too_large_to_compute_with_end_in_one_line() -> None:
    values = [1e200, -1e200, 1.7e308, 3e200]
    for tolerance in (
        ASSUMED,
        Interval(values=(1e200, 2e200, -1e200)),
        Equivalent(values=(1e200, 1.0), margin=1e308),
    ):
        found = calibrate(replace(claim(tolerance), expected=1e200), values)
        assert (found.noise, found.deviation) == (Noise.NOISY, None)
    with pytest.raises(UsageError, match="too large to compute with"):
        apply(calibrate(replace(claim(), expected=1e200), values))


def test_a_noisy_claim_gets_an_interval_of_its_repetitions() -> None:
    values = [0.89, 0.905, 0.91, 0.90, 0.897]
    found = apply(calibrate(claim(), values))
    assert found.tolerance == Interval(values=tuple(values))
    assert found.basis is Basis.REPEATS


def test_an_equal_claim_keeps_its_tolerance() -> None:
    found = apply(calibrate(claim(), [0.9, 0.9]))
    assert found.tolerance == claim().tolerance
    assert "bit-equal in 2 repetitions" in found.note


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([0.5], "noisy.*--calibrate 5"),
        ([0.5, 0.51, 0.52], "not what its evaluation gives"),
        ([0.5, 0.5, 0.5], "not what its evaluation gives"),
    ],
)
def test_a_number_that_its_evaluation_does_not_give_is_refused(
    values: list[float], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        apply(calibrate(claim(), values))


def test_a_declared_tolerance_is_kept_or_refused() -> None:
    declared = claim(Absolute(within=0.05), Basis.DECLARED)
    assert apply(calibrate(declared, [0.93, 0.88])) == declared
    with pytest.raises(UsageError, match="not met by its own evaluation"):
        apply(calibrate(declared, [0.8]))
