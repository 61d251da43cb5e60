# SPDX-License-Identifier: Apache-2.0
"""Judges claims: a recorded number, a tolerance, fresh numbers, and the sentence that says it.

Laws: a number that is missing or not finite never passes; widening a tolerance never turns
REPRODUCED into NOT REPRODUCED; the order of repetitions does not matter; unknown never reads as
good.

Failures by prediction intervals are judged together: of twenty honest claims, one lies outside its
95 % interval. Holm's method (1979) keeps the chance that any of them is called failed at 5 %. What
adds nothing to that chance is not counted, or an author could hide a failure among copies: the same
number claimed again, and one that never varies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from repropack.comparators import Comparison, comparator_for
from repropack.comparators.interval import missed
from repropack.comparators.student_t import is_one_of_them, mean
from repropack.escaping import show
from repropack.model import (
    Basis,
    Claim,
    ClaimMode,
    ClaimResult,
    Equivalent,
    Exact,
    Interval,
    Metric,
    Verdict,
)
from repropack.verify.wording import OF_A_RELEASE, Wording

__all__ = ["holm", "is_assumed", "is_random_evaluation", "judge_all", "overall", "printable"]

MAX_EXACT_INTEGER: Final = 2.0**53
"""The next integer is no double (IEEE 754)."""

MAX_SHOWN: Final = 5
"""Fresh values in a sentence; the report has all of them."""


def judge_all(
    claims: Sequence[Claim],
    repetitions: Sequence[Sequence[Metric]],
    wording: Wording = OF_A_RELEASE,
    unread: Mapping[str, str] = {},
) -> tuple[ClaimResult, ...]:
    """Compares claims with what repetitions gave. The texts of the results are safe to print.

    Args:
        claims: What is claimed.
        repetitions: The metrics of each repetition, one at least.
        wording: Whether it is said of a release or of a recorded run.
        unread: Recorded path to reason, of files in which a repetition left nothing to read.
    """
    found = [{m.source.identity: m for m in reversed(metrics)} for metrics in repetitions]
    judged = [
        _judge(
            claim,
            [by.get(claim.source.identity) for by in found],
            wording,
            unread.get(claim.source.path, ""),
        )
        for claim in claims
    ]
    tests = _independent_tests(claims, judged)
    names = list(tests)
    adjusted = holm([min(judged[one].p_value or 0.0 for one in tests[name]) for name in names])
    p_values = {
        number: p_value
        for name, p_value in zip(names, adjusted, strict=True)
        for number in tests[name]
    }
    runs = len(repetitions)
    for number, one in enumerate(judged):
        if number in p_values:
            judged[number] = _together(one, p_values[number], len(names), runs)
        elif one.p_value is not None:
            judged[number] = _together(one, one.p_value, 1, runs)
    return tuple(one.result for one in judged)


def _independent_tests(
    claims: Sequence[Claim], judged: Sequence[_Judged]
) -> dict[tuple[float, ...], list[int]]:
    """Which claims are tests by an interval, those of one number together.

    One number is what has the same source, or was recorded with the same values. What never varied
    is no test: it is met or not, whatever the others are.
    """
    of_source: dict[object, tuple[float, ...]] = {}
    tests: dict[tuple[float, ...], list[int]] = {}
    for number, (claim, one) in enumerate(zip(claims, judged, strict=True)):
        if isinstance(claim.tolerance, Interval) and one.p_value is not None:
            values = tuple(sorted(claim.tolerance.values))
            if values[0] != values[-1]:
                name = of_source.setdefault(claim.source.identity, values)
                tests.setdefault(name, []).append(number)
    return tests


def _together(one: _Judged, p_value: float, family: int, runs: int) -> _Judged:
    """A claim that was judged with others: by the adjusted p-value, and with what was missed."""
    result = one.result
    tolerance = result.claim.tolerance
    assert isinstance(tolerance, Interval)
    verdict, said = result.verdict, result.sentence
    if verdict is Verdict.NOT_REPRODUCED and p_value > 1 - tolerance.confidence:
        verdict = Verdict.REPRODUCED
        said += (
            f"; one of {family} such claims may well lie outside by chance "
            f"(Holm's p = {p_value:.2g})"
        )
    if unseen := missed(tolerance, runs, family):
        said += f"; {unseen}"
    return _Judged(result=replace(result, verdict=verdict, sentence=said))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several tests, adjusted by Holm's step-down method, in the same order."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, number in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[number]))
        adjusted[number] = highest
    return adjusted


def is_random_evaluation(results: Sequence[ClaimResult]) -> bool:
    """Whether all failures are of evaluations with an assumed tolerance that differ in each run.

    The same weights gave another number each time, and the claimed one may be one more of them:
    then the assumption was wrong, not the claim.
    """
    failed = [result for result in results if result.verdict is Verdict.NOT_REPRODUCED]
    return bool(failed) and all(
        is_assumed(result.claim) and _is_another_draw(result) for result in failed
    )


def _is_another_draw(result: ClaimResult) -> bool:
    """Whether a claimed number may be one more of the fresh ones, which are not all equal.

    Noise in the last digits excuses no other result.
    """
    fresh = result.runs
    return len(set(fresh)) > 1 and is_one_of_them(result.claim.expected, fresh, 0.0)


def is_assumed(claim: Claim) -> bool:
    """Whether a claim's tolerance was only assumed: it is the default for an evaluation."""
    return claim.mode is ClaimMode.EVALUATE and claim.basis is Basis.DEFAULT


