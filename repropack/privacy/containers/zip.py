# SPDX-License-Identifier: Apache-2.0
"""ZIP (APPNOTE 6.3): torch checkpoints, NPZ, wheels, Keras, office documents.

An archive is read from its end: what is before its entries, and between them, is looked into too.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, Final

from repropack.privacy.containers import CHUNK, Piece, UnreadableError, following, stretch

__all__ = ["handles", "pieces", "start"]

MAX_ENTRIES: Final = 200_000
"""Entries of one archive: zipfile holds them all in memory."""

MAX_DIRECTORY: Final = 64 * 1024 * 1024
"""Bytes of the central directory, which zipfile reads at once."""

_END: Final = b"PK\5\6"
_MAX_END: Final = 22 + 65535
"""Bytes of the record at the end, with the longest comment."""

_LOCAL: Final = b"PK\3\4"
_LOCAL_LENGTH: Final = 30
_DESCRIPTOR: Final = 24
"""Bytes that may follow an entry and say how long it was (APPNOTE 4.3.9), at most."""

_DAMAGES: Final = (
    zipfile.BadZipFile,
    NotImplementedError,
    zlib.error,
    lzma.LZMAError,
    ValueError,
    EOFError,
    OSError,
    RuntimeError,
)
"""What zipfile raises on archives that are not as they should be."""


def handles(head: bytes, name: str) -> bool:
    """By the mark of a first entry, or of an empty archive."""
    del name
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def start(file: BinaryIO, size: int) -> int | None:
    """Where an archive begins that ends a file of another kind, or None."""
    if _END not in _at(file, max(size - _MAX_END, 0), _MAX_END) or handles(_at(file, 0, 4), ""):
        return None
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGES:
        return None
    return _first(archive)


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """Each entry; those that are stored are `seen`.

    Raises:
        UnreadableError: It is damaged or encrypted.
    """
    try:
        archive = zipfile.ZipFile(file)
        if archive.start_dir < size - MAX_DIRECTORY or len(archive.filelist) > MAX_ENTRIES:
            raise UnreadableError("a directory beyond the limit")
        yield from _gaps(file, archive)
        yield from following(file, _end(file, size), size)
        for entry in archive.infolist():
            if entry.is_dir():
                continue
            if entry.flag_bits & 1:
                raise UnreadableError("encrypted")
            with archive.open(entry) as inner:
                yield Piece(
                    entry.filename,
                    _read(inner),
                    seen=entry.compress_type == zipfile.ZIP_STORED,
                )
    except _DAMAGES as error:
        raise UnreadableError("damaged, or of an unknown compression") from error


def _first(archive: zipfile.ZipFile) -> int:
    return min((entry.header_offset for entry in archive.filelist), default=archive.start_dir)


def _gaps(file: BinaryIO, archive: zipfile.ZipFile) -> Iterator[Piece]:
    """What is before the entries and between them: another archive, or entries left behind."""
    at = 0 if handles(_at(file, 0, 4), "") else _first(archive)
    ends = [(entry.header_offset, entry.compress_size) for entry in archive.filelist]
    for offset, length in [*sorted(ends), (archive.start_dir, 0)]:
        gap = offset - at
        if gap > 0 and _is_more(_at(file, at, min(gap, CHUNK)), gap):
            yield Piece(f"at byte {at}", stretch(file, at, offset), seen=True)
        header = _at(file, offset, _LOCAL_LENGTH)
        names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        at = max(at, offset + _LOCAL_LENGTH + names + length)


def _end(file: BinaryIO, size: int) -> int:
    """Behind the record at the end and its comment."""
    tail = _at(file, max(size - _MAX_END, 0), _MAX_END)
    at = tail.rfind(_END)
    comment = int.from_bytes(tail[at + 20 : at + 22], "little")
    return size if at < 0 else size - len(tail) + at + 22 + comment


def _is_more(data: bytes, gap: int) -> bool:
    """Whether it is no filling, and no record of the entry before."""
    return bool(data.strip(b"\0")) and (gap > _DESCRIPTOR or data.startswith(_LOCAL))


def _at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def _read(inner: IO[bytes]) -> Iterator[bytes]:
    try:
        while data := inner.read(CHUNK):
            yield data
    except _DAMAGES as error:
        raise UnreadableError("damaged, or of an unknown compression") from error
