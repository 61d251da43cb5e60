# SPDX-License-Identifier: Apache-2.0
"""Where a claim, its tolerance and its fresh value stand in a drawing: numbers, no markup.

Every value may be hostile: any finite double. What comes out lies inside the drawing, and on the
side of the band's edge that the verdict says.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec import Struct

from repropack.model import ClaimResult, Interval, Verdict

__all__ = ["Band", "NumberLine", "centre_of", "draw_number_line", "offset_of"]

CENTRE: Final = 50.0
HALF_BAND: Final = 20.0
"""A band with two edges reaches from 30 % to 70 % of the drawing."""

CLEARANCE: Final = 0.07
"""How far, in tolerances, a mark keeps from the edge of the band, so that its side is seen."""

DRAWN_TO_SCALE: Final = 2.0
"""Tolerances from the claimed value up to which a distance is drawn to scale."""

FAR: Final = 46.0
"""Where a mark stands that lies further away, beyond the break in the line."""

CHARACTER: Final = 7.7 / 296 * 100
"""Per cent of the narrowest drawing (296 px, on a telephone) that a character may take."""


class Band(Struct, frozen=True, kw_only=True):
    """What the tolerance accepts. An edge is None where the band is open: at least, at most."""

    low: float | None
    high: float | None

    @property
    def start(self) -> float:
        """Its left end, also that of an open one."""
        return 0.0 if self.low is None else self.low

    @property
    def width(self) -> float:
        """From its left end to its right."""
        return (100.0 if self.high is None else self.high) - self.start


class NumberLine(Struct, frozen=True, kw_only=True):
    """Where the marks of a drawing stand, in per cent of its width.

    A tolerance always fills the same part of the drawing, so that the eye compares distances in
    units of the tolerance from one claim to the next.

    Attributes:
        band: Of no width where only equality is accepted; None where no tolerance is known.
        fresh: None where no fresh number can be compared.
        broken: The fresh value lies too far away to be drawn to scale: -1 left, 1 right, 0 not.
        label: Where the fresh value's label is anchored.
        anchor: Which part of the label stands there: `start`, `middle` or `end`.
    """

    band: Band | None
    fresh: float | None
    broken: int
    label: float
    anchor: str


def draw_number_line(result: ClaimResult, label: str) -> NumberLine:
    """The drawing of a claim, with a label at the mark of the fresh value."""
    band = _band(result)
    if result.fresh is None or result.verdict is Verdict.INCONCLUSIVE:
        return NumberLine(band=band, fresh=None, broken=0, label=CENTRE, anchor="middle")
    offset = offset_of(result, result.fresh)
    side = math.copysign(1, offset)
    edge = None if band is None else band.low if side < 0 else band.high
    # The verdict was decided on exact decimals, so it has the last word at an edge.
    if result.verdict is not Verdict.REPRODUCED:
        size = max(abs(offset), 1 + CLEARANCE)
    elif band is not None and not band.width:
        size = 0.0
    elif edge is None and band is not None:
        size = abs(offset)
    else:
        size = min(abs(offset), 1 - CLEARANCE)
    far = size > DRAWN_TO_SCALE
    fresh = CENTRE + side * (FAR if far else size * HALF_BAND)
    at, anchor = _place_label(fresh, len(label) * CHARACTER)
    return NumberLine(
        band=band,
        fresh=round(fresh, 2),
        broken=int(side) if far else 0,
        label=round(at, 2),
        anchor=anchor,
    )


def offset_of(result: ClaimResult, fresh: float) -> float:
    """Signed distance of a fresh value from the middle of the band, in units of the tolerance.

    Infinite where the tolerance is zero or not known.
    """
    centre = centre_of(result)
    if fresh == centre:
        return 0.0
    # A hostile claim may lie at the end of the number range; in quarters, nothing overflows.
    distance = fresh / 4 - centre / 4
    if result.high is not None:
        unit = result.high / 4 - centre / 4
    else:
        unit = 0.0 if result.low is None else centre / 4 - result.low / 4
    return distance / unit if unit > 0 else math.copysign(math.inf, fresh - centre)


def centre_of(result: ClaimResult) -> float:
    """The middle of the band: the claimed value, or the mean of recorded seeds."""
    around_mean = isinstance(result.claim.tolerance, Interval)
    if not around_mean or result.low is None or result.high is None:
        return result.claim.expected
    return result.low / 2 + result.high / 2


def _band(result: ClaimResult) -> Band | None:
    if result.low is None and result.high is None:
        return None
    centre = centre_of(result)
    low = None if result.low is None else CENTRE - HALF_BAND * (result.low < centre)
    high = None if result.high is None else CENTRE + HALF_BAND * (centre < result.high)
    if low is not None and high is not None and CENTRE in {low, high}:
        # A width that the numbers cannot show at this place is none.
        low = high = CENTRE
    return Band(low=low, high=high)


def _place_label(mark: float, width: float) -> tuple[float, str]:
    """Over the mark where it fits, else beside it and always inside the drawing."""
    if width / 2 <= mark <= 100 - width / 2:
        return mark, "middle"
    if mark < CENTRE:
        return max(0.0, min(mark - 1, 100 - width)), "start"
    return min(100.0, max(mark + 1, width)), "end"
