# SPDX-License-Identifier: Apache-2.0
"""The zstd layer: one-shot frames and the seek table (docs/spec/rpk-v1.md, section 3).

A frame's header and extent are checked before libzstd sees it: python-zstandard allocates what the
header states, and takes truncated frames, trailing bytes and skippable frames without a word.
"""

from __future__ import annotations

import array
import itertools
import struct
import sys
import threading
from collections.abc import Sequence
from typing import Final

import zstandard
from msgspec import Struct

from repropack.bundle.limits import (
    FRAME_CONTENT,
    MAX_FRAME_STORED,
    MAX_FRAMES,
)
from repropack.findings import Code, DefectError

__all__ = [
    "COMPRESSION_LEVEL",
    "ENCODING",
    "FOOTER",
    "FRAME_MAGIC",
    "MAX_BLOCK",
    "FrameDecoder",
    "FrameEncoder",
    "SeekTable",
    "decode_seek_table",
    "encode_seek_table",
    "frame_count",
    "seek_table_size",
]

COMPRESSION_LEVEL: Final = 1
"""Weights do not compress better at higher levels (docs/performance.md), and 1 is the fastest."""

ENCODING: Final = "zstd {}.{}.{} level {}, single segment".format(
    *zstandard.ZSTD_VERSION, COMPRESSION_LEVEL
)
"""What two frames have in common that are the same bytes if their contents are."""

FRAME_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_MAGIC: Final = 0x184D2A5E
_SEEKABLE_MAGIC: Final = 0x8F92EAB1
_SKIPPABLE: Final = struct.Struct("<II")
FOOTER: Final = struct.Struct("<IBI")
"""Number of frames, descriptor, magic: the last bytes of a file (zstd seekable format 0.1.0)."""
_ENTRY_SIZE: Final = 8
_RUN_LENGTH_BLOCK: Final = 1
MAX_BLOCK: Final = 128 * 1024
"""Bytes of a block, stored and decoded (RFC 8878, section 3.1.1.2.4). Decoders that have the whole
frame in memory take larger ones; those that read it piece by piece, such as `tar`, do not."""
_CHECKSUM_SIZE: Final = 4
_SINGLE_SEGMENT: Final = 0b0010_0000
"""The window is the content. Were it smaller, decoders that keep no more than the window would
refuse, or read as something else, what those accept that have the whole frame in memory."""
_DICTIONARY_ID: Final = 0b0000_0011
_RESERVED_BITS: Final = 0b0001_1000
"""Of a frame header's first byte: `Unused_bit` and `Reserved_bit` (RFC 8878, section 3.1.1.1.1)."""


