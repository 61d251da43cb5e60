# SPDX-License-Identifier: Apache-2.0
"""What an author reveals later."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from repropack.model.container import Subject
from repropack.model.fields import Count, Record, RunId, Sha256

__all__ = [
    "REVEAL_TYPE",
    "Author",
    "AuthorReveal",
    "Authorship",
    "CommitReveal",
    "OpenedCommit",
    "RevealedAuthor",
]

REVEAL_TYPE: Final = "urn:repropack:reveal-author:v1"
"""The predicate by which the author of an anonymous bundle reveals herself."""


class OpenedCommit(Record, frozen=True, kw_only=True):
    """The opening of one commitment to a commit.

    Attributes:
        run: The run, and
        segment: its segment, from 1, whose code it was.
        commit: The commit object, base64.
        salt: 32 bytes, base64.
    """

    run: RunId
    segment: Count
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


class Author(Record, frozen=True, kw_only=True):
    """Who made an anonymous bundle: what its commitment is to.

    Attributes:
        name: What she calls herself, such as `Name <mail>`.
        key: Her own public key, a line of an OpenSSH key file.
    """

    name: Annotated[str, Meta(min_length=1, max_length=1000)]
    key: str


class Authorship(Record, frozen=True, kw_only=True):
    """`authorship.json`: that a bundle is anonymous, and what its author can prove later.

    Attributes:
        key: The public key that was made for this bundle alone, and that signs it.
        commitment: To an `Author` (specification section 19).
    """

    version: Count
    key: str
    commitment: Sha256


class RevealedAuthor(Record, frozen=True, kw_only=True):
    """The opening of a bundle's commitment to its author.

    Attributes:
        salt: 32 bytes, base64.
    """

    author: Author
    salt: str


class AuthorReveal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An in-toto Statement v1 about the digest of a manifest: who made the bundle.

    It counts with two signatures, that of the bundle's own key and that of the author's.
    """

    type_: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: RevealedAuthor
