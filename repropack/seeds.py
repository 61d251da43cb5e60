# SPDX-License-Identifier: Apache-2.0
"""Runs that differ in nothing but the seed, and what a metric was in each of them.

Two runs are of one configuration if command, directory, variables, code and data are the same once
seeds are left out. A seed is a whole number that is called one: `--seed 3`, `--random-seed=3`,
`training.seed=3`, `--random_state 3`, `SEED=3`, `out/seed_3/model.pt`. An evaluation belongs to a
group by the seed of the training whose weights it reads.

Pure: records in, groups out. What counts as a seed is narrow on purpose: runs that are taken for
repetitions of each other and are none would make every interval of theirs wrong. So `-s 3` is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from repropack.model import Metric, MetricSource, RunRecord, Segment

__all__ = [
    "SeedGroup",
    "SeedValue",
    "SeededRun",
    "seed_groups",
    "seeds_of",
    "text_with_seed",
    "values_over_seeds",
    "with_seed",
]

_NAME: Final = (
    r"(?<![A-Za-z])(?<!\bn[_-])(?<!num[_-])"
    r"(?:(?:manual|random|rand|rng|global|np|numpy|torch|pythonhash)?seed|random[_-]?state)"
)
_NUMBER: Final = r"[0-9]{1,20}(?![0-9]|\.[0-9])"
_WRITTEN: Final = re.compile(rf"({_NAME}[=_-]?)({_NUMBER})", re.IGNORECASE)
_OPTION: Final = re.compile(rf"-.*{_NAME}", re.IGNORECASE | re.DOTALL)
_VARIABLE: Final = re.compile(rf".*{_NAME}", re.IGNORECASE | re.DOTALL)

MAX_CHAIN: Final = 50
"""Runs that a run is followed back through; a longer chain is of no group."""


class SeededRun(Struct, frozen=True, kw_only=True):
    """A run of a group.

    Attributes:
        seed: Its seed, or its seeds where it has several (`1, 7`), as they are written.
    """

    run: str
    seed: str


class SeedGroup(Struct, frozen=True, kw_only=True):
    """Runs of one configuration, with two seeds at least.

    Attributes:
        command: The command line, with `*` for each seed.
        runs: In the order in which they were recorded.
    """

    command: str
    runs: tuple[SeededRun, ...]

    @property
    def latest(self) -> tuple[SeededRun, ...]:
        """The latest run of each seed: another run of the same seed is no further sample."""
        return tuple({run.seed: run for run in self.runs}.values())


class SeedValue(Struct, frozen=True, kw_only=True):
    """What a metric was with one seed."""

    run: str
    seed: str
    value: float


class _Configuration(Struct, frozen=True):
    key: object
    seeds: tuple[str, ...]


def seed_groups(records: Iterable[RunRecord]) -> tuple[SeedGroup, ...]:
    """The groups among some runs, by their first run.

    Args:
        records: Runs in the order in which they were recorded. Those that did not end well are in
            no group.
    """
    by_id = {record.id: record for record in records}
    known: dict[str, _Configuration | None] = {}
    groups: dict[object, list[tuple[RunRecord, str]]] = {}
    for record in by_id.values():
        found = _configuration(record, by_id, known, MAX_CHAIN)
        if found is not None and found.seeds and record.segments[-1].outcome.status == 0:
            groups.setdefault(found.key, []).append((record, ", ".join(found.seeds)))
    return tuple(
        SeedGroup(
            command=_command(members[0][0]),
            runs=tuple(SeededRun(run=record.id, seed=seed) for record, seed in members),
        )
        for members in groups.values()
        if len({seed for _, seed in members}) > 1
    )


def values_over_seeds(
    group: SeedGroup, source: MetricSource, metrics: Mapping[str, Sequence[Metric]]
) -> tuple[SeedValue, ...]:
    """The values of one metric over a group: one for each seed that has it, of its latest run.

    Args:
        group: The group.
        source: The metric, as one of the runs has it.
        metrics: By run id, what each run found. Runs that are missing here give no value.
    """
    wanted = _neutral_identity(source)
    values = []
    for run in group.latest:
        for metric in metrics.get(run.run, ()):
            if _neutral_identity(metric.source) == wanted and metric.value is not None:
                values.append(SeedValue(run=run.run, seed=run.seed, value=metric.value))
                break
    return tuple(values)


def _neutral_identity(source: MetricSource) -> tuple[object, ...]:
    importer, place, ordinal, key = source.identity
    return importer, _neutral(place)[0], ordinal, key


def _configuration(
    record: RunRecord,
    records: Mapping[str, RunRecord],
    known: dict[str, _Configuration | None],
    depth: int,
) -> _Configuration | None:
    """What a run has in common with its siblings, and its seeds; None where that is not known."""
    if record.id in known:
        return known[record.id]
    # Against a chain that leads back to itself, which only a damaged store holds.
    known[record.id] = None
    commands: list[tuple[object, str]] = []
    seeds: list[str] = []
    for segment in record.segments:
        if segment.source is None:
            return None
        command, found = _invocation(segment)
        commands.append((command, segment.source.tree))
        seeds += found
    inputs: set[tuple[str, object]] = set()
    for segment in record.segments:
        written = {product.path for product in segment.products}
        for material in segment.materials:
            if material.path in written:
                # A log or a cache that each run goes on with.
                continue
            path, found = _neutral(material.path)
            origin = None if material.origin is None else records.get(material.origin.run)
            if origin is None:
                inputs.add((path, material.sha256))
                continue
            upstream = _configuration(origin, records, known, depth - 1) if depth else None
            if upstream is None:
                return None
            if _commands(upstream) == tuple(commands):
                # What a sibling left there.
                continue
            inputs.add((path, upstream.key))
            seeds += [*found, *upstream.seeds]
    key = (tuple(commands), frozenset(inputs))
    known[record.id] = _Configuration(key, tuple(dict.fromkeys(seeds)))
    return known[record.id]


def _commands(configuration: _Configuration) -> object:
    assert isinstance(configuration.key, tuple)
    return configuration.key[0]


def _invocation(segment: Segment) -> tuple[object, list[str]]:
    """Arguments, directory and variables without seeds, and the seeds."""
    arguments, seeds = _arguments(segment.invocation.argv)
    directory, found = _neutral(segment.invocation.directory)
    seeds += found
    variables = []
    for name, value in sorted(segment.invocation.variables.items()):
        if _VARIABLE.fullmatch(name) and re.fullmatch(_NUMBER, value):
            seeds.append(value)
            value = "*"  # noqa: PLW2901 - that is the point
        variables.append((name, value))
    return (arguments, directory, tuple(variables)), seeds


def _arguments(argv: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    arguments: list[str] = []
    seeds: list[str] = []
    for argument in argv:
        if arguments and _OPTION.fullmatch(arguments[-1]) and re.fullmatch(_NUMBER, argument):
            arguments.append("*")
            seeds.append(argument)
        else:
            text, found = _neutral(argument)
            arguments.append(text)
            seeds += found
    return tuple(arguments), seeds


def _neutral(text: str) -> tuple[str, list[str]]:
    """A text with `*` for each seed in it, and the seeds."""
    lower = text.lower()
    if "seed" not in lower and "state" not in lower:
        # Nearly every input; the pattern takes ten times as long to say so.
        return text, []
    seeds = [match[2] for match in _WRITTEN.finditer(text)]
    return (_WRITTEN.sub(r"\1*", text), seeds) if seeds else (text, seeds)


def _command(record: RunRecord) -> str:
    return " ".join(_arguments(record.segments[-1].invocation.argv)[0])


def seeds_of(record: RunRecord) -> tuple[str, ...]:
    """The seeds that stand in a run's commands, variables and directories, each once."""
    found = [seed for segment in record.segments for seed in _invocation(segment)[1]]
    return tuple(dict.fromkeys(found))


