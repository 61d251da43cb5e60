# SPDX-License-Identifier: Apache-2.0
"""Outputs of a run: kept by digest, so that tomorrow's run cannot overwrite today's weights."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct

from repropack.capture.gaps import Gaps, some
from repropack.capture.hashing import hash_path
from repropack.capture.interruption import Interruption
from repropack.capture.patience import Patience
from repropack.capture.preparation import Prepared, recorded_path
from repropack.model import Product
from repropack.parallel import each
from repropack.store import HashedFile

__all__ = ["KeepLimits", "keep_products"]

KEEP_FILE_LIMIT: Final = 8 * 2**30
"""Bytes of a product that is kept: larger than the checkpoint of a 1.5 B parameter model with its
optimiser; above it the disk of a work station fills within days. Larger ones keep their digest."""

KEEP_RUN_LIMIT: Final = 32 * 2**30
"""Bytes of all products of one run that are kept."""

WRITERS: Final = 16
"""Threads: each waits for the disk to confirm a file, and a disk confirms many at once."""


class KeepLimits(Struct, frozen=True, kw_only=True):
    """Which outputs are kept in the store; of others only the digest is recorded.

    Attributes:
        file: Bytes of the largest file that is kept.
        run: Bytes of all files of a run that are kept.
        excluded: Patterns of project-relative paths that are not (`fnmatch`).
    """

    file: int = KEEP_FILE_LIMIT
    run: int = KEEP_RUN_LIMIT
    excluded: tuple[str, ...] = ()

    def refusal(self, relative: str, size: int, kept: int) -> str:
        """Why a file is not kept where so many bytes are already; empty if it is."""
        if pattern := next((p for p in self.excluded if fnmatch.fnmatch(relative, p)), None):
            return f"fits {pattern}, which is not to be kept"
        if size > self.file:
            return f"is larger than {self.file} bytes (--keep-file)"
        if kept + size > self.run:
            return f"is beyond the {self.run} bytes that are kept of a run (--keep-run)"
        return ""


class _Outcome(NamedTuple):
    """A file that was hashed, or None; and what is wrong with keeping it, or an empty string."""

    file: HashedFile | None
    failure: str


def keep_products(
    written: tuple[str, ...],
    prepared: Prepared,
    gaps: Gaps,
    *,
    limits: KeepLimits,
    interruption: Interruption,
    tell: Callable[[str], None],
) -> tuple[tuple[Product, ...], dict[str, tuple[int, int, int]]]:
    """Keeps what a run wrote, within the limits; larger files are recorded by digest only.

    Args:
        written: Project-relative paths.
        prepared: The recording.
        gaps: Told what could not be kept.
        limits: What is kept.
        interruption: Once it is requested, no further file is kept.
        tell: Told in one line that this takes long.

    Returns:
        The products by path, and the stamp of each as the run left it.
    """
    if not written:
        return (), {}
    products = []
    stamps: dict[str, tuple[int, int, int]] = {}
    hashed = []
    chosen: list[tuple[str, os.stat_result, str]] = []
    kept_bytes = 0
    for relative in written:
        try:
            status = (prepared.root / relative).lstat()
        except FileNotFoundError:
            # Somebody has removed it since the scan: it was never left behind.
            continue
        refusal = limits.refusal(relative, status.st_size, kept_bytes)
        kept_bytes += status.st_size if not refusal else 0
        chosen.append((relative, status, refusal))

    def one(choice: tuple[str, os.stat_result, str]) -> _Outcome | None:
        if interruption.requested:
            return None
        relative, _, refusal = choice
        path = prepared.root / relative
        failure = f"{refusal}; only its digest is recorded" if refusal else ""
        if not refusal:
            try:
                return _Outcome(prepared.store.keep(path), "")
            except OSError as error:
                # A full disk can still be read: the digest tells later whether the file is the one.
                reason = error.strerror or error
                failure = f"is not kept: {reason}; its digest is recorded"
        try:
            return _Outcome(hash_path(path), failure)
        except OSError as error:
            return _Outcome(None, f"is not recorded: {error.strerror or error}")

    total = sum(status.st_size for _, status, _ in chosen)
    with Patience(tell, f"keeping outputs: {len(chosen)} files, {total} bytes"):
        results = each(one, chosen, workers=WRITERS)
    missed = [
        relative for (relative, _, _), found in zip(chosen, results, strict=True) if not found
    ]
    if missed:
        gaps.add("outputs", f"interrupted, so these outputs are not recorded: {some(missed)}")
    failures: dict[str, list[str]] = {}
    for (relative, status, _), outcome in zip(chosen, results, strict=True):
        if outcome is None:
            continue
        if outcome.failure:
            failures.setdefault(outcome.failure, []).append(relative)
        found = outcome.file
        if found is None:
            continue
        recorded = recorded_path(prepared.root / relative, prepared.paths)
        hashed.append(found)
        stamps[recorded] = (found.stamp.size, found.stamp.mtime_ns, found.stamp.inode)
        products.append(
            Product(
                path=recorded,
                size=found.size,
                sha256=found.sha256,
                executable=bool(status.st_mode & 0o100),
                kept=not outcome.failure,
            )
        )
    for failure, names in failures.items():
        # A full disk refuses thousands of files for the same reason.
        gaps.add("outputs", f"{names[0] if len(names) == 1 else f'{some(names)}: each'} {failure}")
    prepared.store.remember_digests(hashed)
    return tuple(sorted(products, key=lambda p: p.path)), stamps
