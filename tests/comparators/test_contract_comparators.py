# SPDX-License-Identifier: Apache-2.0
"""What every comparator has to hold to, whatever its kind of tolerance."""

from __future__ import annotations

import math
import random
import typing
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack import canonical
from repropack.comparators import TABLE, Comparator, comparator_for
from repropack.model import (
    Absolute,
    AtLeast,
    AtMost,
    Close,
    Equivalent,
    Exact,
    Interval,
    Relative,
    Tolerance,
    Verdict,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
ordinary = st.floats(min_value=-1e6, max_value=1e6).map(lambda value: round(value, 6))
bounds = st.floats(min_value=0, max_value=1e6).map(lambda value: round(value, 6))
values = st.lists(ordinary, min_size=3, max_size=6).map(tuple)

KINDS: Final = tuple(TABLE)

WIDENED: Final[dict[type[Tolerance], Callable[[float, float, tuple[float, ...]], Tolerance]]] = {
    Exact: lambda _within, _recorded, _values: Exact(),
    Absolute: lambda within, _recorded, _values: Absolute(within=within),
    Relative: lambda within, _recorded, _values: Relative(within=within),
    Close: lambda within, _recorded, _values: Close(absolute=within, relative=within / 2),
    AtLeast: lambda within, recorded, _values: AtLeast(bound=recorded - within),
    AtMost: lambda within, recorded, _values: AtMost(bound=recorded + within),
    Interval: lambda within, _recorded, values: Interval(values=values, floor=within),
    Equivalent: lambda within, _recorded, values: Equivalent(values=values, margin=within + 1e-6),
}
"""For each kind, a tolerance that accepts more the larger the first argument is."""

RUNS: Final[dict[type[Tolerance], int]] = {Equivalent: 3}
"""How many fresh runs a kind needs, where one is not enough."""


def test_the_table_has_every_kind_of_tolerance() -> None:
    assert set(KINDS) == set(typing.get_args(Tolerance)) == set(WIDENED)
    assert len(KINDS) >= 3


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(within=bounds, recorded=ordinary)
def test_recorded_value_itself_is_accepted(
    kind: type[Tolerance], within: float, recorded: float
) -> None:
    tolerance = WIDENED[kind](within, recorded, (recorded,) * 3)
    comparator = comparator_for(tolerance)
    if not comparator.defect(tolerance, recorded):
        fresh = [recorded] * RUNS.get(kind, 1)
        assert comparator.compare(tolerance, recorded, fresh).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(
    within=bounds,
    more=bounds,
    recorded=ordinary,
    values=values,
    fresh=st.lists(ordinary, min_size=1, max_size=4),
)
def test_wider_never_refutes_what_was_reproduced(
    kind: type[Tolerance],
    within: float,
    more: float,
    recorded: float,
    values: tuple[float, ...],
    fresh: list[float],
) -> None:
    narrow, wide = (
        WIDENED[kind](bound, recorded, values) for bound in (min(within, more), max(within, more))
    )
    comparator = comparator_for(narrow)
    if comparator.defect(narrow, recorded):
        return
    assert comparator.defect(wide, recorded) == ""
    before = comparator.compare(narrow, recorded, fresh).verdict
    after = comparator.compare(wide, recorded, fresh).verdict
    if before is Verdict.REPRODUCED:
        assert after is Verdict.REPRODUCED


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(
    within=bounds, recorded=ordinary, values=values,
    fresh=st.lists(ordinary, min_size=2, max_size=5), shuffle=st.integers(0, 9),
)  # fmt: skip
def test_order_does_not_matter(
    kind: type[Tolerance],
    within: float,
    recorded: float,
    values: tuple[float, ...],
    fresh: list[float],
    shuffle: int,
) -> None:
    tolerance = WIDENED[kind](within, recorded, values)
    comparator = comparator_for(tolerance)
    shuffled = random.Random(shuffle).sample(fresh, len(fresh))
    assert comparator.compare(tolerance, recorded, fresh) == comparator.compare(
        tolerance, recorded, shuffled
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(within=bounds, recorded=ordinary, values=values, fresh=ordinary)
def test_band_and_verdict_agree_but_for_rounding_at_the_edge(
    kind: type[Tolerance],
    within: float,
    recorded: float,
    values: tuple[float, ...],
    fresh: float,
) -> None:
    tolerance = WIDENED[kind](within, recorded, values)
    comparator = comparator_for(tolerance)
    edges = comparator.band(tolerance, recorded, 1)
    if comparator.defect(tolerance, recorded) or edges is None:
        return
    ends = [abs(end) for end in (edges.low, edges.high) if math.isfinite(end)]
    slack = 8 * math.ulp(max(*ends, abs(recorded), 0.0))
    if comparator.compare(tolerance, recorded, [fresh]).verdict is Verdict.REPRODUCED:
        assert edges.low - slack <= fresh <= edges.high + slack
    else:
        assert not edges.low + slack < fresh < edges.high - slack


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(within=bounds, recorded=finite, values=st.lists(finite, min_size=1, max_size=4).map(tuple))
def test_words_and_defects_are_one_printable_line_for_any_numbers(
    kind: type[Tolerance], within: float, recorded: float, values: tuple[float, ...]
) -> None:
    tolerance = WIDENED[kind](within, 0.0, values)
    comparator: Comparator = comparator_for(tolerance)
    assert comparator.describe(tolerance)
    assert comparator.describe(tolerance).isprintable()
    defect = comparator.defect(tolerance, recorded)
    assert defect.isprintable()
    if not defect:
        said = comparator.compare(tolerance, recorded, [recorded, recorded])
        assert said.evidence.isprintable()
        assert said.p_value is None or 0 <= said.p_value <= 1


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(within=bounds, values=values)
def test_tolerance_survives_json(
    kind: type[Tolerance], within: float, values: tuple[float, ...]
) -> None:
    tolerance = WIDENED[kind](within, 1.0, values)
    assert canonical.decode(canonical.encode(tolerance), Tolerance) == tolerance  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "median", "within": 1.0},
        {"within": 1.0},
        {"kind": "absolute"},
        {"kind": "absolute", "within": -1.0},
        {"kind": "absolute", "within": "1"},
        {"kind": "absolute", "within": 1.0, "also": 2},
        {"kind": "exact", "within": 1.0},
        {"kind": "interval", "values": []},
        {"kind": "interval", "values": [1.0], "confidence": 0.5},
        {"kind": "equivalent", "values": [1.0], "margin": 0.0},
    ],
)
def test_unknown_kind_or_field_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(canonical.NotCanonicalError):
        canonical.decode(canonical.encode(document), Tolerance)  # type: ignore[arg-type]
