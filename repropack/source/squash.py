# SPDX-License-Identifier: Apache-2.0
"""Writes a snapshot as a git bundle with one commit: the same tree, none of the history.

The commit has no parents and the same author and time whoever makes it, so its id follows from the
tree. The pack holds plain objects, neither deflated nor as deltas: the container compresses them
better, and the bytes depend on the content alone, not on how objects lie in the author's store or
on a version of zlib.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Final

from repropack.durable import sync_directory
from repropack.errors import RepropackError
from repropack.findings import Code, DefectError, Finding
from repropack.source.commits import commit_id
from repropack.source.git import Git, bare, initialise
from repropack.source.private import private_repository
from repropack.source.trees import (
    GITLINK,
    LINK,
    MAX_FILES,
    MAX_LINK,
    MAX_TOTAL,
    entry_defect,
    link_defect,
    parse_batch,
    recorded_name,
)
from repropack.source.unpack import bundle_header, unpack

__all__ = ["EMPTY_TREES", "publishable", "squash", "squashed_commit"]

_NAMED: Final = 3
"""Paths that an error names."""

MESSAGE: Final = b"Code of a recorded run\n"
"""The message of every squashed commit."""

NAME: Final = "repropack"
MAIL: Final = "repropack@invalid"
"""Author and committer of every squashed commit."""

EMPTY_TREES: Final = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""The tree without files, by the digits of an id (SHA-1, SHA-256)."""

_IDENTITY: Final = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (
        ("NAME", NAME),
        ("EMAIL", MAIL),
        ("DATE", "@0 +0000"),
    )
}


def publishable(
    store: Path,
    tree: str,
    *,
    submodules: Set[str] = frozenset(),
    extra_objects: Sequence[Path] = (),
) -> tuple[Finding, ...]:
    """What keeps a tree out of a bundle, by the rules that the reader of the bundle has.

    Args:
        store: The directory of the private repository that holds the tree.
        tree: The tree id.
        submodules: Where the snapshot has submodules.
        extra_objects: Further object directories, for a tree that was not preserved.

    Returns:
        A finding for each file, empty if the tree can be exported.

    Raises:
        RepropackError: git failed, or objects are missing.
    """
    private = private_repository(store, "sha256" if len(tree) == 64 else "sha1")
    git = bare(private, alternates=extra_objects)
    output = git.call("ls-tree", "-r", "-t", "-z", "-l", "--full-tree", tree).stdout
    findings: list[Finding] = []
    links: list[tuple[bytes, str]] = []
    total = 0
    records = output.removesuffix(b"\0").split(b"\0") if output else []
    for record in records:
        meta, _, path = record.partition(b"\t")
        mode, kind, oid, size = meta.split()
        if kind == b"tree":
            continue
        defect = entry_defect(mode, path, submodules)
        if not defect and mode != GITLINK and not size.isdigit():
            raise RepropackError(
                f"the content of {recorded_name(path)} is not on this machine",
                advice="the repository is a partial clone: fetch its objects first",
            )
        if not defect and mode == LINK and int(size) <= MAX_LINK:
            links.append((path, oid.decode("ascii")))
        elif not defect and mode == LINK:
            defect = "a symbolic link with a very long target"
        total += int(size) if size.isdigit() else 0
        if defect:
            findings.append(_finding(path, defect))
    targets = _targets(git, [oid for _, oid in links])
    for path, oid_text in links:
        defect = link_defect(path, targets[oid_text])
        if defect:
            findings.append(_finding(path, defect))
    if len(records) > MAX_FILES or total > MAX_TOTAL:
        findings.append(
            Finding(
                code=Code.CODE_LIMIT,
                subject=tree,
                found=f"{len(records)} entries with {total} bytes",
                expected=f"at most {MAX_FILES} entries and {MAX_TOTAL} bytes",
            )
        )
    return tuple(findings)


def squashed_commit(tree: str) -> str:
    """The id of the commit that `squash` makes of a tree."""
    who = f"{NAME} <{MAIL}> 0 +0000"
    head = f"tree {tree}\nauthor {who}\ncommitter {who}\n\n"
    return commit_id(head.encode("ascii") + MESSAGE, "sha256" if len(tree) == 64 else "sha1")


def squash(
    store: Path,
    tree: str,
    destination: Path,
    *,
    object_format: str,
    submodules: Set[str] = frozenset(),
    extra_objects: Sequence[Path] = (),
) -> str:
    """Writes the bundle and returns the commit id. The bundle was read back and checked.

    Args:
        store: The directory of the private repository that holds the tree.
        tree: The tree id.
        destination: The file to write; it is whole or absent.
        object_format: `sha1` or `sha256`.
        submodules: Where the snapshot has submodules: only their commit ids are in its tree.
        extra_objects: Further object directories, for a tree that was not preserved.

    Raises:
        RepropackError: The tree cannot be exported (the message names the file), git failed, or the
            bundle that it made is not the one that was meant.
        OSError: The file cannot be written.
    """
    findings = publishable(store, tree, submodules=submodules, extra_objects=extra_objects)
    if findings:
        first = findings[0]
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        named = dict.fromkeys(one.subject for one in findings[:_NAMED])
        withheld = " ".join(f"--withhold {shlex.quote(subject)}" for subject in named)
        withheld += " …" if len(findings) > _NAMED else ""
        raise RepropackError(
            f"{first.subject} cannot be in a code bundle: {first.found}{more}",
            advice="remove it from the project, or replace it by files, and run again; or leave it "
            f"out: export {withheld}",
        )
    private = private_repository(store, object_format)
    with tempfile.TemporaryDirectory(
        prefix=f".{destination.name}.", dir=destination.parent, ignore_cleanup_errors=True
    ) as name:
        work = Path(name)
        # A repository of its own, so that no object can come along by accident.
        repository = work / "squash.git"
        initialise(repository, object_format)
        git = bare(
            repository,
            alternates=(private / "objects", *extra_objects),
            variables=_IDENTITY,
        )
        commit = git.call("commit-tree", tree, stdin=MESSAGE).stdout.decode("ascii").strip()
        bundle = work / "bundle"
        with bundle.open("xb") as file:
            file.write(bundle_header(commit))
            file.flush()
            git.call(
                "pack-objects",
                "--quiet",
                "--revs",
                "--stdout",
                "--threads=1",
                "--window=0",
                "--compression=0",
                "--no-reuse-delta",
                "--no-reuse-object",
                stdin=f"{commit}\n".encode(),
                stdout=file.fileno(),
            )
            os.fsync(file.fileno())
        try:
            unpack(bundle, work, tree=tree, commit=commit, submodules=submodules)
        except DefectError as error:
            raise RepropackError(f"the code snapshot {tree} cannot be exported: {error}") from error
        os.replace(bundle, destination)
    sync_directory(destination.parent)
    return commit


def _finding(path: bytes, defect: str) -> Finding:
    return Finding(code=Code.CODE_TREE, subject=recorded_name(path), found=defect)


def _targets(git: Git, oids: list[str]) -> dict[str, bytes]:
    if not oids:
        return {}
    stdin = b"".join(f"{oid}\n".encode() for oid in oids)
    return dict(parse_batch(git.call("cat-file", "--batch", stdin=stdin).stdout))
