# SPDX-License-Identifier: Apache-2.0
"""`A=1 python …` and `uv run …`: what is started in the end is what is recorded."""

from __future__ import annotations

import os
import sys

import pytest

from repropack.agent.log import ProcessObservation
from repropack.capture.launchers import assignments, launched
from tests.project import Project


@pytest.mark.parametrize(
    ("argv", "variables", "command"),
    [
        ("A=1 B= python x.py C=2", {"A": "1", "B": ""}, "python x.py C=2"),
        ("env A=1 python x.py", {"A": "1"}, "python x.py"),
        ("env -i A=1 python", {}, "env -i A=1 python"),
        ("env python A=1", {}, "env python A=1"),
        ("./run=fast.sh 1", {}, "./run=fast.sh 1"),
        # No command is left: it is said that there is none of this name.
        ("A=1", {}, "A=1"),
    ],
)
def test_variables_before_a_command(argv: str, variables: dict[str, str], command: str) -> None:
    assert assignments(argv.split()) == (variables, tuple(command.split()))


@pytest.mark.parametrize(
    ("argv", "own", "command"),
    [
        ("uv run train.py --lr 1", "/v/bin/python train.py --lr 1", "python train.py --lr 1"),
        ("uv run --with x python train.py", "/v/bin/python3 train.py", "python train.py"),
        ("uv run -m pkg a", "/v/bin/python -m pkg a", "python -m pkg a"),
        ("poetry run fit --lr 1", "/v/bin/python /v/bin/fit --lr 1", "fit --lr 1"),
        ("conda run -n e python -m pkg", "/c/bin/python -m pkg", "python -m pkg"),
        ("uv run sh train.sh", "/v/bin/python train.py", None),
        ("timeout 5 python train.py", "/v/bin/python train.py", None),
    ],
)
def test_what_a_launcher_starts(argv: str, own: str, command: str | None) -> None:
    processes = (
        # poetry and conda are Python themselves, in another environment.
        ProcessObservation(pid=5, ppid=1, argv=("/p/bin/python", *argv.split())),
        ProcessObservation(pid=6, ppid=5, argv=tuple(own.split())),
        ProcessObservation(pid=7, ppid=6, argv=("/v/bin/python", "-c", "worker")),
    )
    found = launched(tuple(argv.split()), processes)
    assert found == (None if command is None else (tuple(command.split()), processes[1:]))


def test_a_launcher_that_replaces_itself() -> None:
    processes = (
        ProcessObservation(pid=5, ppid=1, argv=("/p/bin/python", "/p/bin/poetry", "run", "fit")),
        ProcessObservation(pid=5, ppid=1, argv=("/v/bin/python", "/v/bin/fit")),
    )
    assert launched(("poetry", "run", "fit"), processes) == (("fit",), processes[1:])


def test_variables_are_set_for_the_command_and_recorded(project: Project) -> None:
    project.write("src/mine.py", "VALUE = 1\n")
    script = (
        "import os, mine; print(os.environ['OMP_NUM_THREADS'], os.environ['SPLIT'], "
        "os.environ['MY_TOKEN'])"
    )
    project.write("use.py", script)
    done = project.repropack(
        "run", "PYTHONPATH=src", "OMP_NUM_THREADS=3", "SPLIT=b", "MY_TOKEN=x1y2", "python", "use.py"
    )
    assert done.stdout == "3 b x1y2\n"
    assert "named like secrets, so not recorded: MY_TOKEN" in done.stderr
    invocation = project.segment()["invocation"]
    assert invocation["argv"] == ["env", "SPLIT=b", "python", "use.py"]
    assert invocation["variables"]["PYTHONPATH"] == "src"
    assert invocation["variables"]["OMP_NUM_THREADS"] == "3"
    assert "x1y2" not in project.ok("show", "--json")


def test_a_run_of_uv_is_one_of_python(project: Project) -> None:
    import uv

    project.environment["PATH"] = os.pathsep.join(
        (os.path.dirname(uv.find_uv_bin()), project.environment["PATH"])
    )
    done = project.repropack(
        "run", "--", "uv", "run", "--no-project", "--offline", "-p", sys.executable, "train.py"
    )
    assert done.returncode == 0, done.stderr
    assert "no Python program" not in done.stderr
    assert project.segment()["invocation"]["argv"] == ["python", "train.py"]


def test_many_files_that_were_read_are_counted(project: Project) -> None:
    project.write(".gitignore", "data/\nout/\n")
    for number in range(12):
        project.write(f"data/{number}.txt", f"{number} 1 2\n")
    project.ok("run", "--", "python", "train.py", "--data", "data")
    assert "{project}/data/  12 files, 74 B  (python-open)" in project.ok("show")
