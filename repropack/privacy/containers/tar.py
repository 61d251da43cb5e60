# SPDX-License-Identifier: Apache-2.0
"""Tar (POSIX ustar, pax, GNU), uncompressed. Only searched: nothing is extracted.

What is stored lies plainly in the archive; its entries are looked at for what is in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from repropack.privacy.containers import Piece, UnreadableError, following, stretch

__all__ = ["handles", "pieces"]

MAX_ENTRIES: Final = 2_000_000
"""Headers of one archive."""


def handles(head: bytes, name: str) -> bool:
    """By the magic of ustar, which GNU tar has too."""
    del name
    return head[257:262] == b"ustar"


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """Each entry that has content.

    Raises:
        UnreadableError: A header is damaged.
    """
    at = 0
    for _ in range(MAX_ENTRIES):
        file.seek(at)
        header = file.read(512)
        if len(header) < 512 or not header.strip(b"\0"):
            yield from following(file, at, size)
            return
        length = _number(header[124:136])
        if length < 0 or at + 512 + length > size:
            raise UnreadableError(f"a header at byte {at} that does not fit")
        name = (header[345:500].rstrip(b"\0") + b"/" + header[:100].partition(b"\0")[0]).lstrip(
            b"/"
        )
        if length:
            yield Piece(
                name.decode("utf-8", "replace"),
                stretch(file, at + 512, at + 512 + length),
                seen=True,
            )
        at += 512 + -(-length // 512) * 512
    raise UnreadableError(f"more than {MAX_ENTRIES} entries")


def _number(field: bytes) -> int:
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    return int(text, 8) if text.isdigit() and not set(text) & set(b"89") else -1 if text else 0
