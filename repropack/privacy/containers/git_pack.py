# SPDX-License-Identifier: Apache-2.0
"""Git bundles and packs (gitformat-pack): each object inflated, with its path.

Only searched: ids are computed to find the path of a file in the trees that came before. Of a delta
the inserted bytes are searched; what it copies is another object's.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from repropack.privacy.containers import CHUNK, Piece, UnreadableError, following

__all__ = ["handles", "pieces"]

MAX_OBJECT: Final = 1024 * 1024 * 1024
"""Bytes of one object."""

MAX_HEADER: Final = 1024 * 1024
"""Bytes before the pack of a bundle."""

MAX_NAMED: Final = 1_000_000
"""Entries of trees that are remembered."""

_KINDS: Final = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}


def handles(head: bytes, name: str) -> bool:
    """By the signature of a bundle or a pack."""
    del name
    return head.startswith((b"# v2 git bundle\n", b"# v3 git bundle\n", b"PACK\0\0\0"))


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """Each object.

    Raises:
        UnreadableError: It is damaged.
    """
    file.seek(0)
    head = file.read(MAX_HEADER)
    header, _, _ = head.partition(b"PACK")
    yield Piece("refs", iter((header.partition(b"\n")[2],)))
    digest = "sha256" if b"object-format=sha256" in header else "sha1"
    reader = _Reader(file, len(header))
    paths: dict[bytes, str] = {}
    try:
        mark = reader.take(12)
        if mark[:4] != b"PACK":
            raise UnreadableError("no pack")
        for _ in range(int.from_bytes(mark[8:12], "big")):
            kind, length = reader.object_header()
            if kind == 6:
                while reader.take(1)[0] & 0x80:
                    pass
            elif kind == 7:
                reader.take(hashlib.new(digest, usedforsecurity=False).digest_size)
            elif kind not in _KINDS:
                raise UnreadableError("an unknown kind of object")
            if length > MAX_OBJECT:
                raise UnreadableError("an object beyond the limit")
            data = reader.inflate(length)
            name = "delta"
            if kind in _KINDS:
                prefix = f"{_KINDS[kind]} {len(data)}\0".encode()
                oid = hashlib.new(digest, prefix + data, usedforsecurity=False).digest()
                name = paths.get(oid, _KINDS[kind])
                if kind == 2:
                    # Of a tree only the names can tell something.
                    data = _remember(data, paths.get(oid, ""), len(oid), paths)
            yield Piece(name, iter((data,)))
        reader.take(hashlib.new(digest, usedforsecurity=False).digest_size)
        yield from following(file, reader.place, size)
    except (zlib.error, EOFError) as error:
        raise UnreadableError("damaged") from error


def _remember(tree: bytes, base: str, width: int, paths: dict[bytes, str]) -> bytes:
    """Notes the paths of a tree's entries, and returns their names."""
    names: list[bytes] = []
    at = 0
    while at < len(tree) and len(paths) < MAX_NAMED:
        space, end = tree.find(b" ", at), tree.find(b"\0", at)
        if not at < space < end:
            names.append(tree[at:])
            break
        names.append(tree[space + 1 : end])
        name = tree[space + 1 : end].decode("utf-8", "replace")
        paths.setdefault(tree[end + 1 : end + 1 + width], f"{base}/{name}" if base else name)
        at = end + 1 + width
    return b"\n".join(names)


class _Reader:
    def __init__(self, file: BinaryIO, at: int) -> None:
        self._file = file
        file.seek(at)
        self._buffer = b""

    @property
    def place(self) -> int:
        """Where in the file it has read to."""
        return self._file.tell() - len(self._buffer)

    def take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            more = self._file.read(CHUNK)
            if not more:
                raise EOFError
            self._buffer += more
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def object_header(self) -> tuple[int, int]:
        byte = self.take(1)[0]
        kind, length, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            byte = self.take(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if shift > 60:
                raise UnreadableError("a size beyond the limit")
        return kind, length

    def inflate(self, length: int) -> bytes:
        decompressor = zlib.decompressobj()
        out: list[bytes] = []
        total = 0
        data = self._buffer
        while not decompressor.eof:
            if not data:
                data = self._file.read(CHUNK)
                if not data:
                    raise EOFError
            out.append(decompressor.decompress(data, CHUNK))
            data = decompressor.unconsumed_tail
            total += len(out[-1])
            if total > length:
                raise UnreadableError("an object longer than it says")
        self._buffer = decompressor.unused_data
        return b"".join(out)
