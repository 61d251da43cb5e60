# SPDX-License-Identifier: Apache-2.0
"""Files that C++ or Rust libraries may have read in a Python process, by cheaper evidence.

pyarrow, LightGBM, OpenCV, safetensors and others open files below Python, where no audit hook
sees it. What can be seen: configuration files that name files, directories on the command line,
names in the code that ran, directories that Python listed. A directory of which some files were
seen being read has a reader in Python, so its other files were most likely passed over; only where
none was, all count.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from repropack.agent.log import ProcessObservation
from repropack.capture.code_names import named_places, read_code, readers_below
from repropack.capture.gaps import Gaps
from repropack.capture.materials import (
    Surroundings,
    is_below,
    is_broad,
    is_data,
    is_system,
    loaded_code,
)
from repropack.capture.preparation import Prepared, place_on_disk
from repropack.capture.unobserved import declared_files
from repropack.model import Evidence

__all__ = ["natively_read"]

FILE_LIMIT: Final = 10_000
SIZE_LIMIT: Final = 2**30
"""Files, and bytes of them, that are taken for inputs unseen: each has to be hashed."""

CONFIGURATION_LIMIT: Final = 256 * 1024
"""Bytes of a configuration file. Larger ones are data."""

CONFIGURATIONS: Final = 200
TOKENS: Final = 2_000
"""Configuration files, and names in each, that are looked up: some milliseconds."""

_CONFIGURATION: Final = (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg", ".conf", ".list")

_NATIVE: Final = (
    ".arrow", ".feather", ".gguf", ".lance", ".model", ".onnx", ".orc", ".parquet", ".safetensors",
    ".ubj",
)  # fmt: skip
"""Formats whose libraries read natively. Outputs of earlier runs in other formats, in a directory
that was merely named or listed, are most likely only the neighbours of what a run writes."""

_TOKEN: Final = re.compile(r"[^\s\"'`,;=\[\]{}()<>|]+")


def natively_read(
    processes: Sequence[ProcessObservation],
    arguments: Iterable[str],
    directory: str,
    seen: Iterable[str],
    prepared: Prepared,
    around: Surroundings,
    variables: Mapping[str, str],
    declared: Iterable[Path],
    gaps: Gaps,
) -> dict[str, Evidence]:
    """Files that nobody was seen opening, and how we know of each.

    Args:
        processes: What the agent saw.
        arguments: The command line.
        directory: Working directory of the command.
        seen: Files that were seen being read.
        prepared: The recording.
        around: Where the run stood.
        variables: The command's environment variables.
        declared: Directories that the user named as data.
        gaps: Told what is too much, and where files must have been read of which none is known.
    """
    found = _Found(prepared, around, seen)
    names = read_code((*loaded_code(processes, around), *_notebooks(processes, around)))
    reads = bool(names.readers) and names.reads
    if reads:
        for root in declared:
            found.add_declared(root)
    named = list(_configured(processes, directory, prepared))
    for place in named:
        if os.path.isfile(place):
            found.add_file(place, Evidence.CONFIGURATION)
    opened = {path for process in processes for path in process.opened_read}
    file_named = False
    for argument in arguments:
        for text in {argument, argument.partition("=")[2]} - {""}:
            if not text.startswith("-"):
                place = os.path.normpath(os.path.join(directory, os.path.expanduser(text)))
                found.add_tree(place, Evidence.ARGUMENT, all_unread=reads)
                # A file that is named and that Python did not open is most likely what was read.
                file_named |= (
                    place not in opened and os.path.isfile(place) and is_data(place, around)
                )
    for place in named:
        found.add_tree(place, Evidence.CONFIGURATION)
    if names.readers:
        bases = (directory, str(prepared.root))
        trees, files = [], []
        for place in named_places(names, bases, found.roots, variables):
            if os.path.isfile(place):
                found.add_file(place, Evidence.CODE)
                files.append(place)
            else:
                trees.append(place)
        listed = {path for process in processes for path in process.listed}
        for place in trees:
            # Where the code names files below it, or lists it, it reads those.
            if place not in listed and not any(is_below(file, place) for file in files):
                found.add_tree(place, Evidence.CODE)
    # Whoever asks which packages are installed lists the directories that Python searches.
    searched = {os.path.normpath(path) for process in processes for path in process.sys_path}
    for place in dict.fromkeys(path for process in processes for path in process.listed):
        if place not in searched:
            found.add_directory(place, Evidence.LISTED)
    if found.full:
        gaps.add(
            "inputs",
            f"{found.full} and what was named or listed after it hold more files than are recorded "
            "without having been seen; record with --trace strace, or name it with --data NAME=DIR",
        )
    elif reads and not (found.files or file_named) and not found.seen_mapped(processes):
        gaps.add(
            "inputs",
            f"the code reads files by {readers_below(names)}, below Python, where no agent sees "
            "it, and nothing names them; record with --trace strace, or name the data with "
            "--data NAME=DIR",
        )
    return found.files


class _Found:
    """Collects files within the limits.

    Attributes:
        full: The directory at which a limit was reached, or an empty string.
        roots: The directories that were named.
    """

    def __init__(self, prepared: Prepared, around: Surroundings, seen: Iterable[str]) -> None:
        self.files: dict[str, Evidence] = {}
        self.full = ""
        self.roots: dict[str, None] = {}
        self._prepared = prepared
        self._around = around
        self._seen = set(seen)
        self._beside = {path.rpartition("/")[0] or "/" for path in self._seen}
        self._read_in: set[str] = set()
        for directory in self._beside:
            parent = directory
            while parent not in self._read_in and parent != "/":
                self._read_in.add(parent)
                parent = os.path.dirname(parent)
        self._size = 0
        self._products = {
            place: product.stamp
            for recorded, product in prepared.known.items()
            if (place := place_on_disk(recorded, prepared.root)) is not None
        }

    def add_file(self, path: str, evidence: Evidence) -> None:
        """A file that was named itself."""
        path = os.path.normpath(path)
        status = _regular(path)
        if status is not None and is_data(path, self._around) and self._is_old(status):
            self._put(path, status, evidence)

    def add_declared(self, directory: Path) -> None:
        """All files that were declared, but for those beside files that were seen being read."""
        for path in declared_files(directory):
            if path not in self._seen and os.path.dirname(path) not in self._beside:
                status = _regular(path)
                if status is not None and is_data(path, self._around) and self._is_old(status):
                    self.files[path] = Evidence.DECLARED

    def add_tree(self, directory: str, evidence: Evidence, *, all_unread: bool = False) -> None:
        """All files below a directory, unless some of them were seen being read.

        Args:
            directory: The directory.
            evidence: How it is known.
            all_unread: Also where some were seen: all that lie beside none of those.
        """
        if os.path.isdir(directory):
            self.roots[directory] = None
        if directory in self._read_in:
            self._add_neighbours(directory, evidence)
            if not all_unread:
                return
        if not self._is_candidate(directory):
            return
        for place, directories, _ in os.walk(directory):
            directories[:] = sorted(d for d in directories if not d.startswith("."))
            if place not in self._beside:
                self._add_all(place, evidence)
            if self.full:
                return

    def add_directory(self, directory: str, evidence: Evidence) -> None:
        """The files in a directory, unless some of them were seen being read."""
        if directory in self._beside:
            self._add_neighbours(directory, evidence)
        elif self._is_candidate(directory):
            self._add_all(directory, evidence)

    def seen_mapped(self, processes: Iterable[ProcessObservation]) -> bool:
        """Whether processes had data files of theirs open or mapped when they ended."""
        return any(is_data(path, self._around) for one in processes for path in one.mapped)

    def _add_neighbours(self, directory: str, evidence: Evidence) -> None:
        """Weights beside a `config.json` that was seen: in formats that are read natively."""
        if directory in self._beside and not is_broad(directory, self._around):
            self._add_all(directory, evidence, suffixes=_NATIVE)

    def _is_candidate(self, directory: str) -> bool:
        return (
            os.path.isdir(directory)
            and is_data(f"{directory}/x", self._around)
            and not is_broad(directory, self._around)
            and not is_system(directory, self._around)
            and not is_below(self._around.project, directory)
        )

    def _add_all(
        self, directory: str, evidence: Evidence, suffixes: tuple[str, ...] = ("",)
    ) -> None:
        try:
            names = sorted(os.listdir(directory))
        except OSError:
            # It was removed meanwhile.
            return
        for name in names:
            path = os.path.join(directory, name)
            if name.startswith(".") or path in self._seen or not name.endswith(suffixes):
                continue
            status = _regular(path)
            if (
                status is None
                or not self._is_old(status)
                or not is_data(path, self._around)
                or (self._is_product(path, status) and not name.endswith(_NATIVE))
            ):
                continue
            self._put(path, status, evidence)
            if self.full:
                return

    def _put(self, path: str, status: os.stat_result, evidence: Evidence) -> None:
        if path in self._seen or path in self.files:
            return
        if len(self.files) >= FILE_LIMIT or self._size + status.st_size > SIZE_LIMIT:
            self.full = self.full or os.path.dirname(path)
            return
        self._size += status.st_size
        self.files[path] = evidence

    def _is_product(self, path: str, status: os.stat_result) -> bool:
        stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
        return self._products.get(path) == stamp

    def _is_old(self, status: os.stat_result) -> bool:
        return max(status.st_mtime_ns, status.st_ctime_ns) < self._prepared.started_ns


def _notebooks(processes: Sequence[ProcessObservation], around: Surroundings) -> tuple[str, ...]:
    """Notebooks that were read and that the run has not made: it most likely executed them."""
    made = {around.settle(path) for process in processes for path in process.created}
    read = {
        around.settle(path)
        for process in processes
        for path in process.opened_read
        if path.endswith(".ipynb")
    }
    return tuple(sorted(read - made))


def _regular(path: str) -> os.stat_result | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _configured(
    processes: Sequence[ProcessObservation], directory: str, prepared: Prepared
) -> Iterator[str]:
    """Absolute paths that configuration files name and at which there is something."""
    files = dict.fromkeys(
        path
        for process in processes
        for path in process.opened_read
        if path.endswith(_CONFIGURATION) and "/." not in path
    )
    told: set[str] = set()
    for path in list(files)[:CONFIGURATIONS]:
        status = _regular(path)
        if status is None or status.st_size > CONFIGURATION_LIMIT:
            continue
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                text = file.read(CONFIGURATION_LIMIT)
        except OSError:
            continue
        places = dict.fromkeys((directory, os.path.dirname(path), str(prepared.root)))
        for token in list(dict.fromkeys(_TOKEN.findall(text)))[:TOKENS]:
            # `key: value` without a space, and the end of a sentence.
            name = token.rpartition(":")[2].rstrip(".") if "://" not in token else ""
            if "/" not in name and "." not in name:
                continue
            for place in places:
                found = os.path.normpath(os.path.join(place, os.path.expanduser(name)))
                if found not in told and len(found) < 4096 and os.path.lexists(found):
                    told.add(found)
                    yield found
                    break
