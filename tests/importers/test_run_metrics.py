# SPDX-License-Identifier: Apache-2.0
"""All metrics of a run: what is found again in another run, what is said, what is bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from repropack.importers import MAX_METRIC_FILE, importer
from repropack.importers.recurring import place_of
from repropack.importers.run_metrics import MAX_RUN_POINTS, RunMetrics, read_run_metrics
from repropack.importers.series import points


def _found(files: dict[str, bytes], **sizes: int) -> RunMetrics:
    return read_run_metrics(
        [("{project}/" + name, sizes.get(name, len(data))) for name, data in files.items()],
        lambda name: files[name.removeprefix("{project}/")],
        stdout=Path("/dev/null"),
        stderr=Path("/dev/null"),
    )


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("tb/events.out.tfevents.1700000000.{host}.42.0", "tb/events.out.tfevents.*"),
        ("runs/Nov25_14-56-32_{host}/events.out.tfevents.1.h.1.1.v2",
         "runs/*/events.out.tfevents.*"),
        ("lightning_logs/version_12/metrics.csv", "lightning_logs/version_*/metrics.csv"),
        ("outputs/2026-01-02/03-04-05/train.log", "outputs/*/*/train.log"),
        ("runs/resnet_20260102_030405/m.json", "runs/resnet_*/m.json"),
        ("mlruns/0/5e2ec78da4d243e090eb175401ac5e05/metrics/acc", "mlruns/*/*/metrics/acc"),
        ("wandb/offline-run-20260102_030405-ab12cd34/m.json", "wandb/offline-run-*/m.json"),
        ("sacred/17/metrics.json", "sacred/*/metrics.json"),
        ("out/metrics.json", "out/metrics.json"),
        ("checkpoint-500/trainer_state.json", "checkpoint-500/trainer_state.json"),
        ("resnet18/top5.json", "resnet18/top5.json"),
    ],
)  # fmt: skip
def test_the_part_of_a_path_that_is_new_in_each_run(path: str, place: str) -> None:
    assert place_of("{project}/" + path) == "{project}/" + place


def test_folds_in_numbered_folders_are_told_apart_in_another_run() -> None:
    first = _found({f"cv/version_{n}/m.json": b'{"acc": 0.%d}' % n for n in (9, 10, 11)})
    again = _found({f"cv/version_{n}/m.json": b'{"acc": 0.%d}' % n for n in (0, 1, 2)})
    order = {m.source.path: m.source.ordinal for m in first.metrics}
    assert [order[f"{{project}}/cv/version_{n}/m.json"] for n in (9, 10, 11)] == [0, 1, 2]
    assert {m.source.identity for m in first.metrics} == {m.source.identity for m in again.metrics}


def test_runs_named_by_chance_are_not_taken_for_each_other() -> None:
    one, two = "a" * 32, "b" * 32
    alone = _found({f"mlruns/0/{one}/metrics/acc": b"1 0.5 0\n"})
    assert alone.metrics[0].source.place
    both = _found({f"mlruns/0/{n}/metrics/acc": b"1 0.5 0\n" for n in (one, two)})
    assert {m.source.place for m in both.metrics} == {""}
    assert len({m.source.identity for m in both.metrics}) == 2


def test_a_file_that_cannot_be_read_costs_no_other_and_is_named() -> None:
    found = _found(
        {"a.json": b"{", "b.json": b'{"acc": 0.5}', "trainer_state.json": b"[", "c.csv": b"\xff"},
        **{"b.json": 12},
    )
    assert [m.name for m in found.metrics] == ["acc"]
    assert [remark.partition(":")[0] for remark in found.remarks] == [
        "a.json",
        "trainer_state.json",
    ]
    assert all("not JSON" in remark for remark in found.remarks)


def test_a_file_that_is_too_large_is_said() -> None:
    found = _found({"a.json": b""}, **{"a.json": MAX_METRIC_FILE + 1})
    assert found.metrics == ()
    (remark,) = found.remarks
    assert remark.startswith("a.json: not read for metrics: it has 67108865 bytes, more than")


def test_a_file_that_vanished_is_said() -> None:
    def read(name: str) -> bytes:
        raise FileNotFoundError(2, "No such file or directory", name)

    found = read_run_metrics(
        [("{project}/m.json", 1)], read, stdout=Path("/dev/null"), stderr=Path("/dev/null")
    )
    assert found.remarks == ("m.json: not read for metrics: No such file or directory",)


def test_many_long_curves_stay_within_the_bound_of_a_run() -> None:
    table = b"step," + b",".join(b"m%d" % n for n in range(20)) + b"\n"
    table += b"".join(b"%d," % step + b",".join([b"0.5"] * 20) + b"\n" for step in range(40_000))
    found = _found({"m.csv": table})
    series = [m.series for m in found.metrics if m.series is not None]
    assert len(series) == 20
    assert sum(len(s.values) for s in series) <= MAX_RUN_POINTS
    assert {s.length for s in series} == {40_000}


@pytest.mark.parametrize(
    ("lines", "steps"),
    [
        (["step 10: loss: 3", "step 20: loss: 2"], [10, 20]),
        (["Epoch 1/3 loss: 3", "Epoch 2/3 loss: 2"], [1, 2]),
        (["{'loss': 3, 'epoch': 0.5}", "{'loss': 2, 'epoch': 1.0}"], [0.5, 1]),
        (["[iteration #5] loss=3", "[iteration #6] loss=2"], [5, 6]),
        # The most exact counter that rises, not the first of the line.
        (["epoch 1 global_step 7 loss: 3", "epoch 1 global_step 8 loss: 2"], [7, 8]),
        (["epoch 1 step 7 loss: 3", "epoch 2 step 7 loss: 2"], [1, 2]),
        # Where there is doubt they are counted.
        (["epoch 1 loss: 3", "epoch 1 loss: 2"], [0, 1]),
        (["step 2 loss: 3", "step 1 loss: 2"], [0, 1]),
        (["step 2 loss: 3", "loss: 2"], [0, 1]),
        (["epoch 1 step 600 loss: 3", "epoch 1 step 700 loss: 2", "epoch 2 step 600 loss: 1"],
         [0, 1, 2]),
        (["loss: 3 step=nan", "loss: 2 step=inf"], [0, 1]),
        (["per-step 1 loss: 3", "per-step 2 loss: 2"], [0, 1]),
        (["steps 50% loss: 3", "steps 60% loss: 2"], [0, 1]),
    ],
)  # fmt: skip
def test_the_steps_of_printed_values(lines: list[str], steps: list[float]) -> None:
    found = importer("console").read("\n".join(lines).encode(), "stdout").metrics
    (loss,) = (m for m in found if m.name.split()[-1] == "loss")
    assert loss.series is not None
    assert [step for step, _ in points(loss.series)] == steps
