# SPDX-License-Identifier: Apache-2.0
"""`repropack.yaml`: each mistake is one line that names the file and the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from repropack.errors import UsageError
from repropack.model import Absolute, Exact
from repropack.project_file import ProjectFile, read_project_file


def test_an_absent_file_is_an_empty_one(tmp_path: Path) -> None:
    assert read_project_file(tmp_path) == ProjectFile()
    (tmp_path / "repropack.yaml").write_text("# nothing yet\n")
    assert read_project_file(tmp_path) == ProjectFile()


def test_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "repropack.yaml").write_text(
        "weights: [m.pt]\n"
        "claims: [{metric: acc, evaluate: {exact: true}, retrain: {absolute: 1}}]\n"
    )
    found = read_project_file(tmp_path)
    assert found.weights == ("m.pt",)
    assert found.claims is not None
    (claim,) = found.claims
    assert claim.evaluate is not None
    assert claim.retrain is not None
    assert claim.evaluate.tolerance(()) == Exact()
    assert claim.retrain.tolerance(()) == Absolute(within=1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clams: []", "unknown field `clams`"),
        ("claims: [{metric: a, evaluate: {absolut: 1}}]", "claims[0].evaluate"),
        ("claims: [{metric: a, evaluate: {absolute: -1}}]", "not negative"),
        ("claims: [{metric: a, evaluate: {absolute: .nan}}]", "finite"),
        ("claims: [{metric: a, evaluate: {relative: .inf}}]", "finite"),
        ("claims: [{metric: a, evaluate: {exact: true, absolute: 1}}]", "expected one of"),
        ("claims: 3", "$.claims"),
        ("title: a\ntitle: b", "a key stands twice"),
        ("x: &a [1]\ny: *a", "aliases are not allowed"),
        ("[", "line 1"),
        ("- 1", "Expected `object`"),
        ('data: {x: {address: "http://a"}}', "does not start with https://"),
        ("!!python/object:os.system x", "could not determine a constructor"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "repropack.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_project_file(tmp_path)
    assert said in caught.value.message
    assert "repropack.yaml: " in caught.value.message
    assert "\n" not in caught.value.message
