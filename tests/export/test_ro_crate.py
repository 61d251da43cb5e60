# SPDX-License-Identifier: Apache-2.0
"""An extracted bundle is an RO-Crate: all that it describes is there, and is as described."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from repropack.environment.index import load_index_settings, uv_arguments
from repropack.environment.uv import find_uv
from tests.project import Project

CONTEXTS = Path(__file__).parents[3] / "shared" / "vectors" / "ro-crate"

TRAIN = """\
import pathlib, sys
text = (pathlib.Path(sys.argv[1]) / "50% é.txt").read_text()
pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out/my 50% módel.bin").write_text(text)
"""

EVAL = """\
import pathlib, sys
print("score:", float(pathlib.Path(sys.argv[1]).read_text()))
sys.exit(3)
"""


@pytest.fixture
def place(project: Project) -> Path:
    """A bundle with odd names, a packed data set, and an evaluation that ends with an error."""
    numbers = project.root.parent / "numbers"
    numbers.mkdir()
    (numbers / "50% é.txt").write_text("2.5\n")
    project.write("train.py", TRAIN)
    project.write("eval.py", EVAL)
    project.write("LICENSE", "MIT\n")
    project.write("repropack.yaml", "title: A <i>title</i>\ndata: {numbers: {licence: CC0-1.0}}\n")
    project.ok("key", "new")
    project.ok("run", "--data", f"numbers={numbers}", "--", "python", "train.py", str(numbers))
    project.repropack("run", "--name", "e", "--", "python", "eval.py", "out/my 50% módel.bin")
    return _extracted(project)


def _extracted(project: Project, **variables: str) -> Path:
    release, place = project.root.parent / "release.rpk", project.root.parent / "crate"
    project.ok("export", "-o", str(release), "--include-data", "--yes", variables=variables)
    project.ok("extract", str(release), str(place))
    return place


def _graph(place: Path) -> dict[str, Any]:
    crate = json.loads((place / "ro-crate-metadata.json").read_text("utf-8"))
    entities = {entity["@id"]: entity for entity in crate["@graph"]}
    assert len(entities) == len(crate["@graph"])
    return entities


def _ids(value: Any) -> list[str]:
    return [v["@id"] for v in (value if isinstance(value, list) else [value])]


def test_every_file_is_described_as_it_is(place: Path) -> None:
    entities = _graph(place)
    parts = _ids(entities["./"]["hasPart"])
    files = {str(p.relative_to(place)) for p in place.rglob("*") if p.is_file()}
    described = {unquote(part) for part in parts}
    in_data_set = {"data/numbers/50%25 é.txt"}
    assert described - {"data/numbers/"} == files - in_data_set - {"ro-crate-metadata.json"}
    measured = 0
    for part in parts:
        entity = entities[part]
        if "sha256" in entity:
            content = (place / unquote(part)).read_bytes()
            assert entity["sha256"] == hashlib.sha256(content).hexdigest()
            assert entity["contentSize"] == str(len(content))
            measured += 1
    # Not of the data set, and not of the two files that are made after this one.
    assert measured == len(parts) - 3
    assert entities["data/numbers/"]["license"] == "CC0-1.0"
    assert entities["./"]["license"] == {"@id": "licenses/LICENSE"}
    assert entities["./"]["name"] == "A <i>title</i>"


def test_every_execution_is_an_action_with_what_it_read_and_made(place: Path) -> None:
    entities = _graph(place)
    assert _ids(entities["./"]["mentions"]) == ["#run-1", "#run-2"]
    train, evaluation = entities["#run-1"], entities["#run-2"]
    # In the name of a member a percent sign is `%25`; an `@id` escapes that one again.
    weights = "weights/out/my%2050%2525%20módel.bin"
    assert train["object"] == {"@id": "data/numbers/"}
    assert weights in _ids(train["result"])
    assert train["actionStatus"] == "http://schema.org/CompletedActionStatus"
    assert evaluation["object"] == {"@id": weights}
    assert evaluation["description"] == "python eval.py 'out/my 50% módel.bin'"
    assert evaluation["actionStatus"] == "http://schema.org/FailedActionStatus"
    assert evaluation["error"] == "ended with status 3"
    claimed = entities["#claim-1"]
    assert (claimed["name"], claimed["value"]) == ("score", 2.5)
    assert "#claim-1" in _ids(evaluation["result"])
    (code,) = {train["instrument"]["@id"], evaluation["instrument"]["@id"]}
    record = json.loads((place / "runs" / "1" / "run.json").read_text())
    tree = record["code"][0]["tree"]
    assert entities[code]["identifier"] == f"swh:1:dir:{tree}"
    assert entities[code]["softwareRequirements"] == {"@id": "environment/pylock.toml"}


def test_every_reference_leads_somewhere_and_nobody_is_named(place: Path) -> None:
    entities = _graph(place)
    leading = [
        value["@id"]
        for entity in entities.values()
        for values in entity.values()
        for value in (values if isinstance(values, list) else [values])
        if isinstance(value, dict)
    ]
    assert len(leading) > 20
    assert {i for i in leading if i not in entities} == {"https://w3id.org/ro/crate/1.1"}
    text = (place / "ro-crate-metadata.json").read_text()
    assert str(place.parent) not in text
    assert "Zoe" not in text
    assert "Person" not in text


def test_the_date_is_not_the_clocks(exported: Project) -> None:
    entities = _graph(_extracted(exported))
    run = exported.show("eval")["run"]["segments"][-1]
    assert entities["./"]["datePublished"] == run["ended"].replace("Z", "+00:00")
    stated = {"SOURCE_DATE_EPOCH": "86400"}
    exported.ok("export", "--run", "eval", "-o", "dated.rpk", "--yes", variables=stated)
    exported.ok("extract", "dated.rpk", "dated")
    dated = _graph(exported.root / "dated")
    assert dated["./"]["datePublished"] == "1970-01-02T00:00:00+00:00"
    assert dated["#run-2"]["endTime"] == entities["#run-2"]["endTime"]


@pytest.mark.parametrize("value", ["yesterday", "1.5", "-1", "9" * 30, "٣"])
def test_an_impossible_date_is_refused(exported: Project, value: str) -> None:
    done = exported.repropack(
        "export", "-o", "never.rpk", "--yes", variables={"SOURCE_DATE_EPOCH": value}
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"repropack: SOURCE_DATE_EPOCH is '{value}'")
    assert not (exported.root / "never.rpk").exists()


SEED = """\
import io, pathlib, sys
import requests, requests_cache, urllib3

