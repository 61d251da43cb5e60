# SPDX-License-Identifier: Apache-2.0
"""Releases whose runs used more than one Python environment."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
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


def test_two_outside_the_project_are_recorded_and_said_and_decide_nothing(
    author: tuple[Project, Path, Path],
) -> None:
    project, one, two = author
    project.write("both.sh", f"{one} prepare.py && {two} evaluate.py\n")
    said = project.repropack("run", "--", "sh", "both.sh")
    assert "used 2 Python environments, and all are recorded" in said.stderr
    assert "of evaluate.py lies outside the project" in said.stderr
    first, second = project.segment()["environments"]
    assert (first["programs"], second["programs"]) == (["prepare.py"], ["evaluate.py"])
    shown = project.ok("show", "last")
    assert "of evaluate.py" in shown
    shown = project.ok("export", "--run", "last", "-o", "both.rpk", "--yes")
    assert "record the steps as runs of their own" in " ".join(shown.split())
    done = project.repropack("verify", "both.rpk", "--json")
    assert done.returncode == 3
    report = json.loads(done.stdout)
    assert report["verdict"] == "INCONCLUSIVE"
    assert report["findings"][-1]["code"] == Code.RUN_FAILED.code


@pytest.fixture(scope="module")
def inside(author: tuple[Project, Path, Path]) -> Project:
    """Two environments in the project, which a Makefile calls by their places; exported."""
    project, _, _ = author
    index = project.root.parent / "index"
    for name, version in (("env1", "1.0"), ("tools/env2", "2.0")):
        make_environment(project.root / name, index, f"plain=={version}")
    project.write(".gitignore", "env1/\ntools/env2/\n*.json\n*.rpk\n")
    project.write(
        "Makefile",
        "all:\n\tenv1/bin/python prepare.py\n\ttools/env2/bin/python -W ignore evaluate.py\n",
    )
    project.ok("run", "--name", "both", "--", "make")
    project.ok("export", "--run", "both", "-o", "inside.rpk", "--yes")
    return project


def test_two_inside_the_project_are_recorded_each_with_its_packages(inside: Project) -> None:
    segment = inside.segment("both")
    assert "gaps" not in segment
    first, second = segment["environments"]
    assert first["environment"] == segment["environment"]
    assert (first["place"], second["place"]) == ("{project}/env1", "{project}/tools/env2")
    assert (first["programs"], second["programs"]) == (["prepare.py"], ["evaluate.py"])
    for used, version in ((first, "1.0"), (second, "2.0")):
        digest = used["environment"]
        stored = inside.root / ".repropack/objects" / digest[:2] / digest[2:]
        packages = json.loads(stored.read_text())["distributions"]
        assert [(p["name"], p["version"]) for p in packages if p.get("imported")] == [
            ("plain", version)
        ]


def test_a_bundle_has_each_environment_to_compare(
    inside: Project, author: tuple[Project, Path, Path]
) -> None:
    assert inside.ok("diff", "both", "inside.rpk").endswith("nothing differs\n")
    _, one, _ = author
    inside.write("same.sh", f"env1/bin/python prepare.py && {one} evaluate.py\n")
    inside.ok("run", "--name", "same", "--", "sh", "same.sh")
    for pair in (("inside.rpk", "same"), ("both", "same")):
        done = json.loads(inside.repropack("diff", *pair, "--json").stdout)
        assert done["package"] == {"plain in {project}/tools/env2": ["2.0", "1.0"]}
        assert "environment" not in done


@pytest.mark.parametrize("options", [("--retrain",), ("--evaluate", "--no-sandbox")])
def test_two_inside_the_project_are_rebuilt_each_at_its_place(
    inside: Project, options: tuple[str, ...]
) -> None:
    shutil.rmtree(inside.root / "env1", ignore_errors=True)
    report = json.loads(inside.ok("verify", "inside.rpk", *options, "--json"))
    assert report["verdict"] == "REPRODUCED"
    assert "differences" not in report


def test_an_anonymous_release_has_both_too(inside: Project) -> None:
    inside.ok("export", "--run", "both", "-o", "anonymous.rpk", "--anonymous", "--yes")
    report = json.loads(
        inside.repropack("verify", "anonymous.rpk", "--allow-unknown-signer", "--json").stdout
    )
    assert report["verdict"] == "REPRODUCED", report


def test_by_hand_each_is_at_its_place_too(inside: Project, tmp_path: Path) -> None:
    place = tmp_path / "opened"
    inside.ok("extract", "inside.rpk", str(place))
    text = (place / "REPRODUCING.md").read_text()
    assert '[ -e "$PROJECT"/tools/env2 ] || ln -s "$PWD"/env-2 "$PROJECT"/tools/env2' in text


def test_an_environment_of_the_project_is_at_its_place(project: Project) -> None:
    # The commonest of all: `.venv`, and a Makefile that calls it.
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", project.root / ".venv"], check=True
    )
    project.write(".gitignore", ".venv/\nout/\n")
    project.write(
        "Makefile", "all:\n\t.venv/bin/python train.py\n\t.venv/bin/python eval.py out/model.bin\n"
    )
    project.ok("key", "new")
    project.ok("run", "--", "make")
    project.ok("export", "--run", "last", "-o", "x.rpk", "--yes")
    shutil.rmtree(project.root / ".venv")
    assert json.loads(project.ok("verify", "x.rpk", "--json"))["verdict"] == "REPRODUCED"
