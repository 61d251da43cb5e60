# SPDX-License-Identifier: Apache-2.0
"""Several seeds become an interval, a random evaluation is measured: as a user does it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.project import Project

TRAIN = """\
import argparse, json, pathlib, random
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int)
options = parser.parse_args()
random.seed(options.seed)
accuracy = 0.9 + random.gauss(0, 0.01)
pathlib.Path("metrics.json").write_text(json.dumps({"accuracy": accuracy}))
"""

RANDOM_EVAL = """\
import json, pathlib, random
pathlib.Path("out").mkdir(exist_ok=True)
accuracy = 0.9 + random.SystemRandom().uniform(-0.01, 0.01)
pathlib.Path("out/metrics.json").write_text(json.dumps({"accuracy": accuracy}))
"""


@pytest.fixture
def release(tmp_path: Path) -> str:
    return str(tmp_path / "release.rpk")


def test_recorded_seeds_become_the_interval_of_a_claim(project: Project, release: str) -> None:
    project.write("train.py", TRAIN)
    project.ok("key", "new")
    for seed in range(5):
        project.ok("run", "--", "python", "train.py", "--seed", str(seed))
    text = project.ok("export", "-o", release, "--yes")
    assert "95 % prediction interval of 5 recorded runs (retrain, new seed)" in text
    again = ["--retrain", "--new-seed", "--seed", "5", "--seed", "6"]
    done = project.repropack("verify", release, *again, "--json")
    report = json.loads(done.stdout)
    assert report["verdict"] == "REPRODUCED", report["reason"]
    (claim,) = report["claims"]
    assert len(set(claim["runs"])) == 2
    assert (report["seeds"], report["repetitions"]) == (["5", "6"], 2)
    assert claim["claim"]["tolerance"]["kind"] == "interval"
    assert "would be missed more than 20 % of the time" in claim["sentence"]


def test_a_random_evaluation_is_measured_before_it_is_signed(
    project: Project, release: str
) -> None:
    project.write("eval.py", RANDOM_EVAL)
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    project.ok("run", "--", "python", "eval.py", "out/model.bin")
    project.ok("export", "-o", release, "--yes")
    # A default tolerance that does not hold twice decides nothing.
    doubt = project.repropack("verify", release, "--json")
    assert doubt.returncode == 3
    assert "another number each time" in json.loads(doubt.stdout)["reason"]
    measured = project.ok("calibrate", release, "--runs", "3")
    assert measured.splitlines()[0].startswith("noisy ")
    assert "next: repropack export --calibrate" in measured
    refused = project.repropack("export", "-o", release, "--yes", "--calibrate", "1")
    assert refused.returncode == 2
    assert "noisy" in refused.stderr
    text = project.ok("export", "-o", release, "--yes", "--calibrate", "6")
    assert "95 % prediction interval of 6 recorded runs (evaluate)" in text
    (claim,) = json.loads(project.repropack("verify", release, "--json").stdout)["claims"]
    assert claim["claim"]["basis"] == "repeats"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--new-seed"], "--retrain --new-seed"),
        (["--no-run", "--runs", "2"], "--no-run"),
        (["--runs", "0"], "--runs"),
        (["--retrain", "--seed", "9"], "--new-seed"),
        (["--retrain", "--new-seed", "--seed", "9", "--seed", "9"], "twice"),
        (["--retrain", "--new-seed", "--seed", "9", "--runs", "2"], "--runs 2 and 1 seed"),
        (["--retrain", "--new-seed", "--seed", "-1"], "--seed"),
    ],
)
def test_wrong_usage(project: Project, release: str, arguments: list[str], match: str) -> None:
    Path(release).write_bytes(b"x")
    done = project.repropack("verify", release, *arguments)
    assert done.returncode == 2
    assert match in done.stderr
