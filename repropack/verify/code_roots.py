# SPDX-License-Identifier: Apache-2.0
"""Where the code of a repeated run lies: the project, and other code and data beside it.

Everything lies below one directory of ours, which the sandbox shows as `/work`. The project lies
deep enough in it for code that was found as `../lib` to be there again.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack.environment.editable import EditableInstall, add_code
from repropack.errors import RepropackError
from repropack.findings import Code, DefectError
from repropack.model import CodeRoot, PackedRun, Segment, SourceSnapshot
from repropack.placeholders import code_placeholder, split_code
from repropack.verify.code_check import checked_tree
from repropack.verify.environments import BuiltEnvironment
from repropack.verify.workspace import PLACE_TAKEN, Unpacked

__all__ = ["SANDBOX_WORK", "CodePlaces", "choose_places", "offer_to_python", "write_code"]

SANDBOX_WORK: Final = "/work"
"""Where executed code sees the directory that holds all code."""

_UNPLACED: Final = "code"


class CodePlaces(Struct, frozen=True, kw_only=True):
    """Places of code in a repetition, relative to one directory.

    Attributes:
        base: The directory, which is ours and new.
        project: The project's place below it.
        named: The place of each `{code:NAME}`, by name.
        data: The place of data sets that stood beside the project, by name.
    """

    base: Path
    project: str
    named: dict[str, str]
    data: dict[str, str] = {}

    def on_disk(self, recorded: str) -> Path:
        """Where a recorded directory of code is on this machine."""
        return self.base / self._below(recorded)

    def separate(self) -> tuple[str, ...]:
        """The places that lie in no other."""
        every = (self.project, *self.named.values())
        return tuple(
            one
            for one in every
            if not any(one != other and one.startswith(f"{other}/") for other in every)
        )

    def values(self, top: str) -> dict[str, str]:
        """What the placeholders of code stand for where the base is seen as `top`."""
        return {
            "project": f"{top}/{self.project}",
            **{code_placeholder(name): f"{top}/{place}" for name, place in self.named.items()},
        }

    def _below(self, recorded: str) -> str:
        split = split_code(recorded)
        assert split is not None
        name, relative = split
        top = self.project if name is None else self.named[name]
        return f"{top}/{relative}" if relative else top


def choose_places(
    base: Path, roots: Sequence[CodeRoot], data: Mapping[str, str | None]
) -> CodePlaces:
    """Gives code and data their recorded positions beside the project, unless two would be one.

    Args:
        base: The directory that is to hold all code.
        roots: The code beside the project's.
        data: The recorded position of each data set. One that overlaps with code, or with another
            one, gets no place beside the project.
    """
    positions = [p for p in (*(one.position for one in roots), *data.values()) if p]
    climbs = max((one.split("/").count("..") for one in positions), default=1)
    project = "/".join([*(["in"] * (climbs - 1)), "project"])
    named: dict[str, str] = {}
    for one in sorted(roots, key=lambda r: (r.position or "").count("/")):
        split = split_code(one.root)
        if split is None or split[0] is None or split[1]:
            continue
        place = os.path.normpath(f"{project}/{one.position}") if one.position else ""
        others = (project, *named.values())
        inside = f"{place}/".startswith(f"{project}/")
        # A repository inside another one is fine: it is written after it.
        if not place or inside or any(f"{other}/".startswith(f"{place}/") for other in others):
            place = f"{_UNPLACED}/{split[0]}"
        named[split[0]] = place
    beside: dict[str, str] = {}
    for name, position in sorted(data.items()):
        place = os.path.normpath(f"{project}/{position}") if position else ""
        taken = (project, *named.values(), *beside.values())
        if place and not any(_overlap(place, other) for other in taken):
            beside[name] = place
    return CodePlaces(base=base, project=project, named=named, data=beside)


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def write_code(
    packed: PackedRun, segment: Segment, places: CodePlaces, unpacked: Unpacked, work: Path
) -> None:
    """Writes the project's tree and all further code of an execution.

    Raises:
        DefectError: A code bundle is not in order, or its place is taken.
        RepropackError: git is missing, or there is not enough room.
        OSError: The disk failed.
    """
    assert segment.source is not None
    _write(packed, "{project}", segment.source, places, unpacked, work, replace=False)
    # What holds another comes first; what replaces files comes last.
    for one in sorted(
        segment.roots,
        key=lambda r: (r.root == "{project}", str(places.on_disk(r.root)).count("/")),
    ):
        replace = one.root == "{project}"
        _write(packed, one.root, one.source, places, unpacked, work, replace=replace)


def _write(
    packed: PackedRun,
    root: str,
    snapshot: SourceSnapshot,
    places: CodePlaces,
    unpacked: Unpacked,
    work: Path,
    *,
    replace: bool,
) -> None:
    code = next(c for c in packed.code if (c.root, c.tree) == (root, snapshot.tree))
    place = os.path.relpath(places.on_disk(root), places.base)
    with tempfile.TemporaryDirectory(prefix="git-", dir=work) as scratch:
        tree = checked_tree(
            code, unpacked.path(code.member), Path(scratch), frozenset(snapshot.submodules)
        )
        _require_room(work, sum(file.size for file in tree.files))
        try:
            tree.write_to(places.base, place, replace=replace)
        except OSError as error:
            if error.errno not in PLACE_TAKEN:
                raise
            raise DefectError(
                Code.CODE_TREE, code.member, found=f"{root}: {error.strerror or error}"
            ) from error


def _require_room(directory: Path, needed: int) -> None:
    """A small bundle can unpack to much: the disk belongs to others too."""
    room = os.statvfs(directory)
    if needed > room.f_bavail * room.f_frsize:
        raise RepropackError(
            f"{directory} has no room for {needed} bytes of code",
            advice="name another place with TMPDIR",
        )


def offer_to_python(
    segment: Segment, environment: BuiltEnvironment, directories: Sequence[str]
) -> None:
    """Puts code on the path of the rebuilt Python where an installation did so for the author.

    Args:
        segment: The execution.
        environment: Its environment.
        directories: `python_path` of the segment, as the executed code sees it.

    Raises:
        OSError: The environment cannot be written.
    """
    python = environment.recorded.python
    if environment.directory is None or python is None or not segment.python_path:
        return
    recorded = {one.name: one for one in environment.recorded.distributions}
    installs = [
        install
        for name in segment.from_code
        if name in recorded and (install := EditableInstall.of(recorded[name])) is not None
    ]
    add_code(environment.directory, python, directories, installs)
