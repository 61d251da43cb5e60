# SPDX-License-Identifier: Apache-2.0
"""Curves over the segments of a resumed run: which points count, and which are left alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.importers.segments import joined, since
from repropack.importers.series import MAX_POINTS, metric, points
from repropack.model import Metric, MetricSource

LOSS = MetricSource(importer="console", path="stdout", key="loss")
Curve = Sequence[tuple[float | None, float]]


def _segment(curve: Curve, source: MetricSource = LOSS) -> tuple[Metric, ...]:
    return (metric(source.key, curve, source),) if curve else ()


def _points(metrics: Sequence[Metric]) -> list[tuple[float | None, float]]:
    (only,) = metrics
    assert only.series is not None
    return list(points(only.series))


def _curve(steps: Sequence[float], value: float) -> list[tuple[float | None, float]]:
    return [(step, value) for step in steps]


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        pytest.param(
            [_curve([1, 2, 3], 1), _curve([4, 5], 2)],
            _curve([1, 2, 3], 1) + _curve([4, 5], 2),
            id="the second goes on where the first ended",
        ),
        pytest.param(
            [_curve([1, 2, 3, 4], 1), _curve([3, 4, 5], 2)],
            _curve([1, 2], 1) + _curve([3, 4, 5], 2),
            id="steps behind the checkpoint are of the later segment",
        ),
        pytest.param(
            [_curve([1, 2], 1), _curve([1, 2], 1) + _curve([3, 4], 2)],
            _curve([1, 2], 1) + _curve([3, 4], 2),
            id="a file that was appended to has all",
        ),
        pytest.param(
            [_curve([1, 2, 3], 1), _curve([0, 1], 2)],
            _curve([0, 1], 2),
            id="a training that began anew has no earlier points",
        ),
        pytest.param(
            [_curve([1, 2], 1), [], _curve([3, 4], 2)],
            _curve([1, 2], 1) + _curve([3, 4], 2),
            id="a segment that ended before its first step is passed over",
        ),
        pytest.param(
            [_curve([10, 20], 1), _curve([20, 30], 2), _curve([15, 25], 3)],
            _curve([10], 1) + _curve([15, 25], 3),
            id="a segment that was given up",
        ),
        pytest.param(
            [_curve([1, 2], 1), [(None, 2.0), (None, 3.0)]],
            [(None, 2.0), (None, 3.0)],
            id="without steps of its own",
        ),
        pytest.param(
            [[(None, 1.0), (None, 1.0)], _curve([3, 4], 2)],
            _curve([3, 4], 2),
            id="without steps before",
        ),
        pytest.param(
            [_curve([1, 2], 1), [*_curve([3], 2), (4, float("nan"))]],
            None,
            id="a value that is no number",
        ),
    ],
)
def test_the_points_of_a_resumed_run(segments: list[Curve], expected: Curve | None) -> None:
    found = _points(joined([_segment(curve) for curve in segments]))
    if expected is None:
        assert [step for step, _ in found] == [1, 2, 3, 4]
    else:
        assert found == expected


def test_the_final_value_is_that_of_the_last_segment() -> None:
    (found,) = joined([_segment(_curve([1, 2], 1)), _segment(_curve([3, 4], 2))])
    assert (found.value, found.text) == (2, "2")
    # With one value there is no curve, and no step that could tell what comes before it.
    (alone,) = joined([_segment(_curve([1, 2], 1)), _segment([(3, 7.0)])])
    assert alone.series is None


def test_what_the_last_segment_does_not_measure_is_no_metric_of_the_run() -> None:
    other = MetricSource(importer="console", path="stdout", key="accuracy")
    found = joined([_segment(_curve([1, 2], 1), other), _segment(_curve([3, 4], 2))])
    assert [m.source.key for m in found] == ["loss"]
    assert _points(found) == _curve([3, 4], 2)


def test_log_files_in_folders_named_by_time_are_one_curve() -> None:
    first, second = (
        MetricSource(importer="csv", path=path, key="loss", place="{project}/runs/*/log.csv")
        for path in ("{project}/runs/1/log.csv", "{project}/runs/2/log.csv")
    )
    found = joined([_segment(_curve([1, 2], 1), first), _segment(_curve([3, 4], 2), second)])
    assert _points(found) == _curve([1, 2], 1) + _curve([3, 4], 2)
    assert found[0].source.path == second.path


def test_a_joined_curve_keeps_to_the_length_of_a_record_and_says_how_long_it_was() -> None:
    many = MAX_POINTS
    first, second = _curve(range(many), 1), _curve(range(many, 2 * many), 2)
    (found,) = joined([_segment(first), _segment(second)])
    assert found.series is not None
    assert len(found.series.values) <= many
    assert found.series.length == 2 * many
    assert found.series.values[-1] == 2


def test_values_without_steps_stay_alone_when_they_are_thinned() -> None:
    # Counted from 0, of which thinning leaves every second.
    long = _segment(_curve(range(2 * MAX_POINTS), 2))
    assert _points(long)[0][0] == 1
    assert joined([_segment(_curve([0, 1, 2], 1)), long]) == long


def test_a_repetition_of_the_last_segment_is_compared_with_its_steps_alone() -> None:
    first, second = _segment(_curve([1, 2, 3], 1)), _segment(_curve([3, 4], 2))
    recorded = joined([first, second])
    assert _points(since(recorded, second)) == _curve([3, 4], 2)
    # A log that was appended to came whole.
    assert since(recorded, recorded) == recorded
    # Nothing in common: all is shown.
    assert since(recorded, _segment(_curve([8, 9], 2))) == recorded
    assert since(recorded, ()) == recorded


_curves = st.lists(
    st.tuples(st.integers(0, 12).map(float), st.floats(allow_nan=False)), min_size=2, max_size=8
)


@given(st.one_of(_curves, st.just([])))
def test_a_single_segment_is_as_it_was(curve: Curve) -> None:
    assert joined([_segment(curve)]) == _segment(curve)


@given(_curves, _curves, _curves)
def test_joining_is_associative(first: Curve, second: Curve, third: Curve) -> None:
    a, b, c = _segment(first), _segment(second), _segment(third)
    at_once = joined([a, b, c])
    assert joined([joined([a, b]), c]) == joined([a, joined([b, c])]) == at_once
    # As a recorder has them: of each segment what it had joined by then.
    assert joined([a, joined([a, b]), c]) == at_once


@given(_curves, _curves)
def test_no_step_of_the_later_segment_is_replaced(first: Curve, second: Curve) -> None:
    found = _points(joined([_segment(first), _segment(second)]))
    assert found[len(found) - len(second) :] == second
    start = min(step for step, _ in second if step is not None)
    assert found[: len(found) - len(second)] == [
        point for point in first if point[0] is not None and point[0] < start
    ]
