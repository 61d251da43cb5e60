# SPDX-License-Identifier: Apache-2.0
"""Commit objects of the author's repository, and what can be computed from one alone."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

from repropack.process import ProcessFailedError
from repropack.source.git import own

__all__ = ["MAX_COMMIT", "commit_id", "read_commit", "tree_of_commit"]

MAX_COMMIT: Final = 64 * 1024
"""Bytes of a commit object: the limit of the specification for commits of a bundle."""

_TREE: Final = re.compile(rb"tree ([0-9a-f]{40}|[0-9a-f]{64})\n")


def read_commit(root: Path, oid: str) -> bytes | None:
    """The content of a commit object; None where the repository does not have it.

    Raises:
        RepropackError: git is missing.
    """
    try:
        data = own(root).call("cat-file", "commit", oid).stdout
    except ProcessFailedError:
        return None
    return data if len(data) <= MAX_COMMIT else None


def commit_id(content: bytes, object_format: str) -> str:
    """The id of a commit object (gitformat-pack(5): the digest of header and content)."""
    hashing = hashlib.new(
        object_format, b"commit %d\0" % len(content) + content, usedforsecurity=False
    )
    return hashing.hexdigest()


def tree_of_commit(content: bytes) -> str | None:
    """The tree that a commit object names in its first line; None where it names none."""
    found = _TREE.match(content)
    return found.group(1).decode("ascii") if found else None
