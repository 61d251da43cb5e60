# SPDX-License-Identifier: Apache-2.0
"""`repropack diff` of bundles: what a reader has, against another bundle or a run of her own."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.project import Project
from tests.toy_environment import toy_environment


@pytest.fixture
def released(project: Project) -> Project:
    """Two seeds, each recorded and packed: `one.rpk`, `two.rpk`."""
    project.ok("key", "new")
    for seed, name in ((1, "one"), (2, "two")):
        project.ok("run", "--name", name, "--", "python", "train.py", "--seed", str(seed))
        project.ok("export", "--run", name, "-o", f"{name}.rpk", "--yes")
    return project


def test_a_bundle_is_compared_with_a_run_and_with_another_bundle(released: Project) -> None:
    same = released.repropack("diff", "one", "one.rpk")
    assert (same.returncode, same.stdout.splitlines()[-1]) == (0, "nothing differs"), same.stdout
    assert "one.rpk (signed by " in same.stdout.splitlines()[0]
    for pair in (("one.rpk", "two.rpk"), ("one", "two.rpk"), ("one.rpk", "two")):
        done = released.repropack("diff", *pair)
        assert done.returncode == 1
        assert "command  python train.py --seed 1 → python train.py --seed 2" in done.stdout
        facts = json.loads(released.repropack("diff", *pair, "--json").stdout)
        assert list(facts["wrote"]) == ["{project}/out/model.bin"]
        assert set(facts["signers"]) == {name for name in pair if name.endswith(".rpk")}


def test_a_reader_without_a_store_can_compare_two_bundles(
    released: Project, tmp_path: Path
) -> None:
    place = tmp_path / "reader"
    place.mkdir()
    for name in ("one.rpk", "two.rpk"):
        shutil.copy(released.root / name, place)
    reader = Project(place, released.environment)
    assert reader.repropack("diff", "one.rpk", "two.rpk").returncode == 1
    reader.ok("extract", "one.rpk", "unpacked")
    assert reader.ok("diff", "unpacked", "one.rpk").endswith("nothing differs\n")


def test_a_damaged_bundle_is_named_and_not_compared(released: Project) -> None:
    content = bytearray((released.root / "two.rpk").read_bytes())
    content[len(content) // 2] ^= 1
    (released.root / "bad.rpk").write_bytes(content)
    (released.root / "text.rpk").write_text("no bundle\n")
    for name, status in (("bad.rpk", 1), ("text.rpk", 1), ("absent.rpk", 2)):
        done = released.repropack("diff", "one", name)
        assert done.returncode == status, done.stderr
        assert done.stdout == ""
        assert done.stderr.splitlines()[-1].startswith(f"repropack: {name}: ")
        assert "Traceback" not in done.stderr


def test_a_run_whose_name_is_a_directory_is_a_run(released: Project) -> None:
    (released.root / "one").mkdir()
    (released.root / "two").write_text("notes\n")
    done = released.repropack("diff", "one", "two")
    assert "--seed 1 → python train.py --seed 2" in done.stdout


def test_the_diff_of_hostile_records_shows_nothing_raw(released: Project) -> None:
    script = "open('out.txt', 'w').write('1')"
    released.ok("run", "--name", "odd", "--", "python", "-c", script, "\x1b]0;x\x07")
    released.ok("export", "--run", "odd", "-o", "odd.rpk", "--yes")
    done = released.repropack("diff", "one.rpk", "odd.rpk")
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr


def test_each_environment_of_a_run_is_compared_with_its_counterpart(
    project: Project, tmp_path: Path
) -> None:
    """A training in the main environment, and further ones inside and outside the project."""
    project.write(".gitignore", "tools/\n")
    project.write("step.py", "import toy, random; print('score:', random.random())\n")
    project.write("late.py", "import toy\n")
    for name, inside, outside in (("a", "1.0", "1.0"), ("b", "2.0", "1.0"), ("c", "2.0", "3.0")):
        shutil.rmtree(project.root / "tools", ignore_errors=True)
        toy_environment(project.root / "tools", inside)
        away = toy_environment(tmp_path / name, outside)
        lines = (f"subprocess.run([{p!r}, {s!r}])" for p, s in _steps(away))
        project.write("all.py", "import subprocess\n" + "\n".join(lines))
        assert project.repropack("run", "--name", name, "--", "python", "all.py").returncode == 0
    done = project.repropack("diff", "a", "b")
    assert done.returncode == 1
    assert "package toy in {project}/tools  1.0 → 2.0\n" in done.stdout
    assert "of late.py" not in done.stdout
    _, causes = done.stdout.split("most likely cause of the other numbers:")
    assert "toy in {project}/tools: 1.0 → 2.0 (another major version)" in causes
    facts = json.loads(project.repropack("diff", "b", "c", "--json").stdout)
    assert facts["package"] == {
        f"{name} in the environment of late.py": ["1.0", "3.0"]
        for name in ("other", "part-of", "toy")
    }
    # One that only one of them used is one difference, and not as many as it has packages.
    project.write("all.py", "print('score: 1')\n")
    project.ok("run", "--name", "d", "--", "python", "all.py")
    python = ".".join(map(str, sys.version_info[:3]))
    facts = json.loads(project.repropack("diff", "c", "d", "--json").stdout)
    assert "package" not in facts
    assert facts["environment"] == {
        "{project}/tools": [f"Python {python}, 3 packages", None],
        "the environment of late.py": [f"Python {python}, 3 packages", None],
    }


def _steps(away: Path) -> tuple[tuple[str, str], ...]:
    return ("tools/bin/python", "step.py"), (f"{away}/bin/python", "late.py")
