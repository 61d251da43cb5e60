# SPDX-License-Identifier: Apache-2.0
"""A tree without some of its files: what an author withholds from a release.

The result is another tree with another id. It is written into the private repository; the tree that
ran stays there as it is.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from repropack.source.git import Git, bare
from repropack.source.private import new_index, private_repository
from repropack.source.trees import recorded_name

__all__ = ["Reduced", "matches", "without"]


class Reduced(Struct, frozen=True, kw_only=True):
    """A tree with fewer files.

    Attributes:
        tree: Its id.
        left: How many files it has, submodules included.
        paths: What it lacks, by recorded name.
        used: The patterns that a path fitted.
    """

    tree: str
    left: int
    paths: tuple[str, ...]
    used: frozenset[str]


def matches(path: str, pattern: str) -> bool:
    """Whether a pattern names a path: the path itself, a directory above it, or a glob of it.

    `*` also stands for `/`: `*.pem` names such files in every directory.
    """
    plain = pattern.rstrip("/")
    return path == plain or path.startswith(plain + "/") or fnmatch.fnmatchcase(path, plain)


def without(
    store: Path,
    tree: str,
    patterns: Sequence[str],
    *,
    prefixes: Sequence[str] = ("",),
    export_ignore: bool,
) -> Reduced:
    """Writes the tree without the files that a pattern names.

    Args:
        store: The directory of the private repository.
        tree: The tree id.
        patterns: See `matches`.
        prefixes: What may stand before a path in a pattern, ending with a slash: where the tree
            lies in the project, or beside it.
        export_ignore: Leave out too what the tree's own `.gitattributes` give `export-ignore`
            (gitattributes(5)), as `git archive` does.

    Raises:
        RepropackError: git failed.
    """
    repository = private_repository(store, "sha256" if len(tree) == 64 else "sha1")
    index = new_index(repository)
    git = bare(repository, index=index)
    try:
        git.call("read-tree", tree)
        every = [p for p in git.call("ls-files", "-z").stdout.split(b"\0") if p]
        ignored = _export_ignored(git, every) if export_ignore else frozenset()
        used: set[str] = set()
        gone = []
        for path in every:
            name = recorded_name(path)
            fitting = [
                pattern
                for pattern in patterns
                if any(matches(prefix + name, pattern) for prefix in prefixes)
            ]
            used.update(fitting)
            if fitting or path in ignored:
                gone.append(path)
        if not gone:
            return Reduced(tree=tree, left=len(every), paths=(), used=frozenset())
        # Mode 0 removes an entry (git-update-index(1)); `--force-remove` wants a work tree.
        removed = b"".join(b"0 %s\t%s\0" % (b"0" * len(tree), path) for path in gone)
        git.call("update-index", "-z", "--index-info", stdin=removed)
        reduced = git.call("write-tree").stdout.decode("ascii").strip()
    finally:
        index.unlink(missing_ok=True)
        index.with_name(index.name + ".lock").unlink(missing_ok=True)
    return Reduced(
        tree=reduced,
        left=len(every) - len(gone),
        paths=tuple(recorded_name(path) for path in gone),
        used=frozenset(used),
    )


def _export_ignored(git: Git, paths: Sequence[bytes]) -> frozenset[bytes]:
    """The paths that have the attribute, or lie in a directory that has it."""
    folders = {path[: i + 1] for path in paths for i, byte in enumerate(path) if byte == ord("/")}
    asked = [*paths, *sorted(folders)]
    output = git.call(
        "check-attr",
        "--cached",
        "-z",
        "--stdin",
        "export-ignore",
        stdin=b"\0".join(asked) + b"\0",
    ).stdout
    fields = output.split(b"\0")
    marked = {
        name for name, value in zip(fields[::3], fields[2::3], strict=False) if value == b"set"
    }
    return frozenset(
        path
        for path in paths
        if path in marked
        or any(path[: i + 1] in marked for i, byte in enumerate(path) if byte == ord("/"))
    )
