# SPDX-License-Identifier: Apache-2.0
"""The constants and limits of the container, version 1 (docs/spec/rpk-v1.md, section 10).

A reader checks each limit before it allocates or reads what the limit bounds.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ATTESTATION",
    "FORMAT",
    "FRAME_CONTENT",
    "MANIFEST",
    "MAX_ATTESTATION",
    "MAX_CONTENT",
    "MAX_FRAMES",
    "MAX_FRAME_STORED",
    "MAX_MANIFEST",
    "MAX_MEMBERS",
    "OWN_FRAMES",
    "README",
    "VERSION",
]

FORMAT: Final = "rpk"
VERSION: Final = 1

README: Final = "README.md"
MANIFEST: Final = "manifest.json"
ATTESTATION: Final = "attestation.dsse.json"

FRAME_CONTENT: Final = 4 * 1024 * 1024
"""Content bytes of a full frame: enough that independent frames cost no compression, and few enough
that a window of frames in memory stays small and one member is a small range request."""

OWN_FRAMES: Final = FRAME_CONTENT
"""Content bytes from which a member has frames of its own: less is compressed anew in a moment, and
would cost every reader a frame more."""

MAX_FRAME_STORED: Final = FRAME_CONTENT + FRAME_CONTENT // 256
"""Bytes of one compressed frame: zstd's own bound for content that does not compress."""

MAX_FRAMES: Final = 4 * 1024 * 1024
"""Frames of a file: the seek table then has at most 32 MiB."""

MAX_CONTENT: Final = MAX_FRAMES * FRAME_CONTENT
"""Bytes of the tar stream: 16 TiB, the most that the frames can hold."""

MAX_MEMBERS: Final = 1_000_000
"""Members: a manifest of that many has about 180 MiB and is still checked in seconds."""

MAX_MANIFEST: Final = 256 * 1024 * 1024
"""Bytes of `manifest.json`: room for `MAX_MEMBERS` members with paths of usual length."""

MAX_ATTESTATION: Final = 1024 * 1024
"""Bytes of `attestation.dsse.json`: a statement has a few KiB, and it must fit in one frame."""
