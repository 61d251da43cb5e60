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

_SKIPPABLE: Final = b"\x50\x2a\x4d\x18"
_ZSTD_HEADER: Final = 18
"""Bytes of the longest header of a frame."""

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

            _check_frames(file)
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


def _check_frames(file: BinaryIO) -> None:
    """Goes over all frames and blocks by their headers (RFC 8878, section 3.1).

    The library takes the end of a file in the middle of a frame for the end of what it holds.

    Raises:
        EOFError: The file ends too early.
        ValueError: Something else than a frame follows one.
    """
    import zstandard

    size = file.seek(0, 2)
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(_ZSTD_HEADER)
        if head[1:4] == _SKIPPABLE[1:] and head[0] & 0xF0 == _SKIPPABLE[0]:
            place += 8 + int.from_bytes(head[4:8], "little")
        elif head.startswith(_ZSTD):
            checksum = 4 if head[4:5] and head[4] & 4 else 0
            place += zstandard.frame_header_size(head)
            last = False
            while not last:
                file.seek(place)
                block = int.from_bytes(_exactly(file, 3), "little")
                last = bool(block & 1)
                # A block of one repeated byte states how often.
                place += 3 + (1 if block >> 1 & 3 == 1 else block >> 3)
            place += checksum
        else:
            raise ValueError("no frame")
    if place != size:
        raise EOFError
    file.seek(0)


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _xz(file: BinaryIO) -> Iterator[bytes]:
    """Each stream of the file (The .xz File Format, section 2): they may follow each other."""
    data = file.read(CHUNK)
    while data:
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)
        yield decompressor.decompress(data, CHUNK)
        while not decompressor.eof:
            data = file.read(CHUNK) if decompressor.needs_input else b""
            if decompressor.needs_input and not data:
                raise EOFError
            yield decompressor.decompress(data, CHUNK)
        # Streams may be padded with zeros.
        data = decompressor.unused_data.lstrip(b"\0")
        while not data and (more := file.read(CHUNK)):
            data = more.lstrip(b"\0")
