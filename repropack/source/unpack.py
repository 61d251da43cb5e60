# SPDX-License-Identifier: Apache-2.0
"""Reads a code bundle that somebody else wrote (docs/spec/rpk-v1.md, section 8).

A bundle is never cloned, fetched or checked out: those run filters, follow links and accept what
`git fsck` refuses. The header is compared with the only one that is allowed; `git index-pack`
checks every object; the trees are walked here, and files are written through descriptors. The
walk also gives the set of objects that the commit reaches: anything else in the pack is a
stowaway, such as history that the author meant to leave out.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Set
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from repropack.errors import RepropackError
from repropack.findings import Code, DefectError
from repropack.paths import MAX_COMPONENTS, descend_beneath
from repropack.process import ProcessFailedError
from repropack.source.git import Git, TimedOutError, bare, initialise
from repropack.source.pack_scan import PackLimits, excess
from repropack.source.trees import (
    GITLINK,
    LINK,
    MAX_FILES,
    MAX_LINK,
    MAX_TOTAL,
    entry_defect,
    link_defect,
    parse_batch,
    parse_tree,
    path_defect,
    recorded_name,
)

__all__ = ["CodeFile", "CodeTree", "bundle_header", "unpack"]

MAX_BUNDLE: Final = MAX_TOTAL + 64 * 1024 * 1024
"""Bytes of a bundle: all files uncompressed, and what git adds."""

MAX_OBJECTS: Final = MAX_FILES + 2
"""Objects of a pack: no more than one for each entry of the tree, and root and commit."""

MAX_COMMIT: Final = 64 * 1024
"""Bytes of the commit object; ours has about 200. A million parents would have 48 million."""

MAX_TREE_BYTES: Final = 64 * 1024 * 1024
"""Bytes of all tree objects: `MAX_FILES` entries with names of 255 bytes fit twice."""

MAX_ALLOCATION: Final = 512 * 1024 * 1024
"""Bytes that git may allocate at once: it has to hold one object that is stored as a delta."""

UNPACK_TIMEOUT: Final = 120.0
"""Seconds for each git command: 2 GiB are hashed in ten; a deflate or delta bomb has no end."""

_STREAMED: Final = 16 * 1024 * 1024
_CHUNK: Final = 1024 * 1024
_PACK_HEADER: Final = 12


class CodeFile(Struct, frozen=True, kw_only=True):
    """A file of a code tree.

    Attributes:
        path: Below the root, as `os.fsdecode` gives it. From the bundle: escape to show.
        target: Where a symbolic link points; None for a regular file.
    """

    path: str
    oid: str
    size: int
    executable: bool
    target: str | None = None


class CodeTree(Struct, frozen=True, kw_only=True):
    """A checked code bundle.

    Attributes:
        files: All files, in the order of the tree.
        submodules: The places of submodules, each an empty directory.
        repository: A private repository that holds the contents; it must stay until `write_to`.
    """

    tree: str
    commit: str
    files: tuple[CodeFile, ...]
    repository: Path
    submodules: tuple[str, ...] = ()

    def write_to(self, directory: Path, below: str = "", *, replace: bool = False) -> None:
        """Writes the files into a directory, which is made if need be.

        Nothing is ever written through a link. What lies there already stays; it may come from
        another code bundle, so its links are not followed either.

        Args:
            directory: A directory of ours.
            below: A plain relative path below it: where the tree belongs.
            replace: Whether a file of the tree takes the place of one that is there.

        Raises:
            RepropackError: git failed.
            OSError: A file could not be written: something else has its place already, or two
                names are one on this file system.
        """
        directory.mkdir(exist_ok=True)
        regular = [file for file in self.files if file.target is None]
        top = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            root = descend_beneath(top, below.split("/") if below else [], create=True)
        finally:
            os.close(top)
        try:
            with tempfile.TemporaryFile(dir=self.repository) as contents:
                _repository(self.repository).call(
                    "cat-file",
                    "--batch",
                    stdin=b"".join(f"{file.oid}\n".encode() for file in regular),
                    stdout=contents.fileno(),
                )
                contents.seek(0)
                for file in regular:
                    _write_file(root, file, contents, replace=replace)
            for path in self.submodules:
                os.close(descend_beneath(root, path.split("/"), create=True))
            for file in self.files:
                if file.target is not None:
                    with _parent(root, file.path) as (parent, name):
                        os.symlink(file.target, name, dir_fd=parent)
        finally:
            os.close(root)


@contextlib.contextmanager
def _parent(root: int, path: str) -> Iterator[tuple[int, str]]:
    """Opens (and makes) the directory of a new file; gives it with the file's name."""
    *directories, name = path.split("/")
    descriptor = descend_beneath(root, directories, create=True)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)


