# SPDX-License-Identifier: Apache-2.0
"""`repropack export`: one signed bundle out of recorded runs.

Two steps, so that the author sees what goes out before it does: `plan` reads the store and decides;
`build` writes. A plan is an allow-list: nothing is in the bundle that is not in the plan.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from repropack import __version__, canonical
from repropack.bundle import MemberSource, WrittenBundle, write_bundle
from repropack.comparators import comparator_for
from repropack.environment.index import IndexSettings, load_index_settings
from repropack.environment.lock import LockedPackage, select, write_lock
from repropack.environment.uv import Uv, find_uv, find_wheels
from repropack.environment.wheels import FetchedWheel, fetch_wheels, installed_wheel
from repropack.errors import UsageError
from repropack.export.chain import (
    ChainedRun,
    ChosenArtifact,
    choose_artifacts,
    code_of,
    materials_of,
    products_of,
    project_relative,
    trace_chain,
)
from repropack.export.claims import claim_metrics
from repropack.export.data import ChosenData, choose_data
from repropack.export.documents import Documents, write_documents
from repropack.export.gate import Cleared
from repropack.export.private_code import Withholding, commit_to, withhold
from repropack.export.ro_crate import RO_CRATE, write_ro_crate
from repropack.model import (
    FORMAT_VERSION,
    PREDICATE_TYPE,
    RECORD_VERSION,
    STATEMENT_TYPE,
    Artifact,
    Claim,
    ClaimMode,
    ClaimSet,
    CodeMember,
    DataManifest,
    Distribution,
    Environment,
    Metric,
    PackedRun,
    ReleasePredicate,
    Role,
    Statement,
    Subject,
)
from repropack.paths import to_logical_path
from repropack.placeholders import fill
from repropack.project_file import read_project_file
from repropack.seeds import seed_groups, values_over_seeds
from repropack.signing.dsse import seal
from repropack.signing.keys import Signer
from repropack.source.reading import list_paths, read_file
from repropack.source.squash import squash
from repropack.store import Store, StoredRun

__all__ = [
    "ExportPlan",
    "ExportRequest",
    "Exported",
    "PlannedEnvironment",
    "Prepared",
    "build",
    "plan",
    "prepare",
]


CodeMembers: TypeAlias = Mapping[tuple[str, str], CodeMember]
"""The code of a release, by the place where it belongs and its tree id."""

_LICENCE_STEMS: Final = ("license", "licence", "copying", "notice")


class ExportRequest(Struct, frozen=True, kw_only=True):
    """What the user asked for.

    Attributes:
        run: An id, a unique prefix, a name or `last`.
        weights: Paths or patterns of products to pack; empty for the default choice.
        wheels: Whether the wheels themselves are packed, so that a reader needs no index.
        withholding: Files of the code that stay here, beside those that `repropack.yaml` names.
    """

    run: str
    weights: tuple[str, ...] = ()
    include_data: bool = False
    wheels: bool = False
    withholding: Withholding = Withholding()


class PlannedEnvironment(Struct, frozen=True, kw_only=True):
    """An environment that goes out, and how far it could be locked.

    Attributes:
        directory: Its member directory.
        unlocked: Distributions for which no digest was found in the author's package index.
        wheels: The wheels that are packed.
        absent: For each locked package whose wheel was wanted and not to be had, the reason.
    """

    directory: str
    environment: Environment
    locked: tuple[LockedPackage, ...]
    unlocked: tuple[str, ...]
    wheels: tuple[FetchedWheel, ...] = ()
    absent: dict[str, str] = {}


class ExportPlan(Struct, frozen=True, kw_only=True):
    """Everything that goes out, and what stays.

    Attributes:
        published: The date that the release bears, RFC 3339.
    """

    store: Store
    chain: tuple[ChainedRun, ...]
    artifacts: tuple[ChosenArtifact, ...]
    data: tuple[ChosenData, ...]
    claims: tuple[Claim, ...]
    seeds: tuple[str, ...]
    environments: tuple[PlannedEnvironment, ...]
    environment_of: dict[str, str]
    licences: dict[str, bytes]
    title: str
    published: str
    held_back: tuple[str, ...]
    warnings: tuple[str, ...]


class Prepared(Struct, frozen=True, kw_only=True):
    """Every member of a release, ready to be looked at and written. Made by `prepare`.

    Attributes:
        places: What the author calls a member, where she has another name for it.
    """

    plan: ExportPlan
    keys: tuple[Signer, ...]
    sources: tuple[MemberSource, ...]
    places: dict[str, str]

    def sizes(self) -> dict[str, int]:
        """The bytes of each member, by its path.

        Raises:
            OSError: A file has gone.
        """
        return {
            source.path: len(source.content)
            if isinstance(source.content, bytes)
            else source.content.stat().st_size
            for source in sorted(self.sources, key=lambda s: s.path)
        }


class Exported(Struct, frozen=True, kw_only=True):
    """A finished release. `signers` are fingerprints."""

    bundle: WrittenBundle
    plan: ExportPlan
    signers: tuple[str, ...]
    cleared: Cleared | None


def plan(
    request: ExportRequest,
    store: Store,
    variables: Mapping[str, str],
    progress: Callable[[str], None],
) -> ExportPlan:
    """Decides what a release holds, and fetches the wheels that it is to hold.

    Args:
        request: The run and the options.
        store: The project's store.
        variables: The author's environment variables: they say which package index is hers.
        progress: Told in words what is being done.

    Raises:
        UsageError: The run cannot be exported, or `repropack.yaml` says something impossible.
        RepropackError: The package index or git failed.
    """
    target = store.resolve(request.run)
    chain = trace_chain(store, target)
    project = store.project
    declared = read_project_file(project)
    for chained in chain:
        for segment in chained.record.segments:
            if segment.source is None:
                raise UsageError(
                    f"run {chained.record.id} was recorded without its code",
                    advice="install git and record it again",
                )
    recorded = chain
    asked = request.withholding
    patterns = tuple(dict.fromkeys((*asked.patterns, *declared.withhold)))
    chain = withhold(store, chain, msgspec.structs.replace(asked, patterns=patterns))
    chain = commit_to(store, chain)
    artifacts = choose_artifacts(store, chain, request.weights or declared.weights)
    seeds = _SeedsOfRun(store, target)
    claims = claim_metrics(
        store.metrics(target).metrics,
        declared.claims,
        retraining_only=len(chain) == 1 and len(chain[-1].record.segments) == 1,
        resumed=len(chain[-1].record.segments) > 1,
        over_seeds=seeds.values,
    )
    environments, environment_of = _plan_environments(
        store, chain, variables, progress if request.wheels else None
    )
    data = choose_data(store, chain, declared, include=request.include_data)
    return ExportPlan(
        store=store,
        chain=chain,
        artifacts=artifacts,
        data=data,
        claims=claims,
        seeds=seeds.used if any(c.mode is ClaimMode.RETRAIN_NEW_SEED for c in claims) else (),
        environments=environments,
        environment_of=environment_of,
        licences=_licences(store, chain),
        title=declared.title or project.name,
        published=_published(chain, variables),
        held_back=(*_withheld(chain), *_held_back(recorded, artifacts, data)),
        warnings=_warnings(store, chain, claims, environments, data),
    )


@contextmanager
def prepare(planned: ExportPlan, keys: tuple[Signer, ...], file_name: str) -> Iterator[Prepared]:
    """Makes everything that goes out, in a private directory that is removed afterwards.

    Args:
        planned: What goes out.
        keys: The signers' keys, at least one.
        file_name: What the bundle will be called.

    Raises:
        RepropackError: A file changed or vanished, or git refused.
    """
    # A release that is on the disk has not failed because a temporary file could not be removed.
    with tempfile.TemporaryDirectory(
        prefix="repropack-export-", ignore_cleanup_errors=True
    ) as scratch:
        code, sources = _squash_code(planned, Path(scratch))
        sources += _record_members(planned, code)
        sources += [
            MemberSource(
                path=artifact.member,
                role=Role.WEIGHTS,
                content=planned.store.object_path(artifact.product.sha256),
                executable=artifact.product.executable,
                sha256=artifact.product.sha256,
            )
            for artifact in planned.artifacts
        ]
        sources += _data_members(planned)
        sources += [
            MemberSource(path=path, role=Role.LICENSE, content=text)
            for path, text in planned.licences.items()
        ]
        sources += _document_members(planned, code, keys, file_name)
        sources.append(_ro_crate_member(planned, code, sources))
        yield Prepared(
            plan=planned,
            keys=keys,
            sources=tuple(sources),
            places={
                artifact.member: project_relative(artifact.product.path) or artifact.product.path
                for artifact in planned.artifacts
            },
        )


def build(
    prepared: Prepared,
    cleared: Cleared | None,
    destination: Path,
    progress: Callable[[int], None] | None = None,
    *,
    volume_size: int | None = None,
) -> Exported:
    """Writes and signs the bundle. The destination is whole or unchanged.

    Args:
        prepared: What goes out.
        cleared: That the leak gate let it pass; None only for a bundle that stays on this machine.
        destination: The `.rpk` file.
        progress: Told the number of content bytes after each step.
        volume_size: Bytes of each of several volumes; None for one file.

    Raises:
        RepropackError: A file changed or vanished, or the bundle could not be written.
        OSError: The destination cannot be written.
    """
    bundle = write_bundle(
        destination,
        prepared.sources,
        seal=lambda m, at: _seal(prepared.plan, prepared.keys, m, at),
        volume_size=volume_size,
        progress=progress,
    )
    return Exported(
        bundle=bundle,
        plan=prepared.plan,
        signers=tuple(key.public.fingerprint for key in prepared.keys),
        cleared=cleared,
    )


def _seal(planned: ExportPlan, keys: tuple[Signer, ...], manifest: bytes, offset: int) -> bytes:
    from repropack import digest

    statement = Statement(
        type_=STATEMENT_TYPE,
        subject=(Subject(name="manifest.json", digest={"sha256": digest.sha256_hex(manifest)}),),
        predicate_type=PREDICATE_TYPE,
        predicate=ReleasePredicate(
            format="rpk",
            version=FORMAT_VERSION,
            manifest_offset=offset,
            manifest_size=len(manifest),
            run=planned.chain[-1].record.id,
            claims=tuple(describe_claim(claim) for claim in planned.claims),
            tool=f"repropack {__version__}",
        ),
    )
    return seal(canonical.encode(statement), *keys)


def describe_claim(claim: Claim) -> str:
    """A claim in one line: `accuracy = 0.9722 ± 0.01 (evaluate)`."""
    near = (
        comparator_for(claim.tolerance).describe(claim.tolerance)
        if claim.tolerance is not None
        else "no tolerance declared"
    )
    return f"{claim.metric} = {claim.expected!r}{claim.unit}, {near} ({_MODES[claim.mode]})"


_MODES = {
    ClaimMode.EVALUATE: "evaluate",
    ClaimMode.RETRAIN_SAME_SEED: "retrain, same seed",
    ClaimMode.RETRAIN_NEW_SEED: "retrain, new seed",
}


class _SeedsOfRun:
    """What the runs gave that differ from one run in nothing but the seed.

    Attributes:
        used: The seeds of all of them.
    """

    def __init__(self, store: Store, target: StoredRun) -> None:
        runs = {run.id: run for run in store.runs() if run.record is not None}
        groups = seed_groups(run.record for run in runs.values() if run.record is not None)
        own = [g for g in groups if any(one.run == target.id for one in g.runs)]
        self._group = own[0] if own else None
        members = self._group.latest if self._group is not None else ()
        self._metrics = {one.run: store.metrics(runs[one.run]).metrics for one in members}
        self.used = tuple(one.seed for one in members)

    def values(self, metric: Metric) -> tuple[float, ...]:
        if self._group is None:
            return ()
        found = values_over_seeds(self._group, metric.source, self._metrics)
        return tuple(one.value for one in found)


# ---------------------------------------------------------------- environments


def _plan_environments(
    store: Store,
    chain: tuple[ChainedRun, ...],
    variables: Mapping[str, str],
    fetching: Callable[[str], None] | None,
) -> tuple[tuple[PlannedEnvironment, ...], dict[str, str]]:
    """One environment for runs that had the same packages; the claimed run's comes first.

    Args:
        store: The project's store.
        chain: The runs.
        variables: The author's environment variables.
        fetching: Told what is being fetched; None where no wheels are to be packed.
    """
    groups: list[tuple[Environment, list[str]]] = []
    for chained in reversed(chain):
        sha256 = chained.record.segments[-1].environment
        if sha256 is None:
            raise UsageError(
                f"run {chained.record.id} was recorded without its environment",
                advice="record it again",
            )
        environment = store.environment(sha256)
        for index, (present, members) in enumerate(groups):
            merged = _merge(present, environment)
            if merged is not None:
                groups[index] = (merged, [*members, chained.record.id])
                break
        else:
            groups.append((environment, [chained.record.id]))
    uv: Uv | None = None
    planned = []
    directory_of = {}
    for index, (environment, members) in enumerate(groups):
        directory = "environment" if index == 0 else f"environment/{index + 1}"
        directory_of.update(dict.fromkeys(members, directory))
        locked: tuple[LockedPackage, ...] = ()
        unlocked: tuple[str, ...] = ()
        if environment.python is not None:
            uv = uv or find_uv(variables, load_index_settings(variables))
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
        fetched, absent = (
            _fetch(environment, locked, uv.settings, variables, fetching)
            if uv is not None and fetching is not None
            else ((), {})
        )
        planned.append(
            PlannedEnvironment(
                directory=directory,
                environment=environment,
                locked=locked,
                unlocked=unlocked,
                wheels=fetched,
                absent=absent,
            )
        )
    return tuple(planned), directory_of


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


def _merge(one: Environment, other: Environment) -> Environment | None:
    """Two runs' records of the same installation, or None if the installations differ."""

    def installation(environment: Environment) -> object:
        return environment.python, tuple(
            msgspec.structs.replace(d, imported=False) for d in environment.distributions
        )

    if other.python is None:
        return one
    if one.python is None:
        return other
    if installation(one) != installation(other):
        return None
    imported = {d.name for d in (*one.distributions, *other.distributions) if d.imported}
    return msgspec.structs.replace(
        one,
        distributions=tuple(
            msgspec.structs.replace(d, imported=d.name in imported) for d in one.distributions
        ),
        numerics={**other.numerics, **one.numerics},
        modules=tuple(sorted({*one.modules, *other.modules})),
    )


