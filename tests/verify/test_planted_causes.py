# SPDX-License-Identifier: Apache-2.0
"""Planted in real trainings, a cause of other numbers is what `repropack diff` names first."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project import Project
from tests.verify.planted import DATA, TRAIN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        sys.version_info >= (3, 13), reason="the two versions of scikit-learn have no wheels for it"
    ),
]

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OPENBLAS_CORETYPE": "Haswell"}
TWO_THREADS = {**ONE_THREAD, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}


def python_with(place: Path, *packages: str) -> str:
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, place], check=True)
    subprocess.run(
        [uv, "pip", "install", "-q", "--only-binary", ":all:", "--python", place, *packages],
        check=True,
    )
    return str(place / "bin/python")


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """An environment, and another of which only scikit-learn has another version."""
    place = tmp_path_factory.mktemp("environments")
    rest = ("numpy==1.26.4", "scipy==1.13.1", "threadpoolctl==3.5.0", "joblib==1.4.2")
    return (
        python_with(place / "recorded", "scikit-learn==1.4.2", *rest),
        python_with(place / "other", "scikit-learn==1.3.2", *rest),
    )


@pytest.fixture
def trained(bare_project: Project, pythons: tuple[str, str]) -> Project:
    """The training, recorded once as `base`."""
    bare_project.write("train.py", TRAIN)
    bare_project.write("make.py", DATA)
    bare_project.write(".gitignore", "out/\ndata/\n")
    bare_project.git("init", "-q", "-b", "main")
    bare_project.git("add", ".")
    bare_project.git("commit", "-q", "-m", "first")
    make(bare_project, pythons[0], "1", "0", "3")
    train(bare_project, "base", pythons[0])
    return bare_project


def make(project: Project, python: str, *arguments: str) -> None:
    subprocess.run([python, "make.py", *arguments], cwd=project.root, check=True)


def train(
    project: Project, name: str, *command: str, variables: dict[str, str] | None = None
) -> None:
    python, *arguments = command
    project.ok(
        "run", "--name", name, "--", python, "train.py", *arguments,
        variables=ONE_THREAD if variables is None else variables,
    )  # fmt: skip


def first_cause(project: Project) -> tuple[str, str]:
    """What is named first, by the document for programs and on the screen alike."""
    told = project.repropack("diff", "base", "changed", "--json")
    causes = json.loads(told.stdout)["causes"]
    shown = project.repropack("diff", "base", "changed").stdout
    assert "most likely cause" in shown
    assert f"  1. {causes[0]['kind']}: {causes[0]['subject']}: " in shown
    return causes[0]["kind"], causes[0]["subject"]


def test_nothing_is_explained_where_nothing_differs(
    trained: Project, pythons: tuple[str, str]
) -> None:
    train(trained, "changed", pythons[0])
    told = json.loads(trained.repropack("diff", "base", "changed", "--json").stdout)
    assert not {"causes", "curves", "metric"} & set(told)
    assert "most likely" not in trained.repropack("diff", "base", "changed").stdout


def test_another_seed(trained: Project, pythons: tuple[str, str]) -> None:
    train(trained, "changed", pythons[0], "--seed", "1")
    assert first_cause(trained) == ("seed or setting", "--seed")


def test_another_number_of_threads(trained: Project, pythons: tuple[str, str]) -> None:
    train(trained, "changed", pythons[0], variables=TWO_THREADS)
    kind, subject = first_cause(trained)
    assert (kind, subject) == ("threads, BLAS or instruction set", "OMP_NUM_THREADS")


def test_another_version_of_scikit_learn(trained: Project, pythons: tuple[str, str]) -> None:
    train(trained, "changed", pythons[1])
    assert first_cause(trained) == ("numerical package", "scikit-learn")


def test_one_changed_data_file(trained: Project, pythons: tuple[str, str]) -> None:
    make(trained, pythons[0], "2", "2", "3")
    train(trained, "changed", pythons[0])
    assert first_cause(trained) == ("weights, data or code", "{project}/data/part2.npy")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names kernels of x86-64")
def test_another_instruction_set(trained: Project, pythons: tuple[str, str]) -> None:
    train(trained, "changed", pythons[0], variables={**ONE_THREAD, "OPENBLAS_CORETYPE": "Nehalem"})
    kind, subject = first_cause(trained)
    assert (kind, subject) == ("threads, BLAS or instruction set", "OPENBLAS_CORETYPE")


def test_one_changed_file_of_the_code(trained: Project, pythons: tuple[str, str]) -> None:
    trained.write("train.py", TRAIN.replace("0.5 * losses", "0.6 * losses"))
    train(trained, "changed", pythons[0])
    assert first_cause(trained) == ("weights, data or code", "code {project}/train.py")
