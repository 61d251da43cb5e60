# SPDX-License-Identifier: Apache-2.0
"""Every signal reaches the command as often as without us: once, whomever it was sent to."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from repropack.capture.signals import FORWARDED
from repropack.capture.witness import WINDOW
from tests.capture.test_streams import Screen, end_of, ended, kept, python, read_line, recorder
from tests.capture.test_streams import wait_for as wait_until

__all__ = ["kept"]

# Counts what comes until it is told to end, and says it at once, too.
COUNTING = """
import collections, os, signal, sys, time
came = collections.Counter()
def note(number, frame):
    came[number] += 1
    os.write(1, b"got %d\\n" % number)
for number in {numbers}:
    signal.signal(number, note)
print("ready", os.getpid())
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
print("counted", dict(came))
"""


def counting(numbers: tuple[int, ...], end: Path) -> list[str]:
    return [*python(COUNTING.format(numbers=list(map(int, numbers)))), str(end)]


def alone(process: int, number: int) -> None:
    """As `kill PID`, an editor or a scheduler that knows only what it has started."""
    os.kill(process, number)


def group(process: int, number: int) -> None:
    """As a terminal does it."""
    os.killpg(process, number)


def each(process: int, number: int) -> None:
    """As batch systems do it: every process of the job, one after the other."""
    members = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8") as file:
                    session = int(file.read().rpartition(")")[2].split()[3])
            except OSError:
                continue
            members += [int(entry)] if session == process else []
    for member in members:
        os.kill(member, number)


@pytest.mark.parametrize("number", FORWARDED, ids=lambda number: signal.Signals(number).name)
@pytest.mark.parametrize("send", [alone, group, each])
def test_a_signal_reaches_the_command_once(
    kept: Path, number: signal.Signals, send: Callable[[int, int], None]
) -> None:
    end = kept / "stop"
    with subprocess.Popen(
        recorder(kept, *counting(FORWARDED, end)), stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        read_line(process.stdout)
        for _ in range(2):
            # The second time there is another witness.
            send(process.pid, number)
            assert read_line(process.stdout) == b"got %d\n" % number
            # A second one would come by now.
            time.sleep(2 * WINDOW)
        end.touch()
        assert process.stdout.read() == b"counted {%d: 2}\n" % number
    assert process.returncode == 0
    assert end_of(kept) == ended(0)
    assert not list(Path.cwd().glob("core*"))


def test_the_interrupt_key_reaches_a_command_before_a_pipe_once(kept: Path) -> None:
    end = kept / "stop"
    command = shlex.join(recorder(kept, *counting((signal.SIGINT,), end)))
    screen = Screen(["/bin/sh", "-c", f"trap '' INT; (trap - INT; exec {command}) | cat"])
    screen.until(b"ready")
    screen.type(b"\x03")
    screen.until(b"got 2\r\n")
    time.sleep(2 * WINDOW)
    end.touch()
    screen.until(b"counted {2: 1}\r\n")
    screen.close()
    assert end_of(kept) == ended(0)


def state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize("send", [alone, group])
def test_a_stop_stops_both_and_a_continue_continues_both(
    kept: Path, send: Callable[[int, int], None]
) -> None:
    end = kept / "stop"
    # In the session of the tests: the kernel stops no orphaned group.
    with subprocess.Popen(
        recorder(kept, *counting((), end)), stdout=subprocess.PIPE, process_group=0
    ) as process:
        assert process.stdout is not None
        command = int(read_line(process.stdout).split()[1])
        for _ in range(2):
            send(process.pid, signal.SIGTSTP)
            wait_until(lambda: state(process.pid) == state(command) == "T")
            send(process.pid, signal.SIGCONT)
            wait_until(lambda: "T" not in (state(process.pid), state(command)))
        end.touch()
        process.stdout.read()
    assert process.returncode == 0
    assert end_of(kept) == ended(0)


def test_a_stop_of_the_recorder_in_a_terminal_stops_the_job(kept: Path) -> None:
    end = kept / "stop"
    command = shlex.join(recorder(kept, *counting((), end)))
    screen = Screen(
        ["/bin/sh", "-c", f'set -m; {command}; echo "stopped=$?"; stty -a; fg; echo "over=$?"']
    )
    (words,) = [line for line in screen.until(b"\r\n").splitlines() if b"ready" in line]
    parent = _parent(_parent(int(words.split()[1])))
    os.kill(parent, signal.SIGTSTP)
    assert b"-icanon" not in screen.until(b"stopped=%d\r\n" % (128 + signal.SIGTSTP))
    end.touch()
    screen.until(b"over=0")
    screen.close()
    assert end_of(kept) == ended(0)


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def test_nothing_is_left_of_the_witness_when_the_recorder_is_killed(kept: Path) -> None:
    with subprocess.Popen(
        recorder(kept, "sleep", "1000"), stdout=subprocess.PIPE, start_new_session=True
    ) as process:

        def members() -> list[str]:
            listed = subprocess.run(
                ["ps", "-o", "comm=", "-s", str(process.pid)], capture_output=True, text=True
            )
            return listed.stdout.split()

        wait_until(lambda: "cat" in members())
        process.kill()
        process.wait()
        wait_until(lambda: members() == ["sleep"])
        subprocess.run(["pkill", "-s", str(process.pid)], check=True)


def test_no_witness_costs_only_the_difference(kept: Path, tmp_path: Path) -> None:
    # Without `cat`, SIGINT is taken for the key, and the others go on as before.
    end = kept / "stop"
    code = recorder(kept, *counting((signal.SIGINT, signal.SIGTERM), end))
    code[2] = "import os; os.defpath = '/nowhere'\n" + code[2]
    with subprocess.Popen(code, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        read_line(process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        assert read_line(process.stdout) == b"got 2\n"
        os.kill(process.pid, signal.SIGTERM)
        assert read_line(process.stdout) == b"got 15\n"
        end.touch()
        assert process.stdout.read() == b"counted {2: 1, 15: 1}\n"
