# SPDX-License-Identifier: Apache-2.0
"""Editable installs made again from a record that a stranger may have written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from repropack.environment.editable import EditableInstall, add_code
from repropack.errors import RepropackError
from repropack.model import Distribution, Python

PYTHON = Python(
    implementation="cpython",
    version=".".join(map(str, sys.version_info[:3])),
    cache_tag="cpython",
)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    place = tmp_path / "an environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    return place


def recorded(**fields: object) -> Distribution:
    return Distribution(**{"name": "tool", "version": "1.0", **fields})  # type: ignore[arg-type]


def test_version_entry_points_and_scripts_are_there(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/tool.py").write_text(
        "import importlib.metadata as m\n"
        "class App:\n    @staticmethod\n    def main():\n"
        "        print(m.version('tool'), [e.value for e in m.entry_points(group='plugins.x')])\n"
    )
    install = EditableInstall.of(
        recorded(
            entry_points={
                "console_scripts": {"tool-run": "tool:App.main"},
                "plugins.x": {"one": "tool"},
            }
        )
    )
    assert install is not None
    for _ in range(2):
        # Again, for the next run in the same environment.
        add_code(environment, PYTHON, [str(tmp_path / "src")], [install])
    done = subprocess.run(
        [environment / "bin/tool-run"], check=True, capture_output=True, text=True, env={}
    )
    assert done.stdout == "1.0 ['tool']\n"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "../x"}, {"name": "A"}, {"name": ""},
        {"version": "1/../../x"}, {"version": "1\n2"}, {"version": ""}, {"version": "x"},
    ],
)  # fmt: skip
def test_what_is_no_distribution(fields: dict[str, str]) -> None:
    assert EditableInstall.of(recorded(**fields)) is None


@pytest.mark.parametrize(
    "points",
    [
        {"console_scripts": {"../x": "m:f"}},
        {"console_scripts": {"x": "m:f()"}},
        {"console_scripts": {"x": "m:f\nimport os"}},
        {"console_scripts": {"x": "m; import os:f"}},
        {"console_scripts": {"x\n[other]": "m:f"}},
        {"console_scripts]\n[other": {"x": "m:f"}},
        {"console_scripts": {"": "m:f"}},
        {"console_scripts": {".": "m:f"}},
    ],
)
def test_entry_points_of_another_form_are_left_out(points: dict[str, dict[str, str]]) -> None:
    install = EditableInstall.of(recorded(entry_points=points))
    assert install is not None
    assert install.entry_points == {}
    assert install.scripts() == {}


def test_no_program_of_the_environment_is_replaced(environment: Path) -> None:
    before = (environment / "bin/python3").readlink()
    install = EditableInstall.of(recorded(entry_points={"console_scripts": {"python3": "m:f"}}))
    assert install is not None
    add_code(environment, PYTHON, ["/work/project"], [install])
    assert (environment / "bin/python3").readlink() == before


@pytest.mark.parametrize("path", ["import os", "/a\nimport os", "x", "/a\x85b"])
def test_a_line_that_python_would_execute(environment: Path, path: str) -> None:
    with pytest.raises(RepropackError, match="cannot be put on Python's path"):
        add_code(environment, PYTHON, [path], [])
