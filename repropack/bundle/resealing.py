# SPDX-License-Identifier: Apache-2.0
"""Writes a bundle again with another attestation; everything before it stays, byte for byte.

Only the last frame and the seek table differ (docs/spec/rpk-v1.md, section 3.9), so nothing is
decoded or compressed anew, and the result does not depend on who compressed the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from repropack.bundle.container import Container
from repropack.bundle.frames import FrameEncoder, encode_seek_table
from repropack.bundle.limits import MAX_ATTESTATION
from repropack.bundle.tar_layer import attestation_tail
from repropack.bundle.writing import bundle_file
from repropack.errors import RepropackError

__all__ = ["write_resealed"]


def write_resealed(
    container: Container,
    attestation: bytes,
    destination: Path,
    *,
    mode: int,
    progress: Callable[[int], None] | None,
) -> None:
    """Copies all frames but the last, and ends the file with a new attestation.

    Args:
        container: An open bundle whose every byte was checked.
        attestation: The bytes of the new `attestation.dsse.json`.
        destination: The file to make or to replace; it may be the open one.
        mode: Permission bits of the new file, before the umask.
        progress: Called with the number of stored bytes that were copied since the last call.

    Raises:
        DefectError: The bundle became shorter while it was copied.
        RepropackError: It cannot be read or written, or the attestation is too large. A file that
            was there is then as it was.
    """
    if len(attestation) > MAX_ATTESTATION:
        raise RepropackError(
            f"the attestation has {len(attestation)} bytes; {MAX_ATTESTATION} are allowed"
        )
    kept = len(container.table) - 1
    tail = attestation_tail(attestation)
    with bundle_file(destination, mode=mode) as sink:
        entries = []
        for index in range(kept):
            stored = sink.write(container.stored(index))
            entries.append((stored, container.table.content_size(index)))
            if progress is not None:
                progress(stored)
        entries.append((sink.write(FrameEncoder().encode(tail)), len(tail)))
        sink.write(encode_seek_table(entries))