def with_seed(record: RunRecord, seed: str) -> RunRecord:
    """The same run with another seed wherever one stands: in commands, variables and paths."""
    return replace(
        record, segments=tuple(_segment_with(segment, seed) for segment in record.segments)
    )


def text_with_seed(text: str, seed: str) -> str:
    """A path or an argument with another seed wherever one stands in it."""
    return _WRITTEN.sub(lambda match: match[1] + seed, text)


def _segment_with(segment: Segment, seed: str) -> Segment:
    invocation = segment.invocation
    argv: list[str] = []
    for argument in invocation.argv:
        alone = argv and _OPTION.fullmatch(argv[-1]) and re.fullmatch(_NUMBER, argument)
        argv.append(seed if alone else text_with_seed(argument, seed))
    variables = {
        name: seed if _VARIABLE.fullmatch(name) and re.fullmatch(_NUMBER, value) else value
        for name, value in invocation.variables.items()
    }
    return replace(
        segment,
        invocation=replace(
            invocation,
            argv=tuple(argv),
            directory=text_with_seed(invocation.directory, seed),
            variables=variables,
        ),
        directories=tuple(text_with_seed(path, seed) for path in segment.directories),
        materials=tuple(
            replace(
                material,
                path=text_with_seed(material.path, seed),
                origin=replace(material.origin, path=text_with_seed(material.origin.path, seed)),
            )
            if material.origin is not None
            else material
            for material in segment.materials
        ),
    )
