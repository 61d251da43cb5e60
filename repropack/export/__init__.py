# SPDX-License-Identifier: Apache-2.0
"""`repropack export`: one signed bundle out of recorded runs.

Two steps, so that the author sees what goes out before it does: `plan` reads the store and decides;
`build` writes. A plan is an allow-list: nothing is in the bundle that is not in the plan.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from repropack import __version__, canonical
from repropack.bundle import MemberSource, WrittenBundle, write_bundle
from repropack.digest import sha256_hex
from repropack.errors import UsageError
from repropack.export.chain import (
    ChainedRun,
    choose_artifacts,
    project_relative,
    require_code,
    trace_chain,
)
from repropack.export.claims import claim_metrics
from repropack.export.data import choose_data
from repropack.export.environments import plan_environments
from repropack.export.gate import Cleared
from repropack.export.licences import licences_of
from repropack.export.members import (
    authorship_members,
    data_members,
    describe_claim,
    document_members,
    record_members,
    ro_crate_member,
    squash_code,
)
from repropack.export.planned import ExportPlan, ExportRequest
from repropack.export.private_code import commit_to, withhold
from repropack.export.remarks import held_back, warnings, withheld
from repropack.model import (
    FORMAT_VERSION,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    ClaimMode,
    Metric,
    ReleasePredicate,
    Role,
    Statement,
    Subject,
)
from repropack.project_file import read_project_file
from repropack.seeds import seed_groups, values_over_seeds
from repropack.signing.dsse import seal
from repropack.signing.keys import Signer
from repropack.store import Store, StoredRun

__all__ = [
    "ExportPlan",
    "ExportRequest",
    "Exported",
    "Prepared",
    "build",
    "plan",
    "prepare",
]


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
    require_code(chain)
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
    environments, environments_of = plan_environments(
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
        environments_of=environments_of,
        licences=licences_of(store, chain),
        title=declared.title or project.name,
        published=_published(chain, variables),
        held_back=(*withheld(chain), *held_back(recorded, artifacts, data)),
        warnings=warnings(store, chain, claims, environments, data),
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
        code, sources = squash_code(planned, Path(scratch))
        sources += record_members(planned, code)
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
        sources += data_members(planned)
        sources += [
            MemberSource(path=path, role=Role.LICENSE, content=text)
            for path, text in planned.licences.items()
        ]
        sources += authorship_members(planned)
        sources += document_members(planned, code, keys, file_name)
        sources.append(ro_crate_member(planned, code, sources))
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
    keep: Callable[[str], None] | None = None,
    frame_notes: Path | None = None,
) -> Exported:
    """Writes and signs the bundle. The destination is whole or unchanged.

    Args:
        prepared: What goes out.
        cleared: That the leak gate let it pass; None only for a bundle that stays on this machine.
        destination: The `.rpk` file.
        progress: Told the number of content bytes after each step.
        volume_size: Bytes of each of several volumes; None for one file.
        keep: Told the digest of the manifest before the bundle gets its name: what has to be kept
            of it must be on the disk when this returns.
        frame_notes: The user's notes about earlier bundles, out of which frames are copied.

    Raises:
        RepropackError: A file changed or vanished, or the bundle could not be written.
        OSError: The destination cannot be written.
    """

    def sealed(manifest: bytes, offset: int) -> bytes:
        if keep is not None:
            keep(sha256_hex(manifest))
        return _seal(prepared.plan, prepared.keys, manifest, offset)

    bundle = write_bundle(
        destination,
        prepared.sources,
        seal=sealed,
        volume_size=volume_size,
        frame_notes=frame_notes,
        progress=progress,
    )
    return Exported(
        bundle=bundle,
        plan=prepared.plan,
        signers=tuple(key.public.fingerprint for key in prepared.keys),
        cleared=cleared,
    )


def _seal(planned: ExportPlan, keys: tuple[Signer, ...], manifest: bytes, offset: int) -> bytes:
    statement = Statement(
        type_=STATEMENT_TYPE,
        subject=(Subject(name="manifest.json", digest={"sha256": sha256_hex(manifest)}),),
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
