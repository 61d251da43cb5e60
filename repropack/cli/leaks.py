# SPDX-License-Identifier: Apache-2.0
"""Findings of the leak gate on the screen, and letting them pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from repropack.cli.screen import dim
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.privacy.waivers import Waiver, add_waivers, unwaived
from repropack.privacy.walk import Leak, Unsearched
from repropack.store import STORE_NAME, Store

__all__ = ["leak_lines", "waive"]

SHOWN = 30


def waive(
    store: Store | None, leaks: Sequence[Leak], ids: Sequence[str], *, keep: bool = True
) -> tuple[tuple[Leak, ...], tuple[Leak, ...], tuple[Waiver, ...]]:
    """Adds waivers, and divides findings into those that stand and those that may pass.

    Args:
        store: The project's, if there is one.
        leaks: The findings.
        ids: Those that may pass.
        keep: Whether they may also pass the next time.

    Raises:
        UsageError: An id is no finding's, or there is no project whose list it could be on.
    """
    if store is None:
        if ids:
            raise UsageError(
                f"there is no {STORE_NAME} in {Path.cwd()} or above to keep the waiver in",
                advice="record a run first",
            )
        return tuple(leaks), (), ()
    waivers = add_waivers(store.directory, leaks, ids, keep=keep)
    standing = unwaived(leaks, waivers)
    known = {id(leak) for leak in standing}
    return standing, tuple(leak for leak in leaks if id(leak) not in known), waivers


def leak_lines(
    leaks: Sequence[Leak],
    unsearched: Sequence[Unsearched],
    waived: Sequence[Leak],
    *,
    show_all: bool = False,
) -> Iterator[str]:
    """One line for each finding: what stops an export first."""
    limit = len(leaks) + len(unsearched) if show_all else SHOWN
    for blocks, label in ((True, "LEAK"), (False, "look")):
        chosen = [leak for leak in leaks if leak.blocks is blocks]
        for leak in chosen[:limit]:
            what = f"{leak.rule}: {leak.shown}"
            yield (
                f"{leak.id}  {label}  {show(leak.place, limit=300)}  {show(what, limit=200)}  "
                f"{dim(show(leak.why))}"
            )
        if len(chosen) > limit:
            yield f"              … and {len(chosen) - limit} more (--all)"
    if waived:
        yield f"{len(waived)} more may pass: you waived them"
    for one in unsearched[:limit]:
        yield f"{dim('not clean')}     {show(one.place, limit=300)}  {show(one.reason)}"
    if len(unsearched) > limit:
        yield f"              … and {len(unsearched) - limit} more files"
