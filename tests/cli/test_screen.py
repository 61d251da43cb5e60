# SPDX-License-Identifier: Apache-2.0
"""The program on odd screens: closed pipes, full disks, old locales; and every command's help."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from repropack.cli import command_line
from tests.project import Project


@pytest.fixture
def recorded(bare_project: Project) -> Project:
    """A project with a run whose name is in no old character set."""
    bare_project.write("t.py", "print('accuracy: 0.5')\n")
    bare_project.ok("run", "--name", "ä→\U0001f600", "--", sys.executable, "t.py")
    return bare_project


@pytest.fixture(scope="module")
def recorded_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with two runs and files of no use, which no test changes."""
    place = tmp_path_factory.mktemp("wrong")
    root, home = place / "project", place / "home"
    root.mkdir()
    home.mkdir()
    environment = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    project = Project(root, environment)
    for _ in range(2):
        project.ok("run", "--", "true")
    project.write("junk", "\0junk\x7f" * 1000)
    project.write("\x1b[2J.rpk", "\0junk\x7f" * 1000)
    (root / "directory").mkdir()
    return project


def commands(group: click.Group, *names: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = commands(command, *names, name) if isinstance(command, click.Group) else []
        found += [(*names, name), *inner]
    return found


@pytest.mark.parametrize("arguments", [["list"], ["show", "last"], ["show", "last", "--json"]])
def test_a_reader_who_has_gone_is_no_failed_check(recorded: Project, arguments: list[str]) -> None:
    """As in `repropack list | head -1`; 1 would mean that something does not hold."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "repropack", *arguments],
        cwd=recorded.root,
        env=recorded.environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 141
    assert b"Traceback" not in done.stderr
    assert b"defect" not in done.stderr


def test_help_for_a_reader_who_has_gone(recorded: Project) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "repropack", "--help"], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_behind_the_output_is_said(recorded: Project) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "repropack", "list"],
            cwd=recorded.root,
            env=recorded.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr == "repropack: standard output: No space left on device\n"


def test_what_a_locale_cannot_say_is_escaped(recorded: Project) -> None:
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    text = recorded.ok("list", variables=ascii_only)
    assert "[\\u00e4\\u2192\\ud83d\\ude00]" in text
    document = recorded.ok("show", "last", "--json", variables=ascii_only)
    assert document.isascii()
    assert "ä→\U0001f600" in json.dumps(json.loads(document), ensure_ascii=False)


@pytest.mark.parametrize("names", commands(command_line), ids=" ".join)
def test_every_command_explains_itself_and_each_of_its_options(names: tuple[str, ...]) -> None:
    done = CliRunner().invoke(
        command_line, [*names, "--help"], prog_name="repropack", env={"COLUMNS": "60"}
    )
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: repropack {' '.join(names)}")
    assert max(map(len, done.stdout.splitlines())) <= 80
    command: click.Command = command_line
    for name in names:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{option.opts} has no help"
            assert option.opts[0] in done.stdout


WRONG = [
    # Each with its status and what the one line on standard error has to say.
    ("inspect {missing}", 2, "missing: no such file; give an .rpk file"),
    ("inspect {junk}", 1, "junk: RPK101 this is not an .rpk file"),
    ("inspect {directory}", 2, "is a directory, and no bundle was extracted into it"),
    ("inspect {escape}", 1, r"\x1b[2J"),
    ("inspect {long}", 2, "no such file"),
    ("inspect ''", 2, "the name of the bundle is empty"),
    ("inspect ftp://example.invalid/x.rpk", 2, "ftp"),
    ("extract {junk} out", 1, "junk: RPK101"),
    ("verify {missing}", 2, "missing: no such file"),
    ("verify {junk} --expect sha256:12", 2, "64 hexadecimal digits"),
    ("verify {junk} --signer {junk}", 2, "junk, line 1: found no key"),
    ("verify {junk} --no-run --retrain", 2, "give one of --no-run, --evaluate and --retrain"),
    ("verify {junk} --runs 0", 2, "--runs"),
    ("verify {junk} --memory much", 2, "--memory much"),
    ("verify {junk} --time soon", 2, "--time soon"),
    ("verify {junk} --data x", 2, "--data x"),
    ("verify {junk} --report {missing}/r.html", 2, "missing is not a directory"),
    ("verify {junk} --badge {directory}", 2, "is a directory"),
    ("verify {junk} --frobnicate", 2, "No such option"),
    ("frobnicate", 2, "No such command 'frobnicate'"),
    ("sign {missing}", 2, "missing: no such file"),
    ("receipt check {junk} {missing}", 2, "missing: the receipt cannot be read"),
    ("key trust {junk} --name x", 2, "not a public key"),
    ("key trust SHA256:abc --name x", 2, "SHA256:abc"),
    ("key show --key {directory}", 2, "directory"),
    ("show nothing", 2, "no run is called 'nothing'; `repropack list` shows the runs"),
    ("diff last nothing", 2, "no run is called 'nothing'"),
    ("export --run nothing", 2, "no run is called 'nothing'"),
    ("restore nothing -o out", 2, "no run is called 'nothing'"),
    ("run --resume nothing -- true", 2, "no run is called 'nothing'"),
    ("run -- nosuchprogram", 127, "nosuchprogram"),
    ("run", 2, "COMMAND"),
    ("gc --older-than soon", 2, "such as 30d"),
    ("data check nothing --against {junk}", 2, "junk"),
    ("scan {missing}", 2, "missing"),
    ("calibrate {junk}", 1, "junk: RPK101"),
    ("calibrate {missing}", 2, "missing: no such file"),
    ("calibrate {directory}", 2, "is a directory"),
    ("checklist nothing", 2, "Missing option '--kind'. Choose from: ml-code, neurips, acm"),
    ("checklist nothing --kind acm", 2, "no run is called 'nothing'"),
]


@pytest.mark.parametrize(("line", "status", "words"), WRONG, ids=[line for line, _, _ in WRONG])
def test_wrong_input_gets_one_clear_line(
    recorded_once: Project, line: str, status: int, words: str
) -> None:
    place = recorded_once.root
    names = {
        "missing": place / "missing",
        "junk": place / "junk",
        "directory": place / "directory",
        "escape": place / "\x1b[2J.rpk",
        "long": "x" * 300,
    }
    arguments = shlex.split(line.format(**{k: shlex.quote(str(v)) for k, v in names.items()}))
    done = recorded_once.repropack(*arguments)
    assert done.returncode == status, done.stdout + done.stderr
    said = done.stderr.strip().splitlines()[-1]
    assert said.startswith("repropack: ")
    assert words in said
    for text in (done.stdout, done.stderr):
        assert "Traceback" not in text
        assert "defect" not in text
        assert "\x1b" not in text