# ---------------------------------------------------------------- members


def _squash_code(planned: ExportPlan, scratch: Path) -> tuple[CodeMembers, list[MemberSource]]:
    """One code bundle for each distinct tree; which it is, by place and tree id."""
    code: dict[tuple[str, str], CodeMember] = {}
    commits: dict[str, str] = {}
    sources = []
    for chained in planned.chain:
        for segment in chained.record.segments:
            for root, snapshot in code_of(segment):
                tree = snapshot.tree
                member = f"code/{tree[:12]}.bundle"
                if tree not in commits:
                    place = scratch / f"{tree}.bundle"
                    commits[tree] = squash(
                        planned.store.git,
                        tree,
                        place,
                        object_format="sha256" if len(tree) == 64 else "sha1",
                        submodules=frozenset(snapshot.submodules),
                    )
                    sources.append(MemberSource(path=member, role=Role.CODE, content=place))
                code[root, tree] = CodeMember(
                    root=root, tree=tree, commit=commits[tree], member=member
                )
    return code, sources


def _record_members(planned: ExportPlan, code: CodeMembers) -> list[MemberSource]:
    sources = []
    for chained in planned.chain:
        trees = dict.fromkeys(
            (root, snapshot.tree)
            for segment in chained.record.segments
            for root, snapshot in code_of(segment)
        )
        packed = PackedRun(
            version=RECORD_VERSION,
            record=chained.record,
            code=tuple(code[place] for place in trees),
            environment=planned.environment_of[chained.record.id],
            artifacts=tuple(
                Artifact(path=a.product.path, member=a.member, sha256=a.product.sha256)
                for a in planned.artifacts
                if a.run == chained.number
            ),
            data=tuple(d.manifest.name for d in planned.data if chained.record.id in d.runs),
        )
        base = f"runs/{chained.number}"
        sources += [
            MemberSource(path=f"{base}/run.json", role=Role.RUN, content=canonical.encode(packed)),
            MemberSource(
                path=f"{base}/metrics.json",
                role=Role.RUN,
                content=canonical.encode(planned.store.metrics(chained.stored)),
            ),
        ]
    claims = ClaimSet(
        version=RECORD_VERSION,
        run=planned.chain[-1].record.id,
        claims=planned.claims,
        seeds=planned.seeds,
    )
    sources.append(
        MemberSource(path="claims.json", role=Role.CLAIMS, content=canonical.encode(claims))
    )
    for planned_environment in planned.environments:
        directory = planned_environment.directory
        sources.append(
            MemberSource(
                path=f"{directory}/environment.json",
                role=Role.ENVIRONMENT,
                content=canonical.encode(planned_environment.environment),
            )
        )
        if planned_environment.environment.python is not None:
            sources.append(
                MemberSource(
                    path=f"{directory}/pylock.toml",
                    role=Role.ENVIRONMENT,
                    content=write_lock(
                        planned_environment.environment.python, planned_environment.locked
                    ),
                )
            )
        sources += [
            MemberSource(
                path=f"{directory}/wheels/{fetched.wheel.filename}",
                role=Role.ENVIRONMENT,
                content=fetched.path,
                sha256=fetched.wheel.sha256,
            )
            for fetched in planned_environment.wheels
        ]
    return sources


