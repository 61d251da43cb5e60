# SPDX-License-Identifier: Apache-2.0
"""What every comparator has to hold to, whatever its kind of tolerance."""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack import canonical
from repropack.comparators import TABLE, Comparator, band, comparator_for
from repropack.model import Tolerance

finite = st.floats(allow_nan=False, allow_infinity=False)
bounds = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
ordinary = st.floats(min_value=-1e9, max_value=1e9).map(lambda value: round(value, 6))

KINDS: Final = tuple(TABLE)


def build(kind: type[Tolerance], within: float) -> Tolerance:
    """A tolerance of a kind; every kind has a bound named `within`, or none."""
    fields = {field.name for field in msgspec.structs.fields(kind)}
    assert fields <= {"within"}, "a comparator with other fields needs a line here"
    make: Callable[..., Tolerance] = kind
    return make(**dict.fromkeys(fields, within))


def test_the_table_has_every_kind_of_tolerance() -> None:
    assert set(KINDS) == set(typing.get_args(Tolerance))
    assert len(KINDS) >= 3


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(within=bounds, recorded=finite)
def test_recorded_value_itself_is_accepted(
    kind: type[Tolerance], within: float, recorded: float
) -> None:
    tolerance = build(kind, within)
    comparator = comparator_for(tolerance)
    if not comparator.defect(tolerance, recorded):
        assert comparator.accepts(tolerance, recorded, recorded)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(within=bounds, more=bounds, recorded=finite, fresh=finite)
def test_wider_accepts_at_least_as_much(
    kind: type[Tolerance], within: float, more: float, recorded: float, fresh: float
) -> None:
    narrow, wide = build(kind, min(within, more)), build(kind, max(within, more))
    comparator = comparator_for(narrow)
    assert bool(comparator.defect(narrow, recorded)) == bool(comparator.defect(wide, recorded))
    if not comparator.defect(narrow, recorded) and comparator.accepts(narrow, recorded, fresh):
        assert comparator.accepts(wide, recorded, fresh)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(within=bounds, recorded=finite, fresh=finite)
def test_sign_does_not_matter(
    kind: type[Tolerance], within: float, recorded: float, fresh: float
) -> None:
    tolerance = build(kind, within)
    comparator = comparator_for(tolerance)
    assert comparator.accepts(tolerance, recorded, fresh) == comparator.accepts(
        tolerance, -recorded, -fresh
    )


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(
    within=st.floats(min_value=0, max_value=100).map(lambda value: round(value, 6)),
    recorded=ordinary,
    fresh=ordinary,
)
def test_band_and_verdict_agree_but_for_rounding_at_the_edge(
    kind: type[Tolerance], within: float, recorded: float, fresh: float
) -> None:
    tolerance = build(kind, within)
    comparator = comparator_for(tolerance)
    if comparator.defect(tolerance, recorded):
        return
    edges = band(tolerance, recorded)
    assert edges.low <= recorded <= edges.high
    slack = 8 * max(math.ulp(edges.low), math.ulp(edges.high), math.ulp(recorded))
    if comparator.accepts(tolerance, recorded, fresh):
        assert edges.low - slack <= fresh <= edges.high + slack
    else:
        assert not edges.low + slack < fresh < edges.high - slack


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(within=bounds, recorded=finite)
def test_half_width_is_a_distance(kind: type[Tolerance], within: float, recorded: float) -> None:
    tolerance = build(kind, within)
    half = comparator_for(tolerance).half_width(tolerance, recorded)
    assert half >= 0


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(within=bounds)
def test_words_and_defects_are_one_printable_line(kind: type[Tolerance], within: float) -> None:
    tolerance = build(kind, within)
    comparator: Comparator = comparator_for(tolerance)
    words = comparator.describe(tolerance)
    assert words
    assert words.isprintable()
    for recorded in (0.0, 1.0):
        assert comparator.defect(tolerance, recorded).isprintable()


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(within=bounds)
def test_tolerance_survives_json(kind: type[Tolerance], within: float) -> None:
    tolerance = build(kind, within)
    assert canonical.decode(canonical.encode(tolerance), Tolerance) == tolerance  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "interval", "within": 1.0},
        {"within": 1.0},
        {"kind": "absolute"},
        {"kind": "absolute", "within": -1.0},
        {"kind": "absolute", "within": "1"},
        {"kind": "absolute", "within": 1.0, "also": 2},
        {"kind": "exact", "within": 1.0},
    ],
)
def test_unknown_kind_or_field_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(canonical.NotCanonicalError):
        canonical.decode(canonical.encode(document), Tolerance)  # type: ignore[arg-type]
