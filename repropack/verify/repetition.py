# SPDX-License-Identifier: Apache-2.0
"""The fourth rung: runs of the release, executed again in isolation.

To evaluate, the claimed run, or the last segment of it, is repeated on the packed files that were
made before. To retrain, every run of the chain is repeated in order, segment by segment, each on
what the repetition before it made.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import signal
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from repropack.environment.machine import allowed_variables
from repropack.errors import RepropackError
from repropack.executors import Executor, Job, JobEnd
from repropack.findings import Code, DefectError, Finding
from repropack.importers import MAX_METRIC_FILE
from repropack.importers.recurring import place_of
from repropack.importers.run_metrics import MAX_LOGGED, read_run_metrics
from repropack.metric_log import VARIABLE as METRICS_VARIABLE
from repropack.model import Claim, Difference, Isolation, Material, Metric, Segment
from repropack.paths import descend_beneath, open_beneath, read_beneath
from repropack.placeholders import PROJECT_DATA, UnfilledError, data_placeholder, fill, split_data
from repropack.process import find_program
from repropack.sandbox import (
    Bind,
    Limits,
    Sandbox,
    SandboxSpec,
    confined,
    gpu_devices,
    no_isolation,
)
from repropack.seeds import text_with_seed
from repropack.verify.code_roots import (
    SANDBOX_WORK,
    CodePlaces,
    choose_places,
    offer_to_python,
    write_code,
)
from repropack.verify.environments import BuiltEnvironment
from repropack.verify.release import Release, ReleaseRun
from repropack.verify.workspace import PLACE_TAKEN, LocatedData, Unpacked, place_file
from repropack.worktree import compare, scan

__all__ = ["Conditions", "Repeated", "RepetitionFailedError", "repeat_runs"]

SANDBOX_DATA: Final = "/mnt/data"
SANDBOX_HOME: Final = "/home/user"

WALL_FACTOR: Final = 20
WALL_MINIMUM: Final = 600.0
"""Seconds: a repetition may take 20 times as long as recorded (another machine, no GPU), and
at least ten minutes, before it is taken for hung."""
WALL_MAXIMUM: Final = 20.0 * 24 * 3600
"""Seconds: whatever times a record states. The kernel's timers count to 24 days."""

LEAST_ROOM: Final = 2 * 1024**3
"""Bytes that a repetition leaves free on the disk, or half of what is free when it starts."""

MAX_ALIKE: Final = 1_000
"""Files at the places of claimed metrics that are read: more than the folds of any training."""

_FROM_OUTSIDE: Final = frozenset({"SIGHUP", "SIGINT", "SIGKILL", "SIGTERM", "SIGUSR1", "SIGUSR2"})
"""Signals that schedulers and people send. Others, such as SIGSEGV, a program brings on itself."""

_SHELL_SIGNAL: Final = 128
"""What a shell adds to the number of a signal to make an exit status of it."""

