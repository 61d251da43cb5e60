# SPDX-License-Identifier: Apache-2.0
"""`--json`: one document on standard output, as its schema in `schemas/` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click
import jsonschema
import pytest

from repropack import canonical
from tests.cli.commands import every_command
from tests.project import EVAL, TRAIN, Project, project_in

SCHEMAS: Final = Path(__file__).parents[2] / "schemas"

CALLS: Final[dict[str, list[tuple[list[str], int]]]] = {
    "calibrate": [(["{bundle}", "--runs", "2"], 0)],
    "data check": [
        (["rows", "--against", "{listing}", "--run", "train"], 0),
        (["rows", "--against", "{other}", "--run", "train"], 1),
    ],
    "data diff": [(["train", "{bundle}"], 0), (["train", "{other}"], 1)],
    "diff": [
        (["train", "again"], 1),
        (["eval", "{bundle}"], 0),
        (["again", "{bundle}"], 1),
        (["eval", "eval"], 0),
    ],
    "doctor": [([], 0)],
    "export": [
        (["--run", "eval", "--dry-run"], 0),
        (["--run", "leak", "--dry-run"], 1),
        (["--run", "leak"], 1),
        (["--run", "eval", "-o", "{place}/other.rpk"], 0),
        (["--run", "eval", "-o", "{place}/volumes.rpk", "--volumes", "64K"], 0),
        (["--run", "eval", "--anonymous", "--unevaluated", "-o", "{place}/anonymous.rpk"], 0),
        (["--run", "eval", "--anonymous", "--dry-run"], 0),
    ],
    "inspect": [(["{bundle}"], 0)],
    "list": [([], 0), (["--size"], 0)],
    "receipt check": [(["{bundle}", "{receipt}"], 3), (["{bundle}", "{stranger}"], 1)],
    "repeat": [(["eval", "--no-sandbox"], 0)],
    "scan": [([], 1), (["eval", "--no-own-terms"], 0)],
    "show": [(["train"], 0), (["eval"], 0)],
    "verify": [
        (["{bundle}", "--no-run"], 0),
        (["{bundle}", "--no-sandbox", "--new-seed", "--retrain"], 3),
        (["{bundle}", "--no-sandbox", "--retrain"], 0),
    ],
}
"""Every command with `--json`, on what it has most to say about, and its exit status."""

TOKEN: Final = "ghp_Zk3Rw9QxLm2VtY7bNc5Hd8Jf4Gs6Pa1Ku0Ei"

SHARED: Final = {"repeat": "report", "verify": "report"}


def _commands_with_json() -> dict[str, click.Command]:
    return {
        name: command
        for name, command in every_command().items()
        if any("--json" in parameter.opts for parameter in command.params)
    }


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory, python_environment: Path) -> Project:
    """A project with data, two seeds, an evaluation, a leak, a bundle and a receipt."""
    place = tmp_path_factory.mktemp("worked")
    for name in ("home", "project", "rows"):
        (place / name).mkdir()
    project = project_in(place, python_environment)
    project.write("train.py", TRAIN)
    project.write("eval.py", EVAL)
    project.write(".gitignore", "out/\n")
    (place / "rows/a.txt").write_text("1 2 3\n")
    project.git("init", "-q", "-b", "main")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "first")
    project.ok("key", "new")
    train = ("--data", f"rows={place}/rows", "--", "python", "train.py", "--data", f"{place}/rows")
    project.ok("run", "--name", "again", *train, "--seed", "2")
    project.ok("run", "--name", "train", *train, "--seed", "1")
    project.ok("run", "--name", "eval", "--", "python", "eval.py", "out/model.bin")
    bundle = str(place / "release.rpk")
    project.ok("export", "--run", "eval", "-o", bundle, "--yes")
    receipt = str(place / "receipt.json")
    project.ok("verify", bundle, "--no-sandbox", "--receipt", receipt)
    (place / "stranger.json").write_bytes((place / "receipt.json").read_bytes()[:-9])
    listing = project.ok("show", "train", "--json")
    (digest,) = [
        one["sha256"]
        for one in json.loads(listing)["run"]["segments"][0]["materials"]
        if one["path"].endswith("a.txt")
    ]
    (place / "listing.txt").write_text(f"{digest}  a.txt\n")
    (place / "other.txt").write_text(f"{'0' * 64}  a.txt\n{'1' * 64}  b.txt\n")
    project.write("leak.py", f"token = '{TOKEN}'\n")
    project.ok("run", "--name", "leak", "--", "python", "leak.py")
    return project


def _filled(words: list[str], place: Path) -> list[str]:
    files = {
        "bundle": "release.rpk",
        "receipt": "receipt.json",
        "stranger": "stranger.json",
        "listing": "listing.txt",
        "other": "other.txt",
    }
    names = {name: str(place / file) for name, file in files.items()}
    return [word.format(place=place, **names) for word in words]


def test_every_command_with_json_is_called_here() -> None:
    assert sorted(_commands_with_json()) == sorted(CALLS)


@pytest.mark.parametrize("name", sorted(CALLS))
def test_standard_output_is_the_document_that_the_schema_describes(
    worked: Project, name: str
) -> None:
    schema = json.loads((SCHEMAS / f"{SHARED.get(name) or _schema_of(name)}.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for words, status in CALLS[name]:
        arguments = [*name.split(), *_filled(words, worked.root.parent), "--json"]
        done = worked.repropack(*arguments)
        assert done.returncode == status, (arguments, done.stdout, done.stderr)
        assert done.stdout.count("\n") == 1, done.stdout
        document: Any = json.loads(done.stdout)
        validator.validate(document)
        assert canonical.encode(document).decode() + "\n" == done.stdout
        _assert_closed(document, schema, schema)


def _schema_of(name: str) -> str:
    return f"output-{name.replace(' ', '-')}"


def _assert_closed(document: Any, schema: Any, root: Any) -> None:
    """Every field that a program can meet is one that the schema names."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", ()):
        if jsonschema.Draft202012Validator({**choice, "$defs": root["$defs"]}).is_valid(document):
            return _assert_closed(document, choice, root)
    if isinstance(document, dict):
        named = schema.get("properties", {})
        for key, value in document.items():
            if key in named:
                _assert_closed(value, named[key], root)
            else:
                other = schema.get("additionalProperties")
                assert other or key == schema.get("discriminator"), f"{key} is in no schema"
                _assert_closed(value, other if isinstance(other, dict) else {}, root)
    elif isinstance(document, list):
        for one in document:
            _assert_closed(one, schema.get("items", {}) or {}, root)
    return None


def test_an_error_is_no_document(worked: Project) -> None:
    for name in CALLS:
        needed = ["nothing"] * {"diff": 2, "data diff": 2, "receipt check": 2}.get(name, 1)
        needed = {"list": [], "doctor": [], "export": ["--run", "nothing"]}.get(name, needed)
        if name == "data check":
            needed += ["--against", "nothing"]
        elsewhere = worked.root.parent if name == "list" else None
        if name == "doctor":
            continue
        done = worked.repropack(*name.split(), *needed, "--json", cwd=elsewhere)
        assert done.returncode == 2, (name, done.stdout, done.stderr)
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
