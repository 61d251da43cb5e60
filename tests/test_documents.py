# SPDX-License-Identifier: Apache-2.0
"""The documents are true: commands run, links lead somewhere, schemas are in step."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from repropack.project_file import ProjectFile, read_project_file
from repropack.schema import OUTPUTS, SCHEMAS, schema
from tests.project import Project

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_there_are_documents_to_check() -> None:
    assert len(DOCUMENTS) >= 12


def test_the_commands_of_the_readme_run_and_reproduce(project: Project, tmp_path: Path) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    program = tmp_path / "bin"
    program.mkdir()
    launcher = program / "repropack"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} -m repropack "$@"\n')
    launcher.chmod(0o755)
    environment = {**project.environment, "PATH": f"{program}:{project.environment['PATH']}"}
    done = subprocess.run(
        ["sh", "-e", "-c", block],
        cwd=project.root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = [line for line in done.stdout.splitlines() if line.startswith("REPRODUCED")]
    assert len(verdicts) == 2


def test_every_yaml_example_is_a_project_file(tmp_path: Path) -> None:
    examples = [
        example
        for document in DOCUMENTS
        for example in re.findall(r"```yaml\n(.*?)```", document.read_text(), flags=re.DOTALL)
    ]
    assert len(examples) == 2
    for example in [*examples, (ROOT / "examples/digits/repropack.yaml").read_text()]:
        (tmp_path / "repropack.yaml").write_text(example)
        read = read_project_file(tmp_path)
        assert read != ProjectFile()
        assert read.claims is not None
        assert len(read.claims) == len(yaml.safe_load(example)["claims"])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        if not target.startswith("https://"):
            assert (document.parent / target).exists(), target


def test_the_schemas_are_in_step_with_the_types() -> None:
    assert sorted(p.stem for p in (ROOT / "schemas").glob("*.json")) == sorted([*SCHEMAS, *OUTPUTS])
    for name in (*SCHEMAS, *OUTPUTS):
        written = json.loads((ROOT / "schemas" / f"{name}.json").read_text())
        assert written == json.loads(json.dumps(schema(name))), f"run `make schemas`: {name}"
        jsonschema.Draft202012Validator.check_schema(written)


def test_the_exit_codes_of_the_readme_are_those_of_the_help(project: Project) -> None:
    text = project.ok("verify", "--help")
    for status in (0, 1, 2, 3, 4):
        assert re.search(rf"^ +{status}  ", text, flags=re.MULTILINE), "each has a line of its own"


def test_no_document_names_a_place_of_a_developers_machine() -> None:
    for document in DOCUMENTS:
        text = document.read_text()
        for word in ("/work/", "/root/", "localhost:", "pypi.org", "pythonhosted", "anaconda."):
            assert word not in text, f"{document}: {word}"


def test_what_a_verdict_means_is_said_on_two_pages() -> None:
    assert len((ROOT / "docs/trust.md").read_text(encoding="utf-8").split()) <= 1100