_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class RepetitionFailedError(Exception):
    """A run could not be repeated to its end. Carries the finding that says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.code.title)
        self.finding = finding


class Conditions(Struct, frozen=True, kw_only=True):
    """What a repetition works with.

    Attributes:
        work: A private directory.
        sandbox: None to run without isolation, because the reader typed so.
        limits: What the code may use in the sandbox.
        wall_seconds: When a run is taken for hung; None to go by the recorded time.
        live: Told each piece of output as it comes.
        tell: Told in words what is going on.
        seed: The seed that the release was changed to; None for the recorded one.
        settings: Variables that have other values than the recorded ones, to see what they change.
    """

    release: Release
    unpacked: Unpacked
    environments: dict[str, BuiltEnvironment]
    data: dict[str, LocatedData]
    work: Path
    executor: Executor
    sandbox: Sandbox | None
    limits: Limits
    wall_seconds: float | None
    live: Callable[[str, bytes], None]
    tell: Callable[[str], None]
    seed: str | None = None
    settings: dict[str, str] = {}


class Repeated(Struct, frozen=True, kw_only=True):
    """What the repetition of a run gave: of its last segment, but for time and differences.

    Attributes:
        written: Paths below the project of what the segment wrote.
        variables: Those that it had.
        earlier: The repetitions of the runs before it, where these were repeated too.
    """

    run: ReleaseRun
    project: Path
    metrics: tuple[Metric, ...]
    isolation: Isolation
    differences: tuple[Difference, ...]
    seconds: float
    written: frozenset[str]
    variables: dict[str, str] = {}
    earlier: tuple[Repeated, ...] = ()


def repeat_runs(conditions: Conditions, *, retrain: bool, claims: tuple[Claim, ...]) -> Repeated:
    """Repeats the claimed run, or the whole chain, and returns what the claimed run gave.

    Raises:
        RepetitionFailedError: A run could not be repeated to its recorded end.
        DefectError: A code bundle or a recorded path is not in order.
        RepropackError: The work directory cannot be used, or has no room.
    """
    runs = conditions.release.runs if retrain else (conditions.release.claimed,)
    made: dict[str, list[_MadeFiles]] = {}
    claimed = conditions.release.claimed
    earlier = tuple(_repeat_run(run, conditions, made, ()) for run in runs[:-1])
    last = _repeat_run(claimed, conditions, made, claims, last_only=not retrain)
    return structs.replace(last, earlier=earlier)


class _MadeFiles(Struct, frozen=True, kw_only=True):
    """Where a repeated segment left its files.

    Attributes:
        names: Paths below the project of all that the run's segments up to this one wrote.
    """

    segment: Segment
    project: Path
    names: frozenset[str]


def _repeat_run(
    run: ReleaseRun,
    conditions: Conditions,
    made: dict[str, list[_MadeFiles]],
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
    repeated: Repeated | None = None
    for number, segment in numbered:
        repeated = _repeat_segment(run, number, segment, place, conditions, made, claims)
        seconds += repeated.seconds
        differences += repeated.differences
        before = mine[-1].names if mine else frozenset()
        mine.append(
            _MadeFiles(segment=segment, project=repeated.project, names=before | repeated.written)
        )
    assert repeated is not None
    return structs.replace(repeated, differences=tuple(dict.fromkeys(differences)), seconds=seconds)


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
                    expected="a check without --retrain, which starts from the packed files",
                )
            )


def _signal_of(segment: Segment) -> str | None:
    """The signal that ended a segment, also where a shell reported it as a status."""
    status = segment.outcome.status
    if segment.outcome.signal is not None or status is None or status <= _SHELL_SIGNAL:
        return segment.outcome.signal
    return next((one.name for one in signal.Signals if one.value == status - _SHELL_SIGNAL), None)


def _repeat_segment(
    run: ReleaseRun,
    number: int,
    segment: Segment,
    place: Path,
    conditions: Conditions,
    made: Mapping[str, Sequence[_MadeFiles]],
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
    values = _values(places, run, conditions)
    which = f"run {run.number}" + (
        f", segment {number}" if len(run.packed.record.segments) > 1 else ""
    )
    conditions.tell(f"unpacking the code of {which}")
    write_code(run.packed, segment, places, conditions.unpacked, conditions.work)
    mine = made[run.packed.record.id]
    if mine:
        _carry_over(mine[-1], project)
    _lay_out(run, segment, project, values, conditions, made)
    environment = conditions.environments[run.packed.environment]
    offer_to_python(
        segment, environment, [_filled(one, values, run) for one in segment.python_path]
    )
    before = scan(project)
    logs = (place / f"stdout-{number}.log", place / f"stderr-{number}.log")
    variables, differences = _variables(segment, run, conditions, values)
    metric_log = _metric_log(project)
    if metric_log:
        variables[METRICS_VARIABLE] = f"{values['project']}/{metric_log}"
    end, isolation = _execute(run, segment, places, values, variables, logs, conditions)
    _check_end(which, segment, end, logs)
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
    metrics = read_run_metrics(
        [(path, after.files[name].size) for path, name in names.items() if name in written],
        lambda path: read_beneath(project, names[path], limit=MAX_METRIC_FILE),
        stdout=logs[0],
        stderr=logs[1],
        logged=_read_log(project, metric_log),
    ).metrics
    return Repeated(
        run=run,
        project=project,
        metrics=metrics,
        isolation=isolation,
        differences=tuple(differences),
        seconds=end.seconds,
        written=written,
        variables=variables,
    )


def _carry_over(before: _MadeFiles, project: Path) -> None:
    """What the segment before wrote lies there for the next, unless its code has such a file."""
    for name in sorted(before.names):
        with contextlib.suppress(OSError):
            os.close(open_beneath(project, name))
            continue
        try:
            source = open_beneath(before.project, name)
        except OSError:
            # The code that ran has removed it, or put something else in its place.
            continue
        try:
            executable = bool(os.fstat(source).st_mode & 0o100)
            place_file(project, name, source, executable=executable)
        except OSError as error:
            if error.errno not in PLACE_TAKEN:
                raise
        finally:
            os.close(source)


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
        source.path: _filled(name_now(source.path.removeprefix("{project}/")), values, run)
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


# ---------------------------------------------------------------- the work directory


def _lay_out(
    run: ReleaseRun,
    segment: Segment,
    project: Path,
    values: Mapping[str, str],
    conditions: Conditions,
    made: Mapping[str, Sequence[_MadeFiles]],
) -> None:
    """What the run read inside the project, beside its code."""
    for directory in segment.directories:
        _make_directory(project, directory)
    for material in segment.materials:
        split = split_data(material.path)
        if split is not None and split[0] == PROJECT_DATA:
            _place_material(material, split[1], project, run, values, conditions, made)


def _make_directory(project: Path, recorded: str) -> None:
    """A directory that the run found, perhaps empty; a place of another kind stays as it is."""
    split = split_data(recorded)
    if split is None or split[0] != PROJECT_DATA:
        return
    top = os.open(project, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.close(descend_beneath(top, split[1].split("/"), create=True))
    finally:
        os.close(top)


def _place_material(
    material: Material,
    relative: str,
    project: Path,
    run: ReleaseRun,
    values: Mapping[str, str],
    conditions: Conditions,
    made: Mapping[str, Sequence[_MadeFiles]],
) -> None:
    source = _open_material(material, relative, run, values, conditions, made)
    remade = material.origin is not None and bool(made.get(material.origin.run))
    try:
        found = place_file(project, _filled(relative, values, run), source)
    except OSError as error:
        if error.errno not in PLACE_TAKEN:
            raise
        raise DefectError(
            Code.RECORD_REFERENCE, material.path, found=error.strerror or str(error)
        ) from error
    finally:
        os.close(source)
    if not remade and found != material.sha256:
        # It was checked before; since then somebody has changed it.
        raise RepetitionFailedError(
            Finding(
                code=Code.DATA_DIFFERS,
                subject=material.path,
                found=f"sha256:{found}",
                expected=f"sha256:{material.sha256}",
            )
        )


def _maker(repeated: Sequence[_MadeFiles], path: str, sha256: str | None) -> _MadeFiles:
    """The repeated segment that wrote a file; the last one where no record says which it was."""
    return next(
        (
            one
            for one in reversed(repeated)
            if any(p.path == path and p.sha256 == sha256 for p in one.segment.products)
        ),
        repeated[-1],
    )


def _number(run_id: str, conditions: Conditions) -> int:
    return next(r.number for r in conditions.release.runs if r.packed.record.id == run_id)


def _open_material(
    material: Material,
    relative: str,
    run: ReleaseRun,
    values: Mapping[str, str],
    conditions: Conditions,
    made: Mapping[str, Sequence[_MadeFiles]],
) -> int:
    origin = material.origin
    if origin is not None and (repeated := made.get(origin.run)):
        # Made anew by this repetition, at the place where the segment that wrote it left it.
        path = _filled(origin.path.removeprefix("{project}/"), values, run)
        try:
            return open_beneath(_maker(repeated, origin.path, material.sha256).project, path)
        except OSError as error:
            raise RepetitionFailedError(
                Finding(
                    code=Code.RUN_FAILED,
                    subject=f"run {_number(origin.run, conditions)}",
                    found=f"no file {path}",
                    expected="the file that is read later",
                )
            ) from error
    if origin is not None:
        member = conditions.release.artifacts.get((origin.run, origin.path, material.sha256 or ""))
        if member is None:
            raise DefectError(
                Code.RECORD_REFERENCE, material.path, expected="its content in the bundle"
            )
        return os.open(conditions.unpacked.path(member), os.O_RDONLY | os.O_CLOEXEC)
    located = conditions.data.get(PROJECT_DATA)
    if located is None or material.sha256 is None:
        raise RepetitionFailedError(
            Finding(
                code=Code.DATA_MISSING,
                subject=material.path,
                found="its content is not known",
                expected="a record of what the run read",
            )
        )
    # Without O_NONBLOCK a fifo that has taken its place would block for ever.
    return os.open(located.file(relative), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


# ---------------------------------------------------------------- execution


def _values(places: CodePlaces, run: ReleaseRun, conditions: Conditions) -> dict[str, str]:
    """What placeholders stand for in this repetition."""
    isolated = conditions.sandbox is not None
    environment = conditions.environments[run.packed.environment]
    values = {
        **places.values(SANDBOX_WORK if isolated else str(places.base)),
        "home": SANDBOX_HOME if isolated else str(places.base),
        "tmp": "/tmp",  # noqa: S108 - private inside the sandbox; as recorded outside
        "host": "sandbox",
        "user": "user",
    }
    if environment.directory is not None:
        values["env"] = str(environment.directory)
    for name, located in conditions.data.items():
        if name != PROJECT_DATA:
            values[data_placeholder(name)] = (
                f"{SANDBOX_DATA}/{name}" if isolated else str(located.directory)
            )
    return values


def _filled(text: str, values: Mapping[str, str], run: ReleaseRun) -> str:
    try:
        return fill(text, values)
    except UnfilledError as error:
        raise RepetitionFailedError(
            Finding(
                code=Code.DATA_MISSING,
                subject=f"run {run.number}",
                found=f"nothing for {{{error}}}",
                expected=f"a value for {text}",
            )
        ) from error


def _variables(
    segment: Segment, run: ReleaseRun, conditions: Conditions, values: Mapping[str, str]
) -> tuple[dict[str, str], list[Difference]]:
    """The recorded variables, the path to the environment, and the recorded number of threads."""
    recorded = {
        name: _filled(value, values, run)
        for name, value in allowed_variables(segment.invocation.variables).items()
        # A loader's variable would reach the programs that set up the sandbox's first process.
        if not name.startswith("LD_")
    }
    environment = conditions.environments[run.packed.environment]
    search = "/usr/local/bin:/usr/bin:/bin"
    if environment.directory is not None:
        search = f"{environment.directory}/bin:{search}"
    variables = {"LANG": "C.UTF-8", **recorded, "PATH": search, "HOME": values["home"]}
    differences = []
    then = environment.recorded.machine.cpu_count
    here = len(os.sched_getaffinity(0))
    if 0 < then < here:
        for name in _THREAD_VARIABLES:
            if name not in variables:
                variables[name] = str(then)
        differences.append(
            Difference(
                subject="threads", recorded=str(then), present=f"limited to {then} of {here}"
            )
        )
    variables.update(conditions.settings)
    return variables, differences


def _execute(
    run: ReleaseRun,
    segment: Segment,
    places: CodePlaces,
    values: Mapping[str, str],
    variables: dict[str, str],
    logs: tuple[Path, Path],
    conditions: Conditions,
) -> tuple[JobEnd, Isolation]:
    argv = tuple(_filled(argument, values, run) for argument in segment.invocation.argv)
    directory = _filled(segment.invocation.directory, values, run)
    conditions.tell(f"repeating run {run.number}: {' '.join(segment.invocation.argv)}")

    def job(command: tuple[str, ...], start: str, environment: dict[str, str]) -> Job:
        return Job(
            argv=command,
            environment=environment,
            directory=start,
            stdout=str(logs[0]),
            stderr=str(logs[1]),
            wall_seconds=conditions.wall_seconds or _wall_limit(segment),
            room=str(conditions.work),
            least_room=_least_room(conditions.work),
            live=conditions.live,
        )

    if conditions.sandbox is None:
        for name, place in places.data.items():
            _link_data(places.base / place, conditions.data[name])
        program = _find_program(argv[0], variables["PATH"], directory)
        end = _started(conditions, run, job((program, *argv[1:]), directory, variables))
        return end, no_isolation()
    environment = conditions.environments[run.packed.environment]
    read_only = []
    if environment.directory is not None and environment.interpreter_prefix is not None:
        read_only += [
            Bind(source=path, target=path)
            for path in (str(environment.directory), environment.interpreter_prefix)
        ]
    # Only where the author's machine had one: the driver of a GPU is much code to attack.
    devices = gpu_devices() if environment.recorded.machine.accelerators else ()
    limits = conditions.limits
    if devices:
        # CUDA reserves far more address space than it uses.
        limits = structs.replace(limits, address_space=None)
    read_only += _data_binds(conditions.data, [bind.target for bind in read_only])
    read_only += [
        Bind(
            source=str(conditions.data[name].directory.resolve()), target=f"{SANDBOX_WORK}/{place}"
        )
        for name, place in places.data.items()
    ]
    try:
        spec = SandboxSpec(
            directory=directory,
            environment=variables,
            limits=limits,
            devices=devices,
            read_only=tuple(read_only),
            writable=tuple(
                Bind(source=str(places.base / place), target=f"{SANDBOX_WORK}/{place}")
                for place in places.separate()
            ),
        )
    except ValueError as error:
        # Nothing recorded can cause this; a work directory at a place of the sandbox can.
        raise RepropackError(
            f"{conditions.work} cannot be shown in the sandbox: {error}",
            advice="name another place with TMPDIR",
        ) from error
    with confined(conditions.sandbox, spec, argv) as ready:
        end = _started(
            conditions, run, job(ready.argv, str(places.base), {"PATH": "/usr/bin:/bin"})
        )
        return end, ready.isolation


def _started(conditions: Conditions, run: ReleaseRun, job: Job) -> JobEnd:
    """What the executor says; that a command cannot be started is a fact about the record."""
    try:
        return conditions.executor.execute(job)
    except RepropackError as error:
        raise RepetitionFailedError(
            Finding(code=Code.RUN_FAILED, subject=f"run {run.number}", found=error.message)
        ) from error


def _data_binds(data: Mapping[str, LocatedData], taken: list[str]) -> list[Bind]:
    """Each data set at its place, and at the path that the author's code may have built in."""
    binds: list[Bind] = []
    for name, located in data.items():
        if name == PROJECT_DATA:
            continue
        source = str(located.directory.resolve())
        binds.append(Bind(source=source, target=f"{SANDBOX_DATA}/{name}"))
        recorded = located.manifest.recorded_path
        if recorded is not None and not _overlaps(recorded, [*taken, *(b.target for b in binds)]):
            try:
                binds.append(Bind(source=source, target=recorded))
            except ValueError:
                # A place that the sandbox keeps for the system: the code sees it by {data:…} only.
                continue
    return binds


