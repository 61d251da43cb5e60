# SPDX-License-Identifier: Apache-2.0
"""Where the lines of curves and of the chain of runs stand on the page: numbers, no markup.

Every value may be hostile: any finite double, any number of points, any graph. What comes out is
bounded and finite, and holds no text of the report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from repropack.model import CurveComparison, LineageRun, Series

__all__ = ["Chain", "Curve", "Node", "draw_chain", "draw_curve"]

WIDTH: Final = 1000.0
HEIGHT: Final = 240.0
"""The drawing's own units; the page stretches them to its width."""

LOGARITHMIC: Final = 100.0
"""From this ratio of the greatest to the least value on, positive curves are drawn by logarithm."""

MAX_NODES: Final = 60
"""Runs of a chain that are drawn; the list under the drawing has all of them."""

COLUMN: Final = 90
ROW: Final = 56
RADIUS: Final = 16


class Curve(Struct, frozen=True, kw_only=True):
    """Two curves in one drawing.

    Attributes:
        recorded: SVG path data.
        fresh: The same of the fresh curve.
        parting: Where the first divergent step stands, in units of `WIDTH`; None for none.
        low: The least value drawn.
        high: The greatest.
        first: The first step drawn.
        last: The last.
        logarithmic: Whether heights are logarithms.
        drawn: How many values are drawn of the longer curve.
        total: How many it has.
    """

    recorded: str
    fresh: str
    parting: float | None
    low: float
    high: float
    first: float
    last: float
    logarithmic: bool
    drawn: int
    total: int


def draw_curve(curve: CurveComparison) -> Curve | None:
    """The drawing of a comparison; None where no curve has two finite points to connect."""
    both = [_points(curve.recorded), _points(curve.fresh)]
    finite = [(x, y) for points in both for x, y in points if math.isfinite(y)]
    if len(finite) < 2:
        return None
    low, high = min(y for _, y in finite), max(y for _, y in finite)
    first, last = min(x for x, _ in finite), max(x for x, _ in finite)
    logarithmic = low > 0 and high / low > LOGARITHMIC

    def height(value: float) -> float:
        if logarithmic:
            return HEIGHT * (1 - _share(math.log(value), math.log(low), math.log(high)))
        return HEIGHT * (1 - _share(value, low, high))

    def path(points: Sequence[tuple[float, float]]) -> str:
        pieces: list[str] = []
        pen = "M"
        for x, y in points:
            if not math.isfinite(y):
                # A gap, and no line across it: there was no number.
                pen = "M"
                continue
            pieces.append(f"{pen}{WIDTH * _share(x, first, last):.1f} {height(y):.1f}")
            pen = "L"
        return "".join(pieces)

    recorded, fresh = path(both[0]), path(both[1])
    if "L" not in recorded + fresh:
        return None
    series = max(
        (one for one in (curve.recorded, curve.fresh) if one is not None),
        key=lambda one: one.length or len(one.values),
    )
    return Curve(
        recorded=recorded,
        fresh=fresh,
        parting=None
        if curve.first is None
        else round(WIDTH * _share(curve.first.step, first, last), 1),
        low=low,
        high=high,
        first=first,
        last=last,
        logarithmic=logarithmic,
        drawn=len(series.values),
        total=max(series.length, len(series.values)),
    )


def _points(whole: Series | None) -> list[tuple[float, float]]:
    if whole is None:
        return []
    steps = [float(i) if step is None else step for i, step in enumerate(whole.steps)]
    return list(zip(steps, map(float, whole.values), strict=False))


def _share(value: float, low: float, high: float) -> float:
    """Where a value lies between two others, from 0 to 1; in quarters, nothing overflows."""
    if high == low:
        return 0.5
    share = (value / 4 - low / 4) / (high / 4 - low / 4)
    return min(1.0, max(0.0, share)) if math.isfinite(share) else 0.5


class Node(Struct, frozen=True, kw_only=True):
    """A run in the drawing of the chain."""

    number: int
    x: int
    y: int
    repeated: bool
    claimed: bool


class Chain(Struct, frozen=True, kw_only=True):
    """The chain of runs.

    Attributes:
        edges: SVG path data, one for each run that reads what another made.
    """

    nodes: tuple[Node, ...]
    edges: tuple[str, ...]
    width: int
    height: int


def draw_chain(lineage: Sequence[LineageRun]) -> Chain:
    """Runs from left to right: each stands to the right of all whose files it reads."""
    shown = lineage[-MAX_NODES:]
    column: dict[int, int] = {}
    rows: dict[int, int] = {}
    nodes: dict[int, Node] = {}
    edges = []
    for run in shown:
        reads = [number for number in run.reads if number in column]
        column[run.number] = 1 + max((column[number] for number in reads), default=-1)
        row = rows.get(column[run.number], 0)
        rows[column[run.number]] = row + 1
        node = Node(
            number=run.number,
            x=RADIUS + 4 + column[run.number] * COLUMN,
            y=RADIUS + 4 + row * ROW,
            repeated=run.repeated,
            claimed=run is shown[-1],
        )
        nodes[run.number] = node
        for number in reads:
            start, end = nodes[number].x + RADIUS, node.x - RADIUS
            middle = (start + end) // 2
            y = nodes[number].y
            edges.append(f"M{start} {y}C{middle} {y} {middle} {node.y} {end} {node.y}")
    return Chain(
        nodes=tuple(nodes.values()),
        edges=tuple(edges),
        width=2 * RADIUS + 8 + max(column.values(), default=0) * COLUMN,
        height=2 * RADIUS + 8 + (max(rows.values(), default=1) - 1) * ROW,
    )
