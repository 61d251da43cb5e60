# SPDX-License-Identifier: Apache-2.0
"""The metrics of one execution, out of its output files, its console and what it logged.

The recorder and the verifier both call this, so that a number which was found when a run was
recorded is found in the same way when it is repeated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from repropack.errors import RepropackError
from repropack.importers import (
    CONSOLE,
    LOGGED,
    MAX_METRIC_FILE,
    TABLE,
    NotMetricsError,
    Reading,
    UnreadableMetricsError,
    importer,
)
from repropack.importers.recurring import is_random, natural_order, place_of
from repropack.importers.series import MAX_POINTS, shortened
from repropack.model import Metric

__all__ = [
    "MAX_LOGGED",
    "MAX_RUN_POINTS",
    "RunMetrics",
    "bounded",
    "is_searched",
    "read_run_metrics",
]

MAX_CONSOLE: Final = 16 * 1024 * 1024
"""Bytes at the end of a log that are searched: a few seconds of work after the command."""

MAX_LOGGED: Final = 256 * 1024 * 1024
"""Bytes of what `log_metric` wrote that are read: three million lines."""

MAX_RUN_POINTS: Final = 500_000
"""Values of all series of a run: 10 MB of its record. Beyond it the longest are thinned first."""

MAX_REMARKS: Final = 20
"""Files that are named because they could not be read."""


class RunMetrics(Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        remarks: What could not be read, each a sentence that names the file and the reason.
    """

    metrics: tuple[Metric, ...]
    remarks: tuple[str, ...] = ()


def is_searched(path: str) -> bool:
    """Whether a file of this name is searched for metrics."""
    return any(importer(name).handles(path) for name in TABLE)


def read_run_metrics(
    outputs: Iterable[tuple[str, int]],
    read: Callable[[str], bytes],
    *,
    stdout: Path | None = None,
    stderr: Path | None = None,
    logged: bytes = b"",
) -> RunMetrics:
    """Reads every metric that the importers find. A file that cannot be read is a remark.

    Args:
        outputs: Recorded path and size of each file that the run wrote.
        read: Gives the content of one of them.
        stdout: The kept standard output.
        stderr: The kept standard error.
        logged: The log of `repropack.log_metric`.
    """
    found: list[Metric] = []
    remarks: list[str] = []

    def add(label: str, action: Callable[[], Reading]) -> None:
        try:
            reading = action()
        except (RepropackError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            reading = Reading(remarks=(f"not read for metrics: {reason}",))
        except Exception as error:  # one file, or a defect of ours, costs no other metric
            import logging  # some 6 ms, which a run without defects does without

            logging.getLogger(__name__).debug("importer failed", exc_info=True)
            reading = Reading(remarks=(f"not read for metrics: {type(error).__name__}: {error}",))
        found.extend(reading.metrics)
        named = label.removeprefix("{project}/")
        remarks.extend(f"{named}: {remark}" for remark in reading.remarks)

    for path, size in outputs:
        readers = [name for name in TABLE if importer(name).handles(path)]
        if readers:
            add(path, lambda p=path, s=size, r=readers: _file(p, s, r, read))  # type: ignore[misc]
    if logged:
        add(LOGGED, lambda: importer(LOGGED).read(logged, LOGGED))
    for label, place in (("stdout", stdout), ("stderr", stderr)):
        if place is not None and place.exists():
            add(label, lambda n=label, p=place: _console(p, n))  # type: ignore[misc]
    if len(remarks) > MAX_REMARKS:
        more = len(remarks) - MAX_REMARKS
        remarks[MAX_REMARKS:] = [f"{more} more files could not be read for metrics"]
    return RunMetrics(metrics=bounded(_placed(found)), remarks=tuple(remarks))


def _file(path: str, size: int, readers: Sequence[str], read: Callable[[str], bytes]) -> Reading:
    if readers == [CONSOLE]:
        data = read(path)
        return _tail(data[-MAX_CONSOLE:], path, cut=len(data) > MAX_CONSOLE)
    if size > MAX_METRIC_FILE:
        raise UnreadableMetricsError(f"it has {size} bytes, more than {MAX_METRIC_FILE}")
    data = read(path)
    for name in readers:
        try:
            return importer(name).read(data, path)
        except NotMetricsError:
            continue
    # A file that only looks like a metrics file is no failure: it holds no metrics.
    return Reading()


def _console(place: Path, label: str) -> Reading:
    """From the end of a log: a final number stands there, however long the log is."""
    size = place.stat().st_size
    if not size:
        return Reading()  # The importer's patterns cost some 6 ms.
    with place.open("rb") as file:
        file.seek(max(0, size - MAX_CONSOLE))
        return _tail(file.read(), label, cut=size > MAX_CONSOLE)


def _tail(data: bytes, label: str, *, cut: bool) -> Reading:
    if not cut:
        return importer(CONSOLE).read(data, label)
    found = importer(CONSOLE).read(data.partition(b"\n")[2], label)
    return Reading(
        # Lines were counted from somewhere in the log.
        metrics=tuple(replace(m, source=replace(m.source, line=None)) for m in found.metrics),
        remarks=(
            *found.remarks,
            f"only its last {MAX_CONSOLE} bytes were searched for metrics",
        ),
    )


def _placed(found: Sequence[Metric]) -> list[Metric]:
    """The metrics, each with the place where another run has it, in a stable order."""
    alike: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for index, metric in enumerate(found):
        place = place_of(metric.source.path)
        if place != metric.source.path:
            alike[metric.source.importer, place, metric.source.key].append(index)
    result = list(found)
    for (_, place, _), indexes in alike.items():
        if len(indexes) > 1 and any(is_random(found[i].source.path) for i in indexes):
            # Nothing says which of them is which in another run.
            continue
        indexes.sort(key=lambda i: natural_order(found[i].source.path))
        for ordinal, index in enumerate(indexes):
            source = replace(found[index].source, place=place, ordinal=ordinal)
            result[index] = replace(found[index], source=source)
    return result


def bounded(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """The metrics with series as long as the record of a run may hold."""
    lengths = [len(m.series.values) for m in metrics if m.series is not None]
    limit = MAX_POINTS
    while sum(min(length, limit) for length in lengths) > MAX_RUN_POINTS and limit > 1:
        limit //= 2
    if limit == MAX_POINTS and max(lengths, default=0) <= limit:
        return tuple(metrics)
    return tuple(
        m if m.series is None else replace(m, series=shortened(m.series, limit)) for m in metrics
    )