def _link_data(place: Path, located: LocatedData) -> None:
    """Without a sandbox, a link stands where the author had the data beside the project."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(located.directory.resolve())


def _overlaps(path: str, taken: list[str]) -> bool:
    return any(
        (path + "/").startswith(t + "/") or (t + "/").startswith(path + "/")
        for t in (SANDBOX_WORK, SANDBOX_DATA, SANDBOX_HOME, *taken)
    )


def _find_program(name: str, search: str, directory: str) -> str:
    if "/" in name:
        return os.path.normpath(os.path.join(directory, name))
    found = find_program(name, search)
    if found is None:
        raise RepetitionFailedError(
            Finding(code=Code.RUN_FAILED, subject=name, found="no such program on this machine")
        )
    return found


def _least_room(directory: Path) -> int:
    """What has to stay free on the disk for the reader's own work."""
    found = os.statvfs(directory)
    return min(LEAST_ROOM, found.f_bavail * found.f_frsize // 2)


def _wall_limit(segment: Segment) -> float:
    form = "%Y-%m-%dT%H:%M:%SZ"
    try:
        took = datetime.datetime.strptime(segment.ended, form) - datetime.datetime.strptime(
            segment.started, form
        )
    except ValueError:
        return WALL_MINIMUM
    return min(max(WALL_MINIMUM, WALL_FACTOR * took.total_seconds()), WALL_MAXIMUM)


def _check_end(which: str, segment: Segment, end: JobEnd, logs: tuple[Path, Path]) -> None:
    """A repetition must end as the recorded run did, whatever that was."""
    if end.timed_out:
        raise RepetitionFailedError(
            Finding(code=Code.TIMED_OUT, subject=which, found=f"{end.seconds:.0f} s")
        )
    if end.out_of_room:
        raise RepetitionFailedError(
            Finding(
                code=Code.NO_ROOM,
                subject=which,
                found=f"ended after {end.seconds:.0f} s",
                expected="more room where the work directory is; TMPDIR names another place",
            )
        )
    recorded = segment.outcome
    if recorded.signal is not None:
        # A sandbox reports a signal as a shell does.
        if end.signal == recorded.signal or end.status == _shell_status(recorded.signal):
            return
    elif end.signal is None and end.status == recorded.status:
        return
    found = f"signal {end.signal}" if end.signal else f"status {end.status}"
    raise RepetitionFailedError(
        Finding(
            code=Code.RUN_FAILED,
            subject=which,
            found=f"{found}: {_last_words(logs[1]) or _last_words(logs[0]) or 'no output'}",
            expected=f"signal {recorded.signal}"
            if recorded.signal
            else f"status {recorded.status}",
        )
    )


def _shell_status(name: str) -> int | None:
    number = signal.Signals.__members__.get(name)
    return None if number is None else _SHELL_SIGNAL + number


def _last_words(log: Path) -> str:
    """The last line that a program printed: mostly its error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""
