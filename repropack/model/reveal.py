# SPDX-License-Identifier: Apache-2.0
"""What an author reveals later."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from repropack.model.fields import Record, RunId, Sha256

__all__ = ["CommitReveal", "OpenedCommit"]


class OpenedCommit(Record, frozen=True, kw_only=True):
    """The opening of one commitment to a commit.

    Attributes:
        run: The run, and
        segment: its segment, from 1, whose code it was.
        commit: The commit object, base64.
        salt: 32 bytes, base64.
    """

    run: RunId
    segment: Annotated[int, Meta(ge=1)]
    commit: str
    salt: str


class CommitReveal(Record, frozen=True, kw_only=True):
    """What `repropack reveal --commit` writes (specification section 16).

    Attributes:
        kind: `urn:repropack:reveal-commit:v1`.
        manifest_sha256: The bundle it is about.
    """

    kind: str
    manifest_sha256: Sha256
    commits: tuple[OpenedCommit, ...]
