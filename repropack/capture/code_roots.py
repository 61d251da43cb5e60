# SPDX-License-Identifier: Apache-2.0
"""Code beside the project's own tree: submodules, modules that git ignores, code from outside.

Submodules are taken with the project's tree, before the command starts. What else a run loads is
known only when it has ended: it is taken then, and files of it that were changed since the start
are named. The whole repository is taken where there is one, else the packages that were loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from repropack.agent.log import ProcessObservation
from repropack.capture.gaps import Gaps, some
from repropack.capture.materials import (
    HOME_STATE,
    Surroundings,
    free_name,
    is_below,
    is_broad,
    loaded_code,
    outside_code,
    public_name,
)
from repropack.capture.preparation import Prepared, mask, plain
from repropack.environment.installed import copied_projects, editable_projects
from repropack.errors import RepropackError
from repropack.model import CodeRoot, SourceSnapshot, UncapturedFile
from repropack.placeholders import code_placeholder
from repropack.source.reading import list_paths
from repropack.source.snapshot import (
    Taken,
    changed_since,
    converted,
    find_root,
    preserve,
    take,
    take_files,
)

__all__ = ["FoundCode", "find_code", "take_submodules"]

COPY_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a package that is packed because no index has it: what is larger holds built libraries
that belong to this machine."""

CLIMBS: Final = 3
"""Directories above the project up to which the place of other code is recorded as seen from it."""

_CACHES: Final = (*HOME_STATE, ".cache")
"""Below the home: what tools keep there and make again, such as compiled extensions."""

_SKIPPED: Final = frozenset({"__pycache__", ".git", ".repropack", "node_modules"})


class FoundCode(Struct, frozen=True, kw_only=True):
    """All code of a run beside the project's tree.

    Attributes:
        roots: As the record has them.
        inside: Project-relative paths of their files in the project.
        filtered: Those of the project's and of submodules' trees that are data: a filter made them.
        outside: Directory to the paths below it, for code from outside.
        places: Directories that records name `{code:NAME}`, with that name.
        python_path: Recorded directories that an installation put on the path of Python.
        from_code: The distributions that did, and others that are in the roots.
        uncaptured: Files from outside that were loaded and are in none of the roots.
        said: What was taken, in words.
    """

    roots: tuple[CodeRoot, ...] = ()
    inside: frozenset[str] = frozenset()
    filtered: frozenset[str] = frozenset()
    outside: dict[str, frozenset[str]] = {}
    places: dict[str, str] = {}
    python_path: tuple[str, ...] = ()
    from_code: tuple[str, ...] = ()
    uncaptured: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


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


def find_code(
    prepared: Prepared,
    processes: tuple[ProcessObservation, ...],
    around: Surroundings,
    changed: Iterable[str],
    gaps: Gaps,
    *,
    everything_is_read: bool = False,
) -> FoundCode:
    """Records all code that a run used beside the project's tree.

    Args:
        prepared: The recording.
        processes: What the agent saw.
        around: Where the run stood; its `code` is that of the project's tree.
        changed: Project-relative paths that the run wrote.
        gaps: Told what could not be taken.
        everything_is_read: Whether a part of the run was not observed, so that it may have read
            any file.
    """
    search = _Search(prepared, processes, around, frozenset(changed), gaps)
    for relative, taken in sorted(prepared.submodules.items()):
        search.add_taken(f"{{project}}/{plain(relative)}", prepared.root / relative, taken)
    search.add_inside(search.converted(everything_is_read=everything_is_read))
    search.add_outside()
    search.add_copies()
    return search.result()


