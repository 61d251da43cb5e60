# SPDX-License-Identifier: Apache-2.0
"""The files of experiment trackers, as their own writers wrote them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.importers import importer
from repropack.importers.run_metrics import RunMetrics, read_run_metrics
from repropack.importers.series import points
from repropack.importers.tensorboard import crc32c
from repropack.model import Metric
from tests.importers.samples import SAMPLES

TENSORBOARD = next((SAMPLES / "tensorboard-2.21.0").iterdir())


def _read_all(folder: str) -> RunMetrics:
    files = sorted(p for p in (SAMPLES / folder).rglob("*") if p.is_file())
    paths = {"{project}/" + str(p.relative_to(SAMPLES / folder)): p for p in files}
    return read_run_metrics(
        [(name, place.stat().st_size) for name, place in paths.items()],
        lambda name: paths[name].read_bytes(),
        stdout=Path("/dev/null"),
        stderr=Path("/dev/null"),
    )


def _curve(metric: Metric) -> list[tuple[float | None, float]]:
    return [] if metric.series is None else list(points(metric.series))


def _names(found: RunMetrics) -> dict[str, tuple[float | None, str]]:
    assert found.remarks == ()
    return {m.name: (m.value, m.source.importer) for m in found.metrics}


def test_tensorboard_2_scalars_are_read_and_histograms_are_not() -> None:
    found = _read_all("tensorboard-2.21.0")
    assert found.remarks == ()
    accuracy, first = found.metrics
    assert (accuracy.name, accuracy.precision, first.name) == ("val/acc", "float32", "v1")
    stored = [struct.unpack("<f", struct.pack("<f", 0.5 + 0.1 * s))[0] for s in range(5)]
    assert _curve(accuracy) == list(enumerate(stored))
    assert (first.value, first.text) == (0.8999999761581421, "0.8999999761581421")
    assert _curve(first)[0][0] == -1
    assert accuracy.source.place == "{project}/events.out.tfevents.*"


def test_tensorboardx_is_read_exactly(tmp_path: Path) -> None:
    writer = pytest.importorskip("tensorboardX").SummaryWriter(str(tmp_path))
    values = [1 / (step + 3) for step in range(300)] + [float("nan"), float("inf")]
    for step, value in enumerate(values):
        writer.add_scalar("train/loss", value, step * 10)
        writer.add_scalar("loss", value, step)
    writer.add_text("note", "no number", 0)
    writer.add_histogram("weights", [1.0, 2.0], 0)
    writer.close()
    (file,) = tmp_path.iterdir()
    reading = importer("tensorboard").read(file.read_bytes(), file.name)
    assert reading.remarks == ()
    both = {m.name: m for m in reading.metrics}
    assert set(both) == {"train/loss", "loss"}
    stored = [struct.unpack("<f", struct.pack("<f", value))[0] for value in values]
    assert [str(p) for p in _curve(both["train/loss"])] == [
        str((step * 10.0, value)) for step, value in enumerate(stored)
    ]
    assert (both["loss"].value, both["loss"].text) == (None, "inf")


def test_a_killed_writer_leaves_what_it_had_written() -> None:
    whole = TENSORBOARD.read_bytes()
    all_points = _curve(importer("tensorboard").read(whole, "x.tfevents.1").metrics[0])
    for size in range(len(whole)):
        reading = importer("tensorboard").read(whole[:size], "x.tfevents.1")
        curve = _curve(reading.metrics[0]) if reading.metrics else []
        assert curve == all_points[: len(curve)]
        if not reading.remarks:
            # It ends where a record ends: nobody can see that there was more.
            continue
        (remark,) = reading.remarks
        assert remark.startswith("damaged or cut off at byte ")


@given(st.integers(0, TENSORBOARD.stat().st_size - 1), st.integers(1, 255))
def test_a_changed_byte_never_changes_a_value(at: int, change: int) -> None:
    whole = TENSORBOARD.read_bytes()
    true = dict.fromkeys(
        point
        for metric in importer("tensorboard").read(whole, "x.tfevents.1").metrics
        for point in _curve(metric)
    )
    damaged = whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :]
    reading = importer("tensorboard").read(damaged, "x.tfevents.1")
    assert reading.remarks
    assert {point for metric in reading.metrics for point in _curve(metric)} <= true.keys()


def test_a_record_that_claims_to_be_huge_is_not_believed() -> None:
    header = struct.pack("<Q", 2**63)
    crc = crc32c(header)
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    reading = importer("tensorboard").read(header + struct.pack("<I", masked), "x.tfevents.1")
    assert reading.remarks == ("damaged or cut off at byte 0, so 12 bytes were not read",)


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"\0" * 32, 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_of_rfc_3720(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


def test_hugging_face_trainer() -> None:
    found = _read_all("transformers-5.24.0")
    names = _names(found)
    assert names["eval_accuracy"] == (0.875, "trainer_state")
    assert names["train_loss"] == (0.49, "trainer_state")
    assert names["grad_norm"] == (None, "trainer_state")
    loss = next(m for m in found.metrics if m.name == "loss")
    assert _curve(loss) == [(10, 0.69314718), (20, 0.3)]
    assert loss.source.key == "/log_history/loss"


def test_dvclive_keeps_train_and_val_apart() -> None:
    found = _read_all("dvclive-3.49.1")
    curves = {m.name: _curve(m) for m in found.metrics if m.source.importer == "dvclive"}
    assert curves["train/loss"] == [(0, 1 / 3), (1, 0.25), (2, 0.2)]
    assert [str(value) for _, value in curves["val/loss"]] == ["nan", "0.30000000000000004", "0.5"]
    assert curves.keys() == {"train/loss", "val/loss", "acc"}
    summary = {m.name: m.value for m in found.metrics if m.source.importer == "json"}
    assert summary == {"train.loss": 0.2, "val.loss": 0.5, "acc": 0.9, "step": 2}


def test_sacred() -> None:
    found = _read_all("sacred-0.8.7")
    assert _names(found) == {"train.loss": (0.2, "sacred"), "result": (0.75, "sacred")}
    loss = next(m for m in found.metrics if m.name == "train.loss")
    assert _curve(loss) == [(0, 1 / 3), (10, 0.25), (20, 0.2)]
    assert loss.source.place == "{project}/*/metrics.json"


def test_mlflow() -> None:
    found = _read_all("mlflow-3.17.2")
    assert _names(found) == {"val/acc": (0.2, "mlflow"), "bad": (None, "mlflow")}
    accuracy = next(m for m in found.metrics if m.name == "val/acc")
    assert _curve(accuracy) == [(0, 1 / 3), (1, 0.25), (2, 0.2)]
    assert accuracy.source.place == "{project}/*/*/metrics/val/acc"


def test_lightning_rows_are_sparse() -> None:
    found = _read_all("lightning-2.6.6")
    assert _names(found) == {
        "train_loss": (None, "table"),
        "val_acc": (0.1 + 0.2, "table"),
        "test_acc": (0.8999999761581421, "table"),
    }
    accuracy = next(m for m in found.metrics if m.name == "val_acc")
    assert (accuracy.source.line, accuracy.source.place) == (3, "{project}/version_*/metrics.csv")


def test_a_summary_of_another_program_is_an_ordinary_file() -> None:
    found = read_run_metrics(
        [("{project}/metrics.json", 9), ("{project}/run.json", 9)],
        lambda _: b'{"a": 0.5}',
        stdout=Path("/dev/null"),
        stderr=Path("/dev/null"),
    )
    assert [(m.name, m.source.importer) for m in found.metrics] == [("a", "json"), ("a", "json")]
