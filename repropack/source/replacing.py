# SPDX-License-Identifier: Apache-2.0
"""A tree with words replaced in its text files, its file names and the targets of its links, and
with other commits at the places of its submodules.

The result is another tree with another id, written into the private repository; the tree that ran
stays there as it is. What is no text is never edited.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import Struct

from repropack.errors import UsageError
from repropack.source.git import Git, bare
from repropack.source.private import new_index, private_repository
from repropack.source.trees import GITLINK, parse_batch, recorded_name

__all__ = ["Rewritten", "rewritten_tree"]


MAX_TEXT: Final = 64 * 1024 * 1024
"""Bytes of a file that is edited; larger ones are data, and the leak gate looks into them."""

GITMODULES: Final = b".gitmodules"

NOWHERE: Final = "https://anonymous.invalid/"
"""Instead of the address of a submodule (RFC 6761, section 6.4: no such host can be)."""

TOGETHER: Final = 10_000
"""Files that are read in one call of git."""


class Rewritten(Struct, frozen=True, kw_only=True):
    """A tree after replacement.

    Attributes:
        tree: Its id.
        files: The files in whose content, name or target something was replaced, by their new
            recorded names.
    """

    tree: str
    files: tuple[str, ...]


def rewritten_tree(
    store: Path,
    tree: str,
    change: Callable[[str, str], str],
    submodules: Mapping[str, str] | None = None,
) -> Rewritten:
    """Writes the tree with changed text.

    Args:
        store: The directory of the private repository.
        tree: The tree id.
        change: From the recorded name of a file and a text (its content, its name, the target of
            a link) to the text that stands there instead.
        submodules: Commit ids that stand at the places of submodules instead, by recorded name.
            Where there are any, `.gitmodules` names their places and no address.

    Raises:
        UsageError: Two files would have one name.
        RepropackError: git failed.
    """
    repository = private_repository(store, "sha256" if len(tree) == 64 else "sha1")
    git = bare(repository)
    output = git.call("ls-tree", "-r", "-z", "-l", "--full-tree", tree).stdout
    lines = []
    taken: dict[bytes, bytes] = {}
    files = []
    commits = submodules or {}
    for entry, content in _with_contents(git, output):
        path, oid = entry.path, entry.oid
        name = recorded_name(path)
        place = _changed(path, lambda text, name=name: change(name, text))  # type: ignore[misc]
        fresh = _changed(content, lambda text, name=name: change(name, text))  # type: ignore[misc]
        if commits and path == GITMODULES:
            fresh = _without_addresses(lambda text: change(".gitmodules", text), commits)
        written = oid if fresh == content else _stored(git, fresh)
        if entry.mode == GITLINK:
            written = commits.get(name, oid)
        if place in taken:
            raise UsageError(
                f"{name} and {recorded_name(taken[place])} would both be called "
                f"{recorded_name(place)}",
                advice="replace the term by another text",
            )
        taken[place] = path
        if (place, written) != (path, oid):
            files.append(recorded_name(place))
        lines.append(b"%s %s\t%s\0" % (entry.mode, written.encode("ascii"), place))
    if not files:
        return Rewritten(tree=tree, files=())
    index = new_index(repository)
    try:
        indexed = bare(repository, index=index)
        indexed.call("read-tree", "--empty")
        indexed.call("update-index", "-z", "--index-info", stdin=b"".join(lines))
        fresh_tree = indexed.call("write-tree").stdout.decode("ascii").strip()
    finally:
        index.unlink(missing_ok=True)
        index.with_name(index.name + ".lock").unlink(missing_ok=True)
    return Rewritten(tree=fresh_tree, files=tuple(sorted(files)))


class _Entry(NamedTuple):
    mode: bytes
    oid: str
    path: bytes


def _with_contents(git: Git, listing: bytes) -> Iterator[tuple[_Entry, bytes]]:
    """The entries with what may be edited; large files and submodules come without content."""
    waiting: list[tuple[_Entry, int]] = []
    held = 0
    for record in listing.removesuffix(b"\0").split(b"\0") if listing else []:
        meta, _, path = record.partition(b"\t")
        mode, _, oid, size = meta.split()
        length = int(size) if mode != GITLINK and size.isdigit() else MAX_TEXT + 1
        waiting.append((_Entry(mode, oid.decode("ascii"), path), length))
        held += length if length <= MAX_TEXT else 0
        if held >= MAX_TEXT or len(waiting) >= TOGETHER:
            yield from _read(git, waiting)
            waiting, held = [], 0
    yield from _read(git, waiting)


def _read(git: Git, entries: list[tuple[_Entry, int]]) -> Iterator[tuple[_Entry, bytes]]:
    wanted = dict.fromkeys(entry.oid for entry, length in entries if length <= MAX_TEXT)
    contents: dict[str, bytes] = {}
    if wanted:
        stdin = b"".join(f"{oid}\n".encode("ascii") for oid in wanted)
        contents = dict(parse_batch(git.call("cat-file", "--batch", stdin=stdin).stdout))
    for entry, _ in entries:
        yield entry, contents.get(entry.oid, b"")


def _without_addresses(change: Callable[[str], str], submodules: Mapping[str, str]) -> bytes:
    """A `.gitmodules` made anew (gitmodules(5)), with nothing of what stood in the author's."""
    sections = []
    for name in sorted(submodules):
        quoted = change(name).replace("\\", "\\\\").replace('"', '\\"')
        sections.append(f'[submodule "{quoted}"]\n\tpath = "{quoted}"\n\turl = {NOWHERE}\n')
    return "".join(sections).encode("utf-8")


def _stored(git: Git, content: bytes) -> str:
    arguments = ("hash-object", "-w", "-t", "blob", "--no-filters", "--stdin")
    return git.call(*arguments, stdin=content).stdout.decode("ascii").strip()


def _changed(data: bytes, change: Callable[[str], str]) -> bytes:
    """Text with the change made; what is no UTF-8 text as it was."""
    if b"\0" in data:
        return data
    try:
        return change(data.decode("utf-8")).encode("utf-8")
    except UnicodeDecodeError:
        return data
