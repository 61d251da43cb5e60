# SPDX-License-Identifier: Apache-2.0
"""Bundles of earlier versions verify for ever, and the files that prove it do not change."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.compat.freeze import DIGESTS, HERE, INDEX, digest_lines, members
from tests.project import Project

VERSIONS = sorted(path.parent for path in HERE.glob("*/" + INDEX))
BUNDLES = [
    pytest.param(version, index["signer"], bundle, id=f"{version.name}-{bundle['file']}")
    for version in VERSIONS
    for index in (json.loads((version / INDEX).read_text(encoding="utf-8")),)
    for bundle in index["bundles"]
]


def program(place: Path) -> Project:
    settings = {"HOME": str(place), "REPROPACK_HOME": str(place / "settings")}
    return Project(place, {**os.environ, **settings})


def test_there_are_bundles_of_the_first_version() -> None:
    assert "0.1.0" in [version.name for version in VERSIONS]
    assert len(BUNDLES) >= 3


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_frozen_files_do_not_change(version: Path) -> None:
    assert (version / DIGESTS).read_text() == "".join(digest_lines(version))
    tag = f"v{version.name}"
    known = subprocess.run(
        ["git", "tag", "--list", tag], cwd=HERE, check=False, capture_output=True, text=True
    ).stdout
    if known:
        subprocess.run(["git", "diff", "--exit-code", tag, "--", version], cwd=HERE, check=True)


@pytest.mark.parametrize(("version", "signer", "bundle"), BUNDLES)
def test_it_is_read_as_it_was(
    version: Path, signer: str, bundle: dict[str, Any], tmp_path: Path
) -> None:
    path = version / bundle["file"]
    repropack = program(tmp_path)
    expected = f"sha256:{bundle['manifest_sha256']}"
    accepted = ("--signer", signer, "--expect", expected)
    report = json.loads(repropack.ok("verify", str(path), "--no-run", "--json", *accepted))
    assert report["verdict"] == bundle["verdict"] == "INTACT"
    repropack.ok("inspect", str(path))
    repropack.ok("extract", str(path), str(tmp_path / "out"))
    assert members(tmp_path / "out") == bundle["members"]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_its_claim_is_reproduced(version: Path, tmp_path: Path) -> None:
    index = json.loads((version / INDEX).read_text(encoding="utf-8"))
    report = json.loads(
        program(tmp_path).ok(
            "verify", str(version / "evaluated.rpk"), "--signer", index["signer"], "--json"
        )
    )
    assert report["verdict"] == "REPRODUCED"
