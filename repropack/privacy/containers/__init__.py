# SPDX-License-Identifier: Apache-2.0
"""Kinds of files that hold others, or text in a form that a search of the bytes would miss.

A container has one file here and one row in `TABLE`. It turns an open file into pieces and knows
nothing of what is searched. It may be hostile or damaged: nothing of it is executed or unpickled,
nothing is allocated by what it says, and `UnreadableError` says that the rest was not read.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple, Protocol, cast

__all__ = [
    "BEHIND",
    "CHUNK",
    "COVERED",
    "HEAD",
    "PACKED",
    "PLAIN",
    "TABLE",
    "Archive",
    "Container",
    "Piece",
    "UnreadableError",
    "archive_at_end",
    "container_for",
    "following",
    "packed_kind",
    "plain_kind",
    "stretch",
]

CHUNK: Final = 1024 * 1024
"""Bytes of one step of a piece."""

HEAD: Final = 560
"""Bytes by which a kind is recognised: a tar archive has its mark at byte 257."""


BEHIND: Final = "behind it"
"""What a piece is called that follows the end of a file of some kind."""


class UnreadableError(Exception):
    """A container cannot be read on. The text says why, in a few words."""


class Piece(NamedTuple):
    """Something inside of a container.

    Attributes:
        name: What it is called there; it is searched too.
        content: Its bytes, in chunks.
        seen: Whether they lie plainly in the container, whose own bytes are searched.
    """

    name: str
    content: Iterator[bytes]
    seen: bool = False


class Archive(NamedTuple):
    """An archive that ends a file of another kind.

    Attributes:
        start: Where it begins: what is before is the other file.
    """

    start: int
    kind: str
    container: Container


class Container(Protocol):
    """What a module of `TABLE` has."""

    def handles(self, head: bytes, name: str) -> bool:
        """Whether a file is of this kind, by its first bytes and its name."""

    def pieces(self, file: BinaryIO, size: int) -> Iterator[Piece]:
        """What is in it, one after the other: each piece is read before the next is asked for.

        Raises:
            UnreadableError: It is damaged, encrypted, or beyond a limit.
        """


TABLE: Final = {
    "zip archive": "repropack.privacy.containers.zip",
    "tar archive": "repropack.privacy.containers.tar",
    "compressed file": "repropack.privacy.containers.compressed",
    "pickle": "repropack.privacy.containers.pickled",
    "PDF": "repropack.privacy.containers.pdf",
    "PNG image": "repropack.privacy.containers.png",
    "image": "repropack.privacy.containers.image",
    "SQLite database": "repropack.privacy.containers.sqlite",
    "NumPy array": "repropack.privacy.containers.numpy_array",
    "safetensors": "repropack.privacy.containers.safetensors",
    "Python bytecode": "repropack.privacy.containers.bytecode",
    "protocol buffers": "repropack.privacy.containers.protobuf",
    "git objects": "repropack.privacy.containers.git_pack",
}

PLAIN: Final = (
    ("GGUF", 0, b"GGUF"),
    ("TIFF image", 0, b"II*\0"),
    ("TIFF image", 0, b"MM\0*"),
)
"""Binary formats whose text lies plainly in their bytes, so that a search of the bytes sees all of
it: name, where its mark is, and the mark."""


PACKED: Final = (
    ("Parquet", 0, b"PAR1"),
    ("Parquet", 0, b"PARE"),
    ("Arrow", 0, b"ARROW1"),
    ("HDF5", 0, b"\x89HDF\r\n\x1a\n"),
    ("7z", 0, b"7z\xbc\xaf\x27\x1c"),
    ("RAR", 0, b"Rar!\x1a\x07"),
    ("LZ4", 0, b"\x04\x22\x4d\x18"),
    ("Snappy", 0, b"\xff\x06\0\0sNaPpY"),
    ("RPM", 0, b"\xed\xab\xee\xdb"),
    ("Microsoft Office before 2007", 0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
)
"""Formats that pack what they hold and are not unpacked here, as `PLAIN`. What lies plainly in
their bytes, such as names of columns and attributes, is found; that the rest was not read is
said."""


def container_for(head: bytes, name: str) -> tuple[str, Container] | None:
    """The kind of a file, or None if it is no container that we know."""
    for kind, container in _containers():
        if container.handles(head, name):
            return kind, container
    return None


def archive_at_end(file: BinaryIO, size: int) -> Archive | None:
    """A ZIP archive, which is read from its end: behind a script, a program or a picture."""
    from repropack.privacy.containers import zip as zip_

    start = zip_.start(file, size)
    return Archive(start, "zip archive", zip_) if start else None


def following(file: BinaryIO, end: int, size: int) -> Iterator[Piece]:
    """What follows the end of a file of some kind, after what fills a block or ends a line."""
    for data in stretch(file, end, size):
        more = data.lstrip(b"\0\r\n")
        end += len(data) - len(more)
        if more:
            yield Piece(BEHIND, stretch(file, end, size), seen=True)
            return


def stretch(file: BinaryIO, start: int, stop: int) -> Iterator[bytes]:
    """The bytes between two places of a file, in chunks."""
    while start < stop:
        file.seek(start)
        data = file.read(min(CHUNK, stop - start))
        if not data:
            return
        yield data
        start += len(data)


@functools.cache
def _containers() -> tuple[tuple[str, Container], ...]:
    return tuple(
        (kind, cast(Container, importlib.import_module(module))) for kind, module in TABLE.items()
    )


def plain_kind(head: bytes) -> str | None:
    """The kind of a binary file whose text lies plainly in it, or None."""
    return _by_mark(PLAIN, head)


def packed_kind(head: bytes) -> str | None:
    """The kind of a file that packs what it holds and is not unpacked, or None."""
    return _by_mark(PACKED, head)


def _by_mark(kinds: tuple[tuple[str, int, bytes], ...], head: bytes) -> str | None:
    for kind, at, mark in kinds:
        if head[at : at + len(mark)] == mark:
            return kind
    return None


COVERED: Final = frozenset({"git objects"})
"""Kinds whose pieces are all that is in them, so that their own bytes need no search."""
