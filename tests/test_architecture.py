# SPDX-License-Identifier: Apache-2.0
"""Guards of the guards: a test that goes over files goes over some."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

GLOBS = {
    "tests/vectors/v1/good/*.rpk": 20,
    "tests/vectors/v1/bad/*.rpk": 300,
    "schemas/*.json": 8,
    "docs/**/*.md": 8,
    "docs/adr/*.md": 7,
    "repropack/**/*.py": 80,
    "tests/**/test_*.py": 40,
    "examples/**/*.py": 1,
    "benchmarks/*.py": 2,
}
"""Every pattern of committed files that a test may depend on, and how many there are at least."""


@pytest.mark.parametrize(("pattern", "least"), GLOBS.items())
def test_every_pattern_matches_files(pattern: str, least: int) -> None:
    assert len(list(ROOT.glob(pattern))) >= least


def test_the_readme_of_the_vectors_counts_them() -> None:
    text = (ROOT / "tests/vectors/README.md").read_text(encoding="utf-8")
    good, bad = (
        len(list((ROOT / "tests/vectors/v1" / kind).glob("*"))) for kind in ("good", "bad")
    )
    numbers = [int(n) for n in re.findall(r"\b(\d+) (?:small|in `v1/)", text)]
    assert numbers == [good + bad, good, bad]


def test_every_test_module_has_tests() -> None:
    empty = [
        str(path.relative_to(ROOT))
        for path in ROOT.glob("tests/**/test_*.py")
        if not any(
            isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    ]
    assert empty == []


def test_ci_fuzzes() -> None:
    assert "make fuzz" in (ROOT / ".ci/run").read_text()
    assert "-m tests.fuzz --seconds" in (ROOT / "Makefile").read_text()
