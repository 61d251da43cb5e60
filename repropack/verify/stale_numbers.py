# SPDX-License-Identifier: Apache-2.0
"""Numbers that stood in a file before a repetition began, and that it only left there.

That a file was written does not show that every number in it was: a program may touch it, add a
line to a log, or read it, set another key and write it again. So where the claimed number stands at
the place at which it stood before, it counts only if it was seen to be written anew: a log has more
values of it than before, or a Python process began the file anew and none read what lay there, says
the agent. A stranger's process can say that falsely; but it could print any number as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from repropack.agent.log import ProcessObservation
from repropack.digest import sha256_hex
from repropack.escaping import show
from repropack.importers import MAX_METRIC_FILE
from repropack.importers.run_metrics import read_run_metrics
from repropack.model import Claim, ClaimResult, Metric
from repropack.paths import read_beneath
from repropack.worktree import Stamp, WorkTree

__all__ = ["FoundBefore", "found_before", "is_stale", "say_stale"]


class FoundBefore(Struct, frozen=True, kw_only=True):
    """A file with metrics that lay there when a repetition began.

    Attributes:
        name: Its path below the project.
        sha256: Of its content.
        metrics: What stood in it, by importer and key.
    """

    name: str
    stamp: Stamp
    sha256: str
    metrics: dict[tuple[str, str], Metric]


def found_before(
    project: Path, names: Mapping[str, str], before: WorkTree
) -> dict[str, FoundBefore]:
    """What already stands in the files from which claimed numbers will be read, by recorded path.

    Args:
        project: The project, in which nothing runs yet.
        names: Recorded path to path below the project.
        before: Its scan.
    """
    found = {}
    for path, name in names.items():
        stamp = before.files.get(name)
        if stamp is None:
            continue
        try:
            content = read_beneath(project, name, limit=MAX_METRIC_FILE)
        except OSError:
            # Too large to be read for metrics afterwards, unless it is made anew.
            continue
        said = read_run_metrics([(path, len(content))], lambda _, data=content: data)  # type: ignore[misc]
        found[path] = FoundBefore(
            name=name,
            stamp=stamp,
            sha256=sha256_hex(content),
            metrics={(m.source.importer, m.source.key): m for m in said.metrics},
        )
    return found


def is_stale(
    metric: Metric,
    held: FoundBefore,
    project: Path,
    processes: Sequence[ProcessObservation],
    seen_as: str,
) -> bool:
    """Whether a number may be one that only stood in its file before.

    Args:
        metric: What the file says after the repetition.
        held: The file as it was before.
        project: The project, in which nothing runs any more.
        processes: What the repetition's Python processes said.
        seen_as: The file's path as they saw it.
    """
    earlier = held.metrics.get((metric.source.importer, metric.source.key))
    if earlier is None or earlier.value != metric.value or _length(metric) > _length(earlier):
        return False
    return _was_continued(project, held) or not _was_begun_anew(processes, seen_as, held.stamp)


def say_stale(
    claims: Sequence[Claim], results: Sequence[ClaimResult], stale: Iterable[Metric]
) -> tuple[ClaimResult, ...]:
    """Says of claims without a fresh number why it does not count. The texts are safe to print.

    Args:
        claims: What was claimed.
        results: How each was judged without the stale numbers.
        stale: Those of all repetitions.
    """
    found = {metric.source.identity: metric for metric in stale}
    return tuple(
        result
        if (metric := found.get(claim.source.identity)) is None
        else replace(result, sentence=_sentence(claim, metric))
        for claim, result in zip(claims, results, strict=True)
    )


def _sentence(claim: Claim, metric: Metric) -> str:
    place = show(metric.source.path.removeprefix("{project}/"))
    return (
        f"{show(claim.metric)} = {show(metric.text)} stood in {place} before the repetition began, "
        "and nothing shows that it was computed anew: that can be told where the run prints it, or "
        "writes it to a file that is not there before"
    )


def _length(metric: Metric) -> int:
    series = metric.series
    return 1 if series is None else max(series.length, len(series.values))


def _was_continued(project: Path, held: FoundBefore) -> bool:
    """Whether something was only added at the end of a file."""
    size = held.stamp.size
    try:
        now = read_beneath(project, held.name, limit=MAX_METRIC_FILE)
    except OSError:
        return True
    return len(now) > size and sha256_hex(memoryview(now)[:size]) == held.sha256


def _was_begun_anew(processes: Iterable[ProcessObservation], seen_as: str, before: Stamp) -> bool:
    """Whether a process wrote a file, and none read what lay there.

    A process that reads back what was just written opens a file of another time.
    """
    written = False
    for process in processes:
        written = written or seen_as in process.opened_written
        if seen_as in process.opened_read:
            opened = process.opened_as.get(seen_as)
            if opened is None or opened.mtime_ns == before.mtime_ns:
                return False
    return written
