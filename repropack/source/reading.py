# SPDX-License-Identifier: Apache-2.0
"""Reading recorded snapshots of the author's own store: names and contents of files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from repropack.source.git import Git, bare
from repropack.source.trees import recorded_name

__all__ = ["list_paths", "read_file"]


def list_paths(store: Path, tree: str, alternates: Sequence[Path] = ()) -> tuple[str, ...]:
    """The files of a recorded tree, by path below its root.

    Args:
        store: The directory of the private repository.
        tree: The tree's id.
        alternates: Object stores to look in too.

    Raises:
        RepropackError: The tree is not in the store.
    """
    repository = _repository(store, tree, alternates)
    output = repository.call("ls-tree", "-r", "-z", "--name-only", tree).stdout
    return tuple(recorded_name(path) for path in output.split(b"\0") if path)


def read_file(store: Path, tree: str, path: str) -> bytes:
    """The content of a file of a recorded tree.

    Raises:
        RepropackError: There is no such file.
    """
    return _repository(store, tree).call("cat-file", "blob", f"{tree}:{path}").stdout


def _repository(store: Path, tree: str, alternates: Sequence[Path] = ()) -> Git:
    place = store if len(tree) == 40 else store.with_name(f"{store.name}-sha256")
    return bare(place, alternates=alternates)
