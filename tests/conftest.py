# SPDX-License-Identifier: Apache-2.0
"""Fixtures that several areas share: a project, and a release made of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.project import EVAL, TRAIN, Project, project_in

# How long an example takes says nothing about it on a busy machine.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")


def pytest_configure() -> None:
    """Gives signals their defaults, which tests send: `nohup` and `make test &` ignore some."""
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-call",
        action="store_true",
        help="fault tests: let every call fail, not only one of each kind (minutes)",
    )


@pytest.fixture(scope="session")
def python_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with no package in it: it can be rebuilt without any index."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    return place


@pytest.fixture
def bare_project(tmp_path: Path, python_environment: Path) -> Project:
    """An empty directory without git."""
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    return project_in(tmp_path, python_environment)


@pytest.fixture
def project(bare_project: Project) -> Project:
    """A git repository with `train.py` and `eval.py`."""
    bare_project.write("train.py", TRAIN)
    bare_project.write("eval.py", EVAL)
    bare_project.write(".gitignore", "out/\n")
    bare_project.git("init", "-q", "-b", "main")
    bare_project.git("add", ".")
    bare_project.git("commit", "-q", "-m", "secret message of the first commit")
    return bare_project


@pytest.fixture
def exported(project: Project) -> Project:
    """The project after training, evaluation, and export to `release.rpk` beside it."""
    project.ok("key", "new")
    project.ok("run", "--name", "train", "--", "python", "train.py")
    project.ok("run", "--name", "eval", "--", "python", "eval.py", "out/model.bin")
    project.ok("export", "--run", "eval", "-o", str(project.root.parent / "release.rpk"), "--yes")
    return project
