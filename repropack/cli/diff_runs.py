# SPDX-License-Identifier: Apache-2.0
"""`repropack diff`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from repropack import canonical
from repropack.cli.screen import bold, dim, plural, say
from repropack.escaping import show
from repropack.model import RunRecord
from repropack.store import Store, StoredRun

__all__ = ["command"]


@click.command("diff")
@click.argument("one", metavar="ID")
@click.argument("other", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def command(one: str, other: str, as_json: bool) -> int:
    """Show how two recorded runs differ: command, code, environment, inputs, outputs, metrics.

    The exit status is 0 if nothing differs and 1 otherwise, as with diff(1).
    """
    store = Store.find(Path.cwd())
    first, second = store.resolve(one), store.resolve(other)
    left, right = _facts(store, first), _facts(store, second)
    changed = {
        topic: _changes(left[topic], right[topic]) for topic in left if left[topic] != right[topic]
    }
    if as_json:
        say(canonical.encode(changed).decode())
        return 1 if changed else 0
    say(f"{bold(first.id)} → {bold(second.id)}")
    for topic, changes in changed.items():
        for name, (before, after) in changes.items():
            label = f"{topic} {show(name)}" if name else topic
            say(f"{dim(label)}  {show(before or 'nothing')} → {show(after or 'nothing')}")
    total = sum(len(changes) for changes in changed.values())
    say(plural(total, "difference") if total else "nothing differs")
    return 1 if changed else 0


def _facts(store: Store, stored: StoredRun) -> dict[str, dict[str, str]]:
    record: RunRecord = store.finished(stored)
    segment = record.segments[-1]
    environment = store.environment(segment.environment) if segment.environment else None
    facts = {
        "command": {"": " ".join(segment.invocation.argv)},
        "directory": {"": segment.invocation.directory},
        "variable": dict(segment.invocation.variables),
        "code": {
            "": segment.source.tree if segment.source else "",
            **{one.root: one.source.tree for one in segment.roots},
        },
        "package": {d.name: d.version for d in environment.distributions} if environment else {},
        "machine": {},
        "read": {m.path: (m.sha256 or "unknown")[:16] for m in segment.materials},
        "wrote": {p.path: p.sha256[:16] for p in segment.products},
        "metric": {f"{m.name} ({m.source.path})": m.text for m in store.metrics(stored).metrics},
        "ended": {"": segment.outcome.signal or f"status {segment.outcome.status}"},
    }
    if environment is not None:
        machine = environment.machine
        facts["machine"] = {
            "processor": machine.cpu,
            "processors": str(machine.cpu_count),
            "distribution": machine.distribution,
            "python": environment.python.version if environment.python else "",
            **{
                f"{library} {name}": value
                for library, settings in environment.numerics.items()
                for name, value in settings.items()
            },
        }
    return facts


def _changes(
    left: Mapping[str, str], right: Mapping[str, str]
) -> dict[str, tuple[str | None, str | None]]:
    return {
        name: (left.get(name), right.get(name))
        for name in sorted({*left, *right})
        if left.get(name) != right.get(name)
    }
