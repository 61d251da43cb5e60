# SPDX-License-Identifier: Apache-2.0
"""NumPy arrays (NEP 1): Python objects in them, which are a pickle; files that are kept as bytes.

Numbers and text lie plainly in them.
"""

from __future__ import annotations

import ast
import math
import re
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

MAX_HEADER: Final = 1024 * 1024

_MARK: Final = b"\x93NUMPY"
_OF_BYTES: Final = ("u1", "i1", "b1")

_SIMPLE: Final = re.compile(r"[<>|=]?([a-zA-Z])([0-9]*)(?:\[.*)?")


def handles(head: bytes, name: str) -> bool:
    """By the first bytes."""
    del name
    return head.startswith(_MARK)


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """A pickle or a file in the array, and what follows it.

    Raises:
        UnreadableError: The header is damaged.
    """
    file.seek(0)
    start = file.read(12)
    width = 2 if start[6:7] == b"\1" else 4
    length = int.from_bytes(start[8 : 8 + width], "little")
    if length > MAX_HEADER or 8 + width + length > size:
        raise UnreadableError("a damaged header")
    begin = 8 + width + length
    file.seek(8 + width)
    try:
        header = ast.literal_eval(file.read(length).decode("utf-8").strip())
        descr, shape = header["descr"], [int(n) for n in header["shape"]]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise UnreadableError("a damaged header") from error
    simple = _SIMPLE.fullmatch(descr) if isinstance(descr, str) else None
    if "O" in str(descr):
        yield Piece("objects", stretch(file, begin, size), seen=True)
    elif simple is not None:
        end = begin + math.prod(shape) * int(simple[2] or 1) * (4 if simple[1] == "U" else 1)
        file.seek(begin)
        if (simple[0][1:] in _OF_BYTES or simple[1] in "SV") and container_for(
            file.read(HEAD), ""
        ) is not None:
            yield Piece("content", stretch(file, begin, min(end, size)), seen=True)
        yield from following(file, end, size)
