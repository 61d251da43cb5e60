# SPDX-License-Identifier: Apache-2.0
"""The fourth rung: runs of the release, executed again in isolation.

To evaluate, the claimed run, or the last segment of it, is repeated on the packed files that were
made before. To retrain, every run of the chain is repeated in order, segment by segment, each on
what the repetition before it made.
"""

from __future__ import annotations

import os
import secrets
import signal
import stat
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from repropack.agent.log import numerics_of
from repropack.findings import Code, Finding
from repropack.importers import MAX_METRIC_FILE
from repropack.importers.recurring import place_of
from repropack.importers.run_metrics import MAX_LOGGED, read_run_metrics
from repropack.importers.segments import joined, since
from repropack.metric_log import VARIABLE as METRICS_VARIABLE
from repropack.model import Claim, Difference, Isolation, Metric, Segment
from repropack.paths import descend_beneath, read_beneath
from repropack.placeholders import PROJECT_DATA
from repropack.seeds import text_with_seed
from repropack.verify.code_roots import choose_places, offer_to_python, write_code
from repropack.verify.conditions import Conditions, RepetitionFailedError, filled
from repropack.verify.data_sets import with_fresh_copies
from repropack.verify.early_end import enough_of
from repropack.verify.environment_places import link_environments, unplaced_environments
from repropack.verify.execution import (
    SHELL_SIGNAL,
    check_end,
    execute,
    placeholder_values,
    variables_for,
)
from repropack.verify.layout import MadeFiles, carry_over, lay_out
from repropack.verify.observation import observed_processes, place_for_agent
from repropack.verify.release import ReleaseRun
from repropack.verify.stale_numbers import found_before, is_stale
from repropack.worktree import compare, scan

__all__ = ["Repeated", "repeat_runs"]


MAX_ALIKE: Final = 1_000
"""Files at the places of claimed metrics that are read: more than the folds of any training."""

_FROM_OUTSIDE: Final = frozenset({"SIGHUP", "SIGINT", "SIGKILL", "SIGTERM", "SIGUSR1", "SIGUSR2"})
"""Signals that schedulers and people send. Others, such as SIGSEGV, a program brings on itself."""


class Repeated(Struct, frozen=True, kw_only=True):
    """What the repetition of a run gave: of its last segment, but for time and differences.

    Attributes:
        metrics: Those of its last segment, with the curves of all repeated ones.
        recorded: What was recorded of the run, as far as it was repeated.
        stale: Claimed numbers that stood in their files before, and may not have been computed.
        written: Paths below the project of what the segment wrote.
        variables: Those that it had.
        unread: Recorded path to reason, of files with claimed numbers in which there was nothing to
            read.
        numerics: Its numerical settings by library, where its processes said them.
        earlier: The repetitions of the runs before it, where these were repeated too.
    """

    run: ReleaseRun
    project: Path
    metrics: tuple[Metric, ...]
    recorded: tuple[Metric, ...]
    isolation: Isolation
    differences: tuple[Difference, ...]
    seconds: float
    written: frozenset[str]
    stale: tuple[Metric, ...] = ()
    variables: dict[str, str] = {}
    unread: dict[str, str] = {}
    numerics: dict[str, dict[str, str]] | None = None
    earlier: tuple[Repeated, ...] = ()


def repeat_runs(conditions: Conditions, *, retrain: bool, claims: tuple[Claim, ...]) -> Repeated:
    """Repeats the claimed run, or the whole chain, and returns what the claimed run gave.

    Raises:
        RepetitionFailedError: A run could not be repeated to its recorded end.
        DefectError: A code bundle or a recorded path is not in order.
        RepropackError: The work directory cannot be used, or has no room.
    """
    claimed = conditions.release.claimed
    runs = conditions.release.runs if retrain else (claimed,)
    if conditions.parting is not None:
        runs = tuple(run for run in runs if run.number <= conditions.parting.run)
    made: dict[str, list[MadeFiles]] = {}
    earlier = tuple(_repeat_run(run, conditions, made, ()) for run in runs[:-1])
    wanted = claims if runs[-1] is claimed else ()
    last = _repeat_run(runs[-1], conditions, made, wanted, last_only=not retrain)
    return structs.replace(last, earlier=earlier)


