# SPDX-License-Identifier: Apache-2.0
"""Which files a run read, from what was observed; and how they group into data sets.

Pure functions on paths. What belongs to the code snapshot, the interpreter, the operating system
or the run's own output is no material. Hashing is the recorder's business.
"""

from __future__ import annotations

import collections
import functools
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from repropack.agent import DIRECTORY
from repropack.agent.log import ProcessObservation
from repropack.capture.traced_files import UNTRACED, TracedFiles
from repropack.model import Evidence

__all__ = [
    "Candidate",
    "DataRoot",
    "Surroundings",
    "below",
    "candidates",
    "free_name",
    "group_data",
    "interpreters_of",
    "is_below",
    "is_broad",
    "is_data",
    "is_system",
    "loaded_code",
    "outside_code",
    "public_name",
    "written_outside",
]

SYSTEM_DIRECTORIES: Final = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr",
    "/var/cache",
    "/var/lib",
)
"""The operating system. Its files are recorded as platform facts, not as data."""

HOME_STATE: Final = (
    ".cache/fontconfig",
    ".cache/matplotlib",
    ".cache/pip",
    ".cache/uv",
    ".config",
    ".ipython",
    ".jupyter",
    ".local/lib",
    ".local/share/jupyter",
    ".asdf",
    ".cargo",
    ".local/bin",
    ".local/share/mise",
    ".local/share/pipx",
    ".local/share/uv",
    ".netrc",
    ".nv",
    ".nvm",
    ".pyenv",
    ".rustup",
    ".ssh",
    ".triton",
)
"""Below the home: settings, credentials and caches of tools, and what manages the versions of
programs, never a run's data."""

_LIBRARY: Final = re.compile(
    r"\.so(?:\.\d+)*$|/(?:site|dist)-packages/|/lib/python\d|/R/[^/]+-library/\d|/__pycache__/"
)
"""Files of a trace that belong to programs: shared objects, and packages of Python and of R."""

_OWN_FOLDER: Final = f"{DIRECTORY}/"

_PARTS: Final = frozenset(
    {
        "dev",
        "eval",
        "test",
        "testing",
        "train",
        "training",
        "trainval",
        "val",
        "valid",
        "validation",
    }
)
"""Directories that are parts of a data set, as everybody calls them."""

_COLLECTIONS: Final = frozenset(
    {"archive", "corpora", "datasets", "downloads", "projects", "scratch", "share", "shared",
     "storage", "work", "workspace"}
)  # fmt: skip
"""Directories that hold data sets which have nothing to do with each other."""

_LIFTS: Final = 2
"""Levels over which the only directory in another one is still a neighbour of those beside that:
`Images/n01` and `Labels/n07` are of one data set."""

_MOUNTED: Final = ("/home", "/media", "/mnt", "/net", "/nfs", "/Users")
"""What stands in these is as wide as a disk."""

_CODE_SUFFIXES: Final = (".py", ".pyc", ".pyi", ".so", ".pth")
_NAME_CHARACTER: Final = re.compile(r"[^A-Za-z0-9_.-]+")


class Surroundings(Struct, frozen=True, kw_only=True, dict=True):
    """Where a run stood.

    Attributes:
        project: Absolute path of the code root.
        home: Absolute path of the home directory, or an empty string.
        interpreters: Prefixes of the Python interpreters that ran.
        library_paths: Directories of installed packages.
        code: Project-relative paths of the code, submodules included.
        code_outside: Directories outside the project whose code is recorded, with the paths below.
        temporary: Absolute path of the directory for temporary files, or an empty string.
    """

    project: str
    home: str
    interpreters: tuple[str, ...]
    library_paths: tuple[str, ...]
    code: frozenset[str]
    temporary: str = ""
    code_outside: dict[str, frozenset[str]] = {}

    @functools.cached_property
    def settle(self) -> Callable[[str], str]:
        """Gives an observed path the form that it has in a `Candidate`."""
        return _Settle(self.project)

    @functools.cached_property
    def within_interpreters(self) -> tuple[str, ...]:
        """What a path of an interpreter begins with, if `/` is added to the path."""
        # A prefix itself may be the project (a virtual environment made in place): only its parts.
        parts = ("bin", "lib", "lib64", "include", "share", "etc", "pyvenv.cfg")
        places = [os.path.join(prefix, part) for prefix in self.interpreters for part in parts]
        return _beginnings([*places, *self.library_paths])

    @functools.cached_property
    def within_system(self) -> tuple[str, ...]:
        """What a path of the operating system begins with, if `/` is added to the path."""
        return _beginnings(SYSTEM_DIRECTORIES)

    @functools.cached_property
    def within_home_state(self) -> tuple[str, ...]:
        """What a path of settings and caches begins with, if `/` is added to the path."""
        return _beginnings(os.path.join(self.home, state) for state in HOME_STATE if self.home)


