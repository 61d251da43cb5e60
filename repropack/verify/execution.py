# SPDX-License-Identifier: Apache-2.0
"""One recorded command, executed again: its places, variables, limits and end."""

from __future__ import annotations

import datetime
import os
import re
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec import structs

from repropack.agent import DIRECTORY as AGENT_DIRECTORY
from repropack.agent import with_agent
from repropack.environment.machine import allowed_variables
from repropack.errors import RepropackError
from repropack.executors import Job, JobEnd
from repropack.findings import Code, Finding
from repropack.model import Difference, Isolation, Segment
from repropack.placeholders import PROJECT_DATA, data_placeholder
from repropack.process import find_program
from repropack.sandbox import (
    Bind,
    SandboxSpec,
    confined,
    driver_libraries,
    gpu_devices,
    no_isolation,
)
from repropack.verify.code_roots import SANDBOX_WORK, CodePlaces
from repropack.verify.conditions import Conditions, RepetitionFailedError, filled
from repropack.verify.observation import SANDBOX_AGENT
from repropack.verify.release import ReleaseRun
from repropack.verify.workspace import LocatedData

__all__ = [
    "HOST",
    "LEAST_ROOM",
    "SANDBOX_DATA",
    "SANDBOX_HOME",
    "SHELL_SIGNAL",
    "WALL_FACTOR",
    "WALL_MAXIMUM",
    "WALL_MINIMUM",
    "check_end",
    "execute",
    "placeholder_values",
    "variables_for",
]


HOST: Final = "sandbox"
"""What a repetition takes for the name of its machine."""

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


LEAST_FILES: Final = 100_000
"""Files that a repetition leaves to be made on the disk, or half of those: inodes run out too."""


FULL: Final = 1024**2
"""Bytes: what is left of a disk when a program could not write its next block."""


_NO_SPACE: Final = re.compile(r"No space left on device|Disk quota exceeded|Errno 28\b")


SHELL_SIGNAL: Final = 128
"""What a shell adds to the number of a signal to make an exit status of it."""


