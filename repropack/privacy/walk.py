# SPDX-License-Identifier: Apache-2.0
"""Walks through files and what is in them, and collects what was found.

One walker for all kinds of containers (`repropack.privacy.containers`). Memory is bounded: bytes
come in chunks, and what has to be read as a file of its own goes to a temporary file. What could
not be looked into is said; it is never called clean.
"""

from __future__ import annotations

import base64
import binascii
import io
import itertools
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, cast

from msgspec import Struct

from repropack.digest import sha256_hex
from repropack.errors import RepropackError
from repropack.privacy.containers import (
    CHUNK,
    COVERED,
    HEAD,
    UnreadableError,
    container_for,
    plain_kind,
)
from repropack.privacy.search import BLOCK, OVERLAP, Hit, Searcher, is_binary
from repropack.privacy.terms import Term

__all__ = ["Leak", "Scanned", "Target", "scan"]

MAX_DEPTH: Final = 8
"""Containers in containers: a checkpoint in an archive in a notebook has three."""

MIN_EXPANDED: Final = 256 * 1024 * 1024
MAX_RATIO: Final = 50
"""Bytes that a file may unfold to: the first, and so many times its size. Text compresses to a
fifth, zeros to a thousandth."""

IN_MEMORY: Final = 16 * 1024 * 1024
"""Bytes of an inner file that are kept in memory."""

PARALLEL_FROM: Final = 24 * 1024 * 1024
"""Bytes from which a second process pays for its start of a third of a second."""

MAX_LISTED: Final = 10_000
"""Findings of one kind that are kept."""

_EMBEDDED: Final = re.compile(
    rb"(?:iVBORw0KGgo|/9j/|H4sI|UEsDB|JVBERi0)[A-Za-z0-9+/\\\r\n]{64,}={0,2}"
)
"""PNG, JPEG, gzip, ZIP and PDF in base64, as notebooks and pages hold them."""


class Target(Struct, frozen=True, kw_only=True):
    """A file to look into.

    Attributes:
        place: What the author calls it; waivers name it.
        member: Its path in the bundle, where it goes into one.
        content: The file, or its content.
    """

    place: str
    content: Path | bytes
    member: str = ""


class Leak(Struct, frozen=True, kw_only=True):
    """Something that was found somewhere.

    Attributes:
        id: Twelve digits, by which it is waived: they follow from place, rule and content.
        place: The file, and after ` » ` what is in it.
        member: Its path in the bundle, or empty.
        rule: The rule's name.
        shown: A masked secret, or the author's term.
        sha256: The digest of rule and content.
        blocks: Whether it stops an export.
        why: Why it matters.
    """

    id: str
    place: str
    rule: str
    shown: str
    sha256: str
    blocks: bool
    why: str
    member: str = ""


class Unsearched(Struct, frozen=True, kw_only=True):
    """Something that was not searched, or only as bytes."""

    place: str
    reason: str


class Scanned(Struct, frozen=True, kw_only=True):
    """The result of a search.

    Attributes:
        files: How many were looked into,
        size: and their bytes.
        leaks: What was found, by place; each finding once in a place.
        unsearched: What could not be looked into, and why.
    """

    files: int
    size: int
    leaks: tuple[Leak, ...] = ()
    unsearched: tuple[Unsearched, ...] = ()


def scan(
    targets: Sequence[Target],
    terms: Sequence[Term],
    *,
    anonymous: bool = False,
    workers: int | None = None,
) -> Scanned:
    """Searches files, on several processors where there is much to search.

    Args:
        targets: The files.
        terms: The author's own.
        anonymous: Whether her name is unwanted also where authors are named.
        workers: Processes; None for one for each processor.

    Raises:
        RepropackError: A file cannot be read.
    """
    sizes = [_size(target) for target in targets]
    count = workers or len(os.sched_getaffinity(0))
    if count < 2 or sum(sizes) < PARALLEL_FROM or len(targets) < 2:
        results = [_scan_some(targets, terms, anonymous)]
    else:
        results = _scan_in_processes(targets, sizes, terms, anonymous, count)
    leaks = {(leak.id, leak.member): leak for result in results for leak in result.leaks}
    return Scanned(
        files=len(targets),
        size=sum(sizes),
        leaks=tuple(sorted(leaks.values(), key=lambda x: (not x.blocks, x.place, x.rule, x.id))),
        unsearched=tuple(
            sorted((u for r in results for u in r.unsearched), key=lambda x: (x.place, x.reason))
        ),
    )


def _scan_in_processes(
    targets: Sequence[Target], sizes: list[int], terms: Sequence[Term], anonymous: bool, count: int
) -> list[Scanned]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # The largest first, each to the part that has least; small parts even out what is slow.
    parts: list[tuple[int, list[Target]]] = [(0, []) for _ in range(count * 4)]
    for size, target in sorted(zip(sizes, targets, strict=True), key=lambda x: -x[0]):
        number = min(range(len(parts)), key=lambda n: parts[n][0])
        parts[number][1].append(target)
        parts[number] = (parts[number][0] + size + 4096, parts[number][1])
    # A fresh interpreter: this one may have threads, whose locks a fork would copy.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        jobs = [pool.submit(_scan_some, part, terms, anonymous) for _, part in parts if part]
        return [job.result() for job in jobs]


def _scan_some(targets: Sequence[Target], terms: Sequence[Term], anonymous: bool) -> Scanned:
    walk = _Walk(Searcher(terms, anonymous=anonymous))
    for target in targets:
        try:
            walk.target(target)
        except OSError as error:
            raise RepropackError(
                f"cannot read {target.content if isinstance(target.content, Path) else ''}: "
                f"{error.strerror or error}"
            ) from error
    return Scanned(
        files=len(targets),
        size=0,
        leaks=tuple(walk.leaks.values()),
        unsearched=tuple(
            Unsearched(place=place, reason=reason) for place, reason in walk.unsearched
        ),
    )


