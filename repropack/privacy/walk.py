# SPDX-License-Identifier: Apache-2.0
"""Walks through files and what is in them, and collects what was found.

One walker for all kinds of containers (`repropack.privacy.containers`). Memory is bounded: bytes
come in chunks, and what has to be read as a file of its own goes to a temporary file. What could
not be looked into is said; it is never called clean.
"""

from __future__ import annotations

import io
import itertools
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, cast

from msgspec import Struct

from repropack.digest import sha256_hex
from repropack.errors import RepropackError
from repropack.privacy.betterleaks import BetterleaksError, Found, Texts, location
from repropack.privacy.containers import (
    BEHIND,
    CHUNK,
    COVERED,
    HEAD,
    Container,
    UnreadableError,
    archive_at_end,
    container_for,
    packed_kind,
    plain_kind,
)
from repropack.privacy.embedded import embedded
from repropack.privacy.search import CONTEXT, Hit, Searcher, fingerprint, is_binary, masked
from repropack.privacy.terms import Term

__all__ = ["AS_BYTES", "Leak", "Scanned", "Target", "scan"]

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

PART: Final = 64 * 1024 * 1024
"""Bytes of a large file that one process searches at a time."""

SMALL: Final = 16 * 1024
"""Bytes that could be searched in the time that it takes to open a file."""

MAX_LISTED: Final = 10_000
"""Findings of one kind that are kept."""

BLOCK: Final = 256
"""Bytes of a text that are looked at together, to tell whether something else is among them."""

