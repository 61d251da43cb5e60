# SPDX-License-Identifier: Apache-2.0
"""Exact: fresh == recorded as IEEE 754 numbers (so -0.0 equals 0.0)."""

from __future__ import annotations

from repropack.model import Exact

__all__ = ["accepts", "defect", "describe", "half_width"]


def defect(tolerance: Exact, recorded: float) -> str:
    """Equality is always defined."""
    del tolerance, recorded
    return ""


def accepts(tolerance: Exact, recorded: float, fresh: float) -> bool:
    """Whether the numbers are equal."""
    del tolerance
    return fresh == recorded


def half_width(tolerance: Exact, recorded: float) -> float:
    """No distance is allowed."""
    del tolerance, recorded
    return 0.0


def describe(tolerance: Exact) -> str:
    """In words."""
    del tolerance
    return "exactly"
