# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the fault tests: the injector, and a project with recorded runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.injection import NO_COMPILER, Injector
from tests.project import EVAL, TRAIN, Project


@pytest.fixture(scope="module")
def injector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Injector]:
    if shutil.which("cc") is None:
        pytest.skip(NO_COMPILER)
    with Injector(tmp_path_factory.mktemp("injector")) as injector:
        yield injector


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, python_environment: Path) -> Project:
    """A project with a training and an evaluation, both recorded, and a signing key."""
    place = tmp_path_factory.mktemp("recorded")
    home, root = place / "home", place / "project"
    home.mkdir()
    root.mkdir()
    project = Project(
        root,
        {
            "HOME": str(home),
            "PATH": f"{python_environment}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "REPROPACK_HOME": str(home / "settings"),
        },
    )
    project.write("train.py", TRAIN)
    project.write("eval.py", EVAL)
    project.write(".gitignore", "out/\n")
    subprocess.run(["git", "init", "-q", root], check=True)
    project.ok("key", "new")
    project.ok("run", "--name", "train", "--", "python", "train.py")
    project.ok("run", "--name", "eval", "--", "python", "eval.py", "out/model.bin")
    return project


def is_root() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0
