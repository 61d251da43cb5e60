# SPDX-License-Identifier: Apache-2.0
"""The index of a snapshot: a copy of the author's, made honest and brought up to the disk.

Paths are raw bytes, as git gives them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack.source.git import Git
from repropack.source.trees import GITLINK
from repropack.source.untracked import STORE_NAME

__all__ = [
    "Dirt",
    "Listing",
    "changed_paths",
    "compare",
    "list_entries",
    "make_honest",
    "records",
    "submodules_of",
    "update",
]

_NORMAL: Final = (b"H 100644 ", b"H 100755 ", b"H 120000 ")


class Dirt(Struct, kw_only=True):
    """What differs between the index and the disk; paths are raw bytes."""

    base_commit: str | None = None
    staged: bool = False
    modified: list[bytes] = []
    removed: list[bytes] = []
    untracked: list[bytes] = []
    ignored: list[bytes] = []
    unmerged: set[bytes] = set()


class Listing(Struct, frozen=True, kw_only=True):
    """The entries of an index; paths are raw bytes.

    Attributes:
        paths: All of them.
        dishonest: Those that git does not compare with the disk, for `make_honest`.
        removals: Tracked files to leave out.
        gitlinks: Whether there are submodules.
        attributes: Whether there are files of attributes.
    """

    paths: list[bytes]
    dishonest: list[bytes]
    removals: list[bytes]
    gitlinks: bool
    attributes: bool


def list_entries(git: Git, root: Path) -> Listing:
    """What the copied index holds. Nothing is written.

    `assume-unchanged` and `skip-worktree` tell git not to look at a file. People set them on files
    that they keep changed locally: exactly those have to be looked at.
    """
    output = git.call("ls-files", "-z", "-v", "--stage").stdout
    suspicious = STORE_NAME in output
    listed: list[bytes] = []
    dishonest: list[bytes] = []
    removals: list[bytes] = []
    gitlinks = False
    for record in records(output):
        meta, _, path = record.partition(b"\t")
        listed.append(path)
        if meta.startswith(_NORMAL) and not suspicious:
            continue
        tag, mode, oid, _stage = meta.split(b" ")
        if STORE_NAME in path.split(b"/"):
            removals.append(path)
        elif mode == b"160000":
            gitlinks = True
        elif tag == b"h" or (tag in (b"S", b"s") and os.path.lexists(root / os.fsdecode(path))):
            dishonest.append(b"%s %s 0\t%s\0" % (mode, oid, path))
    return Listing(
        paths=listed,
        dishonest=dishonest,
        removals=removals,
        gitlinks=gitlinks,
        attributes=b".gitattributes" in output,
    )


def make_honest(git: Git, entries: list[bytes]) -> None:
    """Has git compare these entries with the disk.

    One without remembered times (`--index-info` makes such) is compared by content.
    """
    git.call("update-index", "-z", "--index-info", stdin=b"".join(entries))


def submodules_of(git: Git) -> list[bytes]:
    """The entries of the index that are commits of other repositories."""
    return [
        record.partition(b"\t")[2]
        for record in records(git.call("ls-files", "-z", "--stage").stdout)
        if record.startswith(GITLINK)
    ]


def compare(git: Git, *, versioned: bool) -> Dirt:
    """What differs between the base commit, the index and the disk.

    Args:
        git: Runs on the work tree with our index.
        versioned: Whether the index is the author's; of our own, ignored files are told as well.

    Raises:
        RepropackError: git failed.
    """
    output = git.call(
        "status",
        "--porcelain=v2",
        "-z",
        "--branch",
        "--no-ahead-behind",
        "--no-renames",
        "--untracked-files=all",
        # Looking into a submodule would refresh the author's index there.
        "--ignore-submodules=dirty",
        *(() if versioned else ("--ignored=matching",)),
    ).stdout
    dirt = Dirt()
    for record in records(output):
        kind, _, rest = record.partition(b" ")
        if kind == b"1":
            fields = rest.split(b" ", 7)
            states, path = fields[0], fields[7]
            dirt.staged |= states[:1] != b"."
            if states[1:] == b"D":
                dirt.removed.append(path)
            elif states[1:] != b".":
                dirt.modified.append(path)
        elif kind == b"u":
            # Both sides of the conflict give way to what is on the disk, if anything is.
            dirt.staged = True
            fields = rest.split(b" ", 9)
            dirt.unmerged.add(fields[9])
            (dirt.removed if fields[6] == b"000000" else dirt.modified).append(fields[9])
        elif kind == b"?":
            dirt.untracked.append(rest)
        elif kind == b"!":
            dirt.ignored.append(rest)
        elif rest.startswith(b"branch.oid ") and not rest.endswith(b"(initial)"):
            dirt.base_commit = rest.removeprefix(b"branch.oid ").decode("ascii")
    return dirt


def update(git: Git, removals: list[bytes], additions: list[bytes], id_length: int) -> None:
    """Takes entries out of the index, then others in, as they lie on the disk.

    Args:
        git: Runs on the work tree with our index.
        removals: Paths of entries to take out.
        additions: Paths to take in; one that has gone meanwhile is taken out.
        id_length: Hexadecimal digits of an object id.

    Raises:
        RepropackError: git failed, or a file cannot be read.
    """
    if removals:
        # By `--index-info`, for `--remove` refuses a path beyond a directory that is now a link.
        zero = b"0 " + b"0" * id_length + b"\t"
        git.call(
            "update-index",
            "-z",
            "--index-info",
            stdin=b"".join(zero + path + b"\0" for path in removals),
        )
    if additions:
        git.call(
            "update-index",
            "-z",
            "--add",
            "--remove",
            "--replace",
            "--stdin",
            stdin=b"".join(path + b"\0" for path in additions),
        )


def changed_paths(git: Git, before: str, after: str) -> list[bytes]:
    """The files in which two trees, or a commit and a tree, differ.

    Raises:
        RepropackError: git failed.
    """
    output = git.call("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after).stdout
    return sorted(records(output))


def records(output: bytes) -> list[bytes]:
    """What git has printed with `-z`, piece by piece."""
    return output.removesuffix(b"\0").split(b"\0") if output else []
