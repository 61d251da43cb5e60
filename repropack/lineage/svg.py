# SPDX-License-Identifier: Apache-2.0
"""The graph of runs as an SVG document: one file, no script, no font, light and dark.

A pure layout: runs of one depth stand side by side, what descends from them below. Widths are
estimated from the number of characters of a fixed-width font, so that no renderer is needed.
"""

from __future__ import annotations

from html import escape
from typing import Final

from msgspec import Struct

from repropack.escaping import show
from repropack.lineage import Graph, Link, Node, ending
from repropack.lineage.text import tree_of

__all__ = ["draw"]

_WIDTH: Final = 380
_GAP: Final = 40
_LEVEL: Final = 64
_LINE: Final = 18
_PADDING: Final = 12
_MARGIN: Final = 20
_CHARACTER: Final = 7.3
"""Width of a character of 12 px in common fixed-width fonts, rounded up."""
_FITTING: Final = int((_WIDTH - 2 * _PADDING) / _CHARACTER)

_STYLE: Final = """\
.run { fill: #ffffff; stroke: #5b6673; stroke-width: 1 }
.target { stroke: #1a5fb4; stroke-width: 2.5 }
.link { fill: none; stroke: #5b6673; stroke-width: 1.5 }
.arrow { fill: #5b6673 }
.back { fill: #f4f5f7 }
text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: #1d2126 }
.title { font-weight: 600 }
.faint { fill: #59636e }
.label { paint-order: stroke; stroke: #f4f5f7; stroke-width: 5 }
@media (prefers-color-scheme: dark) {
  .run { fill: #24282e; stroke: #8b96a3 }
  .target { stroke: #78aeed }
  .link { stroke: #8b96a3 }
  .arrow { fill: #8b96a3 }
  .back { fill: #16191d }
  text { fill: #e6e9ed }
  .faint { fill: #a4afba }
  .label { stroke: #16191d }
}
"""


class _Box(Struct, frozen=True, kw_only=True):
    x: float
    y: float
    height: float
    lines: tuple[tuple[str, str], ...]


def draw(graph: Graph) -> str:
    """The document. All text of records is escaped."""
    boxes, width, height = _layout(graph)
    links = [link for link in graph.links if link.maker != link.reader and link.maker in boxes]
    merged: dict[tuple[str, str], list[str]] = {}
    for link in links:
        merged.setdefault((link.maker, link.reader), []).extend(link.described())
    labels: dict[str, int] = {}
    arrows: list[str] = []
    captions: list[str] = []
    for (maker, reader), paths in merged.items():
        row = labels.get(reader, 0)
        labels[reader] = row + 1
        arrows.append(_arrow(boxes[maker], boxes[reader]))
        caption, end = _caption(boxes[reader], maker, paths, row)
        captions.append(caption)
        # What hangs over the last box has room, too.
        width = max(width, end + _MARGIN)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" aria-labelledby="title">',
        f'<title id="title">{_text(f"Runs around {graph.target}")}</title>',
        f"<style>\n{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto"><path class="arrow" d="M0 0 8 4 0 8z"/></marker></defs>',
        f'<rect class="back" width="{width:g}" height="{height:g}"/>',
        *arrows,
        *captions,
    ]
    for node in graph.nodes:
        parts += _box(boxes[node.run], target=node.run == graph.target)
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _layout(graph: Graph) -> tuple[dict[str, _Box], float, float]:
    levels: dict[int, list[Node]] = {}
    for node in graph.nodes:
        levels.setdefault(node.depth, []).append(node)
    widest = max(len(nodes) for nodes in levels.values())
    width = 2 * _MARGIN + widest * _WIDTH + (widest - 1) * _GAP
    boxes = {}
    y = float(_MARGIN)
    for depth in sorted(levels):
        nodes = levels[depth]
        incoming = max(
            len({link.maker for link in graph.links if link.reader == node.run} - {node.run})
            for node in nodes
        )
        y += incoming * _LINE
        taken = len(nodes) * _WIDTH + (len(nodes) - 1) * _GAP
        x = (width - taken) / 2
        tallest = 0.0
        for node in nodes:
            lines = _lines(node, graph)
            height = 2 * _PADDING + len(lines) * _LINE - (_LINE - 12)
            boxes[node.run] = _Box(x=x, y=y, height=height, lines=lines)
            tallest = max(tallest, height)
            x += _WIDTH + _GAP
        y += tallest + _LEVEL
    return boxes, width, y - _LEVEL + _MARGIN


def _lines(node: Node, graph: Graph) -> tuple[tuple[str, str], ...]:
    if node.record is None:
        return ("title", f"run {node.run}"), ("faint", "not in the store any more")
    name = f" [{node.record.name}]" if node.record.name else ""
    lines = [("title", f"run {node.record.id}{name}")]
    if node.elsewhere:
        lines.append(("faint", "in another project"))
    several = len(node.record.segments) > 1
    for number, segment in enumerate(node.record.segments, 1):
        which = f"{number}: " if several else ""
        lines.append(("", which + " ".join(segment.invocation.argv)))
        lines.append(("faint", f"{ending(segment)}; code {tree_of(segment)}"))
        lines += [
            ("faint", f"reads {_paths(link)} of an earlier segment")
            for link in graph.links
            if link.maker == link.reader == node.run and link.reader_segment == number
        ]
    return tuple(lines)


def _paths(link: Link) -> str:
    first = link.described()[0]
    return first if len(link.paths) == 1 else f"{first} and {len(link.paths) - 1} more"


def _box(box: _Box, *, target: bool) -> list[str]:
    marked = "run target" if target else "run"
    parts = [
        f'<rect class="{marked}" x="{box.x:g}" y="{box.y:g}" width="{_WIDTH}" '
        f'height="{box.height:g}" rx="6"/>'
    ]
    for number, (style, text) in enumerate(box.lines):
        y = box.y + _PADDING + 10 + number * _LINE
        parts.append(
            f'<text class="{style}" x="{box.x + _PADDING:g}" y="{y:g}">'
            f"<title>{_text(text)}</title>{_text(_cut(text, _FITTING))}</text>"
        )
    return parts


def _arrow(maker: _Box, reader: _Box) -> str:
    x1, y1 = maker.x + _WIDTH / 2, maker.y + maker.height
    x2, y2 = reader.x + _WIDTH / 2, reader.y
    middle = (y1 + y2) / 2
    return (
        f'<path class="link" marker-end="url(#tip)" '
        f'd="M{x1:g} {y1:g}C{x1:g} {middle:g} {x2:g} {middle:g} {x2:g} {y2 - 2:g}"/>'
    )


def _caption(reader: _Box, maker: str, paths: list[str], row: int) -> tuple[str, float]:
    """What was read and who made it, above the reader; over the arrows, so that it is legible.

    Returns:
        The element, and where it ends at the right.
    """
    label = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    text = f"{_cut(label, _FITTING // 2)} of {maker}"
    x, y = reader.x + _WIDTH / 2 + 12, reader.y - 12 - row * _LINE
    element = (
        f'<text class="faint label" x="{x:g}" y="{y:g}">'
        f"<title>{_text(', '.join(paths))}</title>{_text(text)}</text>"
    )
    return element, x + len(text) * _CHARACTER


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _text(text: str) -> str:
    # `show` first: control characters cannot stand in XML, whatever their escape.
    return escape(show(text, limit=1000))
