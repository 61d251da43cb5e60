# SPDX-License-Identifier: Apache-2.0
"""Interpreters without the agent: they are asked where they are, the trace says what they used."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repropack.agent.log import ProcessObservation
from repropack.capture.asked import imported_files, unobserved_interpreters
from repropack.capture.interpreter import used_environments
from repropack.model import Environment
from repropack.store import Store
from tests.project import Project
from tests.toy_environment import toy_environment

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")


@pytest.fixture
def toys(tmp_path: Path) -> Path:
    return toy_environment(tmp_path / "env")


def _used(project: Project) -> dict[str, Any]:
    store = Store.find(project.root)
    found: Environment = store.environment(project.segment()["environment"])
    assert found.python is not None
    assert found.python.version == ".".join(map(str, sys.version_info[:3]))
    return {d.name: d.imported for d in found.distributions}


@needs_strace
def test_a_script_that_replaces_the_search_path(project: Project, toys: Path) -> None:
    project.write("src/mine.py", "import toy, space.part\n")
    project.write("train.sh", f"PYTHONPATH=src {toys}/bin/python -m mine\n")
    done = project.repropack("run", "--", "sh", "train.sh")
    assert done.returncode == 0, done.stderr
    assert "ran without the agent (-I, -E, -S, or PYTHONPATH was replaced)" in done.stderr
    assert _used(project) == {"toy": True, "other": False, "part-of": True}
    # The interpreter is no place of this machine in the record.
    assert str(toys) not in project.ok("show", "--json")


def test_of_an_isolated_interpreter_everything_counts_as_used(project: Project, toys: Path) -> None:
    command = (f"{toys}/bin/python", "-I", "-c", "import toy")
    done = project.repropack("run", "--trace", "python", "--", *command)
    assert "all of its environment count as used" in done.stderr
    assert _used(project) == {"toy": True, "other": True, "part-of": True}


def test_a_run_in_two_environments_is_said(project: Project, toys: Path) -> None:
    project.write("steps.py", f"import subprocess\nsubprocess.run(['{toys}/bin/python', 'two.py'])")
    project.write("two.py", "import toy\n")
    done = project.repropack("run", "--", "python", "steps.py")
    assert "the run used 2 Python environments, and all are recorded" in done.stderr
    project.write("two.py", "import os\n")
    done = project.repropack("run", "--", "python", "steps.py")
    assert "2 Python environments" not in done.stderr


def test_modules_of_files_that_were_read() -> None:
    packages = "/e/lib/python3.12/site-packages"
    read = [
        f"{packages}/six.py",
        f"{packages}/__pycache__/typing_extensions.cpython-312.pyc",
        f"{packages}/_cffi_backend.cpython-312-x86_64-linux-gnu.so",
        f"{packages}/numpy-2.0.dist-info/METADATA",
        f"{packages}/nothing/data.txt",
        "/elsewhere/site-packages/x.py",
    ]
    assert imported_files(read, [packages]) == {
        "six": f"{packages}/six.py",
        "typing_extensions": f"{packages}/typing_extensions.py",
        "_cffi_backend": f"{packages}/_cffi_backend.cpython-312-x86_64-linux-gnu.so",
    }


def test_an_interpreter_of_an_observed_environment_is_not_asked() -> None:
    observed = ProcessObservation(pid=1, executable="/e/bin/python", prefix="/e")
    programs = ["/e/bin/python3", "/f/bin/python3.12", "/f/bin/python3.12", "/bin/sh"]
    assert unobserved_interpreters(programs, [observed]) == ["/f/bin/python3.12"]
    assert used_environments([]) == ()


def test_asking_leaves_nothing_in_the_environment(project: Project, toys: Path) -> None:
    before = subprocess.run(["find", toys], capture_output=True, check=True).stdout
    project.repropack("run", "--", f"{toys}/bin/python", "-I", "-c", "pass")
    assert subprocess.run(["find", toys], capture_output=True, check=True).stdout == before
