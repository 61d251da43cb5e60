# SPDX-License-Identifier: Apache-2.0
"""How the outcome of a repetition is said: of a release that somebody published, or of an own run.

A release has claims, packed weights and an author. A recorded run that is repeated where it was
recorded has none of them: its numbers are compared with what it gave itself.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from repropack.model import ClaimMode
from repropack.reports.page_words import MODES_OF_A_RELEASE, MODES_OF_A_RUN

__all__ = ["OF_A_RELEASE", "OF_A_RUN", "Wording"]


class Wording(Struct, frozen=True, kw_only=True):
    """The words that differ.

    Attributes:
        rung: What the step of the numbers is called.
        expected: The participle before the number that is to come out.
        modes: How the fresh number came about.
        all_hold: Where several numbers came out; with `{count}` and `{checked}`.
        random: What follows a sentence about a number that was another one in each repetition.
    """

    rung: str
    expected: str
    modes: dict[ClaimMode, str]
    all_hold: str
    random: str


OF_A_RELEASE: Final = Wording(
    rung="claims",
    expected="claimed",
    modes=MODES_OF_A_RELEASE,
    all_hold="all {count} claims{checked} hold",
    random="; but the same weights gave another number each time: the evaluation is random, and "
    "the author measured by how much it varies only if she calibrated the claim",
)

OF_A_RUN: Final = Wording(
    rung="numbers",
    expected="recorded",
    modes=MODES_OF_A_RUN,
    all_hold="all {count} numbers came out again",
    random="; but each repetition gave another number: the run is random, and without a tolerance "
    "in repropack.yaml nothing says by how much it may vary",
)
