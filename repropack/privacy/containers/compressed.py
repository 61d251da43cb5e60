# SPDX-License-Identifier: Apache-2.0
"""Compressed streams: gzip (RFC 1952), zlib (RFC 1950), bzip2, xz and its forerunner, zstd.

Several may follow each other, as their tools allow. The name in a gzip header lies plainly in the
file. A loose object of git is a zlib stream.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, Protocol, cast

from repropack.privacy.containers import CHUNK, HEAD, Piece, UnreadableError

__all__ = ["handles", "pieces"]

_ZSTD: Final = b"\x28\xb5\x2f\xfd"

_SKIPPABLE: Final = b"\x50\x2a\x4d\x18"
_ZSTD_HEADER: Final = 18
"""Bytes of the longest header of a frame."""

MAX_WINDOW: Final = 128 * 1024 * 1024
"""Bytes of zstd's window, that of `zstd --ultra`."""

MAX_XZ_MEMORY: Final = 256 * 1024 * 1024

_GZIP_BITS: Final = 31
"""What tells zlib that a stream is gzip."""

_MAX_LZMA: Final = 2**38
"""Bytes that a stream of lzma may say to hold, as xz takes it: larger is another kind of file."""

_DAMAGED: Final = "damaged, or beyond a limit of memory"


class _Decompressor(Protocol):
    """What the standard library's decompressors of bzip2 and xz have."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Inflater:
    """That of zlib, with the same methods."""

    def __init__(self, bits: int) -> None:
        self._inflater = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflater.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)


def handles(head: bytes, name: str) -> bool:
    """By the first bytes."""
    del name
    return head.startswith(_ZSTD) or _decompressor(head) is not None


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """What it holds, as one piece.

    Raises:
        UnreadableError: It is damaged, or something else follows.
    """
    del size
    yield Piece("", _inflate(file))


def _decompressor(head: bytes) -> Callable[[], _Decompressor] | None:
    """By the marks of their formats; those that have none by whether the beginning makes sense."""
    if head.startswith(b"\x1f\x8b\x08"):
        return lambda: _Inflater(_GZIP_BITS)
    if head[:3] == b"BZh" and head[3:4].isdigit():
        return bz2.BZ2Decompressor
    if head.startswith(b"\xfd7zXZ\0"):
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)
    if _is_lzma(head):
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=MAX_XZ_MEMORY)
    if _is_zlib(head):
        return lambda: _Inflater(zlib.MAX_WBITS)
    return None


def _is_lzma(head: bytes) -> bool:
    """As liblzma tells it (`lzma_alone_decoder`): the sizes of dictionary and content make sense.

    The first byte of nearly all is that of the usual settings; of others the last is checked, too.
    """
    if len(head) < 14 or head[0] >= 225 or head[13] != 0:
        return False
    dictionary, length = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    # 2^n or 2^n + 2^(n-1), of at least 4 KiB.
    low = dictionary & -dictionary
    return (
        low >= 2048
        and dictionary >= 4096
        and dictionary in (low, 3 * low)
        and (length == 2**64 - 1 or (head[0] == 0x5D and 0 < length < _MAX_LZMA))
    )


def _is_zlib(head: bytes) -> bool:
    """Its header has a check of five bits only, so the first bytes have to inflate."""
    if len(head) < 8 or head[0] & 0x8F != 8 or int.from_bytes(head[:2], "big") % 31 or head[1] & 32:
        return False
    inflater = zlib.decompressobj()
    try:
        inflater.decompress(head, CHUNK)
    except zlib.error:
        return False
    return inflater.eof or len(head) >= HEAD


def _inflate(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    head = file.read(HEAD)
    file.seek(0)
    try:
        new = _decompressor(head)
        if new is not None:
            yield from _streams(file, new)
            return
        import zstandard

        decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW)
        stream = cast(BinaryIO, decompressor.stream_reader(file, read_across_frames=True))
        while data := stream.read(CHUNK):
            yield data
        _check_frames(file)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, MemoryError) as error:
        raise UnreadableError(_DAMAGED) from error
    except Exception as error:
        if type(error).__module__.startswith("zstandard"):
            raise UnreadableError(_DAMAGED) from error
        raise


def _streams(file: BinaryIO, new: Callable[[], _Decompressor]) -> Iterator[bytes]:
    """Each stream of a file: they may follow each other, and be padded with zeros."""
    data = file.read(CHUNK)
    while data:
        decompressor = new()
        yield decompressor.decompress(data, CHUNK)
        while not decompressor.eof:
            data = file.read(CHUNK) if decompressor.needs_input else b""
            if decompressor.needs_input and not data:
                raise EOFError
            yield decompressor.decompress(data, CHUNK)
        data = decompressor.unused_data.lstrip(b"\0")
        while not data and (more := file.read(CHUNK)):
            data = more.lstrip(b"\0")


def _check_frames(file: BinaryIO) -> None:
    """Goes over all frames and blocks of zstd by their headers (RFC 8878, section 3.1).

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


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError
    return data