class _Search:
    """The roots of one run as they are found."""

    def __init__(
        self,
        prepared: Prepared,
        processes: tuple[ProcessObservation, ...],
        around: Surroundings,
        changed: frozenset[str],
        gaps: Gaps,
    ) -> None:
        self._prepared = prepared
        self._around = around
        self._changed = changed
        self._gaps = gaps
        self._modules = {_real(f): m for p in processes for m, f in p.modules.items() if f}
        self._loaded = loaded_code(processes, around)
        self._outer = outside_code(processes, around)
        self._editable = {
            name: os.path.realpath(place)
            for name, place in editable_projects(around.library_paths).items()
        }
        self._copies: list[str] = []
        self._copied_root = ""
        self._roots: list[CodeRoot] = []
        self._inside: set[str] = set()
        self._filtered: set[str] = set()
        self._read = {p for o in processes for p in (*o.opened_read, *o.mapped)}
        self._outside: dict[str, tuple[str, frozenset[str]]] = {}
        self._names: set[str] = {"project"}
        self._said: list[str] = []
        self._uncaptured: list[str] = []

    # ------------------------------------------------------------ in the project

    def add_taken(self, root: str, place: Path, taken: Taken) -> None:
        """A submodule that was taken before the command started."""
        snapshot = self._settled(place, taken)
        relative = os.path.relpath(place, self._prepared.root)
        self._roots.append(CodeRoot(root=root, source=snapshot))
        self._inside |= {f"{relative}/{path}" for path in self._paths(snapshot)}
        self._said.append(f"{relative} (submodule)")

    def converted(self, *, everything_is_read: bool) -> list[str]:
        """Files that were read and that git keeps otherwise than they lay on the disk.

        What a filter has made becomes data; the others are returned.
        """
        root = str(self._prepared.root)
        read = {
            os.path.relpath(path, root)
            for path in (*map(_real, self._read), *self._loaded)
            if is_below(path, root)
        }
        before = self._prepared.before.files
        taken: dict[str, Taken] = dict(self._prepared.submodules)
        if self._prepared.taken is not None:
            taken[""] = self._prepared.taken
        code: list[str] = []
        for place, one in taken.items():
            if not one.converts:
                continue
            prefix = f"{place}/" if place else ""
            sizes = {
                name[len(prefix) :]: stamp.size
                for name, stamp in before.items()
                if name.startswith(prefix) and name not in self._changed
            }
            chosen = {name[len(prefix) :] for name in read if name.startswith(prefix)}
            action = partial(
                converted,
                self._prepared.root / place,
                self._prepared.store.git,
                one,
                sizes,
                None if everything_is_read else chosen,
            )
            nothing: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
            data, text = self._gaps.attempt("code", action, nothing)
            self._filtered |= {prefix + name for name in data}
            code += [prefix + name for name in text]
        return code

    def add_inside(self, other_form: Sequence[str]) -> None:
        """Loaded code in the project that its tree does not have: other repositories, ignored.

        Args:
            other_form: Further files, which the tree has in another form.
        """
        root, before = self._prepared.root, self._prepared.before.files
        products = self._products()
        ignored: list[str] = []
        for path in self._loaded:
            relative = os.path.relpath(path, root)
            if (
                not is_below(path, str(root))
                or relative in self._around.code
                or relative in self._inside
                or relative in products
                # What was not there when the run began is the run's own output.
                or relative not in before
            ):
                continue
            nested = self._repository_of(path, below=root)
            if nested is not None:
                self._add_nested(nested)
            if relative not in self._inside:
                ignored.append(relative)
        if rewritten := [name for name in ignored if name in self._changed]:
            self._gaps.add(
                "code",
                "modules that git ignores were written while the run went on, so they are not "
                f"recorded: {some(rewritten)}",
            )
        ignored = [name for name in ignored if name not in self._changed]
        said = [f"{some(ignored)} (ignored by git)"] if ignored else []
        files = [*ignored, *other_form]
        if other_form:
            said.append(f"{some(sorted(other_form))} (as on the disk, before git converts them)")
        if files:
            self._add_files("{project}", root, files, ", ".join(said))

    def _products(self) -> set[str]:
        """Files that an earlier run wrote and that lie there as it left them."""
        found = set()
        for recorded, product in self._prepared.known.items():
            relative = recorded.removeprefix("{project}/")
            stamp = self._prepared.before.files.get(relative)
            if stamp and (stamp.size, stamp.mtime_ns, stamp.inode) == product.stamp:
                found.add(relative)
        return found

    def _add_nested(self, place: Path) -> None:
        relative = os.path.relpath(place, self._prepared.root)
        files = self._add_repository(f"{{project}}/{plain(relative)}", place, None)
        self._inside |= {f"{relative}/{path}" for path in files}
        if files:
            self._said.append(f"{relative} (another repository)")

    # ------------------------------------------------------------ outside

    def add_outside(self) -> None:
        """Loaded code from outside the project, the interpreter and the system."""
        loose: dict[str, str] = {}
        waiting: dict[Path, None] = {}
        files = {_real(path): path for path in self._outer}
        for real, path in sorted(files.items()):
            if any(is_below(real, os.path.join(self._around.home, state)) for state in _CACHES):
                self._uncaptured.append(path)
            elif (place := self._repository_of(real, below=None)) is not None:
                waiting[place] = None
            else:
                loose[real] = path
        for place in sorted(waiting):
            if not self._is_covered(place):
                name = self._name(str(place))
                root = f"{{{code_placeholder(name)}}}"
                found = self._add_repository(root, place, self._position(place))
                if found:
                    self._outside[str(place)] = (root, found)
                    self._said.append(str(place))
        covered = self._files_outside()
        loose.update(
            (real, path)
            for real, path in files.items()
            if real not in covered and path not in self._uncaptured
        )
        self._add_loose(loose)

    def add_copies(self) -> None:
        """Packages that were installed from a directory or from version control, if loaded."""
        copied: dict[str, dict[str, tuple[str, ...]]] = {}
        for name, (place, files) in copied_projects(self._around.library_paths).items():
            if any(os.path.join(place, file) in self._modules for file in files):
                if _size(place, files) <= COPY_LIMIT:
                    copied.setdefault(place, {})[name] = files
                else:
                    self._gaps.add(
                        "code",
                        f"the package {name} is from no index and larger than {COPY_LIMIT} bytes, "
                        "so it is not recorded as code",
                    )
        # Of several search directories the first counts, as it does for imports.
        for place, packages in list(copied.items())[:1]:
            self._copied_root = f"{{{code_placeholder(self._name('installed'))}}}"
            names = [file for files in packages.values() for file in files]
            said = f"{some(sorted(packages))} (installed from no index)"
            before = len(self._roots)
            self._add_files(self._copied_root, Path(place), names, said, beside=False)
            if len(self._roots) > before:
                self._copies = sorted(packages)

    def _files_outside(self) -> set[str]:
        return {os.path.join(d, n) for d, (_, names) in self._outside.items() for n in names}

    def _is_covered(self, place: Path) -> bool:
        """Whether a repository is a submodule of one that was taken."""
        return any(is_below(path, str(place)) for path in self._files_outside())

    def _name(self, directory: str) -> str:
        told = public_name(directory, self._around)
        if directory != self._around.home and self._tells(told):
            told = "code"
        name = free_name(told, self._names)
        self._names.add(name)
        return name

    def _add_loose(self, files: Mapping[str, str]) -> None:
        """Packages and modules without git: each whole package directory, or the file alone."""
        groups: dict[str, set[str]] = {}
        for real in files:
            directory, package = self._import_place(real)
            names = groups.setdefault(directory, set())
            names.add(os.path.relpath(real, directory))
            if package is not None:
                names.update(_package_files(directory, package))
        for directory in sorted(groups, key=len, reverse=True):
            others = [d for d in groups if d != directory and is_below(directory, d)]
            above = min((d for d in others if not is_broad(d, self._around)), key=len, default=None)
            if above is not None:
                prefix = os.path.relpath(directory, above)
                groups[above] |= {f"{prefix}/{name}" for name in groups.pop(directory)}
        for directory, names in sorted(groups.items()):
            count = f"{len(names)} file{'s' if len(names) > 1 else ''}"
            root = f"{{{code_placeholder(self._name(directory))}}}"
            self._add_files(root, Path(directory), names, f"{directory} ({count}, without git)")
        covered = self._files_outside()
        self._uncaptured += [path for real, path in files.items() if real not in covered]

    def _import_place(self, real: str) -> tuple[str, str | None]:
        """The directory from which a file was imported, and its top-level package."""
        name = self._modules.get(real, "")
        place = _import_directory(name, real)
        if place is None:
            return os.path.dirname(real), None
        top = name.partition(".")[0]
        return place, top if os.path.isdir(os.path.join(place, top)) else None

    def _tells(self, name: str) -> bool:
        """Whether a name holds that of the user or of this machine."""
        terms = {os.uname().nodename, os.path.basename(self._around.home)} - {"", "root"}
        return any(term in name for term in terms)

    def _position(self, place: Path) -> str | None:
        """Where a directory stands as seen from the project, if that says nothing of the author."""
        relative = os.path.relpath(place, self._prepared.root)
        names = [part for part in relative.split("/") if part != ".."]
        climbs = relative.split("/").count("..")
        above = self._prepared.root.parents
        if climbs > CLIMBS or climbs >= len(above):
            return None
        told = plain(relative)
        if any(map(self._tells, names)) or not told.isprintable():
            return None
        return None if "{" in told or "\\" in told else told

    # ------------------------------------------------------------ both

    def _add_repository(self, root: str, place: Path, position: str | None) -> frozenset[str]:
        """Takes a repository that was not known before the run, as it is now; its files."""
        store, started = self._prepared.store.git, self._prepared.started_ns
        taken = self._gaps.attempt(
            "code",
            lambda: take(place, store, versioned=True, products={}, before_ns=started),
            None,
        )
        if taken is None:
            return frozenset()
        snapshot = self._settled(place, taken)
        self._roots.append(CodeRoot(root=root, source=snapshot, position=position))
        files = set(self._paths(snapshot))
        inner = take_submodules(place, store, taken, {}, self._gaps, started)
        for relative, one in inner.items():
            below = self._settled(place / relative, one)
            self._roots.append(CodeRoot(root=f"{root}/{plain(relative)}", source=below))
            files |= {f"{relative}/{path}" for path in self._paths(below)}
        self._warn_changed(place, files)
        return frozenset(files)

    def _add_files(
        self, root: str, place: Path, names: Iterable[str], said: str, *, beside: bool = True
    ) -> None:
        snapshot = self._gaps.attempt(
            "code", lambda: take_files(place, self._prepared.store.git, names), None
        )
        if snapshot is None:
            return
        files = frozenset(self._paths(snapshot))
        if not files:
            return
        position = self._position(place) if beside and root != "{project}" else None
        self._roots.append(
            CodeRoot(root=root, source=self._masked(snapshot, ()), position=position)
        )
        if root == "{project}":
            self._inside |= files
        elif beside:
            self._outside[str(place)] = (root, files)
            self._warn_changed(place, files)
        self._said.append(said)

    def _settled(self, place: Path, taken: Taken) -> SourceSnapshot:
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

    def _warn_changed(self, place: Path, files: Iterable[str]) -> None:
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

    def _paths(self, snapshot: SourceSnapshot) -> tuple[str, ...]:
        nothing: tuple[str, ...] = ()
        store = self._prepared.store.git
        return self._gaps.attempt("code", lambda: list_paths(store, snapshot.tree), nothing)

    def _repository_of(self, path: str, *, below: Path | None) -> Path | None:
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

    def result(self) -> FoundCode:
        """All that was found."""
        path, editable = self._python_path()
        if self._copies:
            path = (*path, self._copied_root)
        return FoundCode(
            roots=tuple(self._roots),
            inside=frozenset(self._inside),
            filtered=frozenset(self._filtered),
            outside={directory: files for directory, (_, files) in self._outside.items()},
            places={
                directory: root[1:-1]
                for directory, (root, _) in self._outside.items()
                # The home keeps its own placeholder.
                if not is_broad(directory, self._around)
            },
            python_path=path,
            from_code=tuple(sorted({*editable, *self._copies})),
            uncaptured=tuple(sorted(set(self._uncaptured))),
            said=tuple(self._said),
        )

    def _python_path(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Directories that Python had because of an installation, and which installations.

        A path that the code itself extends, relative to itself, is extended again by a repetition;
        code from outside is also put there, for its old path may be one of this machine.
        """
        recorded: dict[str, None] = {}
        used: dict[str, None] = {}
        project = str(self._prepared.root)
        for real, module in sorted(self._modules.items()):
            place = _import_directory(module, real)
            if place is None:
                continue
            owner = next((n for n, d in self._editable.items() if is_below(real, d)), None)
            where = self._recorded_place(place)
            if where is None or (owner is None and is_below(place, project)):
                continue
            recorded[where] = None
            if owner is not None:
                used[owner] = None
        return tuple(recorded), tuple(sorted(used))

    def _recorded_place(self, place: str) -> str | None:
        project = str(self._prepared.root)
        for directory, root in (
            (project, "{project}"),
            *((directory, root) for directory, (root, _) in self._outside.items()),
        ):
            if is_below(place, directory):
                relative = os.path.relpath(place, directory)
                return root if relative == "." else f"{root}/{plain(relative)}"
        return None


def _size(place: str, files: Iterable[str]) -> int:
    total = 0
    for name in files:
        try:
            total += os.lstat(os.path.join(place, name)).st_size
        except OSError:
            continue  # Listed by the installer, and not there.
    return total


def _real(path: str) -> str:
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def _import_directory(name: str, file: str) -> str | None:
    """The directory that had to be on the path for a module to be found in a file."""
    parts = name.split(".")
    stem, _, _ = os.path.basename(file).partition(".")
    found = file.split("/")[:-1] + ([] if stem == "__init__" else [stem])
    if name == "__main__" or found[-len(parts) :] != parts:
        return None
    return "/".join(found[: -len(parts)]) or "/"


def _package_files(directory: str, package: str) -> list[str]:
    """The files of a package by path below the directory it is imported from."""
    found = []
    for place, directories, names in os.walk(os.path.join(directory, package)):
        directories[:] = sorted(d for d in directories if d not in _SKIPPED)
        if "pyvenv.cfg" in names:
            directories[:] = []
            continue
        found += [
            os.path.relpath(os.path.join(place, name), directory)
            for name in names
            if not name.endswith(".pyc")
        ]
    return found
