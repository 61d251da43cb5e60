# SPDX-License-Identifier: Apache-2.0
"""What the holder of a key states about the key: that another follows it, or that it is revoked."""

from __future__ import annotations

import enum
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from repropack.model.container import Subject
from repropack.model.fields import Record, SparseRecord, Timestamp

__all__ = [
    "KEY_REVOCATION_TYPE",
    "KEY_ROTATION_TYPE",
    "KeyRevocation",
    "KeyRevocationStatement",
    "KeyRotation",
    "KeyRotationStatement",
    "RevocationReason",
]

KEY_ROTATION_TYPE: Final = "urn:repropack:key-rotation:v1"

KEY_REVOCATION_TYPE: Final = "urn:repropack:key-revocation:v1"

_KeyLine: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^ssh-ed25519 [A-Za-z0-9+/]{68}$(?!\n)",
        description="an OpenSSH public key line without a comment",
    ),
]


class RevocationReason(enum.StrEnum):
    """Why a key does not count any more."""

    COMPROMISED = "compromised"
    """Somebody else has or may have had it."""
    LOST = "lost"
    """Its holder cannot use it any more, and knows of nobody who can."""
    RETIRED = "retired"
    """Its holder does not use it any more."""


class KeyRotation(Record, frozen=True, kw_only=True):
    """One key hands over to another. Both sign it.

    Attributes:
        old: The key that hands over.
        new: The key that follows it.
        stated: When, as the signers say.
    """

    version: Literal[1]
    old: _KeyLine
    new: _KeyLine
    stated: Timestamp


class KeyRotationStatement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An in-toto statement whose subject is the key that hands over."""

    type_: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: KeyRotation


class KeyRevocation(SparseRecord, frozen=True, kw_only=True):
    """A key does not count any more. It signs this itself, or a key that follows it does.

    Attributes:
        key: The key that is revoked.
        since: What the key signed before this time is still its holder's; without it, nothing is.
        successor: The only key to which it has handed over; none if left out.
        stated: When, as the signer says.
    """

    version: Literal[1]
    key: _KeyLine
    reason: RevocationReason
    stated: Timestamp
    since: Timestamp | None = None
    successor: _KeyLine | None = None


class KeyRevocationStatement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An in-toto statement whose subject is the key that is revoked."""

    type_: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: KeyRevocation