def _data_members(planned: ExportPlan) -> list[MemberSource]:
    sources = []
    for chosen in planned.data:
        manifest: DataManifest = chosen.manifest
        sources.append(
            MemberSource(
                path=f"data/{manifest.name}.json",
                role=Role.DATA_MANIFEST,
                content=canonical.encode(manifest),
            )
        )
        if manifest.included is not None:
            sources += [
                MemberSource(
                    path=f"{manifest.included}/{to_logical_path(file.path)}",
                    role=Role.DATA,
                    content=chosen.directory / fill(file.path, {"host": os.uname().nodename}),
                    sha256=file.sha256,
                )
                for file in manifest.files
            ]
    return sources


def _document_members(
    planned: ExportPlan, code: CodeMembers, keys: tuple[Signer, ...], file_name: str
) -> list[MemberSource]:
    documents: Documents = write_documents(
        title=planned.title,
        file_name=file_name,
        chain=planned.chain,
        code=code,
        artifacts=planned.artifacts,
        data=tuple(d.manifest for d in planned.data),
        environments={p.directory: p.environment for p in planned.environments},
        environment_of=planned.environment_of,
        wheels={p.directory: len(p.wheels) for p in planned.environments},
        claims=tuple(describe_claim(claim) for claim in planned.claims),
        public_keys=tuple(key.public for key in keys),
    )
    return [
        MemberSource(path="README.md", role=Role.DOCUMENT, content=documents.readme),
        MemberSource(path="REPRODUCING.md", role=Role.DOCUMENT, content=documents.reproducing),
    ]


