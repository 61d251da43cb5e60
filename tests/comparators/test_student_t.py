# SPDX-License-Identifier: Apache-2.0
"""Statistics of small samples, against published values and against scipy and statsmodels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from repropack.comparators import comparator_for
from repropack.comparators.student_t import (
    detectable_shift,
    mean,
    prediction_half_width,
    prediction_p_value,
    sample_deviation,
    welch,
)
from repropack.model import Close, Equivalent, Interval, Side, Verdict

X = [0.912, 0.908, 0.915, 0.910, 0.911]
samples = st.lists(
    st.floats(0.1, 10).map(lambda value: round(value, 3)), min_size=2, max_size=12
).filter(lambda values: len(set(values)) > 1)


def test_mean_and_deviation() -> None:
    assert mean(X) == pytest.approx(0.9112, abs=1e-15)
    assert sample_deviation(X) == pytest.approx(0.002588435821108959, rel=1e-12)


@given(st.floats(-1e300, 1e300), st.integers(1, 30))
def test_the_mean_of_equal_numbers_is_that_number(value: float, count: int) -> None:
    assert mean([value] * count) == value


def test_equal_seeds_are_reproduced_by_any_number_of_equal_runs() -> None:
    tolerance = Interval(values=(0.90625,) * 3)
    found = comparator_for(tolerance).compare(tolerance, 0.90625, [0.90625] * 7)
    assert (found.verdict, found.p_value) == (Verdict.REPRODUCED, 1.0)


@pytest.mark.parametrize(
    ("values", "runs", "confidence", "low", "high"),
    [
        (X, 1, 0.95, 0.9033274194018545, 0.919072580598146),
        (X, 3, 0.95, 0.9059516129345697, 0.9164483870654307),
        (X, 5, 0.95, 0.9066547634724438, 0.9157452365275567),
        (X, 1, 0.99, 0.8981451379073351, 0.9242548620926654),
        ([0.91, 0.92, 0.90], 1, 0.95, 0.8603172457649934, 0.9596827542350067),
    ],
)
def test_prediction_intervals(
    values: list[float], runs: int, confidence: float, low: float, high: float
) -> None:
    tolerance = Interval(values=tuple(values), confidence=confidence)
    edges = comparator_for(tolerance).band(tolerance, 0.0, runs)
    assert edges is not None
    assert (edges.low, edges.high) == pytest.approx((low, high), rel=1e-10)


@pytest.mark.parametrize(
    ("count", "share"),
    [
        (2, 15.5619),
        (3, 4.9683),
        (4, 3.5581),
        (5, 3.0414),
        (6, 2.7765),
        (8, 2.5081),
        (10, 2.3726),
        (20, 2.1447),
    ],
)  # fmt: skip
def test_half_width_in_standard_deviations(count: int, share: float) -> None:
    values = [0.0] * (count - 1) + [1.0]
    half = prediction_half_width(values, 1, 0.95) / sample_deviation(values)
    assert half == pytest.approx(share, abs=5e-5)


@pytest.mark.parametrize(
    ("count", "share"), [(2, 7.7327), (3, 3.3717), (5, 2.3353), (10, 1.9226), (20, 1.7718)]
)
def test_half_width_with_one_end(count: int, share: float) -> None:
    values = [0.0] * (count - 1) + [1.0]
    half = prediction_half_width(values, 1, 0.95, Side.LOWER) / sample_deviation(values)
    assert half == pytest.approx(share, abs=5e-5)


@pytest.mark.parametrize("side", [Side.LOWER, Side.UPPER])
def test_with_one_end_only_what_is_worse_fails(side: Side) -> None:
    sign = 1 if side is Side.LOWER else -1
    tolerance = Interval(values=tuple(X), side=side)
    comparator = comparator_for(tolerance)
    end = 0.9112 - sign * 2.3353 * 0.002588435821108959
    edges = comparator.band(tolerance, 0.911, 1)
    assert edges is not None
    assert (edges.low if sign > 0 else edges.high) == pytest.approx(end, abs=5e-7)
    verdicts = [
        comparator.compare(tolerance, 0.911, [end + sign * by]).verdict
        for by in (-0.001, 0.001, 0.5)
    ]
    assert verdicts == [Verdict.NOT_REPRODUCED, Verdict.REPRODUCED, Verdict.REPRODUCED]


@given(samples, st.floats(-10, 20), st.floats(0.6, 0.999))
@settings(deadline=None)
def test_p_values_and_ends_of_one_side_agree_with_scipy(
    recorded: list[float], fresh: float, confidence: float
) -> None:
    error = stats.tstd(recorded) * math.sqrt(1 / len(recorded) + 1)
    t = (fresh - mean(recorded)) / error
    freedom = len(recorded) - 1
    for side, p in ((Side.LOWER, stats.t.cdf(t, freedom)), (Side.UPPER, stats.t.sf(t, freedom))):
        assert prediction_p_value(recorded, [fresh], side) == pytest.approx(p, rel=1e-6, abs=1e-12)
    half = stats.t.ppf(confidence, freedom) * error
    found = prediction_half_width(recorded, 1, confidence, Side.LOWER)
    assert found == pytest.approx(half, rel=1e-6)


def test_non_inferiority_is_one_of_the_two_tests() -> None:
    fresh = [0.909, 0.913, 0.910, 0.911, 0.908]
    found = welch(X, fresh)
    assert found.equivalence_p_value(0.005, Side.LOWER) == pytest.approx(
        0.013061574677642265, rel=1e-9
    )
    assert found.confidence_limits(0.05)[0] == pytest.approx(-0.0037110966943771427, rel=1e-9)
    better = [value + 0.05 for value in fresh]
    for side, verdict in (
        (Side.LOWER, Verdict.REPRODUCED),
        (Side.BOTH, Verdict.NOT_REPRODUCED),
        (Side.UPPER, Verdict.NOT_REPRODUCED),
    ):
        tolerance = Equivalent(values=tuple(X), margin=0.005, side=side)
        assert comparator_for(tolerance).compare(tolerance, 0.911, better).verdict is verdict


@pytest.mark.parametrize(
    ("per_arm", "margin"),
    [(70, 0.5), (32, 0.75), (18, 1.0), (9, 1.5), (6, 2.0), (3, 3.0)],
)
def test_runs_that_equivalence_needs(per_arm: int, margin: float) -> None:
    """Of samples without a difference 80 in 100 are shown to be equivalent."""
    drawn = np.random.default_rng(per_arm).normal(size=(2, 4000, per_arm))
    pairs = zip(drawn[0].tolist(), drawn[1].tolist(), strict=True)
    shown = sum(welch(a, b).equivalence_p_value(margin) < 0.05 for a, b in pairs)
    assert 0.74 < shown / 4000 < 0.9


def test_half_width_of_two_values_says_nothing() -> None:
    assert prediction_half_width([0.91, 0.92], 1, 0.95) == pytest.approx(0.11003896087213445)


def test_the_difference_of_two_samples_against_a_published_value() -> None:
    fresh = [0.893, 0.897, 0.890, 0.895, 0.892]
    found = welch(X, fresh)
    t = found.difference / found.error
    assert 2 * stats.t.sf(abs(t), found.freedom) == pytest.approx(5.4158e-06, rel=1e-4)


@pytest.mark.parametrize(("fresh", "p"), [(0.917, 0.110252), (0.920, 0.036098), (0.900, 0.016819)])
def test_p_values_of_single_runs(fresh: float, p: float) -> None:
    assert prediction_p_value(X, [fresh]) == pytest.approx(p, abs=5e-7)


@pytest.mark.parametrize(
    ("recorded", "runs", "shift"),
    [
        (3, 1, 6.53), (3, 3, 4.62), (5, 1, 4.12), (5, 3, 2.75), (5, 5, 2.38), (5, 10, 2.06),
        (10, 1, 3.30), (10, 3, 2.07), (10, 5, 1.73), (10, 10, 1.41), (20, 1, 3.03),
    ],
)  # fmt: skip
def test_detectable_shifts(recorded: int, runs: int, shift: float) -> None:
    assert detectable_shift(recorded, runs, 0.95) == pytest.approx(shift, abs=0.006)


@pytest.mark.parametrize(
    ("fresh", "difference", "freedom", "p", "low", "high", "verdict"),
    [
        (
            [0.909, 0.913, 0.910, 0.911, 0.908], -0.001, 7.385455786958007, 0.013061574677642265,
            -0.0037110966943771427, 0.0017110966943766968, Verdict.REPRODUCED,
        ),
        (
            [0.905, 0.914, 0.899, 0.910, 0.912], -0.0032, 5.42062535399451, 0.2825361773314082,
            -0.009022976590041771, 0.0026229765900413655, Verdict.INCONCLUSIVE,
        ),
        (
            [0.893, 0.897, 0.890, 0.895, 0.892], -0.0178, 7.985333061723367, 0.9999696,
            -0.02091236, -0.01468764, Verdict.NOT_REPRODUCED,
        ),
    ],
)  # fmt: skip
def test_equivalence(
    fresh: list[float],
    difference: float,
    freedom: float,
    p: float,
    low: float,
    high: float,
    verdict: Verdict,
) -> None:
    found = welch(X, fresh)
    assert found.difference == pytest.approx(difference, abs=1e-14)
    assert found.freedom == pytest.approx(freedom, rel=1e-9)
    assert found.equivalence_p_value(0.005) == pytest.approx(p, abs=1e-7)
    assert found.confidence_limits(0.05) == pytest.approx((low, high), abs=5e-9)
    tolerance = Equivalent(values=tuple(X), margin=0.005)
    assert comparator_for(tolerance).compare(tolerance, 0.911, fresh).verdict is verdict


def test_too_few_runs_decide_nothing() -> None:
    two = Interval(values=(0.91, 0.92))
    assert comparator_for(two).compare(two, 0.91, [0.5]).verdict is Verdict.INCONCLUSIVE
    wide = Interval(values=tuple(X), max_half_width=0.001)
    assert comparator_for(wide).compare(wide, 0.91, [0.91]).verdict is Verdict.INCONCLUSIVE
    one = Equivalent(values=tuple(X), margin=0.1)
    assert comparator_for(one).compare(one, 0.91, [0.91]).verdict is Verdict.INCONCLUSIVE


@settings(deadline=None)
@given(samples, samples, st.floats(0.01, 5))
def test_tost_agrees_with_statsmodels(
    recorded: list[float], fresh: list[float], margin: float
) -> None:
    found = welch(recorded, fresh)
    compared = CompareMeans(DescrStatsW(fresh), DescrStatsW(recorded))
    p = compared.ttost_ind(-margin, margin, usevar="unequal")[0]
    assert found.equivalence_p_value(margin) == pytest.approx(p, abs=1e-9)
    limits = compared.tconfint_diff(alpha=0.1, usevar="unequal")
    assert found.confidence_limits(0.05) == pytest.approx(limits, rel=1e-6, abs=1e-9)


@settings(deadline=None)
@given(samples, st.integers(1, 9), st.sampled_from([0.8, 0.95, 0.99]))
def test_interval_agrees_with_scipy(values: list[float], runs: int, confidence: float) -> None:
    quantile = stats.t.ppf(0.5 + confidence / 2, len(values) - 1)
    half = quantile * stats.tstd(values) * math.sqrt(1 / len(values) + 1 / runs)
    assert prediction_half_width(values, runs, confidence) == pytest.approx(half, rel=1e-9)


def test_the_t_quantile_gives_the_bound_of_mlperf() -> None:
    """Reference convergence points of ResNet, batch size 4096, five submitted runs.

    MLPerf's checker drops the best and the worst, takes the deviation of all with n, and bounds the
    mean from below by a pooled one-sided t: 38.63396394 by its bisection to 1e-4.
    """
    epochs = [39, 39, 39, 39, 40, 40, 40, 41, 41, 42]
    middle = sorted(epochs)[1:-1]
    recorded, submitted = len(middle), 3
    deviation = sample_deviation(epochs) * math.sqrt(9 / 10)
    values = [0.0] * (recorded + submitted - 2) + [1.0]
    quantile = prediction_half_width(values, 1, 0.95, Side.LOWER) / (
        sample_deviation(values) * math.sqrt(1 / len(values) + 1)
    )
    bound = mean(middle) - quantile * deviation * math.sqrt(1 / recorded + 1 / submitted)
    assert mean(middle) == 39.875
    assert deviation == pytest.approx(1.0)
    assert bound == pytest.approx(38.63397699, abs=1e-6)
    assert bound == pytest.approx(38.63396394, abs=1e-4)
    assert mean(middle) / bound == pytest.approx(1.0321229, abs=1e-6)


def test_the_exact_permutation_test_agrees_where_it_can_decide() -> None:
    """Of five and five values it can; of three and three its p is never below 0.1."""
    fresh = [0.893, 0.897, 0.890, 0.895, 0.892]

    def exact(one: list[float], other: list[float]) -> float:
        found = stats.permutation_test(
            (one, other), lambda a, b: np.mean(a) - np.mean(b), n_resamples=np.inf
        )
        return float(found.pvalue)

    assert exact(X, fresh) == pytest.approx(0.00793650793650794)
    tolerance = Interval(values=tuple(X))
    comparator = comparator_for(tolerance)
    assert comparator.compare(tolerance, 0.911, fresh).verdict is Verdict.NOT_REPRODUCED
    assert exact(X[:4], [0.5, 0.51, 0.52, 0.53]) == pytest.approx(0.0286, abs=5e-5)
    assert exact(X[:3], [0.5, 0.51, 0.52]) == pytest.approx(0.1)
    assert comparator.compare(tolerance, 0.911, [0.5]).verdict is Verdict.NOT_REPRODUCED


@pytest.mark.parametrize(
    ("absolute", "relative"),
    [
        (1e-5, 1e-3), (1e-5, 1.6e-2), (1e-5, 1.3e-6), (1e-7, 1e-7), (1e-3, 1e-3), (1e-2, 1e-2),
        (1e-1, 1e-1),
    ],
    ids=["torch-fp16", "torch-bf16", "torch-fp32", "torch-fp64", "jax-fp16", "jax-bf16", "jax-fp8"],
)  # fmt: skip
@settings(deadline=None)
@given(st.floats(-100, 100), st.floats(-2, 2))
def test_a_sum_of_tolerances_is_the_one_of_numpy_torch_and_jax(
    absolute: float, relative: float, recorded: float, share: float
) -> None:
    fresh = recorded + share * (absolute + relative * abs(recorded))
    tolerance = Close(absolute=absolute, relative=relative)
    found = comparator_for(tolerance).compare(tolerance, recorded, [fresh]).verdict
    if abs(abs(share) - 1) > 1e-6:
        same = bool(np.isclose(fresh, recorded, rtol=relative, atol=absolute))
        assert (found is Verdict.REPRODUCED) is same