def _size(target: Target) -> int:
    if isinstance(target.content, bytes):
        return len(target.content)
    try:
        status = os.stat(target.content)
    except OSError as error:
        raise RepropackError(f"cannot read {target.content}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise RepropackError(f"cannot read {target.content}: it is not a regular file")
    return status.st_size


def _open(content: Path | bytes) -> BinaryIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


class _OverLimitError(Exception):
    """A file unfolds to more than it may."""


class _Walk:
    """Collects what is found in files, one after the other."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self.leaks: dict[tuple[str, str], Leak] = {}
        self.unsearched: dict[tuple[str, str], None] = {}
        self._member = ""
        self._left = 0

    def target(self, target: Target) -> None:
        """Looks into a file.

        Raises:
            OSError: It cannot be read.
        """
        self._member = target.member
        with _open(target.content) as file:
            size = file.seek(0, os.SEEK_END)
            self._left = MIN_EXPANDED + MAX_RATIO * size
            try:
                self._file(file, size, target.place, 0, seen=False)
            except _OverLimitError:
                self._note(target.place, "unfolds to more than is searched")

    def _file(self, file: BinaryIO, size: int, place: str, depth: int, *, seen: bool) -> None:
        name = place.rpartition(" » ")[2]
        file.seek(0)
        head = file.read(HEAD)
        found = container_for(head, name)
        self._found(self._searcher.search(name.encode("utf-8", "surrogateescape"), place), place)
        if not seen and (found is None or found[0] not in COVERED):
            file.seek(0)
            self._bytes(iter(lambda: file.read(CHUNK), b""), place)
        if found is None:
            self._leaf(file, size, head, place, depth)
        elif depth >= MAX_DEPTH:
            self._note(place, f"nested more than {MAX_DEPTH} deep")
        else:
            kind, container = found
            try:
                for piece in container.pieces(file, size):
                    inner = " » ".join(p for p in (place, piece.name) if p)
                    self._piece(piece.content, inner, depth + 1, seen=piece.seen)
            except UnreadableError as error:
                self._note(place, f"{kind}: {error}")

    def _leaf(self, file: BinaryIO, size: int, head: bytes, place: str, depth: int) -> None:
        if is_binary(head) and head:
            if plain_kind(head, place) is None:
                self._note(place, "searched as bytes: an unknown binary format")
        elif size <= IN_MEMORY * 4 and depth < MAX_DEPTH:
            file.seek(0)
            for number, match in enumerate(_EMBEDDED.finditer(file.read())):
                data = _decode(match[0])
                self._piece(iter((data,)), f"{place} » embedded {number}", depth + 1, seen=False)

    def _piece(self, content: Iterator[bytes], place: str, depth: int, *, seen: bool) -> None:
        content = self._counted(content, place)
        first = next(content, b"")
        name = place.rpartition(" » ")[2]
        if container_for(first[:HEAD], name) is None and (
            seen or len(first) >= CHUNK or is_binary(first[:HEAD])
        ):
            # No need for a file: it is searched while it comes.
            self._found(self._searcher.search(name.encode("utf-8", "replace"), place), place)
            if not seen:
                self._bytes(itertools.chain((first,), content), place)
            if first and is_binary(first[:HEAD]) and plain_kind(first[:HEAD], place) is None:
                self._note(place, "searched as bytes: an unknown binary format")
            return
        with tempfile.SpooledTemporaryFile(IN_MEMORY, prefix="repropack-scan-") as file:
            for data in itertools.chain((first,), content):
                file.write(data)
            self._file(cast(BinaryIO, file), file.tell(), place, depth, seen=seen)

    def _counted(self, content: Iterable[bytes], place: str) -> Iterator[bytes]:
        """The bytes of a piece up to where it is damaged, within the limit of the file."""
        try:
            for data in content:
                self._left -= len(data)
                if self._left < 0:
                    raise _OverLimitError
                yield data
        except UnreadableError as error:
            self._note(place, str(error))

    def _bytes(self, chunks: Iterator[bytes], place: str) -> None:
        kept = b""
        chunk = next(chunks, b"")
        while chunk:
            following = next(chunks, b"")
            data = kept + chunk
            for at in range(0, len(data), BLOCK):
                block = data[at : at + BLOCK + OVERLAP]
                cut = bool(following) or at + len(block) < len(data)
                self._found(self._searcher.search(block, place, cut=cut), place)
            kept, chunk = data[-OVERLAP:], following

    def _found(self, hits: Iterable[Hit], place: str) -> None:
        for hit in hits:
            key = sha256_hex(f"{place}\0{hit.rule}\0{hit.sha256}".encode("utf-8", "replace"))[:12]
            if (key, self._member) not in self.leaks and len(self.leaks) < MAX_LISTED:
                self.leaks[key, self._member] = Leak(
                    id=key,
                    place=place,
                    member=self._member,
                    rule=hit.rule,
                    shown=hit.shown,
                    sha256=hit.sha256,
                    blocks=hit.blocks,
                    why=hit.why,
                )

    def _note(self, place: str, reason: str) -> None:
        if len(self.unsearched) < MAX_LISTED:
            self.unsearched[place, reason] = None


def _decode(text: bytes) -> bytes:
    run = text.replace(b"\\n", b"").translate(None, b"\\\r\n=")
    try:
        return base64.b64decode(run[: len(run) // 4 * 4])
    except binascii.Error:
        return b""
