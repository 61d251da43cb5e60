# SPDX-License-Identifier: Apache-2.0
"""`repropack init`: a file that explains itself, and that is valid as it is and uncommented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from repropack.export.project_template import Known, write_template
from repropack.project_file import (
    DeclaredClaim,
    DeclaredData,
    DeclaredEquivalence,
    DeclaredInterval,
    DeclaredTolerance,
    ProjectFile,
    read_project_file,
)
from tests.project import Project


def _uncommented(text: str) -> str:
    """As the file's first lines say: a setting has no single space after its `#`."""
    return re.sub(r"^#(?! \S|$)", "", text, flags=re.MULTILINE)


def _read(tmp_path: Path, text: str) -> ProjectFile:
    (tmp_path / "repropack.yaml").write_text(text)
    return read_project_file(tmp_path)


def test_every_key_is_explained() -> None:
    text = write_template(Known(title="x"))
    for kind in (
        ProjectFile,
        DeclaredClaim,
        DeclaredData,
        DeclaredTolerance,
        DeclaredInterval,
        DeclaredEquivalence,
    ):
        for name in kind.__struct_fields__:
            assert re.search(rf"\b{name}\b", text), name


def test_without_a_run_nothing_is_set_and_all_can_be(tmp_path: Path) -> None:
    text = write_template(Known(title="x"))
    assert _read(tmp_path, text) == ProjectFile()
    full = _read(tmp_path, _uncommented(text))
    for name in ProjectFile.__struct_fields__:
        assert getattr(full, name), name


@pytest.mark.parametrize("name", ["a: b", "- x", "# y", "'", '"', "no", "1", "ü, {z}", "\x1b[2J"])
def test_names_of_any_kind_are_written_as_they_are(tmp_path: Path, name: str) -> None:
    text = write_template(Known(title=name, run="r", weights=(name, "b"), data=(name,)))
    assert text.isascii()
    assert text.isprintable() or set(text) - {"\n"} <= set(map(chr, range(32, 127)))
    assert _read(tmp_path, text).title == name
    full = _read(tmp_path, _uncommented(text))
    assert (full.weights, list(full.data)) == ((name, "b"), [name])


def test_it_is_filled_in_from_the_last_run(project: Project, tmp_path: Path) -> None:
    project.ok("run", "--", "python", "train.py")
    project.ok("run", "--", "python", "eval.py", "out/model.bin")
    text = project.ok("init")
    path = project.root / "repropack.yaml"
    assert text.splitlines()[0].startswith(f"wrote {path}, filled in from run ")
    found = read_project_file(project.root)
    assert found.title == "project"
    assert found.claims is not None
    assert {claim.metric: claim.file for claim in found.claims} == {
        "score": "out/metrics.json",
        "bias": "out/metrics.json",
    }
    assert all(c.evaluate is not None and c.evaluate.relative == 1e-5 for c in found.claims)
    full = _read(tmp_path, _uncommented(path.read_text()))
    assert full.weights == ("out/model.bin",)
    assert full.claims is not None
    assert all(claim.retrain is not None for claim in full.claims)
    # An export takes it.
    project.ok("key", "new")
    project.ok("export", "--dry-run", "--json")


def test_what_to_do_next_can_be_done(project: Project) -> None:
    # Nothing is recorded: an export would have nothing to show.
    assert project.ok("init").endswith("then repropack run -- COMMAND\n")
    (project.root / "repropack.yaml").unlink()
    project.ok("run", "--", "python", "train.py")
    assert project.ok("init").endswith("then repropack export --dry-run\n")


def test_a_file_that_is_there_stays(project: Project) -> None:
    (project.root / "repropack.yaml").symlink_to("nowhere")
    done = project.repropack("init")
    assert done.returncode == 2
    assert "repropack.yaml is there already; nothing was written" in done.stderr
    assert (project.root / "repropack.yaml").is_symlink()


def test_it_is_printed_and_not_written_on_request(project: Project) -> None:
    below = project.root / "below"
    below.mkdir()
    text = project.ok("init", "--print", cwd=below)
    assert text.startswith("# repropack.yaml: ")
    assert "#claims:" in text
    assert not list(project.root.rglob("repropack.yaml"))
    project.ok("init", cwd=below)
    assert (project.root / "repropack.yaml").read_text() == text
