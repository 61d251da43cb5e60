# SPDX-License-Identifier: Apache-2.0
"""ZIP (APPNOTE 6.3): torch checkpoints, NPZ, wheels, Keras, office documents."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, BinaryIO, Final

from repropack.privacy.containers import CHUNK, Piece, UnreadableError

__all__ = ["handles", "pieces"]

MAX_ENTRIES: Final = 200_000
"""Entries of one archive: zipfile holds them all in memory."""

MAX_DIRECTORY: Final = 64 * 1024 * 1024
"""Bytes of the central directory, which zipfile reads at once."""


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


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """Each entry; those that are stored are `seen`.

    Raises:
        UnreadableError: It is damaged or encrypted.
    """
    try:
        archive = zipfile.ZipFile(file)
        if archive.start_dir < size - MAX_DIRECTORY or len(archive.filelist) > MAX_ENTRIES:
            raise UnreadableError("a directory beyond the limit")
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


def _read(inner: IO[bytes]) -> Iterator[bytes]:
    try:
        while data := inner.read(CHUNK):
            yield data
    except _DAMAGES as error:
        raise UnreadableError("damaged, or of an unknown compression") from error
