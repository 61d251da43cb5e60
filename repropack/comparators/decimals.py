# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of numbers as people read them.

0.92 is within 0.01 of 0.91, which binary subtraction would deny: the shortest decimals of the
numbers are compared, exactly.
"""

from __future__ import annotations

from decimal import Context, Decimal, localcontext

__all__ = ["decimal", "is_within"]

_EXACT = Context(prec=1000)
"""Sums and products of two shortest decimals of doubles have fewer digits."""


def decimal(value: float) -> Decimal:
    """The shortest decimal that means this number."""
    return Decimal(repr(float(value)))


def is_within(fresh: float, recorded: float, absolute: float, relative: float = 0.0) -> bool:
    """Whether |fresh - recorded| <= absolute + relative * |recorded|."""
    with localcontext(_EXACT):
        bound = decimal(absolute) + decimal(relative) * abs(decimal(recorded))
        return abs(decimal(fresh) - decimal(recorded)) <= bound
