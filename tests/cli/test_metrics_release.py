# SPDX-License-Identifier: Apache-2.0
"""Numbers that are claimed from a log, a dated folder or an event file come out again."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.importers.samples import SAMPLES
from tests.project import Project

EVENTS = next((SAMPLES / "tensorboard-2.21.0").iterdir())


def _protocol() -> str:
    text = (Path(__file__).parents[2] / "docs" / "concepts.md").read_text()
    blocks: list[str] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return next(block for block in blocks if "crc32" in block)


def _exported(project: Project, script: str, *claims: str) -> Path:
    project.write("train.py", script)
    (project.root / "sample.bin").write_bytes(EVENTS.read_bytes())
    if claims:
        names = "".join(f"  - metric: {name}\n    retrain: {{exact: true}}\n" for name in claims)
        project.write("repropack.yaml", f"claims:\n{names}")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "x")
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    release = project.root.parent / "release.rpk"
    project.ok("export", "--run", "last", "-o", str(release), "--yes")
    return release


def _verified(project: Project, release: Path) -> dict[str, str]:
    done = project.repropack("verify", str(release), "--allow-unknown-signer", "--json")
    report = json.loads(done.stdout)
    return {c["claim"]["metric"]: c["verdict"] for c in report["claims"]}


def test_logged_metrics_are_claimed_first_and_reproduced(project: Project) -> None:
    script = (
        _protocol() + "for n in range(3): log_metric('acc', 1 / (n + 3), n)\nprint('f1: 0.5')\n"
    )
    release = _exported(project, script)
    assert _verified(project, release) == {"acc": "REPRODUCED"}


def test_files_named_by_time_and_process_are_found_again(project: Project) -> None:
    script = (
        "import os, pathlib, shutil, time\n"
        "place = pathlib.Path('runs', time.strftime('%b%d_%H-%M-%S_host'))\n"
        "place.mkdir(parents=True)\n"
        "number = f'{time.time_ns() // 10**9}.host.{os.getpid()}.0'\n"
        "shutil.copy('sample.bin', place / f'events.out.tfevents.{number}')\n"
        "dated = pathlib.Path('outputs', time.strftime('%Y-%m-%d'), time.strftime('%H-%M-%S'))\n"
        "dated.mkdir(parents=True)\n"
        "(dated / 'train.log').write_text('test loss: 0.25\\n')\n"
    )
    release = _exported(project, script, "val/acc", "test loss")
    assert _verified(project, release) == {"val/acc": "REPRODUCED", "test loss": "REPRODUCED"}
