# SPDX-License-Identifier: Apache-2.0
"""Frames of earlier bundles, copied where a new bundle holds the same large content.

The frames of a large member depend on its content alone (specification 3.9). For each bundle that
was written, a private directory of the user's has a note: where it lies, and for each of those
frames its size and an authentication tag, made with a key that stands in that note only. A frame
that is copied has the tag of the note, so it is what this program made of that content; whatever
has become of the earlier file, nothing else is copied. Who can write the notes could do the same
with the author's key, so a directory that others may write to is not used. The notes hold no
content, and losing them costs time only.

The tag is that of AES-GCM (NIST SP 800-38D). SHA-256 of what is stored would slow every first
export, for the sake of later ones (docs/adr/0012).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from repropack import canonical
from repropack.bundle.frames import ENCODING
from repropack.bundle.limits import FRAME_CONTENT, MAX_FRAME_STORED, MAX_FRAMES, OWN_FRAMES
from repropack.bundle.sources import Access, Source, open_source
from repropack.digest import sha256_hex
from repropack.durable import remove_abandoned, write_file
from repropack.errors import RepropackError
from repropack.model.fields import Sha256, Size

__all__ = ["EarlierBundles", "EarlierContent", "FrameNotes", "KnownContent"]

MAX_NOTES: Final = 100
"""Bundles that are remembered: more than anybody keeps of one project."""

MAX_NOTE: Final = 64 * 1024 * 1024
"""Bytes of a note: 50 for each frame, so that this is 5 TiB of content."""

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
"""AES-256-GCM."""


class KnownContent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A large content whose frames a bundle holds.

    Attributes:
        sha256: Of the content.
        size: Bytes of the content.
        first: The number of its first frame in the bundle.
        offset: Where that frame lies in the file.
        frames: Stored size and tag of each frame.
    """

    sha256: Sha256
    size: Size
    first: Size
    offset: Size
    frames: tuple[tuple[int, str], ...]


