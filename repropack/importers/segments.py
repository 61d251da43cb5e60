# SPDX-License-Identifier: Apache-2.0
"""Curves of a run that was resumed: what its segments logged, put one behind the other.

A log that was begun anew holds the steps of its segment alone. A resumed training goes on from a
checkpoint, and repeats the steps between the checkpoint and the point where it had stopped: from
its first step on the later segment counts. Nothing is put before what a file holds that is appended
to, nor before values without steps, which are counted from 0. The recorder and the verifier both
call this.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from repropack.importers import CONSOLE, LOGGED
from repropack.importers.run_metrics import bounded
from repropack.importers.series import compact, points
from repropack.model import Metric, Series

__all__ = ["joined", "since", "uncounted"]

_Identity = tuple[str, str, int, str]


def joined(segments: Sequence[Iterable[Metric]]) -> tuple[Metric, ...]:
    """The metrics of the last segment, with the curves of those before it.

    Before a curve come the points of the same metric whose step is below its first, of the segment
    before, and so on; a segment that does not have the metric, or has it with a single value, is
    passed over. A curve whose steps are not all known stays as it is. A metric that the last
    segment does not have is none of the run: nobody could say that it is its final value.

    Args:
        segments: The metrics of each, in order; at least one.
    """
    *earlier, last = ([*metrics] for metrics in segments)
    if not earlier:
        return tuple(last)
    curves = [_curves(metrics) for metrics in reversed(earlier)]
    result = []
    for metric in last:
        whole = metric.series
        for one in curves if whole is not None else ():
            before = one.get(metric.source.identity)
            if before is not None and whole is not None:
                whole = _behind(before, whole)
        result.append(metric if whole is metric.series else replace(metric, series=whole))
    return bounded(result)


def uncounted(segments: Sequence[Iterable[Metric]]) -> tuple[str, ...]:
    """The curves that `joined` leaves to the last segment because nothing printed their steps.

    Where values are only counted, nobody can say which of an earlier segment were repeated.

    Args:
        segments: The metrics of each, in order; at least one.

    Returns:
        Names, each with where the metric was read.
    """
    *earlier, last = ([*metrics] for metrics in segments)
    known = {identity for metrics in earlier for identity in _curves(metrics)}
    return tuple(
        f"{metric.name} ({metric.source.path})"
        for metric in last
        if metric.series is not None
        and metric.source.identity in known
        and metric.source.importer in (CONSOLE, LOGGED)
        and not metric.series.steps
        and (metric.series.first, metric.series.stride) == (0.0, 1.0)
    )


def since(recorded: Iterable[Metric], fresh: Iterable[Metric]) -> tuple[Metric, ...]:
    """What of recorded metrics a repetition of the last segment alone can be compared with.

    Args:
        recorded: The metrics of the run, as `joined` gives them.
        fresh: Those of the repetition.

    Returns:
        All metrics; of curves the points from the first step of the fresh curve on.
    """
    starts = {identity: _first(curve) for identity, curve in _curves(fresh).items()}

    def compared(metric: Metric) -> Metric:
        start = starts.get(metric.source.identity)
        if metric.series is None or start is None or _first(metric.series) is None:
            return metric
        rest = _part(metric.series, start, below=False)
        # Where nothing is left the curves have no step in common, which is to be said.
        return metric if rest is None else replace(metric, series=rest)

    return tuple(compared(metric) for metric in recorded)


def _curves(metrics: Iterable[Metric]) -> dict[_Identity, Series]:
    return {m.source.identity: m.series for m in metrics if m.series is not None}


def _first(whole: Series) -> float | None:
    """The least step; None where not all are known.

    A thinned curve begins somewhere between its first point and where another would have been.
    """
    steps = [step for step, _ in points(whole) if step is not None and math.isfinite(step)]
    if not steps or len(steps) < len(whole.values):
        return None
    apart = abs(steps[1] - steps[0]) if whole.length and len(steps) > 1 else 0.0
    return min(steps) - apart


def _behind(before: Series, after: Series) -> Series:
    """A curve with the points of an earlier one before it."""
    start = _first(after)
    if start is None or _first(before) is None:
        return after
    kept = _part(before, start, below=True)
    if kept is None:
        return after
    thinned = kept.length or after.length
    return compact(
        kept.values + after.values,
        tuple(step for one in (kept, after) for step, _ in points(one)),
        _total(kept) + _total(after) if thinned else 0,
    )


def _part(whole: Series, start: float, *, below: bool) -> Series | None:
    """The points below a step, or the others; None where there are none.

    Of a thinned curve nobody knows how many values there were in a part: as many, in proportion.
    """
    steps = [step for step, _ in points(whole)]
    chosen = [i for i, step in enumerate(steps) if step is not None and (step < start) is below]
    if len(chosen) in (0, len(steps)):
        return whole if chosen else None
    return compact(
        tuple(whole.values[i] for i in chosen),
        tuple(steps[i] for i in chosen),
        whole.length * len(chosen) // len(steps),
    )


def _total(whole: Series) -> int:
    return whole.length or len(whole.values)
