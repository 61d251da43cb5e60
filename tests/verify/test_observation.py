# SPDX-License-Identifier: Apache-2.0
"""The numerical settings of a repetition are read from itself, and are a stranger's word."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from repropack.environment.lock import write_lock
from repropack.model import Cause, Report, Role, Verdict
from repropack.verify import observation
from tests.environment.test_uv import HERE
from tests.verify.release_builder import Draft, check, python_environment

TORCH = """\
__version__ = "2.0"
def get_num_threads():
    return 3
"""
"""Stands where a framework is imported; the agent asks it what it asks torch."""

RUN = """\
import json, torch
open("metrics.json", "w").write(json.dumps({"accuracy": 0.5}))
"""


def release(place: Path, code: str = RUN, threads: str = "8") -> Draft:
    draft = Draft(place)
    draft.environments["environment"] = replace(
        python_environment(HERE.version),
        numerics={"torch": {"version": "2.0", "num_threads": threads}},
    )
    draft.members["environment/pylock.toml"] = (Role.ENVIRONMENT, write_lock(HERE, []))
    draft.add_run({"run.py": code, "torch.py": TORCH}, "python", "run.py")
    draft.add_claim(0.91)
    return draft


def cause_of(report: Report, subject: str) -> Cause | None:
    return next((cause for cause in report.causes if cause.subject == subject), None)


@pytest.mark.parametrize("sandbox", [True, False])
def test_threads_of_a_framework_are_compared_by_fact(tmp_path: Path, sandbox: bool) -> None:
    report = check(release(tmp_path).write(), sandbox=sandbox)
    assert report.verdict is Verdict.NOT_REPRODUCED
    cause = cause_of(report, "torch num_threads")
    assert cause is not None
    assert (cause.recorded, cause.present) == ("8", "3")
    again = check(release(tmp_path / "same", threads="3").write(), sandbox=sandbox)
    assert cause_of(again, "torch num_threads") is None


def test_the_agent_is_not_on_the_path_of_the_code(tmp_path: Path) -> None:
    code = RUN + "import sys\nassert '/mnt/agent' not in sys.path, sys.path\n"
    assert check(release(tmp_path, code).write()).verdict is Verdict.NOT_REPRODUCED


@pytest.mark.parametrize(
    "mess",
    [
        "shutil.rmtree(place)",
        "shutil.rmtree(place); os.symlink('/proc/self', place)",
        "shutil.rmtree(place); open(place, 'w')",
        "os.mkfifo(place + '/1-000000000000.log')",
        "os.symlink('/dev/zero', place + '/1-000000000000.log')",
        "open(place + '/1-000000000000.log', 'wb').write(bytes(range(256)) * 99)",
        "open(place + '/1-000000000000.log', 'w').truncate(1 << 40)",
        "[open(f'{place}/{n}-000000000000.log', 'w') for n in range(5000)]",
        "os.chmod(place, 0)",
    ],
)
def test_whatever_the_code_leaves_there_decides_nothing(tmp_path: Path, mess: str) -> None:
    code = RUN + f"import os, shutil\nplace = os.environ['REPROPACK_AGENT']\n{mess}\nos._exit(0)\n"
    report = check(release(tmp_path, code).write())
    assert report.verdict is Verdict.NOT_REPRODUCED


def test_what_it_says_is_safe_to_show(tmp_path: Path) -> None:
    code = RUN.replace(
        "import json, torch", "import json, torch\ntorch.get_num_threads = evil"
    ).replace("import json", "evil = lambda: '\\x1b[2J<script>'\nimport json", 1)
    cause = cause_of(check(release(tmp_path, code).write()), "torch num_threads")
    assert cause is not None
    assert "\x1b" not in cause.present


def test_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observation, "MAX_SAID", 10)
    report = check(release(tmp_path).write())
    assert cause_of(report, "torch num_threads") is None


def test_an_interpreter_without_the_agent_is_no_error(tmp_path: Path) -> None:
    draft = Draft(tmp_path)
    draft.environments["environment"] = python_environment(HERE.version)
    draft.members["environment/pylock.toml"] = (Role.ENVIRONMENT, write_lock(HERE, []))
    code = 'open("metrics.json", "w").write(\'{"accuracy": 0.91}\')'
    draft.add_run({"run.py": code}, "python", "-I", "-S", "run.py")
    draft.add_claim(0.91)
    assert check(draft.write()).verdict is Verdict.REPRODUCED
