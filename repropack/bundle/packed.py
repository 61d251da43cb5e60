# SPDX-License-Identifier: Apache-2.0
"""A bundle as one sequence of bytes: a file, volumes, an address (specification sections 3 and 4).

Reads the attestation and the manifest where the seek table says; the rest is `Container`.
"""

from __future__ import annotations

import array
import bisect
import itertools

from repropack.bundle.container import Container, Frames, open_container
from repropack.bundle.limits import ATTESTATION, MANIFEST, MAX_ATTESTATION
from repropack.bundle.sources import Access, Location, open_source
from repropack.bundle.tar_layer import (
    BLOCK,
    END_OF_ARCHIVE,
    Layout,
    attestation_tail,
    frame_starts,
    member_header,
    section_starts,
    stored_size,
)
from repropack.findings import Code, DefectError
from repropack.model import Manifest

__all__ = ["Packed", "open_packed"]


class Packed:
    """A packed bundle; see `repropack.bundle.reading.Form`."""

    def __init__(self, container: Container, attestation: bytes) -> None:
        self._container = container
        self.attestation = attestation
        self.size = container.size

    def manifest(self, offset: int, size: int) -> bytes:
        """Reads `manifest.json` and checks that it stands where it must."""
        return _read_manifest_bytes(self._container, offset, size)

    def frames(self, manifest: Manifest, layout: Layout) -> Frames:
        """The frames as they are stored, after a look at how the members are cut."""
        expected = frame_starts(manifest.members, layout)
        _check_cuts(self._container.table.starts[: len(expected)], expected, "members")
        return self._container

    def close(self) -> None:
        """Closes the source of the bytes."""
        self._container.close()


def open_packed(location: Location, access: Access) -> Packed:
    """Opens a packed bundle and reads its end.

    Raises:
        UsageError: There is no such thing.
        DefectError: It does not have the form of a bundle.
        RepropackError: It cannot be reached or read.
    """
    source = open_source(location, access)
    try:
        container = open_container(source)
        return Packed(container, _read_attestation(container))
    except BaseException:
        source.close()
        raise


def _read_attestation(container: Container) -> bytes:
    last = len(container.table) - 1
    size = container.table.content_size(last)
    most = stored_size(ATTESTATION, MAX_ATTESTATION) + len(END_OF_ARCHIVE)
    if size > most:
        raise DefectError(
            Code.TOO_LARGE, ATTESTATION, found=f"{size} bytes", expected=f"at most {most}"
        )
    frame = bytes(container.frame(last, ATTESTATION))
    # An attestation is JSON text, which ends with no NUL: what is left is the content.
    content = frame[BLOCK:].rstrip(b"\0")
    if not frame.startswith(member_header(ATTESTATION, len(content))):
        raise DefectError(Code.TAR_HEADER, ATTESTATION)
    if frame != attestation_tail(content):
        raise DefectError(Code.TAR_PADDING, ATTESTATION)
    return content


def _read_manifest_bytes(container: Container, offset: int, size: int) -> bytes:
    table = container.table
    end = offset + stored_size(MANIFEST, size)
    first = bisect.bisect_left(table.starts, offset)
    # The attestation has the last frame.
    _check_cuts(
        table.starts[first:-1], array.array("Q", (*section_starts(offset, end), end)), MANIFEST
    )
    frames = range(first, len(table) - 1)
    stored = b"".join(container.frame(index, MANIFEST) for index in frames)
    header = member_header(MANIFEST, size)
    if not stored.startswith(header):
        raise DefectError(Code.TAR_HEADER, MANIFEST)
    if stored.count(b"\0", len(header) + size) != len(stored) - len(header) - size:
        raise DefectError(Code.TAR_PADDING, MANIFEST)
    return stored[len(header) : len(header) + size]


def _check_cuts(found: array.array[int], expected: array.array[int], subject: str) -> None:
    """Compares where frames begin in the tar stream with where they must, their end included."""
    if found != expected:
        pairs = itertools.zip_longest(found, expected)
        place = next(pair for pair in pairs if pair[0] != pair[1])
        raise DefectError(
            Code.FRAME_LAYOUT,
            subject,
            found=f"a frame that begins at {place[0]}",
            expected=f"one that begins at {place[1]}",
        )
