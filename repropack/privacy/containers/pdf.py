# SPDX-License-Identifier: Apache-2.0
"""PDF (ISO 32000): what its streams hold, inflated, and text that is drawn letter by letter.

Titles and authors of the document information lie plainly in it, or in an object stream. Not
decrypted; text in fonts with codes of their own cannot be read.
"""

from __future__ import annotations

import mmap
import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from repropack.privacy.containers import (
    HEAD,
    Piece,
    UnreadableError,
    container_for,
    following,
    stretch,
)

__all__ = ["handles", "pieces"]

MAX_STREAM: Final = 32 * 1024 * 1024
"""Bytes of one inflated stream."""

MAX_FILE: Final = 512 * 1024 * 1024

_STREAM: Final = re.compile(rb"stream\r?\n")
_SHOWN: Final = re.compile(
    rb"\[((?:[^\[\]\\]|\\.){0,4000})\]\s*TJ|\(((?:[^()\\]|\\.){0,2000})\)\s*(?:Tj|['\"])"
)
_STRING: Final = re.compile(rb"\(((?:[^()\\]|\\.)*)\)|(-?[0-9.]+)")


_CODED: Final = re.compile(
    rb"/(?:ASCII85|ASCIIHex|LZW|RunLength)Decode|/Identity-[HV]|<[0-9A-Fa-f\s]{4,}>\s*Tj"
)
"""Filters other than zlib's, and fonts whose codes are no characters."""


def handles(head: bytes, name: str) -> bool:
    """By its mark within the first bytes."""
    del name
    return b"%PDF-" in head[:64]


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """Each stream that inflates.

    Raises:
        UnreadableError: It is encrypted or too large.
    """
    if size > MAX_FILE:
        raise UnreadableError(f"only its bytes were searched: more than {MAX_FILE} of them")
    data = _map(file)
    coded = _CODED.search(data) is not None
    for number, match in enumerate(_STREAM.finditer(data)):
        inflated = _inflate(data, match.end())
        if not inflated and container_for(data[match.end() : match.end() + HEAD], ""):
            # A photograph, or an attachment as it was.
            end = data.find(b"endstream", match.end())
            yield Piece(
                f"stream {number}", stretch(file, match.end(), size if end < 0 else end), seen=True
            )
        elif inflated:
            coded = coded or _CODED.search(inflated) is not None
            yield Piece(f"stream {number}", iter((inflated, b"\n", _drawn(inflated))))
    end = data.rfind(b"%%EOF")
    if end >= 0:
        yield from following(file, end + len(b"%%EOF"), size)
    if data.find(b"/Encrypt") >= 0:
        raise UnreadableError("encrypted")
    if coded:
        raise UnreadableError("text in codes of a font, or packed in another way, was not read")


def _map(file: BinaryIO) -> bytes | mmap.mmap:
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):
        file.seek(0)
        return file.read()


def _inflate(data: bytes | mmap.mmap, at: int) -> bytes:
    decompressor = zlib.decompressobj()
    out = b""
    try:
        while not decompressor.eof and len(out) < MAX_STREAM and at < len(data):
            out += decompressor.decompress(
                decompressor.unconsumed_tail or data[at : at + 65536], MAX_STREAM - len(out)
            )
            at += 0 if decompressor.unconsumed_tail else 65536
    except zlib.error:
        return out
    return out


def _drawn(content: bytes) -> bytes:
    """The text of `Tj` and `TJ`: a shift of more than a fifth of a letter's height is a space."""
    lines = []
    for array, plain in _SHOWN.findall(content):
        if plain:
            lines.append(plain)
            continue
        line = b""
        for text, shift in _STRING.findall(array):
            line += text if text or not shift else b" " if abs(_float(shift)) > 200 else b""
        lines.append(line)
    # Lines of a paragraph belong together; a name may be broken between two.
    return b" ".join(lines)


def _float(text: bytes) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
