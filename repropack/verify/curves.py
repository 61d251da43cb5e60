# SPDX-License-Identifier: Apache-2.0
"""Compares recorded series with fresh ones, step by step.

Two trainings part at some step: when, and by how much at first, says more about the reason than
how far apart they end. A difference of 1e-7 that grows comes from how numbers are added up; one of
1e-2 at the first step comes from another seed or other data. Pure: series in, comparisons out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from repropack.escaping import show
from repropack.importers.series import points, stored_value
from repropack.model import CurveComparison, Divergence, Metric, Series

__all__ = ["MAX_CURVES", "THRESHOLDS", "compare_curves", "compare_series", "drawn"]

THRESHOLDS: Final = {"1e-5": 1e-5, "1e-3": 1e-3, "1e-2": 1e-2}
"""Relative differences whose first step is reported: rounding, visible, material."""

JUMP: Final = 1e3
"""By how much a difference grows at once where something happens at that step: an epoch's new
order of the data, a schedule, a resume. Amplified rounding grows step by step."""

NEAR: Final = 1e-5
"""Curves that are no further apart than this are near each other."""

MAX_CURVES: Final = 40
"""Curves of one report. A training that logs more has the differing ones shown first."""

MAX_DRAWN: Final = 300
"""Values of one curve in a report: more than a drawing has dots."""

_Points = dict[tuple[float, int], float]


def compare_curves(
    number: int, recorded: Iterable[Metric], fresh: Iterable[Metric]
) -> tuple[CurveComparison, ...]:
    """Compares every recorded series of a run with the fresh one of the same place.

    A series that the repetition does not have at all is left out: that no such file came is what
    the claims say, or nothing that anybody claimed.

    Args:
        number: The place of the run in the chain.
        recorded: All metrics that were recorded of it.
        fresh: All that its repetition gave.
    """
    present = {metric.source.identity: metric for metric in fresh if metric.series is not None}
    compared = []
    for metric in recorded:
        other = present.get(metric.source.identity)
        if metric.series is None or other is None or other.series is None:
            continue
        compared.append(
            compare_series(
                metric.series, other.series, metric=metric.name, run=number, path=metric.source.path
            )
        )
    # A stable sort: among alike ones the order of the record.
    compared.sort(key=lambda one: one.first is None and not one.only_recorded + one.only_fresh)
    return tuple(compared[:MAX_CURVES])


def compare_series(
    recorded: Series, fresh: Series, *, metric: str, run: int, path: str
) -> CurveComparison:
    """Compares two series on the steps that both have."""
    then, now = _by_step(recorded), _by_step(fresh)
    common = sorted(then.keys() & now.keys())
    # Of thinned series the stored steps say nothing about which steps there were.
    thinned = bool(recorded.length or fresh.length)
    first: Divergence | None = None
    jump: Divergence | None = None
    beyond: dict[str, Divergence] = {}
    last = 0.0
    for index, key in enumerate(common):
        relative = _relative(then[key], now[key])
        if relative > 0:
            here = Divergence(index=index, step=key[0], relative=relative)
            first = first or here
            for name, threshold in THRESHOLDS.items():
                if relative > threshold:
                    beyond.setdefault(name, here)
            if jump is None and index and last <= NEAR and relative > NEAR:
                grew = math.inf if last == 0 else relative / last
                jump = here if grew > JUMP else None
        last = relative
    return CurveComparison(
        metric=show(metric),
        run=run,
        path=show(path),
        compared=len(common),
        only_recorded=max(0, _total(recorded) - _total(fresh))
        if thinned
        else len(then) - len(common),
        only_fresh=max(0, _total(fresh) - _total(recorded)) if thinned else len(now) - len(common),
        first=first,
        beyond=beyond,
        jump=jump,
        final=last,
        recorded=drawn(recorded),
        fresh=drawn(fresh),
    )


def drawn(whole: Series, limit: int = MAX_DRAWN) -> Series:
    """What a drawing shows of a series: of each stretch the least and the greatest value.

    A mean or every n-th value would hide a spike; this hides none.
    """
    known = list(_placed(whole))
    if len(known) > limit:
        known = _extremes(known, limit // 2)
    return Series(
        values=tuple(stored_value(value) for _, value in known),
        steps=tuple(step for step, _ in known),
        length=whole.length or len(whole.values),
    )


def _extremes(known: Sequence[tuple[float, float]], stretches: int) -> list[tuple[float, float]]:
    chosen: set[int] = set()
    for number in range(stretches):
        low = number * len(known) // stretches
        high = (number + 1) * len(known) // stretches
        finite = [i for i in range(low, high) if math.isfinite(known[i][1])]
        if finite:
            chosen.add(min(finite, key=lambda i: known[i][1]))
            chosen.add(max(finite, key=lambda i: known[i][1]))
        elif low < high:
            chosen.add(low)
    return [known[index] for index in sorted(chosen)]


def _by_step(whole: Series) -> _Points:
    """Values by step; a step that is logged again, as after a resume, is counted up."""
    found: _Points = {}
    times: dict[float, int] = {}
    for at, value in _placed(whole):
        times[at] = times.get(at, -1) + 1
        found[at, times[at]] = value
    return found


def _placed(whole: Series) -> Iterator[tuple[float, float]]:
    """Points with a step each: the source's own, else the position."""
    for index, (step, value) in enumerate(points(whole)):
        known = step is not None and math.isfinite(step)
        yield float(index) if step is None or not known else step, value


def _relative(recorded: float, fresh: float) -> float:
    if recorded == fresh or (math.isnan(recorded) and math.isnan(fresh)):
        return 0.0
    if not (math.isfinite(recorded) and math.isfinite(fresh)):
        return 2.0
    # In halves nothing overflows; the quotient is the same.
    largest = max(abs(recorded), abs(fresh))
    return min(2.0, abs(fresh / 2 - recorded / 2) / largest * 2) or math.ulp(0.0)


def _total(whole: Series) -> int:
    """How many values the source has."""
    return whole.length or len(whole.values)
