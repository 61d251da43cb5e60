# SPDX-License-Identifier: Apache-2.0
"""The runs that a release needs: the one whose numbers are claimed, and what it was made from."""

from __future__ import annotations

import fnmatch
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from repropack.errors import UsageError
from repropack.model import Material, MetricSet, Product, RunRecord, Segment, SourceSnapshot
from repropack.paths import collision_key, to_logical_path
from repropack.store import Store, StoredRun

__all__ = [
    "ChainedRun",
    "ChosenArtifact",
    "choose_artifacts",
    "code_of",
    "fits",
    "is_inside_project",
    "products_of",
    "project_relative",
    "require_code",
    "trace_chain",
]

WEIGHT_SUFFIXES: Final = (
    ".bin",
    ".cbm",
    ".ckpt",
    ".gguf",
    ".h5",
    ".hdf5",
    ".joblib",
    ".keras",
    ".mlmodel",
    ".model",
    ".msgpack",
    ".npy",
    ".npz",
    ".onnx",
    ".orbax",
    ".pkl",
    ".pickle",
    ".pt",
    ".pt2",
    ".pth",
    ".rds",
    ".safetensors",
    ".tflite",
    ".ubj",
)
"""Endings of files that hold trained parameters. Other outputs go out only if the author names
them or a later run of the chain read them."""


class ChainedRun(Struct, frozen=True, kw_only=True):
    """A run of the chain.

    Attributes:
        number: Its place, from 1; the claimed run is the last.
        stored: The run in the store.
        record: What goes out of its record.
        metrics: What goes out of its metrics, where that is not what the store has.
    """

    number: int
    stored: StoredRun
    record: RunRecord
    metrics: MetricSet | None = None


class ChosenArtifact(Struct, frozen=True, kw_only=True):
    """A product that goes into the bundle, and the member that holds it."""

    run: int
    product: Product
    member: str


def trace_chain(store: Store, target: StoredRun) -> tuple[ChainedRun, ...]:
    """Follows lineage back from a run, by the digests of what each run read.

    Returns:
        The runs, each after those whose outputs it read; the target is the last.

    Raises:
        UsageError: A run of the chain is missing from the store or has no record.
    """
    runs: dict[str, tuple[StoredRun, RunRecord]] = {}
    order: list[str] = []
    waiting = [(target.id, False)]
    while waiting:
        run_id, origins_are_in = waiting.pop()
        if origins_are_in:
            order.append(run_id)
            continue
        if run_id in runs:
            if run_id not in order:
                raise UsageError(
                    f"run {run_id} was resumed on what a run wrote that had read from it: neither "
                    "can be repeated first",
                    advice="record the resumed part as a run of its own",
                )
            continue
        stored = store.run(run_id)
        record = store.finished(stored)
        runs[run_id] = (stored, record)
        # A run comes after all runs that it read from, also where clocks say the same second.
        waiting.append((run_id, True))
        origins = {m.origin.run for m in materials_of(record) if m.origin is not None} - {run_id}
        # The earliest last, where the stack takes it from first.
        waiting += [
            (origin, False)
            for origin in sorted(origins, key=lambda o: store.run(o).started.started, reverse=True)
        ]
    return tuple(
        ChainedRun(number=number, stored=runs[run_id][0], record=runs[run_id][1])
        for number, run_id in enumerate(order, 1)
    )


def require_code(chain: Sequence[ChainedRun]) -> None:
    """Refuses runs that nobody could repeat.

    Raises:
        UsageError: One was recorded without its code.
    """
    for chained in chain:
        for segment in chained.record.segments:
            if segment.source is None:
                raise UsageError(
                    f"run {chained.record.id} was recorded without its code",
                    advice="install git and record it again",
                )


def products_of(record: RunRecord) -> dict[str, Product]:
    """What a run left behind, by recorded path; a later segment replaces an earlier one's file."""
    return {p.path: p for segment in record.segments for p in segment.products}


def _distinct_products(record: RunRecord) -> list[Product]:
    """What the segments of a run left behind, each content of a path once, in their order.

    Where two segments left the same content, it stands where the later one left it.
    """
    found: dict[tuple[str, str], Product] = {}
    for segment in record.segments:
        for product in segment.products:
            found.pop((product.path, product.sha256), None)
            found[product.path, product.sha256] = product
    return list(found.values())


