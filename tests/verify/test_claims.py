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

from repropack.comparators import comparator_for
from repropack.comparators.student_t import detectable_shift
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
    Side,
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


def claim(
    expected: float,
    tolerance: Tolerance | None,
    unit: str = "",
    mode: ClaimMode = ClaimMode.EVALUATE,
) -> Claim:
    return Claim(
        metric="accuracy",
        source=SOURCE,
        expected=expected,
        mode=mode,
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
    one = claim(0.911, tolerance, mode=ClaimMode.RETRAIN_NEW_SEED)
    return judge_all([one], [[metric(value)] for value in fresh])[0]


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


def place(number: int) -> MetricSource:
    return MetricSource(importer="json", path="m.json", key=f"/{number}")


def interval_claim(source: MetricSource, values: tuple[float, ...]) -> Claim:
    middle = sorted(values)[len(values) // 2]
    one = claim(middle, Interval(values=values), mode=ClaimMode.RETRAIN_NEW_SEED)
    return replace(one, source=source)


@pytest.mark.parametrize(
    "others",
    [
        pytest.param([interval_claim(place(0), SEEDS)] * 30, id="claimed-again"),
        pytest.param(
            [interval_claim(place(0), tuple(v + n / 1e9 for v in SEEDS)) for n in range(30)],
            id="claimed-again-with-other-values",
        ),
        pytest.param([interval_claim(place(n), SEEDS[::-1]) for n in range(1, 30)], id="copies"),
        pytest.param(
            [interval_claim(place(n), (n / 4,) * 5) for n in range(1, 30)], id="never-varies"
        ),
    ],
)
def test_a_failure_cannot_be_hidden_among_claims_that_say_nothing(others: list[Claim]) -> None:
    failing = interval_claim(place(0), SEEDS)
    metrics = [metric(0.920, place(0))]
    metrics += [metric(o.expected, o.source) for o in others if o.source != place(0)]
    results = judge_all([failing, *others], [metrics])
    assert results[0].verdict is Verdict.NOT_REPRODUCED
    assert overall(results) is Verdict.NOT_REPRODUCED


@pytest.mark.parametrize("tolerance", [Interval(values=SEEDS), Equivalent(values=SEEDS, margin=1)])
@pytest.mark.parametrize("mode", [ClaimMode.EVALUATE, ClaimMode.RETRAIN_SAME_SEED])
def test_runs_with_one_seed_are_not_compared_as_if_they_were_independent(
    mode: ClaimMode, tolerance: Tolerance
) -> None:
    one = claim(0.911, tolerance, mode=mode)
    result = judge_all([one], [[metric(0.911)]] * 3)[0]
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "compares runs with several seeds" in result.sentence
    assert (result.low, result.high) == (None, None)
    measured = replace(one, basis=Basis.REPEATS)
    allowed = isinstance(tolerance, Interval)
    assert (judge(measured, [metric(0.911)]).verdict is Verdict.REPRODUCED) is allowed


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("claimed", [0.99, 0.5])
def test_a_number_that_none_of_its_own_seeds_gave_is_not_reproduced_by_them(
    claimed: float, side: Side
) -> None:
    for tolerance in (
        Interval(values=SEEDS, side=side),
        Equivalent(values=SEEDS, margin=0.05, side=side),
    ):
        one = claim(claimed, tolerance, mode=ClaimMode.RETRAIN_NEW_SEED)
        result = judge_all([one], [[metric(value)] for value in SEEDS])[0]
        assert result.verdict is Verdict.INCONCLUSIVE
        assert "far outside what its own 5 recorded runs gave, 0.908 to 0.915" in result.sentence


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=12), st.data())
def test_each_of_a_dozen_seeds_may_be_the_claimed_one(
    values: list[float], data: st.DataObject
) -> None:
    tolerance = Interval(values=tuple(values))
    recorded = data.draw(st.sampled_from(values))
    assert comparator_for(tolerance).defect(tolerance, recorded) == ""


def test_the_best_of_many_seeds_that_gave_something_else_is_no_claim() -> None:
    tolerance = Interval(values=(0.99, *(0.5 + n / 1e4 for n in range(99))))
    assert "far outside" in comparator_for(tolerance).defect(tolerance, 0.99)


@pytest.mark.parametrize("tolerance", [Exact(), None])
def test_integers_that_no_double_holds_are_never_called_equal(tolerance: Tolerance | None) -> None:
    one = claim(2.0**53, tolerance)
    for text in ("9007199254740992", "9007199254740993"):
        found = replace(metric(2.0**53), text=text)
        result = judge(one, [found])
        assert result.verdict is Verdict.INCONCLUSIVE
        assert "beyond the integers that numbers hold exactly" in result.sentence
    assert judge(one, [metric(2.0**53)]).verdict is Verdict.REPRODUCED
    largest = claim(2.0**53 - 1, tolerance)
    found = replace(metric(2.0**53 - 1), text="9007199254740991")
    assert judge(largest, [found]).verdict is Verdict.REPRODUCED
    assert judge(replace(one, tolerance=Absolute(within=1)), [found]).verdict is Verdict.REPRODUCED


def test_where_the_floor_makes_the_interval_the_missed_shift_is_larger() -> None:
    plain, floored = (judged(Interval(values=SEEDS, floor=floor), [0.911]) for floor in (0, 0.05))
    assert "a shift below 4.1 standard deviations would be missed" in plain.sentence
    # 0.05 + 0.8416 * s * sqrt(1 / 5 + 1)
    assert "a shift below 0.052 would be missed more than 20 % of the time" in floored.sentence
    equal = judged(Interval(values=(0.911,) * 5, floor=0.01), [0.911])
    assert "a shift below 0.01 would be missed" in equal.sentence
    assert "shift" not in judged(Interval(values=(0.911,) * 5), [0.911]).sentence


def test_the_sentence_of_an_equivalence_says_what_would_have_passed() -> None:
    result = judged(Equivalent(values=SEEDS, margin=0.02), list(SEEDS))
    assert result.verdict is Verdict.REPRODUCED
    assert "a difference of 0.02 would pass 5 % of the time at most" in result.sentence


def test_one_of_many_intervals_may_be_missed_by_chance() -> None:
    # 0.920 has p = 0.036: a failure alone, none among ten.
    sources = [place(number) for number in range(10)]
    claims = [
        interval_claim(source, tuple(value + number / 1000 for value in SEEDS))
        for number, source in enumerate(sources)
    ]
    values = [0.920, *(0.911 + number / 1000 for number in range(1, 10))]
    metrics = [metric(value, source) for value, source in zip(values, sources, strict=True)]
    alone = judge_all(claims[:1], [metrics])
    assert overall(alone) is Verdict.NOT_REPRODUCED
    together = judge_all(claims, [metrics])
    assert overall(together) is Verdict.REPRODUCED
    assert "by chance" in together[0].sentence
    # Where ten are judged together, the first of them fails at a tenth of the level.
    wider = detectable_shift(5, 1, 0.995)
    assert wider > 1.5 * detectable_shift(5, 1, 0.95)
    missed = f"a shift below {wider:.2g} standard deviations would be missed, of 10 claims judged"
    assert all(missed in one.sentence for one in together)
    far = [metric(0.99, sources[0]), *metrics[1:]]
    assert overall(judge_all(claims, [far])) is Verdict.NOT_REPRODUCED


@pytest.mark.parametrize(
    ("basis", "fresh", "random_evaluation"),
    [
        (Basis.DEFAULT, [0.8, 0.9], True),
        # Two draws happen to be near to each other; it is no proof that the third is none.
        (Basis.DEFAULT, [0.8, 0.81], True),
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
