# SPDX-License-Identifier: Apache-2.0
"""A project with a training and an evaluation, and the program run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["EVAL", "TRAIN", "Project", "project_in"]

TRAIN = """\
import argparse, json, pathlib, random
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--data")
options = parser.parse_args()
random.seed(options.seed)
rows = [[random.gauss(0, 1) for _ in range(3)] for _ in range(50)]
if options.data:
    for path in sorted(pathlib.Path(options.data).glob("*.txt")):
        rows += [[float(x) for x in line.split()] for line in path.read_text().splitlines()]
weights = [sum(column) / len(rows) for column in zip(*rows)]
out = pathlib.Path("out")
out.mkdir(exist_ok=True)
(out / "model.bin").write_text(json.dumps(weights))
print(f"rows: {len(rows)}")
"""

EVAL = """\
import json, pathlib, sys
weights = json.loads(pathlib.Path(sys.argv[1]).read_text())
score = sum(w * w for w in weights)
pathlib.Path("out/metrics.json").write_text(json.dumps({"score": score, "bias": weights[0]}))
print(f"score: {score:.4f}")
"""


@dataclass
class Project:
    """A directory with a training and an evaluation, and the commands on it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def repropack(
        self,
        *arguments: str,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "repropack", *arguments],
            cwd=cwd or self.root,
            env={**self.environment, **(variables or {})},
            capture_output=True,
            text=True,
            check=False,
        )

    def ok(
        self,
        *arguments: str,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        done = self.repropack(*arguments, cwd=cwd, variables=variables)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def show(self, run: str = "last") -> Any:
        return json.loads(self.ok("show", run, "--json"))

    def segment(self, run: str = "last") -> Any:
        return self.show(run)["run"]["segments"][-1]

    def write(self, path: str, text: str) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def git(self, *arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout


def project_in(place: Path, python_environment: Path) -> Project:
    """The empty directory `project`, whose author has the home `home` beside it."""
    home, root = place / "home", place / "project"
    kept = {k: v for k, v in os.environ.items() if k in ("LANG", "SSL_CERT_FILE", "TMPDIR")}
    return Project(
        root,
        {
            **kept,
            "HOME": str(home),
            "PATH": f"{python_environment}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "REPROPACK_HOME": str(home / "settings"),
            "GIT_AUTHOR_NAME": "Zoe Private",
            "GIT_AUTHOR_EMAIL": "zoe@private.example",
            "GIT_COMMITTER_NAME": "Zoe Private",
            "GIT_COMMITTER_EMAIL": "zoe@private.example",
        },
    )
