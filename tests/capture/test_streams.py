# SPDX-License-Identifier: Apache-2.0
"""The command behaves as without us, seen from both sides: by itself and by who watches it.

Each test runs `run_command` in a process of its own, whose standard streams the test holds.
"""

from __future__ import annotations

import ast
import errno
import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, cast

import pytest

from repropack.capture.command import CommandNotStartedError
from repropack.capture.streams import ProcessEnd, run_command

RECORDER = """
import os, sys
from pathlib import Path
from repropack.capture.command import CommandNotStartedError
from repropack.capture.streams import run_command

kept = Path(sys.argv[1])
try:
    end = run_command(
        sys.argv[2:], environment=os.environ, directory=Path.cwd(),
        stdout_log=kept / "out", stderr_log=kept / "err",
    )
    result = {"status": end.status, "signal": end.signal, "log_failed": end.log_failed}
except CommandNotStartedError as error:
    result = {"not started": error.status}
(kept / "end").write_text(repr(result))
"""

DEADLINE = 30.0
"""Seconds until a test that waits for something gives up."""


def recorder(kept: Path, *argv: str) -> list[str]:
    return [sys.executable, "-c", RECORDER, str(kept), *argv]


def python(code: str) -> list[str]:
    return [sys.executable, "-u", "-c", code]


def end_of(kept: Path) -> dict[str, object]:
    return cast(dict[str, object], ast.literal_eval((kept / "end").read_text()))


def ended(
    status: int | None = 0, signal_number: int | None = None, *, log_failed: bool = False
) -> dict[str, object]:
    number = None if signal_number is None else int(signal_number)
    return {"status": status, "signal": number, "log_failed": log_failed}


def run(kept: Path, *argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        recorder(kept, *argv), input=stdin, capture_output=True, check=True, timeout=DEADLINE
    )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


def read_line(stream: IO[bytes] | None) -> bytes:
    assert stream is not None
    return stream.readline()


class Screen:
    """A terminal in whose foreground a program runs as leader of a session."""

    def __init__(self, argv: list[str], **redirected: int) -> None:
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            for name, fd in redirected.items():
                os.dup2(fd, {"stdin": 0, "stdout": 1, "stderr": 2}[name])
            os.execv(argv[0], argv)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self.fd, text)

    def until(self, text: bytes) -> bytes:
        """Reads until the text is shown, and takes it and what is before it off the screen."""
        deadline = time.monotonic() + DEADLINE
        while text not in self.shown:
            if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
                raise TimeoutError(self.shown)
            data = self._read()
            if not data:
                raise EOFError(self.shown)
            self.shown += data
        before, _, self.shown = self.shown.partition(text)
        return before + text

    def _read(self) -> bytes:
        try:
            return os.read(self.fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return b""

    def close(self) -> int:
        """Reads to the end; returns the status of the program."""
        while data := self._read():
            self.shown += data
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)

    def modes(self) -> list[object]:
        return cast(list[object], termios.tcgetattr(self.fd))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    place = tmp_path / "kept"
    place.mkdir()
    return place


# ---------------------------------------------------------------- pipes


def test_output_is_shown_and_kept_byte_for_byte(kept: Path) -> None:
    code = (
        "import sys; b = bytes(range(256)) * 5000\n"
        "sys.stdout.buffer.write(b); sys.stderr.buffer.write(b[::-1])"
    )
    done = run(kept, *python(code))
    data = bytes(range(256)) * 5000
    assert done.stdout == data
    assert done.stderr == data[::-1]
    assert (kept / "out").read_bytes() == data
    assert (kept / "err").read_bytes() == data[::-1]
    assert end_of(kept) == ended(0)