def _ro_crate_member(
    planned: ExportPlan, code: CodeMembers, sources: Sequence[MemberSource]
) -> MemberSource:
    described = write_ro_crate(
        title=planned.title,
        published=planned.published,
        chain=planned.chain,
        code=code,
        artifacts=planned.artifacts,
        data=tuple(d.manifest for d in planned.data),
        environment_of=planned.environment_of,
        claims=planned.claims,
        members=sources,
    )
    return MemberSource(path=RO_CRATE, role=Role.DOCUMENT, content=described)


def _published(chain: tuple[ChainedRun, ...], variables: Mapping[str, str]) -> str:
    """The date that a release bears: the same inputs give the same bytes, so it is not today's.

    It is that of `SOURCE_DATE_EPOCH` (https://reproducible-builds.org/specs/source-date-epoch/),
    or else of the end of the claimed run.
    """
    text = variables.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return chain[-1].record.segments[-1].ended
    try:
        if not (text.isascii() and text.isdigit()):
            raise ValueError(text)  # `int` takes more than the specification
        moment = datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {text!r}; expected seconds since 1970 in decimal",
            advice="mend or unset it",
        ) from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _licences(store: Store, chain: tuple[ChainedRun, ...]) -> dict[str, bytes]:
    """Licence texts at the top of the claimed run's code."""
    source = chain[-1].record.segments[-1].source
    assert source is not None
    found = {}
    for path in list_paths(store.git, source.tree):
        if "/" not in path and path.lower().startswith(_LICENCE_STEMS):
            found[f"licenses/{to_logical_path(path)}"] = read_file(store.git, source.tree, path)
    return found


