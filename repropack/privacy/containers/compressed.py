# SPDX-License-Identifier: Apache-2.0
"""One compressed stream: gzip (RFC 1952, with the name and comment in its header), bzip2, xz, zstd.

The name in a gzip header lies plainly in the file.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, cast

from repropack.privacy.containers import CHUNK, Piece, UnreadableError

__all__ = ["handles", "pieces"]

_GZIP: Final = b"\x1f\x8b\x08"
_BZIP2: Final = b"BZh"
_XZ: Final = b"\xfd7zXZ\0"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"

MAX_WINDOW: Final = 128 * 1024 * 1024
"""Bytes of zstd's window, that of `zstd --ultra`."""

MAX_XZ_MEMORY: Final = 256 * 1024 * 1024


def handles(head: bytes, name: str) -> bool:
    """By the first bytes."""
    del name
    return head.startswith((_GZIP, _XZ, _ZSTD)) or (head[:3] == _BZIP2 and head[3:4].isdigit())


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """What it holds, as one piece.

    Raises:
        UnreadableError: It is damaged.
    """
    del size
    yield Piece("", _inflate(file))


def _inflate(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    head = file.read(6)
    file.seek(0)
    try:
        if head.startswith(_ZSTD):
            import zstandard

            decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
            stream = cast(BinaryIO, decompressor.stream_reader(file, read_across_frames=True))
        elif head.startswith(_XZ):
            yield from _xz(file)
            return
        else:
            opened = (
                gzip.GzipFile(fileobj=file, mode="rb")
                if head.startswith(_GZIP)
                else bz2.BZ2File(file)
            )
            stream = cast(BinaryIO, opened)
        while data := stream.read(CHUNK):
            yield data
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, MemoryError) as error:
        raise UnreadableError("damaged, or beyond a limit of memory") from error
    except Exception as error:
        if type(error).__module__.startswith("zstandard"):
            raise UnreadableError("damaged, or beyond a limit of memory") from error
        raise


def _xz(file: BinaryIO) -> Iterator[bytes]:
    decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)
    while not decompressor.eof:
        data = file.read(CHUNK) if decompressor.needs_input else b""
        if decompressor.needs_input and not data:
            raise EOFError
        yield decompressor.decompress(data, CHUNK)
