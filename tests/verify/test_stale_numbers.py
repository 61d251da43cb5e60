# SPDX-License-Identifier: Apache-2.0
"""A number that stood in a file before the repetition began is not one that it computed."""

from __future__ import annotations

from pathlib import Path

import pytest

from repropack.digest import sha256_hex
from repropack.environment.lock import write_lock
from repropack.model import (
    ClaimMode,
    Evidence,
    Material,
    MetricSource,
    Origin,
    Report,
    Role,
    Verdict,
)
from repropack.verify import Mode
from tests.environment.test_uv import HERE
from tests.verify.release_builder import Draft, check, python_environment

STALE = '{"accuracy": 0.91, "loss": 0.5}'


def in_code(place: Path, script: str, *, stale: str = STALE, name: str = "metrics.json") -> Draft:
    """A release whose code has a file of metrics already, in a program that is not Python."""
    draft = Draft(place)
    draft.add_run({"run.sh": script, name: stale}, "sh", "run.sh")
    draft.add_claim(
        0.91, source=MetricSource(importer="json", path=f"{{project}}/{name}", key="/accuracy")
    )
    return draft


def in_python(place: Path, code: str) -> Draft:
    """The same in a Python program."""
    draft = Draft(place)
    draft.environments["environment"] = python_environment(HERE.version)
    draft.members["environment/pylock.toml"] = (Role.ENVIRONMENT, write_lock(HERE, []))
    draft.add_run({"run.py": code, "metrics.json": STALE}, "python", "run.py")
    draft.add_claim(0.91)
    return draft


def is_stale(report: Report) -> bool:
    said = "before the repetition began" in report.reason
    assert said is (report.verdict is Verdict.INCONCLUSIVE), report.reason
    assert said is not (report.verdict is Verdict.REPRODUCED), report.reason
    assert not said or report.claims[0].fresh is None
    return said


@pytest.mark.parametrize(
    "script",
    [
        "touch metrics.json\n",
        "chmod 600 metrics.json\n",
        "mv metrics.json a; mv a metrics.json\n",
        "sed -i s/loss/lass/ metrics.json\n",
        "cp metrics.json a; echo >> a; mv a metrics.json\n",
    ],
)
def test_a_file_that_was_touched_or_edited_elsewhere(tmp_path: Path, script: str) -> None:
    assert is_stale(check(in_code(tmp_path, script).write()))


def test_a_log_to_which_something_else_was_added(tmp_path: Path) -> None:
    draft = in_code(
        tmp_path,
        'echo \'{"step": 2, "loss": 0.1}\' >> metrics.jsonl\n',
        stale='{"step": 1, "accuracy": 0.91}\n',
        name="metrics.jsonl",
    )
    assert is_stale(check(draft.write()))


def test_a_log_to_which_the_number_was_added_again(tmp_path: Path) -> None:
    draft = in_code(
        tmp_path,
        'echo \'{"step": 2, "accuracy": 0.91}\' >> metrics.jsonl\n',
        stale='{"step": 1, "accuracy": 0.91}\n',
        name="metrics.jsonl",
    )
    assert not is_stale(check(draft.write()))


def test_another_number_at_its_place_is_fresh(tmp_path: Path) -> None:
    script = "printf '{\"accuracy\": 0.911}' > metrics.json\n"
    assert not is_stale(check(in_code(tmp_path, script).write()))


@pytest.mark.parametrize("sandbox", [True, False])
@pytest.mark.parametrize(
    ("code", "stale"),
    [
        ('json.dump({"accuracy": 0.91}, open("metrics.json", "w"))', False),
        (
            'json.dump({"accuracy": 0.91}, open("m", "w")); os.replace("m", "metrics.json")',
            False,
        ),
        (
            'f = open("metrics.json", "w"); json.dump({"accuracy": 0.91}, f); f.close()\n'
            'json.load(open("metrics.json"))',
            False,
        ),
        (
            'm = json.load(open("metrics.json")); m["f1"] = 0.2\n'
            'json.dump(m, open("metrics.json", "w"))',
            True,
        ),
        ('subprocess.run(["touch", "metrics.json"])', True),
        ('os.chmod("metrics.json", 0o600)', True),
        ('open("metrics.json", "a").write("\\n")', True),
        ('f = open("metrics.json", "r+"); f.seek(0, 2); f.write("\\n")', True),
    ],
)
def test_a_python_program_is_seen_to_write_it_anew(
    tmp_path: Path, code: str, stale: bool, sandbox: bool
) -> None:
    draft = in_python(tmp_path, f"import json, os, subprocess\n{code}\n")
    assert is_stale(check(draft.write(), sandbox=sandbox)) is stale


def test_a_file_of_the_training_to_which_the_evaluation_adds(tmp_path: Path) -> None:
    """Repeated alone, the evaluation only hands on what was packed; trained again, it is fresh."""
    content = STALE.encode()
    draft = Draft(tmp_path)
    first = draft.add_run(
        {"train.sh": f"printf '%s' '{STALE}' > metrics.json\n"},
        "sh",
        "train.sh",
        artifacts={"metrics.json": content},
    )
    draft.add_run(
        {"eval.sh": "sed -i 's/}/, \"f1\": 0.2}/' metrics.json\n"},
        "sh",
        "eval.sh",
        materials=(
            Material(
                path="{project}/metrics.json",
                size=len(content),
                sha256=sha256_hex(content),
                evidence=(Evidence.TRACE,),
                origin=Origin(run=first, path="{project}/metrics.json"),
            ),
        ),
    )
    for mode in (ClaimMode.EVALUATE, ClaimMode.RETRAIN_SAME_SEED):
        draft.add_claim(0.91, mode=mode)
    bundle = draft.write()
    assert is_stale(check(bundle))
    assert not is_stale(check(bundle, mode=Mode.RETRAIN))
