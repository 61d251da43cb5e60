# SPDX-License-Identifier: Apache-2.0
"""What a bundle holds of a run."""

from __future__ import annotations

from repropack.model.fields import Count, GitOid, Record, Sha256, SparseRecord
from repropack.model.run import RunRecord

__all__ = ["Artifact", "CodeMember", "PackedRun"]


class CodeMember(Record, frozen=True, kw_only=True):
    """A squashed code snapshot in a bundle: the tree ran, the commit has no parents.

    Attributes:
        root: `{project}` for the project's own tree and what replaces files in it, or the `root`
            of the `CodeRoot` whose tree it is.
    """

    root: str
    tree: GitOid
    commit: GitOid
    member: str


class Artifact(Record, frozen=True, kw_only=True):
    """A product of a run that is in the bundle."""

    path: str
    member: str
    sha256: Sha256


class PackedRun(SparseRecord, frozen=True, kw_only=True):
    """`runs/<n>/run.json`: the record of a run, and where the bundle has what it needs.

    Attributes:
        environment: The member directory with its `environment.json` and `pylock.toml`.
        environments: Of a run whose last segment has `environments`: the member directory of each.
        code: The code of all segments: each tree at each place once.
        artifacts: Files of this run that the bundle holds: weights, and what a later run read.
    """

    version: Count
    record: RunRecord
    code: tuple[CodeMember, ...]
    environment: str
    artifacts: tuple[Artifact, ...] = ()
    data: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
