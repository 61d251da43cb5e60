# SPDX-License-Identifier: Apache-2.0
"""Copies of outputs are linked to the run that made them, and what only looks like one is not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project import Project

READ = ("python", "-c", "import sys; print('accuracy:', len(open(sys.argv[1]).read()))")


def _origin(project: Project, path: Path) -> object:
    project.ok("run", "--", *READ, str(path))
    (material,) = project.segment()["materials"]
    return material.get("origin")


def _rename(source: Path, target: Path) -> None:
    copy = source.with_name("copy.bin")
    shutil.copyfile(source, copy)
    copy.rename(target)


def _copy_with_an_old_date(source: Path, target: Path) -> None:
    # As tools that make archives the same every time do.
    shutil.copyfile(source, target)
    os.utime(target, (0, 0))


@pytest.mark.parametrize(
    "copy",
    [shutil.copyfile, shutil.copy2, os.link, _rename, _copy_with_an_old_date],
    ids=["cp", "cp -p", "ln", "mv", "old date"],
)
@pytest.mark.parametrize("place", ["project/best.bin", "weights/best.bin"])
def test_a_copy_is_linked_to_the_run_that_made_its_content(
    project: Project, copy: Callable[[Path, Path], object], place: str
) -> None:
    project.ok("run", "--name", "train", "--", "python", "train.py")
    target = project.root.parent / place
    target.parent.mkdir(exist_ok=True)
    with (project.root / ".gitignore").open("a") as ignored:
        ignored.write("*.bin\n")
    copy(project.root / "out/model.bin", target)
    train = project.show("train")["run"]["id"]
    assert _origin(project, target) == {"run": train, "path": "{project}/out/model.bin"}
    name = "best.bin" if place.startswith("project") else "{data:weights}/best.bin"
    said = f"{name} (same content as out/model.bin) of run {train}"
    assert f"reads {said}" in project.ok("show", "last", "--graph")


@pytest.mark.parametrize("place", ["project/old.bin", "weights/old.bin"])
def test_an_older_file_with_the_content_of_an_output_is_not_linked(
    project: Project, place: str
) -> None:
    project.ok("run", "--", "python", "train.py")
    content = (project.root / "out/model.bin").read_bytes()
    shutil.rmtree(project.root / "out")
    shutil.rmtree(project.root / ".repropack")
    project.write(".gitignore", "out/\nold.bin\n")
    old = project.root.parent / place
    old.parent.mkdir(exist_ok=True)
    old.write_bytes(content)
    # A tick of the clock of files: within the same one nobody can tell.
    time.sleep(0.02)
    project.ok("run", "--", "python", "train.py")
    assert (project.root / "out/model.bin").read_bytes() == content
    assert _origin(project, old) is None


def test_of_equal_outputs_a_copy_is_of_the_one_that_was_there(project: Project) -> None:
    project.ok("run", "--name", "first", "--", "python", "train.py")
    copy = project.root.parent / "weights" / "best.bin"
    copy.parent.mkdir()
    shutil.copyfile(project.root / "out/model.bin", copy)
    time.sleep(0.02)
    project.ok("run", "--name", "second", "--", "python", "train.py")
    first, second = (project.show(name)["run"]["id"] for name in ("first", "second"))
    origin = _origin(project, copy)
    assert isinstance(origin, dict)
    assert origin["run"] == first
    origin = _origin(project, project.root / "out/model.bin")
    assert isinstance(origin, dict)
    assert origin["run"] == second


def test_equal_outputs_are_told_apart_by_where_they_lie(project: Project) -> None:
    project.write(".gitignore", "*.bin\n")
    ids = {}
    for name in ("a.bin", "b.bin"):
        project.ok("run", "--", "python", "-c", f"open('{name}', 'w').write('the same weights')")
        ids[name] = project.show()["run"]["id"]
    for name in ("a.bin", "b.bin"):
        origin = _origin(project, project.root / name)
        assert origin == {"run": ids[name], "path": f"{{project}}/{name}"}


@pytest.mark.parametrize("text", ["{}", "[]\n", "0.0"])
def test_what_any_program_may_have_written_is_no_copy(project: Project, text: str) -> None:
    project.write(".gitignore", "*.json\n")
    project.ok("run", "--", "python", "-c", f"open('state.json', 'w').write({text!r})")
    run = project.show()["run"]["id"]
    other = project.root.parent / "data/options.json"
    other.parent.mkdir()
    other.write_text(text)
    assert _origin(project, other) is None
    # Where the run wrote it, it is what the run wrote.
    assert _origin(project, project.root / "state.json") == {
        "run": run,
        "path": "{project}/state.json",
    }


def test_what_merely_lay_there_is_not_drawn_as_read(project: Project) -> None:
    """Its earlier output is there for a shell that nobody observes, and that overwrites it."""
    project.write("step.sh", "echo the weights > step.bin\n")
    project.write(".gitignore", "*.bin\n")
    for _ in range(2):
        project.ok("run", "--trace", "python", "--", "sh", "step.sh")
    (material,) = project.segment()["materials"]
    assert material["evidence"] == ["present"]
    assert f"step.bin (lay there) of run {material['origin']['run']}" in project.ok(
        "show", "last", "--graph"
    )


def test_weights_of_another_project_are_data_and_their_run_is_named_once(
    project: Project,
) -> None:
    other = Project(project.root.parent / "other", project.environment)
    shutil.copytree(project.root, other.root)
    other.ok("run", "--name", "train", "--", "python", "train.py")
    before = sorted(str(p) for p in other.root.rglob("*"))
    done = project.repropack("run", "--", *READ, str(other.root / "out/model.bin"))
    made = other.show("train")["run"]["id"]
    assert f"has the content that run {made} of {other.root} wrote" in done.stderr
    (material,) = project.segment()["materials"]
    assert "origin" not in material
    # It would tie an anonymous release to that project.
    assert made not in json.dumps(project.show())
    assert sorted(str(p) for p in other.root.rglob("*")) == before
    # On this machine the graph may lead there, and says so; a place is not in it.
    drawing = project.root.parent / "graph.svg"
    project.ok("show", "last", "--graph", str(drawing))
    for drawn in (project.ok("show", "last", "--graph"), drawing.read_text()):
        assert f"run {made} [train]" in drawn
        assert "in another project" in drawn
        assert str(other.root) not in drawn
    assert f"of run {made}" in project.ok("show", "last", "--graph")
    # Also once that file was overwritten; not once the project is gone.
    other.ok("run", "--name", "again", "--", "python", "train.py", "--seed", "2")
    assert f"run {made} [train]" in project.ok("show", "last", "--graph")
    (other.root / ".repropack").rename(other.root / "gone")
    assert made not in project.ok("show", "last", "--graph")
    (other.root / "gone").rename(other.root / ".repropack")
    (other.root / "mine.txt").write_text("of no run")
    done = project.repropack("run", "--", *READ, str(other.root / "mine.txt"))
    assert "has the content" not in done.stderr


@pytest.fixture
def copied(project: Project) -> Project:
    """An evaluation that read a copy outside the project, beside a file of its own; exported."""
    project.ok("key", "new")
    project.ok("run", "--name", "train", "--", "python", "train.py")
    copy = project.root.parent / "weights" / "best.bin"
    copy.parent.mkdir()
    shutil.copyfile(project.root / "out/model.bin", copy)
    project.ok("run", "--", "python", "eval.py", str(copy))
    project.ok("export", "--run", "last", "-o", str(project.root.parent / "x.rpk"), "--yes")
    # The author's copy is gone, and no reader has it.
    shutil.rmtree(copy.parent)
    return project


def _verify(project: Project, *options: str) -> subprocess.CompletedProcess[str]:
    place = project.root.parent / "reader"
    place.mkdir(exist_ok=True)
    bundle = str(project.root.parent / "x.rpk")
    return project.repropack("verify", bundle, "--allow-unknown-signer", *options, cwd=place)


@pytest.mark.parametrize("options", [(), ("--retrain",), ("--retrain", "--no-sandbox")])
def test_a_bundle_brings_the_copy_and_the_run_that_made_it(
    copied: Project, options: tuple[str, ...]
) -> None:
    done = _verify(copied, *options, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"] == "REPRODUCED"
    assert len(report["runs"]) == (2 if options else 1)
    assert len(report["lineage"]) == 2


def test_a_retraining_reads_what_it_made_and_not_the_packed_copy(copied: Project) -> None:
    # The training of this bundle gives other weights each time.
    project = copied
    project.write(
        "train.py",
        "import os, pathlib\n"
        "pathlib.Path('out').mkdir(exist_ok=True)\n"
        "pathlib.Path('out/model.bin').write_text(f'[{os.getpid()}, {os.urandom(4)[0]}]')\n",
    )
    project.ok("run", "--", "python", "train.py")
    copy = project.root.parent / "weights" / "best.bin"
    copy.parent.mkdir()
    shutil.copyfile(project.root / "out/model.bin", copy)
    project.ok("run", "--", "python", "eval.py", str(copy))
    (project.root.parent / "x.rpk").unlink()
    project.ok("export", "--run", "last", "-o", str(project.root.parent / "x.rpk"), "--yes")
    shutil.rmtree(copy.parent)
    assert json.loads(_verify(project, "--json").stdout)["verdict"] == "REPRODUCED"
    retrained = json.loads(_verify(project, "--retrain", "--json").stdout)
    claims = retrained["claims"]
    assert claims
    assert all(c["fresh"] != c["claim"]["expected"] for c in claims)


def test_by_hand_the_copy_is_found_too(copied: Project) -> None:
    place = copied.root.parent / "by hand"
    copied.ok("extract", str(copied.root.parent / "x.rpk"), str(place))
    text = (place / "REPRODUCING.md").read_text().partition("## 2. Data")[2]
    blocks = [b for _, b in re.findall(r"(?ms)^(`{3,})[^\n]*\n(.*?)^\1$", text)]
    # The interpreter of the tests stands for the rebuilt one.
    script = "".join(blocks[:-1]).replace("ENV=$PWD/env\n", f"ENV={sys.prefix}\n")
    subprocess.run(["sh", "-ec", script], cwd=place, check=True, env=copied.environment)
    (fresh,) = place.glob("work-run-2/**/out/metrics.json")
    assert json.loads(fresh.read_text()) == json.loads(
        (copied.root / "out/metrics.json").read_text()
    )
