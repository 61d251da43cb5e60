# SPDX-License-Identifier: Apache-2.0
"""Takes a place of code, a repository or some files, as a root of the record.

What is taken when the run has ended is taken as it is then; what changed meanwhile is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from repropack.capture.gaps import Gaps, some
from repropack.capture.materials import Surroundings, is_below
from repropack.capture.preparation import Prepared, mask, plain
from repropack.errors import RepropackError
from repropack.model import CodeRoot, SourceSnapshot, UncapturedFile
from repropack.source.reading import list_paths
from repropack.source.snapshot import Taken, changed_since, find_root, preserve, take, take_files

__all__ = ["RootTaker", "take_submodules"]

CLIMBS: Final = 3
"""Directories above the project up to which the place of other code is recorded as seen from it."""


def take_submodules(
    directory: Path,
    store: Path,
    taken: Taken,
    products: Mapping[str, tuple[int, int, int]],
    gaps: Gaps,
    before_ns: int | None = None,
) -> dict[str, Taken]:
    """Takes every submodule that is checked out, and those in them, by path below the directory.

    Args:
        directory: A code root.
        store: The directory of the private repository.
        taken: The snapshot of the root.
        products: As for `repropack.source.snapshot.take`.
        gaps: Told which could not be taken.
        before_ns: As for `repropack.source.snapshot.take`.
    """
    found: dict[str, Taken] = {}
    waiting = [("", taken)]
    while waiting:
        prefix, parent = waiting.pop()
        for path in parent.submodules:
            relative = f"{prefix}{path}"
            place = directory / relative
            if not os.path.lexists(place / ".git"):
                continue
            below = {
                name[len(relative) + 1 :]: stamp
                for name, stamp in products.items()
                if name.startswith(f"{relative}/")
            }
            one = gaps.attempt(
                "code",
                lambda place=place, below=below: take(  # type: ignore[misc]
                    place, store, versioned=True, products=below, before_ns=before_ns
                ),
                None,
            )
            if one is not None:
                found[relative] = one
                waiting.append((f"{relative}/", one))
    return found


class RootTaker:
    """Takes the roots of one run; what cannot be taken is a gap.

    Args:
        prepared: The recording.
        around: Where the run stood.
        changed: Project-relative paths that the run wrote.
        gaps: Told what could not be taken.
    """

    def __init__(
        self, prepared: Prepared, around: Surroundings, changed: frozenset[str], gaps: Gaps
    ) -> None:
        self._prepared = prepared
        self._around = around
        self._changed = changed
        self._gaps = gaps

    def take_repository(
        self, root: str, place: Path, position: str | None
    ) -> tuple[tuple[CodeRoot, ...], frozenset[str]]:
        """Takes a repository that was not known before the run, as it is now.

        Args:
            root: How records name it.
            place: Its work tree.
            position: Where it stands as seen from the project.

        Returns:
            Its root and those of its submodules, and all their files by path below `place`; nothing
            if it could not be taken.
        """
        store, started = self._prepared.store.git, self._prepared.started_ns
        taken = self._gaps.attempt(
            "code",
            lambda: take(place, store, versioned=True, products={}, before_ns=started),
            None,
        )
        if taken is None:
            return (), frozenset()
        snapshot = self.settle(place, taken)
        roots = [CodeRoot(root=root, source=snapshot, position=position)]
        files = set(self.paths(snapshot))
        inner = take_submodules(place, store, taken, {}, self._gaps, started)
        for relative, one in inner.items():
            below = self.settle(place / relative, one)
            roots.append(CodeRoot(root=f"{root}/{plain(relative)}", source=below))
            files |= {f"{relative}/{path}" for path in self.paths(below)}
        self.warn_changed(place, files)
        return tuple(roots), frozenset(files)

    def take_directory(
        self, root: str, place: Path, names: Iterable[str], position: str | None
    ) -> tuple[CodeRoot, frozenset[str]] | None:
        """Takes some files of a directory as they are now, and says which; None for none of them.

        Args:
            root: How records name the directory.
            place: The directory.
            names: Paths below it.
            position: Where it stands as seen from the project.
        """
        snapshot = self._gaps.attempt(
            "code", lambda: take_files(place, self._prepared.store.git, names), None
        )
        files = frozenset(self.paths(snapshot) if snapshot else ())
        if snapshot is None or not files:
            return None
        return CodeRoot(root=root, source=self._masked(snapshot, ()), position=position), files

    def settle(self, place: Path, taken: Taken) -> SourceSnapshot:
        """A snapshot with its objects made safe and with what has changed since."""
        store = self._prepared.store.git
        snapshot = taken.snapshot
        changed: tuple[str, ...] = self._gaps.attempt(
            "code", lambda: changed_since(place, store, taken), ()
        )
        self._gaps.attempt(
            "code",
            lambda: preserve(
                place, store, snapshot.tree, versioned=True, object_format=taken.object_format
            ),
            None,
        )
        if taken.filtered:
            relative = os.path.relpath(place, self._prepared.root)
            young = {name for name in taken.filtered if f"{relative}/{name}" in self._changed}
            changed = tuple(n for n in changed if n not in taken.filtered or n in young)
        if changed:
            self._gaps.add(
                "code",
                f"code in {place} changed while the run went on; recorded as it began: "
                f"{some(changed)}",
            )
        return self._masked(snapshot, changed)

    def paths(self, snapshot: SourceSnapshot) -> tuple[str, ...]:
        """The files of a snapshot, by path below its root."""
        nothing: tuple[str, ...] = ()
        store = self._prepared.store.git
        return self._gaps.attempt("code", lambda: list_paths(store, snapshot.tree), nothing)

    def warn_changed(self, place: Path, files: Iterable[str]) -> None:
        """Says which files of a root that was taken at the end are younger than the run."""
        started = self._prepared.started_ns
        young = []
        for name in files:
            try:
                status = os.lstat(place / name)
            except OSError:
                # Tracked, and not on the disk.
                continue
            if status.st_ctime_ns >= started:
                young.append(name)
        if young:
            self._gaps.add(
                "code",
                f"code in {place} changed while the run went on; recorded as it was at the end: "
                f"{some(sorted(young))}",
            )

    def repository_of(self, path: str, *, below: Path | None) -> Path | None:
        """The root of the repository that has a file; None for none that could be taken.

        Not one that holds the project, or the home: it would be taken as a whole.
        """
        directory = os.path.dirname(path)
        while len(directory) > 1 and (below is None or directory != str(below)):
            if os.path.lexists(os.path.join(directory, ".git")):
                break
            directory = os.path.dirname(directory)
        else:
            return None
        project, home = str(self._prepared.root), self._around.home
        if is_below(project, directory) or (home and is_below(home, directory)):
            return None
        try:
            place, versioned = find_root(Path(directory))
        except RepropackError:
            # Another user's, or damaged: the files are taken without it.
            return None
        return place if versioned and str(place) == os.path.realpath(directory) else None

    def position(self, place: Path) -> str | None:
        """Where a directory stands as seen from the project, if that says nothing of the author."""
        relative = os.path.relpath(place, self._prepared.root)
        names = [part for part in relative.split("/") if part != ".."]
        climbs = relative.split("/").count("..")
        above = self._prepared.root.parents
        if climbs > CLIMBS or climbs >= len(above):
            return None
        told = plain(relative)
        if any(map(self.tells, names)) or not told.isprintable():
            return None
        return None if "{" in told or "\\" in told else told

    def tells(self, name: str) -> bool:
        """Whether a name holds that of the user or of this machine."""
        terms = {os.uname().nodename, os.path.basename(self._around.home)} - {"", "root"}
        return any(term in name for term in terms)

    def _masked(self, snapshot: SourceSnapshot, changed: tuple[str, ...]) -> SourceSnapshot:
        return msgspec.structs.replace(
            snapshot,
            excluded=tuple(
                UncapturedFile(
                    path=mask(e.path, self._prepared.paths), size=e.size, reason=e.reason
                )
                for e in snapshot.excluded
            ),
            changed_during_run=changed,
        )
