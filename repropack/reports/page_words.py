# SPDX-License-Identifier: Apache-2.0
"""What the page says in words of its own, with the tone of each: no text of a report.

Of a recorded run that was repeated where it was recorded the page says other things than of a
release: there is no bundle, no signer, no claim, and nobody else can check it again.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from repropack.model import (
    ClaimMode,
    OutputComparison,
    Report,
    SignerStatus,
    StepStatus,
    Verdict,
)

__all__ = [
    "MODES_OF_A_RELEASE",
    "MODES_OF_A_RUN",
    "OPEN",
    "OUTPUTS",
    "SIGNERS",
    "STEPS",
    "VERDICTS",
    "PageWords",
    "meaning_of",
    "outcome_of",
    "words_for",
]

VERDICTS: Final = {
    Verdict.REPRODUCED: (
        "good",
        "Every number that was compared came out again, within its tolerance.",
    ),
    Verdict.NOT_REPRODUCED: ("bad", "A claimed number did not come out within its tolerance."),
    Verdict.INCONCLUSIVE: (
        "doubt",
        "It could not be decided. That speaks neither for the claims nor against them.",
    ),
    Verdict.INTACT: (
        "plain",
        "The bytes are those that were signed. Nothing was executed, so no number was compared.",
    ),
    Verdict.NOT_INTACT: (
        "bad",
        "The bundle failed a check of its bytes, its signature, its signer or its records. "
        "Nothing in it should be relied on.",
    ),
}

STEPS: Final = {
    StepStatus.PASSED: "good",
    StepStatus.FAILED: "bad",
    StepStatus.UNDECIDED: "doubt",
    StepStatus.SKIPPED: "none",
}

SIGNERS: Final = {
    SignerStatus.TRUSTED: ("good", "A key that the reader had decided to trust."),
    SignerStatus.EXPECTED_DIGEST: (
        "good",
        "The manifest has the digest that the reader expected, so it does not matter who signed.",
    ),
    SignerStatus.ANONYMOUS: (
        "none",
        "The author is to stay unknown, as for a double-blind review: the key was made for this "
        "bundle alone. She can reveal herself later. Whether this is the submitted bundle, the "
        "digest of its manifest tells.",
    ),
    SignerStatus.UNKNOWN: (
        "doubt",
        "Nobody has said whose key this is. Anyone can make a key and sign with it: "
        "ask the author, in another way than through this bundle, for the fingerprint.",
    ),
    SignerStatus.PINNED: (
        "good",
        "The key that the reader has known under this name since its first use.",
    ),
    SignerStatus.SUCCESSOR: (
        "good",
        "A key that the reader knows has handed over to this one, in a statement that both signed.",
    ),
    SignerStatus.REVOKED: (
        "doubt",
        "Its holder has revoked the key. Whether this signature is older, or made by somebody who "
        "found the key, only the digest or a time stamp can tell.",
    ),
    SignerStatus.FIRST_USE: (
        "doubt",
        "The reader saw this key for the first time and decided to remember it. Whose it is, "
        "nobody has compared yet.",
    ),
    SignerStatus.REJECTED: ("bad", "Not the signers that the reader asked for."),
    SignerStatus.CHANGED: (
        "bad",
        "The reader knows this name with another key. Either the author has a new key, or somebody "
        "is passing off a file as the author's.",
    ),
    SignerStatus.INVALID: ("bad", "A signature in the name of this key does not belong here."),
}

OPEN: Final = (SignerStatus.UNKNOWN, SignerStatus.REVOKED)
"""Standings that leave it open whose word the release is."""


MODES_OF_A_RELEASE: Final = {
    ClaimMode.EVALUATE: "evaluated again with the packed weights",
    ClaimMode.RETRAIN_SAME_SEED: "trained again with the same seed",
    ClaimMode.RETRAIN_NEW_SEED: "trained again with another seed",
}
"""How a fresh number came about, on the page and in the sentences of claims."""

MODES_OF_A_RUN: Final = {
    ClaimMode.EVALUATE: "run again on the files that it read",
    ClaimMode.RETRAIN_SAME_SEED: "run again as recorded",
    ClaimMode.RETRAIN_NEW_SEED: "run again with another seed",
}


class PageWords(Struct, frozen=True, kw_only=True):
    """Words that differ between a release and a recorded run.

    Attributes:
        checked: Heading over what was looked at.
        numbers: Heading over the numbers.
        number: Of their first column.
        expected: Of the column of what was to come out.
        modes: How a fresh number came about.
        depths: By the mode of the report.
        not_repeated: Of an earlier run of the chain.
        shown: Of the last run of the chain.
    """

    checked: str
    numbers: str
    number: str
    expected: str
    modes: dict[ClaimMode, str]
    depths: dict[str, str]
    not_repeated: str
    shown: str


_RELEASE: Final = PageWords(
    checked="What was checked",
    numbers="Claims",
    number="Claim",
    expected="claimed",
    modes=MODES_OF_A_RELEASE,
    depths={
        "no-run": "bytes and signer only; nothing was executed",
        "evaluate": "the claimed run, repeated on the packed weights",
        "retrain": "every run, repeated in order",
    },
    not_repeated="not repeated: its files are in the bundle",
    shown="its numbers are claimed",
)

_RUN: Final = PageWords(
    checked="What was repeated",
    numbers="Numbers",
    number="Number",
    expected="recorded",
    modes=MODES_OF_A_RUN,
    depths={
        "evaluate": "this run alone, on the files that it read",
        "retrain": "this run and those whose files it read, in order",
    },
    not_repeated="not repeated: the files that it left were used",
    shown="its numbers are compared",
)

OUTPUTS: Final = {
    "other content": "doubt",
    "not written again": "doubt",
    "same content": "good",
}
"""What became of an output file: what is not the same first. Another content is no failure."""


def words_for(report: Report) -> PageWords:
    """The words for what the report is about."""
    return _RELEASE if report.run is None else _RUN


def meaning_of(report: Report) -> str:
    """The verdict in a sentence."""
    if report.run is None:
        return VERDICTS[report.verdict][1]
    if report.verdict is Verdict.REPRODUCED and not report.claims:
        return "Every file that the run left has the same content again."
    if report.verdict is Verdict.NOT_REPRODUCED:
        return "A recorded number did not come out again."
    if report.verdict is Verdict.INCONCLUSIVE:
        return "It could not be decided. That speaks neither for the run nor against it."
    return VERDICTS[report.verdict][1]


def outcome_of(output: OutputComparison) -> str:
    """What became of an output file, a key of `OUTPUTS`."""
    if output.fresh is None:
        return "not written again"
    return "same content" if output.same else "other content"
