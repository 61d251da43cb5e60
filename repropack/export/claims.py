# SPDX-License-Identifier: Apache-2.0
"""Which numbers a release claims, and how near a repetition must come.

The author says so in `repropack.yaml`; without it, the first of these that there are: what the
program said by `repropack.log_metric`; the final metrics in result files; what experiment trackers
hold (TensorBoard, …) and what was printed, each as far as the name says that it is a result.

Defaults of tolerances: an evaluation of the same weights is deterministic but for the order of
floating-point additions, so 1e-5 relative (the scale of torch's and JAX's own test tolerances for
float32); for a retraining nothing can be assumed from one run, so no tolerance is invented:
equality shows that it was reproduced, anything else stays inconclusive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from repropack.comparators import comparator_for
from repropack.comparators.interval import MIN_RECORDED
from repropack.errors import UsageError
from repropack.importers import LOGGED, PRINTED
from repropack.importers.recurring import is_random
from repropack.model import Absolute, Basis, Claim, ClaimMode, Interval, Metric, Relative, Tolerance
from repropack.project_file import DeclaredClaim

__all__ = ["claim_metrics", "evaluation_tolerance"]

EVALUATE_RELATIVE: Final = 1e-5
EVALUATE_AROUND_ZERO: Final = 1e-8
"""Used where a relative bound has no meaning; numpy's isclose has the same."""

MAX_DEFAULT_CLAIMS: Final = 50
"""More numbers than a table of a paper holds: then the author has to choose."""

_NO_RESULT: Final = re.compile(
    r"(?:^|[\s._/-])(?:time|took|seconds?|secs?|s|m?secs?|u?secs?|ms|us|ns|minutes?|mins?|hours?|"
    r"duration|elapsed|runtime|latency|wall|eta|date|timestamp|[a-z]+/(?:s|secs?|seconds?)|"
    r"per[ _-]?(?:s|secs?|seconds?|minutes?|hours?)|epochs?|steps?|iter(?:ation)?s?|rounds?|"
    r"batch(?:es)?|seeds?|lr|learning[ _-]?rate|workers?|threads?|device|cuda|pid|port|version|"
    r"exit|code|id|idx|index|samples?|tokens?|rows?|params?|parameters|n|num|counts?|size|memory|"
    r"mem|bytes|[kmg]i?b|gpu|cpu|flo[ps]s?|macs|speed|throughput|fps|folds?)(?:$|[\s._/-])",
    re.IGNORECASE,
)
"""Names of settings, counters and timings: numbers of a run that are not its results."""

_RESULT: Final = re.compile(
    r"(?:^|[\s._/@-])(?:acc|accuracy|m?(?:log)?loss(?:es)?|errors?|err|f1|f[ _-]?score|precision|"
    r"recall|sensitivity|specificity|auc|auroc|auprc|roc|ap|map|mar|iou|miou|dice|jaccard|bleu|"
    r"rouge(?:-?l(?:sum)?)?|meteor|wer|cer|mse|rmse|rmsle|mae|mape|r2|r[ _-]?squared|"
    r"perplexity|ppl|scores?|rewards?|returns?|psnr|ssim|lpips|fid|likelihood|nll|elbo|entropy|kappa|mcc|corr|correlation|"
    r"pearsonr?|spearmanr?|ndcg|mrr|hits?|brier|ece|eer|(?:top|rank)[ _@-]?[0-9]+)[0-9]*"
    r"(?:$|[\s._/@-])",
    re.IGNORECASE,
)
"""Names of results. Consoles show many numbers, most of which nobody would claim."""

_HELD_OUT: Final = re.compile(
    r"(?:^|[\s._/@-])(?:val|valid|validation|test|eval|evaluation|dev|holdout)(?:$|[\s._/@-])",
    re.IGNORECASE,
)
"""Names of results on data that was not trained on: where there are some, a tracker's training
curves are not claimed."""

_RESULT_FILES: Final = ("json", "table")
"""Importers of files in which a program writes what it found, in full precision."""

_CHECKPOINT: Final = re.compile(r"(?<=/)checkpoint-[0-9]+/")

