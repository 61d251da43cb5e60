# SPDX-License-Identifier: Apache-2.0
"""What may be removed from a store, and its removal.

Nothing that a run that stays needs is removed unasked: not the files that it wrote, not the runs
that it descends from. Runs go before contents, so that a stop half-way leaves contents that no run
names, which the next call removes, and never a run without its contents.
"""

from __future__ import annotations

import datetime
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import durable
from repropack.model import RunRecord
from repropack.store import Store, StoredRun

__all__ = ["Reclaimable", "Selection", "kept_contents", "plan_removal", "remove", "size_on_disk"]

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_BLOCK: Final = 512
"""Bytes of `st_blocks`, whatever the block size of the file system (stat(2))."""


class Selection(Struct, frozen=True, kw_only=True):
    """Which runs the user would give up. With neither bound: none.

    Attributes:
        keep_last: So many of the latest runs stay.
        older_than: Seconds since its start; younger runs stay.
        named: Whether runs with a name may go too.
        ancestors: Whether runs may go from which others that stay descend.
    """

    keep_last: int | None = None
    older_than: float | None = None
    named: bool = False
    ancestors: bool = False


class Reclaimable(Struct, frozen=True, kw_only=True):
    """What would be removed.

    Attributes:
        runs: Oldest first.
        contents: Digests that no run names that stays, with their bytes on the disk.
        spared: Ids of runs that the user would give up, with the reason why they stay.
    """

    runs: tuple[StoredRun, ...]
    contents: dict[str, int]
    spared: dict[str, str]


def plan_removal(store: Store, selection: Selection, *, now: datetime.datetime) -> Reclaimable:
    """Decides what may go. Nothing is changed.

    Raises:
        OSError: The store cannot be read.
    """
    runs = store.runs()
    chosen = _chosen(runs, selection, now)
    spared: dict[str, str] = {}
    for run in runs:
        if run.id not in chosen:
            continue
        if run.goes_on:
            spared[run.id] = "it goes on"
        elif run.damage:
            spared[run.id] = "its record is damaged"
        elif run.started.name is not None and not selection.named:
            spared[run.id] = f"it has a name, {run.started.name} (--named removes it)"
    records = {run.id: run.record for run in runs if run.record is not None}
    if not selection.ancestors:
        for ancestor, heir in _ancestors(records, set(records) - (chosen - spared.keys())).items():
            if ancestor in chosen:
                spared.setdefault(ancestor, f"run {heir} descends from it (--ancestors removes it)")
    going = tuple(run for run in runs if run.id in chosen and run.id not in spared)
    gone = {run.id for run in going}
    stays = _named_contents(r for run_id, r in records.items() if run_id not in gone)
    contents = {sha256: size for sha256, size in _sizes(store).items() if sha256 not in stays}
    if contents and (damaged := [run for run in runs if run.damage]):
        # Nobody knows what a damaged record names: whatever goes may be missed when it is restored.
        contents = {}
        for run in damaged:
            spared[run.id] = (
                f"its record is damaged, and as long as it is, no kept file goes: restore "
                f"{run.directory / 'run.json'}, or remove that directory"
            )
    return Reclaimable(runs=going, contents=contents, spared=spared)


def remove(store: Store, what: Reclaimable) -> None:
    """Removes runs, then contents. The caller has the store to itself (`Store.alone`).

    Raises:
        OSError: Something could not be removed; what is left is whole, and the next call goes on.
    """
    removed = store.directory / "removed"
    removed.mkdir(exist_ok=True)
    for run in what.runs:
        # In one step: half a run would look like one whose recorder was killed.
        os.rename(run.directory, removed / f"{run.id}-{secrets.token_hex(4)}")
    if what.runs:
        durable.sync_directory(store.directory / "runs")
        durable.sync_directory(removed)
    shutil.rmtree(removed)
    for sha256 in what.contents:
        store.object_path(sha256).unlink(missing_ok=True)
    durable.remove_abandoned(store.directory / "objects")


def kept_contents(record: RunRecord) -> frozenset[str]:
    """The digests of what a run keeps in the store: its outputs and its environments."""
    return frozenset(_named_contents((record,)))


def size_on_disk(directory: Path) -> int:
    """Bytes that a directory takes on the disk. Blocks that files share count for each of them."""
    total = 0
    for parent, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * _BLOCK
            except FileNotFoundError:
                # A recorder is at work.
                continue
    return total


def _chosen(runs: tuple[StoredRun, ...], selection: Selection, now: datetime.datetime) -> set[str]:
    if selection.keep_last is None and selection.older_than is None:
        return set()
    last = {run.id for run in runs[max(0, len(runs) - (selection.keep_last or 0)) :]}
    return {
        run.id
        for run in runs
        if run.id not in last
        and (selection.older_than is None or _age(run, now) > selection.older_than)
    }


def _age(run: StoredRun, now: datetime.datetime) -> float:
    """Seconds since the last segment of a run ended, or since it started."""
    moment = run.record.segments[-1].ended if run.record is not None else run.started.started
    try:
        then = datetime.datetime.strptime(moment, _TIME).replace(tzinfo=datetime.UTC)
    except ValueError:
        # A damaged record; it stays for that reason.
        return 0.0
    return (now - then).total_seconds()


def _ancestors(records: Mapping[str, RunRecord], heirs: Iterable[str]) -> dict[str, str]:
    """The runs from which some descend, each with one of those."""
    found: dict[str, str] = {}
    waiting = [(heir, heir) for heir in heirs]
    while waiting:
        run_id, heir = waiting.pop()
        record = records.get(run_id)
        origins = (
            {m.origin.run for s in record.segments for m in s.materials if m.origin is not None}
            if record is not None
            else set()
        )
        for origin in origins - found.keys() - {run_id}:
            found[origin] = heir
            waiting.append((origin, heir))
    return found


def _named_contents(records: Iterable[RunRecord]) -> set[str]:
    found: set[str] = set()
    for record in records:
        for segment in record.segments:
            found.update(product.sha256 for product in segment.products if product.kept)
            found.update(segment.environment_digests)
    return found


def _sizes(store: Store) -> dict[str, int]:
    """Every content of the store with its bytes on the disk."""
    found = {}
    for folder in sorted((store.directory / "objects").iterdir()):
        if len(folder.name) == 2 and folder.is_dir():
            for entry in os.scandir(folder):
                found[folder.name + entry.name] = entry.stat().st_blocks * _BLOCK
    return found
