# SPDX-License-Identifier: Apache-2.0
"""How near is near enough: one comparator for each kind of tolerance.

A comparator decides a verdict, so the table is closed: a kind that is not in it does not decode
(`repropack.model.Tolerance`), and no plug-in can add one. To add a comparator: a struct in
`model.Tolerance`, one file here, one row in `TABLE`.

Values are finite here. That a number which is missing or not finite never passes is the law of
the caller (`repropack.verify.claims`).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, Final, Protocol, cast

from repropack.comparators import (
    absolute,
    at_least,
    at_most,
    close,
    equivalent,
    exact,
    interval,
    relative,
)
from repropack.comparators.outcome import Band, Comparison
from repropack.model import (
    Absolute,
    AtLeast,
    AtMost,
    Close,
    Equivalent,
    Exact,
    Interval,
    Relative,
    Tolerance,
)

__all__ = ["TABLE", "Band", "Comparator", "Comparison", "comparator_for"]


class Comparator(Protocol):
    """What a file in this package provides, as module functions."""

    def defect(self, tolerance: Any, recorded: float) -> str:
        """Why the tolerance cannot be used with this recorded value; empty if it can."""

    def compare(self, tolerance: Any, recorded: float, fresh: Sequence[float]) -> Comparison:
        """Compares what one or more repetitions gave; their order does not matter."""

    def band(self, tolerance: Any, recorded: float, runs: int) -> Band | None:
        """What is accepted of the mean of so many runs; None where no interval says it."""

    def describe(self, tolerance: Any) -> str:
        """The tolerance in a few words for people."""


TABLE: Final[dict[type[Tolerance], ModuleType]] = {
    Exact: exact,
    Absolute: absolute,
    Relative: relative,
    Close: close,
    AtLeast: at_least,
    AtMost: at_most,
    Interval: interval,
    Equivalent: equivalent,
}


def comparator_for(tolerance: Tolerance) -> Comparator:
    """The comparator of a tolerance."""
    return cast("Comparator", TABLE[type(tolerance)])
