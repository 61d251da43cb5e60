# SPDX-License-Identifier: Apache-2.0
"""What only the author of an anonymous bundle has: its key, the salt, who she said she is.

    .repropack/anonymous/<sha256 of the bundle's manifest>.json    mode 0600

Written before the bundle gets its name, so that no bundle is without it. All but the key is sealed
(AES-GCM, NIST SP 800-38D) to the key, which has the author's passphrase: who only finds a copy of
the file learns nothing of her from it.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from repropack import durable
from repropack.errors import UsageError
from repropack.model import RECORD_VERSION, Author

__all__ = [
    "SEALED_FOR",
    "KeptAuthorship",
    "KeptOpening",
    "LockedAuthorship",
    "keep_authorship",
    "kept_authorship",
    "place_of_authorship",
]

DIRECTORY: Final = "anonymous"

SEALED_FOR: Final = "repropack: what reveals the author of an anonymous bundle, version 1"
"""For what a secret of the bundle's key is derived."""

_NONCE: Final = 12
"""Bytes of a nonce of AES-GCM."""


class KeptOpening(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What opens the bundle's commitment to the commit of one segment.

    Attributes:
        run: The id that the bundle has for the run.
        content: The commit object.
    """

    run: str
    segment: int
    content: bytes
    salt: bytes


class KeptAuthorship(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The secrets of one anonymous bundle.

    Attributes:
        manifest_sha256: The bundle.
        salt: The salt of the commitment.
        author: What it is a commitment to.
        openings: Commitments to commits, with salts of this bundle.
        runs: The bundle's id of each run to the store's.
    """

    manifest_sha256: str
    salt: bytes
    author: Author
    openings: tuple[KeptOpening, ...] = ()
    runs: dict[str, str] = {}


class LockedAuthorship(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file: the secrets of one anonymous bundle, sealed.

    Attributes:
        key: The private key that was made for it, as an OpenSSH file has it: protected by the
            passphrase that the author's own key had, if she typed one.
        sealed: A nonce, and what it was encrypted with.
    """

    version: int = RECORD_VERSION
    manifest_sha256: str
    key: bytes
    sealed: bytes

    def open(self, secret: bytes) -> KeptAuthorship:
        """What is sealed.

        Args:
            secret: What the bundle's key gives for `SEALED_FOR`.

        Raises:
            UsageError: It is damaged, or the key is another one.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce, content = self.sealed[:_NONCE], self.sealed[_NONCE:]
        try:
            plain = AESGCM(secret).decrypt(nonce, content, self.manifest_sha256.encode("ascii"))
            return msgspec.json.decode(plain, type=KeptAuthorship)
        except (InvalidTag, ValueError) as error:
            raise UsageError(
                f"what was kept of the bundle {self.manifest_sha256[:12]} is damaged",
                advice="restore it from a copy of the store",
            ) from error


def place_of_authorship(store: Path, manifest_sha256: str) -> Path:
    """The file with the secrets of a bundle."""
    return store / DIRECTORY / f"{manifest_sha256}.json"


def keep_authorship(store: Path, kept: KeptAuthorship, key: bytes, secret: bytes) -> Path:
    """Keeps the secrets of a bundle, durably.

    Args:
        store: The store's directory.
        kept: The secrets.
        key: The bundle's private key, as an OpenSSH file has it.
        secret: What that key gives for `SEALED_FOR`.

    Raises:
        OSError: They cannot be written; then no bundle may be.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce, bundle = secrets.token_bytes(_NONCE), kept.manifest_sha256.encode("ascii")
    locked = LockedAuthorship(
        manifest_sha256=kept.manifest_sha256,
        key=key,
        sealed=nonce + AESGCM(secret).encrypt(nonce, msgspec.json.encode(kept), bundle),
    )
    directory = store / DIRECTORY
    if not directory.exists():
        directory.mkdir(mode=0o700, exist_ok=True)
        durable.sync_directory(store)
    path = place_of_authorship(store, kept.manifest_sha256)
    durable.write_file(path, msgspec.json.encode(locked), mode=0o600)
    return path


def kept_authorship(store: Path, manifest_sha256: str) -> LockedAuthorship | None:
    """The secrets of a bundle; None where this store did not make it.

    Raises:
        UsageError: The file is damaged.
    """
    path = place_of_authorship(store, manifest_sha256)
    try:
        return msgspec.json.decode(path.read_bytes(), type=LockedAuthorship)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path}: cannot be read: {error}", advice="restore it from a copy of the store"
        ) from error