def _beginnings(directories: Iterable[str]) -> tuple[str, ...]:
    """For one `str.startswith` over all of them: a run may have read a million files."""
    return tuple(directory.rstrip("/") + "/" for directory in directories)


class Candidate(Struct, frozen=True, kw_only=True):
    """A file that the run may have read."""

    path: str
    evidence: tuple[Evidence, ...]


class DataRoot(Struct, frozen=True, kw_only=True):
    """A data set: its name, its directory, and its files by path below it."""

    name: str
    directory: str
    files: tuple[str, ...]


def candidates(
    processes: Iterable[ProcessObservation],
    arguments: Iterable[str],
    directory: str,
    around: Surroundings,
    traced: TracedFiles = UNTRACED,
) -> tuple[Candidate, ...]:
    """The files that were read from outside code, interpreter and system, by absolute path.

    Args:
        processes: What the agent saw.
        arguments: The command line; an argument or the part after `=` that names a file counts.
        directory: Working directory of the command.
        around: Where the run stood.
        traced: What strace saw.
    """
    seen: dict[str, set[Evidence]] = {}
    settle = around.settle
    own: set[str] = set()
    old: set[str] = set()
    written: set[str] = set()
    for process in processes:
        for path in process.opened_read:
            seen.setdefault(settle(path), set()).add(Evidence.PYTHON_OPEN)
        for path in process.mapped:
            seen.setdefault(settle(path), set()).add(Evidence.MAPPED)
        for path in map(settle, process.modules.values()):
            # Python may load a module from its bytecode, without opening the file.
            if is_below(path, around.project):
                seen.setdefault(path, set()).add(Evidence.PYTHON_OPEN)
        own.update(map(settle, process.created))
        written.update(map(settle, process.opened_written))
        there = (path for path, content in process.replaced.items() if content.is_old)
        old.update(map(settle, there))
    # One process removes what another has read, and a third one makes it anew.
    own -= old
    own.update(map(settle, traced.created))
    written.update(map(settle, traced.written))
    for path in map(settle, traced.read):
        if not _LIBRARY.search(path) and not path.startswith(_OWN_FOLDER):
            seen.setdefault(path, set()).add(Evidence.TRACE)
    for path in own & seen.keys():
        if not is_below(os.path.realpath(path), around.project):
            # In the project the scan before the run says better what was there.
            del seen[path]
    for argument in arguments:
        for text in {argument, argument.partition("=")[2]}:
            if text and not text.startswith("-"):
                path = os.path.normpath(os.path.join(directory, os.path.expanduser(text)))
                if not os.path.isfile(path):
                    continue
                # `--out model.pt`: what an earlier run left there, and this one has replaced.
                if (place := settle(path)) in seen or place not in written:
                    seen.setdefault(place, set()).add(Evidence.ARGUMENT)
    return tuple(
        Candidate(path=path, evidence=tuple(sorted(evidence)))
        for path, evidence in sorted(seen.items())
        if is_data(path, around)
    )


def interpreters_of(traced: TracedFiles, project: str, home: str) -> tuple[str, ...]:
    """Prefixes of the installations whose programs a trace saw being executed."""
    found: dict[str, None] = {}
    for program in traced.programs:
        prefix, _, folder = os.path.dirname(program).rpartition("/")
        if folder != "bin" or prefix.count("/") < 2 or is_below(home or "/", prefix):
            continue
        virtual = os.path.isfile(f"{prefix}/pyvenv.cfg")
        # A project has programs of its own in its `bin`.
        apart = not is_below(prefix, project) and not is_below(project, prefix)
        if virtual or (apart and os.path.isdir(f"{prefix}/lib")):
            found[prefix] = None
    return tuple(found)


def loaded_code(processes: Iterable[ProcessObservation], around: Surroundings) -> tuple[str, ...]:
    """Code that was loaded, but not from an interpreter, and not made by the run.

    Whatever opens a Python file (an import, `runpy`, `exec`) most likely executes it.
    """
    processes = tuple(processes)
    found = set()
    settle = around.settle
    own = {settle(path) for process in processes for path in process.created}
    for process in processes:
        opened = (path for path in process.opened_read if path.endswith(".py"))
        for path in map(settle, (*process.modules.values(), *opened)):
            if (
                path.endswith((".py", ".pyc", ".so"))
                and path not in own
                and not _belongs_to_interpreter(path, around)
            ):
                found.add(path)
    return tuple(sorted(found))


