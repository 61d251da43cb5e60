# SPDX-License-Identifier: Apache-2.0
"""The rules for the list of members, which writer and reader share (specification section 5)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from repropack.bundle.limits import ATTESTATION, MANIFEST, MAX_MEMBERS, README
from repropack.findings import Code, Finding
from repropack.paths import PathRefusedError, check_logical_path, check_logical_paths

__all__ = ["archive_order", "member_list_defect"]


def archive_order(path: str) -> tuple[bool, str]:
    """The sort key of members: README.md, then the others by the UTF-8 bytes of their paths."""
    # The order of code points is the order of UTF-8 bytes.
    return path != README, path


def member_list_defect(paths: Sequence[str]) -> Finding | None:
    """The first reason why these paths, in this order, cannot be the members of a bundle."""
    if len(paths) > MAX_MEMBERS:
        return Finding(
            code=Code.TOO_LARGE, found=f"{len(paths)} members", expected=f"at most {MAX_MEMBERS}"
        )
    if README not in paths:
        return Finding(code=Code.MEMBER_MISSING, subject=README)
    keys = [archive_order(path) for path in paths]
    for earlier, later in itertools.pairwise(keys):
        if earlier >= later:
            place = "twice" if earlier == later else f"after {earlier[1]}"
            return Finding(code=Code.MEMBER_ORDER, subject=later[1], found=place)
    try:
        check_logical_paths(itertools.chain((MANIFEST, ATTESTATION), paths))
    except PathRefusedError as error:
        return _path_defect(paths, error)
    return None


def _path_defect(paths: Sequence[str], error: PathRefusedError) -> Finding:
    for path in paths:
        try:
            check_logical_path(path)
        except PathRefusedError as reason:
            return Finding(code=Code.MEMBER_PATH, subject=path, found=str(reason))
    # Two paths that are allowed, but not together: the text names both.
    return Finding(code=Code.MEMBER_PATH, found=str(error))
