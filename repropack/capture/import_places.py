# SPDX-License-Identifier: Apache-2.0
"""From where code was imported, as its files and modules tell."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["import_directory", "package_files", "real_path"]

_SKIPPED: Final = frozenset({"__pycache__", ".git", ".repropack", "node_modules"})


def real_path(path: str) -> str:
    """A file's path without links in its directory; it may be a link itself."""
    return os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))


def import_directory(name: str, file: str) -> str | None:
    """The directory that had to be on the path for a module to be found in a file."""
    parts = name.split(".")
    stem, _, _ = os.path.basename(file).partition(".")
    found = file.split("/")[:-1] + ([] if stem == "__init__" else [stem])
    if name == "__main__" or found[-len(parts) :] != parts:
        return None
    return "/".join(found[: -len(parts)]) or "/"


def package_files(directory: str, package: str) -> list[str]:
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