def outside_code(processes: Iterable[ProcessObservation], around: Surroundings) -> tuple[str, ...]:
    """Code that was loaded from outside the project, the interpreter and the system."""
    return tuple(
        path
        for path in loaded_code(processes, around)
        if not is_below(path, around.project) and not is_system(path, around)
    )


def written_outside(
    processes: Iterable[ProcessObservation],
    around: Surroundings,
    traced: TracedFiles = UNTRACED,
) -> tuple[str, ...]:
    """Files that processes were seen writing outside the project and that are still there.

    Also behind a link in the project that leads out of it. A temporary file that the run itself
    has made and read back is none of its outputs.
    """
    processes = tuple(processes)
    settle = around.settle
    written = {settle(path) for process in processes for path in process.opened_written}
    created = {settle(path) for process in processes for path in process.created}
    written.update(map(settle, traced.written))
    # A trace does not note that a file was read which the command itself has made.
    created.update(made := {settle(path) for path in traced.created})
    read = set(made)
    if created:
        read |= {settle(path) for process in processes for path in process.opened_read}
    passing = {
        path
        for path in created & read
        if around.temporary
        and is_below(path, around.temporary)
        and not is_below(path, around.project)
    }
    return tuple(
        path
        for path in sorted(written - passing)
        if not is_below(os.path.realpath(path), around.project)
        and is_data(path, around)
        and os.path.isfile(path)
    )


def group_data(
    paths: Iterable[str],
    named: Mapping[str, str],
    around: Surroundings,
    arguments: Sequence[str] = (),
) -> tuple[DataRoot, ...]:
    """Groups files outside the project into data sets.

    Files below a directory that the user named belong to that name, those below a directory that
    an argument of the command names to one data set. Of the others, a directory with a part for
    training or testing is one data set, whichever parts were read; so are directories that stand
    beside each other (one for each class, say) or in each other, unless what holds them is as
    broad as the home, a mount point or a collection of data sets.
    """
    whole = {_above_parts(directory, around) for directory in arguments}
    chosen = (*sorted(named.values(), key=len, reverse=True), *sorted(whole, key=len))
    groups: dict[str, list[str]] = {}
    given: dict[str, list[str]] = {}
    # There are few directories; and a file can be named itself.
    alone = set(named.values())
    listed: dict[str, list[str]] = {}
    for path in sorted(paths):
        directory = path if path in alone else path.rpartition("/")[0].rstrip("/") or "/"
        listed.setdefault(directory, []).append(path)
    for directory, members in listed.items():
        place = next((named for named in chosen if is_below(directory, named)), None)
        if place is not None:
            given.setdefault(place, []).extend(members)
        else:
            groups.setdefault(_above_parts(directory, around), []).extend(members)
    _merge(groups, around)
    names = {directory: name for name, directory in named.items()}
    unnamed = sorted({*groups, *given} - set(names))
    names.update(_names(unnamed, set(named), around))
    return tuple(
        DataRoot(
            name=names[directory],
            directory=directory,
            files=tuple(sorted(below(f, directory) for f in files)),
        )
        for directory, files in sorted({**given, **groups}.items())
    )


def below(path: str, directory: str) -> str:
    """The path of a file relative to a directory that it lies below."""
    odd = "//" in path or "/./" in path or "/../" in path
    return os.path.relpath(path, directory) if odd else path[len(directory.rstrip("/")) + 1 :]


def _above_parts(directory: str, around: Surroundings) -> str:
    """The directory of a data set of which a directory is, or lies in, a part such as `train`."""
    parts = directory.split("/")
    for number in range(2, len(parts)):
        above = "/".join(parts[:number])
        if parts[number].lower() in _PARTS and not _is_collection(above, around):
            return above
    return directory


def _merge(groups: dict[str, list[str]], around: Surroundings) -> None:
    """Merges neighbours into the smallest directory that holds them, the deepest first."""
    # By depth: a directory, and the groups for which it stands, which lie up to `_LIFTS` below it.
    levels: dict[int, dict[str, list[str]]] = {}
    for directory in groups:
        levels.setdefault(directory.count("/"), {})[directory] = [directory]
    for depth in range(max(levels, default=0), 0, -1):
        families: dict[str, list[str]] = {}
        for directory in levels.get(depth, ()):
            families.setdefault(os.path.dirname(directory), []).append(directory)
        above = levels.setdefault(depth - 1, {})
        for parent, children in sorted(families.items()):
            if _is_collection(parent, around):
                continue
            members = [group for child in children for group in levels[depth][child]]
            if len(children) > 1 or parent in groups:
                merged = [path for group in members for path in groups.pop(group)]
                groups.setdefault(parent, []).extend(merged)
                above[parent] = [parent]
                continue
            # Alone, it belongs to the nearest data set around it, or waits for neighbours.
            holder = parent
            while holder not in groups and not _is_collection(holder, around):
                holder = os.path.dirname(holder)
            if holder in groups and not _is_collection(holder, around):
                groups[holder].extend(path for group in members for path in groups.pop(group))
            elif max(group.count("/") for group in members) - depth < _LIFTS:
                above.setdefault(parent, []).extend(members)


