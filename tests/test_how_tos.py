# SPDX-License-Identifier: Apache-2.0
"""The commands of the how-tos run as they stand, one after another, in a project."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.project import EVAL, Project

DOCS = Path(__file__).parents[1] / "docs"


def _run(document: str, project: Project, place: Path) -> str:
    """Pastes every block of a document into one shell; what it printed."""
    blocks = re.findall(r"```sh\n(.*?)```", (DOCS / document).read_text(), flags=re.DOTALL)
    assert len(blocks) >= 5
    program = place / "bin"
    program.mkdir()
    launcher = program / "repropack"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -m repropack "$@"\n')
    launcher.chmod(0o755)
    environment = {
        **{k: v for k, v in project.environment.items() if k != "REPROPACK_HOME"},
        "PATH": f"{program}:{project.environment['PATH']}",
    }
    done = subprocess.run(
        ["sh", "-e", "-c", "\n".join(blocks)],
        cwd=project.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_key_from_its_making_to_its_end(project: Project, tmp_path: Path) -> None:
    told = _run("keys.md", project, tmp_path)
    assert "known by rotation" in told
    assert "THE KEY IS REVOKED" in told
    assert "expected digest" in told
    assert "not accepted any more" in told


def test_a_double_blind_submission(project: Project, tmp_path: Path) -> None:
    project.write("eval.py", "# by Zoe Private\n" + EVAL)
    project.write("LICENSE", "Copyright (c) 2026 Zoe Private\n")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "more")
    told = _run("double-blind.md", project, tmp_path)
    assert "something tells who made it" in told
    assert "REPRODUCED: " in told
    assert told.splitlines()[-1].startswith("PROVEN")
    assert (tmp_path / "home/safe/anonymous").is_dir()
    statement = json.loads((project.root / "reveal.json").read_bytes())
    assert len(statement["signatures"]) == 2
