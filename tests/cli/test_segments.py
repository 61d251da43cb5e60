# SPDX-License-Identifier: Apache-2.0
"""A training that is resumed: each segment with its own code, in the record, a bundle, a check."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import Project

# The first version has a bug that ends it after two epochs; it is mended, and the job resumed.
TRAIN = """\
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("--resume", action="store_true")
options = parser.parse_args()
out = pathlib.Path("out")
out.mkdir(exist_ok=True)
state = {"epoch": 0, "loss": 64.0}
if options.resume:
    state = json.loads((out / "ckpt.bin").read_text())
while state["epoch"] < 4:
    state = {"epoch": state["epoch"] + 1, "loss": state["loss"] / RATE}
    (out / "ckpt.bin").write_text(json.dumps(state))
    with open(out / "log.txt", "a") as log:
        log.write(f"epoch {state['epoch']} of this training\\n")
    if FAILS and state["epoch"] == 2:
        sys.exit(3)
lines = (out / "log.txt").read_text().splitlines()
(out / "metrics.json").write_text(json.dumps({"final_loss": state["loss"], "lines": len(lines)}))
"""
BROKEN = f"RATE, FAILS = 2.0, True\n{TRAIN}"
MENDED = f"RATE, FAILS = 4.0, False\n{TRAIN}"
# 64 / 2 / 2 by the first code, / 4 / 4 by the second.
FINAL = 1.0


@pytest.fixture
def resumed(project: Project) -> Project:
    """A run of two segments, the second with mended code."""
    project.ok("key", "new")
    project.write("loop.py", BROKEN)
    assert project.repropack("run", "--name", "long", "--", "python", "loop.py").returncode == 3
    project.write("loop.py", MENDED)
    done = project.repropack("run", "--resume", "long", "--", "python", "loop.py", "--resume")
    assert done.returncode == 0, done.stderr
    assert "this is segment 2 of the run" in done.stderr
    return project


def _exported(project: Project, run: str = "last") -> Path:
    bundle = project.root.parent / "resumed.rpk"
    bundle.unlink(missing_ok=True)
    project.ok("export", "--run", run, "-o", str(bundle), "--yes")
    return bundle


def _verify(project: Project, bundle: Path, *options: str) -> subprocess.CompletedProcess[str]:
    place = project.root.parent / "reader"
    place.mkdir(exist_ok=True)
    return project.repropack("verify", str(bundle), "--allow-unknown-signer", *options, cwd=place)


def test_a_resumed_run_has_two_segments_each_with_its_code(resumed: Project) -> None:
    assert len(json.loads(resumed.ok("list", "--json"))) == 1
    record = resumed.show("long")["run"]
    first, second = record["segments"]
    assert first["source"]["tree"] != second["source"]["tree"]
    assert (first["outcome"], second["outcome"]) == ({"status": 3}, {"status": 0})
    (checkpoint,) = (m for m in second["materials"] if m["path"].endswith("ckpt.bin"))
    assert checkpoint["origin"] == {"run": record["id"], "path": "{project}/out/ckpt.bin"}
    assert checkpoint["sha256"] in {p["sha256"] for p in first["products"]}
    assert checkpoint["sha256"] not in {p["sha256"] for p in second["products"]}


def test_a_bundle_has_the_code_and_the_checkpoint_of_each_segment(resumed: Project) -> None:
    bundle = _exported(resumed)
    place = resumed.root.parent / "opened"
    resumed.ok("extract", str(bundle), str(place))
    packed = json.loads((place / "runs/1/run.json").read_text())
    assert len({code["tree"] for code in packed["code"]}) == 2
    read = {m["sha256"] for m in packed["record"]["segments"][1]["materials"] if "origin" in m}
    assert read <= {artifact["sha256"] for artifact in packed["artifacts"]}
    text = (place / "REPRODUCING.md").read_text()
    assert "# Segment 2 of 2" in text


def test_a_retraining_repeats_the_segments_each_with_its_code(resumed: Project) -> None:
    bundle = _exported(resumed)
    done = _verify(resumed, bundle, "--retrain", "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    # With either code alone it would be another number; the log goes on where it had ended.
    assert {c["claim"]["metric"]: c["fresh"] for c in report["claims"]} == {
        "final_loss": FINAL,
        "lines": 4.0,
    }
    assert len(report["runs"]) == 2


def test_an_evaluation_repeats_the_last_segment_on_the_packed_checkpoint(resumed: Project) -> None:
    report = json.loads(_verify(resumed, _exported(resumed), "--json").stdout)
    fresh = {c["claim"]["metric"]: c["fresh"] for c in report["claims"]}
    assert fresh["final_loss"] == FINAL
    assert len(report["runs"]) == 1


def test_by_hand_the_segments_give_the_number_too(resumed: Project) -> None:
    place = resumed.root.parent / "by hand"
    resumed.ok("extract", str(_exported(resumed)), str(place))
    text = (place / "REPRODUCING.md").read_text().partition("## 3. Runs")[2]
    blocks = re.findall(r"(?ms)^(`{3,})[^\n]*\n(.*?)^\1$", text)
    # The interpreter of the tests stands for the rebuilt one.
    script = blocks[0][1].replace("ENV=$PWD/env\n", f"ENV={sys.prefix}\n")
    subprocess.run(["sh", "-c", script], cwd=place, check=True, env=resumed.environment)
    metrics = json.loads((place / "work-run-1/out/metrics.json").read_text())
    assert metrics == {"final_loss": FINAL, "lines": 4}


def test_a_training_that_was_stopped_from_outside_is_not_retrained(project: Project) -> None:
    project.ok("key", "new")
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    project.write(
        "loop.py",
        MENDED.replace("    if FAILS", f"    if not options.resume: {stop}\n    if FAILS"),
    )
    assert project.repropack("run", "--", "python", "loop.py").returncode != 0
    project.ok("run", "--resume", "last", "--", "python", "loop.py", "--resume")
    bundle = _exported(project)
    done = _verify(project, bundle, "--retrain")
    assert done.returncode == 3
    assert "was stopped by SIGTERM and resumed" in done.stdout
    report = json.loads(_verify(project, bundle, "--json").stdout)
    assert {c["claim"]["metric"]: c["fresh"] for c in report["claims"]}["final_loss"] == 0.25


def test_a_later_run_is_linked_to_the_segment_whose_file_it_read(resumed: Project) -> None:
    record = resumed.show("long")["run"]
    project = resumed
    project.ok(
        "run",
        "--name",
        "eval",
        "--",
        "python",
        "-c",
        "import json; s = json.load(open('out/ckpt.bin')); print('final loss:', s['loss'])",
    )
    (checkpoint,) = project.segment()["materials"]
    assert checkpoint["origin"]["run"] == record["id"]
    done = _verify(project, _exported(project, "eval"), "--retrain", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["claims"][0]["fresh"] == FINAL


def test_what_cannot_be_resumed_is_said_before_anything_starts(project: Project) -> None:
    command = ("--", "python", "-c", "open('started', 'w')")
    assert project.repropack("run", "--resume", "nothing", *command).returncode == 2
    project.ok("run", "--name", "one", "--", "true")
    done = project.repropack("run", "--name", "two", "--resume", "one", *command)
    assert done.returncode == 2
    assert "a resumed run keeps its name" in done.stderr
    assert not (project.root / "started").exists()


def test_a_resume_whose_recorder_was_killed_loses_no_earlier_segment(project: Project) -> None:
    project.ok("run", "--name", "one", "--", "python", "train.py")
    kill = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    project.repropack("run", "--resume", "one", "--", "python", "-c", kill)
    assert len(project.show("one")["run"]["segments"]) == 1
    assert "has no end" in project.ok("show", "one")
    project.ok("run", "--resume", "one", "--", "python", "train.py", "--seed", "1")
    assert len(project.show("one")["run"]["segments"]) == 2
    assert "has no end" not in project.ok("show", "one")


def test_a_command_that_does_not_exist_adds_no_segment(project: Project) -> None:
    project.ok("run", "--name", "one", "--", "python", "train.py")
    assert project.repropack("run", "--resume", "one", "--", "no-such-command").returncode == 127
    assert len(project.show("one")["run"]["segments"]) == 1
    assert "has no end" not in project.ok("show", "one")


def test_outputs_in_folders_named_by_time_are_found_by_the_next_run(project: Project) -> None:
    # As Hydra names them; each second another.
    project.write(
        "dated.py",
        "import os, random, time\n"
        "place = time.strftime('outputs/%Y-%m-%d/%H-%M-%S')\n"
        "os.makedirs(place)\n"
        "open(f'{place}/model.bin', 'w').write('0.5')\n",
    )
    project.write("use.py", "import sys\nprint('accuracy:', float(open(sys.argv[1]).read()))\n")
    project.write(".gitignore", "outputs/\n")
    project.ok("key", "new")
    project.ok("run", "--", "python", "dated.py")
    (model,) = (project.root / "outputs").glob("*/*/model.bin")
    project.ok("run", "--", "python", "use.py", str(model.relative_to(project.root)))
    project.write("repropack.yaml", "claims:\n  - metric: accuracy\n    retrain: {exact: true}\n")
    done = _verify(project, _exported(project), "--retrain")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1].startswith("REPRODUCED")


# Has a log that each start begins anew, and one that goes on.
PRINTING = """\
import json, pathlib, sys
state = {"step": 0, "loss": 64.0}
if "--resume" in sys.argv:
    state = json.loads(pathlib.Path("ckpt.bin").read_text())
