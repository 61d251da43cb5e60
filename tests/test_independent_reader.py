# SPDX-License-Identifier: Apache-2.0
"""A reader that was written from the specification says the same of every vector."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import independent_reader
from tests.vectors.test_vectors import PLACE, VECTORS

SOURCE = Path(independent_reader.__file__)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["file"])
def test_it_agrees(vector: dict[str, Any]) -> None:
    said = independent_reader.main(str(PLACE / vector["file"]), *vector.get("arguments", ()))
    if vector["expect"] == "OK":
        assert said == f"OK sha256:{vector['manifest_sha256']}"
    else:
        assert said.split()[0] in (vector["expect"], *vector.get("also", ())), said


@pytest.mark.parametrize("name", ["good/minimal", "bad/RPK303-s-plus-order"])
def test_it_is_a_program(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-I", SOURCE, PLACE / f"{name}.rpk"], capture_output=True, text=True
    )
    good = name.startswith("good/")
    assert done.returncode == (0 if good else 1), done.stderr
    assert done.stdout.startswith("OK sha256:" if good else "RPK303 ")
    assert len(done.stdout.splitlines()) == 1


def test_it_shares_no_code_and_is_short() -> None:
    text = SOURCE.read_text()
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"zstandard", "cryptography"}
    assert len(text.splitlines()) <= 250
