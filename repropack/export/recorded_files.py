# SPDX-License-Identifier: Apache-2.0
"""What is recorded of a run, as files to look into: its code, its record, its kept outputs."""

from __future__ import annotations

from repropack import canonical
from repropack.errors import UsageError
from repropack.export.chain import code_of, products_of, project_relative
from repropack.privacy.walk import Target
from repropack.source.reading import list_paths, read_file
from repropack.store import Store, StoredRun

__all__ = ["recorded_files"]


def recorded_files(store: Store, run: StoredRun) -> list[Target]:
    """Every file of the code, the record with its metrics, and the outputs that were kept.

    Raises:
        UsageError: The run has no record.
        RepropackError: git failed.
    """
    record = store.finished(run)
    if not record.segments:
        raise UsageError(f"run {run.id} has no segment")
    targets = {
        "run.json": Target(place="run.json", content=canonical.encode(record)),
        "metrics.json": Target(place="metrics.json", content=canonical.encode(store.metrics(run))),
    }
    for segment in record.segments:
        if segment.source is None:
            continue
        for _, snapshot in code_of(segment):
            for path in list_paths(store.git, snapshot.tree):
                if path in snapshot.submodules:
                    continue
                targets[f"{snapshot.tree} {path}"] = Target(
                    place=path, content=read_file(store.git, snapshot.tree, path)
                )
    for product in products_of(record).values():
        if product.kept and store.has(product.sha256):
            place = project_relative(product.path) or product.path
            targets[f"product {place}"] = Target(
                place=place, content=store.object_path(product.sha256)
            )
    return list(targets.values())