def _names(directories: list[str], taken: set[str], around: Surroundings) -> dict[str, str]:
    """A name for each directory: its own, or with that of its parent where two have the same."""
    own = {directory: public_name(directory, around) for directory in directories}
    counts = collections.Counter(own.values())
    found = {}
    taken = set(taken)
    for directory in directories:
        name = own[directory]
        above = os.path.dirname(directory)
        if (counts[name] > 1 or name in taken) and not is_broad(above, around):
            name = f"{public_name(above, around)}-{name}"
        found[directory] = free_name(name, taken)
        taken.add(found[directory])
    return found


class _Settle:
    """Gives a file of the project its path there, by whatever links it was reached.

    Other paths stay as they were written: that is how the command names them. Each is looked at
    once, for several functions ask about all that a run has read.
    """

    def __init__(self, project: str) -> None:
        self._project = project
        self._directories: dict[str, str] = {}
        self._places: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        place = self._places.get(path)
        if place is None:
            place = self._places[path] = self._look(path)
        return place

    def _look(self, path: str) -> str:
        directory, _, name = path.rpartition("/")
        real = self._directories.get(directory)
        if real is None:
            real = os.path.realpath(directory or "/").rstrip("/")
            self._directories[directory] = real
        place = f"{real}/{name}"
        if os.path.islink(place):
            place = os.path.realpath(place)
        if is_below(place, self._project) or "/../" in path:
            return place
        return path


def is_data(path: str, around: Surroundings) -> bool:
    """Whether a file belongs to neither code, interpreter, system nor the settings of tools."""
    if "/.git/" in path or path.endswith("/.git"):
        # Libraries look there for the state of the code, which is recorded.
        return False
    if is_below(path, around.project):
        relative = below(path, around.project)
        return (
            relative not in around.code
            and relative.partition("/")[0] != ".repropack"
            and not _belongs_to_interpreter(path, around)
            and "__pycache__" not in relative
        )
    if path.endswith(_CODE_SUFFIXES) or is_system(path, around):
        return False
    for directory, files in around.code_outside.items():
        if is_below(path, directory) and below(path, directory) in files:
            return False
    if (
        around.home
        and path.startswith(f"{around.home}/.")
        and "/" not in path[len(around.home) + 1 :]
    ):
        # `.bashrc`, `.gitconfig`: settings and credentials.
        return False
    return not f"{path}/".startswith(around.within_home_state)


def is_system(path: str, around: Surroundings) -> bool:
    """Whether a path belongs to the operating system or to an interpreter that ran."""
    return _belongs_to_interpreter(path, around) or f"{path}/".startswith(around.within_system)


def _belongs_to_interpreter(path: str, around: Surroundings) -> bool:
    return f"{path}/".startswith(around.within_interpreters)


def is_below(path: str, directory: str) -> bool:
    """Whether a path is a directory or lies below it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def is_broad(directory: str, around: Surroundings) -> bool:
    """Whether a directory is the home, holds it, or is as wide as a mount point."""
    return directory.count("/") < 2 or directory == around.home or is_below(around.home, directory)


def _is_collection(directory: str, around: Surroundings) -> bool:
    """Whether what a directory holds does not belong together."""
    return (
        is_broad(directory, around)
        or os.path.basename(directory).lower() in _COLLECTIONS
        or os.path.dirname(directory) in _MOUNTED
        or directory == around.temporary
    )


def public_name(directory: str, around: Surroundings) -> str:
    """The last part of a directory, but for that of the home: it is the user's name."""
    if directory == around.home:
        return "home"
    if directory == "/":
        return "root"
    name = os.path.basename(directory)
    return "data" if around.home and name == os.path.basename(around.home) else name


def free_name(text: str, taken: set[str]) -> str:
    """A name for a data set or for code, of the letters of placeholders, that is not taken."""
    name = _NAME_CHARACTER.sub("-", text).strip("-.") or "data"
    if name == "project":
        # `project` is the name of the files inside the code tree that git ignores.
        name = "project-data"
    number = 2
    free = name
    while free in taken:
        free = f"{name}-{number}"
        number += 1
    return free
