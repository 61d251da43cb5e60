# SPDX-License-Identifier: Apache-2.0
"""What real programs print: bars, tables, reports, wrapped lines."""

from __future__ import annotations

import pytest

from repropack.importers import CONSOLE, importer
from repropack.importers.series import points
from repropack.model import Metric
from tests.importers.samples import SAMPLES


def _read(text: str, path: str = "stdout") -> dict[str, Metric]:
    return {m.name: m for m in importer(CONSOLE).read(text.encode(), path).metrics}


def _values(text: str) -> dict[str, float | None]:
    return {name: metric.value for name, metric in _read(text).items()}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Epoch 3/10 - loss: 0.3 - accuracy: 0.9\n", {"loss": 0.3, "accuracy": 0.9}),
        (
            "\x1b[1m9/9\x1b[0m \x1b[32m━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m3s\x1b[0m 3ms/step - "
            "accuracy: 0.9 - loss: 0.3 - val_loss: 1.2345e-04\n",
            {"accuracy": 0.9, "loss": 0.3, "val_loss": 1.2345e-04},
        ),
        ("{'loss': 0.5, 'epoch': 1.0}\n", {"loss": 0.5, "epoch": 1.0}),
        (
            "2026-01-02 03:04:05,678 - train - INFO - val_loss=0.12 train_loss=0.5\n",
            {"val_loss": 0.12, "train_loss": 0.5},
        ),
        ("I0102 03:04:05.678901 140 train.py:12] loss = 0.25\n", {"loss": 0.25}),
        ("loss: Infinity\nacc: -inf\n", {"loss": None, "acc": None}),
        ("loss: 0,97\nperplexity: 1,234.5\n", {}),
        (
            "train/loss: 3\nloss: 2\nval_loss: 1\n",
            {"train/loss": 3, "loss": 2, "val_loss": 1},
        ),
        ("Test accuracy:\n    0.97\n", {"Test accuracy": 0.97}),
        ("{'eval_loss': 0.4, 'eval_accuracy':\n 0.88, 'epoch': 1}\n",
         {"eval_loss": 0.4, "eval_accuracy": 0.88, "epoch": 1}),
        ("Results:\n3 files were read\n", {}),
        # rich's log handler: the place of the call stands beside the first line only.
        (
            "[10:00:00] final accuracy of the run, test_loss:   train.py:7\n"
            "           0.0123 with more words\n",
            {"test_loss": 0.0123},
        ),
        ("[10:00:00] INFO   Results:   train.py:7\n3 files were read\n", {}),
        # transformers 5
        (
            "{'eval_loss': '0.6933', 'eval_accuracy': '4.375e-01', 'epoch': '1'}\n",
            {"eval_loss": 0.6933, "eval_accuracy": 0.4375, "epoch": 1},
        ),
        ("name: '3'\npath: '0.5/x', '7'\n", {}),
        # LightGBM: the data sets of one metric are told apart.
        (
            "[1]\tvalid_0's auc: 0.91\tvalid_1's auc: 0.82\n"
            "[2]\tvalid_0's auc: 0.95\tvalid_1's auc: 0.85\n",
            {"valid_0's auc": 0.95, "valid_1's auc": 0.85},
        ),
        ("It's loss: 0.5\n", {"It's loss": 0.5}),
        # Detection: the thresholds are a part of the name.
        ("mAP@0.5:0.95 = 0.451\n", {"mAP@0.5:0.95": 0.451}),
        ("mAP@0.5: 0.61, mAP@.5:.95: 0.45\n", {"mAP@0.5": 0.61, "mAP@.5:.95": 0.45}),
        ("mAP@[0.5:0.95]: 0.451\n", {"mAP@[0.5:0.95]": 0.451}),
        ("x: 0.5:0.95 = 3\nratio: 0.5 = 1/2\n", {"ratio": 0.5}),
        # pycocotools
        (
            " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.377\n"
            " Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.581\n"
            " Average Recall     (AR) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = -1.000\n",
            {
                "Average Precision (AP) @[ IoU=0.50:0.95 | area=all | maxDets=100 ]": 0.377,
                "Average Precision (AP) @[ IoU=0.50 | area=all | maxDets=100 ]": 0.581,
                "Average Recall (AR) @[ IoU=0.50:0.95 | area=small | maxDets=100 ]": -1,
            },
        ),
        # lm-evaluation-harness: a row is a metric, and belongs to the task above it.
        (
            "|  Tasks  |Version|Filter|n-shot| Metric |   |Value |   |Stderr|\n"
            "|---------|------:|------|-----:|--------|---|-----:|---|-----:|\n"
            "|hellaswag|      1|none  |     0|acc     |↑  |0.5012|±  |0.0050|\n"
            "|         |       |none  |     0|acc_norm|↑  |0.6812|±  |0.0047|\n"
            "|arc      |      1|none  |     0|acc     |↑  |0.3012|±  |   N/A|\n",
            {
                "hellaswag none acc": 0.5012,
                "hellaswag none acc Stderr": 0.005,
                "hellaswag none acc_norm": 0.6812,
                "hellaswag none acc_norm Stderr": 0.0047,
                "arc none acc": 0.3012,
            },
        ),
        ("| Metric | Value |\n|---|---|\n| auc | 0.9 |\n| f1 | 0.8 |\n", {"auc": 0.9, "f1": 0.8}),
    ],
)  # fmt: skip
def test_lines_of_real_programs(text: str, found: dict[str, float]) -> None:
    assert _values(text) == found


