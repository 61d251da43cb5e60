# SPDX-License-Identifier: Apache-2.0
"""What every record shares: its settings, and the forms of its simplest values."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Struct

__all__ = [
    "RECORD_VERSION",
    "Count",
    "GitOid",
    "Record",
    "RunId",
    "Seed",
    "Sha256",
    "Size",
    "SparseRecord",
    "Timestamp",
]


RECORD_VERSION: Final = 1
"""The version of the records."""


# Python's `$` also matches before a line feed at the end; other readers of the schemas know better.
Sha256: TypeAlias = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="SHA-256, hex")
]


GitOid: TypeAlias = Annotated[
    str, Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$(?!\n)", description="a git object id")
]


RunId: TypeAlias = Annotated[
    str,
    Meta(pattern=r"^[0-9a-z]{12}$(?!\n)", description="12 random lower-case letters and digits"),
]


Seed: TypeAlias = Annotated[
    str, Meta(pattern=r"^(0|[1-9][0-9]{0,9})$(?!\n)", description="a seed, in decimal digits")
]


Count: TypeAlias = Annotated[int, Meta(ge=1, le=2**53 - 1)]


Size: TypeAlias = Annotated[int, Meta(ge=0, le=2**53 - 1, description="bytes")]


Timestamp: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$(?!\n)",
        description="UTC, RFC 3339, whole seconds",
    ),
]


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that every word shares."""


class SparseRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A word that leaves out in JSON what has its default value."""