def materials_of(record: RunRecord) -> tuple[Material, ...]:
    """What a run read, over all segments."""
    return tuple(m for segment in record.segments for m in segment.materials)


def code_of(segment: Segment) -> tuple[tuple[str, SourceSnapshot], ...]:
    """All code of an execution, each tree with the place where it belongs; the project's first."""
    assert segment.source is not None
    return ("{project}", segment.source), *((one.root, one.source) for one in segment.roots)


def choose_artifacts(
    store: Store, chain: Sequence[ChainedRun], wanted: Sequence[str], *, weights: bool = True
) -> tuple[ChosenArtifact, ...]:
    """The products that go out: weights, what later runs read, and what the author named.

    Args:
        store: Where their contents are kept.
        chain: The runs.
        wanted: Paths or patterns below the project, of any run's products.
        weights: Whether the target's files that look like weights go out where none is named.

    Raises:
        UsageError: A named path fits no product, or what is needed was not kept or is gone.
    """
    needed = {
        (material.origin.run, material.sha256)
        for chained in chain
        for material in materials_of(chained.record)
        if material.origin is not None
        # Copies of what is not in the store are still where the run read them, as data.
        and (is_inside_project(material) or store.has(material.sha256 or ""))
    }
    unmatched = set(wanted)
    chosen: list[tuple[ChainedRun, Product]] = []
    for chained in chain:
        last = products_of(chained.record)
        for product in _distinct_products(chained.record):
            relative = project_relative(product.path)
            matches = [w for w in wanted if relative and fits(relative, w)]
            unmatched.difference_update(matches)
            used = (chained.record.id, product.sha256) in needed
            if not used and last[product.path] != product:
                # A later segment replaced it.
                continue
            is_weights = weights and not wanted and product.path.lower().endswith(WEIGHT_SUFFIXES)
            if matches or used or (is_weights and chained is chain[-1]):
                chosen.append((chained, product))
    if unmatched:
        raise UsageError(
            f"--weights {min(unmatched)}: no run of this release wrote such a file",
            advice="`repropack show ID` lists the files that a run wrote",
        )
    for chained, product in chosen:
        if not product.kept:
            raise UsageError(
                f"{product.path} of run {chained.record.id} was too large to be kept",
                advice="leave it out with --weights, or split it",
            )
        if not store.has(product.sha256):
            raise UsageError(
                f"{product.path} of run {chained.record.id} is missing from the store: there is no "
                f"{store.object_path(product.sha256)}",
                advice="restore it from a copy, or record the run again",
            )
    return _name_members(chosen)


def is_inside_project(material: Material) -> bool:
    """Whether a run read a file of its project."""
    return project_relative(material.path) is not None


def project_relative(path: str) -> str | None:
    """A recorded path below the project, or None for other places."""
    return path.removeprefix("{project}/") if path.startswith("{project}/") else None


def fits(relative: str, wanted: str) -> bool:
    """Whether a path is what a user names: it, a directory above it, or a pattern."""
    plain = os.path.normpath(wanted)
    return (
        relative == plain or relative.startswith(plain + "/") or fnmatch.fnmatch(relative, wanted)
    )


def _name_members(
    chosen: Iterable[tuple[ChainedRun, Product]],
) -> tuple[ChosenArtifact, ...]:
    """Gives the latest file of a path its plain name, and earlier ones their run's number."""
    artifacts: list[ChosenArtifact] = []
    taken = _Names()
    for chained, product in reversed(list(chosen)):
        place = to_logical_path(project_relative(product.path) or product.path.lstrip("/"))
        folders = itertools.chain(
            ("weights", f"weights/run-{chained.number}"),
            (f"weights/run-{chained.number}-{i}" for i in itertools.count(2)),
        )
        member = next(f"{f}/{place}" for f in folders if taken.take(f"{f}/{place}"))
        artifacts.append(ChosenArtifact(run=chained.number, product=product, member=member))
    return tuple(reversed(artifacts))


class _Names:
    """Member names that can stand beside each other on any file system."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._directories: set[str] = set()

    def take(self, name: str) -> bool:
        """Takes a name, unless it is a file or a directory of those that are taken."""
        key = collision_key(name)
        above = {key[:i] for i, character in enumerate(key) if character == "/"}
        if key in self._files or key in self._directories or above & self._files:
            return False
        self._files.add(key)
        self._directories |= above
        return True
