# SPDX-License-Identifier: Apache-2.0
"""`repropack run --trace`: what any program reads, while nothing else changes."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.project import Project

STRACED = [
    *("strace", "-f", "-e", "trace=openat", "-o", "/dev/null"),
    *(sys.executable, "-m", "repropack"),
]


def _read(project: Project, run: str = "last") -> dict[str, list[str]]:
    return {m["path"]: m["evidence"] for m in project.segment(run).get("materials", [])}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    place = tmp_path / "sets" / "images"
    for split in ("train", "val"):
        (place / split).mkdir(parents=True)
        (place / split / "1.jpg").write_text(split)
    (place / "unused.jpg").write_text("nobody reads it")
    return place


def test_what_a_shell_reads_is_known_file_by_file(project: Project, images: Path) -> None:
    project.write(".gitignore", "*.bin\n")
    project.write("used.bin", "1")
    project.write("unused.bin", "2")
    script = f"cat {images}/*/1.jpg used.bin > all.txt; sort all.txt"
    done = project.repropack("run", "--", "sh", "-c", script)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1].startswith("repropack: recorded run")
    assert len(done.stderr.splitlines()) == 1, "nothing was missed, so nothing is said"
    assert _read(project) == {
        "{data:images}/train/1.jpg": ["trace"],
        "{data:images}/val/1.jpg": ["trace"],
        "{project}/used.bin": ["trace"],
    }
    assert "gaps" not in project.segment()
    assert "(trace)" in project.ok("show")
    assert not list((project.root / ".repropack").rglob("trace.log"))


def test_make_and_the_pythons_that_it_starts(project: Project, images: Path) -> None:
    project.write("count.py", "import sys; print('n:', len(open(sys.argv[1]).read()))\n")
    project.write("Makefile", f"all:\n\tpython count.py {images}/val/1.jpg\n\t@cat *.raw\n")
    project.write(".gitignore", "*.raw\n")
    project.write("x.raw", "1")
    project.ok("run", "--", "make")
    read = _read(project)
    assert read["{data:images}/val/1.jpg"] == ["python-open", "trace"]
    assert read["{project}/x.raw"] == ["trace"]
    assert len(read) == 2, "neither the interpreter nor the system is data"
    environment = project.segment()["environment"]
    assert environment is not None


def test_a_checkpoint_that_is_read_and_then_replaced_is_the_old_one(project: Project) -> None:
    project.write(".gitignore", "ckpt\n")
    project.ok("run", "--", "sh", "-c", "echo 1 > ckpt")
    project.ok("run", "--name", "next", "--", "sh", "-c", "cat ckpt > t; echo 2 >> t; mv t ckpt")
    (material,) = project.segment()["materials"]
    assert material["path"] == "{project}/ckpt"
    assert material["sha256"] == hashlib.sha256(b"1\n").hexdigest()
    assert material["origin"]["path"] == "{project}/ckpt"


def test_that_a_command_read_a_file_is_claimed_only_where_it_was_seen(project: Project) -> None:
    (project.root / "out").mkdir()
    blind = ("run", "--trace", "python", "--", "sh", "-c", "echo 1 > out/new.txt")
    project.ok(*blind)
    told = project.repropack(*blind).stderr
    assert "it may have read out/new.txt of run" in told
    assert "it read out" not in told
    seen = ("run", "--", "sh", "-c", "cat out/log.txt; echo 1 >> out/log.txt")
    project.ok("run", "--", "sh", "-c", "echo 0 > out/log.txt")
    project.ok(*seen)
    assert "it read out/log.txt of run" in project.repropack(*seen).stderr


def test_what_the_command_made_itself_is_no_input(project: Project, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    project.write("log", "of an earlier run")
    project.write(".gitignore", "log\n")
    script = f"echo 1 > {scratch}/x; cat {scratch}/x > log; cat log; cat <<E\nhere\nE"
    project.ok("run", "--", "sh", "-c", script)
    assert "materials" not in project.segment()


def test_python_stays_with_its_agent_unless_the_trace_is_asked_for(
    project: Project, images: Path
) -> None:
    command = ("python", "-I", "-c", f"open({str(images / 'val' / '1.jpg')!r}).read()")
    done = project.repropack("run", "--", "env", *command)
    assert "was not observed" in done.stderr or "no Python process was observed" in done.stderr
    assert _read(project) == {}
    done = project.repropack("run", "--trace", "strace", "--", *command)
    assert "ran without the agent" in done.stderr
    assert _read(project) == {"{data:images}/val/1.jpg": ["trace"]}


@pytest.mark.parametrize("mode", ["auto", "python"])
def test_the_end_of_the_command_is_the_same(project: Project, mode: str) -> None:
    for script, status in (("exit 7", 7), ("kill -TERM $$", -15), ("kill -KILL $$", -9)):
        done = project.repropack("run", "--trace", mode, "--", "sh", "-c", script)
        assert done.returncode == status
        assert done.stdout == ""
    for name, status in (("no-such-program", 127), ("./train.py", 126)):
        assert project.repropack("run", "--trace", mode, "--", name).returncode == status
    place = project.write("bad.sh", "#!/no/such/interpreter\n")
    place.chmod(0o755)
    assert project.repropack("run", "--trace", mode, "--", "./bad.sh").returncode == 126
    place.write_text("exit 5\n")
    assert project.repropack("run", "--trace", mode, "--", "./bad.sh").returncode == 5
    (project.root / "foreign").write_bytes(b"\x7fELF\x01\x01\x01" + bytes(100))
    (project.root / "foreign").chmod(0o755)
    assert project.repropack("run", "--trace", mode, "--", "./foreign").returncode != 0


def test_signals_reach_a_traced_command(project: Project) -> None:
    script = (
        "trap 'echo got USR1' USR1; trap 'echo got TERM; exit 3' TERM; "
        "echo up; while :; do sleep 0.1; done"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "repropack", "run", "--", "sh", "-c", script],
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == "got USR1\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "got TERM\n"
    assert process.wait() == 3
    process.stdout.close()


def test_a_traced_command_has_its_terminal(project: Project) -> None:
    script = (
        "test -t 0 && test -t 1 && echo tty; stty size; read line; echo said $line; "
        "trap 'echo interrupted; exit 9' INT; echo up; while :; do sleep 0.1; done"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(project.root)
        arguments = [sys.executable, "-m", "repropack", "run", "--", "sh", "-c", script]
        os.execve(sys.executable, arguments, project.environment)
    shown = b""
    sent = set()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            shown += os.read(terminal, 4096)
        except OSError:
            break
        for awaited, typed in ((b"tty", b"hello\n"), (b"up\r\n", b"\x03")):
            if awaited in shown and awaited not in sent:
                sent.add(awaited)
                os.write(terminal, typed)
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 9, shown
    assert b"said hello" in shown
    assert b"interrupted" in shown


def test_what_goes_on_in_the_background_does_not_hold_us(project: Project) -> None:
    started = time.monotonic()
    script = "sleep 100 >/dev/null 2>&1 & echo $! > pid; exit 0"
    project.ok("run", "--", "sh", "-c", script)
    os.kill(int((project.root / "pid").read_text()), signal.SIGKILL)
    assert time.monotonic() - started < 60, "it ended before what it had left behind"
    # What still writes to our output is heard to its end.
    script = "(sleep 1; cat train.py) & exit 0"
    assert project.ok("run", "--", "sh", "-c", script) == (project.root / "train.py").read_text()


def test_where_strace_is_not_permitted_the_rest_is_recorded_and_it_is_said(
    project: Project, images: Path
) -> None:
    # A process has one tracer: under a strace there is no second one.
    def under(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*STRACED, *arguments],
            cwd=project.root,
            env=project.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    project.write(".gitignore", "x\n")
    project.write("x", "1")
    done = under("run", "--", "sh", "-c", "cat x")
    assert done.returncode == 0
    assert done.stdout == "1"
    assert "was not traced: strace is not permitted" in done.stderr
    assert _read(project) == {"{project}/x": ["present"]}
    assert any("not traced" in gap["message"] for gap in project.segment()["gaps"])
    done = under("run", "--trace", "strace", "--", "sh", "-c", "echo ran > ran")
    assert done.returncode == 2
    assert "--trace strace: strace is not permitted" in done.stderr
    assert not (project.root / "ran").exists()


def test_where_there_is_no_strace_it_is_said(project: Project, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "git", "cat"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    variables = {"PATH": str(tools)}
    done = project.repropack("run", "--", "sh", "-c", "cat train.py", variables=variables)
    assert done.returncode == 0
    assert "strace is not installed" in done.stderr
    done = project.repropack("run", "--trace", "strace", "--", "cat", variables=variables)
    assert done.returncode == 2


def test_the_run_outlives_a_recorder_that_is_killed(project: Project) -> None:
    script = "echo up; sleep 1; cat train.py > copy"
    process = subprocess.Popen(
        [sys.executable, "-m", "repropack", "run", "--", "sh", "-c", script],
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 30
    copy = project.root / "copy"
    expected = (project.root / "train.py").read_bytes()
    while time.monotonic() < deadline and not (copy.exists() and copy.read_bytes() == expected):
        time.sleep(0.05)
    assert copy.read_bytes() == expected


def test_a_file_that_only_another_program_reads_of_a_named_data_set(
    project: Project, images: Path
) -> None:
    project.ok("run", "--data", f"photos={images}", "--", "sh", "-c", f"cat {images}/val/1.jpg")
    record: Any = project.segment()
    assert [m["path"] for m in record["materials"]] == ["{data:photos}/val/1.jpg"]
    assert str(images) not in json.dumps(record)
