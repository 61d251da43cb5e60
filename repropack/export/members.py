# SPDX-License-Identifier: Apache-2.0
"""The members of a release, made from its plan."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from repropack import canonical
from repropack.bundle import MemberSource
from repropack.comparators import comparator_for
from repropack.environment.lock import write_lock
from repropack.export.chain import code_of
from repropack.export.documents import Documents, write_documents
from repropack.export.planned import ExportPlan
from repropack.export.ro_crate import RO_CRATE, write_ro_crate
from repropack.model import (
    RECORD_VERSION,
    Artifact,
    Claim,
    ClaimMode,
    ClaimSet,
    CodeMember,
    DataManifest,
    PackedRun,
    Role,
)
from repropack.paths import to_logical_path
from repropack.placeholders import fill
from repropack.signing.keys import Signer
from repropack.source.squash import squash

__all__ = [
    "CodeMembers",
    "authorship_members",
    "data_members",
    "describe_claim",
    "document_members",
    "record_members",
    "ro_crate_member",
    "squash_code",
]


AUTHORSHIP: Final = "authorship.json"
"""The member of an anonymous bundle that says so."""

CodeMembers: TypeAlias = Mapping[tuple[str, str], CodeMember]
"""The code of a release, by the place where it belongs and its tree id."""


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


def squash_code(planned: ExportPlan, scratch: Path) -> tuple[CodeMembers, list[MemberSource]]:
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


def record_members(planned: ExportPlan, code: CodeMembers) -> list[MemberSource]:
    """The records of runs, claims and environments, with the wheels that are packed."""
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
            environments=planned.environments_of[chained.record.id]
            if chained.record.segments[-1].environments
            else (),
        )
        base = f"runs/{chained.number}"
        sources += [
            MemberSource(path=f"{base}/run.json", role=Role.RUN, content=canonical.encode(packed)),
            MemberSource(
                path=f"{base}/metrics.json",
                role=Role.RUN,
                content=canonical.encode(chained.metrics or planned.store.metrics(chained.stored)),
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


def authorship_members(planned: ExportPlan) -> list[MemberSource]:
    """What an anonymous release says of its author, and nothing of any other."""
    if planned.authorship is None:
        return []
    content = canonical.encode(planned.authorship)
    return [MemberSource(path=AUTHORSHIP, role=Role.AUTHORSHIP, content=content)]


def data_members(planned: ExportPlan) -> list[MemberSource]:
    """The data manifests, and the files of the data sets that go out whole."""
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


def document_members(
    planned: ExportPlan, code: CodeMembers, keys: tuple[Signer, ...], file_name: str
) -> list[MemberSource]:
    """The README and the instructions, for people."""
    documents: Documents = write_documents(
        title=planned.title,
        file_name=file_name,
        chain=planned.chain,
        code=code,
        artifacts=planned.artifacts,
        data=tuple(d.manifest for d in planned.data),
        environments={p.directory: p.environment for p in planned.environments},
        environments_of=planned.environments_of,
        wheels={p.directory: len(p.wheels) for p in planned.environments},
        claims=tuple(describe_claim(claim) for claim in planned.claims),
        public_keys=tuple(key.public for key in keys),
        anonymous=planned.authorship is not None,
    )
    return [
        MemberSource(path="README.md", role=Role.DOCUMENT, content=documents.readme),
        MemberSource(path="REPRODUCING.md", role=Role.DOCUMENT, content=documents.reproducing),
    ]


def ro_crate_member(
    planned: ExportPlan, code: CodeMembers, sources: Sequence[MemberSource]
) -> MemberSource:
    """The description of all other members, for catalogues."""
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
