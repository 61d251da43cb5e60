# SPDX-License-Identifier: Apache-2.0
"""PNG (ISO/IEC 15948): compressed text and profiles, and what follows the picture.

Plain text and EXIF lie plainly there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from repropack.privacy.containers import Piece, UnreadableError, following

__all__ = ["handles", "pieces"]

MAX_TEXT: Final = 4 * 1024 * 1024
"""Bytes of one text."""

MAX_CHUNKS: Final = 100_000


def handles(head: bytes, name: str) -> bool:
    """By the signature."""
    del name
    return head.startswith(b"\x89PNG\r\n\x1a\n")


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """Each `zTXt`, `iTXt` and `iCCP` chunk.

    Raises:
        UnreadableError: A chunk goes beyond the end.
    """
    at = 8
    left = 0
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        header = file.read(8)
        if len(header) < 8:
            break
        length, kind = int.from_bytes(header[:4], "big"), header[4:]
        if at + 12 + length > size:
            raise UnreadableError(f"cut off at byte {at}")
        if kind in (b"zTXt", b"iTXt", b"iCCP"):
            text, whole = _text(kind, file.read(min(length, MAX_TEXT)))
            left += length > MAX_TEXT or not whole
            if text:
                yield Piece(kind.decode("ascii"), iter((text,)))
        at += 12 + length
        if kind == b"IEND":
            yield from following(file, at, size)
            break
    else:
        left += 1
    if left:
        raise UnreadableError("text beyond a limit was not unpacked")


def _text(kind: bytes, data: bytes) -> tuple[bytes, bool]:
    """The text of a chunk, and whether it is all of it."""
    keyword, _, rest = data.partition(b"\0")
    if kind == b"iTXt":
        if rest[:1] != b"\1":
            return b"", True
        packed = rest[2:].split(b"\0", 2)[-1]
    else:
        packed = rest[1:]
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(packed, MAX_TEXT)
    except zlib.error:
        return b"", False
    return keyword + b"\n" + text, decompressor.eof
