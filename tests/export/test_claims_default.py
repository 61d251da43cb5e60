# SPDX-License-Identifier: Apache-2.0
"""What a release claims where its author names nothing, and what he may name."""

from __future__ import annotations

import pytest

from repropack.errors import UsageError
from repropack.export.claims import claim_metrics
from repropack.importers import CONSOLE
from repropack.model import Metric, MetricSource
from repropack.project_file import DeclaredClaim

RESULTS = [
    "acc", "Accuracy", "test_acc", "val/loss", "Average loss", "eval.loss", "log_loss", "error",
    "top-1 err", "f1", "F1-score", "macro precision", "recall", "auc", "roc_auc", "AUROC", "AP",
    "AP50", "mAP", "mAP@0.5", "mean_iou", "dice", "BLEU", "bleu-4", "rouge1", "rougeL", "WER",
    "cer", "mse", "RMSE", "mae", "r2", "perplexity", "ppl", "score", "mean reward", "return",
    "psnr", "ssim", "FID", "log-likelihood", "nll", "kappa", "mcc", "corr", "top1", "top5",
    "top-1", "acc@1", "Acc@5", "recall@10", "rank-1", "rank@5", "validation_0-logloss",
]  # fmt: skip
TIMINGS_AND_COUNTERS = [
    "took", "latency", "latency_ms", "train_runtime", "samples_per_second", "samples/s",
    "images/s", "img/sec", "it/s", "steps_per_sec", "tokens per second", "best_epoch", "epoch",
    "global_step", "score_time", "fit_time", "elapsed", "num_params", "n", "seed", "lr",
    "return code", "total_flos", "gpu mem", "loss_time", "exit_status", "sample_id", "s",
    "eval_steps_per_second",
]  # fmt: skip
UNKNOWN = ["x", "rows", "rank", "cuda", "port", "lossy", "mapping", "factor", "terror", "width"]


def _metric(name: str, path: str = "stdout", value: float | None = 0.5) -> Metric:
    kind = CONSOLE if path == "stdout" else "json"
    source = MetricSource(importer=kind, path=path, key=name)
    return Metric(name=name, value=value, text=str(value), source=source)


def _claimed(*metrics: Metric) -> list[tuple[str, str]]:
    claims = claim_metrics(metrics, None, retraining_only=True)
    return [(claim.metric, claim.source.path) for claim in claims]


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_claimed_from_the_console(name: str) -> None:
    assert _claimed(_metric(name)) == [(name, "stdout")]


@pytest.mark.parametrize("name", [*UNKNOWN, *TIMINGS_AND_COUNTERS])
def test_other_printed_numbers_are_not_claimed(name: str) -> None:
    assert _claimed(_metric(name)) == []


@pytest.mark.parametrize("name", [*RESULTS, "x", "bias", "test.width"])
def test_what_a_file_holds_is_claimed(name: str) -> None:
    path = "{project}/out/metrics.json"
    assert _claimed(_metric(name, path)) == [(name, path)]


@pytest.mark.parametrize("name", TIMINGS_AND_COUNTERS)
def test_timings_and_counters_in_a_file_are_not_claimed(name: str) -> None:
    assert _claimed(_metric(name, "{project}/out/metrics.json")) == []


@pytest.mark.parametrize(
    "file",
    ["args.json", "config.json", "hparams.json", "params.json", "settings.json", "package.json",
     "tokenizer.json", "tokenizer_config.json", "generation_config.json", "Config.JSON"],
)  # fmt: skip
def test_settings_are_claimed_only_where_the_author_says_so(file: str) -> None:
    setting = _metric("dropout", "{project}/out/" + file)
    assert _claimed(setting) == []
    assert _claimed(setting, _metric("accuracy")) == [("accuracy", "stdout")]
    claims = claim_metrics([setting], [DeclaredClaim(metric="dropout")], retraining_only=True)
    assert [claim.metric for claim in claims] == ["dropout"]


@pytest.mark.parametrize("file", ["metrics.json", "configs/result.json", "config/acc.json"])
def test_a_result_file_is_no_settings_file(file: str) -> None:
    path = "{project}/" + file
    assert _claimed(_metric("dropout", path)) == [("dropout", path)]


def test_a_file_goes_before_the_console() -> None:
    path = "{project}/m.json"
    assert _claimed(_metric("acc", path), _metric("acc"), _metric("loss")) == [("acc", path)]
    assert _claimed(_metric("took", path), _metric("acc")) == [("acc", "stdout")]


def test_a_number_that_is_not_finite_is_not_claimed() -> None:
    assert _claimed(_metric("loss", value=None)) == []


def test_the_author_may_claim_any_printed_number() -> None:
    declared = [DeclaredClaim(metric="rows"), DeclaredClaim(metric="took")]
    claims = claim_metrics([_metric("rows"), _metric("took")], declared, retraining_only=True)
    assert [claim.metric for claim in claims] == ["rows", "took"]


def test_more_results_than_anybody_means_have_to_be_chosen() -> None:
    with pytest.raises(UsageError, match="too many"):
        _claimed(*(_metric(f"loss {letter}{n}") for letter in "abcdef" for n in range(10)))
