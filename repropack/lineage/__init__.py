# SPDX-License-Identifier: Apache-2.0
"""Which runs a run descends from, and which descend from it, as a graph of values.

Pure: it is found from the records alone, by the origins of materials. `text` and `svg` draw it.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from typing import Final

from msgspec import Struct

from repropack.model import Evidence, RunRecord, Segment

__all__ = ["Graph", "Link", "Node", "continues", "ending", "trace"]

_RESUMING: Final = re.compile(
    r"(?:.*[._-])?(?:resume\w*|restore\w*|continue\w*|ckpt\w*|checkpoint\w*|load\w*|reload|"
    r"init_?from|restart\w*|last_?epoch|start_?epoch|initial_?epoch)",
    re.IGNORECASE,
)
"""Names of options by which programs are told to go on: `--resume`, `--resume_from_checkpoint`,
`--ckpt_path=…`, `init_from=resume`, `train.load_checkpoint=…`."""


class Link(Struct, frozen=True, kw_only=True):
    """Files that a segment read and an earlier run, or an earlier segment, wrote.

    Attributes:
        maker: Id of the run that wrote them.
        reader: Id of the run that read them.
        reader_segment: Which of its segments did, from 1.
        paths: Their recorded paths where they were read.
        made: The path at which the maker left the content of each.
        seen: Whether each is known to have been read, and did not merely lie there.
    """

    maker: str
    reader: str
    reader_segment: int
    paths: tuple[str, ...]
    made: tuple[str, ...]
    seen: tuple[bool, ...]

    def described(self) -> tuple[str, ...]:
        """The files, in words. Of one at another place no more is known than its content."""
        return tuple(
            (_short(path) if path == made else f"{_short(path)} (same content as {_short(made)})")
            + ("" if seen else " (lay there)")
            for path, made, seen in zip(self.paths, self.made, self.seen, strict=True)
        )


class Node(Struct, frozen=True, kw_only=True):
    """A run of the graph.

    Attributes:
        record: None where the store does not have it any more.
        depth: The length of the longest way to it from a run that descends from none.
        elsewhere: Whether another project has it in its store.
    """

    run: str
    record: RunRecord | None
    depth: int
    elsewhere: bool = False


class Graph(Struct, frozen=True, kw_only=True):
    """A run, all that it descends from, and all that descends from it.

    Attributes:
        target: The id of the run.
        nodes: Each after those that it descends from.
        links: In the order of their readers; also between segments of a run.
    """

    target: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]


def trace(
    records: Mapping[str, RunRecord], target: str, elsewhere: Container[str] = frozenset()
) -> Graph:
    """The graph around a run.

    Args:
        records: All runs, by id, the oldest first.
        target: Which of them.
        elsewhere: Those of other projects.
    """
    links = {run_id: _links(record) for run_id, record in records.items()}
    makers = {run_id: {link.maker for link in found} for run_id, found in links.items()}
    readers: dict[str, set[str]] = {}
    for run_id, found in makers.items():
        for maker in found - {run_id}:
            readers.setdefault(maker, set()).add(run_id)
    members = _reach(target, makers) | _reach(target, readers)
    order = {run_id: number for number, run_id in enumerate(records)}
    depths = _depths(
        members, {one: (makers.get(one, set()) & members) - {one} for one in members}, order
    )
    nodes = sorted(members, key=lambda one: (depths[one], order.get(one, -1)))
    return Graph(
        target=target,
        nodes=tuple(
            Node(
                run=run_id,
                record=records.get(run_id),
                depth=depths[run_id],
                elsewhere=run_id in elsewhere,
            )
            for run_id in nodes
        ),
        links=tuple(
            link for run_id in nodes for link in links.get(run_id, ()) if link.maker in members
        ),
    )


def _depths(
    members: set[str], makers: Mapping[str, set[str]], order: Mapping[str, int]
) -> dict[str, int]:
    """The longest way to each run from one that descends from none."""
    depths: dict[str, int] = {}
    waiting = sorted(members, key=lambda one: order.get(one, -1))
    while waiting:
        ready = [one for one in waiting if makers[one] <= depths.keys()]
        # A run that read from one which then was resumed on what it wrote: neither is first.
        for one in ready or waiting[:1]:
            depths[one] = 1 + max((depths[m] for m in makers[one] if m in depths), default=-1)
        waiting = [one for one in waiting if one not in depths]
    return depths


def _links(record: RunRecord) -> tuple[Link, ...]:
    found: dict[tuple[int, str], list[tuple[str, str, bool]]] = {}
    for number, segment in enumerate(record.segments, 1):
        for material in segment.materials:
            if material.origin is not None:
                files = found.setdefault((number, material.origin.run), [])
                seen = material.evidence != (Evidence.PRESENT,)
                files.append((material.path, material.origin.path, seen))
    return tuple(
        Link(
            maker=maker,
            reader=record.id,
            reader_segment=number,
            paths=tuple(path for path, _, _ in sorted(files)),
            made=tuple(made for _, made, _ in sorted(files)),
            seen=tuple(seen for _, _, seen in sorted(files)),
        )
        for (number, maker), files in found.items()
    )


def _short(path: str) -> str:
    return path.removeprefix("{project}/")


def _reach(start: str, neighbours: Mapping[str, set[str]]) -> set[str]:
    found = {start}
    waiting = [start]
    while waiting:
        fresh = neighbours.get(waiting.pop(), set()) - found
        found |= fresh
        waiting += fresh
    return found


def ending(segment: Segment) -> str:
    """How a segment ended, in a word."""
    if segment.outcome.signal is not None:
        return segment.outcome.signal
    return "ok" if segment.outcome.status == 0 else f"status {segment.outcome.status}"


def continues(earlier: Sequence[str], later: Sequence[str]) -> bool:
    """Whether two commands are the same but for options that tell a program to go on."""
    return _without_resuming(earlier) == _without_resuming(later)


def _without_resuming(argv: Sequence[str]) -> list[str]:
    kept = []
    skip_value = False
    for argument in argv:
        if skip_value and not argument.startswith("-") and "=" not in argument:
            skip_value = False
            continue
        skip_value = False
        name, equals, _ = argument.partition("=")
        is_option = argument.startswith(("-", "+")) or bool(equals)
        if is_option and _RESUMING.fullmatch(name.lstrip("-+")):
            skip_value = not equals
            continue
        kept.append(argument)
    return kept
