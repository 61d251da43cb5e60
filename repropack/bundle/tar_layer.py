# SPDX-License-Identifier: Apache-2.0
"""The tar layer: the one header that a path, a size and a mode have, and where everything lies.

There is a writer of tar headers here and no reader: whoever checks a bundle makes the headers again
from the manifest and compares bytes (docs/spec/rpk-v1.md, section 4). Pure functions, no I/O.
"""

from __future__ import annotations

import array
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from repropack.bundle.limits import ATTESTATION, FRAME_CONTENT, OWN_FRAMES
from repropack.model import Member

__all__ = [
    "BLOCK",
    "END_OF_ARCHIVE",
    "ZEROS",
    "Layout",
    "attestation_tail",
    "frame_starts",
    "header_size",
    "lay_out",
    "member_header",
    "padding",
    "section_starts",
    "stored_size",
]

BLOCK: Final = 512
"""Bytes of a tar block (POSIX.1-2017, pax, "ustar Interchange Format")."""

ZEROS: Final = bytes(BLOCK)
END_OF_ARCHIVE: Final = bytes(2 * BLOCK)

_MAX_NAME: Final = 100
_MAX_PREFIX: Final = 155
_MAX_USTAR_SIZE: Final = 8**11 - 1

_HEADER: Final = struct.Struct("100s 8s 8s 8s 12s 12s 8s c 100s 8s 32s 32s 8s 8s 155s 12x")
_NO_ID: Final = b"0000000\0"
_NO_TIME: Final = b"00000000000\0"
_REGULAR: Final = b"0"
_EXTENDED: Final = b"x"
_EXTENDED_NAME: Final = b"././@PaxHeader"


def member_header(path: str, size: int, *, executable: bool = False) -> bytes:
    """The canonical header of a member: 512 bytes, or more where ustar cannot hold it.

    Args:
        path: A logical path.
        size: Bytes of the member.
        executable: Mode 0755 instead of 0644.
    """
    name, prefix, records = _split(path)
    stated = size
    if size > _MAX_USTAR_SIZE:
        records += _record("size", str(size))
        stated = 0
    header = _block(name, prefix, stated, b"0000755\0" if executable else b"0000644\0", _REGULAR)
    if not records:
        return header
    extended = _block(_EXTENDED_NAME, b"", len(records), b"0000644\0", _EXTENDED)
    return extended + records + bytes(padding(len(records))) + header


def header_size(path: str, size: int) -> int:
    """Bytes of `member_header`, without making it where that is not needed."""
    if len(path) <= _MAX_NAME and size <= _MAX_USTAR_SIZE and path.isascii():
        return BLOCK
    return len(member_header(path, size))


def padding(size: int) -> int:
    """Zero bytes that follow a member's content."""
    return -size % BLOCK


def stored_size(path: str, size: int) -> int:
    """Bytes of a member in the tar stream: header, content, padding."""
    return header_size(path, size) + size + padding(size)


def attestation_tail(content: bytes) -> bytes:
    """What the last data frame holds: the attestation as a member, and the end of the archive."""
    header = member_header(ATTESTATION, len(content))
    return b"".join((header, content, bytes(padding(len(content))), END_OF_ARCHIVE))


class Layout(Struct, frozen=True, kw_only=True):
    """Where members lie in the tar stream.

    Attributes:
        headers: Offset of each member's header, in archive order.
        contents: Offset of each member's content.
        end: Offset of what follows the last member: the header of `manifest.json`.
    """

    headers: list[int]
    contents: list[int]
    end: int


def lay_out(members: Iterable[Member]) -> Layout:
    """Computes where every member lies."""
    headers: list[int] = []
    contents: list[int] = []
    position = 0
    for member in members:
        headers.append(position)
        position += header_size(member.path, member.size)
        contents.append(position)
        position += member.size + padding(member.size)
    return Layout(headers=headers, contents=contents, end=position)


def frame_starts(members: Sequence[Member], layout: Layout) -> array.array[int]:
    """Offset of every frame that holds members, and of what follows the last of them.

    A member of at least `OWN_FRAMES` bytes has frames of its own, with its content and padding and
    nothing else: they are the same in every bundle that holds such a content (specification 3.9).

    Args:
        members: In archive order.
        layout: Where they lie; the caller has checked its end against `MAX_CONTENT`.
    """
    starts = array.array("Q")
    begun = 0
    for member, content_at in zip(members, layout.contents, strict=True):
        if member.size >= OWN_FRAMES:
            end = content_at + member.size + padding(member.size)
            starts.extend(section_starts(begun, content_at))
            starts.extend(section_starts(content_at, end))
            begun = end
    starts.extend(section_starts(begun, layout.end))
    starts.append(layout.end)
    return starts


def section_starts(start: int, end: int) -> range:
    """Offset of every frame of one section: all but the last are full."""
    return range(start, end, FRAME_CONTENT)


def _split(path: str) -> tuple[bytes, bytes, bytes]:
    """The name and prefix fields, and a PAX record where these cannot hold the path."""
    if path.isascii():
        encoded = path.encode("ascii")
        if len(encoded) <= _MAX_NAME:
            return encoded, b"", b""
        # The first slash that leaves few enough bytes for the name: the prefix is the shortest.
        slash = encoded.find(b"/", len(encoded) - _MAX_NAME - 1)
        if 0 < slash <= _MAX_PREFIX and slash + 1 < len(encoded):
            return encoded[slash + 1 :], encoded[:slash], b""
    # Readers that know no PAX see this; no slash at its end, which would mean a directory.
    name = path.encode("ascii", "replace")[:_MAX_NAME].rstrip(b"/")
    return name, b"", _record("path", path)


def _record(key: str, value: str) -> bytes:
    """A PAX record. Its length counts the digits of the length itself."""
    body = f" {key}={value}\n".encode()
    length = len(body)
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode("ascii") + body


def _block(name: bytes, prefix: bytes, size: int, mode: bytes, kind: bytes) -> bytes:
    stated = b"%011o\0" % size
    # The checksum counts its own field as eight spaces.
    checksum = _CONSTANT_SUM + sum(name) + sum(prefix) + sum(stated) + sum(mode) + kind[0]
    return _pack(name, prefix, stated, mode, kind, checksum=b"%06o\0 " % checksum)


def _pack(
    name: bytes, prefix: bytes, size: bytes, mode: bytes, kind: bytes, *, checksum: bytes
) -> bytes:
    return _HEADER.pack(
        name, mode, _NO_ID, _NO_ID, size, _NO_TIME, checksum, kind,
        b"", b"ustar\x0000", b"", b"", _NO_ID, _NO_ID, prefix,
    )  # fmt: skip


_CONSTANT_SUM: Final = sum(_pack(b"", b"", b"", b"", b"\0", checksum=b" " * 8))
