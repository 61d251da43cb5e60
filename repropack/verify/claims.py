# SPDX-License-Identifier: Apache-2.0
"""Judges claims: a recorded number, a tolerance, a fresh number, and the sentence that says it.

Laws: a number that is missing or not finite never passes; widening a tolerance never turns
REPRODUCED into NOT REPRODUCED; unknown never reads as good.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec.structs import replace

from repropack.comparators import Band, band, comparator_for
from repropack.escaping import show
from repropack.model import Claim, ClaimMode, ClaimResult, Metric, Verdict

__all__ = ["find_metric", "judge", "overall"]

_MODE_WORDS = {
    ClaimMode.EVALUATE: "evaluated again with the packed weights",
    ClaimMode.RETRAIN_SAME_SEED: "trained again with the same seed",
}


def find_metric(claim: Claim, metrics: Sequence[Metric]) -> Metric | None:
    """The fresh metric that a claim is about: same importer, same place, same key."""
    return next((m for m in metrics if m.source.identity == claim.source.identity), None)


def judge(claim: Claim, metrics: Sequence[Metric]) -> ClaimResult:
    """Compares a claim with what a repetition gave. The texts of the result are safe to print."""
    result = replace(_compare(claim, metrics), claim=_printable(claim))
    edges = _finite_band(claim)
    return result if edges is None else replace(result, low=edges.low, high=edges.high)


def _printable(claim: Claim) -> Claim:
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
            place=show(source.place),
        ),
    )


def _finite_band(claim: Claim) -> Band | None:
    """What the tolerance accepts, for reports; None where no interval of numbers can say it."""
    if claim.tolerance is None:
        return None
    if comparator_for(claim.tolerance).defect(claim.tolerance, claim.expected):
        return None
    edges = band(claim.tolerance, claim.expected)
    return edges if math.isfinite(edges.low) and math.isfinite(edges.high) else None


def _compare(claim: Claim, metrics: Sequence[Metric]) -> ClaimResult:
    metric = find_metric(claim, metrics)
    verdict, fresh, outcome = _outcome(claim, metric, _MODE_WORDS[claim.mode])
    return ClaimResult(
        claim=claim, verdict=verdict, fresh=fresh, sentence=f"{show(claim.metric)}{outcome}"
    )


def _outcome(claim: Claim, metric: Metric | None, how: str) -> tuple[Verdict, float | None, str]:
    """The verdict, the fresh number, and what follows the metric's name in the sentence."""
    if metric is None:
        return Verdict.INCONCLUSIVE, None, f": {how}, the run gave no such number"
    fresh = metric.value
    if fresh is None or not math.isfinite(fresh):
        said = show(metric.text)
        return Verdict.INCONCLUSIVE, None, f": {how}, the run gave {said}, which is not a number"
    unit = show(claim.unit)
    if metric.unit != claim.unit:
        return (
            Verdict.INCONCLUSIVE,
            fresh,
            f": claimed in {unit or 'plain numbers'}, "
            f"the run gave {show(metric.unit) or 'plain numbers'}",
        )
    values = f" = {fresh!r}{unit}, claimed {claim.expected!r}{unit}"
    if claim.tolerance is None:
        if fresh == claim.expected:
            return Verdict.REPRODUCED, fresh, f"{values}: equal; {how}"
        return (
            Verdict.INCONCLUSIVE,
            fresh,
            f"{values}: {how}, and the author declared no tolerance "
            "by which the difference could be judged",
        )
    comparator = comparator_for(claim.tolerance)
    defect = comparator.defect(claim.tolerance, claim.expected)
    if defect:
        return Verdict.INCONCLUSIVE, fresh, f": {defect}"
    accepted = comparator.accepts(claim.tolerance, claim.expected, fresh)
    edges = band(claim.tolerance, claim.expected)
    return (
        Verdict.REPRODUCED if accepted else Verdict.NOT_REPRODUCED,
        fresh,
        f"{values}: {'inside' if accepted else 'outside'} [{edges.low:.10g}, {edges.high:.10g}], "
        f"{comparator.describe(claim.tolerance)}; {how}",
    )


def overall(results: Sequence[ClaimResult]) -> Verdict:
    """The verdict of a release: any failure decides, then any doubt; nothing claimed is doubt."""
    verdicts = {result.verdict for result in results}
    if Verdict.NOT_REPRODUCED in verdicts:
        return Verdict.NOT_REPRODUCED
    if verdicts == {Verdict.REPRODUCED}:
        return Verdict.REPRODUCED
    return Verdict.INCONCLUSIVE