class _Judged(Struct, frozen=True, kw_only=True):
    result: ClaimResult
    p_value: float | None = None


def _judge(
    claim: Claim, metrics: Sequence[Metric | None], wording: Wording, unread: str
) -> _Judged:
    how = wording.modes[claim.mode]
    if len(metrics) > 1:
        how += f" {len(metrics)} times"
    problem = next(
        (said for said in (_problem(claim, m, wording, unread) for m in metrics) if said), ""
    )
    values = [m.value for m in metrics if m is not None and m.value is not None]
    finite = len(values) == len(metrics) and all(map(math.isfinite, values))
    if problem or not finite:
        comparison = Comparison(verdict=Verdict.INCONCLUSIVE, evidence=f": {how}, {problem}")
    else:
        comparison = _compare(claim, [m for m in metrics if m is not None], values, how, wording)
    result = ClaimResult(
        claim=printable(claim),
        verdict=comparison.verdict,
        fresh=mean(values) if finite and math.isfinite(mean(values)) else None,
        sentence=f"{show(claim.metric)}{comparison.evidence}",
        runs=tuple(values) if finite and len(values) > 1 else (),
    )
    return _Judged(result=_with_band(result, claim, len(metrics)), p_value=comparison.p_value)


def _problem(claim: Claim, metric: Metric | None, wording: Wording, unread: str) -> str:
    """Why a number cannot be compared at all."""
    if metric is None:
        return "the run gave no such number" + (f": {show(unread)}" if unread else "")
    if metric.value is None or not math.isfinite(metric.value):
        return f"the run gave {show(metric.text)}, which is not a number"
    if metric.unit != claim.unit:
        there = show(metric.unit) or "plain numbers"
        unit = show(claim.unit) or "plain numbers"
        return f"the run gave {there}, {wording.expected} in {unit}"
    return ""


def _distance(expected: float, values: Sequence[float]) -> str:
    """How far the farthest number is off: for a reader who judges by herself."""
    # In halves nothing overflows.
    most = max(abs(value / 2 - expected / 2) for value in values)
    share = f" ({most / abs(expected / 2):.2g} of the claimed)" if expected / 2 else ""
    return f"off by {most * 2:.2g}{share}"