def bundle_header(commit: str) -> bytes:
    """The header that a code bundle has: one branch, and HEAD so that `git clone` checks it out."""
    version = b"# v2 git bundle\n"
    if len(commit) == 64:
        version = b"# v3 git bundle\n@object-format=sha256\n"
    return version + f"{commit} HEAD\n{commit} refs/heads/main\n\n".encode()


def unpack(
    bundle: Path, scratch: Path, *, tree: str, commit: str, submodules: Set[str] = frozenset()
) -> CodeTree:
    """Reads and checks a code bundle. Nothing in it is executed.

    Args:
        bundle: The file.
        scratch: An existing directory, in which a new repository is made.
        tree: The tree id that the run names.
        commit: The commit id that the run names.
        submodules: Where the record says that the tree has submodules; there and nowhere else it
            must have them.

    Raises:
        DefectError: `RPK401` to `RPK407`, whatever is wrong with the bundle.
        RepropackError: git is missing.
        OSError: The bundle cannot be read or the repository not be made.
    """
    repository = Path(tempfile.mkdtemp(prefix="code-", dir=scratch))
    try:
        with bundle.open("rb") as file:
            objects = _check_header(file, commit)
            _check_sizes(file, objects, len(commit) // 2)
            initialise(repository, "sha256" if len(commit) == 64 else "sha1")
            git = _repository(repository)
            _index_pack(git, file)
        stored = _stored(git)
        files, links = _walk(git, stored, tree, commit, submodules)
    except BaseException:
        shutil.rmtree(repository, ignore_errors=True)
        raise
    return CodeTree(tree=tree, commit=commit, files=files, repository=repository, submodules=links)


def _repository(repository: Path) -> Git:
    return bare(
        repository,
        timeout=UNPACK_TIMEOUT,
        options=(
            "protocol.allow=never",
            "pack.threads=1",
            # Larger objects are streamed instead of held in memory.
            f"core.bigFileThreshold={_STREAMED}",
        ),
        variables={"GIT_ALLOC_LIMIT": str(MAX_ALLOCATION)},
    )


def _check_header(file: BinaryIO, commit: str) -> int:
    """Returns how many objects the pack states, and leaves the file at its first byte."""
    size = os.fstat(file.fileno()).st_size
    if size > MAX_BUNDLE:
        raise DefectError(
            Code.CODE_LIMIT, found=f"{size} bytes", expected=f"at most {MAX_BUNDLE} bytes"
        )
    expected = bundle_header(commit)
    start = os.pread(file.fileno(), len(expected) + _PACK_HEADER, 0)
    header, pack = start[: len(expected)], start[len(expected) :]
    if header != expected:
        if re.sub(rb"(?m)^[0-9a-f]+ ", b"", header) == re.sub(rb"(?m)^[0-9a-f]+ ", b"", expected):
            raise DefectError(
                Code.CODE_IDENTITY, found="another commit in its header", expected=commit
            )
        raise DefectError(Code.CODE_HEADER, expected="HEAD and refs/heads/main, nothing else")
    if len(pack) < _PACK_HEADER or pack[:8] != b"PACK\0\0\0\2":
        raise DefectError(Code.CODE_HEADER, expected="a pack of version 2 after the header")
    objects = int.from_bytes(pack[8:], "big")
    if objects > MAX_OBJECTS:
        raise DefectError(
            Code.CODE_LIMIT, found=f"{objects} objects", expected=f"at most {MAX_OBJECTS}"
        )
    os.lseek(file.fileno(), len(expected), os.SEEK_SET)
    return objects


def _check_sizes(file: BinaryIO, objects: int, id_size: int) -> None:
    """Refuses what would take git too long; leaves the file where it stood."""
    start = file.tell()
    file.seek(start + _PACK_HEADER)
    limits = PackLimits(commit=MAX_COMMIT, trees=MAX_TREE_BYTES, total=MAX_BUNDLE)
    found = excess(file, objects, id_size, limits)
    if found:
        raise DefectError(Code.CODE_LIMIT, found=found)
    file.seek(start)
    # git reads the descriptor, not this object and its buffer.
    os.lseek(file.fileno(), start, os.SEEK_SET)


def _index_pack(git: Git, file: BinaryIO) -> None:
    try:
        # From a regular file, git also refuses bytes after the pack.
        git.call(
            "index-pack",
            "--strict",
            "--fsck-objects",
            "--threads=1",
            f"--max-input-size={MAX_BUNDLE}",
            "--stdin",
            stdin=file.fileno(),
        )
    except TimedOutError as error:
        raise DefectError(Code.CODE_LIMIT, found="objects that take too long to read") from error
    except ProcessFailedError as error:
        if error.completed is None:
            raise
        raise DefectError(Code.CODE_OBJECTS, found=error.message) from error


def _stored(git: Git) -> dict[str, tuple[bytes, int]]:
    """Type and size of every object in the pack."""
    output = git.call("cat-file", "--batch-all-objects", "--batch-check").stdout
    stored = {}
    for line in output.splitlines():
        oid, kind, size = line.split(b" ")
        stored[oid.decode("ascii")] = (kind, int(size))
    return stored


def _walk(
    git: Git,
    stored: dict[str, tuple[bytes, int]],
    tree: str,
    commit: str,
    submodules: Set[str],
) -> tuple[tuple[CodeFile, ...], tuple[str, ...]]:
    """The files, and the places of submodules."""
    of_kind = {
        kind: [oid for oid, (has, _) in stored.items() if has == kind]
        for kind in (b"commit", b"tree", b"tag")
    }
    if of_kind[b"commit"] != [commit] or of_kind[b"tag"]:
        if commit not in stored:
            raise DefectError(Code.CODE_IDENTITY, found="another commit", expected=commit)
        raise DefectError(Code.CODE_HISTORY, found="more commits or tags")
    if stored[commit][1] > MAX_COMMIT:
        raise DefectError(Code.CODE_LIMIT, found=f"a commit of {stored[commit][1]} bytes")
    if sum(stored[oid][1] for oid in of_kind[b"tree"]) > MAX_TREE_BYTES:
        raise DefectError(Code.CODE_LIMIT, found="trees that are too large")
    objects = _contents(git, [commit, *of_kind[b"tree"]])
    _check_commit(objects[commit], tree)
    trees: dict[str, tuple[tuple[bytes, bytes, str], ...]] = {}
    for oid in of_kind[b"tree"]:
        try:
            trees[oid] = parse_tree(objects[oid], len(commit) // 2)
        except ValueError as error:
            raise DefectError(Code.CODE_TREE, found=str(error)) from error
    if tree not in trees:
        raise DefectError(Code.CODE_IDENTITY, found="another tree", expected=tree)
    entries = list(_entries(trees, stored, tree, submodules))
    reached = {commit} | _reach(trees, tree)
    if reached != stored.keys():
        raise DefectError(
            Code.CODE_UNREACHABLE, found=f"{len(stored.keys() - reached)} further objects"
        )
    gitlinks = [path for mode, path, _ in entries if mode == GITLINK]
    if missing := sorted(submodules - {recorded_name(path) for path in gitlinks}):
        raise DefectError(
            Code.CODE_TREE, missing[0], found="no submodule", expected="one, as the record says"
        )
    links = {oid for mode, _, oid in entries if mode == LINK}
    if any(stored[oid][1] > MAX_LINK for oid in links):
        raise DefectError(Code.CODE_TREE, found="a symbolic link with a very long target")
    targets = _contents(git, sorted(links))
    files = []
    for mode, path, oid in entries:
        if mode == GITLINK:
            continue
        target = targets[oid] if mode == LINK else None
        defect = link_defect(path, target) if target is not None else ""
        if defect:
            raise DefectError(Code.CODE_TREE, recorded_name(path), found=defect)
        files.append(
            CodeFile(
                path=os.fsdecode(path),
                oid=oid,
                size=stored[oid][1],
                executable=mode == b"100755",
                target=None if target is None else os.fsdecode(target),
            )
        )
    return tuple(files), tuple(os.fsdecode(path) for path in gitlinks)


def _entries(
    trees: dict[str, tuple[tuple[bytes, bytes, str], ...]],
    stored: dict[str, tuple[bytes, int]],
    root: str,
    submodules: Set[str],
) -> Iterator[tuple[bytes, bytes, str]]:
    """Every file as mode, full path and id; stops at the first defect or limit.

    The walk expands a tree wherever it stands. That is what writing it out will do, so the number
    of visits is what has to be bounded, not the number of objects.
    """
    visited = 0
    total = 0
    pending = [(root, b"")]
    while pending:
        oid, prefix = pending.pop()
        for mode, name, child in trees[oid]:
            path = prefix + name
            visited += 1
            directory = mode == b"40000"
            defect = path_defect(path) if directory else entry_defect(mode, path, submodules)
            if defect:
                deep = path.count(b"/") >= MAX_COMPONENTS
                raise DefectError(
                    Code.CODE_LIMIT if deep else Code.CODE_TREE, recorded_name(path), found=defect
                )
            kind, size = stored.get(child, (b"missing", 0))
            if mode == GITLINK:
                # The id is that of a commit elsewhere. What has it here is nobody's: a stowaway.
                size = 0
            elif kind != (b"tree" if directory else b"blob"):
                raise DefectError(
                    Code.CODE_OBJECTS, recorded_name(path), found=f"an object that is {kind!r}"
                )
            if directory:
                pending.append((child, path + b"/"))
            else:
                total += size
                yield mode, path, child
            if visited > MAX_FILES or total > MAX_TOTAL:
                raise DefectError(
                    Code.CODE_LIMIT,
                    found="a tree that is too large",
                    expected=f"at most {MAX_FILES} entries and {MAX_TOTAL} bytes",
                )


def _reach(trees: dict[str, tuple[tuple[bytes, bytes, str], ...]], root: str) -> set[str]:
    reached = {root}
    pending = [root]
    while pending:
        for mode, _, child in trees[pending.pop()]:
            if mode != GITLINK and child not in reached:
                reached.add(child)
                if mode == b"40000":
                    pending.append(child)
    return reached


def _contents(git: Git, oids: list[str]) -> dict[str, bytes]:
    """Small objects: commits, trees and link targets, whose sizes were checked before."""
    output = git.call(
        "cat-file", "--batch", stdin=b"".join(f"{oid}\n".encode() for oid in oids)
    ).stdout
    return dict(parse_batch(output))


def _check_commit(content: bytes, tree: str) -> None:
    lines = content.split(b"\n\n", 1)[0].split(b"\n")
    if any(line.startswith(b"parent ") for line in lines):
        raise DefectError(Code.CODE_HISTORY, found="a commit with parents")
    if lines[0] != b"tree " + tree.encode():
        raise DefectError(Code.CODE_IDENTITY, found="a commit of another tree", expected=tree)


def _write_file(root: int, file: CodeFile, contents: BinaryIO, *, replace: bool) -> None:
    """Copies the next object of `git cat-file --batch` into a new file."""
    header = contents.readline()
    if header != f"{file.oid} blob {file.size}\n".encode():
        raise RepropackError(f"git did not give the content of {file.path!r}")
    with _parent(root, file.path) as (parent, name):
        if replace:
            # A link is removed, not followed. A directory stays, and the open below refuses it.
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(name, dir_fd=parent)
        descriptor = os.open(
            name,
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o755 if file.executable else 0o644,
            dir_fd=parent,
        )
    with os.fdopen(descriptor, "wb") as out:
        left = file.size
        while left:
            chunk = contents.read(min(left, _CHUNK))
            if not chunk:
                raise RepropackError(f"git cut off the content of {file.path!r}")
            out.write(chunk)
            left -= len(chunk)
    contents.read(1)
