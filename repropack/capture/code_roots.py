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

from msgspec import Struct

from repropack.agent.log import ProcessObservation
from repropack.capture.gaps import Gaps, some
from repropack.capture.import_places import import_directory, package_files, real_path
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
from repropack.capture.preparation import Prepared, plain
from repropack.capture.root_taking import RootTaker
from repropack.environment.installed import copied_projects, editable_projects
from repropack.model import CodeRoot
from repropack.placeholders import code_placeholder
from repropack.source.snapshot import Taken, converted

__all__ = ["FoundCode", "find_code"]

COPY_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a package that is packed because no index has it: what is larger holds built libraries
that belong to this machine."""

_CACHES: Final = (*HOME_STATE, ".cache")
"""Below the home: what tools keep there and make again, such as compiled extensions."""


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
        self._taker = RootTaker(prepared, around, changed, gaps)
        self._modules = {real_path(f): m for p in processes for m, f in p.modules.items() if f}
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
        snapshot = self._taker.settle(place, taken)
        relative = os.path.relpath(place, self._prepared.root)
        self._roots.append(CodeRoot(root=root, source=snapshot))
        self._inside |= {f"{relative}/{path}" for path in self._taker.paths(snapshot)}
        self._said.append(f"{relative} (submodule)")

    def converted(self, *, everything_is_read: bool) -> list[str]:
        """Files that were read and that git keeps otherwise than they lay on the disk.

        What a filter has made becomes data; the others are returned.
        """
        taken: dict[str, Taken] = dict(self._prepared.submodules)
        if self._prepared.taken is not None:
            taken[""] = self._prepared.taken
        if not any(one.converts for one in taken.values()):
            return []
        root = str(self._prepared.root)
        read = {
            os.path.relpath(path, root)
            for path in (*map(real_path, self._read), *self._loaded)
            if is_below(path, root)
        }
        before = self._prepared.before.files
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
            nested = self._taker.repository_of(path, below=root)
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
            found = self._taker.take_directory("{project}", root, files, None)
            if found is not None:
                self._roots.append(found[0])
                self._inside |= found[1]
                self._said.append(", ".join(said))

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
        roots, files = self._taker.take_repository(f"{{project}}/{plain(relative)}", place, None)
        self._roots += roots
        self._inside |= {f"{relative}/{path}" for path in files}
        if files:
            self._said.append(f"{relative} (another repository)")

    # ------------------------------------------------------------ outside

    def add_outside(self) -> None:
        """Loaded code from outside the project, the interpreter and the system."""
        loose: dict[str, str] = {}
        waiting: dict[Path, None] = {}
        files = {real_path(path): path for path in self._outer}
        for real, path in sorted(files.items()):
            if any(is_below(real, os.path.join(self._around.home, state)) for state in _CACHES):
                self._uncaptured.append(path)
            elif (place := self._taker.repository_of(real, below=None)) is not None:
                waiting[place] = None
            else:
                loose[real] = path
        for place in sorted(waiting):
            if not self._is_covered(place):
                name = self._name(str(place))
                root = f"{{{code_placeholder(name)}}}"
                position = self._taker.position(place)
                roots, found = self._taker.take_repository(root, place, position)
                self._roots += roots
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
            found = self._taker.take_directory(self._copied_root, Path(place), names, None)
            if found is not None:
                self._roots.append(found[0])
                self._copies = sorted(packages)
                self._said.append(f"{some(self._copies)} (installed from no index)")

    def _files_outside(self) -> set[str]:
        return {os.path.join(d, n) for d, (_, names) in self._outside.items() for n in names}

    def _is_covered(self, place: Path) -> bool:
        """Whether a repository is a submodule of one that was taken."""
        return any(is_below(path, str(place)) for path in self._files_outside())

    def _name(self, directory: str) -> str:
        told = public_name(directory, self._around)
        if directory != self._around.home and self._taker.tells(told):
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
                names.update(package_files(directory, package))
        for directory in sorted(groups, key=len, reverse=True):
            others = [d for d in groups if d != directory and is_below(directory, d)]
            above = min((d for d in others if not is_broad(d, self._around)), key=len, default=None)
            if above is not None:
                prefix = os.path.relpath(directory, above)
                groups[above] |= {f"{prefix}/{name}" for name in groups.pop(directory)}
        for directory, names in sorted(groups.items()):
            count = f"{len(names)} file{'s' if len(names) > 1 else ''}"
            root = f"{{{code_placeholder(self._name(directory))}}}"
            place = Path(directory)
            found = self._taker.take_directory(root, place, names, self._taker.position(place))
            if found is not None:
                self._roots.append(found[0])
                self._outside[directory] = (root, found[1])
                self._taker.warn_changed(place, found[1])
                self._said.append(f"{directory} ({count}, without git)")
        covered = self._files_outside()
        self._uncaptured += [path for real, path in files.items() if real not in covered]

    def _import_place(self, real: str) -> tuple[str, str | None]:
        """The directory from which a file was imported, and its top-level package."""
        name = self._modules.get(real, "")
        place = import_directory(name, real)
        if place is None:
            return os.path.dirname(real), None
        top = name.partition(".")[0]
        return place, top if os.path.isdir(os.path.join(place, top)) else None

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
            place = import_directory(module, real)
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