whole = open("whole.jsonl", "a")
log = open("log.csv", "w")
log.write("step,train_loss\\n")
while state["step"] < 6:
    if state["step"] == 4 and "--resume" not in sys.argv:
        sys.exit(3)
    state = {"step": state["step"] + 1, "loss": state["loss"] / 2}
    print(f"loss: {state['loss']}")
    print(f"Step {state['step']}/6 | said: {state['loss']}")
    log.write(f"{state['step']},{state['loss']}\\n")
    print(json.dumps({"step": state["step"], "appended": state["loss"]}), file=whole)
    # The third step is repeated: the checkpoint is older than the end.
    if state["step"] % 2 == 0 and state["step"] != 4:
        pathlib.Path("ckpt.bin").write_text(json.dumps(state))
"""


def test_a_curve_goes_over_all_segments(project: Project) -> None:
    project.ok("key", "new")
    project.write("loop.py", PRINTING)
    assert project.repropack("run", "--name", "long", "--", "python", "loop.py").returncode == 3
    project.ok("run", "--resume", "long", "--", "python", "loop.py", "--resume")
    curves = {m["name"]: m for m in project.show("long")["metrics"]}
    joined = curves["train_loss"]
    assert joined["series"]["values"] == [32.0, 16.0, 8.0, 4.0, 2.0, 1.0]
    assert joined["series"]["first"] == 1
    assert joined["value"] == 1.0
    # What was appended to has all, in the order in which it was written.
    assert curves["appended"]["series"]["values"] == [32, 16, 8, 4, 8, 4, 2, 1]
    # Without a step nobody knows where these values belong.
    assert curves["loss"]["series"]["values"] == [8, 4, 2, 1]
    (said,) = (g["message"] for g in project.segment("long")["gaps"] if g["code"] == "metrics")
    assert "loss (stdout); print the step" in said
    # A printed step says it.
    assert curves["said"]["series"]["values"] == [32.0, 16.0, 8.0, 4.0, 2.0, 1.0]
    assert curves["said"]["series"]["first"] == 1

    bundle = _exported(project, "long")
    retrained = json.loads(_verify(project, bundle, "--retrain", "--explain", "--json").stdout)
    compared = {c["metric"]: c for c in retrained["curves"]}
    assert {name: one["compared"] for name, one in compared.items()} == {
        "train_loss": 6,
        "appended": 8,
        "loss": 4,
        "said": 6,
    }
    evaluated = json.loads(_verify(project, bundle, "--explain", "--json").stdout)
    compared = {c["metric"]: c for c in evaluated["curves"]}
    # It repeats steps 3 to 6: the others are neither compared nor missing.
    assert compared["train_loss"]["compared"] == 4
    assert compared["train_loss"]["recorded"]["values"] == [8, 4, 2, 1]
    # A log that is only appended to is no input, so that its earlier lines are not there.
    del compared["appended"]
    for curve in (*retrained["curves"], *compared.values()):
        assert not {"only_recorded", "only_fresh", "first"} & curve.keys()
