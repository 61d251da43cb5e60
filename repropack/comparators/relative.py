# SPDX-License-Identifier: Apache-2.0
"""Relative: |fresh - recorded| <= within * |recorded|, as numpy's isclose with atol=0."""

from __future__ import annotations

from decimal import Decimal

from repropack.model import Relative

__all__ = ["accepts", "defect", "describe", "half_width"]


def defect(tolerance: Relative, recorded: float) -> str:
    """A relative bound around 0 accepts nothing but 0 and is surely a mistake."""
    del tolerance
    return "a relative tolerance cannot be used around 0" if recorded == 0 else ""


def accepts(tolerance: Relative, recorded: float, fresh: float) -> bool:
    """Whether the distance is within the bound, compared as decimals (see `absolute`)."""
    bound = Decimal(repr(float(tolerance.within))) * abs(Decimal(repr(float(recorded))))
    return abs(Decimal(repr(float(fresh))) - Decimal(repr(float(recorded)))) <= bound


def half_width(tolerance: Relative, recorded: float) -> float:
    """The bound in the metric's unit."""
    return tolerance.within * abs(recorded)


def describe(tolerance: Relative) -> str:
    """In words."""
    return f"± {100 * tolerance.within:g} %"
