# SPDX-License-Identifier: Apache-2.0
"""Files whose bytes on the disk are not those that git keeps: filters, git-lfs, line ends.

No filter program is ever run: a snapshot executes nothing. A tree keeps what git has of such a
file, so its id stays the one that git knows: for git-lfs the pointer, which is a function of the
content (git-lfs, docs/spec.md). The bytes on the disk are what a run reads; the recorder sees to
them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from repropack import digest
from repropack.source.git import Git

__all__ = ["LFS", "converted_files", "drivers", "filters_of", "lfs_pointer", "off"]

LFS: Final = "lfs"
_POINTER: Final = b"version https://git-lfs.github.com/spec/v1\n"
_POINTER_LIMIT: Final = 1024
"""Bytes: the specification's bound for a pointer file."""

_SETTINGS: Final = r"^(filter\..*|core\.(autocrlf|attributesfile))$"


def drivers(git: Git) -> tuple[tuple[str, ...], bool]:
    """The filter drivers that the author has configured, and whether her settings convert text."""
    output = git.call(
        "config", "-z", "--name-only", "--get-regexp", _SETTINGS, accept=(0, 1)
    ).stdout
    names = [name.decode("utf-8", "surrogateescape") for name in output.split(b"\0") if name]
    found = {name[len("filter.") : name.rindex(".")] for name in names if name.count(".") > 1}
    converts = any(name.startswith("core.") for name in names)
    return tuple(sorted(name for name in found if "=" not in name)), converts


def off(names: Sequence[str]) -> tuple[str, ...]:
    """Configuration that keeps git from running these drivers."""
    return tuple(
        option
        for name in names
        for option in (
            f"filter.{name}.clean=",
            f"filter.{name}.smudge=",
            f"filter.{name}.process=",
            f"filter.{name}.required=false",
        )
    )


def filters_of(git: Git, paths: Sequence[bytes]) -> dict[bytes, str]:
    """The filter that the attributes name for each path, where they name one."""
    if not paths:
        return {}
    output = git.call(
        "check-attr", "-z", "--stdin", "filter", stdin=b"".join(path + b"\0" for path in paths)
    ).stdout
    fields = output.split(b"\0")
    return {
        path: value.decode("utf-8", "replace")
        for path, value in zip(fields[::3], fields[2::3], strict=False)
        if value not in (b"unspecified", b"unset", b"set", b"")
    }


def lfs_pointer(path: Path) -> bytes:
    """What git-lfs keeps in git of a file: a pointer, or the file itself if it is one, or empty.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{path} is not a regular file")
    if status.st_size < _POINTER_LIMIT:
        data = path.read_bytes()
        if not data or data.startswith(_POINTER):
            return data
    sha256, size = digest.hash_file(path)
    return b"%soid sha256:%s\nsize %d\n" % (_POINTER, sha256.encode(), size)


def converted_files(
    git: Git, tree: str, sizes: Mapping[str, int], chosen: Iterable[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Files of a tree that are stored otherwise than they lie on the disk.

    They are told by their size: git-lfs, and a change of line ends or encoding, change that. Where
    another filter applies, which may replace letters by others, the content is compared.

    Args:
        git: The author's work tree, reading also the private objects.
        tree: The tree id.
        sizes: Bytes of the files on the disk, by path below the root.
        chosen: The paths to look at; None for all.

    Returns:
        Those that are data (a filter makes them), and those that are code (text that git converts,
        and notebooks, whose filters strip outputs).
    """
    wanted = None if chosen is None else frozenset(chosen)
    output = git.call("ls-tree", "-r", "-z", "-l", "--full-tree", tree).stdout
    differing: list[bytes] = []
    same_size: dict[bytes, bytes] = {}
    for record in output.removesuffix(b"\0").split(b"\0") if output else ():
        meta, _, path = record.partition(b"\t")
        mode, _kind, oid, size = meta.split()
        name = os.fsdecode(path)
        if mode not in (b"100644", b"100755") or not size.isdigit() or name not in sizes:
            continue
        if wanted is not None and name not in wanted:
            continue
        if sizes[name] != int(size):
            differing.append(path)
        else:
            same_size[path] = oid
    filters = filters_of(git, [*differing, *same_size])
    differing += _with_other_content(
        git, {path: oid for path, oid in same_size.items() if path in filters}
    )
    data = tuple(os.fsdecode(p) for p in differing if p in filters and not p.endswith(b".ipynb"))
    code = tuple(os.fsdecode(p) for p in differing if os.fsdecode(p) not in data)
    return data, code


def _with_other_content(git: Git, files: Mapping[bytes, bytes]) -> list[bytes]:
    """Which files do not hold, as they lie on the disk, the object that is named for each."""
    root = os.fsencode(git.directory or b"")
    there = [path for path in files if os.path.isfile(os.path.join(root, path))]
    if not there:
        return []
    # As git quotes a name: one may hold a line's end.
    quoted = (
        b'"%s"\n' % p.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
        for p in there
    )
    held = git.call(
        "hash-object", "--no-filters", "--stdin-paths", stdin=b"".join(quoted)
    ).stdout.split()
    return [path for path, oid in zip(there, held, strict=True) if oid != files[path]]
