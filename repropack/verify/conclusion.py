# SPDX-License-Identifier: Apache-2.0
"""What judged numbers and compared files come to: one verdict, and the sentence for it."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from repropack.model import StepStatus, Verdict
from repropack.verify.claims import is_random_evaluation, overall
from repropack.verify.ladder import Ladder
from repropack.verify.wording import Wording

__all__ = ["conclude", "say_outputs", "with_seeds"]

SHOWN_SEEDS: Final = 5


def with_seeds(seeds: tuple[str, ...]) -> str:
    """The seeds of repetitions, behind what is said of them."""
    if not seeds:
        return ""
    more = f" and {len(seeds) - SHOWN_SEEDS} more" if len(seeds) > SHOWN_SEEDS else ""
    word = "seeds" if len(seeds) > 1 else "seed"
    return f", with the {word} {', '.join(seeds[:SHOWN_SEEDS])}{more}"


def say_outputs(ladder: Ladder) -> None:
    """Notes how many of the compared files are the same."""
    same = sum(one.same for one in ladder.outputs)
    count = len(ladder.outputs)
    status = StepStatus.PASSED if same == count else StepStatus.UNDECIDED
    summary = f"{same} of {count} with the same content" if count else "none was recorded"
    ladder.step("outputs", status, summary)


def conclude(ladder: Ladder, wording: Wording, *, others: int) -> tuple[Verdict, str]:
    """The verdict by the judged numbers, or by the files where there is no number.

    Args:
        ladder: Learns how the step of the numbers ended. Numbers that an assumed tolerance failed
            become undecided in it where each repetition gave another one.
        wording: Whether it is said of a release or of a recorded run.
        others: Claims that were not checked, because they are about another kind of repetition.
    """
    if not ladder.claims:
        return _conclude_by_outputs(ladder)
    if is_random_evaluation(ladder.claims):
        ladder.claims = tuple(
            replace(r, verdict=Verdict.INCONCLUSIVE, sentence=f"{r.sentence}{wording.random}")
            if r.verdict is Verdict.NOT_REPRODUCED
            else r
            for r in ladder.claims
        )
    verdict = overall(ladder.claims)
    reproduced = sum(result.verdict is Verdict.REPRODUCED for result in ladder.claims)
    status = {
        Verdict.REPRODUCED: StepStatus.PASSED,
        Verdict.NOT_REPRODUCED: StepStatus.FAILED,
    }.get(verdict, StepStatus.UNDECIDED)
    summary = f"{reproduced} of {len(ladder.claims)} reproduced"
    if others:
        was = "was" if others == 1 else "were"
        summary += f"; {others} about another kind of repetition {was} not checked"
    ladder.step(wording.rung, status, summary)
    worst = next(r for r in ladder.claims if r.verdict is verdict)
    if verdict is Verdict.REPRODUCED and len(ladder.claims) > 1:
        checked = " that were checked" if others else ""
        return verdict, wording.all_hold.format(count=len(ladder.claims), checked=checked)
    return verdict, worst.sentence


def _conclude_by_outputs(ladder: Ladder) -> tuple[Verdict, str]:
    """Where no number can be compared: equal files show it; others may be as good."""
    count = len(ladder.outputs)
    other = [one for one in ladder.outputs if not one.same]
    if not count:
        return (
            Verdict.INCONCLUSIVE,
            "the run came to its recorded end, but left no number and no file to compare",
        )
    if not other:
        files = f"all {count} files have" if count > 1 else "its file has"
        return Verdict.REPRODUCED, f"it left no number to compare; {files} the same content"
    return (
        Verdict.INCONCLUSIVE,
        f"it left no number to compare, and {len(other)} of {count} files are not the same",
    )