# ---------------------------------------------------------------- what the author should know


def _withheld(chain: tuple[ChainedRun, ...]) -> tuple[str, ...]:
    """Which files of the code stay, in words."""
    found = {
        source.tree: source.withheld
        for chained in chain
        for segment in chained.record.segments
        for _, source in code_of(segment)
        if source.withheld is not None
    }
    return tuple(
        f"code: {one.files} of the files of tree {one.tree[:12]} ({', '.join(one.patterns)}); "
        f"the release says how many, and has tree {tree[:12]}"
        for tree, one in found.items()
    )


def _held_back(
    chain: tuple[ChainedRun, ...],
    artifacts: tuple[ChosenArtifact, ...],
    data: tuple[ChosenData, ...],
) -> tuple[str, ...]:
    """What was recorded and does not go out, in words."""
    packed = {(a.run, a.product.path) for a in artifacts}
    goes_out = {path for _, path in packed} | {
        f"{{project}}/{file.path}"
        for d in data
        if d.manifest.name == "project" and d.manifest.included is not None
        for file in d.manifest.files
    }
    lines = []
    for chained in chain:
        left = [
            p.path.removeprefix("{project}/")
            for p in products_of(chained.record).values()
            if (chained.number, p.path) not in packed
        ]
        if left:
            shown = ", ".join(left[:4]) + (f" and {len(left) - 4} more" if len(left) > 4 else "")
            lines.append(f"outputs of run {chained.number}: {shown} (--weights adds them)")
        lines += [
            f"{_in_place(root, excluded.path)}: {excluded.reason}"
            for segment in chained.record.segments
            for root, snapshot in code_of(segment)
            for excluded in snapshot.excluded
            if "product of an earlier run" not in excluded.reason
            and f"{{project}}/{_in_place(root, excluded.path)}" not in goes_out
        ]
    lines += [
        f"data set {d.manifest.name}: its manifest goes out, its files do not (--include-data)"
        for d in data
        if d.manifest.included is None
    ]
    lines.append("commit history, console logs, host and user names, other variables")
    return tuple(dict.fromkeys(lines))


