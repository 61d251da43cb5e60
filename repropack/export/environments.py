# SPDX-License-Identifier: Apache-2.0
"""Which environments a release holds, and how far each could be locked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from repropack.environment.cache import cache_directory
from repropack.environment.index import IndexSettings, load_index_settings
from repropack.environment.installation import site_packages
from repropack.environment.lock import LockedPackage, select
from repropack.environment.repacking import repack
from repropack.environment.uv import Uv, find_uv
from repropack.environment.wheel_digests import find_wheels
from repropack.environment.wheels import FetchedWheel, fetch_wheels, installed_wheel
from repropack.errors import UsageError
from repropack.export.chain import ChainedRun
from repropack.export.planned import PlannedEnvironment
from repropack.model import Distribution, Environment, Python
from repropack.store import Store

__all__ = ["merge", "plan_environments", "public_wheels"]


def plan_environments(
    store: Store,
    chain: tuple[ChainedRun, ...],
    variables: Mapping[str, str],
    fetching: Callable[[str], None] | None,
    *,
    offline: bool = False,
) -> tuple[tuple[PlannedEnvironment, ...], dict[str, tuple[str, ...]]]:
    """One environment for runs that had the same packages; the claimed run's comes first.

    Args:
        store: The project's store.
        chain: The runs.
        variables: The author's environment variables.
        fetching: Told what is being fetched; None where no wheels are to be packed.
        offline: Whether the index is not asked; packages that uv does not know from earlier are
            packed as they are installed.

    Returns:
        The environments; and by run the member directories of those that it used, its own first.
    """
    groups: list[tuple[Environment, list[str]]] = []
    used: dict[str, list[int]] = {}
    for chained in reversed(chain):
        segment = chained.record.segments[-1]
        if segment.environment is None:
            raise UsageError(
                f"run {chained.record.id} was recorded without its environment",
                advice="record it again",
            )
        further = (one.environment for one in segment.environments[1:])
        used[chained.record.id] = [
            _add(groups, store.environment(sha256), chained.record.id)
            for sha256 in (segment.environment, *further)
        ]
    uv: Uv | None = None
    planned = []
    directories = ["environment", *(f"environment/{n}" for n in range(2, len(groups) + 1))]
    for index, (environment, members) in enumerate(groups):
        directory = directories[index]
        locked: tuple[LockedPackage, ...] = ()
        unlocked: tuple[str, ...] = ()
        built: tuple[FetchedWheel, ...] = ()
        if environment.python is not None:
            uv = uv or _uv(variables, offline=offline)
            in_code = {
                name
                for chained in chain
                if chained.record.id in members
                for segment in chained.record.segments
                for name in segment.from_code
            }
            chosen = tuple(
                one
                for one in select(
                    environment.distributions, environment.python, environment.machine
                )
                if one.name not in in_code
            )
            locked, unlocked = find_wheels(uv, chosen, environment.python)
            places = _installed_in(store, chain, members, environment.python)
            built, locked, unlocked = _built(chosen, locked, unlocked, places, variables)
        fetched, absent = (
            _fetch(environment, _apart(locked, built), uv.settings, variables, fetching)
            if uv is not None and fetching is not None
            else ((), {})
        )
        planned.append(
            PlannedEnvironment(
                directory=directory,
                environment=environment,
                locked=locked,
                unlocked=unlocked,
                wheels=(*fetched, *built),
                built=tuple(one.package for one in built),
                absent=absent,
            )
        )
    return tuple(planned), {
        run: tuple(directories[index] for index in numbers) for run, numbers in used.items()
    }


def _add(groups: list[tuple[Environment, list[str]]], environment: Environment, run: str) -> int:
    """Puts an environment of a run to those that are the same, and says to which."""
    for index, (present, members) in enumerate(groups):
        merged = merge(present, environment)
        if merged is not None:
            groups[index] = (merged, [*members, run])
            return index
    groups.append((environment, [run]))
    return len(groups) - 1


def _uv(variables: Mapping[str, str], *, offline: bool) -> Uv:
    uv = find_uv(variables, load_index_settings(variables))
    if offline:
        uv = msgspec.structs.replace(uv, environment={**uv.environment, "UV_OFFLINE": "1"})
    return uv


def public_wheels(environments: Iterable[PlannedEnvironment]) -> frozenset[str]:
    """The members that are wheels of the package index."""
    return frozenset(
        f"{one.directory}/wheels/{fetched.wheel.filename}"
        for one in environments
        for fetched in one.wheels
        if fetched.package not in one.built
    )


def _installed_in(
    store: Store, chain: tuple[ChainedRun, ...], members: list[str], python: Python
) -> list[str]:
    """Where the recorded packages of some runs are on this machine, if they still are."""
    found: dict[str, None] = {}
    for chained in chain:
        if chained.record.id in members:
            prefixes = store.private(store.run(chained.record.id)).prefixes
            for place, name in prefixes.items():
                if name == "env":
                    found[str(site_packages(Path(place), python))] = None
    return list(found)


def _built(
    chosen: tuple[Distribution, ...],
    locked: tuple[LockedPackage, ...],
    unlocked: tuple[str, ...],
    places: list[str],
    variables: Mapping[str, str],
) -> tuple[tuple[FetchedWheel, ...], tuple[LockedPackage, ...], tuple[str, ...]]:
    """Wheels for packages that were imported and of which the index has none."""
    made: list[FetchedWheel] = []
    entries = list(locked)
    for distribution in chosen:
        # Where nothing is locked, no index was reached, and it may have all of them.
        if locked and distribution.name in unlocked and distribution.imported:
            wheel, _ = repack(distribution, places, cache_directory(variables) / "wheels")
            if wheel is not None:
                made.append(wheel)
                entries.append(
                    LockedPackage(
                        name=distribution.name, version=distribution.version, wheels=(wheel.wheel,)
                    )
                )
    names = {one.package for one in made}
    return (
        tuple(made),
        tuple(sorted(entries, key=lambda entry: entry.name)),
        tuple(name for name in unlocked if name not in names),
    )


def _apart(
    locked: tuple[LockedPackage, ...], built: tuple[FetchedWheel, ...]
) -> tuple[LockedPackage, ...]:
    names = {one.package for one in built}
    return tuple(entry for entry in locked if entry.name not in names)


def _fetch(
    environment: Environment,
    locked: tuple[LockedPackage, ...],
    settings: IndexSettings,
    variables: Mapping[str, str],
    progress: Callable[[str], None],
) -> tuple[tuple[FetchedWheel, ...], dict[str, str]]:
    """The wheels of the recorded machine, and why some are not to be had."""
    if environment.python is None or not locked:
        return (), {}
    distributions = {one.name: one for one in environment.distributions}
    chosen = [
        (entry, installed_wheel(entry, distributions[entry.name], environment.machine))
        for entry in locked
    ]
    fetched, absent = fetch_wheels(
        [(entry, wheel) for entry, wheel in chosen if wheel is not None],
        environment.python,
        settings,
        variables,
        progress,
    )
    other = {e.name: "no wheel for the recorded platform" for e, wheel in chosen if wheel is None}
    return fetched, {**other, **absent}


def merge(one: Environment, other: Environment) -> Environment | None:
    """Two runs' records of the same installation, or None if the installations differ."""

    def installation(environment: Environment) -> object:
        return environment.python, tuple(
            msgspec.structs.replace(d, imported=False) for d in environment.distributions
        )

    r = {**{package.name: package for package in other.r}, **{p.name: p for p in one.r}}
    if any(r[package.name] != package for package in other.r):
        return None
    loaded = tuple(r[name] for name in sorted(r))
    if other.python is None:
        return msgspec.structs.replace(one, r=loaded)
    if one.python is None:
        return msgspec.structs.replace(other, r=loaded)
    if installation(one) != installation(other):
        return None
    imported = {d.name for d in (*one.distributions, *other.distributions) if d.imported}
    return msgspec.structs.replace(
        one,
        distributions=tuple(
            msgspec.structs.replace(d, imported=d.name in imported) for d in one.distributions
        ),
        numerics={**other.numerics, **one.numerics},
        r=loaded,
        modules=tuple(sorted({*one.modules, *other.modules})),
    )