_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def placeholder_values(
    places: CodePlaces, run: ReleaseRun, conditions: Conditions
) -> dict[str, str]:
    """What placeholders stand for in this repetition."""
    isolated = conditions.sandbox is not None
    environment = conditions.environments[run.packed.environment]
    values = {
        **places.values(SANDBOX_WORK if isolated else str(places.base)),
        "home": SANDBOX_HOME if isolated else str(places.base),
        "tmp": "/tmp",  # noqa: S108 - private inside the sandbox; as recorded outside
        "host": HOST,
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


def variables_for(
    segment: Segment, run: ReleaseRun, conditions: Conditions, values: Mapping[str, str]
) -> tuple[dict[str, str], list[Difference]]:
    """The recorded variables, the path to the environment, and the recorded number of threads."""
    recorded = {
        name: filled(value, values, run)
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


def execute(
    run: ReleaseRun,
    segment: Segment,
    places: CodePlaces,
    values: Mapping[str, str],
    variables: dict[str, str],
    logs: tuple[Path, Path],
    conditions: Conditions,
    *,
    agent_output: str = "",
    enough: Callable[[], bool] | None = None,
) -> tuple[JobEnd, Isolation]:
    """Executes the command of a segment, in the sandbox if there is one.

    Args:
        run: The run.
        segment: Which of its segments.
        places: Where its code is.
        values: What placeholders stand for.
        variables: Those of the command.
        logs: Where its standard output and standard error go.
        conditions: What the repetition works with.
        agent_output: Where below the project the agent writes; nothing for no agent.
        enough: Says when the command may be ended; None to let it come to its end.

    Raises:
        RepetitionFailedError: It cannot be started.
        RepropackError: The work directory is at a place where it cannot be shown in the sandbox.
    """
    argv = tuple(filled(argument, values, run) for argument in segment.invocation.argv)
    directory = filled(segment.invocation.directory, values, run)
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
            least_files=_least_files(conditions.work),
            enough=enough,
            live=conditions.live,
        )

    if agent_output:
        seen = {} if conditions.sandbox is None else {"directory": SANDBOX_AGENT}
        variables = with_agent(variables, f"{values['project']}/{agent_output}", **seen)
    if conditions.sandbox is None:
        for name, place in places.data.items():
            _link_data(places.base / place, conditions.data[name])
        program = _find_program(argv[0], variables["PATH"], directory)
        end = _started(conditions, run, job((program, *argv[1:]), directory, variables))
        return end, no_isolation()
    environment = conditions.environments[run.packed.environment]
    read_only = [
        Bind(source=path, target=path)
        # Environments may have the same interpreter.
        for path in dict.fromkeys(
            path
            for one in (conditions.environments[directory] for directory in run.environments)
            if one.directory is not None
            for path in (str(one.directory), *one.interpreter)
        )
    ]
    if agent_output:
        read_only.append(Bind(source=str(AGENT_DIRECTORY), target=SANDBOX_AGENT))
    # Only where the author's machine had one: the driver of a GPU is much code to attack.
    devices = gpu_devices() if environment.recorded.machine.accelerators else ()
    limits = conditions.limits
    if devices:
        # CUDA reserves far more address space than it uses.
        limits = structs.replace(limits, address_space=None)
        libraries = driver_libraries(conditions.library_path)
        taken = [bind.target for bind in read_only]
        read_only += [
            Bind(source=place, target=place)
            for place in libraries.shown
            if not _overlaps(place, taken)
        ]
        if libraries.searched:
            search = [variables.get("LD_LIBRARY_PATH", ""), *libraries.searched]
            variables = {**variables, "LD_LIBRARY_PATH": ":".join(filter(None, search))}
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
        full = _is_full(conditions.work)
        raise RepetitionFailedError(
            Finding(
                # The output is kept on the same disk.
                code=Code.NO_ROOM if full else Code.RUN_FAILED,
                subject=f"run {run.number}",
                found=error.message,
                expected=_more_room(conditions.work) if full else "",
            )
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


def _least_files(directory: Path) -> int:
    """How many files the reader must be able to make on that disk for her own work."""
    return min(LEAST_FILES, os.statvfs(directory).f_favail // 2)


def _wall_limit(segment: Segment) -> float:
    form = "%Y-%m-%dT%H:%M:%SZ"
    try:
        took = datetime.datetime.strptime(segment.ended, form) - datetime.datetime.strptime(
            segment.started, form
        )
    except ValueError:
        return WALL_MINIMUM
    return min(max(WALL_MINIMUM, WALL_FACTOR * took.total_seconds()), WALL_MAXIMUM)


def check_end(
    which: str, segment: Segment, end: JobEnd, logs: tuple[Path, Path], work: Path
) -> None:
    """A repetition must end as the recorded run did, whatever that was.

    Args:
        which: The run, in words.
        segment: What was repeated.
        end: How the repetition ended.
        logs: Its standard output and standard error.
        work: The work directory, whose disk may be full.

    Raises:
        RepetitionFailedError: It ended otherwise.
    """
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
                expected=_more_room(work),
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
    said = _last_words(logs[1]) or _last_words(logs[0]) or "no output"
    if (full := _is_full(work)) or _NO_SPACE.search(said):
        raise RepetitionFailedError(
            Finding(
                code=Code.NO_ROOM,
                subject=which,
                found=f"{found}: {said}",
                expected=_more_room(work)
                if full
                else "more room in the sandbox's /tmp, which is in memory: --memory bounds both",
            )
        )
    raise RepetitionFailedError(
        Finding(
            code=Code.RUN_FAILED,
            subject=which,
            found=f"{found}: {said}",
            expected=f"signal {recorded.signal}"
            if recorded.signal
            else f"status {recorded.status}",
        )
    )


def _is_full(work: Path) -> bool:
    """Whether nothing worth mentioning can be written any more."""
    found = os.statvfs(work)
    return found.f_bavail * found.f_frsize < FULL or (found.f_files > 0 and found.f_favail == 0)


def _more_room(work: Path) -> str:
    found = os.statvfs(work)
    free, whole = (n * found.f_frsize // 2**20 for n in (found.f_bavail, found.f_blocks))
    files = f" and {found.f_favail} files of {found.f_files}" if found.f_files else ""
    return (
        f"more room on the disk of {work.parent}, where {free} MiB of {whole}{files} are free; "
        "TMPDIR names another place"
    )


def _shell_status(name: str) -> int | None:
    number = signal.Signals.__members__.get(name)
    return None if number is None else SHELL_SIGNAL + number


def _last_words(log: Path) -> str:
    """The last line that a program printed: mostly its error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""
