# SPDX-License-Identifier: Apache-2.0
"""Which git trees may travel in a bundle. The writer and the reader use the same rules.

Names in a code tree are the author's: `a:b.txt`, `aux.py` or `Modèle.ipynb` in any normal form are
fine, and changing one would change the tree id. So these rules are weaker than those of logical
paths (`repropack.paths`) and refuse only what is a hazard on the machine that writes the files
out: climbing, git directories under any of their disguises, and control characters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence, Set
from typing import Final

from repropack.paths import MAX_COMPONENT, MAX_COMPONENTS, MAX_PATH

__all__ = [
    "GITLINK",
    "LINK",
    "MAX_FILES",
    "MAX_LINK",
    "MAX_TOTAL",
    "entry_defect",
    "link_defect",
    "parse_batch",
    "parse_tree",
    "path_defect",
    "recorded_name",
]

MAX_FILES: Final = 100_000
"""Entries of a tree, directories included: more than almost every repository has, while a bundle
of 910 bytes can name 10**10 files."""

MAX_TOTAL: Final = 2 * 1024**3
"""Bytes of all files of a tree: what is larger holds data, which does not travel as code."""

MAX_LINK: Final = 4096
"""Bytes of a symbolic link's target: PATH_MAX."""

LINK: Final = b"120000"
GITLINK: Final = b"160000"
"""A submodule: the entry names a commit of another repository, and is an empty directory here."""

_FILE_MODES: Final = frozenset({b"100644", b"100755", LINK})


def entry_defect(mode: bytes, path: bytes, submodules: Set[str]) -> str:
    """Why a file entry may not be in a tree, or an empty string.

    Args:
        mode: The mode as git writes it, for example `100644`.
        path: The path from the root of the tree.
        submodules: Where the record says that the tree has submodules.
    """
    if mode == GITLINK:
        if recorded_name(path) not in submodules:
            return "a submodule that the record does not name"
        return path_defect(path)
    if mode not in _FILE_MODES:
        return f"the mode {mode.decode('ascii', 'backslashreplace')}"
    name = path.rpartition(b"/")[2].lower()
    if mode == LINK and name.startswith(b".git"):
        # git itself reads these files and has been led out of the tree by such links.
        return "a symbolic link with the name of a git file"
    return path_defect(path)


def path_defect(path: bytes) -> str:
    """Why a path may not be in a tree, or an empty string."""
    if len(path) > MAX_PATH:
        return f"a path of {len(path)} bytes"
    components = path.split(b"/")
    if len(components) > MAX_COMPONENTS:
        return f"a path of {len(components)} components"
    for component in components:
        if component in (b"", b"."):
            return "an empty or '.' component"
        if len(component) > MAX_COMPONENT:
            return f"a name of {len(component)} bytes"
        text = component.decode("utf-8", "surrogateescape")
        if not text.isprintable() and any(unicodedata.category(c) == "Cc" for c in text):
            return "a name with a control character"
        for piece in _pieces(text):
            if piece == "..":
                return "a name that climbs"
            if _is_git_directory(piece):
                return "a name that means a git directory"
    return ""


def link_defect(path: bytes, target: bytes) -> str:
    """Why a symbolic link may not be in a tree, or an empty string.

    A target may climb only at its start, and not above the root. Counting `..` anywhere would not
    do: with `d/e/up -> ../..`, the target `d/e/up/../x` stays inside when it is counted and leaves
    when it is followed. Climbing first is exact: the directories above a link are real ones.
    """
    if not target or b"\0" in target or len(target) > MAX_LINK:
        return "a symbolic link without a usable target"
    if target.startswith(b"/"):
        return "a symbolic link to an absolute path"
    components = [c for c in target.split(b"/") if c not in (b"", b".")]
    climbs = 0
    while climbs < len(components) and components[climbs] == b"..":
        climbs += 1
    if climbs > path.count(b"/"):
        return "a symbolic link that leaves the tree"
    if b".." in components[climbs:]:
        return "a symbolic link that climbs after it has descended"
    texts = (component.decode("utf-8", "surrogateescape") for component in components)
    if any(_is_git_directory(piece) for text in texts for piece in _pieces(text)):
        return "a symbolic link into a git directory"
    return ""


def recorded_name(path: bytes) -> str:
    r"""A path as valid Unicode, for records and messages.

    A backslash is doubled and a byte that is not UTF-8 becomes `\xNN`; everything else stays. Two
    different paths never get the same name.
    """
    return path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")


def parse_tree(data: bytes, id_size: int) -> tuple[tuple[bytes, bytes, str], ...]:
    """The entries of a stored tree object: mode, name, object id.

    Raises:
        ValueError: It is malformed, a name holds a slash, or a name stands twice.
    """
    entries: list[tuple[bytes, bytes, str]] = []
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 7)
        end = data.find(b"\0", space + 1) if space > 0 else -1
        following = end + 1 + id_size
        if end < 0 or following > len(data):
            raise ValueError("a tree that is cut off")
        name = data[space + 1 : end]
        if b"/" in name:
            raise ValueError("a name that holds a slash")
        entries.append((data[position:space], name, data[end + 1 : following].hex()))
        position = following
    if len({name for _, name, _ in entries}) != len(entries):
        raise ValueError("a name that stands twice")
    return tuple(entries)


def parse_batch(output: bytes) -> Iterator[tuple[str, bytes]]:
    """The objects that `git cat-file --batch` printed: id and content.

    Raises:
        ValueError: An object was missing.
    """
    position = 0
    while position < len(output):
        end = output.index(b"\n", position)
        fields = output[position:end].split(b" ")
        if len(fields) != 3:
            raise ValueError(f"object {fields[0].decode('ascii', 'replace')} is missing")
        size = int(fields[2])
        yield fields[0].decode("ascii"), output[end + 1 : end + 1 + size]
        position = end + 1 + size + 1


def _pieces(name: str) -> Sequence[str]:
    # Windows takes a backslash for a separator and `:` for the start of a stream's name.
    return re.split(r"[\\:]", name) if "\\" in name or ":" in name else (name,)


def _is_git_directory(name: str) -> bool:
    # HFS+ ignores invisible characters; NTFS has short names, and drops dots and spaces at the end.
    if name.isascii():
        folded = name.lower().rstrip(". ")
        return folded == ".git" or (folded[:4] == "git~" and folded[4:].isdigit())
    visible = "".join(c for c in name if unicodedata.category(c) != "Cf")
    folded = unicodedata.normalize("NFKC", visible).casefold().rstrip(". ")
    return folded == ".git" or re.fullmatch(r"git~[0-9]+", folded) is not None
