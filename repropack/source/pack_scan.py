# SPDX-License-Identifier: Apache-2.0
"""Adds up what the objects of a pack would take, before git is given a byte of it.

git hashes and checks an object of any size that its pack states: a few kilobytes can ask for hours.
The walk here keeps nothing and judges sizes alone; a pack that it cannot follow is left to git,
which refuses it with the reason. Format: gitformat-pack(5).
"""

from __future__ import annotations

import zlib
from typing import BinaryIO, Final

from msgspec import Struct

__all__ = ["PackLimits", "excess"]

_COMMIT: Final = 1
_TREE: Final = 2
_OFFSET_DELTA: Final = 6
_REFERENCE_DELTA: Final = 7
_CHUNK: Final = 64 * 1024
_MAX_VARINT: Final = 10
"""Bytes of a size: 7 bits each, so 64 bits and more."""


class PackLimits(Struct, frozen=True, kw_only=True):
    """What the objects of a pack may have.

    Attributes:
        commit: Bytes of one commit.
        trees: Bytes of all trees together that are stored whole.
        total: Bytes of all objects together, a delta counted as what it makes; and as many bytes
            of deltas.
    """

    commit: int
    trees: int
    total: int


class _EndError(Exception):
    """The pack ends, or its form is none that we follow."""


def excess(file: BinaryIO, count: int, id_size: int, limits: PackLimits) -> str:
    """Why the objects of a pack are too large, or an empty string.

    Args:
        file: Stands at the first object; where it stands afterwards is not defined.
        count: Objects that the header of the pack states.
        id_size: Bytes of an object id.
        limits: What is allowed.

    Raises:
        OSError: The file cannot be read.
    """
    walk = _Walk(file)
    trees = total = deltas = 0
    try:
        for _ in range(count):
            kind, size = walk.header()
            if kind == _COMMIT and size > limits.commit:
                return f"a commit of {size} bytes"
            is_delta = kind in (_OFFSET_DELTA, _REFERENCE_DELTA)
            trees += size if kind == _TREE else 0
            deltas += size if is_delta else 0
            total += 0 if is_delta else size
            # A size that is only stated counts as well: git would begin to work on it.
            if trees > limits.trees or max(total, deltas) > limits.total:
                return f"objects of {max(total, deltas)} bytes and more"
            if kind == _OFFSET_DELTA:
                walk.skip_varint()
            elif kind == _REFERENCE_DELTA:
                walk.skip(id_size)
            start = walk.inflate(size)
            total += _made_by(start) if is_delta else 0
            if total > limits.total:
                return f"objects of {total} bytes and more"
    except (_EndError, zlib.error):
        return ""
    return ""


class _Walk:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._data = b""
        self._at = 0

    def _byte(self) -> int:
        if self._at == len(self._data) and not self._more():
            raise _EndError
        self._at += 1
        return self._data[self._at - 1]

    def _more(self) -> bool:
        self._data, self._at = self._file.read(_CHUNK), 0
        return bool(self._data)

    def header(self) -> tuple[int, int]:
        """Kind and stated size of the next object."""
        first = byte = self._byte()
        size, shift = first & 15, 4
        while byte & 0x80:
            if shift > 7 * _MAX_VARINT:
                raise _EndError
            byte = self._byte()
            size |= (byte & 0x7F) << shift
            shift += 7
        return first >> 4 & 7, size

    def skip_varint(self) -> None:
        for _ in range(_MAX_VARINT):
            if not self._byte() & 0x80:
                return
        raise _EndError

    def skip(self, count: int) -> None:
        for _ in range(count):
            self._byte()

    def inflate(self, size: int) -> bytes:
        """Passes over a zlib stream that must have `size` bytes; returns the first few of them."""
        inflater = zlib.decompressobj()
        start = b""
        made = 0
        while not inflater.eof:
            if self._at == len(self._data) and not self._more():
                raise _EndError
            fed = self._data[self._at :]
            piece = inflater.decompress(fed, _CHUNK)
            self._at = len(self._data) - len(inflater.unconsumed_tail) - len(inflater.unused_data)
            start = start or piece[: 2 * _MAX_VARINT]
            made += len(piece)
            if made > size:
                raise _EndError
        return start


def _made_by(delta: bytes) -> int:
    """The size of what a delta makes: the second of the two sizes at its start."""
    sizes = [0, 0]
    position = 0
    for number in range(2):
        shift = 0
        while position < len(delta):
            byte = delta[position]
            position += 1
            sizes[number] |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
    return sizes[1]
