# SPDX-License-Identifier: Apache-2.0
"""A rerun that is ended once it has said what it was made for: the step where two runs part.

A training that parts from the recorded one at step 3 need not be repeated to step 10,000 to see
whether another setting brings step 3 back. The curve is read while the run is going; a value counts
once another one stands behind it, so that no half-written number does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from repropack.importers import MAX_METRIC_FILE
from repropack.importers.run_metrics import read_run_metrics
from repropack.model import Metric
from repropack.paths import open_beneath, read_beneath
from repropack.verify.curves import compare_series

__all__ = ["Parting", "enough_of", "find_parting", "up_to"]

SHARE: Final = 10
"""Of the time that goes by, at most a tenth is spent on reading curves."""

Identity = tuple[str, str, int, str]


class Parting(Struct, frozen=True, kw_only=True):
    """Where a repetition parts from the record.

    Attributes:
        run: The place of the run in the chain.
        metric: The recorded curve, up to the step where they part.
        fresh: The curve of the repetition, up to that step.
    """

    run: int
    metric: Metric
    fresh: Metric

    @property
    def length(self) -> int:
        """How many values the curves have up to that step."""
        return len(self.metric.series.values) if self.metric.series is not None else 0

    @property
    def what(self) -> str:
        """What is compared, in words."""
        many = f"the first {self.length} values" if self.length > 1 else "the first value"
        return f"{many} of {self.metric.name}"


def find_parting(
    runs: Iterable[tuple[int, Iterable[Metric], Iterable[Metric]]],
) -> Parting | None:
    """The first run of a chain whose curves part, and its curve that does so first.

    Args:
        runs: Of each repeated run its place in the chain, what was recorded and what came now.

    Returns:
        None where no curve parts, or where values were left out of it, so that its n-th value is
        not that of its n-th step.
    """
    for number, recorded, fresh in runs:
        present = {metric.source.identity: metric for metric in fresh}
        found: list[tuple[int, Metric, Metric]] = []
        for metric in recorded:
            other = present.get(metric.source.identity)
            if metric.series is None or other is None or other.series is None:
                continue
            if metric.series.length or other.series.length or metric.source.place:
                continue
            compared = compare_series(
                metric.series, other.series, metric=metric.name, run=number, path=""
            )
            if compared.first is not None:
                found.append((compared.first.index, metric, other))
        if found:
            index, metric, other = min(found, key=lambda item: item[0])
            then, now = up_to(metric, index + 1), up_to(other, index + 1)
            if then is not None and now is not None:
                return Parting(run=number, metric=then, fresh=now)
            return None
    return None


def up_to(metric: Metric, length: int) -> Metric | None:
    """The first values of a curve, all else of the metric left out; None where it is shorter."""
    whole = metric.series
    if whole is None or len(whole.values) < length:
        return None
    cut = structs.replace(whole, values=whole.values[:length], steps=whole.steps[:length])
    return Metric(name=metric.name, value=0.0, text="", source=metric.source, series=cut)


def enough_of(
    parting: Parting,
    project: Path,
    lying_there: Mapping[str, object],
    logs: tuple[Path, Path],
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[], bool] | None:
    """What says whether a run that is going has got beyond the step.

    Args:
        parting: The step.
        project: The project of the run.
        lying_there: What was there before the run: that is not of its making.
        logs: Its standard output and standard error.
        clock: Monotonic seconds.

    Returns:
        None where it cannot be said of this curve.
    """
    path = parting.metric.source.path
    name = path.removeprefix("{project}/")
    in_file = name != path
    if in_file and ("{" in name or name in lying_there):
        return None
    if not in_file and path not in ("stdout", "stderr"):
        return None
    not_before = clock()

    def enough() -> bool:
        nonlocal not_before
        started = clock()
        if started < not_before:
            return False
        outputs = []
        if in_file:
            try:
                descriptor = open_beneath(project, name)
            except OSError:
                # Not written yet.
                return False
            outputs = [(path, os.fstat(descriptor).st_size)]
            os.close(descriptor)
        absent = project.parent / "no-such-log"
        metrics = read_run_metrics(
            outputs,
            lambda _: read_beneath(project, name, limit=MAX_METRIC_FILE),
            stdout=absent if in_file else logs[0],
            stderr=absent if in_file else logs[1],
        ).metrics
        not_before = clock() + (clock() - started) * SHARE
        return any(
            metric.source.identity == parting.metric.source.identity
            and up_to(metric, parting.length + 1) is not None
            for metric in metrics
        )

    return enough