class KnownBundle(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A note about a bundle that this program wrote.

    Attributes:
        encoding: What made the frames; frames of another encoder are of no use.
        path: The file, or the first of several volumes.
        key: Of the tags, in hexadecimal digits.
    """

    encoding: str
    path: str
    key: str
    contents: tuple[KnownContent, ...]


class _Cipher(Protocol):
    def encrypt(
        self, nonce: bytes, data: bytes, associated_data: bytes | bytearray | memoryview, /
    ) -> bytes: ...


def _cipher(key: bytes) -> _Cipher:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _tag(cipher: _Cipher, number: int, sha256: str, stored: bytes | memoryview) -> str:
    """The tag of a frame of a content. Its number is the nonce: no other frame has it."""
    sealed = cipher.encrypt(number.to_bytes(NONCE_BYTES, "big"), sha256.encode(), stored)
    return sealed[-TAG_BYTES:].hex()


class FrameNotes:
    """Takes the notes about a bundle while it is written."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(KEY_BYTES)
        self._cipher = _cipher(self._key)
        self._tags: dict[int, str] = {}

    def note(self, number: int, sha256: str, stored: bytes | memoryview) -> None:
        """Notes a frame of a large content; each number once, from any thread."""
        self._tags[number] = _tag(self._cipher, number, sha256, stored)

    def content(
        self, sha256: str, size: int, first: int, entries: Sequence[tuple[int, int]]
    ) -> KnownContent:
        """What is known of a content whose frames were noted.

        Args:
            sha256: Of the content.
            size: Its bytes.
            first: The number of its first frame.
            entries: Stored size and content size of all frames of the bundle, in order.
        """
        numbers = range(first, first + _frame_count(size))
        return KnownContent(
            sha256=sha256,
            size=size,
            first=first,
            offset=sum(stored for stored, _ in entries[:first]),
            frames=tuple((entries[n][0], self._tags[n]) for n in numbers),
        )

    def bundle(self, path: Path, contents: Sequence[KnownContent]) -> KnownBundle:
        """The note about the whole bundle."""
        return KnownBundle(
            encoding=ENCODING,
            path=os.path.abspath(path),
            key=self._key.hex(),
            contents=tuple(contents),
        )


class EarlierContent:
    """The frames of one large content, in an earlier bundle that is open."""

    def __init__(self, source: Source, cipher: _Cipher, known: KnownContent) -> None:
        self._source = source
        self._cipher = cipher
        self._known = known
        self._offsets = [known.offset]
        for size, _ in known.frames:
            self._offsets.append(self._offsets[-1] + size)

    def copy(self, index: int, buffer: bytearray) -> memoryview | None:
        """A frame as it is stored, or None where the file does not hold it any more.

        Args:
            index: Which frame of the content.
            buffer: Where it goes: at least `MAX_FRAME_STORED` bytes.
        """
        stored = memoryview(buffer)[: self._known.frames[index][0]]
        try:
            self._source.read_into(stored, self._offsets[index])
        except RepropackError:
            return None
        return stored if self.is_frame(index, stored) else None

    def is_frame(self, index: int, stored: bytes | memoryview) -> bool:
        """Whether stored bytes are those of a frame."""
        size, tag = self._known.frames[index]
        number = self._known.first + index
        return len(stored) == size and tag == _tag(self._cipher, number, self._known.sha256, stored)


class EarlierBundles:
    """The bundles that are remembered in a directory. A context manager that reads the notes, and
    closes the bundles; outside of it none is known.

    Args:
        directory: The user's own; made when the first note is written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[tuple[str, int], tuple[KnownBundle, KnownContent]] = {}
        self._sources: dict[str, Source] = {}

    def __enter__(self) -> EarlierBundles:
        for path in self._notes():
            bundle = _read_note(path)
            if bundle is not None and bundle.encoding == ENCODING and os.path.exists(bundle.path):
                for content in bundle.contents:
                    self._known.setdefault((content.sha256, content.size), (bundle, content))
        return self

    def __exit__(self, *error: object) -> None:
        for source in self._sources.values():
            source.close()

    def find(self, sha256: str, size: int) -> EarlierContent | None:
        """The frames of a content, where an earlier bundle seems to hold them."""
        if (sha256, size) not in self._known:
            return None
        bundle, content = self._known[sha256, size]
        source = self._sources.get(bundle.path)
        if source is None:
            try:
                source = self._sources[bundle.path] = open_source(Path(bundle.path), Access())
            except RepropackError:
                return None
        if content.offset + sum(stored for stored, _ in content.frames) > source.size:
            return None
        return EarlierContent(source, _cipher(bytes.fromhex(bundle.key)), content)

    def remember(self, bundle: KnownBundle) -> None:
        """Writes a note down, in the place of an older one about a bundle of that name.

        Notes about bundles that are gone are removed. A note that cannot be written is missing, and
        nothing depends on it.
        """
        place = self._directory / f"{sha256_hex(os.fsencode(bundle.path))}.json"
        # A path that is not UTF-8 has no place in JSON.
        with contextlib.suppress(OSError, ValueError):
            if not bundle.contents:
                place.unlink(missing_ok=True)
                return
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            remove_abandoned(self._directory)
            write_file(place, canonical.encode(bundle), mode=0o600)
            for number, note in enumerate(self._notes()):
                known = _read_note(note)
                if number >= MAX_NOTES or known is None or not os.path.exists(known.path):
                    note.unlink(missing_ok=True)

    def _notes(self) -> list[Path]:
        """The files of all notes, the latest first; none where others may write."""
        try:
            status = os.lstat(self._directory)
            if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return []
            found = [
                (entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(self._directory)
            ]
        except OSError:
            return []
        return [Path(path) for _, path in sorted(found, reverse=True) if path.endswith(".json")]


def _read_note(path: Path) -> KnownBundle | None:
    """A note, or None where it cannot be read or says what cannot be."""
    try:
        bundle = canonical.decode(path.read_bytes(), KnownBundle, limit=MAX_NOTE)
        sound = len(bytes.fromhex(bundle.key)) == KEY_BYTES and all(map(_is_sound, bundle.contents))
    except (OSError, ValueError):
        return None
    return bundle if sound else None


def _is_sound(content: KnownContent) -> bool:
    return (
        content.size >= OWN_FRAMES
        and content.first < MAX_FRAMES
        and len(content.frames) == _frame_count(content.size)
        and all(0 < size <= MAX_FRAME_STORED for size, _ in content.frames)
    )


def _frame_count(size: int) -> int:
    """Frames of a large content. Its padding fits into the last: a frame is whole blocks."""
    return -(-size // FRAME_CONTENT)