class FrameEncoder:
    """Compresses frames, from any thread. The same content always gives the same bytes."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def encode(self, content: bytes | memoryview) -> bytes:
        """One frame with content size and checksum, without dictionary."""
        compressor = getattr(self._threads, "compressor", None)
        if compressor is None:
            compressor = self._threads.compressor = zstandard.ZstdCompressor(
                compression_params=zstandard.ZstdCompressionParameters.from_level(
                    COMPRESSION_LEVEL,
                    # libzstd makes a single segment where the content fits into the window.
                    window_log=FRAME_CONTENT.bit_length() - 1,
                    write_checksum=True,
                    write_content_size=True,
                )
            )
        encoded: bytes = compressor.compress(content)
        return encoded


class FrameDecoder:
    """Decompresses frames whose content size is known beforehand, from any thread."""

    def __init__(self) -> None:
        self._threads = threading.local()

    def decode(self, frame: memoryview, content: memoryview, subject: str) -> None:
        """Decodes exactly one frame into a buffer.

        Args:
            frame: The stored bytes, all of them.
            content: Where the content goes; it must fill this buffer.
            subject: What the frame is, for the finding.

        Raises:
            DefectError: `FRAME_HEADER` or `FRAME_CONTENT`.
        """
        _check_header(frame, len(content), subject)
        _check_extent(frame, len(content), subject)
        decompressor = getattr(self._threads, "decompressor", None)
        if decompressor is None:
            decompressor = self._threads.decompressor = zstandard.ZstdDecompressor(
                max_window_size=FRAME_CONTENT
            )
        try:
            # libzstd decodes in one step, as the frame and the room for its content are whole.
            with decompressor.stream_reader(frame) as reader:
                count = reader.readinto(content)
                # Only at its end does a reader check the checksum for certain.
                more = reader.read(1)
        except zstandard.ZstdError as error:
            raise DefectError(Code.FRAME_CONTENT, subject, found=str(error)) from error
        if count != len(content) or more:
            raise DefectError(
                Code.FRAME_CONTENT,
                subject,
                found=f"{'more than ' if more else ''}{count} bytes",
                expected=f"{len(content)} bytes",
            )


def _check_header(frame: memoryview, size: int, subject: str) -> None:
    magic = bytes(frame[: len(FRAME_MAGIC)])
    if magic != FRAME_MAGIC:
        raise DefectError(Code.FRAME_HEADER, subject, found=f"the magic number {magic.hex()}")
    try:
        header = zstandard.get_frame_parameters(frame[:32])
    except zstandard.ZstdError as error:
        raise DefectError(Code.FRAME_HEADER, subject, found=str(error)) from error
    reason = ""
    if header.content_size != size:
        absent = header.content_size in (
            zstandard.CONTENTSIZE_UNKNOWN,
            zstandard.CONTENTSIZE_ERROR,
        )
        reason = "no content size" if absent else f"content size {header.content_size}"
    elif frame[4] & _DICTIONARY_ID:
        reason = "a dictionary"
    elif not header.has_checksum:
        reason = "no checksum"
    elif not frame[4] & _SINGLE_SEGMENT:
        reason = f"a window of {header.window_size} bytes, and not a single segment"
    elif frame[4] & _RESERVED_BITS:
        reason = "a reserved bit"
    if reason:
        raise DefectError(Code.FRAME_HEADER, subject, found=reason, expected=f"{size} bytes")


def _check_extent(frame: memoryview, content_size: int, subject: str) -> None:
    """Follows the block headers: the frame must end where its bytes end (RFC 8878, 3.1.1.2).

    The header was checked.
    """
    content_size_field = (1, 2, 4, 8)[frame[4] >> 6]
    position = 5 + content_size_field
    largest = min(content_size, MAX_BLOCK)
    last = 0
    while not last and position + 3 <= len(frame):
        block = int.from_bytes(frame[position : position + 3], "little")
        last = block & 1
        kind = block >> 1 & 3
        size = block >> 3
        if size > largest:
            raise DefectError(
                Code.FRAME_CONTENT,
                subject,
                found=f"a block of {size} bytes",
                expected=f"at most {largest} bytes",
            )
        position += 3 + (1 if kind == _RUN_LENGTH_BLOCK else size)
    if not last or position + _CHECKSUM_SIZE != len(frame):
        raise DefectError(
            Code.FRAME_CONTENT,
            subject,
            found=f"{len(frame)} bytes",
            expected=f"{position + _CHECKSUM_SIZE} bytes" if last else "more bytes",
        )


class SeekTable(Struct, frozen=True, kw_only=True):
    """Where the frames of a file lie.

    Attributes:
        offsets: File offset of each frame, and of the end of the last.
        starts: Offset of each frame's content in the tar stream, and of the end of the last.
    """

    offsets: array.array[int]
    starts: array.array[int]

    def __len__(self) -> int:
        """The number of frames."""
        return len(self.offsets) - 1

    def content_size(self, index: int) -> int:
        """Content bytes of a frame."""
        return self.starts[index + 1] - self.starts[index]


def seek_table_size(frames: int) -> int:
    """Bytes of the seek table with its skippable header and footer."""
    return _SKIPPABLE.size + frames * _ENTRY_SIZE + FOOTER.size


def encode_seek_table(entries: Sequence[tuple[int, int]]) -> bytes:
    """The skippable frame with the (stored, content) sizes of all frames."""
    flat = _little_endian(array.array("I", itertools.chain.from_iterable(entries)))
    size = seek_table_size(len(entries)) - _SKIPPABLE.size
    footer = FOOTER.pack(len(entries), 0, _SEEKABLE_MAGIC)
    return _SKIPPABLE.pack(_SKIPPABLE_MAGIC, size) + flat.tobytes() + footer


def frame_count(footer: bytes) -> int:
    """The number of frames that the last 9 bytes of a file state.

    Raises:
        DefectError: `TRUNCATED`: there is no footer; `SEEK_TABLE`: it has an unknown form;
            `TOO_LARGE`: it states more than `MAX_FRAMES`.
    """
    count, descriptor, magic = FOOTER.unpack(footer)
    if magic != _SEEKABLE_MAGIC:
        raise DefectError(Code.TRUNCATED, found="no seek table at the end of the file")
    if descriptor != 0:
        raise DefectError(
            Code.SEEK_TABLE, found=f"descriptor {descriptor:#04x}", expected="descriptor 0x00"
        )
    if count > MAX_FRAMES:
        raise DefectError(
            Code.TOO_LARGE, found=f"{count} frames", expected=f"at most {MAX_FRAMES} frames"
        )
    return int(count)


def decode_seek_table(table: bytes, count: int, file_size: int) -> SeekTable:
    """Reads a seek table and checks that it accounts for every byte of the file.

    Args:
        table: The last `seek_table_size(count)` bytes of the file.
        count: The number of frames, from `frame_count`.
        file_size: Bytes of the whole file.

    Raises:
        DefectError: `SEEK_TABLE`.
    """
    if _SKIPPABLE.unpack_from(table) != (_SKIPPABLE_MAGIC, len(table) - _SKIPPABLE.size):
        raise DefectError(Code.SEEK_TABLE, found=f"{table[: _SKIPPABLE.size].hex()} before it")
    flat = array.array("I")
    flat.frombytes(table[_SKIPPABLE.size : -FOOTER.size])
    flat = _little_endian(flat)
    stored, sizes = flat[0::2], flat[1::2]
    if count == 0 or min(sizes) == 0 or min(stored) == 0:
        raise DefectError(Code.SEEK_TABLE, found="an empty frame, or no frame")
    if max(sizes) > FRAME_CONTENT or max(stored) > MAX_FRAME_STORED:
        raise DefectError(
            Code.SEEK_TABLE,
            found=f"a frame of {max(sizes)} bytes in {max(stored)}",
            expected=f"at most {FRAME_CONTENT} bytes in {MAX_FRAME_STORED}",
        )
    offsets = array.array("Q", itertools.accumulate(stored, initial=0))
    if offsets[-1] + len(table) != file_size:
        raise DefectError(
            Code.SEEK_TABLE,
            found=f"frames of {offsets[-1]} bytes",
            expected=f"{file_size - len(table)} bytes",
        )
    return SeekTable(
        offsets=offsets, starts=array.array("Q", itertools.accumulate(sizes, initial=0))
    )


def _little_endian(values: array.array[int]) -> array.array[int]:
    # The type code I has 4 bytes wherever CPython runs.
    if sys.byteorder == "big":
        values.byteswap()
    return values
