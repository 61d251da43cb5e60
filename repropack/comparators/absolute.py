# SPDX-License-Identifier: Apache-2.0
"""Absolute: |fresh - recorded| <= within."""

from __future__ import annotations

from decimal import Decimal

from repropack.model import Absolute

__all__ = ["accepts", "defect", "describe", "half_width"]


def defect(tolerance: Absolute, recorded: float) -> str:
    """Any bound of 0 or more can be used."""
    del tolerance, recorded
    return ""


def accepts(tolerance: Absolute, recorded: float, fresh: float) -> bool:
    """Whether the distance is within the bound.

    Compared as the decimals that people read: 0.92 is within 0.01 of 0.91, which binary
    subtraction would deny.
    """
    return abs(_decimal(fresh) - _decimal(recorded)) <= _decimal(tolerance.within)


def half_width(tolerance: Absolute, recorded: float) -> float:
    """The bound itself."""
    del recorded
    return tolerance.within


def describe(tolerance: Absolute) -> str:
    """In words."""
    return f"± {tolerance.within:g}"


def _decimal(value: float) -> Decimal:
    return Decimal(repr(float(value)))
