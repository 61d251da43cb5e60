# SPDX-License-Identifier: Apache-2.0
"""What a release claims where its author names nothing, and what he may name."""

from __future__ import annotations

import pytest

from repropack.errors import UsageError
from repropack.export.claims import claim_metrics
from repropack.importers import CONSOLE, LOGGED
from repropack.model import Metric, MetricSource, Series
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


def _tracked(
    name: str, importer: str, path: str = "{project}/tb/events", length: int = 1
) -> Metric:
    source = MetricSource(importer=importer, path=path, key=name)
    series = Series(values=(0.5,) * length)
    return Metric(name=name, value=0.5, text="0.5", source=source, series=series)


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


def test_of_five_hundred_tags_only_results_on_held_out_data_are_claimed() -> None:
    tags = [f"layer{n}/grad_norm" for n in range(500)]
    metrics = [_tracked(tag, "tensorboard") for tag in (*tags, "train/loss", "val/loss", "lr")]
    assert [name for name, _ in _claimed(*metrics)] == ["val/loss"]
    assert [name for name, _ in _claimed(*metrics[:-2])] == ["train/loss"]
    assert [name for name, _ in _claimed(_tracked("eval_accuracy", "trainer_state"))]


def test_what_the_program_logged_goes_first_then_files_then_trackers_then_the_console() -> None:
    path = "{project}/m.json"
    logged = _tracked("anything", LOGGED, "log_metric")
    file, tracked, printed = _metric("f1", path), _tracked("val_acc", "dvclive"), _metric("acc")
    assert _claimed(printed, tracked, file, logged) == [("anything", "log_metric")]
    assert _claimed(printed, tracked, file) == [("f1", path)]
    assert _claimed(printed, tracked) == [("val_acc", "{project}/tb/events")]
    assert _claimed(printed) == [("acc", "stdout")]


def test_of_checkpoints_the_longest_history_is_claimed() -> None:
    paths = [
        "{project}/out/checkpoint-500/trainer_state.json",
        "{project}/out/trainer_state.json",
        "{project}/out/checkpoint-1000/trainer_state.json",
    ]
    metrics = [
        _tracked("eval_loss", "trainer_state", path, n)
        for path, n in zip(paths, (1, 3, 2), strict=True)
    ]
    assert _claimed(*metrics) == [("eval_loss", paths[1])]
    assert _claimed(metrics[0], metrics[2]) == [("eval_loss", paths[2])]


def test_a_log_file_that_repeats_the_console_is_claimed_once() -> None:
    log = Metric(
        name="acc", value=0.5, text="0.5",
        source=MetricSource(importer=CONSOLE, path="{project}/train.log", key="acc"),
    )  # fmt: skip
    assert _claimed(log, _metric("acc")) == [("acc", "stdout")]
    assert _claimed(log) == [("acc", "{project}/train.log")]


def test_a_file_named_by_chance_among_others_is_not_claimed() -> None:
    path = "{project}/mlruns/0/" + "a" * 32 + "/metrics/val_acc"
    assert _claimed(_tracked("val_acc", "mlflow", path)) == []
