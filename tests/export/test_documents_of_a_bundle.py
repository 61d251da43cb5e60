# SPDX-License-Identifier: Apache-2.0
"""The texts in a bundle, followed to the letter by somebody who has no repropack."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import uv
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack.export.documents import _fenced, _quote, _word
from repropack.placeholders import Recording, data_placeholder
from tests.project import Project

FENCED = re.compile(r"^(`{3,})sh\n(.*?)^\1$", flags=re.DOTALL | re.MULTILINE)


def _unpacked(project: Project) -> Path:
    place = project.root.parent / "by-hand"
    place.mkdir()
    subprocess.run(
        ["tar", "--zstd", "-xf", project.root.parent / "release.rpk", "-C", place], check=True
    )
    return place


def _blocks(place: Path) -> list[str]:
    text = (place / "REPRODUCING.md").read_text("utf-8")
    return [match[2] for match in FENCED.finditer(text)]


def _by_hand(place: Path, script: str) -> subprocess.CompletedProcess[str]:
    home = place.parent / "reader-home"
    home.mkdir(exist_ok=True)
    programs = [Path(uv.find_uv_bin()).parent, Path(sys.executable).parent]
    return subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=place,
        env={
            "PATH": ":".join([*map(str, programs), os.environ["PATH"]]),
            "HOME": str(home),
            "UV_PYTHON_DOWNLOADS": "never",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_training_and_evaluating_by_hand_gives_the_recorded_numbers(exported: Project) -> None:
    place = _unpacked(exported)
    done = _by_hand(place, "".join(_blocks(place)))
    assert done.returncode == 0, done.stdout + done.stderr
    recorded = json.loads((exported.root / "out" / "metrics.json").read_text())
    assert json.loads((place / "work-run-2" / "out" / "metrics.json").read_text()) == recorded
    assert f"score = {recorded['score']!r}" in done.stdout


def test_the_claimed_run_alone_evaluates_the_packed_weights(exported: Project) -> None:
    place = _unpacked(exported)
    blocks = [block for block in _blocks(place) if "work-run-1\n" not in block]
    done = _by_hand(place, "".join(blocks))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (place / "work-run-1").exists()
    recorded = (exported.root / "out" / "metrics.json").read_bytes()
    assert (place / "work-run-2" / "out" / "metrics.json").read_bytes() == recorded


def test_odd_arguments_reach_the_command_as_recorded(project: Project) -> None:
    odd = [
        "two words",
        'it\'s "quoted"',
        "line one\nline two\n```\n# no heading\n",
        "{project}",
        "{{tmp}}",
        "$HOME `id` $(id) \\ \\n ${x}",
        "tab\there, escape \x1b[31m, right to left \u202e, é",
        "",
        "~",
        "x" * 2000,
    ]
    script = 'mkdir -p out; printf "%s\\0" "$@" > out/seen; echo "score: 1.5"'
    project.ok("key", "new")
    project.ok("run", "--name", "odd", "--", "sh", "-c", script, "sh", *odd, str(project.root))
    project.ok("export", "--run", "odd", "-o", str(project.root.parent / "release.rpk"), "--yes")
    place = _unpacked(project)
    text = (place / "REPRODUCING.md").read_text("utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", text)
    assert "uv venv" not in text
    done = _by_hand(place, "".join(_blocks(place)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "score: 1.5" in done.stdout
    seen = (place / "work-run-1" / "out" / "seen").read_bytes().decode().split("\0")
    assert seen == [*odd, str(place / "work-run-1"), ""]


def test_data_in_and_beside_the_project_is_put_where_it_was_read(project: Project) -> None:
    project.ok("key", "new")
    project.write(".gitignore", "out/\nlocal/\n")
    project.git("commit", "-q", "-am", "ignore")
    project.write("local/scale {x}.txt", "2.0\n")
    beside = project.root.parent / "numbers"
    beside.mkdir()
    (beside / "a?.txt").write_text("3.0\n")
    project.write(
        "read.py",
        "import pathlib, sys\n"
        "a = float(pathlib.Path('local/scale {x}.txt').read_text())\n"
        "b = float((pathlib.Path(sys.argv[1]) / 'a?.txt').read_text())\n"
        "print(f'score: {a * b}')\n",
    )
    project.ok("run", "--data", f"my-set={beside}", "--", "python", "read.py", str(beside))
    release = str(project.root.parent / "release.rpk")
    project.ok("export", "-o", release, "--include-data", "--yes")
    place = _unpacked(project)
    done = _by_hand(place, "".join(_blocks(place)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "score: 6.0" in done.stdout.splitlines()

    project.ok("export", "-o", release, "--yes")
    subprocess.run(["tar", "--zstd", "-xf", release, "-C", place], check=True)
    script = "".join(_blocks(place)).replace("=/path/to/my-set\n", f"={beside}\n")
    script = script.replace("=/path/to/project\n", f"={place}/own-names/project\n")
    for made in ("env", "work-run-1"):
        (place / made).rename(place / f"first-{made}")
    again = _by_hand(place, script)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "score: 6.0" in again.stdout.splitlines()


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["/author/project", "/author/data", "{project}", "{", "}", "'", '"', "\n", "`", "$HOME"]
        )
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
        max_size=6,
    )
)
def test_any_recorded_text_is_one_exact_word(pieces: list[str]) -> None:
    prefixes = {"/author/project": "project", "/author/data": data_placeholder("set")}
    text = "".join(pieces)
    words = {"project": '"$PROJECT"', "data:set": '"$DATA_set"'}
    recorded = Recording(prefixes=prefixes).text(text)
    for word in (_word(recorded, words=words), _quote(text)):
        done = subprocess.run(
            ["sh", "-c", f"printf '%s\\0' {word}"],
            env={"PROJECT": "/author/project", "DATA_set": "/author/data", "PATH": "/usr/bin:/bin"},
            check=True,
            capture_output=True,
        )
        assert done.stdout == text.encode() + b"\0"


@pytest.mark.parametrize("inside", ["echo", "echo '\n```\n'", "`````"])
def test_nothing_inside_a_block_closes_it(inside: str) -> None:
    (match,) = FENCED.finditer(_fenced(inside))
    assert match[2] == inside + "\n"
