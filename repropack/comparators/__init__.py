# SPDX-License-Identifier: Apache-2.0
"""How near is near enough: one comparator for each kind of tolerance.

A comparator decides a verdict, so the table is closed: a kind that is not in it does not decode
(`repropack.model.Tolerance`), and no plug-in can add one. To add a comparator: a struct in
`model.Tolerance`, one file here, one row in `TABLE`.

Values are finite here. That a number which is missing or not finite never passes is the law of
the caller (`repropack.verify.claims`).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final, Protocol, cast

from msgspec import Struct

from repropack.comparators import absolute, exact, relative
from repropack.model import Absolute, Exact, Relative, Tolerance

__all__ = ["TABLE", "Band", "Comparator", "band", "comparator_for"]


class Band(Struct, frozen=True, kw_only=True):
    """The closed interval of fresh values that a tolerance accepts."""

    low: float
    high: float


class Comparator(Protocol):
    """What a file in this package provides, as module functions."""

    def defect(self, tolerance: Any, recorded: float) -> str:
        """Why the tolerance cannot be used with this recorded value; empty if it can."""

    def accepts(self, tolerance: Any, recorded: float, fresh: float) -> bool:
        """Whether the fresh value is within the tolerance of the recorded one."""

    def half_width(self, tolerance: Any, recorded: float) -> float:
        """How far from the recorded value a fresh one may be, in the metric's unit."""

    def describe(self, tolerance: Any) -> str:
        """The tolerance in a few words for people."""


TABLE: Final[dict[type[Tolerance], ModuleType]] = {
    Exact: exact,
    Absolute: absolute,
    Relative: relative,
}


def comparator_for(tolerance: Tolerance) -> Comparator:
    """The comparator of a tolerance."""
    return cast("Comparator", TABLE[type(tolerance)])


def band(tolerance: Tolerance, recorded: float) -> Band:
    """The values that the tolerance accepts around a recorded value."""
    half = comparator_for(tolerance).half_width(tolerance, recorded)
    return Band(low=recorded - half, high=recorded + half)