def test_numbers_that_are_printed_as_text_have_their_steps() -> None:
    found = _read("{'loss': '0.7', 'epoch': '0.25'}\n{'loss': '0.6', 'epoch': '0.5'}\n")
    series = found["loss"].series
    assert series is not None
    assert list(points(series)) == [(0.25, 0.7), (0.5, 0.6)]


@pytest.mark.parametrize("end", ["0.", "-1.", "1.5e", "1.5e-"])
def test_a_number_in_whose_middle_a_command_was_killed_is_none(end: str) -> None:
    assert _values(f"loss: 0.5\nloss: {end}") == {"loss": 0.5}
    assert _values("loss: 0.5\nloss: 0.\n") == {"loss": 0}


def test_a_byte_that_is_no_text_does_not_shorten_a_name() -> None:
    data = "précision: 0.9\n".encode("latin-1") + b"f1: 0.8\n"
    found = importer(CONSOLE).read(data, "stdout").metrics
    assert [(m.name, m.value) for m in found] == [("pr\ufffdcision", 0.9), ("f1", 0.8)]


def test_counts_say_the_share_exactly() -> None:
    text = "\nTest set: Average loss: 0.0284, Accuracy: 9906/10000 (99%)\n\n"
    metrics = _read(text)
    assert metrics["Average loss"].value == 0.0284
    accuracy = metrics["Accuracy"]
    assert (accuracy.value, accuracy.unit, accuracy.text) == (99.06, "%", "9906/10000")
    assert accuracy.source.line == 2
    # Not a share of these counts.
    other = _read("Accuracy: 1/10 (99%)\n")["Accuracy"]
    assert (other.value, other.text) == (99, "99")


def test_a_progress_bar_ends_with_its_last_version() -> None:
    text = (SAMPLES / "consoles/tqdm.txt").read_bytes().decode()
    metrics = _read(text)
    assert {name: m.value for name, m in metrics.items()} == {"loss": 0.2, "acc": 0.5}
    assert metrics["loss"].series is not None
    assert next(points(metrics["loss"].series))[1] == 0.333


