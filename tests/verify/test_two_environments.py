# SPDX-License-Identifier: Apache-2.0
"""Releases whose runs used more than one Python environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repropack.findings import Code
from tests.project import Project, project_in
from tests.verify.own_index import make_environment, own_index, write_wheel

PREPARE = """\
import json, plain
json.dump({"version": plain.VERSION}, open("prepared.json", "w"))
"""
EVALUATE = """\
import json, plain
prepared = json.load(open("prepared.json"))["version"]
right = (prepared, plain.VERSION) == ("1.0", "2.0")
json.dump({"accuracy": 0.9 if right else 0.1}, open("metrics.json", "w"))
"""


@pytest.fixture(scope="module")
def author(
    tmp_path_factory: pytest.TempPathFactory, python_environment: Path
) -> tuple[Project, Path, Path]:
    place = tmp_path_factory.mktemp("author")
    for name in ("home", "project"):
        (place / name).mkdir()
    project = project_in(place, python_environment)
    index = own_index(place, project)
    for version in ("1.0", "2.0"):
        write_wheel(index, "plain", version, module="plain")
    project.write("prepare.py", PREPARE)
    project.write("evaluate.py", EVALUATE)
    project.ok("key", "new")
    return (
        project,
        make_environment(place / "one", index, "plain==1.0"),
        make_environment(place / "two", index, "plain==2.0"),
    )


def test_each_run_of_a_chain_has_its_own(author: tuple[Project, Path, Path]) -> None:
    project, one, two = author
    project.ok("run", "--", str(one), "prepare.py")
    project.ok("run", "--", str(two), "evaluate.py")
    project.ok("export", "--run", "last", "-o", "chain.rpk", "--weights", "prepared.json", "--yes")
    for mode in ("--evaluate", "--retrain"):
        report = json.loads(project.ok("verify", "chain.rpk", mode, "--json"))
        assert report["verdict"] == "REPRODUCED"
        assert "differences" not in report


def test_two_in_one_run_are_said_when_it_is_recorded_and_exported_and_decide_nothing(
    author: tuple[Project, Path, Path],
) -> None:
    project, one, two = author
    project.write("both.sh", f"{one} prepare.py && {two} evaluate.py\n")
    said = project.repropack("run", "--", "sh", "both.sh")
    assert "used 2 Python environments, and a record describes one" in said.stderr
    shown = project.ok("export", "--run", "last", "-o", "both.rpk", "--yes")
    assert "Record the steps as runs of their own" in " ".join(shown.split())
    done = project.repropack("verify", "both.rpk", "--json")
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert report["verdict"] == "INCONCLUSIVE"
    assert report["findings"][-1]["code"] == Code.RUN_FAILED.code
