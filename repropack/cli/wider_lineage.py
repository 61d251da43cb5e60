# SPDX-License-Identifier: Apache-2.0
"""The graph of a run, with the runs of other projects on this machine whose outputs it used.

No record links them (`repropack.capture.other_stores`): they are found by the digests of files and
by where the data sets lay, which only the store itself knows. Other stores are only read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

from msgspec import structs

from repropack.capture.other_stores import Elsewhere, found_in_other_stores
from repropack.errors import UsageError
from repropack.lineage import Graph, trace
from repropack.model import RunRecord
from repropack.store import STORE_NAME, Store, StoredRun

__all__ = ["traced_further"]


def traced_further(store: Store, run_id: str) -> Graph:
    """The graph around a run of a store, and what of other projects it descends from.

    Of another project all that the used runs descend from within its own store is in it.

    Raises:
        OSError: The store cannot be read.
    """
    runs = {run.id: run for run in store.runs() if run.record is not None}
    records = {one: run.record for one, run in runs.items() if run.record is not None}
    projects: set[Path] = set()
    for node in trace(records, run_id).nodes:
        if node.record is not None:
            found = _elsewhere(store, runs[node.run], node.record)
            projects.update(one.project for one in found)
            records[node.run] = _linked(node.record, found)
    others: dict[str, RunRecord] = {}
    for project in sorted(projects):
        # It may be another's, or go away meanwhile.
        with contextlib.suppress(OSError):
            there = Store(project / STORE_NAME).runs()
            others.update((run.id, run.record) for run in there if run.record is not None)
    others = {one: record for one, record in others.items() if one not in records}
    return trace({**others, **records}, run_id, elsewhere=others)


def _elsewhere(store: Store, run: StoredRun, record: RunRecord) -> list[Elsewhere]:
    try:
        places = store.private(run).data_roots
    except UsageError:
        # Where its data lay is not known any more; its own record stands.
        return []
    materials = (material for segment in record.segments for material in segment.materials)
    return found_in_other_stores(materials, places, store.project)


def _linked(record: RunRecord, found: Iterable[Elsewhere]) -> RunRecord:
    """The record with the origins that it must not have where others read it."""
    origins = {(one.recorded, one.sha256): one.origin for one in found}
    return structs.replace(
        record,
        segments=tuple(
            structs.replace(
                segment,
                materials=tuple(
                    structs.replace(material, origin=origin)
                    if (origin := origins.get((material.path, material.sha256 or ""))) is not None
                    else material
                    for material in segment.materials
                ),
            )
            for segment in record.segments
        ),
    )
