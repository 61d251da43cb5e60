# SPDX-License-Identifier: Apache-2.0
"""The program among other programs: closed files, signals, modules of the user, wrong usage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from repropack.paths import check_logical_path, to_logical_path
from tests.project import Project


def _shell(project: Project, script: str) -> subprocess.CompletedProcess[bytes]:
    script = script.replace("repropack ", f"{sys.executable} -m repropack ")
    return subprocess.run(
        ["sh", "-c", script],
        cwd=project.root,
        env=project.environment,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", ">&-", ">&- 2>&-", "<&-"])
def test_closed_or_full_standard_files_change_no_status(
    exported: Project, redirection: str
) -> None:
    bundle = exported.root.parent / "release.rpk"
    checked = _shell(exported, f"repropack verify {bundle} --no-run {redirection}")
    assert checked.returncode == 0, checked.stderr
    ran = _shell(exported, f"repropack run -- sh -c 'exit 6' {redirection}")
    assert ran.returncode == 6, ran.stderr


def test_modules_of_the_user_are_for_her_command_alone(project: Project) -> None:
    for name in ("click", "msgspec", "queue", "logging"):
        project.write(f"src/{name}.py", "raise SystemExit('imported by the recorder')\n")
    project.write("src/mine.py", "VALUE = 4\n")
    done = project.repropack(
        "run",
        *("--", "python", "-c", "import mine; print('value', mine.VALUE)"),
        cwd=project.root / "src",
        variables={"PYTHONPATH": f"{project.root / 'src'}:{project.environment['PYTHONPATH']}"},
    )
    assert done.stdout == "value 4\n", done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_check_that_is_ended_leaves_nothing_behind(
    project: Project, tmp_path: Path, number: signal.Signals
) -> None:
    project.write("slow.py", "import time; print('score: 1.5', flush=True); time.sleep(0)")
    project.ok("key", "new")
    project.ok("run", "--", "python", "slow.py")
    # The recorded code is quick; the one that is repeated waits for us.
    project.write("slow.py", "import time; print('started', flush=True); time.sleep(300)")
    project.ok("run", "--", "sh", "-c", "timeout 1 python slow.py; echo score: 1.5")
    project.ok("export", "-o", "slow.rpk", "--yes")
    place = tmp_path / "tmp"
    place.mkdir()
    child = subprocess.Popen(
        [sys.executable, "-m", "repropack", "verify", "slow.rpk"],
        cwd=project.root,
        env={**project.environment, "TMPDIR": str(place)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell in the background ignores Ctrl-C for all of the tests, and nohup a hang-up.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while not any(place.glob("repropack-verify-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child.pid, number)
    child.communicate(timeout=60)
    assert child.returncode == 128 + number
    assert list(place.iterdir()) == []


def test_contradictory_modes_are_refused(exported: Project) -> None:
    bundle = str(exported.root.parent / "release.rpk")
    done = exported.repropack("verify", bundle, "--no-run", "--retrain")
    assert done.returncode == 2
    assert "one of" in done.stderr


def test_a_report_that_cannot_be_written_is_found_before_the_run(exported: Project) -> None:
    bundle = str(exported.root.parent / "release.rpk")
    done = exported.repropack("verify", bundle, "--report", "absent/report.html")
    assert done.returncode == 2
    assert done.stdout == ""


def test_a_full_disk_for_the_report_does_not_lose_the_verdict(exported: Project) -> None:
    bundle = str(exported.root.parent / "release.rpk")
    done = _shell(
        exported,
        # Bytecode that is cut off by the limit would stay behind and break every later run.
        "export PYTHONDONTWRITEBYTECODE=1; "
        f"ulimit -f 1; trap '' XFSZ; repropack verify {bundle} --no-run --report r.html",
    )
    assert done.stdout.decode().splitlines()[-1].startswith("INTACT")
    assert done.returncode == 3
    assert b"r.html" in done.stderr
    assert not (exported.root / "r.html").exists()


def test_a_project_that_was_moved_is_read_where_it_is(exported: Project) -> None:
    moved = exported.root.parent / "moved"
    exported.root.rename(moved)
    exported.root = moved
    exported.write("repropack.yaml", "title: Moved here\n")
    assert exported.ok("export", "--run", "eval", "-o", "m.rpk", "--yes").startswith("Moved here")


def test_the_next_command_can_be_typed(exported: Project) -> None:
    out = exported.ok("export", "--run", "eval", "-o", "../with space.rpk", "--yes")
    line = out.splitlines()[-1].removeprefix("next: ")
    done = _shell(exported, line + " --no-run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["nul.txt.", "con", "a{b}.pt", "x. ", "aux.pt.", ".git"])
def test_names_with_several_defects_become_logical(name: str) -> None:
    logical = to_logical_path(f"out/{name}")
    assert check_logical_path(logical) == logical
    assert "{" not in logical


def test_an_interruption_while_the_program_is_loaded_shows_no_traceback(project: Project) -> None:
    code = """\
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from repropack.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.root,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("name", ["export", "scan", "verify", "reveal"])
def test_each_exit_status_has_a_line_in_the_help(project: Project, name: str) -> None:
    lines = project.ok(name, "--help").splitlines()
    assert not any("\\b" in line for line in lines)
    at = lines.index("  Exit status:")
    assert lines[at + 1].startswith("    0  ")
    assert any(line.startswith("    1  ") for line in lines[at:])


def test_a_working_directory_that_is_gone_is_said(project: Project, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    code = "import os, runpy, sys; os.rmdir(os.getcwd()); sys.argv[1:] = ['doctor']; "
    code += "sys.path.insert(0, 'relative'); runpy.run_module('repropack', run_name='__main__')"
    environment = {**project.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=gone, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "repropack: the working directory cannot be used: No such file or directory; "
        "change to one that is there"
    )
    assert "Traceback" not in done.stderr
