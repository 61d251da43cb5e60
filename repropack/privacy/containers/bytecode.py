# SPDX-License-Identifier: Apache-2.0
"""Python bytecode: text lies plainly in it, but right behind its length, which may be a letter.

Never unmarshalled: what follows the mark of a short text is tried as its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from repropack.privacy.containers import HEAD, Piece, UnreadableError, container_for

__all__ = ["handles", "pieces"]

MAX_FILE: Final = 64 * 1024 * 1024
"""Bytes of a file that is read like this: the largest module of a large environment has 5 MiB."""

_SHORT: Final = re.compile(rb"[zZ\xda\xfa](?=([0-9A-Za-z]))")
"""A short text (CPython, Python/marshal.c), with or without a reference, and its length, where that
looks like a part of a word."""

_LONG: Final = re.compile(rb"(?s)[s\xf3](?=([\x14-\xff]..\0|.[^\0].\0|..[^\0]\0))")
"""Bytes, and how many, of which a file has more than a few."""

_MARK: Final = re.compile(
    rb"\x1f\x8b|x[\x01\x5e\x9c\xda]|PK|BZh|\xfd7z|\x28\xb5|\x5d\0|\x89P|\xff\xd8|\x80[\x02-\x05]|%PDF|SQLi"
)
"""How files begin; code, of which most bytes are, does not."""

_PRINTABLE: Final = bytes(range(32, 127)) + b"\t\r\n"


def handles(head: bytes, name: str) -> bool:
    """By the name, and the end of the magic number (PEP 3147)."""
    return name.endswith(".pyc") and head[2:4] == b"\r\n"


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """Each short text, and constants that are files of a kind that we know.

    Raises:
        UnreadableError: It is too large.
    """
    if size > MAX_FILE:
        raise UnreadableError(f"only its bytes were searched: more than {MAX_FILE} of them")
    file.seek(0)
    data = file.read()
    yield Piece("text", iter((b"\n".join(_texts(data)),)))
    for match in _LONG.finditer(data):
        start, length = match.start() + 5, int.from_bytes(match[1], "little")
        if not _MARK.match(data, start):
            continue
        constant = data[start : start + length]
        if len(constant) == length and container_for(constant[:HEAD], "") is not None:
            yield Piece("constant", iter((constant,)), seen=True)


def _texts(data: bytes) -> Iterator[bytes]:
    for match in _SHORT.finditer(data):
        start = match.end() + 1
        text = data[start : start + match[1][0]]
        # The marks are letters, too.
        if len(text) == match[1][0] and not text.translate(None, _PRINTABLE):
            yield text