class Files(requests.adapters.HTTPAdapter):
    def send(self, request, **options):
        body = io.BytesIO((folder / names[request.url]).read_bytes())
        kind = {"Content-Type": "application/ld+json"}
        answer = urllib3.HTTPResponse(body=body, status=200, headers=kind, preload_content=False)
        return self.build_response(request, answer)

cache, folder = sys.argv[1], pathlib.Path(sys.argv[2])
names = {
    "https://w3id.org/ro/crate/1.1/context": "ro-crate-1.1-context.jsonld",
    "https://w3id.org/ro/terms/workflow-run/context": "workflow-run-context.jsonld",
}
session = requests_cache.CachedSession(cache_name=cache, backend="sqlite", expire_after=-1)
session.mount("https://", Files())
for address in names:
    session.get(address).raise_for_status()
"""
"""Puts the JSON-LD contexts where the validator looks for what it fetched before."""

UNKNOWN = ("`author`", "`publisher`", "an agent", "a url", "an absolute URI")
"""Recommendations that need to know people or places that no record has."""


@pytest.mark.slow
def test_the_validator_of_the_community_accepts_it(place: Path, tmp_path: Path) -> None:
    if not CONTEXTS.is_dir():
        pytest.skip(f"{CONTEXTS} is not here: the JSON-LD contexts would have to be downloaded")
    venv = tmp_path / "validator"
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    uv = find_uv(environ, load_index_settings(environ))

    def start(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in words],
            check=False,
            capture_output=True,
            text=True,
            env={**uv.environment, "HOME": str(tmp_path)},
        )

    python = venv / "bin" / "python"
    made = start(uv.program, "venv", "--quiet", "--python", sys.executable, venv)
    assert made.returncode == 0, made.stderr
    wanted = [*uv_arguments(uv.settings), "roc-validator>=0.13"]
    installed = start(uv.program, "pip", "install", "--quiet", "--python", python, *wanted)
    if installed.returncode != 0:
        pytest.skip(f"roc-validator cannot be installed: {installed.stderr[-300:]}")
    cache, report = tmp_path / "contexts", tmp_path / "report.json"
    seeded = start(python, "-c", SEED, cache, CONTEXTS)
    assert seeded.returncode == 0, seeded.stderr
    where = ["--cache-path", str(cache), "--offline"]
    where += ["--output-format", "json", "--output-file", str(report)]
    what = ["--profile-identifier", "process-run-crate-0.5"]
    what += ["--requirement-severity", "recommended"]
    program = venv / "bin" / "rocrate-validator"
    done = start(program, "--no-interactive", "validate", place, "--no-paging", *what, *where)
    assert report.is_file(), done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert found["statistics"]["total_requirements"] > 10, found["statistics"]
    unmet = [issue["message"] for issue in found["issues"]]
    assert [m for m in unmet if not any(words in m for words in UNKNOWN)] == []
    assert {issue["severity"] for issue in found["issues"]} == {"RECOMMENDED"}
