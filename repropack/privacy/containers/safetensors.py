# SPDX-License-Identifier: Apache-2.0
"""safetensors: its header, which is JSON, and files that are kept as bytes.

Weights lie plainly in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec
from msgspec import Raw, Struct

from repropack.privacy.containers import (
    HEAD,
    Piece,
    UnreadableError,
    container_for,
    following,
    stretch,
)

__all__ = ["handles", "pieces"]

MAX_HEADER: Final = 100_000_000
"""Bytes of a header, as the format has it."""

_OF_BYTES: Final = ("U8", "I8")


class _Tensor(Struct):
    dtype: str
    data_offsets: tuple[int, int]


def handles(head: bytes, name: str) -> bool:
    """By the length of a header, and how that begins."""
    del name
    return head[8:10] == b'{"' and int.from_bytes(head[:8], "little") <= MAX_HEADER


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """The header, each tensor of bytes that is a file of a kind that we know, and what follows.

    Raises:
        UnreadableError: The header is damaged.
    """
    file.seek(0)
    begin = 8 + int.from_bytes(file.read(8), "little")
    header = file.read(begin - 8)
    yield Piece("header", iter((header,)), seen=True)
    try:
        entries = msgspec.json.decode(header, type=dict[str, Raw])
        tensors = {
            name: msgspec.json.decode(entry, type=_Tensor)
            for name, entry in entries.items()
            if name != "__metadata__"
        }
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableError("a damaged header") from error
    end = begin
    for name, tensor in tensors.items():
        start, stop = (begin + offset for offset in tensor.data_offsets)
        end = max(end, stop)
        if tensor.dtype in _OF_BYTES and begin <= start < stop <= size:
            file.seek(start)
            if container_for(file.read(HEAD), "") is not None:
                yield Piece(name, stretch(file, start, stop), seen=True)
    yield from following(file, end, size)
