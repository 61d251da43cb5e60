# SPDX-License-Identifier: Apache-2.0
"""`repropack diff`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import click
from msgspec import Struct

from repropack import canonical
from repropack.cli.executions import Execution, named_execution
from repropack.cli.paired_environments import named_alike, sum_of
from repropack.cli.screen import bold, dim, plural, say
from repropack.errors import RepropackError
from repropack.escaping import show
from repropack.model import Cause, CurveComparison, Environment, SignerReport
from repropack.placeholders import split_data
from repropack.reports.text import describe_cause, describe_curve
from repropack.source.private import changed_files, private_repository
from repropack.store import Store
from repropack.verify.curves import compare_curves
from repropack.verify.diagnosis import Facts, diagnose, facts_of

SHOWN_CAUSES: Final = 5
SHOWN_CURVES: Final = 3
SHOWN_FILES: Final = 5

__all__ = ["Document", "command"]

Changes: TypeAlias = dict[str, tuple[str | None, str | None]]
"""Name to what it was in the first and in the second; null where it was not there."""


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What `--json` prints: only what differs.

    Attributes:
        command: Under an empty name, as for `directory` and `ended`.
        code: Trees: under an empty name that of the project, else of further code by its place.
        package: Versions by name; of a further environment as `NAME in ENVIRONMENT`, which is where
            it lies in the project, or what ran in it. `machine` has its Python and settings so.
        environment: Further environments that only one of the two used.
        read: Digests of the files, their first 16 digits, as for `wrote`.
        curves: How recorded series part, where they do.
        causes: Why the metrics may differ, the likeliest first.
        signers: Of bundles, by what was typed.
    """

    command: Changes = {}
    directory: Changes = {}
    variable: Changes = {}
    code: Changes = {}
    package: Changes = {}
    machine: Changes = {}
    environment: Changes = {}
    read: Changes = {}
    wrote: Changes = {}
    metric: Changes = {}
    ended: Changes = {}
    curves: tuple[CurveComparison, ...] = ()
    causes: tuple[Cause, ...] = ()
    signers: dict[str, SignerReport] = {}


@click.command("diff")
@click.argument("one", metavar="ID|FILE")
@click.argument("other", metavar="ID|FILE")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def command(one: str, other: str, as_json: bool) -> int:
    """Show how two runs differ, and which difference most likely changed the numbers.

    Each is a recorded run (ID, name, `last`), or a bundle, of which all bytes and the signature are
    checked first and then the run whose numbers it claims is compared; nothing is executed.

    Compared are command, code, environment, inputs, outputs and metrics. Where metrics differ, the
    causes are ranked by their kind and by the first step at which the curves part.

    The exit status is 0 if nothing differs and 1 otherwise, as with diff(1).
    """
    first, second = (named_execution(text, quiet=as_json) for text in (one, other))
    further = named_alike(first.further, second.further)
    left = _facts(first, further[0], further[1])
    right = _facts(second, further[1], further[0])
    changed = {
        topic: _changes(left[topic], right[topic]) for topic in left if left[topic] != right[topic]
    }
    curves, causes = _diagnosis(first, second, further)
    if as_json:
        signers = {one.argument: one.signer for one in (first, second) if one.signer is not None}
        document = Document(**changed, curves=curves, causes=causes, signers=signers)
        say(canonical.encode(document).decode())
        return 1 if changed else 0
    say(f"{bold(first.name)} → {bold(second.name)}")
    for topic, changes in changed.items():
        alone = _without_sets(first, second, changes) if topic == "read" else changes
        for name, (before, after) in alone.items():
            label = f"{topic} {show(name)}" if name else topic
            say(f"{dim(label)}  {show(before or 'nothing')} → {show(after or 'nothing')}")
    _say_why(first, second, curves, causes)
    total = sum(len(changes) for changes in changed.values())
    say(plural(total, "difference") if total else "nothing differs")
    return 1 if changed else 0


def _without_sets(
    first: Execution, second: Execution, changes: Mapping[str, tuple[str | None, str | None]]
) -> Changes:
    """Says in a line how data sets differ of which many files do; the other files are left."""
    sets: dict[str, list[str]] = {}
    for path in changes:
        if (split := split_data(path)) is not None:
            sets.setdefault(split[0], []).append(path)
    alone = dict(changes)
    for name, paths in sets.items():
        if len(paths) <= SHOWN_FILES:
            continue
        pairs = [alone.pop(path) for path in paths]
        counts = {
            "removed": sum(after is None for _, after in pairs),
            "added": sum(before is None for before, _ in pairs),
            "changed": sum(None not in pair for pair in pairs),
        }
        said = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
        words = ("repropack", "data", "diff", first.argument, second.argument, "--data", name)
        hint = bold(show(shlex.join(words)))
        say(f"{dim(f'read {show(name)}')}  {said} of its files: {hint}")
    return alone


