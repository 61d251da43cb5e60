# SPDX-License-Identifier: Apache-2.0
"""The code of a release, checked before anything is rebuilt or executed.

A release whose code is not in order is malformed, whatever this machine has or lacks: the reader
learns it without a sandbox, an interpreter or data.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Set
from pathlib import Path

from repropack.bundle import VerifiedBundle
from repropack.findings import Code, DefectError, Finding
from repropack.model import CodeMember, PackedRun, RunRecord, SourceSnapshot
from repropack.process import ProcessFailedError
from repropack.source.git import TimedOutError
from repropack.source.unpack import CodeTree, unpack
from repropack.verify.release import Release
from repropack.verify.workspace import unpack_members

__all__ = ["check_code", "checked_tree", "replaced_code", "submodules_of", "withheld_code"]


def check_code(release: Release, bundle: VerifiedBundle, work: Path) -> None:
    """Checks every code bundle that a run of the release names (specification section 8).

    Raises:
        DefectError: `RPK401` to `RPK407`, with the member.
        RepropackError: git is missing, or something cannot be written.
    """
    codes: dict[tuple[CodeMember, frozenset[str]], None] = {}
    for run in release.runs:
        named = submodules_of(run.packed)
        for code in run.packed.code:
            codes[code, named.get((code.root, code.tree), frozenset())] = None
    with tempfile.TemporaryDirectory(prefix="check-", dir=work) as scratch:
        place = Path(scratch)
        unpacked = unpack_members(bundle, place / "bundle", {code.member for code, _ in codes})
        for code, submodules in codes:
            checked_tree(code, unpacked.path(code.member), place, submodules)


def withheld_code(release: Release) -> tuple[Finding, ...]:
    """What the author says that she left out of the code (specification 6.10)."""
    return tuple(
        Finding(
            code=Code.CODE_WITHHELD,
            subject=f"run {run.number}, {root}",
            found=f"{withheld.files} files ({', '.join(withheld.patterns)}); "
            + (f"tree {withheld.tree[:12]} ran, " if withheld.tree is not None else "")
            + f"tree {tree[:12]} is packed",
        )
        for run in release.runs
        for root, tree, withheld in dict.fromkeys(
            (root, snapshot.tree, snapshot.withheld)
            for root, snapshot in _snapshots(run.packed.record)
        )
        if withheld is not None
    )


def replaced_code(release: Release) -> tuple[Finding, ...]:
    """Where the author of an anonymous release says that she replaced words (19.6)."""
    return tuple(
        Finding(
            code=Code.CODE_REPLACED,
            subject=f"run {run.number}, {root}",
            found=f"{len(files)} files ({', '.join(files[:8])}{', …' if files[8:] else ''}); "
            f"tree {tree[:12]} is packed",
            expected="that they tell nothing of the author; the release says where, not what",
        )
        for run in release.runs
        for root, tree, files in dict.fromkeys(
            (root, snapshot.tree, snapshot.replaced)
            for root, snapshot in _snapshots(run.packed.record)
        )
        if files
    )


def submodules_of(packed: PackedRun) -> dict[tuple[str, str], frozenset[str]]:
    """Where the trees of a run have submodules, by root and tree id."""
    return {
        (root, snapshot.tree): frozenset(snapshot.submodules)
        for root, snapshot in _snapshots(packed.record)
    }


def _snapshots(record: RunRecord) -> Iterator[tuple[str, SourceSnapshot]]:
    """All code that a run says it used, each tree with the place where it belongs."""
    for segment in record.segments:
        if segment.source is not None:
            yield "{project}", segment.source
        for one in segment.roots:
            yield one.root, one.source


def checked_tree(
    code: CodeMember, bundle: Path, scratch: Path, submodules: Set[str] = frozenset()
) -> CodeTree:
    """Reads a code bundle that lies in a file; what is wrong with it names the member.

    Args:
        code: What the run says of it.
        bundle: The file.
        scratch: A directory of ours.
        submodules: Where the run says that the tree has submodules.

    Raises:
        DefectError: `RPK401` to `RPK407`.
        RepropackError: git is missing.
    """
    try:
        return unpack(bundle, scratch, tree=code.tree, commit=code.commit, submodules=submodules)
    except DefectError as error:
        finding = error.finding
        subject = f"{code.member}: {finding.subject}" if finding.subject else code.member
        raise DefectError(
            finding.code, subject, found=finding.found, expected=finding.expected
        ) from error
    except TimedOutError as error:
        raise DefectError(Code.CODE_LIMIT, code.member, found=error.message) from error
    except ProcessFailedError as error:
        if error.completed is None:
            raise
        raise DefectError(Code.CODE_OBJECTS, code.member, found=error.message) from error
