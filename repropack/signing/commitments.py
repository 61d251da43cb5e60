# SPDX-License-Identifier: Apache-2.0
"""Commitments: digests that say nothing today and prove something when they are opened.

docs/spec/rpk-v1.md, section 16. Each is SHA-256 over a tag, 32 random bytes and what is committed
to. Without the random bytes a reader could try out guesses.
"""

from __future__ import annotations

import secrets
from typing import Final

from repropack.digest import sha256_hex

__all__ = ["SALT_SIZE", "author_commitment", "commit_commitment", "new_salt"]

SALT_SIZE: Final = 32
"""Bytes of a salt: as many as the digest has, so that guessing it is no way."""

_COMMIT_TAG: Final = b"repropack:commit:v1\0"
_AUTHOR_TAG: Final = b"repropack:author:v1\0"


def new_salt() -> bytes:
    """Random bytes that are used for one commitment only."""
    return secrets.token_bytes(SALT_SIZE)


def commit_commitment(salt: bytes, commit: str) -> str:
    """The commitment to a git commit id (16.1).

    Raises:
        ValueError: The salt does not have 32 bytes.
    """
    if len(salt) != SALT_SIZE:
        raise ValueError(f"a salt of {len(salt)} bytes")
    return sha256_hex(_COMMIT_TAG + salt + commit.encode("ascii"))


def author_commitment(salt: bytes, bundle_key: bytes, author: bytes) -> str:
    """The commitment to who made an anonymous bundle (19.2).

    It holds the bundle's own key, so that nobody can copy it under another, and every part but the
    last has a fixed length, so that two different authors never give the same bytes.

    Args:
        salt: 32 random bytes: without them a reader could try every name that she can think of.
        bundle_key: The 32 bytes of the public key that was made for this bundle.
        author: The canonical JSON of an `Author`.

    Raises:
        ValueError: Salt or key do not have 32 bytes.
    """
    if len(salt) != SALT_SIZE or len(bundle_key) != 32:
        raise ValueError(f"a salt of {len(salt)} bytes, a key of {len(bundle_key)}")
    return sha256_hex(_AUTHOR_TAG + salt + bundle_key + author)