_SETTINGS_FILE: Final = re.compile(
    r"(?:^|/)(?:(?:[^/]*[_-])?(?:config|args|settings|hparams|hyperparams|hyperparameters|params|"
    r"package|package-lock)|tokenizer[^/]*|special_tokens_map|vocab)\.[a-z]+$",
    re.IGNORECASE,
)
"""Files that hold what a run was told, not what it found."""


def claim_metrics(
    metrics: Sequence[Metric],
    declared: Sequence[DeclaredClaim] | None,
    *,
    retraining_only: bool,
    resumed: bool = False,
    over_seeds: Callable[[Metric], tuple[float, ...]] = lambda _: (),
    limit: int = MAX_DEFAULT_CLAIMS,
) -> tuple[Claim, ...]:
    """The claims of a release.

    Args:
        metrics: The metrics of the claimed run.
        declared: The author's choice, or None.
        retraining_only: Whether the release is a single run that trains and reports, so that to
            repeat it is to train again.
        resumed: Whether the run has several segments, so that to evaluate it is to repeat the last
            of them, which may be a training too.
        over_seeds: What recorded runs that differ in nothing but the seed gave for a metric.
        limit: How many metrics may be claimed that nobody has chosen.

    Raises:
        UsageError: A declared claim fits no metric or several, is not a finite number, or its
            tolerance cannot be used; or there are too many metrics to claim all.
    """
    modes = [ClaimMode.RETRAIN_SAME_SEED]
    if not retraining_only:
        modes.insert(0, ClaimMode.EVALUATE)
    claims = []
    for metric, choice in _chosen(metrics, declared, limit):
        for mode in modes:
            tolerance, note, basis = _tolerance(metric, choice, mode, resumed=resumed)
            claims.append(_claim(metric, mode, tolerance, note, basis))
        claims += _new_seed_claim(metric, choice, over_seeds(metric))
    return tuple(claims)


def evaluation_tolerance(expected: float) -> Tolerance:
    """Within this, numbers of the same weights count as equal: they differ by rounding alone."""
    if expected == 0:
        return Absolute(within=EVALUATE_AROUND_ZERO)
    return Relative(within=EVALUATE_RELATIVE)


def _new_seed_claim(
    metric: Metric, choice: DeclaredClaim | None, values: tuple[float, ...]
) -> list[Claim]:
    """What is claimed of a training with another seed: of enough recorded seeds, their spread."""
    declared = None if choice is None else choice.retrain_new_seed
    if declared is None:
        if len(values) < MIN_RECORDED or metric.value is None:
            return []
        # Without a floor, seeds that gave the very same number would ask for it to the last bit.
        floor = EVALUATE_RELATIVE * max(map(abs, values)) or EVALUATE_AROUND_ZERO
        tolerance: Tolerance = Interval(values=values, floor=floor)
        note, basis = f"prediction interval of {len(values)} recorded seeds", Basis.SEEDS
    elif declared.needs_seeds and len(values) < MIN_RECORDED:
        raise UsageError(
            f"repropack.yaml compares seeds of {metric.name!r}, and there are {len(values)} "
            f"recorded runs that differ in nothing but the seed; {MIN_RECORDED} are the least",
            advice="record runs with other seeds, or declare another tolerance",
        )
    else:
        tolerance = declared.tolerance(values)
        note, basis = "declared by the author", Basis.DECLARED
    return [_claim(metric, ClaimMode.RETRAIN_NEW_SEED, tolerance, note, basis)]


def _chosen(
    metrics: Sequence[Metric], declared: Sequence[DeclaredClaim] | None, limit: int
) -> list[tuple[Metric, DeclaredClaim | None]]:
    if declared is not None:
        return [(_find(metrics, choice), choice) for choice in declared]
    finite = [
        m
        for m in metrics
        if m.value is not None
        and not _NO_RESULT.search(m.name)
        # Of files that are named by chance nobody finds the same again.
        and (m.source.place or not is_random(m.source.path))
    ]
    # A number in a file has its full precision; what the console shows is often the same, rounded.
    chosen = (
        [m for m in finite if m.source.importer == LOGGED]
        or [
            m
            for m in finite
            if m.source.importer in _RESULT_FILES and not _SETTINGS_FILE.search(m.source.path)
        ]
        or _tracked(finite)
        or _printed(finite)
    )
    if len(chosen) > limit:
        raise UsageError(
            f"the run has {len(chosen)} metrics, too many to claim all of them",
            advice="name the claims in repropack.yaml",
        )
    return [(metric, None) for metric in chosen]


