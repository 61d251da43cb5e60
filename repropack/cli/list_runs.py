# SPDX-License-Identifier: Apache-2.0
"""`repropack list`."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import click
from msgspec import UNSET, UnsetType

from repropack import canonical
from repropack.cli.screen import bold, dim, human_size, say, tell
from repropack.errors import UsageError
from repropack.escaping import show, show_command
from repropack.model import Metric
from repropack.model.fields import Record, RunId, Size, Timestamp
from repropack.seeds import SeedGroup, seed_groups
from repropack.store import Store, StoredRun

__all__ = ["Document", "command"]

SHOWN_METRICS = 2
SHOWN_SEEDS = 10


class ListedRun(Record, frozen=True, kw_only=True):
    """A run in a few words.

    Attributes:
        argv: As it was typed.
        ended: `ok`, `status N`, the name of a signal, `running`, `no end` or `damaged`.
        metrics: By name; null for what is no finite number.
        seed: Where other runs differ from it in nothing but the seed.
        siblings: Those runs.
        kept_bytes: Of its outputs, each content once; with `--size`.
    """

    id: RunId
    name: str | None
    started: Timestamp
    argv: tuple[str, ...]
    ended: str
    metrics: dict[str, float | None]
    seed: str | UnsetType = UNSET
    siblings: tuple[RunId, ...] | UnsetType = UNSET
    kept_bytes: Size | UnsetType = UNSET


Document: TypeAlias = tuple[ListedRun, ...]
"""What `--json` prints; the oldest first."""


@click.command("list")
@click.option("--size", "sizes", is_flag=True, help="Show what each run keeps on the disk.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def command(sizes: bool, as_json: bool) -> int:
    """List the recorded runs, oldest first."""
    store = Store.find(Path.cwd())
    runs = store.runs()
    if as_json:
        groups = seed_groups(run.record for run in runs if run.record is not None)
        seeds = {run.run: (run.seed, group) for group in groups for run in group.runs}
        document: Document = tuple(
            _listed(store, run, seeds.get(run.id), kept=_kept_bytes(run) if sizes else UNSET)
            for run in runs
        )
        say(canonical.encode(document).decode())
        return 0
    if not runs:
        tell("repropack: no runs yet; record one with `repropack run -- COMMAND`")
        return 0
    rows = [("run", "started (UTC)", "ended", "metrics", "command")]
    rows += [_row(store, run) for run in runs]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for number, row in enumerate(rows):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        text = f"{line}  {row[4]}"
        say(dim(text) if number == 0 else text)
    for group in seed_groups(run.record for run in runs if run.record is not None):
        _say_group(group)
    if sizes:
        _say_sizes(store, runs)
    for run in runs:
        if run.damage:
            tell(f"repropack: run {run.id} is damaged: {show(run.damage)}")
    tell(f"next: {bold('repropack show last')} or {bold('repropack export --run last')}")
    return 0


def _say_sizes(store: Store, runs: tuple[StoredRun, ...]) -> None:
    from repropack.store.reclaim import size_on_disk

    for run in runs:
        say(f"{run.id}  {human_size(_kept_bytes(run)).rjust(10)} kept")
    say(
        f"the store has {human_size(size_on_disk(store.directory))} on the disk; what several runs "
        "keep is there once"
    )


def _kept_bytes(run: StoredRun) -> int:
    """Bytes of the outputs that a run keeps, each content once."""
    if run.record is None:
        return 0
    kept = {p.sha256: p.size for s in run.record.segments for p in s.products if p.kept}
    return sum(kept.values())


def ending(run: StoredRun) -> str:
    """How a run ended, in a word."""
    if run.damage:
        return "damaged"
    if run.goes_on:
        return "running"
    if run.record is None:
        return "no end"
    outcome = run.record.segments[-1].outcome
    if outcome.signal is not None:
        return outcome.signal
    return "ok" if outcome.status == 0 else f"status {outcome.status}"


def short_number(metric: Metric) -> str:
    """A metric's value, short enough for a table."""
    return f"{metric.value:.6g}{metric.unit}" if metric.value is not None else metric.text


def _metrics(store: Store, run: StoredRun) -> tuple[Metric, ...]:
    if run.record is None:
        return ()
    try:
        return store.metrics(run).metrics
    except UsageError as error:
        # One file that is gone hides nothing else.
        tell(f"repropack: {error.message}")
        return ()


def _row(store: Store, run: StoredRun) -> tuple[str, str, str, str, str]:
    metrics = _metrics(store, run)
    # What a run writes to a file it often prints as well.
    numbers = list(dict.fromkeys(f"{m.name} {short_number(m)}" for m in metrics))
    shown = ", ".join(numbers[:SHOWN_METRICS])
    if len(numbers) > SHOWN_METRICS:
        shown += f" +{len(numbers) - SHOWN_METRICS}"
    name = f"[{run.started.name}] " if run.started.name else ""
    started = run.started.started.replace("T", " ").rstrip("Z")
    # The record names places that are known only after the end (`{env}`).
    argv = run.record.segments[-1].invocation.argv if run.record else run.started.argv
    command_line = show(name) + show_command(argv, limit=80)
    return run.id, started, ending(run), show(shown, limit=60), command_line


def _say_group(group: SeedGroup) -> None:
    latest = group.latest
    seeds = ", ".join(run.seed for run in latest[:SHOWN_SEEDS])
    more = f", … {len(latest) - SHOWN_SEEDS} more" if len(latest) > SHOWN_SEEDS else ""
    command = show(group.command, limit=80)
    say(f"{dim('seeds')}  {len(latest)} of {command}: {show(seeds)}{more}")


def _listed(
    store: Store, run: StoredRun, seeded: tuple[str, SeedGroup] | None, *, kept: int | UnsetType
) -> ListedRun:
    return ListedRun(
        id=run.id,
        name=run.started.name,
        started=run.started.started,
        argv=run.started.argv,
        ended=ending(run),
        metrics={m.name: m.value for m in _metrics(store, run)},
        seed=UNSET if seeded is None else seeded[0],
        siblings=UNSET
        if seeded is None
        else tuple(r.run for r in seeded[1].runs if r.run != run.id),
        kept_bytes=kept,
    )
