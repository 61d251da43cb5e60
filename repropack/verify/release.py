# SPDX-License-Identifier: Apache-2.0
"""What a verified bundle says: its records, read strictly and checked against each other.

A signature says who wrote the records, not that they are sound. Whatever a record names must be in
the bundle under the digest that the record states, and every path must stay where it belongs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Set
from typing import Final, TypeVar

from msgspec import Struct

from repropack import canonical
from repropack.bundle import VerifiedBundle
from repropack.environment.lock import LockedPackage, read_lock
from repropack.findings import Code, DefectError
from repropack.model import (
    RECORD_VERSION,
    ClaimSet,
    DataManifest,
    Environment,
    Invocation,
    Member,
    MetricSet,
    PackedRun,
    Segment,
    Statement,
)
from repropack.paths import PathRefusedError, to_logical_path
from repropack.placeholders import PROJECT_DATA, is_recorded_path, split_code, split_data
from repropack.source.trees import path_defect

__all__ = [
    "AUTHORSHIP",
    "Release",
    "ReleaseEnvironment",
    "ReleaseRun",
    "data_member",
    "read_release",
]

AUTHORSHIP: Final = "authorship.json"
"""The member by which a bundle is anonymous (specification, section 19)."""

MAX_RECORD: Final = 256 * 1024 * 1024
"""Bytes of one record: the data manifest of a million files has about 150 MiB."""

MAX_RECORDS: Final = 512 * 1024 * 1024
"""Bytes of all records together: a million files stand in a data manifest and in a run."""

MAX_RUNS: Final = 1_000
"""Runs of one release, and executions of them: a chain longer than any schedule makes."""

MAX_CODE: Final = 10_000
"""Code bundles, roots and places of code, over all executions: git is called for each bundle."""

MAX_DATA_SETS: Final = 1_000
"""Data sets of one release: each is a mount of the sandbox."""

MAX_CLAIMS: Final = 10_000
"""Claims of one release: no paper has that many numbers."""


_DATA_NAME: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,100}", re.ASCII)

_ODD: Final = re.compile(rb"\\u[dD]|[0-9]{16}")
"""Where a lone surrogate, or an integer beyond 2**53, could stand in a document."""

T = TypeVar("T")


class ReleaseRun(Struct, frozen=True, kw_only=True):
    """A run of the release; `number` is its place in the chain, from 1."""

    number: int
    packed: PackedRun
    metrics: MetricSet

    @property
    def environments(self) -> tuple[str, ...]:
        """The member directories of the environments that it used, its own first."""
        return tuple(dict.fromkeys((self.packed.environment, *self.packed.environments)))


class ReleaseEnvironment(Struct, frozen=True, kw_only=True):
    """An environment and its lock; without Python there is nothing to rebuild.

    Attributes:
        wheels: The members that hold wheels, each one that the lock names.
    """

    environment: Environment
    locked: tuple[LockedPackage, ...]
    wheels: tuple[str, ...] = ()


class Release(Struct, frozen=True, kw_only=True):
    """All records of a bundle, checked against each other.

    Attributes:
        artifacts: The members that hold files of runs, by run id, recorded path and digest.
        anonymous: Whether its author is to stay unknown: facts of machines are coarse then.
    """

    claims: ClaimSet
    runs: tuple[ReleaseRun, ...]
    data: dict[str, DataManifest]
    environments: dict[str, ReleaseEnvironment]
    artifacts: dict[tuple[str, str, str], str]
    anonymous: bool = False

    @property
    def claimed(self) -> ReleaseRun:
        """The run whose numbers are claimed: the last of the chain."""
        return self.runs[-1]

    def members_of(self, runs: Iterable[ReleaseRun]) -> frozenset[str]:
        """The members that a repetition of these runs needs: code, earlier files, data."""
        needed: set[str] = set()
        for run in runs:
            needed.update(code.member for code in run.packed.code)
            for directory in run.environments:
                needed.update(self.environments[directory].wheels)
            for segment in run.packed.record.segments:
                for material in segment.materials:
                    origin = material.origin
                    if origin is not None and material.sha256 is not None:
                        member = self.artifacts.get((origin.run, origin.path, material.sha256))
                        needed.update(() if member is None else (member,))
            for name in run.packed.data:
                manifest = self.data[name]
                if manifest.included is not None:
                    needed.update(data_member(manifest, file.path) for file in manifest.files)
        return frozenset(needed)


def data_member(manifest: DataManifest, path: str) -> str:
    """The member that holds a file of an included data set."""
    return f"{manifest.included}/{to_logical_path(path)}"


def read_release(bundle: VerifiedBundle, statement: Statement) -> Release:
    """Reads and checks the records of a bundle.

    Raises:
        DefectError: A record is not of its type, names something that is not there, or leads out of
            its place.
    """
    members = {member.path: member for member in bundle.manifest.members}
    _check_sizes({path: member.size for path, member in members.items()})
    claims = _record(bundle, "claims.json", ClaimSet)
    runs: list[ReleaseRun] = []
    while f"runs/{len(runs) + 1}/run.json" in members:
        number = len(runs) + 1
        _check_count("runs", number, MAX_RUNS)
        runs.append(
            ReleaseRun(
                number=number,
                packed=_record(bundle, f"runs/{number}/run.json", PackedRun),
                metrics=_record(bundle, f"runs/{number}/metrics.json", MetricSet),
            )
        )
    if not runs:
        raise DefectError(Code.MEMBER_MISSING, "runs/1/run.json")
    _check_count("executions", sum(len(r.packed.record.segments) for r in runs), MAX_RUNS)
    _check_count(
        "code bundles and roots",
        sum(
            len(r.packed.code) + len(s.roots) + len(s.python_path)
            for r in runs
            for s in r.packed.record.segments
        ),
        MAX_CODE,
    )
    _check_count("environments", sum(len(r.environments) for r in runs), MAX_RUNS)
    _check_count("claims", len(claims.claims), MAX_CLAIMS)
    claimed = runs[-1].packed.record.id
    for source, named in (("claims.json", claims.run), ("the statement", statement.predicate.run)):
        if named != claimed:
            raise DefectError(
                Code.RECORD_REFERENCE, source, found=f"run {named}", expected=f"run {claimed}"
            )
    sets = [
        p for p in members if p.startswith("data/") and p.endswith(".json") and p.count("/") == 1
    ]
    _check_count("data sets", len(sets), MAX_DATA_SETS)
    data = {path[5:-5]: _record(bundle, path, DataManifest) for path in sets}
    environments = {
        directory: _environment(bundle, directory, members)
        for directory in dict.fromkeys(one for run in runs for one in run.environments)
    }
    release = Release(
        claims=claims,
        runs=tuple(runs),
        data=data,
        environments=environments,
        artifacts={
            (run.packed.record.id, artifact.path, artifact.sha256): artifact.member
            for run in runs
            for artifact in run.packed.artifacts
        },
        anonymous=AUTHORSHIP in members,
    )
    digests = {path: member.sha256 for path, member in members.items()}
    seen: set[str] = set()
    for run in release.runs:
        _check_run(run, release, digests, seen)
        seen.add(run.packed.record.id)
    for name, manifest in data.items():
        _check_data(name, manifest, digests)
    return release


def _check_sizes(sizes: Mapping[str, int]) -> None:
    total = sum(
        size
        for path, size in sizes.items()
        if path.endswith((".json", "/pylock.toml")) and path.partition("/")[0] in _RECORDS
    )
    _check_count("bytes of records", total, MAX_RECORDS)


_RECORDS: Final = ("claims.json", "runs", "data", "environment")


def _check_count(what: str, found: int, limit: int) -> None:
    if found > limit:
        raise DefectError(
            Code.TOO_LARGE, "records", found=f"{found} {what}", expected=f"at most {limit}"
        )


def _record(bundle: VerifiedBundle, path: str, kind: type[T]) -> T:
    data = bundle.read(path, limit=MAX_RECORD)
    try:
        record = canonical.decode(data, kind)
        if _ODD.search(data):
            # What cannot be written again could not be reported either.
            canonical.encode(record)
    except canonical.NotCanonicalError as error:
        raise DefectError(Code.RECORD_JSON, path, found=str(error)) from error
    for versioned in (record, getattr(record, "record", None)):
        version = getattr(versioned, "version", RECORD_VERSION)
        if version != RECORD_VERSION:
            raise DefectError(
                Code.MANIFEST_VERSION,
                path,
                found=f"version {version}",
                expected=f"version {RECORD_VERSION}; a newer repropack may read it",
            )
    return record


def _environment(
    bundle: VerifiedBundle, directory: str, members: Mapping[str, Member]
) -> ReleaseEnvironment:
    if not re.fullmatch(r"environment(?:/[0-9]{1,4})?", directory):
        raise DefectError(Code.RECORD_REFERENCE, directory, expected="environment or environment/N")
    environment = _record(bundle, f"{directory}/environment.json", Environment)
    lock = f"{directory}/pylock.toml"
    locked: tuple[LockedPackage, ...] = ()
    if environment.python is not None:
        if lock not in members:
            raise DefectError(Code.RECORD_REFERENCE, lock)
        locked = read_lock(bundle.read(lock, limit=MAX_RECORD))
    return ReleaseEnvironment(
        environment=environment,
        locked=locked,
        wheels=_wheels(f"{directory}/wheels/", locked, members),
    )


def _wheels(
    top: str, locked: Iterable[LockedPackage], members: Mapping[str, Member]
) -> tuple[str, ...]:
    """The packed wheels of an environment; each must be one of its lock (6.9)."""
    named = {top + wheel.filename: wheel.sha256 for entry in locked for wheel in entry.wheels}
    packed = tuple(path for path in members if path.startswith(top))
    for path in packed:
        if named.get(path) != members[path].sha256:
            raise DefectError(
                Code.RECORD_REFERENCE,
                path,
                found="a file that the lock does not name" if path not in named else "",
                expected="a wheel of the lock, with its digest",
            )
    return packed


def _check_run(
    run: ReleaseRun, release: Release, digests: dict[str, str], earlier: set[str]
) -> None:
    where = f"runs/{run.number}/run.json"
    packed = run.packed
    if packed.record.id in earlier:
        raise DefectError(Code.RECORD_REFERENCE, where, found=f"run {packed.record.id} twice")
    used = packed.record.segments[-1].environments
    if len(packed.environments) != len(used) or packed.environments[:1] not in (
        (),
        (packed.environment,),
    ):
        raise DefectError(
            Code.RECORD_REFERENCE,
            where,
            found=f"{len(packed.environments)} environments",
            expected=f"those of its last segment, {len(used)}, with {packed.environment} first",
        )
    for one in used:
        if one.place:
            _check_inside(one.place, where, "{project}/")
    trees = {(code.root, code.tree) for code in packed.code}
    for code in packed.code:
        if code.member not in digests or not code.member.startswith("code/"):
            raise DefectError(Code.RECORD_REFERENCE, where, found=f"code {code.member}")
    for artifact in packed.artifacts:
        if digests.get(artifact.member) != artifact.sha256:
            raise DefectError(Code.RECORD_REFERENCE, where, found=f"artifact {artifact.member}")
    for name in packed.data:
        if name not in release.data:
            raise DefectError(Code.RECORD_REFERENCE, where, found=f"data set {name}")
    project_files: dict[str, str] = {}
    if PROJECT_DATA in packed.data:
        project_files = {f.path: f.sha256 for f in release.data[PROJECT_DATA].files}
    made: set[tuple[str, str | None]] = set()
    for segment in packed.record.segments:
        if segment.source is None or ("{project}", segment.source.tree) not in trees:
            raise DefectError(Code.RECORD_REFERENCE, where, found="a segment without its code")
        _check_roots(segment, trees, where)
        _check_invocation(segment.invocation, where)
        for material in segment.materials:
            origin = material.origin
            if origin is not None and not (
                origin.run in earlier
                or (origin.run == packed.record.id and (origin.path, material.sha256) in made)
            ):
                raise DefectError(
                    Code.RECORD_REFERENCE,
                    where,
                    found=f"{material.path} from run {origin.run}",
                    expected="an earlier run of the release, or an earlier segment that wrote it",
                )
            if material.origin is not None:
                _check_inside(material.origin.path, where, "{project}/")
            _check_recorded(material.path, where)
            if (
                material.origin is None
                and material.sha256 is not None
                and material.path.startswith("{project}/")
                and project_files.get(material.path.removeprefix("{project}/")) != material.sha256
            ):
                raise DefectError(
                    Code.RECORD_REFERENCE,
                    where,
                    found=material.path,
                    expected=f"the same file in data/{PROJECT_DATA}.json",
                )
        for product in segment.products:
            _check_recorded(product.path, where)
        made |= {(product.path, product.sha256) for product in segment.products}
        for directory in segment.directories:
            _check_inside(directory, where)


def _check_roots(segment: Segment, trees: Set[tuple[str, str]], where: str) -> None:
    """Further code must be in the bundle, and belong below the project or a place of its own."""
    named = {"{project}"}
    for one in segment.roots:
        if (one.root, one.source.tree) not in trees:
            raise DefectError(Code.RECORD_REFERENCE, where, found=f"{one.root} without its code")
        _check_code_place(one.root, where)
        split = split_code(one.root)
        if split is not None and split[0] is not None and not split[1]:
            if one.root in named:
                raise DefectError(Code.RECORD_REFERENCE, where, found=f"{one.root} twice")
            named.add(one.root)
        elif one.position is not None:
            raise DefectError(Code.RECORD_REFERENCE, where, found=f"{one.root} with a position")
        if one.position is not None and not _is_position(one.position):
            raise DefectError(Code.RECORD_REFERENCE, where, found=f"the position {one.position}")
    for path in (*(one.root for one in segment.roots), *segment.python_path):
        _check_code_place(path, where)
        if path.partition("/")[0] not in named:
            raise DefectError(
                Code.RECORD_REFERENCE, where, found=path, expected="a place of recorded code"
            )


def _check_code_place(path: str, where: str) -> None:
    split = split_code(path)
    try:
        if split is None or split[0] in (".", ".."):
            raise PathRefusedError("it is no place of code")
        for text in filter(None, split):
            _check_harmless(text)
    except PathRefusedError as error:
        raise DefectError(Code.RECORD_REFERENCE, where, found=f"{path}: {error}") from error


def _check_harmless(path: str) -> None:
    """Refuses a path that would make a git directory, or that no line of a file can hold.

    Whoever looks at a work directory that was kept may call git in it.

    Raises:
        PathRefusedError: It is such a path, or no plain relative one.
    """
    to_logical_path(path)
    if defect := path_defect(path.encode("utf-8", "surrogateescape")):
        raise PathRefusedError(defect)
    if not path.isprintable():
        raise PathRefusedError("it holds a control character")


def _is_position(position: str) -> bool:
    """Whether it is some `../` and then a plain relative path."""
    climbs = re.match(r"(?:\.\./){1,3}(?=[^/])", position)
    if climbs is None:
        return False
    try:
        _check_harmless(position[climbs.end() :])
    except PathRefusedError:
        return False
    return True


def _check_invocation(invocation: Invocation, where: str) -> None:
    if invocation.directory != "{project}":
        _check_inside(invocation.directory, where)
    names = list(invocation.variables)
    if any("\0" in text for text in (*invocation.argv, *names, *invocation.variables.values())):
        raise DefectError(Code.RECORD_REFERENCE, where, found="a command with a NUL")
    if any(not name or "=" in name for name in names):
        raise DefectError(Code.RECORD_REFERENCE, where, found="a variable without a proper name")


def _check_data(name: str, manifest: DataManifest, digests: dict[str, str]) -> None:
    where = f"data/{name}.json"
    if manifest.name != name or not _DATA_NAME.fullmatch(name):
        raise DefectError(Code.RECORD_REFERENCE, where, found=f"the name {manifest.name}")
    if manifest.included not in (None, f"data/{name}"):
        raise DefectError(Code.RECORD_REFERENCE, where, found=f"the directory {manifest.included}")
    for file in manifest.files:
        _check_inside("{project}/" + file.path, where)
        if manifest.included is not None:
            member = data_member(manifest, file.path)
            if digests.get(member) != file.sha256:
                raise DefectError(Code.RECORD_REFERENCE, where, found=f"file {member}")
    if len({file.path for file in manifest.files}) != len(manifest.files):
        raise DefectError(Code.RECORD_REFERENCE, where, found="a file twice")
    if manifest.position is not None and not _is_position(manifest.position):
        raise DefectError(Code.RECORD_REFERENCE, where, found=f"the position {manifest.position}")
    recorded = manifest.recorded_path
    if recorded is not None and (
        # normpath keeps two slashes at the start, which POSIX leaves open.
        not recorded.startswith("/")
        or recorded.startswith("//")
        or os.path.normpath(recorded) != recorded
        or "\0" in recorded
    ):
        raise DefectError(Code.RECORD_REFERENCE, where, found=f"the path {recorded}")


def _check_recorded(path: str, where: str) -> None:
    """The path of a file that was read or written: a placeholder, and what is below it."""
    if split_data(path) is not None:
        _check_inside(path, where)
    elif not is_recorded_path(path):
        raise DefectError(Code.RECORD_REFERENCE, where, found=path, expected="a recorded path")


def _check_inside(path: str, where: str, below: str = "{") -> None:
    """A recorded path must be a placeholder and a plain relative path below it."""
    split = split_data(path)
    try:
        if split is None or not path.startswith(below):
            raise PathRefusedError("it is not below the project or a data set")
        to_logical_path(split[1])
        if ".git" in map(str.lower, split[1].split("/")):
            raise PathRefusedError("it is in a git directory")
    except PathRefusedError as error:
        raise DefectError(Code.RECORD_REFERENCE, where, found=f"{path}: {error}") from error
    if "\0" in path:
        raise DefectError(Code.RECORD_REFERENCE, where, found="a path with a NUL")
