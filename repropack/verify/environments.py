# SPDX-License-Identifier: Apache-2.0
"""The third rung: the recorded environments, rebuilt here, and how they differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from packaging.utils import canonicalize_name

from repropack.environment.coarsening import coarse_machine
from repropack.environment.conda import needs_conda
from repropack.environment.index import load_index_settings
from repropack.environment.installation import site_packages
from repropack.environment.interpreter import find_interpreter, places_of
from repropack.environment.lock import select
from repropack.environment.machine import describe_machine
from repropack.environment.rebuilding import EnvironmentNotBuiltError, build
from repropack.environment.uv import Uv, find_uv
from repropack.findings import Code, Finding
from repropack.model import Difference, Distribution, Environment, Machine, Python
from repropack.sandbox import Sandbox
from repropack.verify.installed_packages import check_packages
from repropack.verify.other_versions import check_versions, with_versions
from repropack.verify.release import Release, ReleaseEnvironment
from repropack.verify.workspace import Unpacked

__all__ = ["NOT_INSTALLED", "BuiltEnvironment", "EnvironmentsOutcome", "build_environments"]


_VERSION: Final = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?:(?:a|b|rc)[0-9]{1,3}|\+)?")

NOT_INSTALLED: Final = "not installed"
"""What is present of a package that a difference tells of and that is not there."""

MAX_UNLOCKED_SHOWN: Final = 20
"""Findings about packages without a digest: one names the problem, hundreds hide it."""


class BuiltEnvironment(Struct, frozen=True, kw_only=True):
    """An environment that is ready to run code.

    Attributes:
        directory: The virtual environment; None where the run used no Python.
        interpreter: Places that a sandbox has to show beside it.
        recorded: The record it was built from.
    """

    directory: Path | None
    interpreter: tuple[str, ...]
    recorded: Environment


class EnvironmentsOutcome(Struct, frozen=True, kw_only=True):
    """All environments of a release; `built` is None if one could not be made."""

    built: dict[str, BuiltEnvironment] | None
    differences: tuple[Difference, ...]
    findings: tuple[Finding, ...]


def build_environments(
    release: Release,
    needed: tuple[str, ...],
    unpacked: Unpacked,
    target: Path,
    variables: Mapping[str, str],
    sandbox: Sandbox | None,
    *,
    offline: bool,
    tell: Callable[[str], None],
    versions: Mapping[str, str],
) -> EnvironmentsOutcome:
    """Rebuilds the environments that a repetition needs.

    Args:
        release: The records.
        needed: Member directories of the environments.
        unpacked: The members, among them packed wheels.
        target: An existing directory; each environment is made below it.
        variables: The reader's environment variables: her index, her interpreters.
        sandbox: Where packages of conda are linked; None because the reader wants none.
        offline: Whether nothing may be downloaded.
        tell: Told in words what is going on.
        versions: Other versions of packages than the recorded ones.

    Raises:
        UsageError: One of `versions` is of a package that is not there.
        RepropackError: uv is missing, or the reader's configuration is not in order.
        DefectError: The recorded requirements exceed a limit.
    """
    check_versions(release, needed, versions)
    built: dict[str, BuiltEnvironment] = {}
    differences: list[Difference] = []
    findings: list[Finding] = []
    here = describe_machine(variables)
    compared = coarse_machine(here) if release.anonymous else here
    uv: Uv | None = None
    for number, directory in enumerate(needed, 1):
        specification = release.environments[directory]
        differences += _machine_differences(specification.environment.machine, compared)
        if loaded := specification.environment.r:
            version = next((one.version for one in loaded if one.name == "base"), loaded[0].built)
            differences.append(
                Difference(
                    subject="R",
                    recorded=f"{version}, {len(loaded)} packages loaded",
                    present="not installed by this check: whatever this machine has",
                )
            )
        if specification.environment.python is None:
            built[directory] = BuiltEnvironment(
                directory=None, interpreter=(), recorded=specification.environment
            )
            continue
        uv = uv or find_uv(variables, load_index_settings(variables))
        one = _build_one(
            _Here(
                uv=uv,
                variables=variables,
                machine=here,
                sandbox=sandbox,
                offline=offline,
                tell=tell,
                findings=findings,
                differences=differences,
            ),
            specification,
            versions,
            _names_in_code(release, directory),
            target / f"env-{number}",
            unpacked.path(f"{directory}/wheels") if specification.wheels else None,
        )
        if one is None:
            return EnvironmentsOutcome(
                built=None, differences=tuple(differences), findings=tuple(findings)
            )
        built[directory] = one
    return EnvironmentsOutcome(
        built=built,
        differences=tuple(dict.fromkeys(differences)),
        findings=tuple(findings),
    )


def _names_in_code(release: Release, directory: str) -> set[str]:
    """Packages that runs in an environment had from their code."""
    return {
        name
        for run in release.runs
        if directory in run.environments
        for segment in run.packed.record.segments
        for name in segment.from_code
    }


class _Here(Struct, frozen=True, kw_only=True):
    """What an environment is built with, whichever it is.

    Attributes:
        variables: The reader's environment variables.
        machine: Hers.
        sandbox: Where packages of conda are linked.
        offline: Whether nothing may be downloaded.
        tell: Told in words what is going on.
        findings: Told what stands in the way.
        differences: Told what is not as it was recorded.
    """

    uv: Uv
    variables: Mapping[str, str]
    machine: Machine
    sandbox: Sandbox | None
    offline: bool
    tell: Callable[[str], None]
    findings: list[Finding]
    differences: list[Difference]


def _build_one(
    here: _Here,
    recorded: ReleaseEnvironment,
    versions: Mapping[str, str],
    in_code: Set[str],
    target: Path,
    wheels: Path | None,
) -> BuiltEnvironment | None:
    python = recorded.environment.python
    assert python is not None
    if not _VERSION.fullmatch(python.version):
        # Also because the version becomes part of a command that the reader is told to type.
        here.findings.append(
            Finding(
                code=Code.PYTHON_MISSING,
                subject=f"Python {python.version}",
                found="a version of no known form",
                expected="a version such as 3.11.7",
            )
        )
        return None
    try:
        specification, chosen = with_versions(here.uv, recorded, versions)
        here.differences.extend(chosen)
        if not _is_locked(here, specification, in_code):
            return None
        by_conda = needs_conda(specification.environment)
        built = (_by_conda if by_conda else _by_uv)(here, specification, target, wheels)
    except EnvironmentNotBuiltError as error:
        here.findings.append(_not_built(error))
        return None
    return built and replace(built, recorded=recorded.environment)


def _is_locked(here: _Here, specification: ReleaseEnvironment, in_code: Set[str]) -> bool:
    """Whether all that the run imported has a digest; says what has none."""
    unlocked = _unlocked(specification, in_code)
    shown = unlocked[:MAX_UNLOCKED_SHOWN]
    # The most important one last: that is the one that a verdict names.
    here.findings.extend(_unlocked_finding(one, len(unlocked)) for one in reversed(shown))
    here.differences.extend(
        Difference(subject=one.name, recorded=one.version, present=NOT_INSTALLED) for one in shown
    )
    return not (unlocked and unlocked[0].imported)


def _by_conda(
    here: _Here, specification: ReleaseEnvironment, target: Path, wheels: Path | None
) -> BuiltEnvironment | None:
    # It loads our network client, which most checks do without.
    from repropack.verify.conda import build_conda

    made = build_conda(
        here.uv,
        specification,
        target,
        here.variables,
        here.machine,
        here.sandbox,
        wheels=wheels,
        offline=here.offline,
        tell=here.tell,
    )
    here.findings.extend(made.findings)
    if made.directory is None:
        return None
    return BuiltEnvironment(
        directory=made.directory, interpreter=(), recorded=specification.environment
    )


def _by_uv(
    here: _Here, specification: ReleaseEnvironment, target: Path, wheels: Path | None
) -> BuiltEnvironment | None:
    python = specification.environment.python
    assert python is not None
    if any(one.origin == "conda" for one in specification.environment.distributions):
        # What the run imported is from elsewhere.
        here.differences.append(
            Difference(
                subject="packages of conda",
                recorded=str(len(specification.environment.conda)),
                present="not installed: the run imported none of them",
            )
        )
    interpreter = find_interpreter(here.uv, python, here.variables)
    if interpreter is None:
        here.findings.append(
            Finding(
                code=Code.PYTHON_MISSING,
                subject=f"Python {python.version}",
                found="none of its series",
                expected=_how_to_get(python),
            )
        )
        return None
    if interpreter.version != python.version:
        here.findings.append(
            Finding(code=Code.PYTHON_PATCH, found=interpreter.version, expected=python.version)
        )
        here.differences.append(
            Difference(subject="Python", recorded=python.version, present=interpreter.version)
        )
    own = build(
        here.uv,
        specification.locked,
        interpreter.path,
        target,
        wheels=wheels,
        offline=here.offline,
        progress=here.tell,
    )
    site = site_packages(target, python)
    said, altered = check_packages(target, site, specification.locked, own)
    here.findings.extend(said)
    if altered:
        return None
    return BuiltEnvironment(
        directory=target,
        interpreter=places_of(interpreter, here.variables.get("HOME")),
        recorded=specification.environment,
    )


def _how_to_get(python: Python) -> str:
    """What is missing, and the command that installs it where we know one."""
    wanted = f"{python.implementation} {python.version} on PATH"
    name = {"cpython": "", "pypy": "pypy@"}.get(python.implementation.lower())
    if name is None:
        return wanted
    return f"{wanted}; `uv python install {name}{python.version.removesuffix('+')}` gets it"


def _not_built(error: EnvironmentNotBuiltError) -> Finding:
    advice = error.advice
    if error.finding.code is Code.PACKAGE_MISSING and error.locked:
        advice += (
            "; or see by --package NAME==VERSION whether the numbers hold with another version"
        )
    expected = "; ".join(filter(None, (error.finding.expected, advice)))
    return replace(error.finding, expected=expected)


def _unlocked(specification: ReleaseEnvironment, in_code: Set[str]) -> list[Distribution]:
    """What the run needs and neither lock nor code has; imported packages first."""
    environment = specification.environment
    assert environment.python is not None
    locked = {(package.name, package.version) for package in specification.locked}
    needed = select(environment.distributions, environment.python, environment.machine)
    return sorted(
        (
            one
            for one in needed
            if (canonicalize_name(one.name), one.version) not in locked
            and one.name not in in_code
            and one.origin != "conda"
        ),
        key=lambda one: (not one.imported, one.name),
    )


def _unlocked_finding(one: Distribution, count: int) -> Finding:
    if one.origin == "index":
        advice = "export the run again where a package index that offers it is configured"
    else:
        advice = "install it as a wheel from a package index, then record and export again"
    return Finding(
        code=Code.PACKAGE_UNLOCKED,
        subject=f"{one.name} {one.version}",
        found=("imported by the run" if one.imported else "not imported by the run")
        + (f", one of {count} such packages" if count > 1 else ""),
        expected=f"a locked wheel: {advice}",
    )


def _machine_differences(recorded: Machine, here: Machine) -> list[Difference]:
    return [
        Difference(subject=subject, recorded=str(then) or "unknown", present=str(now) or "unknown")
        for subject, then, now in (
            ("architecture", recorded.architecture, here.architecture),
            ("processor", recorded.cpu, here.cpu),
            ("processors", recorded.cpu_count, here.cpu_count),
            ("accelerators", ", ".join(recorded.accelerators), ", ".join(here.accelerators)),
            ("distribution", recorded.distribution, here.distribution),
            ("libc", recorded.libc, here.libc),
            ("kernel", recorded.kernel, here.kernel),
            ("locale", recorded.locale, here.locale),
        )
        if then != now
    ]
