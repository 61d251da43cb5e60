# SPDX-License-Identifier: Apache-2.0
"""A bundle as one sequence of bytes: a file, volumes, an address (specification sections 3 and 4).

Reads the attestation and the manifest where the seek table says; the rest is `Container`.
"""

from __future__ import annotations

from repropack.bundle.container import Container, Frames, open_container
from repropack.bundle.limits import ATTESTATION, FRAME_CONTENT, MANIFEST, MAX_ATTESTATION
from repropack.bundle.sources import Access, Location, open_source
from repropack.bundle.tar_layer import (
    BLOCK,
    Layout,
    attestation_tail,
    frame_sizes,
    member_header,
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
        """The frames as they are stored."""
        del manifest, layout
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
    last = len(container.table.sizes) - 1
    size = container.table.sizes[last]
    most = len(attestation_tail(bytes(MAX_ATTESTATION)))
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
    length = stored_size(MANIFEST, size)
    first = _check_section(container, 0, offset, "members")
    end = _check_section(container, first, length, MANIFEST)
    if end != len(container.table.sizes) - 1:
        raise DefectError(
            Code.FRAME_LAYOUT,
            found=f"{len(container.table.sizes)} frames",
            expected=f"{end + 1} frames",
        )
    stored = b"".join(container.frame(index, MANIFEST) for index in range(first, end))
    header = member_header(MANIFEST, size)
    if not stored.startswith(header):
        raise DefectError(Code.TAR_HEADER, MANIFEST)
    if stored.count(b"\0", len(header) + size) != len(stored) - len(header) - size:
        raise DefectError(Code.TAR_PADDING, MANIFEST)
    return stored[len(header) : len(header) + size]


def _check_section(container: Container, first: int, length: int, subject: str) -> int:
    """Checks that frames from `first` on hold a section of the stream; returns the frame after."""
    count, last = frame_sizes(length)
    sizes = container.table.sizes[first : first + count]
    if (
        len(sizes) != count
        or (count and sizes[-1] != last)
        or min(sizes[:-1], default=FRAME_CONTENT) != FRAME_CONTENT
    ):
        raise DefectError(
            Code.FRAME_LAYOUT, subject, expected=f"{count} frames with {length} bytes from {first}"
        )
    return first + count