def _repeat_run(
    run: ReleaseRun,
    conditions: Conditions,
    made: dict[str, list[MadeFiles]],
    claims: tuple[Claim, ...],
    *,
    last_only: bool = False,
) -> Repeated:
    """Repeats the segments of a run in order, or the last on the packed files of those before.

    Each has a directory of its own: code of its own, and what the segment before it wrote.
    """
    record = run.packed.record
    numbered = list(enumerate(record.segments, 1))
    if last_only:
        numbered = numbered[-1:]
    _refuse_interrupted(run, [segment for _, segment in numbered[:-1]])
    mine = made[record.id] = []
    place = conditions.work / f"run-{run.number}"
    place.mkdir()
    seconds = 0.0
    differences: list[Difference] = []
    metrics: list[tuple[Metric, ...]] = []
    repeated: Repeated | None = None
    for number, segment in numbered:
        repeated = _repeat_segment(run, number, segment, place, conditions, made, claims)
        seconds += repeated.seconds
        differences += repeated.differences
        metrics.append(repeated.metrics)
        before = mine[-1].names if mine else frozenset()
        mine.append(
            MadeFiles(segment=segment, project=repeated.project, names=before | repeated.written)
        )
    assert repeated is not None
    fresh, recorded = joined(metrics), run.metrics.metrics
    return structs.replace(
        repeated,
        metrics=fresh,
        recorded=since(recorded, fresh) if len(numbered) < len(record.segments) else recorded,
        differences=tuple(dict.fromkeys(differences)),
        seconds=seconds,
    )


def _refuse_interrupted(run: ReleaseRun, resumed: Sequence[Segment]) -> None:
    """Where a segment was stopped from outside, nobody can stop its repetition at the same step."""
    for number, segment in enumerate(resumed, 1):
        stopped_by = _signal_of(segment)
        if stopped_by in _FROM_OUTSIDE:
            raise RepetitionFailedError(
                Finding(
                    code=Code.RUN_FAILED,
                    subject=f"run {run.number}, segment {number}",
                    found=f"it was stopped by {stopped_by} and resumed; where it "
                    "stopped cannot be repeated",
                    expected="a repetition without --retrain, which starts from what was left then",
                )
            )


def _signal_of(segment: Segment) -> str | None:
    """The signal that ended a segment, also where a shell reported it as a status."""
    status = segment.outcome.status
    if segment.outcome.signal is not None or status is None or status <= SHELL_SIGNAL:
        return segment.outcome.signal
    return next((one.name for one in signal.Signals if one.value == status - SHELL_SIGNAL), None)


def _repeat_segment(
    run: ReleaseRun,
    number: int,
    segment: Segment,
    place: Path,
    conditions: Conditions,
    made: Mapping[str, Sequence[MadeFiles]],
    claims: tuple[Claim, ...],
) -> Repeated:
    base = place / ("work" if number == 1 else f"work-{number}")
    base.mkdir()
    places = choose_places(
        base,
        segment.roots,
        {
            name: located.manifest.position
            for name, located in conditions.data.items()
            # Of these only the listed files are copied into the project.
            if name != PROJECT_DATA
        },
    )
    project = places.on_disk("{project}")
    values = placeholder_values(places, run, conditions)
    conditions = with_fresh_copies(run, segment, place / f"data-{number}", values, conditions, made)
    values = placeholder_values(places, run, conditions)
    which = f"run {run.number}" + (
        f", segment {number}" if len(run.packed.record.segments) > 1 else ""
    )
    conditions.tell(f"unpacking the code of {which}")
    write_code(run.packed, segment, places, conditions.unpacked, conditions.work)
    mine = made[run.packed.record.id]
    anew: frozenset[str] = frozenset()
    if mine:
        anew |= carry_over(mine[-1], project)
    anew |= lay_out(run, segment, project, values, conditions, made)
    link_environments(run, project, values, conditions)
    for directory in run.environments:
        python_path = [filled(one, values, run) for one in segment.python_path]
        offer_to_python(segment, conditions.environments[directory], python_path)
    before = scan(project)
    # What this repetition made itself is fresh, at whatever step.
    held = found_before(
        project,
        {
            path: name
            for path, name in _wanted_files(
                claims, before.files.keys(), values, run, conditions.seed
            ).items()
            if name not in anew
        },
        before,
    )
    logs = (place / f"stdout-{number}.log", place / f"stderr-{number}.log")
    variables, differences = variables_for(segment, run, conditions, values)
    differences += unplaced_environments(run, conditions)
    metric_log = _metric_log(project)
    if metric_log:
        variables[METRICS_VARIABLE] = f"{values['project']}/{metric_log}"
    said = (
        place_for_agent(project)
        if conditions.environments[run.packed.environment].directory
        else ""
    )
    parting = conditions.parting
    end, isolation = execute(
        run,
        segment,
        places,
        values,
        variables,
        logs,
        conditions,
        agent_output=said,
        # Of several segments nobody knows which of them the step is in.
        enough=enough_of(parting, project, before.files, logs)
        if parting is not None
        and parting.run == run.number
        and len(run.packed.record.segments) == 1
        else None,
    )
    if not end.enough:
        check_end(which, segment, end, logs, conditions.work)
    for stream in end.cut:
        conditions.tell(f"{which} printed too much on {stream}: no number is read from it")
    try:
        after = scan(project)
    except OSError as error:
        raise RepetitionFailedError(
            Finding(
                code=Code.RUN_FAILED,
                subject=which,
                found=f"its project directory cannot be read: {error.strerror or error}",
            )
        ) from error
    written = frozenset(compare(before, after).written)
    names = _wanted_files(claims, written, values, run, conditions.seed)
    read = read_run_metrics(
        [(path, after.files[name].size) for path, name in names.items() if name in written],
        lambda path: read_beneath(project, names[path], limit=MAX_METRIC_FILE),
        # What stands before a cut is no final number.
        stdout=None if "stdout" in end.cut else logs[0],
        stderr=None if "stderr" in end.cut else logs[1],
        logged=_read_log(project, metric_log),
    )
    processes = observed_processes(project, said)
    claimed = {claim.source.identity for claim in claims}
    stale = tuple(
        metric
        for metric in read.metrics
        if metric.source.identity in claimed
        and (file := held.get(metric.source.path)) is not None
        and is_stale(metric, file, project, processes, f"{values['project']}/{file.name}")
    )
    return Repeated(
        run=run,
        project=project,
        metrics=tuple(metric for metric in read.metrics if metric not in stale),
        recorded=run.metrics.metrics,
        stale=stale,
        isolation=isolation,
        differences=tuple(differences),
        seconds=end.seconds,
        written=written,
        variables=variables,
        unread=_unread(claims, names, written, read.remarks, project),
        numerics=numerics_of(processes) or None,
    )