def test_a_classification_report() -> None:
    text = (SAMPLES / "consoles/scikit-learn-1.9.1.txt").read_text()
    first, second = text.split("              precision")[1:]
    assert _values("              precision" + first) == {
        "0 precision": 1, "0 recall": 1, "0 f1-score": 1,
        "1 precision": 1, "1 recall": 0.5, "1 f1-score": 0.667,
        "2 precision": 0.667, "2 recall": 1, "2 f1-score": 0.8,
        "accuracy": 0.833,
        "macro avg precision": 0.889, "macro avg recall": 0.833, "macro avg f1-score": 0.822,
        "weighted avg precision": 0.889, "weighted avg recall": 0.833,
        "weighted avg f1-score": 0.822,
    }  # fmt: skip
    assert _values("              precision" + second)["dog cow recall"] == 0
    both = _read(text)
    assert both["accuracy"].series is not None
    assert (both["accuracy"].value, both["accuracy"].source.line) == (0.67, 15)


def test_tables_of_rich_and_tabulate() -> None:
    metrics = _read((SAMPLES / "consoles/tables.txt").read_text())
    assert metrics["rich/acc"].value == 0.9731
    assert (metrics["rich/err"].value, metrics["rich/err"].unit) == (2.69, "%")
    assert metrics["val acc"].series is not None
    assert list(points(metrics["val acc"].series)) == [(1, 0.7), (2, 0.8)]
    for form in ("grid", "github", "pretty", "psql", "fancy_grid", "rounded_outline"):
        assert metrics[f"big {form} acc"].value == 0.91
        assert metrics[f"small {form} f1"].value == 0.25


def test_a_console_that_wraps_loses_and_cuts_no_value() -> None:
    metrics = _read((SAMPLES / "consoles/tables.txt").read_text())
    assert metrics["x" * 70 + " folded"].value == 0.8765432100001
    assert metrics["y" * 73].value == 0.87654321
    assert metrics["rich_dict_with_a_long_name_two"].value == 0.987654321


@pytest.mark.parametrize("width", [79, 80, 120])
def test_a_number_cut_at_the_width_of_the_terminal_is_whole(width: int) -> None:
    text = "step 7 " + "." * 200 + " accuracy: 0.87654321, loss: 0.5"
    for shift in range(30):
        line = "x" * shift + text
        pieces = [line[i : i + width] for i in range(0, len(line), width)]
        values = _values("\n".join(pieces) + "\n")
        assert (values["accuracy"], values["loss"]) == (0.87654321, 0.5)


def test_a_log_whose_lines_are_all_as_wide_as_a_terminal_is_not_joined() -> None:
    lines = [f"epoch {n}".ljust(69, ".") + f" acc: 0.{n:03}" for n in range(3)]
    assert {len(line) for line in lines} == {80}
    assert _values("\n".join(lines)) == {"acc": 0.002}
    dated = [f"2026-01-02 03:04:0{n} ".ljust(70, ".") + " acc: 0.50" + str(n) for n in range(3)]
    assert _values("\n".join(line[:80] for line in dated))["acc"] == 0.5


@pytest.mark.parametrize(
    "path", ["{project}/outputs/2026-01-02/03-04-05/train.log", "slurm-1.out", "a/log.txt"]
)
def test_log_files_count(path: str) -> None:
    assert importer(CONSOLE).handles(path)
    metric = _read("[2026-01-02 03:04:05,678][__main__][INFO] - loss: 0.5\n", path)["loss"]
    assert (metric.value, metric.source.path, metric.source.line) == (0.5, path, 1)


@pytest.mark.parametrize("path", ["notes.txt", "catalog.txt", "stdout", "a.login", "out/model"])
def test_other_files_are_no_logs(path: str) -> None:
    assert not importer(CONSOLE).handles(path)


@pytest.mark.parametrize(
    "unit",
    ["|", "| a ", "|1", "│ a │ 1 │\n", "a:\n", "a" * 80 + "\n", "+-", "a  1.0 1.0\n",
     "precision recall f1-score support\n"],
)  # fmt: skip
def test_a_hostile_layout_takes_linear_time(unit: str) -> None:
    importer(CONSOLE).read((unit * 1_000_000)[:1_000_000].encode(), "stdout")