def _tracked(metrics: Sequence[Metric]) -> list[Metric]:
    """The results that experiment trackers hold, of checkpoints the longest history."""
    others = (LOGGED, *PRINTED, *_RESULT_FILES)
    results = [
        m
        for m in metrics
        if m.source.importer not in others and (_RESULT.search(m.name) or m.name == "result")
    ]
    longest: dict[tuple[str, str, str], Metric] = {}
    for metric in results:
        source = metric.source
        same = (source.importer, _CHECKPOINT.sub("", source.path), source.key)
        if same not in longest or _length(metric) >= _length(longest[same]):
            longest[same] = metric
    found = list(longest.values())
    return [m for m in found if _HELD_OUT.search(m.name.replace("_", " "))] or found


def _length(metric: Metric) -> int:
    return 1 if metric.series is None else metric.series.length or len(metric.series.values)


def _printed(metrics: Sequence[Metric]) -> list[Metric]:
    """The results that the console shows; of log files those that it does not show."""
    found: dict[str, Metric] = {}
    printed = [m for m in metrics if m.source.importer in PRINTED and _RESULT.search(m.name)]
    for metric in sorted(printed, key=lambda m: m.source.path not in ("stdout", "stderr")):
        if metric.source.path == "stdout" or metric.name not in found:
            found[metric.name] = metric
    return list(found.values())


def _find(metrics: Sequence[Metric], choice: DeclaredClaim) -> Metric:
    fitting = [
        m
        for m in metrics
        if m.name == choice.metric
        and (choice.file is None or m.source.path in (choice.file, "{project}/" + choice.file))
    ]
    # What a program prints it often writes as well; the file has the full precision.
    fitting = [m for m in fitting if m.source.importer not in PRINTED] or fitting
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        names = ", ".join(sorted({m.name for m in metrics})[:8]) or "none"
        raise UsageError(
            f"repropack.yaml claims {choice.metric!r}, but the run has no such metric "
            f"(it has: {names})",
            advice="`repropack show ID` lists them",
        )
    places = ", ".join(sorted({m.source.path.removeprefix("{project}/") for m in fitting}))
    raise UsageError(
        f"repropack.yaml claims {choice.metric!r}, which is found in several places: {places}",
        advice="add `file:` to the claim",
    )


def _tolerance(
    metric: Metric, choice: DeclaredClaim | None, mode: ClaimMode, *, resumed: bool
) -> tuple[Tolerance | None, str, Basis]:
    declared = None
    if choice is not None:
        declared = choice.evaluate if mode is ClaimMode.EVALUATE else choice.retrain
    if declared is not None:
        return declared.tolerance(()), "declared by the author", Basis.DECLARED
    if mode is ClaimMode.RETRAIN_SAME_SEED:
        return None, "no tolerance declared for retraining", Basis.DEFAULT
    if resumed:
        return None, "no tolerance declared for repeating the last segment", Basis.DEFAULT
    note = "default for an evaluation" + (", around 0" if metric.value == 0 else "")
    return evaluation_tolerance(metric.value or 0.0), note, Basis.DEFAULT


def _claim(
    metric: Metric, mode: ClaimMode, tolerance: Tolerance | None, note: str, basis: Basis
) -> Claim:
    if metric.value is None:
        raise UsageError(
            f"the metric {metric.name!r} is {metric.text}, which cannot be claimed",
            advice="only finite numbers can be reproduced",
        )
    if tolerance is not None:
        defect = comparator_for(tolerance).defect(tolerance, metric.value)
        if defect:
            raise UsageError(
                f"the claim {metric.name!r} = {metric.text}: {defect}",
                advice="declare another tolerance for it in repropack.yaml",
            )
    return Claim(
        metric=metric.name,
        source=metric.source,
        expected=metric.value,
        mode=mode,
        tolerance=tolerance,
        unit=metric.unit,
        note=note,
        basis=basis,
    )
