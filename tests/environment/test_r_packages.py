# SPDX-License-Identifier: Apache-2.0
"""What a run loaded of R, from files alone. Only one test uses R, where it is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from repropack.environment.coarsening import coarse_environment
from repropack.environment.r_packages import loaded_r_packages
from repropack.export.environments import merge
from repropack.model import Environment, Machine, RPackage
from tests.project import Project

DESCRIPTION = """\
Package: {name}
Version: {version}
Title: A Toy: It Has a Colon
Description: Goes on
  in the next line; Version: 9.9 is not its version.
Author: Zoe Private <zoe@private.example>
{more}Built: R 4.2.2; ; 2023-01-20 18:24:21 UTC; unix
"""


def install(library: Path, name: str, version: str, more: str = "") -> Path:
    """A directory as R makes it; returns the file with the code."""
    place = library / name
    (place / "R").mkdir(parents=True)
    (place / "DESCRIPTION").write_text(DESCRIPTION.format(name=name, version=version, more=more))
    for ending in ("", ".rdb", ".rdx"):
        (place / "R" / f"{name}{ending}").write_bytes(b"\0")
    return place / "R" / f"{name}.rdb"


def test_the_packages_whose_code_was_read(tmp_path: Path) -> None:
    read = [
        str(install(tmp_path / "library", "base", "4.2.2")),
        str(install(tmp_path / "site-library", "data.table", "1.14-8", "Repository: CRAN\n")),
        str(install(tmp_path / "own", "mine", "0.1", f"RemoteSha: {'a1' * 20}\n")),
        str(install(tmp_path / "own", "told", "2", "Repository: https://zoe.example/r\n")),
    ]
    # Its name was only looked at.
    read.append(str(install(tmp_path / "library", "unused", "1.0").parents[1] / "DESCRIPTION"))
    assert loaded_r_packages([*read, *read]) == (
        RPackage(name="base", version="4.2.2", built="4.2.2"),
        RPackage(name="data.table", version="1.14-8", built="4.2.2", repository="CRAN"),
        RPackage(name="mine", version="0.1", built="4.2.2", commit="a1" * 20),
        RPackage(name="told", version="2", built="4.2.2"),
    )


@pytest.mark.parametrize(
    "description",
    [
        "",
        "Package: other\nVersion: 1\nBuilt: R 4.2.2;\n",
        "Package: toy\nVersion: 1\n",
        "Package: toy\nBuilt: R 4.2.2;\n",
        "Package: toy\nVersion: $(rm)\nBuilt: R 4.2.2;\n",
        "\0" * 100,
    ],
)
def test_what_only_looks_like_a_package_is_none(tmp_path: Path, description: str) -> None:
    code = install(tmp_path, "toy", "1.0")
    (code.parents[1] / "DESCRIPTION").write_text(description)
    assert loaded_r_packages([str(code)]) == ()
    (code.parents[1] / "DESCRIPTION").unlink()
    assert loaded_r_packages([str(code)]) == ()


def environment(**versions: str) -> Environment:
    return Environment(
        version=1,
        machine=Machine(system="Linux", architecture="x86_64"),
        r=tuple(RPackage(name=n, version=v, commit="a" * 40) for n, v in versions.items()),
    )


def test_runs_with_the_same_packages_share_an_environment() -> None:
    merged = merge(environment(base="4.2"), environment(base="4.2", toy="1"))
    assert merged == environment(base="4.2", toy="1")
    assert merge(environment(base="4.2"), environment(base="4.3")) is None
    assert {one.commit for one in coarse_environment(environment(toy="1")).r} == {""}


def loaded(project: Project) -> list[dict[str, Any]]:
    digest = project.segment()["environment"]
    stored = project.root / ".repropack/objects" / digest[:2] / digest[2:]
    found: list[dict[str, Any]] = json.loads(stored.read_text()).get("r", [])
    return found


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")


@needs_strace
def test_a_traced_run_records_what_was_loaded(project: Project, tmp_path: Path) -> None:
    library = tmp_path / "library"
    for name, version in (("base", "4.2.2"), ("toy", "1.2")):
        install(library, name, version)
    # A program that reads what R would read, under its name.
    fake = tmp_path / "R"
    shutil.copyfile(shutil.which("cat") or "", fake)
    fake.chmod(0o755)
    code = [str(library / name / "R" / f"{name}.rdb") for name in ("base", "toy")]
    done = project.repropack("run", "--", str(fake), *code)
    assert "R and the 2 packages that it loaded are recorded by version" in done.stderr
    assert [(one["name"], one["version"]) for one in loaded(project)] == [
        ("base", "4.2.2"),
        ("toy", "1.2"),
    ]
    assert "4.2.2, 2 packages loaded" in project.ok("show", "last")


@needs_strace
@pytest.mark.skipif(shutil.which("Rscript") is None, reason="no R")
def test_a_run_of_r_itself(project: Project) -> None:
    project.write("fit.R", 'library(grid)\ncat("accuracy:", mean(c(0.25, 0.75)), "\\n")\n')
    project.ok("key", "new")
    project.ok("run", "--", "Rscript", "fit.R")
    asked = "cat(as.character(getRversion()))"
    version = subprocess.run(["Rscript", "-e", asked], capture_output=True, text=True).stdout
    packages = {one["name"]: one["version"] for one in loaded(project)}
    assert {"base", "grid", "stats"} <= packages.keys()
    assert packages["base"] == packages["grid"] == version
    project.ok("export", "--run", "last", "-o", "x.rpk", "--yes")
    report = json.loads(project.repropack("verify", "x.rpk", "--json").stdout)
    assert report["verdict"] == "REPRODUCED"
    (difference,) = (d for d in report["differences"] if d["subject"] == "R")
    assert difference["recorded"].startswith(f"{version}, ")
