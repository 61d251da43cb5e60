# SPDX-License-Identifier: Apache-2.0
"""Where recorded and fresh curves part, and what is drawn of them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack import canonical
from repropack.importers.series import points, series
from repropack.model import CurveComparison, Metric, MetricSource, Series
from repropack.verify.curves import MAX_CURVES, MAX_DRAWN, compare_curves, compare_series, drawn


def curve(*values: float, start: float = 0) -> Series:
    return series([(start + index, value) for index, value in enumerate(values)])


def compared(then: Series, now: Series) -> CurveComparison:
    return compare_series(then, now, metric="loss", run=1, path="{project}/loss.csv")


def test_equal_curves_part_nowhere() -> None:
    one = compared(curve(1.0, 0.5, 0.25), curve(1.0, 0.5, 0.25))
    assert (one.compared, one.first, one.beyond, one.final) == (3, None, {}, 0.0)


def test_the_first_divergent_step_its_size_and_the_thresholds() -> None:
    then = curve(1.0, 1.0, 1.0, 1.0, 1.0)
    now = curve(1.0, 1 + 1e-7, 1 + 1e-4, 1 + 2e-3, 1.5)
    one = compared(then, now)
    assert one.first is not None
    assert (one.first.index, one.first.step) == (1, 1.0)
    assert one.first.relative == pytest.approx(1e-7, rel=1e-6)
    assert {name: at.step for name, at in one.beyond.items()} == {
        "1e-5": 2.0,
        "1e-3": 3.0,
        "1e-2": 4.0,
    }
    assert one.final == pytest.approx(1 / 3)
    assert one.jump is None


def test_curves_that_part_all_at_once() -> None:
    one = compared(curve(1.0, 1.0, 1.0), curve(1.0, 1 + 1e-9, 1.2))
    assert one.jump is not None
    assert one.jump.step == 2.0


def test_steps_are_matched_by_number_and_not_by_position() -> None:
    one = compared(curve(1.0, 2.0, 3.0, start=0), curve(2.0, 3.0, 4.0, start=1))
    assert (one.compared, one.only_recorded, one.only_fresh, one.first) == (2, 1, 1, None)


def test_a_step_that_is_logged_again_is_not_lost() -> None:
    twice = series([(0, 1.0), (1, 2.0), (1, 2.5)])
    assert compared(twice, twice).compared == 3
    other = compared(twice, series([(0, 1.0), (1, 2.0), (1, 2.75)]))
    assert other.first is not None
    assert other.first.index == 2


def test_one_more_step_of_a_thinned_series_is_counted() -> None:
    one = compared(
        Series(values=(1.0, 2.0), stride=10.0, length=20),
        Series(values=(1.0, 2.0), stride=10.0, length=21),
    )
    assert (one.only_recorded, one.only_fresh) == (0, 1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_differs_as_much_as_anything_can(bad: float) -> None:
    one = compared(curve(1.0, 2.0), curve(1.0, bad))
    assert one.first is not None
    assert one.first.relative == 2.0
    assert compared(curve(1.0, bad), curve(1.0, bad)).first is None


def test_a_step_beyond_the_numbers_can_still_be_reported() -> None:
    far = Series(values=(1.0, 2.0, 3.0), first=1e308, stride=1e308)
    one = compared(far, Series(values=(1.0, 2.5, 3.0), first=1e308, stride=1e308))
    assert canonical.encode(one)


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(numbers, min_size=1, max_size=40), st.lists(numbers, min_size=1, max_size=40))
def test_any_two_curves_can_be_compared_and_reported(one: list[float], other: list[float]) -> None:
    forth, back = compared(curve(*one), curve(*other)), compared(curve(*other), curve(*one))
    assert canonical.encode(forth)
    assert forth.compared + forth.only_recorded == len(one)
    assert forth.compared + forth.only_fresh == len(other)
    assert (forth.first, forth.beyond, forth.final) == (back.first, back.beyond, back.final)
    same = all(
        a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(one, other, strict=False)
    )
    assert (forth.first is None) is same


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=2000))
def test_a_drawing_hides_no_extreme(values: list[float]) -> None:
    shown = [value for _, value in points(drawn(curve(*values)))]
    assert len(shown) <= MAX_DRAWN
    assert (min(shown), max(shown)) == (min(values), max(values))


def test_only_the_same_place_is_compared_and_what_parts_comes_first() -> None:
    def metric(name: str, *values: float) -> Metric:
        source = MetricSource(importer="table_file", path="{project}/loss.csv", key=name)
        return Metric(name=name, value=1.0, text="1", source=source, series=curve(*values))

    then = [metric(f"same{i}", 1.0, 2.0) for i in range(2 * MAX_CURVES)]
    then += [metric("other", 1.0, 2.0), metric("gone", 1.0, 2.0)]
    now = [*then[: 2 * MAX_CURVES], metric("other", 1.0, 3.0), metric("new", 1.0, 2.0)]
    found = compare_curves(3, then, now)
    assert len(found) == MAX_CURVES
    assert [one.metric for one in found[:2]] == ["other", "same0"]
    assert {one.run for one in found} == {3}