def _unread(
    claims: tuple[Claim, ...],
    names: Mapping[str, str],
    written: Set[str],
    remarks: Sequence[str],
    project: Path,
) -> dict[str, str]:
    """Why there is nothing to read in files that claims name, as far as it can be said."""
    found: dict[str, str] = {}
    for path in {claim.source.path for claim in claims} & names.keys():
        name = names[path]
        said = f"{path.removeprefix('{project}/')}: "
        if name in written:
            reason = next((r.removeprefix(said) for r in remarks if r.startswith(said)), "")
        else:
            reason = _not_written(project / name)
        if reason:
            found[path] = f"{name}: {reason}"
    return found


def _not_written(path: Path) -> str:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return "the run did not write it"
    if stat.S_ISREG(mode):
        return "the run left it as it was before"
    return "it is a link" if stat.S_ISLNK(mode) else "it is no file with content"


def _wanted_files(
    claims: tuple[Claim, ...],
    written: Set[str],
    values: Mapping[str, str],
    run: ReleaseRun,
    seed: str | None,
) -> dict[str, str]:
    """Recorded path to name, of files that may hold what is claimed, or a recorded series.

    Only these are read: the code may have written any number of other files. With another seed,
    their names may have that seed in them.
    """
    wanted = [c.source for c in claims]
    wanted += [m.source for m in run.metrics.metrics if m.series is not None][:MAX_ALIKE]
    sources = [source for source in wanted if source.path.startswith("{project}/")]

    def name_now(path: str) -> str:
        return path if seed is None else text_with_seed(path, seed)

    names = {
        source.path: filled(name_now(source.path.removeprefix("{project}/")), values, run)
        for source in sources
        if not source.place
    }
    places = {source.place for source in sources} - {""}
    if places:
        alike = [name for name in sorted(written) if place_of("{project}/" + name) in places]
        names.update(("{project}/" + name, name) for name in alike[:MAX_ALIKE])
    return names


def _metric_log(project: Path) -> str:
    """A new log for `repropack.log_metric`, below the project: only that is writable there.

    Its name cannot be known to whoever made the bundle, so that nothing lies there already; its
    directory is one that was there too when the run was recorded.

    Returns:
        Its path below the project; none where the code has something else at that place.
    """
    name = f"metrics-{secrets.token_hex(8)}.log"
    top = os.open(project, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        directory = descend_beneath(top, [".repropack"], create=True)
    except OSError:
        return ""
    finally:
        os.close(top)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        os.close(os.open(name, flags, 0o600, dir_fd=directory))
    finally:
        os.close(directory)
    return f".repropack/{name}"


def _read_log(project: Path, name: str) -> bytes:
    """What was logged; nothing where the code has put something else in the log's place."""
    if not name:
        return b""
    try:
        return read_beneath(project, name, limit=MAX_LOGGED)
    except OSError:
        return b""
