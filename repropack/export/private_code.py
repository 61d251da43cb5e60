# SPDX-License-Identifier: Apache-2.0
"""What becomes of the recorded code on its way out: files withheld, the commit committed to.

Pure records in, pure records out; trees are written into the store's own repository.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from repropack.errors import UsageError
from repropack.export.chain import ChainedRun
from repropack.model import Segment, SourceSnapshot, Withheld
from repropack.signing.commitments import commit_commitment
from repropack.source.commits import read_commit, tree_of_commit
from repropack.source.withholding import matches, without
from repropack.store import Store

__all__ = ["Withholding", "commit_to", "withhold"]

EXPORT_IGNORE = "export-ignore"
"""How a record names git's attribute among the patterns."""


class Withholding(Struct, frozen=True, kw_only=True):
    """What the author leaves out of the code.

    Attributes:
        patterns: Paths, directories or globs.
        export_ignore: Also what `.gitattributes` name.
        tell_paths: Whether the release says which files they are.
    """

    patterns: tuple[str, ...] = ()
    export_ignore: bool = False
    tell_paths: bool = False


def withhold(
    store: Store, chain: Sequence[ChainedRun], asked: Withholding
) -> tuple[ChainedRun, ...]:
    """The runs with the code that goes out, each changed tree with its declaration.

    Raises:
        UsageError: A pattern fits no file, or nothing would be left of a tree.
        RepropackError: git failed.
    """
    if not asked.patterns and not asked.export_ignore:
        return tuple(chain)
    reducer = _Reducer(store.git, asked)
    changed = tuple(
        msgspec.structs.replace(
            chained,
            record=msgspec.structs.replace(
                chained.record,
                segments=tuple(reducer.segment(segment) for segment in chained.record.segments),
            ),
        )
        for chained in chain
    )
    unused = [pattern for pattern in asked.patterns if pattern not in reducer.used]
    if unused:
        raise UsageError(
            f"--withhold {unused[0]}: no file of the code fits",
            advice="`*` also stands for `/`; a directory stands for all below it",
        )
    return changed


class _Reducer:
    """Applies the patterns to the trees of segments and remembers which were of use."""

    def __init__(self, git: Path, asked: Withholding) -> None:
        self._git = git
        self._asked = asked
        self.used: set[str] = set()

    def segment(self, segment: Segment) -> Segment:
        assert segment.source is not None
        roots = []
        positions = {one.root: one.position for one in segment.roots}
        for one in segment.roots:
            names = _names(one.root, positions)
            # What lies in another tree may go as a whole: that tree then declares it.
            gone = [
                pattern
                for pattern in self._asked.patterns
                if "/" in one.root and any(matches(name, pattern) for name in names)
            ]
            self.used.update(gone)
            if not gone:
                prefixes = tuple(f"{name}/" if name else "" for name in names)
                source = self._snapshot(one.source, prefixes)
                roots.append(msgspec.structs.replace(one, source=source))
        return msgspec.structs.replace(
            segment, source=self._snapshot(segment.source, ("",)), roots=tuple(roots)
        )

    def _snapshot(self, source: SourceSnapshot, prefixes: Sequence[str]) -> SourceSnapshot:
        asked = self._asked
        reduced = without(
            self._git,
            source.tree,
            asked.patterns,
            prefixes=prefixes,
            export_ignore=asked.export_ignore,
        )
        self.used |= reduced.used
        if not reduced.paths:
            return source
        if not reduced.left:
            raise UsageError(
                f"nothing would be left of the code{f' in {prefixes[-1]}' if prefixes[-1] else ''}",
                advice="withhold less",
            )
        gone = frozenset(reduced.paths)
        patterns = tuple(p for p in asked.patterns if p in reduced.used)
        by_attribute = asked.export_ignore and any(
            not any(_fits(prefixes, path, p) for p in patterns) for path in gone
        )
        return msgspec.structs.replace(
            source,
            tree=reduced.tree,
            # These lists name files too.
            uncommitted=_others(source.uncommitted, gone),
            untracked=_others(source.untracked, gone),
            changed_during_run=_others(source.changed_during_run, gone),
            submodules=_others(source.submodules, gone),
            excluded=tuple(
                one
                for one in source.excluded
                if not any(_fits(prefixes, one.path, p) for p in asked.patterns)
            ),
            withheld=Withheld(
                tree=source.tree,
                files=len(gone),
                patterns=(*patterns, *((EXPORT_IGNORE,) if by_attribute else ())),
                paths=reduced.paths if asked.tell_paths else (),
            ),
        )


def _names(root: str, positions: Mapping[str, str | None]) -> tuple[str, ...]:
    """What may stand for a code root in a pattern.

    In the project it is its path there. Beside it, it is what records call it and, as people type
    it, the way there from the project; paths may also begin in the root itself.
    """
    top, _, inside = root.partition("/")
    if top == "{project}":
        return (inside,)
    position = positions.get(top)
    ways = (position, top) if position is not None else (top,)
    return (inside, *(f"{way}/{inside}" if inside else way for way in ways))


def _fits(prefixes: Sequence[str], path: str, pattern: str) -> bool:
    return any(matches(prefix + path, pattern) for prefix in prefixes)


def _others(paths: tuple[str, ...], gone: frozenset[str]) -> tuple[str, ...]:
    return tuple(path for path in paths if path not in gone)


def commit_to(store: Store, chain: Sequence[ChainedRun]) -> tuple[ChainedRun, ...]:
    """The runs, each segment that ran a commit as it was with a commitment to that commit.

    Salt and commit object are kept with the run, so that an export again gives the same bytes and
    the author can open the commitment when her repository no longer has the commit.

    Raises:
        UsageError: The store is damaged.
        RepropackError: git failed.
        OSError: The store cannot be written.
    """
    return tuple(
        msgspec.structs.replace(
            chained,
            record=msgspec.structs.replace(
                chained.record,
                segments=tuple(
                    _committed(store, chained, number, segment)
                    for number, segment in enumerate(chained.record.segments, 1)
                ),
            ),
        )
        for chained in chain
    )


def _committed(store: Store, chained: ChainedRun, number: int, segment: Segment) -> Segment:
    source = segment.source
    assert source is not None
    opening = store.opening(chained.stored, number)
    if opening is None:
        commit = store.private_of(chained.stored, number).base_commit
        content = read_commit(store.project, commit) if commit and source.versioned else None
        ran = source.withheld.tree if source.withheld is not None else source.tree
        if commit is None or content is None or tree_of_commit(content) != ran:
            return segment
        opening = store.keep_opening(chained.stored, number, commit, content)
    return msgspec.structs.replace(
        segment,
        source=msgspec.structs.replace(
            source, commitment=commit_commitment(opening.salt, opening.commit)
        ),
    )
