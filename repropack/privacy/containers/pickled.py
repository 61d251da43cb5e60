# SPDX-License-Identifier: Apache-2.0
"""Pickles: their strings, by walking the opcodes. Nothing is ever unpickled.

Most strings lie plainly in a pickle; those of protocol 0 are escaped, and bytes may be a file.
"""

from __future__ import annotations

import itertools
import pickletools
from collections.abc import Iterator
from typing import BinaryIO, Final

from repropack.privacy.containers import Piece, UnreadableError

__all__ = ["handles", "pieces"]

MAX_WALKED: Final = 64 * 1024 * 1024
"""Bytes of a pickle whose opcodes are walked: pickletools reads each argument into memory."""

MAX_OPCODES: Final = 5_000_000
"""Opcodes of one file, at about a microsecond each."""

_ENDINGS: Final = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".p")


def handles(head: bytes, name: str) -> bool:
    """By the PROTO opcode of protocols 2 to 5; protocol 0 and 1 by the name."""
    return (len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5) or (
        name.lower().endswith(_ENDINGS) and head[:1] in (b"(", b"]", b"}", b"c", b"V", b"S")
    )


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """All strings together, and each long run of bytes.

    Raises:
        UnreadableError: It is too large, or no sound sequence of opcodes to its end.
    """
    if size > MAX_WALKED:
        raise UnreadableError(f"only its bytes were searched: more than {MAX_WALKED} of them")
    file.seek(0)
    strings: list[str] = []
    blobs: list[bytes] = []
    reason = ""
    try:
        left = MAX_OPCODES
        while left > 0 and file.tell() < size:
            for opcode, argument, _ in itertools.islice(pickletools.genops(file), left):
                left -= 1
                if isinstance(argument, str) and "INST" not in opcode.name:
                    strings.append(argument)
                elif isinstance(argument, bytes | bytearray) and len(argument) > 16:
                    blobs.append(bytes(argument))
    except (ValueError, KeyError, IndexError, OverflowError, MemoryError):
        # joblib and torch before 1.6 put raw arrays behind the opcodes: their bytes were searched.
        reason = "" if strings or blobs else "no sound pickle"
    text = "\n".join(strings).encode("utf-8", "surrogatepass")
    yield Piece("strings", iter((text,)))
    for number, blob in enumerate(blobs):
        yield Piece(f"bytes {number}", iter((blob,)), seen=True)
    if reason:
        raise UnreadableError(reason)
