# SPDX-License-Identifier: Apache-2.0
"""`repropack show`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from repropack import canonical
from repropack.cli.list_runs import ending, short_number
from repropack.cli.screen import bold, dim, human_size, plural, say
from repropack.errors import UsageError
from repropack.escaping import show, show_command
from repropack.model import (
    Environment,
    Material,
    Metric,
    RunRecord,
    Segment,
    UsedEnvironment,
)
from repropack.model.fields import Record
from repropack.placeholders import PROJECT_DATA, split_data
from repropack.seeds import SeededRun, seed_groups
from repropack.store import Store

__all__ = ["Document", "command"]

SHOWN = 20
"""Lines of a list before the rest is counted; `--json` has all."""

ALONE = 8
TOGETHER = 3
"""Up to so many files that a run read, and of one place, have a line each."""


class Document(Record, frozen=True, kw_only=True):
    """What `--json` prints.

    Attributes:
        siblings: The other runs that differ from it in nothing but the seed.
    """

    run: RunRecord
    metrics: tuple[Metric, ...]
    siblings: tuple[SeededRun, ...]


@click.command("show")
@click.argument("run", metavar="ID", default="last")
@click.option(
    "--graph",
    is_flag=False,
    flag_value="-",
    metavar="[FILE.svg]",
    help="Draw the runs that it descends from and those that descend from it, as text or as SVG.",
)
@click.option("--json", "as_json", is_flag=True, help="The whole record as JSON.")
def command(run: str, graph: str | None, as_json: bool) -> int:
    """Show what is recorded of a run: ID is a unique prefix, a name, or `last`."""
    store = Store.find(Path.cwd())
    stored = store.resolve(run)
    record = store.finished(stored)
    if graph is not None:
        return _draw(store, record.id, graph)
    metrics = store.metrics(stored)
    siblings = _siblings(store, record.id)
    if as_json:
        document = Document(run=record, metrics=metrics.metrics, siblings=siblings)
        say(canonical.encode(document).decode())
        return 0
    title = f"run {record.id}" + (f" [{show(record.name)}]" if record.name else "")
    say(f"{bold(title)}  {ending(stored)}")
    for number, segment in enumerate(record.segments, 1):
        if len(record.segments) > 1:
            say(bold(f"segment {number}"))
        _show_segment(segment)
        if segment.environment is not None:
            _show_environment(store.environment(segment.environment))
            for used in segment.environments[1:]:
                _show_further(store.environment(used.environment), used)
    if stored.goes_on:
        say(f"{dim('note')}      segment {stored.segment} goes on now")
    if stored.cut_off:
        say(f"{dim('note')}      a further segment has no end: its recorder was killed")
    _show_metrics(metrics.metrics)
    _show_names("seeds", tuple(f"run {r.run} has seed {r.seed}" for r in siblings))
    for segment in record.segments:
        for gap in segment.gaps:
            say(f"{dim('not recorded')}  {show(gap.message)}")
    return 0


def _siblings(store: Store, run_id: str) -> tuple[SeededRun, ...]:
    """The other runs that differ from this one in nothing but the seed."""
    for group in seed_groups(run.record for run in store.runs() if run.record is not None):
        if any(run.run == run_id for run in group.runs):
            return tuple(run for run in group.runs if run.run != run_id)
    return ()


def _draw(store: Store, run_id: str, destination: str) -> int:
    from repropack import durable
    from repropack.cli.wider_lineage import traced_further
    from repropack.lineage import svg, text

    if destination != "-" and not destination.endswith(".svg"):
        raise UsageError(
            f"--graph {destination}: expected a file that ends with .svg",
            advice="the run comes before the option: repropack show ID --graph",
        )
    found = traced_further(store, run_id)
    if destination == "-":
        for line in text.draw(found):
            say(line)
        return 0
    durable.write_file(Path(destination), svg.draw(found).encode())
    say(f"drew {plural(len(found.nodes), 'run')} in {show(destination)}")
    return 0


def _show_segment(segment: Segment) -> None:
    invocation = segment.invocation
    say(f"{dim('command')}   {show_command(invocation.argv)}")
    say(f"{dim('in')}        {show(invocation.directory)}")
    say(f"{dim('time')}      {segment.started} to {segment.ended}")
    source = segment.source
    if source is None:
        say(f"{dim('code')}      not recorded")
    else:
        state = "as committed" if not source.dirty else "with uncommitted changes"
        say(f"{dim('code')}      {source.tree} ({state if source.versioned else 'no git'})")
        _show_names("changed", source.uncommitted)
        _show_names("untracked", source.untracked)
        _show_names(
            "more code",
            tuple(
                f"{one.root}  {one.source.tree}"
                + (
                    "  (with uncommitted changes)"
                    if one.source.versioned and one.source.dirty
                    else ""
                )
                for one in segment.roots
            ),
        )
        _show_names(
            "edited", tuple(f"{n} (while the run went on)" for n in source.changed_during_run)
        )
        _show_names("left out", tuple(f"{e.path} ({e.reason})" for e in source.excluded))
    _show_names("read", _read_files(segment.materials))
    _show_names(
        "wrote",
        tuple(
            f"{p.path}  {human_size(p.size)}" + ("" if p.kept else "  (not kept)")
            for p in segment.products
        ),
    )
    _show_names("variables", tuple(f"{k}={v}" for k, v in invocation.variables.items()))


def _read_files(materials: tuple[Material, ...]) -> tuple[str, ...]:
    """A line for each file that was read, or, of many, for those of a data set or a directory."""
    groups: dict[tuple[str, ...], list[Material]] = {}
    for one in materials:
        split = split_data(one.path)
        place = os.path.dirname(one.path)
        if split is not None and split[0] != PROJECT_DATA:
            place = one.path.removesuffix("/" + split[1])
        alone = one.sha256 is None or one.origin is not None or len(materials) <= ALONE
        key = (place, ", ".join(one.evidence), one.path if alone else "")
        groups.setdefault(key, []).append(one)
    lines = []
    for (place, evidence, _), files in groups.items():
        if len(files) <= TOGETHER:
            lines += [
                f"{m.path}  {human_size(m.size)}  ({evidence})"
                + ("" if m.sha256 is not None else "  (content not known)")
                + _origin(m)
                for m in files
            ]
        else:
            size = human_size(sum(m.size for m in files))
            lines.append(f"{place}/  {plural(len(files), 'file')}, {size}  ({evidence})")
    return tuple(lines)


def _origin(material: Material) -> str:
    """The run that made a file, or only its content."""
    if material.origin is None:
        return ""
    if material.origin.path == material.path:
        return f"  from run {material.origin.run}"
    return f"  same content as {material.origin.path} of run {material.origin.run}"


def _show_environment(environment: Environment) -> None:
    machine = environment.machine
    if environment.python is not None:
        imported = sum(d.imported for d in environment.distributions)
        say(
            f"{dim('python')}    {show(environment.python.version)}, "
            f"{plural(imported, 'package')} used of {len(environment.distributions)} installed"
        )
    if environment.r:
        version = next((one.version for one in environment.r if one.name == "base"), "")
        loaded = plural(len(environment.r), "package")
        say(f"{dim('R')}         {show(version or 'of unknown version')}, {loaded} loaded")
    gpus = ", ".join(machine.accelerators)
    say(
        f"{dim('machine')}   {show(machine.distribution)}, {show(machine.cpu)}, "
        f"{plural(machine.cpu_count, 'processor')}" + (f", {show(gpus)}" if gpus else "")
    )


def _show_further(environment: Environment, used: UsedEnvironment) -> None:
    """An environment beside that of the main process."""
    if environment.python is not None:
        imported = sum(d.imported for d in environment.distributions)
        say(
            f"{dim('python')}    {show(environment.python.version)}, "
            f"{plural(imported, 'package')} used, of {show(', '.join(used.programs) or used.place)}"
        )


def _show_metrics(metrics: tuple[Metric, ...]) -> None:
    _show_names(
        "metrics",
        tuple(
            f"{m.name} = {short_number(m)}"
            + _length(m)
            + f"  {m.source.path}"
            + (f":{m.source.line}" if m.source.line else "")
            for m in metrics
        ),
    )


def _length(metric: Metric) -> str:
    """How many values a metric has, and how many of them are kept."""
    if metric.series is None:
        return ""
    kept, length = len(metric.series.values), metric.series.length
    return f"  ({kept} of {length} values)" if length else f"  ({plural(kept, 'value')})"


def _show_names(label: str, names: tuple[str, ...]) -> None:
    for number, name in enumerate(names[:SHOWN]):
        say(f"{dim((label if number == 0 else '').ljust(9))} {show(name)}")
    if len(names) > SHOWN:
        say(f"{' ' * 9} … and {len(names) - SHOWN} more (--json has all)")
