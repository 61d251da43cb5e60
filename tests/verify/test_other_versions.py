# SPDX-License-Identifier: Apache-2.0
"""`verify --package`: another version than the recorded one, and what hangs on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project, project_in
from tests.verify.own_index import make_environment, own_index, write_wheel

MODULES = {"scikit-learn": "sklearn"}
TRAIN = """\
import json, numpy, plain, sklearn
lost = 0.01 * (plain.VERSION != "1.0")
score = 0.9 - 0.1 * (sklearn.VERSION != "1.4.2") - 0.05 * (numpy.VERSION != "1.26.4")
open("metrics.json", "w").write(json.dumps({"accuracy": score - lost}))
"""


CLAIMS = """\
claims:
  - metric: accuracy
    retrain: {absolute: 0.001}
"""


class World:
    """A release, and a folder of wheels that is its reader's index."""

    def __init__(self, project: Project, place: Path) -> None:
        self.project = project
        self.index = own_index(place, project)
        for name, versions in {
            "scikit-learn": ("1.4.2", "1.3.2"),
            "numpy": ("1.26.4", "2.0.0"),
            "plain": ("1.0", "2.0"),
        }.items():
            for version in versions:
                write_wheel(self.index, name, version, module=MODULES.get(name, name))
        recorded = ("scikit-learn==1.4.2", "numpy==1.26.4", "plain==1.0")
        self.python = make_environment(place / "env", self.index, *recorded)
        project.write("repropack.yaml", CLAIMS)
        project.ok("key", "new")
        self.export(TRAIN, "out.rpk")

    def export(self, code: str, name: str) -> None:
        self.project.write("train.py", code)
        self.project.ok("run", "--", str(self.python), "train.py")
        self.do("export", "--run", "last", "-o", name, "--yes", status=0)

    def do(self, *arguments: str, status: int, cache: str = "cache") -> str:
        variables = {"XDG_CACHE_HOME": str(self.index.parent / cache)}
        done = self.project.repropack(*arguments, variables=variables)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def verify(self, *options: str, status: int, cache: str = "cache") -> Any:
        shown = self.do("verify", "out.rpk", "--json", *options, status=status, cache=cache)
        return json.loads(shown[: shown.rindex("}") + 1])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, python_environment: Path) -> World:
    place = tmp_path_factory.mktemp("world")
    for name in ("home", "project"):
        (place / name).mkdir()
    return World(project_in(place, python_environment), place)


def test_the_other_version_is_named_first_and_confirmed(world: World) -> None:
    assert world.verify(status=0)["verdict"] == "REPRODUCED"
    other = ("--package", "Scikit_Learn==1.3.2")
    report = world.verify(*other, status=1)
    assert report["reason"].endswith("; with scikit-learn 1.3.2 instead of 1.4.2")
    first = report["causes"][0]
    assert (first["kind"], first["subject"]) == ("numerical package", "scikit-learn")
    assert (first["recorded"], first["present"]) == ("1.4.2", "1.3.2")
    assert first.get("certainty", "likely") == "likely"
    assert {"subject": "scikit-learn", "recorded": "1.4.2", "present": "1.3.2"} in (
        report["differences"]
    )

    report = world.verify(*other, "--explain", status=1)
    first = report["causes"][0]
    assert (first["subject"], first["certainty"]) == ("scikit-learn", "confirmed")
    assert first["why"] == "with 1.4.2, the claimed numbers came out"
    assert report["steps"][-1]["summary"] == "confirmed by a rerun: scikit-learn"


def test_also_a_package_that_few_numbers_hang_on_is_named_first(world: World) -> None:
    report = world.verify("--package", "plain==2.0", status=1)
    first = report["causes"][0]
    assert (first["kind"], first["subject"]) == ("other package or variable", "plain")


def test_of_two_other_versions_each_is_tried(world: World) -> None:
    report = world.verify(
        *("--package", "scikit-learn==1.3.2", "--package", "numpy==2.0.0", "--explain"), status=1
    )
    found = {cause["subject"]: cause["certainty"] for cause in report["causes"]}
    assert (found["numpy"], found["scikit-learn"]) == ("involved", "involved")
    assert report["causes"][0]["subject"] in ("numpy", "scikit-learn")


def test_numbers_that_do_not_hang_on_it_are_reproduced_and_it_is_said(world: World) -> None:
    world.export(TRAIN.replace("0.05", "0.0"), "free.rpk")
    shown = world.do("verify", "free.rpk", "--package", "numpy==2.0.0", status=0)
    assert "; with numpy 2.0.0 instead of 1.26.4" in " ".join(shown.split())


def test_a_version_that_is_gone_leads_to_one_that_is_there(world: World) -> None:
    gone = world.index / "scikit_learn-1.4.2-py3-none-any.whl"
    gone.rename(world.index.parent / gone.name)
    try:
        # With another cache: what was downloaded earlier would do.
        shown = world.do("verify", "out.rpk", status=3, cache="empty")
        assert "scikit-learn 1.4.2" in shown
        assert "--package NAME==VERSION" in " ".join(shown.split())
        other = ("--package", "scikit-learn==1.3.2", "--explain")
        report = world.verify(*other, status=1, cache="empty")
    finally:
        (world.index.parent / gone.name).rename(gone)
    first = report["causes"][0]
    assert (first["subject"], first.get("certainty", "likely")) == ("scikit-learn", "likely")


def test_a_version_that_nobody_has_is_no_verdict(world: World) -> None:
    shown = world.do("verify", "out.rpk", "--package", "numpy==9.9", status=3)
    assert "numpy 9.9" in shown
    assert "no wheel for Python" in shown


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--package", "numpy"), "numpy==1.26.4"),
        (("--package", "numpy==; rm"), "numpy==1.26.4"),
        (("--package", "numpy==1", "--package", "NumPy==2"), "two versions of numpy"),
        (("--package", "torch==2.0"), "no such package"),
        (("--package", "numpy==2.0.0", "--offline"), "--offline"),
        (("--package", "numpy==2.0.0", "--no-run"), "--no-run"),
        (("--package", "numpy==2.0.0", "--receipt", "r.json"), "--receipt"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(
    world: World, options: tuple[str, ...], said: str
) -> None:
    assert said in world.do("verify", "out.rpk", *options, status=2)
