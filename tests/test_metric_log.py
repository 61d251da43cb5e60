# SPDX-License-Identifier: Apache-2.0
"""`repropack.log_metric`: what training code calls, and the protocol for code that cannot."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from repropack.importers import LOGGED, Reading, importer
from repropack.importers.series import points
from repropack.metric_log import VARIABLE, log_metric
from repropack.model import Metric
from tests.project import Project

ROOT = Path(__file__).parent.parent


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "metrics.log"
    path.touch()
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def _reading(log: Path) -> Reading:
    return importer(LOGGED).read(log.read_bytes(), LOGGED)


def _metrics(log: Path) -> dict[str, Metric]:
    return {metric.name: metric for metric in _reading(log).metrics}


class _Float32:
    dtype = "torch.float32"

    def __float__(self) -> float:
        return 0.8999999761581421


def test_a_number_comes_back_with_all_its_digits(log: Path) -> None:
    for step, value in enumerate((0.1 + 0.2, 1 / 3)):
        log_metric("val/loss", value, step=step * 10)
    log_metric("acc", _Float32())
    log_metric('naïve "name"\n', 1)
    log_metric("bad", float("nan"))
    metrics = _metrics(log)
    series = metrics["val/loss"].series
    assert series is not None
    assert list(points(series)) == [(0, 0.1 + 0.2), (10, 1 / 3)]
    assert (metrics["acc"].value, metrics["acc"].precision) == (0.8999999761581421, "float32")
    assert metrics['naïve "name"\n'].value == 1
    assert (metrics["bad"].value, metrics["bad"].text) == (None, "NaN")
    assert metrics["acc"].source.line == 3


def test_without_a_recorder_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    log_metric("acc", "no number at all")


@pytest.mark.parametrize("place", ["missing/metrics.log", "metrics.log/below", "."])
def test_a_log_that_cannot_be_written_ends_no_training(
    log: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setenv(VARIABLE, str(log.parent / place))
    log_metric("acc", 0.5)


def test_what_is_no_number_is_said(log: Path) -> None:
    log_metric("acc", "high")
    log_metric("acc", 0.5)
    reading = _reading(log)
    assert [m.value for m in reading.metrics] == [0.5]
    assert reading.remarks == ("acc was given as str, no number",)


def test_a_program_that_closes_all_files_writes_into_none_of_its_own(log: Path) -> None:
    log_metric("acc", 0.25)
    mine = log.with_name("mine.txt")
    from repropack import metric_log

    os.close(metric_log._Log.descriptor)
    descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT)
    os.dup2(descriptor, metric_log._Log.descriptor)
    log_metric("acc", 0.5)
    assert mine.read_bytes() == b""
    assert _metrics(log)["acc"].value == 0.5
    os.close(descriptor)


def test_a_step_that_is_no_number_costs_no_value(log: Path) -> None:
    log_metric("acc", 0.25, step="one")  # type: ignore[arg-type]
    log_metric("acc", 0.5, step="two")  # type: ignore[arg-type]
    log_metric("loss", 0.5, step=float("nan"))
    reading = _reading(log)
    series = {m.name: m.series for m in reading.metrics}["acc"]
    assert series is not None
    assert list(points(series)) == [(0.0, 0.25), (1.0, 0.5)]
    assert reading.remarks == (
        "the step of acc was given as str, no number; its values are counted",
    )


def test_what_is_refused_is_said_for_what_it_is(log: Path) -> None:
    log_metric("huge", 10**400)
    log_metric("", 1)
    log_metric("x" * 301, 1)
    for number in range(12):
        log_metric(f"m{number}", None)
    huge, *_, more, misnamed = _reading(log).remarks
    assert huge == "huge was given as int, too large for a float64"
    assert more == "3 more were given as no number"
    assert misnamed == "lines left out, whose name has not 1 to 300 characters: 2"


def test_a_damaged_line_costs_no_other(log: Path) -> None:
    for value in (1, 2, 3):
        log_metric("acc", value)
    lines = log.read_bytes().split(b"\n")
    lines[1] = lines[1].replace(b'"value":2', b'"value":9')
    log.write_bytes(b"\n".join(lines)[:-5])
    reading = _reading(log)
    assert [m.value for m in reading.metrics] == [1]
    assert reading.remarks == ("lines left out, damaged or too many: 2",)


def test_a_link_in_the_place_of_the_log_is_not_followed(log: Path) -> None:
    log.unlink()
    victim = log.with_name("victim")
    victim.touch()
    log.symlink_to(victim)
    log_metric("acc", 1)
    assert victim.read_bytes() == b""


@pytest.mark.parametrize(
    ("ranks", "found"),
    [
        (("0", "1", "1"), {"loss": 0, "loss [rank 1]": 2}),
        (("", "", ""), {"loss": 0, "loss [process 2]": 1, "loss [process 3]": 2}),
    ],
)
def test_ranks_and_processes_are_not_folded_into_one(
    log: Path, ranks: tuple[str, ...], found: dict[str, float]
) -> None:
    script = "import sys, repropack; repropack.log_metric('loss', int(sys.argv[1]))"
    for value, rank in enumerate(ranks):
        subprocess.run(
            [sys.executable, "-c", script, str(value)],
            env={**os.environ, "RANK": rank},
            cwd=ROOT,
            check=True,
        )
    assert {name: metric.value for name, metric in _metrics(log).items()} == found


def test_forked_children_and_a_kill_lose_nothing(log: Path) -> None:
    script = (
        "import os, repropack\n"
        "repropack.log_metric('start', 1)\n"
        "for child in range(4):\n"
        "    if os.fork() == 0:\n"
        "        for n in range(500): repropack.log_metric('child', n, step=n)\n"
        "        os.kill(os.getpid(), 9)\n"
        "for child in range(4): os.wait()\n"
        "repropack.log_metric('end', 1)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    reading = _reading(log)
    assert reading.remarks == ()
    lengths = [
        len(m.series.values)
        for m in reading.metrics
        if m.name.startswith("child") and m.series is not None
    ]
    assert lengths == [500] * 4


def test_it_imports_nothing_but_the_standard_library() -> None:
    script = (
        "import sys; before = set(sys.modules); import repropack\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "['repropack']"


def test_the_documented_lines_do_the_same(log: Path) -> None:
    text = (ROOT / "docs" / "concepts.md").read_text()
    code = next(c for c in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "crc32" in c)
    call = "log_metric('acc', 0.1 + 0.2, step=3)\nlog_metric('acc', 0.5)"
    subprocess.run([sys.executable, "-I", "-c", code + call], env={**os.environ}, check=True)
    metric = _metrics(log)["acc"]
    assert metric.series is not None
    assert list(points(metric.series)) == [(3, 0.1 + 0.2), (1, 0.5)]


def test_a_run_records_what_its_processes_log(project: Project) -> None:
    script = (
        "import repropack, subprocess, sys\n"
        "for step in range(3): repropack.log_metric('loss', 1 / (step + 3), step=step)\n"
        "if len(sys.argv) == 1: subprocess.run([sys.executable, sys.argv[0], 'child'])\n"
    )
    project.write("train.py", script)
    done = project.repropack(
        "run", "--", sys.executable, "train.py", variables={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    metrics = {m["name"]: m for m in project.show()["metrics"]}
    assert metrics["loss"]["value"] == 1 / 5
    assert metrics["loss"]["series"]["values"] == [1 / 3, 1 / 4, 1 / 5]
    assert metrics["loss [process 2]"]["value"] == 1 / 5
    assert not [m for m in project.segment().get("materials", ()) if "metrics.log" in m["path"]]
    assert not [p for p in project.segment().get("products", ()) if "metrics.log" in p["path"]]
    outputs = [g for g in project.segment().get("gaps", ()) if g["code"] == "outputs"]
    assert outputs == []