_PACKED_MARKS: Final = (b"\x1f\x8b\x08", b"PK\x03\x04", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
"""Of gzip, ZIP, xz and zstd: a short one is no binary block."""

AS_BYTES: Final = "searched as bytes: an unknown binary format"
"""What is said of a file in which something may be packed that nobody unpacked."""

LONG_TEXT: Final = "a long text: not what it may hold in base64"
"""What is said of a text that is searched as it comes."""

WHOLE: Final = 4 * IN_MEMORY
"""Bytes of a text that are held at once, to look for what is embedded in it."""


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
        betterleaks: Whether betterleaks was asked too.
    """

    files: int
    size: int
    leaks: tuple[Leak, ...] = ()
    unsearched: tuple[Unsearched, ...] = ()
    betterleaks: bool = False


BETTERLEAKS: Final = "betterleaks: "
"""What its rules are called here begins with this."""


class _How(Struct, frozen=True, kw_only=True):
    """What is searched for, and by whom.

    Attributes:
        betterleaks: Where it is, or an empty text.
    """

    terms: Sequence[Term]
    anonymous: bool
    betterleaks: str


class _Part(Struct, frozen=True, kw_only=True):
    """A piece of work for one process: a file, or the bytes of a window of a large one.

    Attributes:
        start: Where the window begins,
        stop: and ends; None where it is all of the file and what is in it.
        within: Whether what is in the file is looked into; its own bytes are other parts then.
    """

    target: Target
    size: int
    start: int = 0
    stop: int | None = None
    within: bool = False


def scan(
    targets: Sequence[Target],
    terms: Sequence[Term],
    *,
    anonymous: bool = False,
    workers: int | None = None,
    second: bool = True,
) -> Scanned:
    """Searches files, on several processors where there is much to search.

    Args:
        targets: The files.
        terms: The author's own.
        anonymous: Whether her name is unwanted also where authors are named.
        workers: Processes; None for one for each processor.
        second: Whether betterleaks searches too, where it is installed.

    Raises:
        RepropackError: A file cannot be read.
    """
    sizes = [_size(target) for target in targets]
    count = workers or len(os.sched_getaffinity(0))
    how = _How(terms=terms, anonymous=anonymous, betterleaks=location() if second else "")
    if count < 2 or sum(sizes) < PARALLEL_FROM:
        parts = [_Part(target=t, size=s) for t, s in zip(targets, sizes, strict=True)]
        results = [_scan_some(parts, how)]
    else:
        parts = [part for t, s in zip(targets, sizes, strict=True) for part in _parts_of(t, s)]
        results = _scan_in_processes(parts, how, count)
    leaks = {(leak.id, leak.member): leak for result in results for leak in result.leaks}
    return Scanned(
        files=len(targets),
        size=sum(sizes),
        leaks=tuple(sorted(leaks.values(), key=lambda x: (not x.blocks, x.place, x.rule, x.id))),
        unsearched=tuple(
            sorted(
                {u for result in results for u in result.unsearched},
                key=lambda x: (x.place, x.reason),
            )
        ),
        betterleaks=bool(how.betterleaks),
    )


def _parts_of(target: Target, size: int) -> Iterator[_Part]:
    """A large file in windows; what is in it, if anything is, by itself."""
    if size <= PART or isinstance(target.content, bytes):
        yield _Part(target=target, size=size)
        return
    for start in range(0, size, PART):
        stop = min(start + PART, size)
        yield _Part(target=target, size=stop - start, start=start, stop=stop)
    # Of plain bytes nothing is left; to decompress takes as long as to search.
    yield _Part(target=target, size=size, within=True)


def _scan_in_processes(parts: Sequence[_Part], how: _How, count: int) -> list[Scanned]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    # The largest first, each to the share that has least; small shares even out what is slow.
    shares: list[tuple[int, list[_Part]]] = [(0, []) for _ in range(count * 16)]
    for part in sorted(parts, key=lambda x: -x.size):
        number = min(range(len(shares)), key=lambda n: shares[n][0])
        shares[number][1].append(part)
        shares[number] = (shares[number][0] + part.size + SMALL, shares[number][1])
    # A fresh interpreter: this one may have threads, whose locks a fork would copy.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        jobs = [pool.submit(_scan_some, share, how) for _, share in shares if share]
        return [job.result() for job in jobs]


def _scan_some(parts: Sequence[_Part], how: _How) -> Scanned:
    texts = Texts(how.betterleaks) if how.betterleaks else None
    walk = _Walk(Searcher(how.terms, anonymous=how.anonymous), texts)
    try:
        _look_into(walk, parts)
        walk.end()
    finally:
        if texts is not None:
            texts.close()
    return Scanned(
        files=0,
        size=0,
        leaks=tuple(walk.leaks.values()),
        unsearched=tuple(
            Unsearched(place=place, reason=reason) for place, reason in walk.unsearched
        ),
    )


def _look_into(walk: _Walk, parts: Sequence[_Part]) -> None:
    for part in parts:
        try:
            walk.part(part)
        except OSError as error:
            content = part.target.content
            raise RepropackError(
                f"cannot read {content if isinstance(content, Path) else ''}: "
                f"{error.strerror or error}"
            ) from error


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


def _name(place: str) -> str:
    """What a file or a piece is called where it lies."""
    return place.rpartition(" » ")[2]


def _open(content: Path | bytes) -> BinaryIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


class _OverLimitError(Exception):
    """A file unfolds to more than it may."""


class _Walk:
    """Collects what is found in files, one after the other."""

    def __init__(self, searcher: Searcher, texts: Texts | None) -> None:
        self._searcher = searcher
        self._texts = texts
        self.leaks: dict[tuple[str, str], Leak] = {}
        self.unsearched: dict[tuple[str, str], None] = {}
        self._member = ""
        self._left = 0

    def part(self, part: _Part) -> None:
        """Looks into a file, or at a window of it.

        Raises:
            OSError: It cannot be read.
        """
        target = part.target
        self._member = target.member
        with _open(target.content) as file:
            size = file.seek(0, os.SEEK_END)
            if part.stop is not None:
                self._window(file, part.start, part.stop, target.place)
                return
            self._left = MIN_EXPANDED + MAX_RATIO * size
            try:
                self._file(file, size, target.place, 0, seen=part.within)
            except _OverLimitError:
                self._note(target.place, "unfolds to more than is searched")

    def _window(self, file: BinaryIO, start: int, stop: int, place: str) -> None:
        """Searches the bytes of a part of a large file, unless what is in it is all there is."""
        found = container_for(file.read(HEAD) if not file.seek(0) else b"", _name(place))
        if found is not None and found[0] in COVERED:
            return
        first = max(start - CONTEXT, 0)
        file.seek(first)
        left = stop + CONTEXT - first
        chunks = iter(lambda: file.read(min(CHUNK, max(first + left - file.tell(), 0))), b"")
        self._bytes(chunks, place, start=start - first, stop=stop - first)

    def _file(self, file: BinaryIO, size: int, place: str, depth: int, *, seen: bool) -> None:
        name = _name(place)
        file.seek(0)
        head = file.read(HEAD)
        found = container_for(head, name)
        self._found(self._searcher.search(name.encode("utf-8", "surrogateescape"), place), place)
        if not seen and (found is None or found[0] not in COVERED):
            file.seek(0)
            self._bytes(iter(lambda: file.read(CHUNK), b""), place)
        archive = archive_at_end(file, size)
        behind = False
        if found is not None:
            behind = self._container(*found, file, size, place, depth)
        else:
            self._leaf(file, archive.start if archive else size, place, depth)
        if archive is not None and not behind:
            self._container(archive.kind, archive.container, file, size, place, depth)

    def _container(
        self, kind: str, container: Container, file: BinaryIO, size: int, place: str, depth: int
    ) -> bool:
        """Looks into what is in a file, and says whether that was also what is behind it."""
        behind = False
        if depth >= MAX_DEPTH:
            self._note(place, f"nested more than {MAX_DEPTH} deep")
            return behind
        try:
            for piece in container.pieces(file, size):
                behind = behind or piece.name == BEHIND
                inner = " » ".join(p for p in (place, piece.name) if p)
                self._piece(piece.content, inner, depth + 1, seen=piece.seen)
        except UnreadableError as error:
            self._note(place, f"{kind}: {error}")
        return behind

    def _leaf(self, file: BinaryIO, size: int, place: str, depth: int) -> None:
        file.seek(0)
        head = file.read(min(HEAD, size))
        if is_binary(head) or packed_kind(head):
            self._as_bytes(head, place)
        elif size > WHOLE:
            self._note(place, LONG_TEXT)
        else:
            text = head + file.read(size - len(head))
            if any(mark in text for mark in _PACKED_MARKS) or any(
                is_binary(text[at : at + BLOCK]) for at in range(HEAD, len(text), BLOCK)
            ):
                # A script that unpacks itself, say.
                self._note(place, "searched as bytes: text, with binary content in it")
            self._also(text, place)
            for number, data in enumerate(embedded(text)):
                if depth >= MAX_DEPTH:
                    self._note(place, f"nested more than {MAX_DEPTH} deep")
                    return
                self._piece(iter((data,)), f"{place} » embedded {number}", depth + 1, seen=False)

    def _piece(self, content: Iterator[bytes], place: str, depth: int, *, seen: bool) -> None:
        content = self._counted(content, place)
        first = next(content, b"")
        head, name = first[:HEAD], _name(place)
        if is_binary(head) and container_for(head, name) is None:
            # No need for a file: it is searched while it comes.
            self._found(self._searcher.search(name.encode("utf-8", "replace"), place), place)
            if not seen:
                self._bytes(itertools.chain((first,), content), place)
            self._as_bytes(head, place)
            return
        with tempfile.SpooledTemporaryFile(IN_MEMORY, prefix="repropack-scan-") as file:
            for data in itertools.chain((first,), content):
                file.write(data)
            self._file(cast(BinaryIO, file), file.tell(), place, depth, seen=seen)

    def _as_bytes(self, head: bytes, place: str) -> None:
        """Says that bytes are no format whose text lies plainly in them."""
        if kind := packed_kind(head):
            self._note(place, f"searched as bytes: what {kind} has packed was not read")
        elif plain_kind(head) is None:
            self._note(place, AS_BYTES)

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

    def _bytes(
        self, chunks: Iterable[bytes], place: str, *, start: int = 0, stop: int | None = None
    ) -> None:
        """Searches bytes that come in chunks, in windows that know their surroundings.

        Args:
            chunks: The bytes.
            place: What they are called.
            start: Where the search begins in them,
            stop: and where it ends.
        """
        data = b""
        at = start
        end = stop
        for chunk in chunks:
            data += chunk
            ready = len(data) - CONTEXT if end is None else min(len(data) - CONTEXT, end)
            if ready <= at:
                continue
            self._found(self._searcher.search(data, place, start=at, stop=ready), place)
            gone = max(ready - CONTEXT, 0)
            data, at = data[gone:], ready - gone
            end = None if end is None else end - gone
        last = len(data) if end is None else min(len(data), end)
        if last > at:
            self._found(self._searcher.search(data, place, start=at, stop=last), place)

    def _found(self, hits: Iterable[Hit], place: str, member: str | None = None) -> None:
        member = self._member if member is None else member
        for hit in hits:
            key = sha256_hex(f"{place}\0{hit.rule}\0{hit.sha256}".encode("utf-8", "replace"))[:12]
            if (key, member) not in self.leaks and len(self.leaks) < MAX_LISTED:
                self.leaks[key, member] = Leak(
                    id=key,
                    place=place,
                    member=member,
                    rule=hit.rule,
                    shown=hit.shown,
                    sha256=hit.sha256,
                    blocks=hit.blocks,
                    why=hit.why,
                )

    def _also(self, text: bytes, place: str) -> None:
        """Has betterleaks search a text too."""
        if self._texts is not None:
            self._second(self._texts.add(place, self._member, text))

    def end(self) -> None:
        """Says what betterleaks found in the last texts."""
        if self._texts is not None:
            self._second(self._texts.search())

    def _second(self, found: Iterator[Found]) -> None:
        try:
            for one in found:
                rule = BETTERLEAKS + one.rule
                hit = Hit(rule, masked(one.secret), fingerprint(rule, one.secret), True, one.why)
                if not self._is_known(hit, one):
                    self._found((hit,), one.place, one.member)
        except BetterleaksError as error:
            self._note("", f"betterleaks did not search: {error}")
            self._texts = None

    def _is_known(self, hit: Hit, found: Found) -> bool:
        """Whether we found the same in the same place: what is shown says so."""
        return any(
            leak.place == found.place and leak.shown == hit.shown and leak.blocks
            for leak in self.leaks.values()
        )

    def _note(self, place: str, reason: str) -> None:
        if len(self.unsearched) < MAX_LISTED:
            self.unsearched[place, reason] = None
