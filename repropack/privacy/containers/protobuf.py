# SPDX-License-Identifier: Apache-2.0
"""Protocol buffers: TensorBoard events, ONNX, TensorFlow graphs.

Text lies plainly in them, but right behind a byte with its length, which may be a letter. A byte
between a control character and text is such a length, and is read as the end of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, Final

from repropack.privacy.containers import CHUNK, Piece

__all__ = ["handles", "pieces"]

_NAME: Final = re.compile(r"\.tfevents\.|\.(?:onnx|pb|tflite|mlmodel|tfevents)$")
_LENGTHS: Final = (
    re.compile(rb"(?<=[\x00-\x1f])[!-~](?=[\x20-\x7e]{4})"),
    re.compile(rb"(?<=[\x00-\x1f][\"*2:BJRZbjrz])[!-~](?=[\x20-\x7e]{4})"),
)
"""Behind a control character, or behind a tag that follows one; what follows may be either. A tag
of a field with a length is a byte whose lowest three bits are 2; many are letters."""

_MAX: Final = 256 * 1024 * 1024
"""Bytes that are read like this; what comes after is weights, whose bytes are searched anyway."""


def handles(head: bytes, name: str) -> bool:
    """By the name: the format has no mark."""
    del head
    return _NAME.search(name.rpartition("/")[2]) is not None


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """The whole file, with text set apart."""
    del size
    for length in _LENGTHS:
        yield Piece("text", _apart(file, length))


def _apart(file: BinaryIO, length: re.Pattern[bytes]) -> Iterator[bytes]:
    file.seek(0)
    left = _MAX
    kept = b""
    while left > 0 and (data := file.read(CHUNK)):
        left -= len(data)
        yield length.sub(b"\n", kept + data)
        kept = data[-256:]
