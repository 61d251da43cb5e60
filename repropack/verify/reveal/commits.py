# SPDX-License-Identifier: Apache-2.0
"""Checks which commits an author reveals (specification section 16)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

from msgspec import Struct

from repropack import canonical
from repropack.model import CommitReveal
from repropack.signing.commitments import SALT_SIZE, commit_commitment
from repropack.source.commits import MAX_COMMIT, commit_id, tree_of_commit
from repropack.verify.release import Release
from repropack.verify.reveal.refusal import RevealRefusedError

__all__ = [
    "COMMIT_KIND",
    "Committed",
    "check_commit_reveal",
    "commitments_of",
    "read_commit_reveal",
]

COMMIT_KIND = "urn:repropack:reveal-commit:v1"

MAX_REVEAL = 64 * 1024 * 1024
"""Bytes of a statement: a commit object of the greatest size for each of many segments."""


class Committed(Struct, frozen=True, kw_only=True):
    """A commitment of a release: whose code, and the tree that ran."""

    run: str
    segment: int
    tree: str
    commitment: str


def commitments_of(release: Release) -> Iterator[Committed]:
    """The commitments to commits that a release holds."""
    for run in release.runs:
        record = run.packed.record
        for number, segment in enumerate(record.segments, 1):
            source = segment.source
            if source is not None and source.commitment is not None:
                ran = source.withheld.tree if source.withheld is not None else source.tree
                if ran is not None:
                    yield Committed(
                        run=record.id, segment=number, tree=ran, commitment=source.commitment
                    )


def read_commit_reveal(data: bytes, name: str) -> CommitReveal:
    """Reads a statement; nothing in it is checked yet.

    Raises:
        RevealRefusedError: It is not one.
    """
    try:
        reveal = canonical.decode(data, CommitReveal, limit=MAX_REVEAL)
    except canonical.NotCanonicalError as error:
        raise RevealRefusedError(f"{name}: not a statement about commits: {error}") from error
    if reveal.kind != COMMIT_KIND:
        raise RevealRefusedError(f"{name}: found the kind {reveal.kind}, expected {COMMIT_KIND}")
    return reveal


def check_commit_reveal(
    reveal: CommitReveal, release: Release, manifest_sha256: str
) -> tuple[tuple[Committed, str], ...]:
    """Opens each commitment of a release that the statement speaks of.

    Returns:
        The commitments, each with the id of the commit that it is to.

    Raises:
        RevealRefusedError: It is about another bundle, opens nothing, or an opening is wrong.
    """
    if reveal.manifest_sha256 != manifest_sha256:
        raise RevealRefusedError(
            f"the statement is about the bundle sha256:{reveal.manifest_sha256}, "
            f"not sha256:{manifest_sha256}"
        )
    if not reveal.commits:
        raise RevealRefusedError("the statement opens no commitment")
    known = {(one.run, one.segment): one for one in commitments_of(release)}
    opened = []
    for each in reveal.commits:
        place = f"run {each.run}, segment {each.segment}"
        committed = known.get((each.run, each.segment))
        if committed is None:
            raise RevealRefusedError(f"{place}: the bundle has no commitment to its commit")
        salt, content = _bytes(each.salt, place), _bytes(each.commit, place)
        if len(salt) != SALT_SIZE or len(content) > MAX_COMMIT:
            raise RevealRefusedError(f"{place}: the salt or the commit has an impossible size")
        commit = commit_id(content, "sha256" if len(committed.tree) == 64 else "sha1")
        if commit_commitment(salt, commit) != committed.commitment:
            raise RevealRefusedError(
                f"{place}: the bundle's commitment is not to the commit {commit}"
            )
        tree = tree_of_commit(content)
        if tree != committed.tree:
            raise RevealRefusedError(
                f"{place}: the commit {commit} has the tree {tree}, but {committed.tree} ran"
            )
        opened.append((committed, commit))
    return tuple(opened)


def _bytes(text: str, place: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise RevealRefusedError(f"{place}: not base64") from error
