# SPDX-License-Identifier: Apache-2.0
"""`repropack repeat`: a recorded run again, here, from what the store holds; nothing is changed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project

DRAW = "import random; print('accuracy:', random.random()); open('draw.txt', 'w').write('x')\n"


@pytest.fixture
def recorded(project: Project) -> Project:
    project.ok("run", "--name", "train", "--", "python", "train.py")
    project.ok("run", "--name", "eval", "--", "python", "eval.py", "out/model.bin")
    return project


def _contents(root: Path) -> dict[str, bytes]:
    """Every file, but for locks and the index, which any reading command may touch."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".repropack/index" not in str(path) and path.suffix != ".lock"
    }


def _report(project: Project, *arguments: str, status: int = 0) -> Any:
    done = project.repropack("repeat", *arguments, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_run_is_repeated_from_its_snapshot_and_nothing_is_changed(recorded: Project) -> None:
    recorded.write("eval.py", "raise SystemExit('edited since')\n")
    recorded.write("out/model.bin", "overwritten since")
    before = _contents(recorded.root)
    lines = recorded.ok("repeat", "eval").splitlines()
    assert lines[-1] == "REPRODUCED: all 2 numbers came out again"
    assert "same out/metrics.json (run 2): the same content" in lines
    assert _contents(recorded.root) == before


def test_the_whole_chain_is_repeated_on_request(recorded: Project) -> None:
    alone = _report(recorded, "eval")
    chain = _report(recorded, "eval", "--chain")
    assert (len(alone["runs"]), len(chain["runs"])) == (1, 2)
    assert [one["path"] for one in chain["outputs"]] == ["out/model.bin", "out/metrics.json"]
    assert all(one["fresh"] == one["recorded"] for one in chain["outputs"])
    assert (chain["signer"], chain["bundle"]) == (None, None)
    assert chain["run"] == recorded.show("eval")["run"]["id"]


OF_A_RELEASE = re.compile(r"bundle|packed|weights|sign|claim|author|release|manifest|fingerprint")
"""Words of what comes from somebody else: of an own run they would be untrue."""


@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("chain", [False, True])
def test_words_are_those_of_an_own_run(recorded: Project, *, random: bool, chain: bool) -> None:
    if random:
        recorded.write("draw.py", f"open('out/model.bin').read()\n{DRAW}")
        recorded.ok("run", "--name", "eval", "--", "python", "draw.py")
    page = recorded.root.parent / "page.html"
    options = ["--retrain"] if chain else []
    done = recorded.repropack("repeat", "eval", *options, "--report", str(page))
    # Two draws may happen to be so near to each other that the recorded one is none like them.
    expected = {0} if not random else {1} if chain else {1, 3}
    assert done.returncode in expected, done.stderr
    said = "\n".join(
        line
        for line in done.stdout.splitlines()
        if not line.startswith(("isolation:", "differs", "report:", "     "))
    )
    assert not OF_A_RELEASE.findall(said), said
    markup = page.read_text()
    shown = re.sub(r"<[^>]*>", " ", markup[markup.index("<body>") :])
    assert not OF_A_RELEASE.findall(shown.lower()), shown
    number = "accuracy" if random else "score"
    assert f"{number} = " in done.stdout or f"{number} = " in shown
    assert "run again as recorded" in shown or "run again on the files" in shown


def test_the_report_for_people_shows_numbers_curves_and_files(
    project: Project, tmp_path: Path
) -> None:
    project.write(
        "train.py",
        "import json, os, pathlib\n"
        "out = pathlib.Path('out'); out.mkdir(exist_ok=True)\n"
        "with open('out/loss.csv', 'w') as log:\n"
        "    print('step,loss', file=log)\n"
        "    for step in range(9): print(f'{step},{1 / (1 + step)}', file=log)\n"
        "json.dump({'accuracy': 0.875}, open('out/metrics.json', 'w'))\n"
        "open('out/noise.bin', 'wb').write(os.urandom(9))\n",
    )
    project.ok("run", "--name", "<b>train</b>", "--", "python", "train.py")
    page = tmp_path / "page.html"
    text = project.ok("repeat", "last", "--report", str(page))
    assert f"report: {page}" in text.splitlines()
    shown = page.read_text()
    for words in ("out/noise.bin", "out/metrics.json", "other content", "0.875", "Curve of loss"):
        assert words in shown
    assert f"repropack repeat <bdi>{project.show()['run']['id']}</bdi>" in shown


def test_a_report_that_cannot_be_written_is_said_before_anything_runs(recorded: Project) -> None:
    done = recorded.repropack("repeat", "eval", "--report", "none/page.html")
    assert done.returncode == 2
    assert "--report none/page.html" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_a_number_the_files_decide(recorded: Project) -> None:
    report = _report(recorded, "train", "--runs", "2")
    assert report["reason"] == "it left no number to compare; its file has the same content"
    recorded.ok("run", "--", "python", "-c", "import os; open('r', 'wb').write(os.urandom(9))")
    other = _report(recorded, "last", status=3)
    assert other["verdict"] == "INCONCLUSIVE"
    assert other["reason"].endswith("1 of 1 files are not the same")
    recorded.ok("run", "--", "python", "-c", "pass")
    assert "left no number and no file" in _report(recorded, "last", status=3)["reason"]


def test_another_number_is_not_reproduced_unless_it_is_near_enough(project: Project) -> None:
    project.write("draw.py", DRAW)
    project.ok("run", "--", "python", "draw.py")
    done = project.repropack("repeat", "last")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("NOT REPRODUCED: accuracy")
    project.write("repropack.yaml", "claims: [{metric: accuracy, retrain: {absolute: 1}}]\n")
    assert project.ok("repeat", "last").splitlines()[-1].startswith("REPRODUCED: accuracy")


def test_claims_of_another_run_of_the_project_do_not_matter(recorded: Project) -> None:
    recorded.write("repropack.yaml", "claims: [{metric: score}]\nweights: [none.bin]\n")
    assert _report(recorded, "train")["verdict"] == "REPRODUCED"


def test_data_is_taken_from_where_it_is(project: Project, tmp_path: Path) -> None:
    data = tmp_path / "rows"
    data.mkdir()
    (data / "a.txt").write_text("1 2 3\n")
    project.ok("run", "--data", f"rows={data}", "--", "python", "train.py", "--data", str(data))
    assert _report(project, "last")["verdict"] == "REPRODUCED"
    shutil.move(data, tmp_path / "moved")
    gone = project.repropack("repeat", "last")
    assert gone.returncode == 3
    assert f"the data set rows is no longer at {data}; say where it is now" in gone.stderr
    moved = _report(project, "last", "--data", f"rows={tmp_path / 'moved'}")
    assert moved["verdict"] == "REPRODUCED"
    (tmp_path / "moved/a.txt").write_text("1 2 4\n")
    changed = _report(project, "last", "--data", f"rows={tmp_path / 'moved'}", status=3)
    assert "a.txt have other contents" in changed["reason"]
    unknown = project.repropack("repeat", "last", "--data", f"cols={tmp_path}")
    assert (unknown.returncode, "the run read no such data set" in unknown.stderr) == (2, True)


def test_what_cannot_be_repeated_is_said_in_one_line(recorded: Project) -> None:
    for arguments, said in (
        (["nothing"], "no run is called 'nothing'"),
        (["last", "--data", "x"], "expected NAME=DIR"),
        (["last", "--time", "soon"], "--time"),
    ):
        done = recorded.repropack("repeat", *arguments)
        assert done.returncode == 2, arguments
        assert said in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    # What the evaluation read is gone from the store.
    (product,) = recorded.segment("train")["products"]
    (recorded.root / ".repropack/objects" / product["sha256"][:2] / product["sha256"][2:]).unlink()
    done = recorded.repropack("repeat", "eval")
    assert done.returncode == 2
    assert "is missing from the store" in done.stderr


@pytest.mark.parametrize(
    ("field", "said"), [("source", "without its code"), ("environment", "without its environment")]
)
def test_a_run_without_code_or_environment_is_refused(
    recorded: Project, field: str, said: str
) -> None:
    (place,) = recorded.root.glob(f".repropack/runs/{recorded.show('train')['run']['id']}/run.json")
    record = json.loads(place.read_text())
    record["segments"][0][field] = None
    place.chmod(0o644)
    place.write_text(json.dumps(record, sort_keys=True, separators=(",", ":")))
    done = recorded.repropack("repeat", "train")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_the_work_directory_is_kept_on_request(recorded: Project) -> None:
    text = recorded.ok("repeat", "eval", "--keep-work")
    (line,) = [one for one in text.splitlines() if one.startswith("work directory: ")]
    work = Path(line.removeprefix("work directory: "))
    try:
        assert list(work.rglob("metrics.json"))
    finally:
        shutil.rmtree(work)
