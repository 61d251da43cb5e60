# SPDX-License-Identifier: Apache-2.0
"""However a training starts its processes, what each of them reads is recorded."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from tests.project import Project

POOL = """\
import multiprocessing, sys
def read(path):
    return len(open(path).read())
if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        print("sum:", sum(pool.map(read, sys.argv[2:])))
"""

LOADER = """\
# Workers that are forked once, fed through queues, and left behind as daemons (as a data loader's).
import multiprocessing, sys
def work(jobs, results):
    for path in iter(jobs.get, None):
        results.put(len(open(path).read()))
if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    jobs, results = context.Queue(), context.Queue()
    for _ in range(2):
        context.Process(target=work, args=(jobs, results), daemon=True).start()
    for path in sys.argv[1:]:
        jobs.put(path)
    print("sum:", sum(results.get() for _ in sys.argv[1:]))
"""

LAUNCHER = """\
# As torchrun: a Python that starts `python -u -m`, one a rank, in sessions of their own.
import os, subprocess, sys
ranks = [
    subprocess.Popen(
        [sys.executable, "-u", "-m", "rank"], start_new_session=True,
        env={**os.environ, "RANK": str(rank), "FILE": path},
    )
    for rank, path in enumerate(sys.argv[1:])
]
sys.exit(max(rank.wait() for rank in ranks))
"""

RANK = "import os; print(os.environ['RANK'], len(open(os.environ['FILE']).read()))\n"

CHILDREN = """\
import os, subprocess, sys
script = "import sys; print(len(open(sys.argv[1]).read()))"
first, second, third = sys.argv[1:]
subprocess.run([sys.executable, "-c", script, first], check=True)
subprocess.run(f"{sys.executable} -c '{script}' {second}", shell=True, check=True)
os.execv(sys.executable, [sys.executable, "-c", script, third])
"""


@pytest.fixture
def files(project: Project, tmp_path: Path) -> list[str]:
    place = tmp_path / "sets" / "numbers"
    place.mkdir(parents=True)
    for name, text in (
        ("pool.py", POOL),
        ("loader.py", LOADER),
        ("launch.py", LAUNCHER),
        ("rank.py", RANK),
        ("children.py", CHILDREN),
    ):
        project.write(name, text)
    found = []
    for number in range(3):
        path = place / f"{number}.txt"
        path.write_text(str(number))
        found.append(str(path))
    return found


@pytest.mark.parametrize(
    "command",
    [
        ["python", "pool.py", "fork"],
        ["python", "pool.py", "spawn"],
        ["python", "pool.py", "forkserver"],
        ["python", "loader.py"],
        ["python", "-m", "launch"],
        ["python", "children.py"],
        ["sh", "-c", 'python pool.py spawn "$@"', "sh"],
    ],
    ids=" ".join,
)
def test_every_process_tells(project: Project, files: list[str], command: list[str]) -> None:
    # The files are named in a file of code, so that the command line is no evidence.
    project.write("arguments.json", json.dumps(files))
    start = (
        "import json, os, sys; a = sys.argv[1:] + json.load(open('arguments.json')); "
        "os.execvp(a[0], a)"
    )
    project.ok("run", "--", "python", "-c", start, *command)
    materials = {m["path"]: m for m in project.segment()["materials"]}
    for number in range(3):
        material = materials[f"{{data:numbers}}/{number}.txt"]
        assert "python-open" in material["evidence"]
        assert material["sha256"] == hashlib.sha256(str(number).encode()).hexdigest()
    assert len(materials) == 3


def test_a_shim_that_replaces_itself_by_python_is_no_gap(project: Project, tmp_path: Path) -> None:
    """As pyenv's and asdf's: a script in a directory `shims` on PATH."""
    shim = tmp_path / "shims" / "python"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    shim.chmod(0o755)
    search = f"{shim.parent}:{project.environment.get('PATH', os.defpath)}"
    project.ok("run", "--", "python", "train.py", variables={"PATH": search})
    assert "gaps" not in project.segment()
