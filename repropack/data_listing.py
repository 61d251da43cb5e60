# SPDX-License-Identifier: Apache-2.0
"""Lists of the files of a data set with a digest each, and how two of them differ.

A published list is what `sha256sum`, `md5sum` and their kin write (GNU coreutils manual, "cksum
output modes"), with or without `--tag`, or a data manifest of ours. Reading and comparing takes
memory for one path and one digest a file: data sets have millions.
"""

from __future__ import annotations

import collections
import itertools
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import canonical
from repropack.errors import UsageError
from repropack.model import DataManifest, RunRecord
from repropack.placeholders import PROJECT_DATA, split_data

__all__ = [
    "ALGORITHMS",
    "Alignment",
    "DataDifference",
    "DataListing",
    "align",
    "by_directory",
    "by_suffix",
    "compare",
    "data_names",
    "listing_of",
    "listings_of_run",
    "read_listing",
]

ALGORITHMS: Final = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
"""Hexadecimal digits to algorithm."""

LINE_LIMIT: Final = 64 * 1024
"""Bytes of a line: a path has at most 4,096."""

MANIFEST_LIMIT: Final = 512 * 1024 * 1024
"""Bytes of a data manifest: that of a million files has about 150 MiB."""

SAMPLE: Final = 16
"""Paths from which it is seen that two lists start at different directories."""

_PLAIN: Final = re.compile(rb"(\\?)([0-9a-fA-F]{32,128}) [ *](.+)", re.DOTALL)
_TAGGED: Final = re.compile(
    rb"(\\?)(MD5|SHA1|SHA256|SHA512) \((.+)\) = ([0-9a-fA-F]{32,128})", re.DOTALL
)
_ESCAPE: Final = re.compile(rb"\\([\\nr])")
_UNESCAPED: Final = {b"\\": b"\\", b"n": b"\n", b"r": b"\r"}


class DataListing(Struct, frozen=True, kw_only=True):
    """Files by path below the root of a data set.

    Attributes:
        name: That of the data set, where the list says it.
        algorithm: Of the digests.
        files: The digest of each as bytes; empty where it is not known.
    """

    name: str = ""
    algorithm: str = "sha256"
    files: dict[str, bytes]


class DataDifference(Struct, frozen=True, kw_only=True):
    """What differs between two lists. Paths are sorted.

    Attributes:
        same: How many files have the same digest in both.
        added: Files of the second alone.
        removed: Files of the first alone.
        changed: Files of both with different digests.
        unknown: Files of both of which a digest is not known.
    """

    same: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


class Alignment(Struct, frozen=True, kw_only=True):
    """How paths of one list become paths of another: `cut` goes, then `put` comes, at the start."""

    cut: str = ""
    put: str = ""

    def __call__(self, path: str) -> str | None:
        """The path in the other list; None where it lies outside."""
        return self.put + path[len(self.cut) :] if path.startswith(self.cut) else None