def test_output_arrives_while_the_command_runs(kept: Path) -> None:
    with subprocess.Popen(
        recorder(kept, *python("print('asked'); print('got', input())")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert read_line(process.stdout) == b"asked\n"
        wait_for(lambda: (kept / "out").read_bytes() == b"asked\n")
        assert process.stdin is not None
        process.stdin.write(b"answer\n")
        process.stdin.flush()
        assert read_line(process.stdout) == b"got answer\n"
    assert end_of(kept) == ended(0)


def test_standard_input_is_the_same_open_file(kept: Path, tmp_path: Path) -> None:
    source = tmp_path / "lines"
    source.write_bytes(b"abcdef")
    with source.open("rb", buffering=0) as file:
        subprocess.run(recorder(kept, "head", "-c", "2"), stdin=file, check=True)
        assert file.tell() == 2


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_exit_status(kept: Path, status: int) -> None:
    run(kept, "sh", "-c", f"exit {status}")
    assert end_of(kept) == ended(status)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_death_by_signal(kept: Path, number: int) -> None:
    run(kept, "sh", "-c", f"kill -{int(number)} $$")
    assert end_of(kept) == ended(None, number)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT]
)
def test_signals_are_forwarded(kept: Path, number: int) -> None:
    code = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(7))\n"
        "print('ready')\n"
        "while True: time.sleep(0.01)"
    )
    with subprocess.Popen(recorder(kept, *python(code)), stdout=subprocess.PIPE) as process:
        assert read_line(process.stdout) == b"ready\n"
        process.send_signal(number)
    assert end_of(kept) == ended(7)


