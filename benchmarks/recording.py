# SPDX-License-Identifier: Apache-2.0
"""What `repropack run` adds to a command: milliseconds against the bare command.

The project is a git repository with 1,000 or 20,000 files; the command is `python -c pass` in a
virtual environment with nothing in it. Bare and recorded take turns in one run, so that other load
meets both; the medians are compared. "First" is the first recording, which makes the store.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

REPEATS = 15


def measure(scratch: Path) -> str:
    environment = scratch / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = str(environment / "bin" / "python")
    lines = [
        "## Recording",
        "",
        "| repository | bare | recorded | added | added, first run |",
        "|---|---|---|---|---|",
    ]
    for count in (1_000, 20_000):
        project = _project(scratch / f"files-{count}", count)
        recorded = [sys.executable, "-m", "repropack", "run", "--", python, "-c", "pass"]
        bare = [python, "-c", "pass"]
        first = _milliseconds(recorded, project) - _milliseconds(bare, project)
        pairs = [
            (_milliseconds(bare, project), _milliseconds(recorded, project)) for _ in range(REPEATS)
        ]
        alone = statistics.median(pair[0] for pair in pairs)
        together = statistics.median(pair[1] for pair in pairs)
        lines.append(
            f"| {count:,} files | {alone:.0f} ms | {together:.0f} ms "
            f"| {together - alone:.0f} ms | {first:.0f} ms |"
        )
        shutil.rmtree(project)
    return "\n".join(lines) + "\n"


def _project(place: Path, count: int) -> Path:
    for number in range(count):
        directory = place / f"part-{number // 100:03d}"
        if number % 100 == 0:
            directory.mkdir(parents=True)
        (directory / f"module_{number:05d}.py").write_text(f"VALUE = {number}\n" * 20)
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": "/dev/null",
        **{f"GIT_{who}_NAME": "Author" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "author@example.invalid" for who in ("AUTHOR", "COMMITTER")},
    }
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "files"]):
        subprocess.run(["git", *arguments], cwd=place, env=environment, check=True)
    # git refreshes what it noted within the same second as the files on the next call.
    time.sleep(1.1)
    subprocess.run(["git", "status"], cwd=place, env=environment, check=True, capture_output=True)
    return place


def _milliseconds(command: list[str], directory: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return 1000 * (time.perf_counter() - started)
