# SPDX-License-Identifier: Apache-2.0
"""The laws of judging: what can make a claim pass, and what can never."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from repropack.model import (
    Absolute,
    AtLeast,
    Basis,
    Claim,
    ClaimMode,
    ClaimResult,
    Equivalent,
    Exact,
    Interval,
    Metric,
    MetricSource,
    Relative,
    Tolerance,
    Verdict,
)
from repropack.verify.claims import holm, is_random_evaluation, judge_all, overall
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


def judge(one: Claim, metrics: Sequence[Metric]) -> ClaimResult:
    return judge_all([one], [metrics])[0]


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


def test_without_a_tolerance_the_reader_is_told_how_far_it_is_off() -> None:
    (found,) = judge_all((claim(0.5, None),), [(metric(0.5000001),)])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "off by 1e-07 (2e-07 of the claimed); " in found.sentence
    (zero,) = judge_all((claim(0.0, None),), [(metric(0.25),)])
    assert "off by 0.25; " in zero.sentence


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


# ---------------------------------------------------------------- several repetitions

SEEDS = (0.912, 0.908, 0.915, 0.910, 0.911)
fresh_values = st.lists(
    st.floats(0.85, 0.95).map(lambda value: round(value, 4)), min_size=1, max_size=6
)
several = st.one_of(
    st.builds(Absolute, within=st.floats(0, 0.05)),
    st.builds(Interval, values=st.just(SEEDS), floor=st.floats(0, 0.05)),
    st.builds(Equivalent, values=st.just(SEEDS), margin=st.floats(0.001, 0.1)),
    st.builds(AtLeast, bound=st.floats(0.85, 0.9)),
)


def judged(tolerance: Tolerance, fresh: Sequence[float]) -> ClaimResult:
    return judge_all([claim(0.911, tolerance)], [[metric(value)] for value in fresh])[0]


@settings(deadline=None)
@given(several, fresh_values, st.integers(0, 99))
def test_order_of_runs_does_not_matter(
    tolerance: Tolerance, fresh: list[float], shuffle: int
) -> None:
    shuffled = random.Random(shuffle).sample(fresh, len(fresh))
    one, other = judged(tolerance, fresh), judged(tolerance, shuffled)
    assert (one.verdict, one.sentence, one.fresh) == (other.verdict, other.sentence, other.fresh)


@settings(deadline=None)
@given(several, fresh_values, st.sampled_from([math.nan, math.inf, None]))
def test_one_run_without_a_number_decides_nothing(
    tolerance: Tolerance, fresh: list[float], bad: float | None
) -> None:
    repetitions = [[metric(value)] for value in (*fresh, bad)]
    result = judge_all([claim(0.911, tolerance)], repetitions)[0]
    assert result.verdict is Verdict.INCONCLUSIVE
    assert judge_all([claim(0.911, tolerance)], [*repetitions[:-1], []])[0].verdict is (
        Verdict.INCONCLUSIVE
    )


@settings(deadline=None)
@given(fresh_values, st.floats(0, 0.1), st.floats(0, 0.1))
def test_a_wider_interval_never_refutes(fresh: list[float], one: float, other: float) -> None:
    narrow = judged(Interval(values=SEEDS, floor=min(one, other)), fresh).verdict
    wide = judged(Interval(values=SEEDS, floor=max(one, other)), fresh).verdict
    assert (narrow, wide) != (Verdict.REPRODUCED, Verdict.NOT_REPRODUCED)


def test_the_sentence_of_an_interval_says_what_would_have_been_missed() -> None:
    result = judged(Interval(values=SEEDS), [0.9100])
    assert result.verdict is Verdict.REPRODUCED
    for words in ("0.9033274194", "0.9190725806", "95 % prediction interval of 5 recorded runs"):
        assert words in result.sentence
    assert "a shift below 4.1 standard deviations would be missed" in result.sentence


def test_every_run_counts_for_a_tolerance_of_single_values() -> None:
    result = judged(Absolute(within=0.01), [0.911, 0.95, 0.911])
    assert result.verdict is Verdict.NOT_REPRODUCED
    assert "1 of 3 runs outside" in result.sentence
    assert result.runs == (0.911, 0.95, 0.911)


def test_better_by_far_is_reproduced_and_said() -> None:
    assert "better than recorded by far" in judged(AtLeast(bound=0.9), [0.99]).sentence
    assert "by far" not in judged(AtLeast(bound=0.9), [0.915]).sentence


@pytest.mark.parametrize(
    ("given", "adjusted"),
    [
        # The vector of R's p.adjust(method = "holm").
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([], []),
        ([0.9, 0.8], [1.0, 1.0]),
    ],
)
def test_holm(given: list[float], adjusted: list[float]) -> None:
    assert holm(given) == pytest.approx(adjusted)


def test_one_of_many_intervals_may_be_missed_by_chance() -> None:
    # 0.920 has p = 0.036: a failure alone, none among ten.
    sources = [MetricSource(importer="json", path="m.json", key=f"/{n}") for n in range(10)]
    claims = [
        Claim(
            metric="accuracy",
            source=source,
            expected=0.911,
            mode=ClaimMode.RETRAIN_NEW_SEED,
            tolerance=Interval(values=SEEDS),
        )
        for source in sources
    ]
    values = [0.920] + [0.911] * 9
    metrics = [metric(value, source) for value, source in zip(values, sources, strict=True)]
    alone = judge_all(claims[:1], [metrics])
    assert overall(alone) is Verdict.NOT_REPRODUCED
    together = judge_all(claims, [metrics])
    assert overall(together) is Verdict.REPRODUCED
    assert "by chance" in together[0].sentence
    far = [metric(0.99, sources[0]), *metrics[1:]]
    assert overall(judge_all(claims, [far])) is Verdict.NOT_REPRODUCED


@pytest.mark.parametrize(
    ("basis", "fresh", "random_evaluation"),
    [
        (Basis.DEFAULT, [0.8, 0.9], True),
        (Basis.DEFAULT, [0.8, 0.8], False),
        # Noise in the last digits excuses no other result.
        (Basis.DEFAULT, [0.8, 0.800001], False),
        (Basis.DECLARED, [0.8, 0.9], False),
    ],
)
def test_only_an_assumed_tolerance_is_doubted(
    basis: Basis, fresh: list[float], random_evaluation: bool
) -> None:
    assumed = replace(claim(0.5, Relative(within=1e-5)), basis=basis)
    results = judge_all([assumed], [[metric(value)] for value in fresh])
    assert overall(results) is Verdict.NOT_REPRODUCED
    assert is_random_evaluation(results) is random_evaluation
