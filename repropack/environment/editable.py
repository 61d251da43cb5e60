# SPDX-License-Identifier: Apache-2.0
"""Code on the path of a rebuilt environment, without its build backend.

An editable install is a `.pth` file or an import hook that leads to a source tree, and metadata. To
make one again, a build backend of the source tree would have to run. That is code of the bundle, so
it is never run outside the sandbox: the path and the metadata are written here, from the record.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack.environment.installation import site_packages
from repropack.environment.lock import LockedPackage
from repropack.errors import RepropackError
from repropack.model import Distribution, Python, Wheel

__all__ = ["EditableInstall", "add_code"]

_GROUP: Final = re.compile(r"\w+(\.\w+)*", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)
_TARGET: Final = re.compile(r"(\w+(?:\.\w+)*)(?::(\w+(?:\.\w+)*))?", re.ASCII)
"""`module:attribute`; the extras in brackets of old metadata are not used by any loader."""

_SCRIPTS: Final = "console_scripts"
_PATH_FILE: Final = "repropack-code.pth"


class EditableInstall(Struct, frozen=True, kw_only=True):
    """What programs can ask an editable install for: its version and its entry points.

    Attributes:
        name: Normalised name.
        entry_points: Group to name to `module:attribute`; those of another form are left out.
    """

    name: str
    version: str
    entry_points: dict[str, dict[str, str]] = {}

    @classmethod
    def of(cls, recorded: Distribution) -> EditableInstall | None:
        """From a record that somebody else may have written; None if it cannot be one."""
        try:
            # The same form as for a package of a lock file.
            LockedPackage(
                name=recorded.name,
                version=recorded.version,
                wheels=(
                    Wheel(
                        filename=f"{recorded.name.replace('-', '_')}-{recorded.version}"
                        "-py3-none-any.whl",
                        sha256="0" * 64,
                    ),
                ),
            )
        except ValueError:
            return None
        return cls(
            name=recorded.name,
            version=recorded.version,
            entry_points={
                group: sound
                for group, points in recorded.entry_points.items()
                if _GROUP.fullmatch(group)
                and (
                    sound := {
                        name: target
                        for name, target in points.items()
                        if _NAME.fullmatch(name) and _TARGET.fullmatch(target)
                    }
                )
            },
        )

    @property
    def folder(self) -> str:
        """The name of its metadata directory."""
        return f"{self.name.replace('-', '_')}-{self.version}.dist-info"

    def metadata(self) -> dict[str, tuple[str, ...]]:
        """The files of its metadata directory, by name, as lines."""
        files = {
            "METADATA": ("Metadata-Version: 2.1", f"Name: {self.name}", f"Version: {self.version}"),
            "INSTALLER": ("repropack",),
        }
        if self.entry_points:
            lines: list[str] = []
            for group, points in sorted(self.entry_points.items()):
                lines.append(f"[{group}]")
                lines += [f"{name} = {target}" for name, target in sorted(points.items())]
            files["entry_points.txt"] = tuple(lines)
        return files

    def scripts(self) -> dict[str, tuple[str, ...]]:
        """Its programs, by name, as lines of Python."""
        found: dict[str, tuple[str, ...]] = {}
        for name, target in sorted(self.entry_points.get(_SCRIPTS, {}).items()):
            module, _, attribute = target.partition(":")
            first = attribute.partition(".")[0]
            if first:
                found[name] = (
                    "import sys",
                    f"from {module} import {first}",
                    f"sys.exit({attribute}())",
                )
        return found


def add_code(
    environment: Path,
    python: Python,
    directories: Sequence[str],
    installs: Sequence[EditableInstall],
) -> None:
    """Puts directories on the path of an environment, and writes the metadata of installs.

    What was put there before by this function is replaced; no file of a package is.

    Args:
        environment: A virtual environment that was made here.
        python: The recorded interpreter, whose series it has.
        directories: Absolute paths, as the code that will run sees them.
        installs: Editable installs of packages in those directories.

    Raises:
        OSError: It cannot be written.
        RepropackError: A directory cannot stand in a path file.
    """
    for path in directories:
        # A line of a `.pth` file that starts with `import` would be executed.
        if not path.startswith("/") or not path.isprintable():
            raise RepropackError(
                f"{path!r} cannot be put on Python's path", advice="name another place with TMPDIR"
            )
    site = site_packages(environment, python)
    _write(site / _PATH_FILE, "".join(f"{path}\n" for path in directories))
    for install in installs:
        folder = site / install.folder
        if folder.is_dir() and (folder / "RECORD").exists():
            # A locked package of the same name and version: it is the better evidence.
            continue
        folder.mkdir(exist_ok=True)
        for name, lines in install.metadata().items():
            _write(folder / name, "".join(f"{line}\n" for line in lines))
        for name, lines in install.scripts().items():
            place = environment / "bin" / name
            if not os.path.lexists(place):
                # By way of a shell, because a first line may not have spaces or 128 characters.
                start = ("#!/bin/sh", f'\'\'\'exec\' "{environment}/bin/python" "$0" "$@"', "' '''")
                _write(place, "".join(f"{line}\n" for line in (*start, *lines)))
                place.chmod(0o755)


def _write(place: Path, text: str) -> None:
    place.write_text(text, "utf-8")
