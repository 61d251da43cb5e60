# SPDX-License-Identifier: Apache-2.0
"""Outputs survive the next run: restored by digest; what no run needs is removed, nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.project import Project
from tests.toy_environment import toy_environment


def _train(project: Project, seed: int, name: str | None = None) -> str:
    """Trains and returns the weights; each run overwrites those before."""
    named = ("--name", name) if name else ()
    project.ok("run", *named, "--", "python", "train.py", "--seed", str(seed))
    return (project.root / "out/model.bin").read_text()


def _ids(project: Project) -> list[str]:
    return [run["id"] for run in json.loads(project.ok("list", "--json"))]


def test_overwritten_weights_come_back(project: Project, tmp_path: Path) -> None:
    first, second = _train(project, 1, "one"), _train(project, 2)
    assert first != second
    text = project.ok("restore", "one", "-o", str(tmp_path / "back"))
    assert (tmp_path / "back/out/model.bin").read_text() == first
    assert text.splitlines()[-1].startswith("restored 1 file of run ")
    assert (project.root / "out/model.bin").read_text() == second


def test_nothing_is_overwritten_unasked(project: Project, tmp_path: Path) -> None:
    first = _train(project, 1, "one")
    place = tmp_path / "back/out/model.bin"
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    done = project.repropack("restore", "one", "-o", str(tmp_path / "back"))
    assert done.returncode == 2
    assert "there already, with another content; nothing was written" in done.stderr
    assert place.read_text() == "mine"
    project.ok("restore", "one", "-o", str(tmp_path / "back"), "--overwrite")
    assert place.read_text() == first
    again = project.ok("restore", "one", "out", "-o", str(tmp_path / "back"))
    assert "(there already)" in again
    assert again.splitlines()[-1].startswith("restored 0 files")


def test_a_link_in_the_way_is_not_followed(project: Project, tmp_path: Path) -> None:
    _train(project, 1, "one")
    place = tmp_path / "back/out/model.bin"
    place.parent.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    place.symlink_to(victim)
    assert project.repropack("restore", "one", "-o", str(tmp_path / "back")).returncode == 2
    project.ok("restore", "one", "-o", str(tmp_path / "back"), "--overwrite")
    assert victim.read_text() == "mine"
    assert not place.is_symlink()


def test_damaged_content_is_not_restored(project: Project, tmp_path: Path) -> None:
    _train(project, 1, "one")
    (product,) = project.segment("one")["products"]
    kept = project.root / ".repropack/objects" / product["sha256"][:2] / product["sha256"][2:]
    kept.chmod(0o644)
    kept.write_text("x" * product["size"])
    done = project.repropack("restore", "one", "-o", str(tmp_path / "back"))
    assert done.returncode == 3
    assert "is damaged" in done.stderr
    assert list((tmp_path / "back/out").iterdir()) == []


def test_overwritten_weights_come_back_by_their_digest(project: Project, tmp_path: Path) -> None:
    """All that a paper or a colleague tells may be what `sha256sum` printed."""
    first = _train(project, 1)
    digest = hashlib.sha256(first.encode()).hexdigest()
    _train(project, 2)
    for number, spelled in enumerate((f"sha256:{digest}", digest, digest.upper())):
        place = tmp_path / f"back{number}"
        text = project.ok("restore", spelled, "-o", str(place))
        assert [p.relative_to(place).as_posix() for p in place.rglob("*.*")] == ["out/model.bin"]
        assert (place / "out/model.bin").read_text() == first
        assert text.splitlines()[-1] == f"restored 1 file of run {_ids(project)[0]}"
    done = project.repropack("restore", "0" * 64, "-o", str(tmp_path / "back"))
    assert done.returncode == 2
    assert "no recorded run left an output with this digest" in done.stderr
    done = project.repropack("restore", digest, "out", "-o", str(tmp_path / "back"))
    assert done.returncode == 2
    assert not (tmp_path / "back").exists()


def test_a_file_that_cannot_be_written_is_named(project: Project, tmp_path: Path) -> None:
    project.ok("run", "--", "python", "-c", "open('big.bin', 'wb').write(bytes(9000))")
    place = tmp_path / "back"
    done = subprocess.run(
        [
            "sh",
            "-c",
            f'ulimit -f 1; exec "$0" -m repropack restore last -o {place}',
            sys.executable,
        ],
        cwd=project.root,
        env=project.environment,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert f"{place}/big.bin could not be written: File too large" in done.stderr
    assert list(place.iterdir()) == []


def test_a_path_that_the_run_did_not_write_is_wrong_usage(project: Project, tmp_path: Path) -> None:
    _train(project, 1, "one")
    done = project.repropack("restore", "one", "nothing.pt", "-o", str(tmp_path / "back"))
    assert done.returncode == 2
    assert "wrote no such file" in done.stderr


def test_the_limits_of_what_is_kept_can_be_set(project: Project, tmp_path: Path) -> None:
    code = "open('big.bin', 'wb').write(bytes(3000)); open('log.tmp', 'w').write('x')"
    project.ok("run", "--keep-file", "2k", "--no-keep", "*.tmp", "--", "python", "-c", code)
    kept = {p["path"]: p.get("kept", True) for p in project.segment()["products"]}
    assert kept == {"{project}/big.bin": False, "{project}/log.tmp": False}
    said = project.ok("show")
    assert "larger than 2048 bytes (--keep-file)" in said
    assert "fits *.tmp" in said
    done = project.repropack("restore", "last", "big.bin", "-o", str(tmp_path / "back"))
    assert done.returncode == 3
    assert "was not kept" in done.stderr
    variables = {"REPROPACK_KEEP_RUN": "2K"}
    project.ok("run", "--", "python", "-c", code.replace("big", "huge"), variables=variables)
    assert "2048 bytes that are kept of a run" in project.ok("show")


def test_gc_removes_what_no_run_names_and_nothing_else(project: Project, tmp_path: Path) -> None:
    first = _train(project, 1, "one")
    stray = project.root / ".repropack/objects/ab" / ("0" * 62)
    stray.parent.mkdir(exist_ok=True)
    stray.write_text("left by a killed recorder")
    assert "would remove 0 runs and 1 kept file" in project.ok("gc", "--dry-run")
    assert stray.exists()
    assert "removed 0 runs and 1 kept file" in project.ok("gc")
    assert not stray.exists()
    project.ok("restore", "one", "-o", str(tmp_path / "back"))
    assert (tmp_path / "back/out/model.bin").read_text() == first


def test_what_a_damaged_run_may_need_stays_until_it_is_restored(
    project: Project, tmp_path: Path
) -> None:
    weights = _train(project, 1, "one")
    _train(project, 1, "two")
    store = project.root / ".repropack"
    (one,) = (p.parent for p in store.glob("runs/*/started.json") if '"one"' in p.read_text())
    record = (one / "run.json").read_bytes()
    (one / "run.json").write_bytes(record[:-40])
    done = project.ok("gc", "--keep-last", "0", "--named")
    assert "removed 1 run and 0 kept files" in done
    assert f"restore {one / 'run.json'}" in done
    (one / "run.json").write_bytes(record)
    project.ok("restore", "one", "-o", str(tmp_path / "back"))
    assert (tmp_path / "back/out/model.bin").read_text() == weights


def test_old_runs_go_but_for_named_ones_and_ancestors(project: Project) -> None:
    _train(project, 1, "named")
    _train(project, 2)
    parent = _ids(project)[-1]
    project.ok("run", "--", "python", "eval.py", "out/model.bin")
    _train(project, 3)
    gone = _ids(project)[-1]
    project.ok("run", "--", "python", "-c", "print('accuracy: 1')")
    project.ok("run", "--name", "tip", "--", "python", "-c", "print('accuracy: 1')")
    heir = _ids(project)[2]
    said = project.ok("gc", "--keep-last", "4", "--dry-run")
    assert f"run {parent} stays: run {heir} descends from it" in said
    assert len(_ids(project)) == 6
    project.ok("gc", "--keep-last", "2")
    left = _ids(project)
    assert gone not in left
    assert len(left) == 3
    assert project.show("named")
    project.ok("gc", "--keep-last", "0", "--named")
    assert _ids(project) == []
    assert not any(p.is_file() for p in (project.root / ".repropack/objects").rglob("*"))


def _environments(project: Project, run: str) -> set[str]:
    """The environment records that the segments of a run name."""
    segments = project.show(run)["run"]["segments"]
    further = {used["environment"] for s in segments for used in s.get("environments", ())}
    return further | {s["environment"] for s in segments}


def test_environment_records_stay_with_the_runs_that_have_them(
    project: Project, tmp_path: Path
) -> None:
    """Two segments, each with a further environment; another run shares its main one alone."""
    project.write(".gitignore", "*.txt\n")
    project.write("step.py", "import toy\n")
    for number, name in enumerate(("first", "second", "third")):
        toy_environment(tmp_path / name, f"{number}.0")
    steps = "import subprocess, sys; subprocess.run([sys.argv[1], 'step.py'])"

    def command(name: str) -> tuple[str, ...]:
        return ("--", "python", "-c", steps, f"{tmp_path / name}/bin/python")

    project.repropack("run", "--name", "kept", *command("first"))
    project.repropack("run", "--resume", "kept", *command("second"))
    project.repropack("run", *command("third"))
    going = _ids(project)[-1]
    stay, go = _environments(project, "kept"), _environments(project, going)
    assert (len(stay), len(go), len(go - stay)) == (3, 2, 1)
    store = project.root / ".repropack/objects"
    before = {path for path in store.rglob("*") if path.is_file()}
    assert "would remove 1 run and 1 kept file" in project.ok("gc", "--keep-last", "0", "--dry-run")
    assert {path for path in store.rglob("*") if path.is_file()} == before
    project.ok("gc", "--keep-last", "0")
    left = {path.parent.name + path.name for path in store.rglob("*") if path.is_file()}
    assert stay <= left
    assert not left & (go - stay)
    assert _ids(project) == [project.show("kept")["run"]["id"]]
    assert "step.py" in project.ok("show", "kept")


def test_what_a_removed_run_made_has_no_maker_any_more(project: Project) -> None:
    _train(project, 1)
    project.ok("gc", "--keep-last", "0")
    project.ok("run", "--", "python", "eval.py", "out/model.bin")
    (material,) = project.segment()["materials"]
    assert "origin" not in material


def test_young_runs_stay(project: Project) -> None:
    _train(project, 1)
    project.ok("gc", "--older-than", "1h")
    assert len(_ids(project)) == 1
    for record in (project.root / ".repropack/runs").glob("*/run.json"):
        text = re.sub(r'"ended":"20\d\d', '"ended":"2001', record.read_text())
        record.write_text(text)
    project.ok("gc", "--older-than", "1h")
    assert _ids(project) == []
    assert project.repropack("gc", "--older-than", "soon").returncode == 2


def test_gc_touches_nothing_while_a_run_goes_on(project: Project) -> None:
    _train(project, 1)
    wait = "import pathlib, time; pathlib.Path('up').touch(); time.sleep(600)"
    going = subprocess.Popen(
        [sys.executable, "-m", "repropack", "run", "--", "python", "-c", wait],
        cwd=project.root,
        env=project.environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (project.root / "up").exists():
            time.sleep(0.05)
        done = project.repropack("gc", "--keep-last", "0")
        assert done.returncode == 3
        assert "goes on; nothing was removed" in done.stderr
        assert len(_ids(project)) == 2
    finally:
        going.send_signal(signal.SIGTERM)
        going.wait()
    assert project.repropack("gc", "--keep-last", "0").returncode == 0


def test_a_removal_that_was_cut_off_is_completed(project: Project) -> None:
    _train(project, 1)
    (run,) = (project.root / ".repropack/runs").iterdir()
    removed = project.root / ".repropack/removed"
    removed.mkdir()
    # As after a power cut: out of the runs, its contents still there.
    os.rename(run, removed / run.name)
    assert "removed 0 runs and" in project.ok("gc")
    assert not removed.exists()
    assert not any(p.is_file() for p in (project.root / ".repropack/objects").rglob("*"))


def test_disk_use_is_shown(project: Project) -> None:
    _train(project, 1)
    text = project.ok("list", "--size")
    assert re.search(r"(?m)^the store has [0-9.]+ [KM]?i?B on the disk", text)
    (facts,) = json.loads(project.ok("list", "--size", "--json"))
    assert facts["kept_bytes"] == (project.root / "out/model.bin").stat().st_size


@pytest.mark.parametrize("size", ["lots", "5"])
def test_a_size_that_is_none_starts_nothing(project: Project, size: str) -> None:
    done = project.repropack("run", "--keep-file", size, "--", "touch", "started")
    assert done.returncode == 2
    assert f"--keep-file {size}" in done.stderr
    assert not (project.root / "started").exists()
