# SPDX-License-Identifier: Apache-2.0
"""The `.rpk` container: a seekable `.tar.zst` with one possible form for a list of members.

Writing and reading of docs/spec/rpk-v1.md, sections 3 to 5. Knows nothing of signatures: the
writer asks a callback for the attestation, the reader hands out its bytes.
"""

from __future__ import annotations

from repropack.bundle.reading import ListedBundle, UnverifiedBundle, VerifiedBundle, open_bundle
from repropack.bundle.sources import Access, Location
from repropack.bundle.volume_writing import existing_volumes
from repropack.bundle.writing import MemberSource, WrittenBundle, write_bundle

__all__ = [
    "Access",
    "ListedBundle",
    "Location",
    "MemberSource",
    "UnverifiedBundle",
    "VerifiedBundle",
    "WrittenBundle",
    "existing_volumes",
    "open_bundle",
    "write_bundle",
]
