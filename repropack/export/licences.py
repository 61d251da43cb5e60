# SPDX-License-Identifier: Apache-2.0
"""The licence texts that go out beside the code."""

from __future__ import annotations

from typing import Final

from repropack.export.chain import ChainedRun
from repropack.paths import to_logical_path
from repropack.source.reading import list_paths, read_file
from repropack.store import Store

__all__ = ["licences_of"]

_STEMS: Final = ("license", "licence", "copying", "notice")


def licences_of(store: Store, chain: tuple[ChainedRun, ...]) -> dict[str, bytes]:
    """Licence texts at the top of the claimed run's code, by member.

    Raises:
        RepropackError: git failed.
    """
    source = chain[-1].record.segments[-1].source
    assert source is not None
    found = {}
    for path in list_paths(store.git, source.tree):
        if "/" not in path and path.lower().startswith(_STEMS):
            found[f"licenses/{to_logical_path(path)}"] = read_file(store.git, source.tree, path)
    return found