def compare(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> DataDifference:
    """Compares two lists whose digests are of one algorithm."""
    same = 0
    changed = []
    unknown = []
    removed = []
    for path, digest in before.items():
        other = after.get(path)
        if other is None:
            removed.append(path)
        elif not digest or not other:
            unknown.append(path)
        elif digest == other:
            same += 1
        else:
            changed.append(path)
    return DataDifference(
        same=same,
        added=tuple(sorted(path for path in after if path not in before)),
        removed=tuple(sorted(removed)),
        changed=tuple(sorted(changed)),
        unknown=tuple(sorted(unknown)),
    )


def align(files: Mapping[str, bytes], others: Mapping[str, bytes]) -> Alignment:
    """How paths that may start at another directory are found in another list.

    `train/a.jpg` of a data set is `imagenet/train/a.jpg` of a list that was made one directory
    further up; and the other way round. A sample of the files votes, first those whose content is
    the same in both places, for every class may have its `1.jpg`.
    """
    step = max(1, len(files) // SAMPLE)
    sample = list(itertools.islice(files, 0, None, step))
    votes: dict[tuple[str, str], list[int]] = {}

    def vote(path: str, other: str, cut: str, put: str) -> None:
        count = votes.setdefault((cut, put), [0, 0])
        count[0] += bool(files[path]) and files[path] == others[other]
        count[1] += 1

    for path in sample:
        if path in others:
            vote(path, path, "", "")
        start = path.find("/") + 1
        while start:
            if path[start:] in others:
                vote(path, path[start:], path[:start], "")
            start = path.find("/", start) + 1
    tails = tuple("/" + path for path in sample)
    for other in others if tails else ():
        if other.endswith(tails):
            for tail in tails:
                if other.endswith(tail):
                    vote(tail[1:], other, "", other[: len(other) - len(tail) + 1])
    if not votes:
        return Alignment()
    # The most votes, and of equals the least change.
    (cut, put), _ = min(
        votes.items(), key=lambda item: (-item[1][0], -item[1][1], len("".join(item[0])))
    )
    return Alignment(cut=cut, put=put)


def by_suffix(paths: Iterable[str]) -> list[tuple[str, int]]:
    """How many files have each suffix, most first."""
    counts = collections.Counter(os.path.splitext(path)[1].lower() or "no suffix" for path in paths)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def by_directory(paths: Iterable[str]) -> list[tuple[str, int]]:
    """How many files each directory holds itself, most first."""
    counts = collections.Counter(os.path.dirname(path) or "." for path in paths)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def listing_of(manifest: DataManifest) -> DataListing:
    """The list in a data manifest."""
    return DataListing(
        name=manifest.name,
        files={file.path: bytes.fromhex(file.sha256) for file in manifest.files},
    )


def listings_of_run(record: RunRecord) -> dict[str, DataListing]:
    """What a run read, by data set; but in the project what earlier runs had made."""
    found: dict[str, dict[str, bytes]] = {}
    # By what stands before the path below: a data set has many files.
    names: dict[str, str | None] = {}
    for segment in record.segments:
        for material in segment.materials:
            head, _, below = material.path.partition("}/")
            if head not in names:
                split = split_data(f"{head}}}/")
                names[head] = split[0] if split is not None else None
            name = names[head]
            if name is not None and (material.origin is None or name != PROJECT_DATA):
                content = bytes.fromhex(material.sha256) if material.sha256 else b""
                found.setdefault(name, {})[below] = content
    return {name: DataListing(name=name, files=files) for name, files in found.items()}


def data_names(sets: Iterable[str]) -> str:
    """Names of data sets, for a message."""
    return ", ".join(sorted(filter(None, sets))) or "none with a name"


def read_listing(path: Path) -> DataListing:
    """Reads a published list: of sha256sum or its kin, or a data manifest.

    Raises:
        UsageError: It cannot be read, or is neither; the message names the line.
    """
    try:
        with path.open("rb") as file:
            first = file.read(1)
            if first == b"{":
                return _read_manifest(path, first + file.read(MANIFEST_LIMIT))
            file.seek(0)
            # What is longer than a line may be is refused, not read to its end.
            return _read_lines(path, iter(lambda: file.readline(LINE_LIMIT + 1), b""))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _read_manifest(path: Path, data: bytes) -> DataListing:
    try:
        return listing_of(canonical.decode(data, DataManifest, limit=MANIFEST_LIMIT))
    except canonical.NotCanonicalError as error:
        raise UsageError(
            f"{path}: it is no data manifest: {error}",
            advice="give a data/NAME.json of a bundle, or a list that sha256sum or md5sum made",
        ) from error


def _read_lines(path: Path, lines: Iterable[bytes]) -> DataListing:
    files: dict[str, bytes] = {}
    algorithm = ""
    for number, line in enumerate(lines, start=1):
        text = line.rstrip(b"\r\n")
        if not text:
            continue
        name, digits = _read_line(text, path, number)
        found = ALGORITHMS.get(len(digits), "")
        if not found or found != (algorithm or found):
            raise UsageError(
                f"{path}, line {number}: a digest of {len(digits)} digits; expected "
                + (f"{algorithm} as in the lines before" if algorithm else "MD5 or SHA")
            )
        algorithm = found
        digest = bytes.fromhex(digits.decode("ascii"))
        if files.setdefault(name, digest) != digest:
            raise UsageError(f"{path}, line {number}: {name} stands twice with different digests")
    if not files:
        raise UsageError(f"{path}: the list has no line `DIGEST  PATH`")
    return DataListing(algorithm=algorithm, files=files)


def _read_line(text: bytes, path: Path, number: int) -> tuple[str, bytes]:
    """The path and the digest, in hexadecimal digits, of one line.

    Raises:
        UsageError: It has another form.
    """
    if plain := _PLAIN.fullmatch(text) if len(text) < LINE_LIMIT else None:
        escaped, digits, name = plain.groups()
    elif tagged := _TAGGED.fullmatch(text) if len(text) < LINE_LIMIT else None:
        escaped, _, name, digits = tagged.groups()
    else:
        raise UsageError(
            f"{path}, line {number}: expected `DIGEST  PATH`, as sha256sum and md5sum write it"
        )
    if escaped:
        name = _ESCAPE.sub(lambda match: _UNESCAPED[match[1]], name)
    return os.path.normpath(os.fsdecode(name)), digits
