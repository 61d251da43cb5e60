# SPDX-License-Identifier: Apache-2.0
"""JPEG, GIF and WebP: what follows the picture. Their text lies plainly in them.

Readers of pictures stop at its end, and archives are read from their own: so one file can be both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from repropack.privacy.containers import Piece, UnreadableError, following

__all__ = ["handles", "pieces"]

MAX_FILE: Final = 256 * 1024 * 1024
"""Bytes of a picture whose end is looked for: it is read into memory."""

_JPEG: Final = b"\xff\xd8\xff"
_GIF: Final = (b"GIF87a", b"GIF89a")

_MARKER: Final = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
"""What ends a scan: no stuffed byte, no restart (ITU-T T.81, B.1.1.3)."""


def handles(head: bytes, name: str) -> bool:
    """By the first bytes."""
    del name
    return head.startswith((_JPEG, *_GIF)) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """What follows.

    Raises:
        UnreadableError: It is too large, or has no end.
    """
    if size > MAX_FILE:
        raise UnreadableError(f"not what may follow it: more than {MAX_FILE} bytes")
    file.seek(0)
    data = file.read()
    try:
        if data.startswith(_JPEG):
            end = _end_of_jpeg(data)
        elif data.startswith(_GIF):
            end = _end_of_gif(data)
        else:
            end = 8 + int.from_bytes(data[4:8], "little")
    except IndexError:
        end = size + 1
    if end > size:
        raise UnreadableError("damaged: it ends too early")
    yield from following(file, end, size)


def _end_of_jpeg(data: bytes) -> int:
    """Behind the marker of the end (ITU-T T.81, B.2.1)."""
    at = 2
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:
            at += 1
        if data[at] != 0xFF:
            raise IndexError
        marker = data[at + 1]
        at += 2
        if marker == 0xD9:
            return at
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:
            continue
        at += int.from_bytes(data[at : at + 2], "big")
        if marker == 0xDA:
            scan = _MARKER.search(data, at)
            if scan is None:
                raise IndexError
            at = scan.start()


def _end_of_gif(data: bytes) -> int:
    """Behind the trailer (GIF89a, sections 18 to 27)."""
    at = 13 + _colours(data[10])
    while (block := data[at]) != 0x3B:
        if block == 0x21:
            at += 2
        elif block == 0x2C:
            at += 11 + _colours(data[at + 9])
        else:
            raise IndexError
        while length := data[at]:
            at += 1 + length
        at += 1
    return at + 1


def _colours(flags: int) -> int:
    """Bytes of a table of colours."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0
