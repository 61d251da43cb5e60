# SPDX-License-Identifier: Apache-2.0
"""What only the author of an anonymous bundle has: its key, the salt, who she said she is.

    .repropack/anonymous/<sha256 of the bundle's manifest>.json    mode 0600

Written before the bundle gets its name, so that no bundle is without it. Whoever has this file can
reveal herself as the author, so it never leaves the machine but in a copy of the store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from repropack import durable
from repropack.errors import UsageError
from repropack.model import RECORD_VERSION, Author

__all__ = [
    "KeptAuthorship",
    "KeptOpening",
    "keep_authorship",
    "kept_authorship",
    "place_of_authorship",
]

DIRECTORY: Final = "anonymous"


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
        key: The private key that was made for it, as an OpenSSH file has it: protected by the
            passphrase that the author's own key had, if she typed one.
        salt: The salt of the commitment.
        author: What it is a commitment to.
        openings: Commitments to commits, with salts of this bundle.
        runs: The bundle's id of each run to the store's.
    """

    version: int = RECORD_VERSION
    manifest_sha256: str
    key: bytes
    salt: bytes
    author: Author
    openings: tuple[KeptOpening, ...] = ()
    runs: dict[str, str] = {}


def place_of_authorship(store: Path, manifest_sha256: str) -> Path:
    """The file with the secrets of a bundle."""
    return store / DIRECTORY / f"{manifest_sha256}.json"


def keep_authorship(store: Path, kept: KeptAuthorship) -> Path:
    """Keeps the secrets of a bundle, durably.

    Raises:
        OSError: They cannot be written; then no bundle may be.
    """
    directory = store / DIRECTORY
    if not directory.exists():
        directory.mkdir(mode=0o700, exist_ok=True)
        durable.sync_directory(store)
    path = place_of_authorship(store, kept.manifest_sha256)
    durable.write_file(path, msgspec.json.encode(kept), mode=0o600)
    return path


def kept_authorship(store: Path, manifest_sha256: str) -> KeptAuthorship | None:
    """The secrets of a bundle; None where this store did not make it.

    Raises:
        UsageError: The file is damaged.
    """
    path = place_of_authorship(store, manifest_sha256)
    try:
        return msgspec.json.decode(path.read_bytes(), type=KeptAuthorship)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(
            f"{path}: cannot be read: {error}", advice="restore it from a copy of the store"
        ) from error
