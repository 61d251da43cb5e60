# SPDX-License-Identifier: Apache-2.0
"""Packages of R that a run loaded, from the files that a trace saw being read.

R loads the code of an installed package from `R/NAME.rdb` in its directory, and the directory has
the `DESCRIPTION` with the fields of "Writing R Extensions", section 1.1.1, and `Built`, which R
adds when it installs a package. No R is started.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Final

from repropack.model import RPackage

__all__ = ["loaded_r_packages"]

_LOADED: Final = re.compile(r"(/.*/(?P<name>[A-Za-z][A-Za-z0-9.]*))/R/(?P=name)(?:\.rd[bx])?")
_FIELD: Final = re.compile(r"^([A-Za-z][A-Za-z0-9@_/.-]*):[ \t]*(.*)$", re.MULTILINE)
_VERSION: Final = re.compile(r"[0-9]+(?:[.-][0-9]+)*")
_BUILT: Final = re.compile(r"R ([0-9]+(?:\.[0-9]+)*);")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")

MAX_DESCRIPTION: Final = 256 * 1024
"""Bytes of a DESCRIPTION; the longest on CRAN have some 20 KiB."""


def loaded_r_packages(read: Iterable[str]) -> tuple[RPackage, ...]:
    """The installed packages whose code was read, by name; R itself is among them, as `base`.

    Args:
        read: Absolute paths of files that were read.
    """
    places = {found[1]: found["name"] for path in read if (found := _LOADED.fullmatch(path))}
    packages = {_described(place, name) for place, name in places.items()}
    return tuple(sorted((one for one in packages if one is not None), key=lambda p: p.name))


def _described(place: str, name: str) -> RPackage | None:
    """What an installed package says of itself; None for a directory that only looks like one."""
    try:
        with open(os.path.join(place, "DESCRIPTION"), "rb") as file:
            text = file.read(MAX_DESCRIPTION).decode("utf-8", "replace")
    except OSError:
        return None
    fields: dict[str, str] = {}
    for field in _FIELD.finditer(text):
        fields.setdefault(field[1], field[2].strip())
    version, built = fields.get("Version", ""), _BUILT.match(fields.get("Built", ""))
    if fields.get("Package") != name or not _VERSION.fullmatch(version) or built is None:
        return None
    repository, commit = fields.get("Repository", ""), fields.get("RemoteSha", "")
    return RPackage(
        name=name,
        version=version,
        built=built[1],
        # Some tools write an address there.
        repository=repository if _REPOSITORY.fullmatch(repository) else "",
        commit=commit if _COMMIT.fullmatch(commit) else "",
    )
