# SPDX-License-Identifier: Apache-2.0
"""The graph of runs as lines of text: each run after those that it descends from."""

from __future__ import annotations

from repropack.escaping import show
from repropack.lineage import Graph, Link, Node, ending
from repropack.model import Segment

__all__ = ["draw", "tree_of"]

_SHOWN_PATHS = 3
_COMMAND = 100
"""Characters of a command."""


def draw(graph: Graph) -> list[str]:
    """The lines. Everything in them is safe to print."""
    lines: list[str] = []
    for node in graph.nodes:
        lines += _run(node, graph)
    return lines


def _run(node: Node, graph: Graph) -> list[str]:
    mark = "*" if node.run == graph.target else "o"
    if node.record is None:
        return [f"{mark} run {show(node.run)}  not in the store any more"]
    name = f" [{show(node.record.name)}]" if node.record.name else ""
    lines = [f"{mark} run {node.record.id}{name}{'  in another project' * node.elsewhere}"]
    segments = node.record.segments
    for number, segment in enumerate(segments, 1):
        which = f"segment {number}  " if len(segments) > 1 else ""
        lines.append(
            f"|   {which}{show(' '.join(segment.invocation.argv), limit=_COMMAND)}"
            f"  ({ending(segment)}; code {tree_of(segment)})"
        )
        lines += [
            f"|     reads {_paths(link)} of {_maker(link)}"
            for link in graph.links
            if (link.reader, link.reader_segment) == (node.run, number)
        ]
    return lines


def tree_of(segment: Segment) -> str:
    """The code of a segment: the start of its tree id, and whether it differs from a commit."""
    if segment.source is None:
        return "not recorded"
    changed = segment.source.versioned and segment.source.dirty
    return segment.source.tree[:10] + (" with uncommitted changes" if changed else "")


def _paths(link: Link) -> str:
    shown = ", ".join(map(show, link.described()[:_SHOWN_PATHS]))
    more = len(link.paths) - _SHOWN_PATHS
    return f"{shown} and {more} more" if more > 0 else shown


def _maker(link: Link) -> str:
    return "an earlier segment" if link.maker == link.reader else f"run {show(link.maker)}"