def test_interrupt_of_the_group_ends_the_command_and_not_the_recorder(kept: Path) -> None:
    code = "import time\nprint('ready')\nwhile True: time.sleep(0.01)"
    with subprocess.Popen(
        recorder(kept, *python(code)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert read_line(process.stdout) == b"ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read().endswith(b"KeyboardInterrupt\n")
    assert process.returncode == 0
    assert end_of(kept) == ended(None, signal.SIGINT)


def test_ignored_signals_stay_ignored_in_the_command(kept: Path) -> None:
    shell = "trap '' HUP; exec " + shlex.join(
        recorder(kept, *python("import signal; print(signal.getsignal(signal.SIGHUP))"))
    )
    done = subprocess.run(["sh", "-c", shell], capture_output=True, check=True)
    assert done.stdout == b"1\n"


CALLER = """
import os, signal, sys

for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
for number in map(int, sys.argv[1].split()):
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, map(int, sys.argv[2].split()))
os.execv(sys.argv[3], sys.argv[3:])
"""
SIGNALS_OF_A_PROCESS = ("/usr/bin/env", "grep", "-E", "Sig(Ign|Blk)", "/proc/self/status")
"""SigIgn is a mask of the ignored, SigBlk of the blocked signals, proc(5)."""


def called_with(ignored: list[int], blocked: list[int], argv: list[str]) -> list[str]:
    """The command as started by somebody who ignores and blocks these signals."""
    lists = (" ".join(str(int(number)) for number in numbers) for numbers in (ignored, blocked))
    return [sys.executable, "-c", CALLER, *lists, *argv]


@pytest.mark.parametrize(
    ("ignored", "blocked"),
    [
        ([], []),
        ([signal.SIGHUP, signal.SIGINT, signal.SIGUSR2], []),
        ([], [signal.SIGTERM, signal.SIGCHLD, signal.SIGTTOU, signal.SIGRTMIN + 3]),
        ([signal.SIGTERM, signal.SIGTTOU], [signal.SIGHUP, signal.SIGRTMAX]),
    ],
)
@pytest.mark.parametrize("terminal", [False, True])
def test_the_command_inherits_ignored_and_blocked_signals(
    kept: Path, ignored: list[int], blocked: list[int], terminal: bool
) -> None:
    # Compared with the bare command: whoever runs the tests may ignore and block signals, too.
    def masks(argv: list[str]) -> list[str]:
        command = called_with(ignored, blocked, argv)
        if not terminal:
            shown = subprocess.run(command, capture_output=True, check=True).stdout
        else:
            screen = Screen(command)
            assert screen.close() == 0
            shown = screen.shown
        return shown.decode().split()

    bare = masks(list(SIGNALS_OF_A_PROCESS))
    assert bare[::2] == ["SigBlk:", "SigIgn:"]
    assert masks(recorder(kept, *SIGNALS_OF_A_PROCESS)) == bare
    for word, numbers in ((bare[1], blocked), (bare[3], ignored)):
        assert all(int(word, 16) >> (number - 1) & 1 for number in numbers)


def test_command_gets_sigpipe_when_the_reader_goes_away(kept: Path) -> None:
    with subprocess.Popen(recorder(kept, "yes"), stdout=subprocess.PIPE) as process:
        assert read_line(process.stdout) == b"y\n"
        assert process.stdout is not None
        process.stdout.close()
    assert end_of(kept) == ended(None, signal.SIGPIPE)


def test_one_paused_stream_does_not_hold_up_the_other(kept: Path) -> None:
    code = (
        "import sys, threading\n"
        "threading.Thread(target=lambda: sys.stdout.write('x' * 4_000_000)).start()\n"
        "for i in range(3): sys.stderr.write(input() + '\\n')"
    )
    with subprocess.Popen(
        recorder(kept, *python(code)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        for line in (b"a\n", b"b\n", b"c\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert read_line(process.stderr) == line
        assert process.stdout is not None
        assert process.stdout.read() == b"x" * 4_000_000


@pytest.mark.parametrize("goes_on", ["sleep 1000", "yes"])
def test_process_left_behind_does_not_hang_us(kept: Path, goes_on: str) -> None:
    shell = f"{goes_on} & echo $! >{shlex.quote(str(kept / 'pid'))}; echo last words >&2"
    with subprocess.Popen(
        recorder(kept, "sh", "-c", shell), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert process.wait(DEADLINE) == 0
        assert end_of(kept) == ended(0)
        assert read_line(process.stderr) == b"last words\n"
        # Only the process left behind can still write to the stream: with it, the stream ends.
        os.kill(int((kept / "pid").read_text()), signal.SIGKILL)
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_process_left_behind_goes_on_writing(kept: Path) -> None:
    go, late = kept / "go", kept / "late"
    # Its first line after the end of the recorder must not be its last.
    shell = (
        f"(until [ -e {go} ]; do sleep 0.01; done; echo late; echo later; echo done >{late})"
        "& echo now"
    )
    with subprocess.Popen(recorder(kept, "sh", "-c", shell), stdout=subprocess.PIPE) as process:
        assert read_line(process.stdout) == b"now\n"
        assert process.wait(DEADLINE) == 0
        go.touch()
        assert process.stdout is not None
        assert process.stdout.read() == b"late\nlater\n"
    wait_for(late.exists)
    wait_for(lambda: (kept / "out").read_bytes() == b"now\nlate\nlater\n")


def test_process_left_behind_gets_sigpipe_when_the_reader_goes_away(kept: Path) -> None:
    status = kept / "status"
    shell = f"(yes; echo $? >{status}.new; mv {status}.new {status}) &"
    with subprocess.Popen(recorder(kept, "sh", "-c", shell), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while not (kept / "end").exists():
            process.stdout.read(65536)
        assert process.wait(DEADLINE) == 0
        assert not status.exists()
        process.stdout.close()
        wait_for(status.exists)
    assert status.read_text() == f"{128 + signal.SIGPIPE}\n"


def test_process_left_behind_holds_only_its_own_stream(kept: Path) -> None:
    shell = f"sleep 1000 2>&- <&- & echo $! >{shlex.quote(str(kept / 'pid'))}"
    with subprocess.Popen(
        recorder(kept, "sh", "-c", shell),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.wait(DEADLINE) == 0
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.read() == b""
        with pytest.raises(BrokenPipeError):
            os.write(process.stdin.fileno(), b"nobody reads this")
        # Standard output has not ended.
        assert not select.select([process.stdout], [], [], 0)[0]
        os.kill(int((kept / "pid").read_text()), signal.SIGKILL)
        assert process.stdout.read() == b""


def test_process_left_behind_survives_an_interrupt(kept: Path) -> None:
    go = kept / "go"
    shell = f"(until [ -e {go} ]; do sleep 0.01; done; echo late; echo later) & echo now"
    with subprocess.Popen(
        recorder(kept, "sh", "-c", shell), stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.wait(DEADLINE) == 0
        # In sh, commands in the background ignore it.
        os.killpg(process.pid, signal.SIGINT)
        go.touch()
        assert process.stdout is not None
        assert process.stdout.read() == b"now\nlate\nlater\n"


def test_process_left_behind_leaves_us_no_children(kept: Path) -> None:
    code = RECORDER + (
        "try:\n    print(os.waitpid(-1, os.WNOHANG))\n"
        "except ChildProcessError:\n    print('no children')\n"
    )
    shell = f"sleep 1000 & echo $! >{shlex.quote(str(kept / 'pid'))}"
    argv = [sys.executable, "-u", "-c", code, str(kept), "sh", "-c", shell]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert read_line(process.stdout) == b"no children\n"
        os.kill(int((kept / "pid").read_text()), signal.SIGKILL)


# ---------------------------------------------------------------- both outputs to the same place

BY_TURNS = """
import os, sys
for number in range(300):
    os.write(1, b"out %d\\n" % number)
    os.write(2, b"err %d\\n" % number)
"""

BOTH = b"".join(b"out %d\nerr %d\n" % (n, n) for n in range(300))


def assert_all_in_one_log(kept: Path, written: bytes) -> None:
    assert (kept / "out").read_bytes() == written
    assert (kept / "err").read_bytes() == b""
    assert end_of(kept) == ended(0)


def test_order_in_one_pipe(kept: Path) -> None:
    bare, recorded = (
        subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True, timeout=DEADLINE
        ).stdout
        for argv in (python(BY_TURNS), recorder(kept, *python(BY_TURNS)))
    )
    assert recorded == bare == BOTH
    assert_all_in_one_log(kept, BOTH)


def test_order_in_one_file(kept: Path, tmp_path: Path) -> None:
    place = tmp_path / "log"
    # `>>log 2>>log`: the same file, opened twice.
    with place.open("ab") as out, place.open("ab") as err:
        argv = recorder(kept, *python(BY_TURNS))
        subprocess.run(argv, stdout=out, stderr=err, check=True, timeout=DEADLINE)
    assert place.read_bytes() == BOTH
    assert_all_in_one_log(kept, BOTH)


def shown_by(argv: list[str], **redirected: int) -> bytes:
    screen = Screen(argv, **redirected)
    assert screen.close() == 0
    return screen.shown


def test_order_in_a_terminal(kept: Path) -> None:
    bare = shown_by(python(BY_TURNS))
    assert shown_by(recorder(kept, *python(BY_TURNS))) == bare == BOTH.replace(b"\n", b"\r\n")
    assert_all_in_one_log(kept, bare)


def test_order_in_a_terminal_with_other_input(kept: Path) -> None:
    with open(os.devnull, "rb") as null:
        bare = shown_by(python(BY_TURNS), stdin=null.fileno())
        recorded = shown_by(recorder(kept, *python(BY_TURNS)), stdin=null.fileno())
    assert recorded == bare == BOTH.replace(b"\n", b"\r\n")
    assert_all_in_one_log(kept, BOTH)


def test_order_in_a_terminal_under_its_other_name(kept: Path) -> None:
    shell = f"{shlex.join(recorder(kept, *python(BY_TURNS)))} 2>/dev/tty"
    assert shown_by(["/bin/sh", "-c", shell]) == BOTH.replace(b"\n", b"\r\n")


def test_full_disk_does_not_disturb_the_command(kept: Path) -> None:
    (kept / "out").symlink_to("/dev/full")
    done = run(kept, "sh", "-c", "echo one; sleep 0.1; echo two; echo three >&2; exit 4")
    assert (done.stdout, done.stderr) == (b"one\ntwo\n", b"three\n")
    assert (kept / "err").read_bytes() == b"three\n"
    assert end_of(kept) == ended(4, log_failed=True)


def test_log_that_cannot_be_opened(kept: Path) -> None:
    (kept / "err").mkdir()
    assert run(kept, "echo", "shown").stdout == b"shown\n"
    assert end_of(kept) == ended(0, log_failed=True)


def test_descriptors_of_the_caller_reach_the_command(kept: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb") as file:
        file.write(b"substituted")
        file.flush()
        file.close()
        done = subprocess.run(
            recorder(kept, "cat", f"/dev/fd/{reading}"),
            pass_fds=(reading,),
            stdout=subprocess.PIPE,
            check=True,
        )
    assert done.stdout == b"substituted"


def test_command_gets_no_descriptor_of_ours(kept: Path) -> None:
    with_us = run(kept, "sh", "-c", "ls /proc/$$/fd").stdout
    assert with_us.split() == [b"0", b"1", b"2"]


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = (sorted(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGTERM))
    quiet(tmp_path, "true")
    with pytest.raises(CommandNotStartedError):
        quiet(tmp_path, "no-such-program")
    assert (sorted(os.listdir("/proc/self/fd")), signal.getsignal(signal.SIGTERM)) == before


# ---------------------------------------------------------------- what cannot be started


def quiet(directory: Path, *argv: str, path: str | None = None) -> ProcessEnd:
    return run_command(
        argv,
        environment={"PATH": path or os.environ["PATH"]},
        directory=directory,
        stdout_log=Path(os.devnull),
        stderr_log=Path(os.devnull),
    )


def test_missing_program(tmp_path: Path) -> None:
    with pytest.raises(
        CommandNotStartedError, match=r"^no-such-program: command not found$"
    ) as info:
        quiet(tmp_path, "no-such-program")
    assert info.value.status == 127


def test_program_that_is_not_executable(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(CommandNotStartedError, match="Permission denied") as info:
        quiet(tmp_path, "./data")
    assert info.value.status == 126


def test_script_with_a_missing_interpreter(tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(CommandNotStartedError, match="interpreter") as info:
        quiet(tmp_path, "./script")
    assert info.value.status == 126


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(CommandNotStartedError, match="is not a directory") as info:
        quiet(tmp_path / "gone", "true")
    assert info.value.status == 126


@pytest.mark.parametrize("name", ["./no-line", "no-line"])
def test_script_without_an_interpreter_line_runs_as_in_a_shell(tmp_path: Path, name: str) -> None:
    script = tmp_path / "no-line"
    script.write_text('exit "$1"\n')
    script.chmod(0o755)
    assert quiet(tmp_path, name, "9", path=f"{tmp_path}:{os.environ['PATH']}").status == 9


def test_program_comes_from_the_path_of_the_command(tmp_path: Path) -> None:
    script = tmp_path / "only-here"
    script.write_text("#!/bin/sh\nexit 5\n")
    script.chmod(0o755)
    assert quiet(tmp_path, "only-here", path=str(tmp_path)).status == 5


def test_call_from_another_thread(tmp_path: Path) -> None:
    ends: list[ProcessEnd] = []
    thread = threading.Thread(target=lambda: ends.append(quiet(tmp_path, "sh", "-c", "exit 3")))
    thread.start()
    thread.join()
    assert [end.status for end in ends] == [3]


# ---------------------------------------------------------------- a terminal

ALL_TERMINALS = "import os; print([os.isatty(n) for n in range(3)], os.ttyname(0) == os.ttyname(1))"


def test_all_three_streams_are_terminals(kept: Path) -> None:
    screen = Screen(recorder(kept, *python(ALL_TERMINALS)))
    screen.until(b"[True, True, True] True\r\n")
    assert screen.close() == 0
    assert (kept / "out").read_bytes() == b"[True, True, True] True\r\n"
    assert end_of(kept) == ended(0)


def test_standard_error_of_a_terminal_is_kept_with_standard_output(kept: Path) -> None:
    screen = Screen(recorder(kept, "sh", "-c", "echo one; echo two >&2; exit 6"))
    screen.close()
    assert screen.shown == b"one\r\ntwo\r\n"
    assert (kept / "out").read_bytes() == b"one\r\ntwo\r\n"
    assert (kept / "err").read_bytes() == b""
    assert end_of(kept) == ended(6)


def test_redirected_standard_error_stays_redirected(kept: Path, tmp_path: Path) -> None:
    with (tmp_path / "errors").open("wb") as file:
        code = "import os, sys; print([os.isatty(n) for n in range(3)]); sys.stderr.write('e\\n')"
        screen = Screen(recorder(kept, *python(code)), stderr=file.fileno())
        screen.until(b"[True, True, False]\r\n")
        screen.close()
    assert (tmp_path / "errors").read_bytes() == b"e\n"
    assert (kept / "err").read_bytes() == b"e\n"


def test_process_left_behind_in_a_terminal_goes_on_writing_errors(
    kept: Path, tmp_path: Path
) -> None:
    go = kept / "go"
    shell = f"(until [ -e {go} ]; do sleep 0.01; done; echo late >&2; echo later >&2) & echo now"
    with (tmp_path / "errors").open("wb") as file:
        assert b"now" in shown_by(recorder(kept, "sh", "-c", shell), stderr=file.fileno())
    go.touch()
    wait_for(lambda: (tmp_path / "errors").read_bytes() == b"late\nlater\n")


# A blocked signal stays pending, so that none is missed between two waits; a handler of Python
# would run too late if the signal came just before a wait.
SIZES = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
while True:
    print("size", *[tuple(os.get_terminal_size(n)) for n in map(int, sys.argv[1:])])
    signal.sigwait([signal.SIGWINCH])
"""


def test_window_size_is_passed_on_and_followed(kept: Path) -> None:
    shell = "stty rows 31 cols 101; exec " + shlex.join(
        recorder(kept, *python(SIZES), "0", "1", "2")
    )
    screen = Screen(["/bin/sh", "-c", shell])
    screen.until(b"size (101, 31) (101, 31) (101, 31)\r\n")
    screen.resize(20, 70)
    screen.until(b"size (70, 20) (70, 20) (70, 20)\r\n")
    screen.type(b"\x03")
    screen.close()
    assert end_of(kept) == ended(None, signal.SIGINT)


def test_password_prompt(kept: Path) -> None:
    code = "import getpass; print('length', len(getpass.getpass('secret? ')))"
    screen = Screen(recorder(kept, *python(code)))
    screen.until(b"secret? ")
    screen.type(b"hunter2\n")
    assert b"hunter2" not in screen.until(b"length 7\r\n")
    assert screen.close() == 0
    assert b"hunter2" not in (kept / "out").read_bytes()


def test_echo_and_end_of_file(kept: Path) -> None:
    screen = Screen(recorder(kept, "cat"))
    screen.type(b"typed\n")
    assert screen.until(b"typed\r\ntyped\r\n") == b"typed\r\ntyped\r\n"
    screen.type(b"\x04")
    screen.close()
    assert end_of(kept) == ended(0)


def test_interrupt_key(kept: Path) -> None:
    code = "import time\nprint('ready')\nwhile True: time.sleep(0.01)"
    screen = Screen(recorder(kept, *python(code)))
    screen.until(b"ready")
    screen.type(b"\x03")
    screen.until(b"KeyboardInterrupt")
    assert screen.close() == 0
    assert end_of(kept) == ended(None, signal.SIGINT)


def test_interrupt_key_that_the_command_handles(kept: Path) -> None:
    code = (
        "import time\n"
        "try:\n"
        "    print('ready')\n"
        "    while True: time.sleep(0.01)\n"
        "except KeyboardInterrupt:\n"
        "    time.sleep(0.3); print('saved'); raise SystemExit(8)"
    )
    screen = Screen(recorder(kept, *python(code)))
    screen.until(b"ready")
    screen.type(b"\x03")
    screen.until(b"saved")
    screen.close()
    assert end_of(kept) == ended(8)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_are_forwarded_to_the_terminal(kept: Path, number: int) -> None:
    code = "import time\nprint('ready')\nwhile True: time.sleep(0.01)"
    screen = Screen(recorder(kept, *python(code)))
    screen.until(b"ready")
    os.kill(screen.pid, number)
    screen.close()
    assert end_of(kept) == ended(None, number)


@pytest.mark.parametrize("argv", [["sh", "-c", "stty raw -echo; exit 1"], ["no-such-program"]])
def test_terminal_modes_are_restored(kept: Path, argv: list[str]) -> None:
    shell = f"stty -g; {shlex.join(recorder(kept, *argv))}; stty -g; echo end"
    screen = Screen(["/bin/sh", "-c", shell])
    lines = screen.until(b"end\r\n").split()
    screen.close()
    assert len(lines) == 3
    assert lines[0] == lines[1]


def test_hangup_reaches_the_command(kept: Path) -> None:
    code = (
        "import pathlib, signal, sys, time\n"
        f"def stop(*_): pathlib.Path({str(kept / 'hangup')!r}).touch(); sys.exit(1)\n"
        "signal.signal(signal.SIGHUP, stop); print('ready')\n"
        "while True: time.sleep(0.01)"
    )
    screen = Screen(recorder(kept, *python(code)))
    screen.until(b"ready")
    os.close(screen.fd)
    os.waitpid(screen.pid, 0)
    assert (kept / "hangup").exists()
    assert end_of(kept) == ended(1)


def test_missing_program_in_a_terminal(kept: Path) -> None:
    assert Screen(recorder(kept, "no-such-program")).close() == 0
    assert end_of(kept) == {"not started": 127}


def test_large_output_to_a_terminal_is_whole(kept: Path) -> None:
    screen = Screen(recorder(kept, "seq", "200000"))
    screen.close()
    expected = b"".join(b"%d\r\n" % n for n in range(1, 200001))
    assert screen.shown == expected
    assert (kept / "out").read_bytes() == expected


def test_process_left_behind_in_a_terminal_survives(kept: Path) -> None:
    shell = "sleep 1000 & echo $! >" + shlex.quote(str(kept / "pid"))
    screen = Screen(["/bin/sh", "-c", shlex.join(recorder(kept, "sh", "-c", shell)) + "; read x"])
    wait_for((kept / "end").exists)
    left = int((kept / "pid").read_text())
    assert b"sleep" in Path(f"/proc/{left}/cmdline").read_bytes()
    os.kill(left, signal.SIGKILL)
    screen.type(b"\n")
    screen.close()


# ---------------------------------------------------------------- job control


def job(kept: Path, *argv: str, then: str) -> Screen:
    """A shell with job control that runs the recorder, and then more."""
    return Screen(["/bin/sh", "-c", f"set -m; {shlex.join(recorder(kept, *argv))}; {then}"])


def test_stop_key_and_continue(kept: Path) -> None:
    code = "print('ready'); print('got', input())"
    then = 'echo "stopped=$?"; stty -a; echo looked; read x; fg; echo "over=$?"'
    screen = job(kept, *python(code), then=then)
    screen.until(b"ready")
    screen.type(b"\x1a")
    screen.until(b"stopped=%d\r\n" % (128 + signal.SIGTSTP))
    # The shell has the terminal as it was: line by line, with echo.
    modes = screen.until(b"looked").split()
    assert b"icanon" in modes
    assert b"echo" in modes
    screen.type(b"\n")
    screen.resize(33, 99)
    screen.type(b"more\n")
    screen.until(b"got more\r\n")
    screen.until(b"over=0")
    screen.close()
    assert end_of(kept) == ended(0)


def test_stopped_command_continues_in_the_background(kept: Path) -> None:
    code = "import sys; print('ready', flush=True); sys.stdin.read(1); print('went on')"
    then = 'echo "stopped=$?"; bg; stty -a; echo looked; read x; fg; echo "over=$?"'
    screen = job(kept, *python(code), then=then)
    screen.until(b"ready")
    screen.type(b"\x1a")
    screen.until(b"stopped=")
    modes = screen.until(b"looked").split()
    assert b"icanon" in modes
    # What is typed now is for the shell.
    screen.type(b"\n")
    wait_for(lambda: not cast(int, screen.modes()[3]) & termios.ICANON)
    screen.type(b"\n")
    screen.until(b"went on")
    screen.until(b"over=0")
    screen.close()


def test_background_job_leaves_the_terminal_alone(kept: Path) -> None:
    code = "import os; print([os.isatty(n) for n in range(3)])"
    shell = f"set -m; {shlex.join(recorder(kept, *python(code)))} & wait; stty -a"
    screen = Screen(["/bin/sh", "-c", shell])
    screen.until(b"[True, True, True]\r\n")
    screen.close()
    assert b" icanon" in screen.shown
    # Our own terminal has made the carriage return.
    assert (kept / "out").read_bytes() == b"[True, True, True]\n"


# ---------------------------------------------------------------- one stream is a terminal


def test_only_standard_error_is_a_terminal(kept: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "sys.stderr.write(f'{[os.isatty(n) for n in range(3)]} {os.get_terminal_size(2)}\\n')\n"
        "input('typed here: '); print('out')"
    )
    with (tmp_path / "result").open("w+b") as file:
        screen = Screen(
            [
                "/bin/sh",
                "-c",
                "stty rows 12 cols 34; exec " + shlex.join(recorder(kept, *python(code))),
            ],
            stdout=file.fileno(),
        )
        shown = screen.until(b"lines=12)\r\n")
        screen.type(b"x\n")
        screen.close()
    assert shown == b"[True, False, True] os.terminal_size(columns=34, lines=12)\r\n"
    assert (kept / "err").read_bytes() == shown.replace(b"\r\n", b"\n")
    assert (tmp_path / "result").read_bytes() == b"typed here: out\n"


def test_only_standard_input_is_none(kept: Path) -> None:
    with open(os.devnull, "rb") as null:
        code = "import os; print([os.isatty(n) for n in range(3)]); open('/dev/tty').close()"
        screen = Screen(recorder(kept, *python(code)), stdin=null.fileno())
        screen.until(b"[False, True, True]\r\n")
        assert screen.close() == 0
    assert (kept / "out").read_bytes() == b"[False, True, True]\n"
    assert end_of(kept) == ended(0)


def test_window_size_of_one_stream_is_followed(kept: Path) -> None:
    with open(os.devnull, "rb") as null:
        screen = Screen(recorder(kept, *python(SIZES), "1"), stdin=null.fileno())
        screen.until(b"size (0, 0)\r\n")
        screen.resize(40, 50)
        screen.until(b"size (50, 40)\r\n")
        screen.type(b"\x03")
        screen.close()
    assert end_of(kept) == ended(None, signal.SIGINT)
