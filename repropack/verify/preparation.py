# SPDX-License-Identifier: Apache-2.0
"""What must be there before a run is repeated: a sandbox, the files, the data, the environments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from repropack.bundle import VerifiedBundle
from repropack.errors import RepropackError
from repropack.executors import executor
from repropack.findings import Code, Finding
from repropack.model import Difference, StepStatus
from repropack.sandbox import NoSandbox, Sandbox, find_sandbox, usual_limits, why_not_shown
from repropack.verify.conditions import Conditions, RepetitionFailedError
from repropack.verify.data_sets import find_data
from repropack.verify.environments import EnvironmentsOutcome, build_environments
from repropack.verify.ladder import Ladder
from repropack.verify.release import Release, ReleaseRun
from repropack.verify.request import Observer, VerifyRequest
from repropack.verify.workspace import LocatedData, Unpacked, unpack_members

__all__ = ["Prepared", "prepare"]


class Prepared(Struct, frozen=True, kw_only=True):
    """All that a repetition needs.

    Attributes:
        differences: Of the rebuilt environments from the recorded ones.
        build: Builds the environments once more in a directory, with other versions of packages.
    """

    conditions: Conditions
    differences: tuple[Difference, ...]
    build: Callable[[Path, Mapping[str, str]], EnvironmentsOutcome]


def prepare(
    request: VerifyRequest,
    variables: Mapping[str, str],
    observer: Observer,
    ladder: Ladder,
    work: Path,
    verified: VerifiedBundle,
    release: Release,
    runs: tuple[ReleaseRun, ...],
) -> Prepared:
    """Unpacks the bundle, finds the data and rebuilds the environments of some runs.

    Args:
        request: What the reader asked for.
        variables: Her environment variables.
        observer: Told how it goes.
        ladder: Learns of each step, and what was found.
        work: A private directory.
        verified: The bundle.
        release: Its records.
        runs: What will be repeated.

    Raises:
        RepetitionFailedError: Something is not to be had here.
        RepropackError: The work directory cannot be used, or has no room.
    """
    sandbox = _sandbox() if request.sandbox else None
    if sandbox is not None and (reason := why_not_shown(str(work.absolute()))) is not None:
        raise RepropackError(
            f"{work} cannot be shown in the sandbox: {reason}",
            advice="name another place with TMPDIR",
        )
    observer.tell("unpacking")
    unpacked = unpack_members(verified, work / "bundle", release.members_of(runs))
    data = _data(request, release, runs, unpacked, ladder)
    needed = tuple(dict.fromkeys(one for run in runs for one in run.environments))

    def build(place: Path, versions: Mapping[str, str]) -> EnvironmentsOutcome:
        return build_environments(
            release,
            needed,
            unpacked,
            place,
            variables,
            sandbox,
            offline=request.offline,
            tell=observer.tell,
            versions=versions,
        )

    outcome = build(work, request.versions)
    ladder.findings += outcome.findings
    ladder.differences += outcome.differences
    if outcome.built is None:
        raise RepetitionFailedError(outcome.findings[-1], rung="environment")
    packages = sum(len(release.environments[directory].locked) for directory in needed)
    ladder.step(
        "environment",
        StepStatus.PASSED,
        _rebuilt(packages, len(outcome.differences)),
    )
    conditions = Conditions(
        release=release,
        unpacked=unpacked,
        environments=outcome.built,
        data=data,
        work=work,
        executor=executor(request.executor),
        sandbox=sandbox,
        limits=request.limits or usual_limits(),
        wall_seconds=request.wall_seconds,
        live=observer.live,
        tell=observer.tell,
        library_path=variables.get("LD_LIBRARY_PATH", ""),
    )
    return Prepared(conditions=conditions, differences=tuple(outcome.differences), build=build)


def _rebuilt(packages: int, differences: int) -> str:
    plural = "" if packages == 1 else "s"
    done = f"{packages} package{plural} rebuilt" if packages else "nothing to rebuild"
    if not differences:
        return f"{done}; all is as recorded"
    return (
        f"{done}; packages or machine differ in {differences} point{'s' if differences > 1 else ''}"
    )


def _sandbox() -> Sandbox:
    """The sandbox.

    Raises:
        RepetitionFailedError: There is none on this machine.
    """
    found = find_sandbox()
    if not isinstance(found, NoSandbox):
        return found
    raise RepetitionFailedError(
        Finding(
            code=Code.NO_SANDBOX,
            found="; ".join(found.reasons),
            expected="`apt install bubblewrap` or `pip install 'repropack[sandbox]'`, on a system "
            "that lets users make namespaces (`repropack doctor` says more); --no-sandbox runs the "
            "code with all your rights",
        )
    )


def _data(
    request: VerifyRequest,
    release: Release,
    runs: tuple[ReleaseRun, ...],
    unpacked: Unpacked,
    ladder: Ladder,
) -> dict[str, LocatedData]:
    """Every data set that the runs read.

    Raises:
        RepetitionFailedError: One is not to be had here.
    """
    located, missing = find_data(release, runs, unpacked, request.data)
    if missing:
        ladder.findings += missing
        raise RepetitionFailedError(missing[0], rung="data")
    if located:
        ladder.step("data", StepStatus.PASSED, f"as recorded: {', '.join(sorted(located))}")
    return located
