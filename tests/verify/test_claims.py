# SPDX-License-Identifier: Apache-2.0
"""The laws of judging: what can make a claim pass, and what can never."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack.model import (
    Absolute,
    Claim,
    ClaimMode,
    ClaimResult,
    Exact,
    Metric,
    MetricSource,
    Relative,
    Tolerance,
    Verdict,
)
from repropack.verify.claims import find_metric, judge, overall
from tests.verify.release_builder import unprintable

SOURCE = MetricSource(importer="json", path="{project}/m.json", key="/accuracy")

finite = st.floats(allow_nan=False, allow_infinity=False)
bounds = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
tolerances = st.one_of(
    st.none(),
    st.just(Exact()),
    st.builds(Absolute, within=bounds),
    st.builds(Relative, within=bounds),
)


def claim(expected: float, tolerance: Tolerance | None, unit: str = "") -> Claim:
    return Claim(
        metric="accuracy",
        source=SOURCE,
        expected=expected,
        mode=ClaimMode.EVALUATE,
        tolerance=tolerance,
        unit=unit,
    )


def metric(value: float | None, source: MetricSource = SOURCE, unit: str = "") -> Metric:
    return Metric(name="accuracy", value=value, text=str(value), source=source, unit=unit)


def verdict(expected: float, tolerance: Tolerance | None, fresh: float | None) -> Verdict:
    return judge(claim(expected, tolerance), [metric(fresh)]).verdict


# ---------------------------------------------------------------- one claim


@settings(deadline=None)
@given(finite, finite, bounds, bounds, st.sampled_from([Absolute, Relative]))
def test_widening_never_turns_reproduced_into_not_reproduced(
    expected: float,
    fresh: float,
    narrow: float,
    more: float,
    kind: type[Absolute] | type[Relative],
) -> None:
    wide = max(narrow, more)
    before = verdict(expected, kind(within=narrow), fresh)
    after = verdict(expected, kind(within=wide), fresh)
    assert (before, after) != (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED)
    if before is Verdict.REPRODUCED:
        assert after is Verdict.REPRODUCED


@settings(deadline=None)
@given(finite, tolerances, st.sampled_from([math.nan, math.inf, -math.inf, None]))
def test_what_is_no_number_never_passes_and_never_fails(
    expected: float, tolerance: Tolerance | None, fresh: float | None
) -> None:
    result = judge(claim(expected, tolerance), [metric(fresh)])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.fresh is None
    assert judge(claim(expected, tolerance), []).verdict is Verdict.INCONCLUSIVE


@settings(deadline=None)
@given(finite, tolerances)
def test_the_very_number_passes_wherever_it_can_be_judged(
    expected: float, tolerance: Tolerance | None
) -> None:
    around_zero = isinstance(tolerance, Relative) and expected == 0
    wanted = Verdict.INCONCLUSIVE if around_zero else Verdict.REPRODUCED
    assert verdict(expected, tolerance, expected) is wanted


@settings(deadline=None)
@given(finite, finite)
def test_without_a_tolerance_a_difference_is_no_failure(expected: float, fresh: float) -> None:
    wanted = Verdict.REPRODUCED if fresh == expected else Verdict.INCONCLUSIVE
    assert verdict(expected, None, fresh) is wanted


@settings(deadline=None)
@given(finite, finite)
def test_relative_to_zero_is_never_decided(within: float, fresh: float) -> None:
    assert verdict(0.0, Relative(within=abs(within)), fresh) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("expected", "within", "fresh", "passes"),
    [
        # |0.92 - 0.91| is 0.010000000000000009 in binary; people mean the decimals.
        (0.91, 0.01, 0.92, True),
        (0.91, 0.01, 0.90, True),
        (0.91, 0.01, 0.9200000000000001, False),
        (0.3, 0.1, 0.2, True),
        (0.1, 0.2, 0.3, True),
        (1e-10, 1e-12, 1.01e-10, True),
        (1e22, 1.0, 1e22, True),
        (97.2, 0.1, 97.3, True),
        (97.2, 0.1, 97.30000001, False),
        (-0.5, 0.5, 0.0, True),
        (0.0, 0.0, -0.0, True),
        (5e-324, 0.0, 0.0, False),
        (1.7976931348623157e308, 1.0, -1.7976931348623157e308, False),
    ],
)
def test_border_of_an_absolute_tolerance(
    expected: float, within: float, fresh: float, passes: bool
) -> None:
    wanted = Verdict.REPRODUCED if passes else Verdict.NOT_REPRODUCED
    assert verdict(expected, Absolute(within=within), fresh) is wanted


@pytest.mark.parametrize(
    ("expected", "within", "fresh", "passes"),
    [
        (100.0, 0.05, 105.0, True),
        (100.0, 0.05, 95.0, True),
        (100.0, 0.05, 105.0001, False),
        (-100.0, 0.05, -105.0, True),
        (-100.0, 0.05, 100.0, False),
        (0.7, 0.1, 0.77, True),
        (3.0, 0.1, 3.3, True),
    ],
)
def test_border_of_a_relative_tolerance(
    expected: float, within: float, fresh: float, passes: bool
) -> None:
    wanted = Verdict.REPRODUCED if passes else Verdict.NOT_REPRODUCED
    assert verdict(expected, Relative(within=within), fresh) is wanted


@settings(deadline=None)
@given(
    st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.integers(-(10**6), 10**6),
    st.integers(0, 8),
)  # fmt: skip
def test_decimals_are_compared_as_written(
    expected: int, within: int, fresh: int, places: int
) -> None:
    e, w, f = (Decimal(n).scaleb(-places) for n in (expected, within, fresh))
    wanted = Verdict.REPRODUCED if abs(f - e) <= w else Verdict.NOT_REPRODUCED
    assert verdict(float(e), Absolute(within=float(w)), float(f)) is wanted


def test_percent_and_fraction_are_never_compared() -> None:
    for claimed, fresh in (("", "%"), ("%", "")):
        result = judge(claim(91.0, Absolute(within=200.0), claimed), [metric(0.91, unit=fresh)])
        assert result.verdict is Verdict.INCONCLUSIVE
        assert "plain numbers" in result.sentence


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=5), finite, tolerances)
def test_every_text_of_a_result_is_printable(
    name: str, unit: str, expected: float, tolerance: Tolerance | None
) -> None:
    hostile = Claim(
        metric=name,
        source=MetricSource(importer=name, path=name, key=name),
        expected=expected,
        mode=ClaimMode.EVALUATE,
        tolerance=tolerance,
        unit=unit,
        note=name,
    )
    fresh = Metric(name=name, value=expected, text=name, source=hostile.source, unit=unit)
    for given_metrics in ([fresh], [], [metric(None, hostile.source)]):
        result = judge(hostile, given_metrics)
        said = result.claim
        assert not unprintable(
            "".join(
                (
                    *(result.sentence, said.metric, said.unit, said.note),
                    *(said.source.importer, said.source.path, said.source.key),
                )
            )
        )


@pytest.mark.parametrize(
    "other",
    [
        MetricSource(importer="table", path=SOURCE.path, key=SOURCE.key),
        MetricSource(importer="json", path="{project}/other.json", key=SOURCE.key),
        MetricSource(importer="json", path=SOURCE.path, key="/accuracy/0"),
    ],
)
def test_only_the_same_place_counts(other: MetricSource) -> None:
    assert find_metric(claim(0.5, None), [metric(0.5, other)]) is None
    assert judge(claim(0.5, Exact()), [metric(0.5, other)]).verdict is Verdict.INCONCLUSIVE


def test_another_line_is_the_same_place() -> None:
    moved = MetricSource(importer="json", path=SOURCE.path, key=SOURCE.key, line=7)
    assert judge(claim(0.5, Exact()), [metric(0.5, moved)]).verdict is Verdict.REPRODUCED


# ---------------------------------------------------------------- all claims


def result(outcome: Verdict) -> ClaimResult:
    return ClaimResult(claim=claim(0.5, None), verdict=outcome, fresh=None, sentence="")


outcomes = st.lists(
    st.sampled_from([Verdict.REPRODUCED, Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE])
)


@settings(deadline=None)
@given(outcomes)
def test_overall_is_reproduced_only_if_all_are_and_there_are_some(found: list[Verdict]) -> None:
    verdict = overall([result(v) for v in found])
    assert (verdict is Verdict.REPRODUCED) == (bool(found) and set(found) == {Verdict.REPRODUCED})
    assert (verdict is Verdict.NOT_REPRODUCED) == (Verdict.NOT_REPRODUCED in found)


@settings(deadline=None)
@given(outcomes, st.randoms())
def test_overall_does_not_depend_on_order(found: list[Verdict], random: object) -> None:
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert overall([result(v) for v in shuffled]) is overall([result(v) for v in found])


@settings(deadline=None)
@given(outcomes, st.sampled_from([Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE]))
def test_a_further_doubt_never_makes_it_better(found: list[Verdict], doubt: Verdict) -> None:
    assert overall([result(v) for v in (*found, doubt)]) is not Verdict.REPRODUCED