def _in_place(root: str, path: str) -> str:
    return path if root == "{project}" else f"{root.removeprefix('{project}/')}/{path}"


def _warnings(
    store: Store,
    chain: tuple[ChainedRun, ...],
    claims: tuple[Claim, ...],
    environments: tuple[PlannedEnvironment, ...],
    data: tuple[ChosenData, ...],
) -> tuple[str, ...]:
    lines = []
    if not claims:
        lines.append(
            "no number of the run is known as a result, so nothing is claimed: "
            "name the claims in repropack.yaml"
        )
    lines += [
        f"{metric.name} is {metric.text} and is not claimed: only finite numbers can be reproduced"
        for metric in store.metrics(chain[-1].stored).metrics
        if metric.value is None
    ]
    for chained in chain:
        for segment in chained.record.segments:
            lines += [f"run {chained.number}: {gap.message}" for gap in segment.gaps]
            if segment.outcome.status != 0:
                ended = segment.outcome.signal or f"status {segment.outcome.status}"
                lines.append(f"run {chained.number} ended with {ended}")
        lines += _other_environments(store, chained)
        lines += [
            f"run {chained.number}: {m.path} is not in the release, for its content is unknown"
            for m in materials_of(chained.record)
            if m.sha256 is None
        ]
    for environment in environments:
        if environment.unlocked and not environment.locked:
            lines.append(
                f"none of {len(environment.unlocked)} packages is locked: the package index was "
                "not reached, or has none of them; a reader cannot rebuild the environment"
            )
            continue
        lines += [
            _unlocked_note(d)
            for d in environment.environment.distributions
            if d.name in environment.unlocked
        ]
    lines += [
        f"{name}: its wheel is not packed, so a reader needs a package index that has it: {reason}"
        for environment in environments
        for name, reason in environment.absent.items()
    ]
    lines += [
        f"data set {d.manifest.name} has no address: a reader must already have it"
        for d in data
        if d.manifest.included is None and d.manifest.address is None
    ]
    return tuple(dict.fromkeys(lines))


def _other_environments(store: Store, chained: ChainedRun) -> list[str]:
    """Segments that ran with other packages than the last one, whose environment is packed."""
    *earlier, last = (segment.environment for segment in chained.record.segments)
    if last is None:
        return []
    packed = store.environment(last)
    return [
        f"run {chained.number}: segment {number} ran in another environment than the last one, "
        "whose packages are those in the release"
        for number, sha256 in enumerate(earlier, 1)
        if sha256 is not None and _merge(packed, store.environment(sha256)) is None
    ]


def _unlocked_note(package: Distribution) -> str:
    """What is said of a package whose wheel is not known, and what can be done."""
    note = f"{package.name}: no wheel of {package.version} in the package index; it is not locked"
    if package.imported:
        note += ", so a reader cannot rebuild the environment"
    if "+" in package.version:
        note += (
            "; name the index or the folder that it came from (UV_INDEX or PIP_EXTRA_INDEX_URL, "
            "UV_FIND_LINKS or PIP_FIND_LINKS) and export again"
        )
    return note
