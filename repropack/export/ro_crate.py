# SPDX-License-Identifier: Apache-2.0
"""`ro-crate-metadata.json`: the release in the words of data catalogues.

RO-Crate 1.1 (https://w3id.org/ro/crate/1.1) with the profile Process Run Crate 0.5
(https://w3id.org/ro/wfrun/process/0.5), which is one of RO-Crate 1.1 and of no later version. An
extracted bundle is then a crate: the members are its data entities, each execution a CreateAction.

It says nothing that the records of the bundle do not say, and nothing of people: who made a
release is not recorded. The digests in it are for catalogues; what counts is the signed manifest.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from repropack import canonical
from repropack.bundle import MemberSource
from repropack.bundle.limits import ATTESTATION, MANIFEST
from repropack.digest import hash_file, sha256_hex
from repropack.escaping import show
from repropack.export.chain import ChainedRun, ChosenArtifact, code_of
from repropack.model import Claim, CodeMember, DataManifest, Role, Segment
from repropack.placeholders import PROJECT_DATA, split_data

__all__ = ["RO_CRATE", "write_ro_crate"]

RO_CRATE: Final = "ro-crate-metadata.json"

_CRATE: Final = "https://w3id.org/ro/crate/1.1"
_PROFILE: Final = "https://w3id.org/ro/wfrun/process/0.5"
_COMPLETED: Final = "http://schema.org/CompletedActionStatus"
_FAILED: Final = "http://schema.org/FailedActionStatus"
_CONTEXT: Final = [f"{_CRATE}/context", "https://w3id.org/ro/terms/workflow-run/context"]

_FORMATS: Final = {
    ".json": "application/json",
    ".md": "text/markdown",
    ".npy": "application/x-npy",
    ".toml": "application/toml",
    ".txt": "text/plain",
}
"""Media types by ending. Not `mimetypes`, which answers differently on every machine."""

_UNKNOWN: Final = "application/octet-stream"

_ABOUT: Final = {
    "README.md": "How to check and open this release by hand",
    "REPRODUCING.md": "How to run the code by hand",
    ATTESTATION: "The signature over manifest.json (in-toto statement in DSSE)",
    "authorship.json": "A commitment to the author, who can open it later",
    "claims.json": "The claimed numbers and their tolerances",
    MANIFEST: "Every file with its size and SHA-256",
}


class _Graph:
    """The entities of a crate, by their `@id`, in the order in which they were added."""

    def __init__(self) -> None:
        self.entities: dict[str, dict[str, Any]] = {}

    def add(self, identity: str, kind: str | list[str], **properties: object) -> dict[str, str]:
        """Adds an entity and returns a reference to it.

        Properties without a value are left out. A list of one is written as that one: JSON-LD
        makes no difference, and the RO-Crate specification recommends it.
        """
        given = {
            name: value[0] if isinstance(value, list) and len(value) == 1 else value
            for name, value in properties.items()
            if value is not None and value != []
        }
        self.entities[identity] = {"@id": identity, "@type": kind, **given}
        return {"@id": identity}


def write_ro_crate(
    *,
    title: str,
    published: str,
    chain: tuple[ChainedRun, ...],
    code: Mapping[tuple[str, str], CodeMember],
    artifacts: tuple[ChosenArtifact, ...],
    data: tuple[DataManifest, ...],
    environment_of: Mapping[str, str],
    claims: tuple[Claim, ...],
    members: Iterable[MemberSource],
) -> bytes:
    """Describes a release.

    Args:
        title: The project's title.
        published: The date of the release, as in records.
        chain: The runs.
        code: Code members by place and tree id.
        artifacts: Products in the bundle.
        data: Data manifests.
        environment_of: The member directory of each run's environment, by the run's id.
        claims: What is claimed of the last run.
        members: The other members of the bundle.

    Raises:
        OSError: A member's file cannot be read.
    """
    graph = _Graph()
    described = [m for m in sorted(members, key=lambda m: m.path) if m.role is not Role.DATA]
    licences = [_reference(m.path) for m in described if m.role is Role.LICENSE]
    root = graph.add("./", "Dataset")
    graph.add(
        RO_CRATE,
        "CreativeWork",
        name="Description of this release for data catalogues",
        conformsTo={"@id": _CRATE},
        about=root,
    )
    graph.add(_PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    parts = [
        *(graph.add(_identity(member.path), "File", **_file(member)) for member in described),
        *(graph.add(path, "File", **_named(path)) for path in (ATTESTATION, MANIFEST)),
        *(_data_set(graph, m, m.included) for m in data if m.included is not None),
    ]
    _describe_code(graph, chain, code, environment_of)
    actions = _actions(graph, chain, code, artifacts, data, claims)
    graph.add(
        "./",
        "Dataset",
        name=show(title),
        description="A signed release of a machine-learning result: code, weights, environment, "
        "records of the runs, and the numbers that are claimed.",
        datePublished=_moment(published),
        license=licences,
        conformsTo={"@id": _PROFILE},
        hasPart=parts,
        mentions=actions,
    )
    return canonical.encode({"@context": _CONTEXT, "@graph": list(graph.entities.values())})


def _file(member: MemberSource) -> dict[str, object]:
    if isinstance(member.content, bytes):
        sha256, size = sha256_hex(member.content), len(member.content)
    elif member.sha256 is not None:
        sha256, size = member.sha256, member.content.stat().st_size
    else:
        sha256, size = hash_file(member.content)
    return {**_named(member.path), "contentSize": str(size), "sha256": sha256}


def _named(path: str) -> dict[str, object]:
    suffix = PurePosixPath(path).suffix.lower()
    in_text = not suffix and path.startswith("licenses/")
    return {
        "name": _ABOUT.get(path, path),
        "encodingFormat": _FORMATS[".txt"] if in_text else _FORMATS.get(suffix, _UNKNOWN),
    }


def _data_set(graph: _Graph, manifest: DataManifest, directory: str) -> dict[str, str]:
    """A data set whose files are members: one entity, for its list is a member of its own."""
    return graph.add(
        _identity(f"{directory}/"),
        "Dataset",
        name=f"Data set {manifest.name}",
        description=f"{len(manifest.files)} files, listed in data/{manifest.name}.json",
        license=show(manifest.licence) if manifest.licence else None,
        subjectOf=_reference(f"data/{manifest.name}.json"),
    )


def _describe_code(
    graph: _Graph,
    chain: tuple[ChainedRun, ...],
    code: Mapping[tuple[str, str], CodeMember],
    environment_of: Mapping[str, str],
) -> None:
    """Says of each code bundle that it is source code, which, and what it needs."""
    for (place, tree), packed in code.items():
        runs = [
            c
            for c in chain
            if any(
                (root, source.tree) == (place, tree)
                for segment in c.record.segments
                for root, source in code_of(segment)
            )
        ]
        locks = dict.fromkeys(f"{environment_of[c.record.id]}/pylock.toml" for c in runs)
        identity = _identity(packed.member)
        known = {k: v for k, v in graph.entities[identity].items() if not k.startswith("@")}
        which = f"run {', '.join(str(c.number) for c in runs)}"
        beside = "" if place == "{project}" else f" at {show(place)}"
        known["name"] = f"Code of {which}{beside}, as a git bundle"
        graph.add(
            identity,
            ["File", "SoftwareSourceCode"],
            **known,
            version=tree,
            # A SHA-1 tree id is the hash of a SWHID (https://www.swhid.org/specification/).
            identifier=f"swh:1:dir:{tree}" if len(tree) == 40 else None,
            softwareRequirements=[
                _reference(lock) for lock in locks if _identity(lock) in graph.entities
            ],
        )


def _actions(
    graph: _Graph,
    chain: tuple[ChainedRun, ...],
    code: Mapping[tuple[str, str], CodeMember],
    artifacts: tuple[ChosenArtifact, ...],
    data: tuple[DataManifest, ...],
    claims: tuple[Claim, ...],
) -> list[dict[str, str]]:
    member_of = {artifact.product.sha256: artifact.member for artifact in artifacts}
    variables: dict[tuple[str, str], dict[str, str]] = {}
    actions = []
    for chained in chain:
        segments = chained.record.segments
        for place, segment in enumerate(segments, 1):
            which = str(chained.number) if len(segments) == 1 else f"{chained.number}-{place}"
            for pair in segment.invocation.variables.items():
                variables.setdefault(pair, {"@id": f"#variable-{len(variables) + 1}"})
            results = [_reference(a.member) for a in artifacts if _made(a, chained, segment)]
            if place == len(segments):
                results.append(_reference(f"runs/{chained.number}/metrics.json"))
                if chained is chain[-1]:
                    results += _numbers(graph, claims)
            failed = segment.outcome.status != 0
            ended = segment.outcome.signal or f"status {segment.outcome.status}"
            actions.append(
                graph.add(
                    f"#run-{which}",
                    "CreateAction",
                    name=f"Run {which}: {show(chained.record.name or chained.record.id)}",
                    description=show(shlex.join(segment.invocation.argv), limit=2000),
                    instrument=_reference(code[_project_code(segment)].member),
                    object=[
                        *(_reference(path) for path in _inputs(segment, member_of, data)),
                        *(
                            _reference(code[root, source.tree].member)
                            for root, source in code_of(segment)[1:]
                        ),
                    ],
                    result=results,
                    startTime=_moment(segment.started),
                    endTime=_moment(segment.ended),
                    actionStatus=_FAILED if failed else _COMPLETED,
                    error=f"ended with {ended}" if failed else None,
                    environment=[variables[p] for p in segment.invocation.variables.items()],
                )
            )
    for (name, value), reference in variables.items():
        graph.add(reference["@id"], "PropertyValue", name=show(name), value=show(value, limit=2000))
    return actions


def _project_code(segment: Segment) -> tuple[str, str]:
    root, source = code_of(segment)[0]
    return root, source.tree


def _made(artifact: ChosenArtifact, chained: ChainedRun, segment: Segment) -> bool:
    return artifact.run == chained.number and artifact.product in segment.products


def _inputs(
    segment: Segment, member_of: Mapping[str, str], data: tuple[DataManifest, ...]
) -> list[str]:
    """The members that stand for what an execution read: files of earlier runs, data sets."""
    named = {
        split[0]
        for m in segment.materials
        if (split := split_data(m.path)) and (m.origin is None or split[0] != PROJECT_DATA)
    }
    files = [
        member_of[m.sha256]
        for m in segment.materials
        if m.origin is not None and m.sha256 is not None and m.sha256 in member_of
    ]
    sets = [
        f"{manifest.included}/" if manifest.included else f"data/{manifest.name}.json"
        for manifest in data
        if manifest.name in named
    ]
    return list(dict.fromkeys([*files, *sets]))


def _numbers(graph: _Graph, claims: tuple[Claim, ...]) -> list[dict[str, str]]:
    """The claimed numbers, each once: a number can be claimed for several kinds of repetition."""
    once = {(c.metric, c.source.path): c for c in claims}
    return [
        graph.add(
            f"#claim-{number}",
            "PropertyValue",
            name=show(claim.metric),
            value=claim.expected,
            unitText=claim.unit or None,
        )
        for number, claim in enumerate(once.values(), 1)
    ]


def _identity(path: str) -> str:
    """A member's path as an `@id`: a relative IRI, in which only ASCII is percent-encoded."""
    return "".join(quote(c, safe="/") if c.isascii() else c for c in path)


def _moment(timestamp: str) -> str:
    """A time of a record, with the zone as the profile's checker wants to read it."""
    return timestamp.removesuffix("Z") + "+00:00"


def _reference(path: str) -> dict[str, str]:
    return {"@id": _identity(path)}
