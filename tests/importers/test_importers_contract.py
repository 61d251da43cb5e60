# SPDX-License-Identifier: Apache-2.0
"""Every importer, and what each reads."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack import canonical
from repropack.importers import (
    CONSOLE,
    LOGGED,
    NOTEBOOK,
    TABLE,
    NotMetricsError,
    Reading,
    UnreadableMetricsError,
    importer,
)
from repropack.importers.series import MAX_POINTS, Sample, points, series, shortened
from repropack.model import Metric, MetricSet, Series
from tests.importers.samples import SAMPLES

MLFLOW = "mlruns/0/5e2ec78da4d243e090eb175401ac5e05/metrics/val/acc"
NAMES = {
    "tensorboard": "tb/events.out.tfevents.1700000000.host.1.0",
    "trainer_state": "out/trainer_state.json",
    "dvclive": "dvclive/plots/metrics/train/loss.tsv",
    "mlflow": MLFLOW,
    "sacred": "sacred/1/metrics.json",
    "json": "m.json",
    "table": "m.csv",
    NOTEBOOK: "out/run.ipynb",
    CONSOLE: "stdout",
    LOGGED: "log_metric",
}
EXAMPLES = {
    "tensorboard": next((SAMPLES / "tensorboard-2.21.0").iterdir()).read_bytes(),
    "trainer_state": (SAMPLES / "transformers-5.24.0/trainer_state.json").read_bytes(),
    "dvclive": b"step\tloss\n0\t0.5\n1\tnan\n",
    "mlflow": b"1795619372671 0.5 0\n1795619372675 nan 1\n",
    "sacred": b'{"acc": {"steps": [0, 10], "timestamps": [], "values": [0.5, NaN]}}',
    LOGGED: b'779d83f6 {"name":"acc","value":0.5}\n',
    "json": b'{"acc": 0.5, "loss": [3, 2, NaN], "n": {"f1": 1e400}}',
    "table": b"step,acc,loss\n1,0.5,\n2,0.75,nan\n",
    NOTEBOOK: b'{"cells": [{"outputs": [{"output_type": "stream", "text": ["acc: 0.5", "\\n"]}]}, '
    b'{"outputs": [{"data": {"text/plain": "loss=nan"}}]}]}',
    CONSOLE: b"epoch 1 acc: 0.5\nloss=nan\n",
}
PIECES = st.sampled_from(
    [b"acc", b"a.b", b" ", b"\t", b":", b"=", b"1", b".", b"5", b"e", b"-", b"%", b"nan", b"\r",
     b"\n", b"\x1b[", b"\x1b]", b"m", b"{", b"}", b"[", b"]", b'"', b",", b"\xff", b"\xc3\xa9",
     b"|", b"\xe2\x94\x82", b"step", b"log_history", b"steps", b"values"]
)  # fmt: skip
DATA = st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=60).map(b"".join))


def _read(name: str, data: bytes) -> dict[str, Metric]:
    return {m.name: m for m in importer(name).read(data, NAMES[name]).metrics}


def _steps(metric: Metric) -> list[float | None]:
    assert metric.series is not None
    return [step for step, _ in points(metric.series)]


@pytest.mark.parametrize("name", TABLE)
def test_metrics_say_where_they_come_from_and_can_be_recorded(name: str) -> None:
    metrics = importer(name).read(EXAMPLES[name], NAMES[name]).metrics
    assert metrics
    for metric in metrics:
        assert (metric.source.importer, metric.source.path) == (name, NAMES[name])
        assert metric.text
        assert metric.value is None or math.isfinite(metric.value)
    canonical.encode(MetricSet(version=1, metrics=metrics))


@pytest.mark.parametrize("name", TABLE)
@given(data=DATA)
def test_any_bytes_give_metrics_or_are_refused(name: str, data: bytes) -> None:
    try:
        reading = importer(name).read(data, NAMES[name])
    except (NotMetricsError, UnreadableMetricsError):
        return
    assert reading == importer(name).read(data, NAMES[name])
    canonical.encode(MetricSet(version=1, metrics=reading.metrics))


@pytest.mark.parametrize("name", TABLE)
@given(data=st.data())
def test_a_damaged_file_gives_metrics_or_is_refused(name: str, data: st.DataObject) -> None:
    whole = bytearray(EXAMPLES[name])
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        reading = importer(name).read(damaged, NAMES[name])
    except (NotMetricsError, UnreadableMetricsError):
        return
    canonical.encode(MetricSet(version=1, metrics=reading.metrics))


@pytest.mark.parametrize(
    ("line", "name", "value", "unit"),
    [
        ("accuracy: 0.97", "accuracy", 0.97, ""),
        ("loss=0.31", "loss", 0.31, ""),
        ("test_acc = 97.2%", "test_acc", 97.2, "%"),
        ("test_acc = 97.2 %", "test_acc", 97.2, "%"),
        ("Epoch 3 | val/loss: 1e-3, lr=0.1", "val/loss", 1e-3, ""),
        ("[INFO] Top-1 acc: .5", "Top-1 acc", 0.5, ""),
        ("\x1b[32macc\x1b[0m: 5.", "acc", 5.0, ""),
        ("RMSE 12.3", "RMSE", 12.3, ""),
        ("the score is: -1.5e+3.", "score", -1500.0, ""),
        ("'eval_loss': 0.4", "eval_loss", 0.4, ""),
        ("{'eval_loss': 0.4, 'eval_accuracy': 0.88, 'epoch': 1.0}", "eval_accuracy", 0.88, ""),
        ('{"step":7,"val/acc":0.9,"done":true}', "val/acc", 0.9, ""),
        ('{"test": {"f1": 0.5}}', "f1", 0.5, ""),
        ("acc: np.float64(0.9)", "acc", 0.9, ""),
        ("{'acc': np.float32(0.9), 'loss': np.float64(-1e-3)}", "loss", -1e-3, ""),
        ("acc=tensor(0.95)", "acc", 0.95, ""),
        ("acc: tensor(0.95, device='cuda:0'), loss: 2", "acc", 0.95, ""),
        ("acc: Array(0.95, dtype=float32)", "acc", 0.95, ""),
        ("loss: tensor(2., grad_fn=<NllLossBackward0>)", "loss", 2.0, ""),
        ("Test: Average loss: 0.02, Accuracy: 9910/10000 (99%)", "Accuracy", 99.1, "%"),
        ("Test: Average loss: 0.02, Accuracy: 9910/10000 (99%)", "Average loss", 0.02, ""),
        (" * Acc@1 76.130 Acc@5 92.862", "Acc@1", 76.13, ""),
        (" * Acc@1 76.130 Acc@5 92.862", "Acc@5", 92.862, ""),
        ("Acc@1 76.130", "Acc@1", 76.13, ""),
        ("mAP@0.5: 0.31", "mAP@0.5", 0.31, ""),
        ("2026-01-02 03:04:05,678 INFO test loss: 0.5", "test loss", 0.5, ""),
        ("INFO:root:accuracy: 0.97", "accuracy", 0.97, ""),
        ("WARNING root accuracy: 0.97", "accuracy", 0.97, ""),
        ("03:04:05 PM DEBUG loss: 0.5", "loss", 0.5, ""),
        ("error rate: 0.1", "error rate", 0.1, ""),
        ("finished with the accuracy: 0.9", "accuracy", 0.9, ""),
        ("finished with a test accuracy of: 0.9", "test accuracy", 0.9, ""),
        ("loss: 0.5, 2 to go", "loss", 0.5, ""),
        ("10%|# | loss: 3\r20%|## | loss: 2", "loss", 2.0, ""),
        ("acc: 97% | loss: 3.5", "acc", 97.0, "%"),
        ("| acc: 97% |", "acc", 97.0, "%"),
        ("Précision: 0.88", "Précision", 0.88, ""),
        ("准确率：0.77", "准确率", 0.77, ""),
        ("val_точность = 0.5", "val_точность", 0.5, ""),
    ],
)
def test_what_a_console_says(line: str, name: str, value: float, unit: str) -> None:
    metric = _read(CONSOLE, f"{line}\n".encode())[name]
    assert (metric.value, metric.unit) == (value, unit)


@pytest.mark.parametrize(
    "line",
    ["resumed at 3", "at 12:30:45", "version: 1.2.3", "shape: 3x4", "sha: 12ab", "path: 1/2",
     "a: " + "1" * 100, "x" * 200 + ": 1", "perplexity: 1,234.5", "accuracy: 0,97",
     "params: 1,234,567", "Executing: 100%|####| 3/3",
     "Loading: 45% \u2501\u2501", "perplexity 1,234.5", "Acc@1 76,130", "acc: 1,5%",
     "acc: tensor(1,5)",
     "acc: tensor([0.5, 0.7])", "acc: tensor(0.5", "INFO: 3 files", "is: 5", "acc: 0.5\0"],
)  # fmt: skip
def test_what_is_no_metric(line: str) -> None:
    assert _read(CONSOLE, line.encode()) == {}


def test_bytes_that_are_no_text_cost_their_line_and_are_said() -> None:
    reading = importer(CONSOLE).read(b"acc: 0.1\nacc: 0.9 \0\xff\nloss: 0.5\n", "stdout")
    found = {metric.name: (metric.value, metric.source.line) for metric in reading.metrics}
    assert found == {"acc": (0.1, 1), "loss": (0.5, 3)}
    assert reading.remarks == ("lines with bytes that are no text were not read: 1",)


@pytest.mark.parametrize(
    "unit",
    ["a", "a ", "a.", "a-", "1", "a:1e", " ", "\t", "a: ", "a:", "\x1b[", "\x1b]", ".", "a b c d:",
     "a.a ", "a: tensor(1", "a: tensor(1, ", "a: 1/2 (", "a@1", "a@1 ", "a@1 1.5 ", "'a'", "'a': ",
     "a:1,", "the "],
)  # fmt: skip
def test_a_hostile_line_takes_linear_time(unit: str) -> None:
    # A quadratic pattern would need hours for this, and meet the time limit of the test.
    importer(CONSOLE).read((unit * 1_000_000)[:1_000_000].encode(), "stdout")
    importer(CONSOLE).read(("a: " + unit * 1_000_000)[:1_000_000].encode() + b"x", "stdout")


def test_json_of_other_programs() -> None:
    metrics = _read("json", b'[{"step": 5, "loss": 2}, {"step": 9, "loss": 1, "f1": 0.5}]')
    assert _steps(metrics["loss"]) == [5, 9]
    assert metrics["f1"].source.key == "/f1"
    nested = _read("json", b'{"a/b": {"c~d": 1}}')["a/b.c~d"]
    assert nested.source.key == "/a~1b/c~0d"
    assert _read("json", b'{"x": NaN}')["x"].text == "NaN"
    for bad in (b"", b"{", b'{"a": 1, "a": 2}', b"[" * 1000, b"\xff"):
        with pytest.raises(UnreadableMetricsError, match="not JSON"):
            _read("json", bad)


def test_tables_of_other_programs() -> None:
    table = b"\xef\xbb\xbfepoch;loss;note\r\n1;0.5;a\r\n2;;b\r\n"
    loss = _read("table", table)["loss"]
    assert (loss.value, loss.source.line) == (0.5, 2)
    assert "note" not in _read("table", table)
    for bad in (b"", b"1,2\n3,4\n", b"\xff", b'a,"b\n1' + b"x" * 200_000):
        with pytest.raises(NotMetricsError):
            _read("table", bad)


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ("id,score\n1,0.5\n2,0.6\n", {}),
        ("age,income\n20,1\n30,2\n40,3\n50,4\n", {}),
        (",precision,recall\ncat,0.5,0.6\ndog,0.7,0.8\n", {}),
        ("model,acc,f1\nbig,0.5,0.6\n\n", {"acc": 0.5, "f1": 0.6}),
        ("Epoch,loss\n1,0.5\n2,0.6\n", {"loss": 0.6}),
        ("Wall time,Step,Value\n9,1,0.5\n9,2,0.6\n", {"Wall time": 9, "Value": 0.6}),
        ("iteration\tloss\n1\t0.5\n2\t0.6\n", {"loss": 0.6}),
        ("metric,value\nacc,0.5\nnote,good\nf1,0.6\n", {"acc": 0.5, "f1": 0.6}),
        ("Metric,Value\nacc,0.5\n", {"acc": 0.5}),
        ("name,value\nann,1\nann,2\n", {}),
        ("word,value\nann,1\nbob,2\n", {}),
        ("acc,f1\n", {}),
    ],
)
def test_which_tables_are_logs_or_results(table: str, found: dict[str, float]) -> None:
    metrics = _read("table", table.encode())
    assert {name: m.value for name, m in metrics.items()} == found


@pytest.mark.parametrize(
    ("table", "found", "remark"),
    [
        ("epoch,acc,acc,loss\n1,0.1,0.2,3\n2,0.3,0.4,2\n", {"loss": (2, 3)},
         "more than one column is called acc; none of them was read"),
        ("epoch;acc;loss\n1;0,5;1\n2;0,75;0.5\n", {"loss": (0.5, 3)},
         "acc was not read: 0,5 in line 2 may be a decimal comma or one between thousands"),
        ('epoch,reward\n1,"1,234.5"\n', {},
         "reward was not read: 1,234.5 in line 2 may be a decimal comma or one between thousands"),
        # Killed in the middle of a number, of a row, of an exponent.
        ("epoch,acc\n1,0.5\n2,0.", {"acc": (0.5, 2)}, "line 3 is cut off and was left out"),
        ("epoch,acc,loss\n1,0.5,3\n2,0.7", {"acc": (0.5, 2), "loss": (3, 2)},
         "line 3 is cut off and was left out"),
        ("epoch,acc\n1,0.5\n2,3e-", {"acc": (0.5, 2)}, "line 3 is cut off and was left out"),
        ("epoch,acc\n1,0.5\n2,0.75", {"acc": (0.75, 3)}, ""),
        ("epoch,acc\n1,0.5\nepoch,acc\n1,0.625\n2,0.75\n", {"acc": (0.75, 5)}, ""),
        ("# seed 3\n# lr 0.1\nepoch,acc\n1,0.5\n2,0.75\n", {"acc": (0.75, 5)}, ""),
        ('epoch,note,acc\n1,"a\nb",0.5\n2,"c\nd",0.75\n', {"acc": (0.75, 4)}, ""),
    ],
)  # fmt: skip
def test_what_of_a_table_cannot_be_read_is_said_and_costs_nothing_else(
    table: str, found: dict[str, tuple[float, int]], remark: str
) -> None:
    reading = importer("table").read(table.encode(), "{project}/m.csv")
    assert {m.name: (m.value, m.source.line) for m in reading.metrics} == found
    assert reading.remarks == ((remark,) if remark else ())


def test_the_mark_that_editors_of_windows_put_first_is_no_damage() -> None:
    assert _read("json", b'\xef\xbb\xbf{"acc": 0.5}')["acc"].value == 0.5
    rows = importer("json").read(b'\xef\xbb\xbf{"step":1,"acc":0.5}\n', "{project}/m.jsonl")
    assert [m.value for m in rows.metrics] == [0.5]


def test_a_table_of_names_says_the_line() -> None:
    f1 = _read("table", b"metric,value\nacc,0.5\nf1,0.6\n")["f1"]
    assert (f1.source.key, f1.source.line, f1.series) == ("f1", 3, None)


@pytest.mark.parametrize("path", ["log.jsonl", "out/LOG.ndjson"])
def test_a_json_object_a_line_is_a_series(path: str) -> None:
    reader = importer("json")
    assert reader.handles(path)
    data = b'{"step": 5, "loss": 2}\r\n\n{"step": 9, "loss": NaN, "f1": 0.5, "note": "x"}\n'
    loss, f1 = reader.read(data, path).metrics
    assert _steps(loss) == [5, 9]
    assert (loss.name, loss.value, loss.text, loss.source.key) == ("loss", None, "NaN", "/loss")
    assert (f1.name, f1.value) == ("f1", 0.5)
    assert reader.read(b"", path) == Reading()
    for bad in (b"1\n", b'{"a": 1}{"a": 2}', b'{"a": 1}\n{"a"\n', b"\xff"):
        with pytest.raises(UnreadableMetricsError, match="not JSON"):
            reader.read(bad, path)


@pytest.mark.parametrize("path", ["config.json", "args.json", "tokenizer.json"])
def test_a_settings_file_may_hold_metrics_that_somebody_names(path: str) -> None:
    assert importer("json").handles(path)


def test_a_table_of_a_million_rows_does_not_fill_the_record() -> None:
    data = b"step,score\n" + b"".join(b"%d,0.%d\n" % (i, i) for i in range(100_000))
    score = _read("table", data)["score"]
    assert score.value == 0.99999
    assert score.source.line == 100_001
    assert score.series is not None
    assert len(score.series.values) <= MAX_POINTS
    assert score.series.length == 100_000


SAMPLE = st.tuples(st.none() | st.floats(allow_nan=False, allow_infinity=False), st.floats())


@given(st.lists(SAMPLE, min_size=1, max_size=30), st.integers(min_value=1, max_value=40))
def test_a_series_holds_what_was_written(
    samples: list[tuple[float | None, float]], limit: int
) -> None:
    whole = series(samples)
    assert _same(list(points(whole)), samples)
    # RFC 8785 has no negative zero; nothing else is lost on the way to the disk.
    assert _same(
        list(points(canonical.decode(canonical.encode(whole), Series))),
        [(step, value or 0.0) for step, value in samples],
    )
    short = shortened(whole, limit)
    kept = list(points(short))
    assert _same(kept[-1:], samples[-1:])
    assert len(kept) <= limit
    assert short.length == (0 if len(kept) == len(samples) else len(samples))


def _same(one: list[Sample], other: list[Sample]) -> bool:
    return [step for step, _ in one] == [step for step, _ in other] and [
        repr(value) for _, value in one
    ] == [repr(value) for _, value in other]


def test_a_curve_of_a_million_points_is_kept_compactly() -> None:
    whole = series([(float(step), 1 / (step + 1)) for step in range(1_000_000)])
    assert whole.length == 1_000_000
    assert MAX_POINTS // 2 < len(whole.values) <= MAX_POINTS
    assert not whole.steps
    assert list(points(whole))[-1] == (999_999, 1 / 1_000_000)
    assert len(canonical.encode(whole)) < 2_000_000


def test_a_cut_last_line_is_left_out_and_said() -> None:
    reading = importer("json").read(b'{"step": 1, "acc": 0.5}\n{"step": 2, "acc": 0.', "log.jsonl")
    assert [m.value for m in reading.metrics] == [0.5]
    assert reading.remarks == ("line 2 is cut off and was left out",)


def test_json_lines_in_a_json_file() -> None:
    metrics = _read("json", b'{"epoch": 1, "acc": 0.5}\n{"epoch": 2, "acc": 0.75}\n')
    assert (metrics["acc"].value, _steps(metrics["acc"])) == (0.75, [1, 2])


def test_a_percent_sign_in_a_table_is_the_unit() -> None:
    metrics = _read("table", b"epoch;acc;mixed;comma\n1;97%;5%;0,5\n2;98.5 %;5;0,6\n")
    assert {n: (m.value, m.unit, m.text) for n, m in metrics.items()} == {
        "acc": (98.5, "%", "98.5")
    }


def test_what_the_cells_of_a_notebook_print() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["accuracy: 7"]},
        {
            "cell_type": "code",
            "outputs": [{"output_type": "stream", "text": "epoch 1 loss: 0.5\n"}],
        },
        {
            "cell_type": "code",
            "outputs": [
                {"output_type": "stream", "text": ["loss: 0.25\n", "accu", "racy: 0.9\n"]},
                {"output_type": "display_data", "data": {"image/png": "iVBORw0K"}},
                {"output_type": "error", "traceback": ["accuracy: 8"]},
            ],
        },
    ]
    document = canonical.encode({"cells": cells, "nbformat": 4})
    found = _read(NOTEBOOK, document)
    assert {name: m.value for name, m in found.items()} == {"loss": 0.25, "accuracy": 0.9}
    assert found["loss"].source.line is None
    with pytest.raises(UnreadableMetricsError):
        importer(NOTEBOOK).read(document[:-5], "x.ipynb")
    with pytest.raises(NotMetricsError):
        importer(NOTEBOOK).read(b'{"cells": 3}', "x.ipynb")