def _compare(
    claim: Claim, metrics: Sequence[Metric], values: Sequence[float], how: str, wording: Wording
) -> Comparison:
    unit = show(claim.unit)
    fresh = ", ".join(f"{value!r}{unit}" for value in sorted(values)[:MAX_SHOWN])
    if len(values) > MAX_SHOWN:
        fresh += f" and {len(values) - MAX_SHOWN} more"
    said = f" = {fresh}, {wording.expected} {claim.expected!r}{unit}"
    beyond = next((m.text for m in metrics if _is_beyond(m)), "")
    if beyond and isinstance(claim.tolerance, Exact | None):
        return Comparison(
            verdict=Verdict.INCONCLUSIVE,
            evidence=f"{said}: {show(beyond)} is beyond the integers that numbers hold exactly, "
            "2**53, so it cannot be seen whether it is equal",
        )
    if claim.tolerance is None:
        if set(values) == {claim.expected}:
            return Comparison(verdict=Verdict.REPRODUCED, evidence=f"{said}: equal; {how}")
        return Comparison(
            verdict=Verdict.INCONCLUSIVE,
            evidence=f"{said}: {_distance(claim.expected, values)}; {how}, and the author "
            "declared no tolerance by which that could be judged",
        )
    comparator = comparator_for(claim.tolerance)
    defect = _misuse(claim) or comparator.defect(claim.tolerance, claim.expected)
    if defect:
        return Comparison(verdict=Verdict.INCONCLUSIVE, evidence=f": {defect}")
    found = comparator.compare(claim.tolerance, claim.expected, values)
    return replace(found, evidence=f"{said}: {found.evidence}; {how}")


def _misuse(claim: Claim) -> str:
    """Why a tolerance that compares independent runs cannot be used for this kind of repetition.

    Runs with one seed are not independent. What repetitions gave before the release was made may
    be compared with further ones.
    """
    independent = claim.mode is ClaimMode.RETRAIN_NEW_SEED or (
        isinstance(claim.tolerance, Interval) and claim.basis is Basis.REPEATS
    )
    if independent or not isinstance(claim.tolerance, Interval | Equivalent):
        return ""
    return (
        "its tolerance compares runs with several seeds, and this repetition has the recorded one"
    )


def _is_beyond(metric: Metric) -> bool:
    """Whether its source spells an integer that a double may hold as another."""
    integer = re.fullmatch(r"[+-]?[0-9]+", metric.text.strip())
    return integer is not None and abs(metric.value or 0.0) >= MAX_EXACT_INTEGER


def _with_band(result: ClaimResult, claim: Claim, runs: int) -> ClaimResult:
    """Adds what the tolerance accepts, for reports, where an interval of numbers can say it."""
    if claim.tolerance is None:
        return result
    comparator = comparator_for(claim.tolerance)
    if _misuse(claim) or comparator.defect(claim.tolerance, claim.expected):
        return result
    edges = comparator.band(claim.tolerance, claim.expected, runs)
    if edges is None:
        return result
    return replace(
        result,
        low=edges.low if math.isfinite(edges.low) else None,
        high=edges.high if math.isfinite(edges.high) else None,
    )


def printable(claim: Claim) -> Claim:
    """The same claim with texts that are safe to print, as results have it."""
    source = claim.source
    return replace(
        claim,
        metric=show(claim.metric),
        unit=show(claim.unit),
        note=show(claim.note),
        source=replace(
            source,
            importer=show(source.importer),
            path=show(source.path),
            key=show(source.key),
        ),
    )


def overall(results: Sequence[ClaimResult]) -> Verdict:
    """The verdict of a release: any failure decides, then any doubt; nothing claimed is doubt."""
    verdicts = {result.verdict for result in results}
    if Verdict.NOT_REPRODUCED in verdicts:
        return Verdict.NOT_REPRODUCED
    if verdicts == {Verdict.REPRODUCED}:
        return Verdict.REPRODUCED
    return Verdict.INCONCLUSIVE