def _diagnosis(
    first: Execution, second: Execution, further: Sequence[Mapping[str, Environment]]
) -> tuple[tuple[CurveComparison, ...], tuple[Cause, ...]]:
    """How the curves part, and why; nothing where every number is the same."""
    then, now = first.metrics, second.metrics
    curves = [
        one
        for one in compare_curves(1, then, now)
        if one.first is not None or one.only_recorded or one.only_fresh
    ]
    finals = [{m.source.identity: m.text for m in metrics} for metrics in (then, now)]
    if not curves and finals[0] == finals[1]:
        return (), ()
    facts = [
        facts_of(one.record, one.environments, further=others)
        for one, others in zip((first, second), further, strict=True)
    ]
    store = first.store or second.store
    if store is not None:
        _name_code_files(store, *facts)
    return tuple(curves), diagnose(facts[0], facts[1], curves)


def _name_code_files(store: Store, first: Facts, second: Facts) -> None:
    """Says which files of the code differ, where the trees are still there."""
    subject = "the project's code"
    trees = [facts.artefacts.get(subject, "").removeprefix("tree ") for facts in (first, second)]
    if trees[0] == trees[1] or not all(trees):
        return
    try:
        repository = private_repository(store.git, "sha256" if len(trees[0]) == 64 else "sha1")
        files = changed_files(repository, *trees)
    except RepropackError:
        # Not kept, or of two formats: that the code differs is known all the same.
        return
    for facts in (first, second):
        del facts.artefacts[subject]
    for path, old, new in files:
        for facts, blob in ((first, old), (second, new)):
            if blob is not None:
                facts.artefacts[f"code {{project}}/{path}"] = f"blob {blob[:12]}"


def _say_why(
    first: Execution,
    second: Execution,
    curves: tuple[CurveComparison, ...],
    causes: tuple[Cause, ...],
) -> None:
    for curve in curves[:SHOWN_CURVES]:
        say(f"{dim('curve')} {describe_curve(curve, ('first', 'second'))}")
    if not causes:
        return
    say("most likely cause of the other numbers:")
    for number, cause in enumerate(causes[:SHOWN_CAUSES], 1):
        say(f"  {number}. {describe_cause(cause)}")
    if len(causes) > SHOWN_CAUSES:
        say(f"  and {plural(len(causes) - SHOWN_CAUSES, 'less likely one')}")
    origins = [
        {m.path: m.origin.run for s in run.record.segments for m in s.materials if m.origin}
        for run in (first, second)
    ]
    made = {path: (origins[0][path], origins[1].get(path)) for path in origins[0]}
    for path, (then, now) in made.items():
        if now is None or first.store is None or second.store is None:
            # Earlier runs of a bundle have no name by which they could be compared.
            continue
        if then != now and causes[0].subject == show(path):
            say(f"{show(path)} was made by other runs: {bold(f'repropack diff {then} {now}')}")


def _facts(
    one: Execution, further: Mapping[str, Environment], counterparts: Mapping[str, Environment]
) -> dict[str, dict[str, str]]:
    segment = one.record.segments[-1]
    environment = one.environments.get(segment.environment or "")
    facts = {
        "command": {"": " ".join(segment.invocation.argv)},
        "directory": {"": segment.invocation.directory},
        "variable": dict(segment.invocation.variables),
        "code": {
            "": segment.source.tree if segment.source else "",
            **{root.root: root.source.tree for root in segment.roots},
        },
        "package": {d.name: d.version for d in environment.distributions} if environment else {},
        "machine": {},
        "environment": {},
        "read": {m.path: (m.sha256 or "unknown")[:16] for m in segment.materials},
        "wrote": {p.path: p.sha256[:16] for p in segment.products},
        "metric": {f"{m.name} ({m.source.path})": m.text for m in one.metrics},
        "ended": {"": segment.outcome.signal or f"status {segment.outcome.status}"},
    }
    if environment is not None:
        machine = environment.machine
        facts["machine"] = {
            "processor": machine.cpu,
            "processors": str(machine.cpu_count),
            "distribution": machine.distribution,
            **_software(environment),
        }
    for name, other in further.items():
        if name in counterparts:
            versions = {d.name: d.version for d in other.distributions}
            for topic, told in (("package", versions), ("machine", _software(other))):
                facts[topic].update({f"{subject} in {name}": v for subject, v in told.items()})
        else:
            facts["environment"][name] = sum_of(other)
    return facts


def _software(environment: Environment) -> dict[str, str]:
    return {
        "python": environment.python.version if environment.python else "",
        **{
            f"{library} {name}": value
            for library, settings in environment.numerics.items()
            for name, value in settings.items()
        },
    }


def _changes(left: Mapping[str, str], right: Mapping[str, str]) -> Changes:
    return {
        name: (left.get(name), right.get(name))
        for name in sorted({*left, *right})
        if left.get(name) != right.get(name)
    }
