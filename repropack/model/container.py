# SPDX-License-Identifier: Apache-2.0
"""The file: its members, its manifest and the signed statement (docs/spec/rpk-v1.md)."""

from __future__ import annotations

import enum
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from repropack.model.fields import Count, Record, RunId, Sha256, Size

__all__ = [
    "FORMAT_VERSION",
    "PREDICATE_TYPE",
    "STATEMENT_TYPE",
    "Manifest",
    "Member",
    "ReleasePredicate",
    "Role",
    "Statement",
    "Subject",
]


STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"


PREDICATE_TYPE: Final = "urn:repropack:release:v1"


FORMAT_VERSION: Final = 1
"""The version of the file format: of the container, the manifest and the statement."""


class Role(enum.StrEnum):
    """What a member is for. A reader carries a role that it does not use."""

    DOCUMENT = "document"
    CODE = "code"
    WEIGHTS = "weights"
    DATA = "data"
    DATA_MANIFEST = "data-manifest"
    ENVIRONMENT = "environment"
    RUN = "run"
    CLAIMS = "claims"
    LICENSE = "license"
    AUTHORSHIP = "authorship"


class Member(Record, frozen=True, kw_only=True):
    """A file in a bundle.

    Attributes:
        path: A logical path (`repropack.paths.check_logical_path`).
        executable: Whether it is extracted with mode 0755 instead of 0644.
    """

    path: str
    size: Size
    sha256: Sha256
    executable: bool
    role: Role


class Manifest(Record, frozen=True, kw_only=True):
    """`manifest.json`: every member but itself and the attestation, in archive order."""

    format: Annotated[str, Meta(description="always 'rpk'")]
    version: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    members: tuple[Member, ...]


class Subject(Record, frozen=True, kw_only=True):
    """What a statement is about (in-toto ResourceDescriptor, the part that we use)."""

    name: str
    digest: dict[str, str]


class ReleasePredicate(Record, frozen=True, kw_only=True):
    """What the signer says about the manifest (docs/spec/rpk-v1.md, section 7).

    Attributes:
        format: `rpk`.
        version: The format version; it is inside the signed bytes, so it cannot be relabelled.
        manifest_offset: Where the header of `manifest.json` starts in the uncompressed tar stream.
        manifest_size: Bytes of `manifest.json`.
        run: The id of the run whose numbers are claimed.
        claims: One line of text for each claim, for people who read the statement alone.
        tool: Name and version of the writer.
    """

    format: str
    version: Count
    manifest_offset: Size
    manifest_size: Size
    run: RunId
    claims: tuple[str, ...]
    tool: str


class Statement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An in-toto Statement v1 with our predicate."""

    type_: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: ReleasePredicate
