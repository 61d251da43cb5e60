# SPDX-License-Identifier: Apache-2.0
"""What every executor must do, whatever machine it uses."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import msgspec
import pytest

from repropack.errors import RepropackError, UsageError
from repropack.executors import TABLE, Executor, Job, JobEnd, executor


@pytest.fixture(params=sorted(TABLE))
def subject(request: pytest.FixtureRequest) -> Executor:
    return executor(request.param)


class Jobs:
    """Runs shell commands through an executor and reads their logs."""

    def __init__(self, subject: Executor, folder: Path) -> None:
        self.subject = subject
        self.folder = folder
        self.seen: list[tuple[str, bytes]] = []

    def job(self, *argv: str, wall: float | None = 60.0, **environment: str) -> Job:
        return Job(
            argv=argv,
            environment=environment,
            directory=str(self.folder),
            stdout=str(self.folder / "stdout.log"),
            stderr=str(self.folder / "stderr.log"),
            wall_seconds=wall,
            live=lambda stream, data: self.seen.append((stream, data)),
        )

    def sh(self, script: str, wall: float | None = 60.0, **environment: str) -> JobEnd:
        return self.subject.execute(
            self.job("/bin/sh", "-c", script, wall=wall, PATH="/usr/bin:/bin", **environment)
        )

    def log(self, stream: str) -> bytes:
        return (self.folder / f"{stream}.log").read_bytes()

    def live(self, stream: str) -> bytes:
        return b"".join(data for name, data in self.seen if name == stream)


@pytest.fixture
def jobs(subject: Executor, tmp_path: Path) -> Jobs:
    return Jobs(subject, tmp_path)


def running(marker: str) -> bool:
    """Whether a process that is no zombie has this word in its arguments."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            state = (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marker.encode() in words and state != "Z":
            return True
    return False


def gone(marker: str) -> bool:
    """Whether it disappears: init may need a moment to reap what the kernel has killed."""
    end = time.monotonic() + 10
    while running(marker):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("status", [0, 1, 3, 77, 255])
def test_the_exit_status_is_told(jobs: Jobs, status: int) -> None:
    end = jobs.sh(f"exit {status}")
    assert (end.status, end.signal, end.timed_out) == (status, None, False)


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV", "ABRT"])
def test_a_signal_is_told_by_name(jobs: Jobs, name: str) -> None:
    end = jobs.sh(f"ulimit -c 0; kill -{name} $$")
    assert (end.status, end.signal, end.timed_out) == (None, f"SIG{name}", False)


def test_output_is_kept_and_shown_stream_by_stream(jobs: Jobs) -> None:
    jobs.sh("echo one; echo two >&2; printf 'no newline'")
    assert jobs.log("stdout") == jobs.live("stdout") == b"one\nno newline"
    assert jobs.log("stderr") == jobs.live("stderr") == b"two\n"


def test_output_is_shown_while_the_command_runs(jobs: Jobs) -> None:
    # The command ends only when the callback has seen its first line.
    answer = jobs.folder / "answer"
    job = jobs.job("/bin/sh", "-c", "echo ready; while ! test -e answer; do sleep 0.02; done",
                   PATH="/usr/bin:/bin")  # fmt: skip

    def live(stream: str, data: bytes) -> None:
        answer.write_bytes(data)

    end = jobs.subject.execute(
        Job(
            argv=job.argv,
            environment=job.environment,
            directory=job.directory,
            stdout=job.stdout,
            stderr=job.stderr,
            wall_seconds=60.0,
            live=live,
        )
    )
    assert end.status == 0
    assert answer.read_bytes() == b"ready\n"


def test_much_output_on_both_streams_does_not_block(jobs: Jobs) -> None:
    count = 3_000_000
    end = jobs.sh(f"head -c {count} /dev/zero >&2; head -c {count} /dev/zero")
    assert end.status == 0
    assert len(jobs.log("stdout")) == len(jobs.log("stderr")) == count


def test_standard_input_is_empty(jobs: Jobs) -> None:
    assert jobs.sh("wc -c").status == 0
    assert jobs.log("stdout").strip() == b"0"


def test_nothing_of_our_environment_is_inherited(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    job = jobs.job(sys.executable, "-c", "import os; print(sorted(os.environ))", WANTED="1")
    jobs.subject.execute(job)
    assert b"SECRET_TOKEN" not in jobs.log("stdout")
    assert b"WANTED" in jobs.log("stdout")


def test_arguments_are_not_for_a_shell(jobs: Jobs) -> None:
    hostile = ["; touch made", "$(touch made)", "a\nb", "*", ""]
    jobs.subject.execute(
        jobs.job(sys.executable, "-c", "import sys; print(sys.argv[1:])", *hostile)
    )
    assert jobs.log("stdout") == f"{hostile}\n".encode()
    assert not (jobs.folder / "made").exists()


def test_it_starts_in_the_directory_of_the_job(jobs: Jobs) -> None:
    jobs.sh("pwd -P")
    assert jobs.log("stdout").decode().strip() == os.path.realpath(jobs.folder)


def test_open_files_of_ours_are_not_inherited(jobs: Jobs) -> None:
    read, write = os.pipe()
    os.set_inheritable(read, True)
    try:
        jobs.sh("ls /proc/self/fd | wc -l")
        # Standard streams and the directory that ls has open.
        assert int(jobs.log("stdout")) == 4
    finally:
        os.close(read)
        os.close(write)


def test_time_over_ends_the_whole_group(jobs: Jobs) -> None:
    marker = f"canary-time-{os.getpid()}"
    code = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', {marker!r}])\n"
        "print('started', flush=True); time.sleep(600)\n"
    )
    end = jobs.subject.execute(jobs.job(sys.executable, "-c", code, wall=1.5))
    assert end.timed_out
    assert (end.status, end.signal) == (None, "SIGTERM")
    assert jobs.log("stdout") == b"started\n"
    assert gone(marker)


@pytest.mark.slow
def test_who_ignores_sigterm_is_killed(jobs: Jobs) -> None:
    end = jobs.sh("trap '' TERM; echo trapped; while true; do sleep 1; done", wall=0.5)
    assert end.timed_out
    assert (end.status, end.signal) == (None, "SIGKILL")


def test_time_over_is_no_excuse_for_a_status(jobs: Jobs) -> None:
    end = jobs.sh("trap 'echo saved; exit 0' TERM; echo up; sleep 600 & wait", wall=0.5)
    assert end.timed_out
    assert end.status == 0
    assert jobs.log("stdout").endswith(b"saved\n")


def test_background_processes_do_not_outlive_the_command(jobs: Jobs) -> None:
    marker = f"canary-background-{os.getpid()}"
    code = (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', {marker!r}])\n"
    )
    end = jobs.subject.execute(jobs.job(sys.executable, "-c", code))
    assert end.status == 0
    assert gone(marker)


def test_a_daemon_that_holds_the_output_open_does_not_block(jobs: Jobs) -> None:
    # A daemon has left the group: without a sandbox it cannot be found again, only not waited for.
    end = jobs.sh("setsid sleep 15 & echo $!; exit 4")
    assert end.status == 4
    assert jobs.log("stdout").strip().isdigit()
    os.kill(int(jobs.log("stdout")), 15)


def test_ctrl_c_ends_the_command_and_is_raised_again(jobs: Jobs) -> None:
    marker = f"canary-interrupt-{os.getpid()}"
    job = jobs.job(
        sys.executable, "-c", "print('up', flush=True); import time; time.sleep(600)", marker
    )

    def interrupt(stream: str, data: bytes) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.subject.execute(
            Job(
                argv=job.argv,
                environment={},
                directory=job.directory,
                stdout=job.stdout,
                stderr=job.stderr,
                live=interrupt,
            )
        )
    assert gone(marker)
    assert jobs.log("stdout") == b"up\n"


def test_no_zombie_is_left(jobs: Jobs) -> None:
    jobs.sh("true")
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        assert (state, int(parent)) != ("Z", os.getpid())


@pytest.mark.parametrize("program", ["/nonexistent/program", "/etc/passwd", "/"])
def test_a_program_that_cannot_be_started_is_an_error(jobs: Jobs, program: str) -> None:
    with pytest.raises(RepropackError, match=program):
        jobs.subject.execute(jobs.job(program))


def test_an_existing_log_is_not_overwritten(jobs: Jobs) -> None:
    (jobs.folder / "stdout.log").symlink_to(jobs.folder / "precious")
    with pytest.raises(RepropackError, match=r"stdout\.log"):
        jobs.sh("echo overwritten")
    assert not (jobs.folder / "precious").exists()


@pytest.mark.slow
def test_logs_are_bounded_and_say_so(jobs: Jobs) -> None:
    end = jobs.sh("head -c 300M /dev/zero", wall=120.0)
    assert (end.status, end.cut) == (0, ("stdout",))
    log = jobs.folder / "stdout.log"
    assert log.stat().st_size < 257 << 20
    with log.open("rb") as file:
        file.seek(-200, os.SEEK_END)
        assert b"what follows was not kept" in file.read()
    log.unlink()


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="local") as caught:
        executor("moon")
    assert caught.value.exit_status == 2


def test_a_command_that_fills_the_disk_is_ended(jobs: Jobs) -> None:
    room = os.statvfs(jobs.folder)
    free = room.f_bavail * room.f_frsize
    script = jobs.job("/bin/sh", "-c", "trap '' TERM; sleep 60", PATH="/usr/bin:/bin")
    end = jobs.subject.execute(
        msgspec.structs.replace(script, room=str(jobs.folder), least_room=free * 2)
    )
    assert end.out_of_room
    assert not end.timed_out
    assert end.signal == "SIGKILL"
    (jobs.folder / "stdout.log").unlink()
    (jobs.folder / "stderr.log").unlink()
    enough = jobs.job("/bin/sh", "-c", "sleep 0.7", PATH="/usr/bin:/bin")
    end = jobs.subject.execute(
        msgspec.structs.replace(enough, room=str(jobs.folder), least_room=1024)
    )
    assert (end.status, end.out_of_room) == (0, False)


def test_a_command_that_takes_all_files_of_the_disk_is_ended(jobs: Jobs) -> None:
    here = os.statvfs(jobs.folder)
    if not here.f_files:
        pytest.skip("this file system has no number of files")
    script = jobs.job("/bin/sh", "-c", "trap '' TERM; sleep 60", PATH="/usr/bin:/bin")
    wanted = msgspec.structs.replace(
        script, room=str(jobs.folder), least_files=here.f_favail + 1_000_000
    )
    end = jobs.subject.execute(wanted)
    assert end.out_of_room
    assert end.signal == "SIGKILL"


def test_a_command_that_has_done_enough_is_ended_with_all_its_children(jobs: Jobs) -> None:
    mark = jobs.folder / "mark"
    job = jobs.job("/bin/sh", "-c", f"sleep 61.25 & touch {mark}; echo said; wait")
    end = jobs.subject.execute(msgspec.structs.replace(job, enough=mark.exists))
    assert end.enough
    assert not end.timed_out
    assert not end.out_of_room
    assert jobs.log("stdout") == b"said\n"
    assert not running("61.25")


def test_a_command_that_never_does_enough_comes_to_its_end(jobs: Jobs) -> None:
    job = jobs.job("/bin/sh", "-c", "sleep 1; exit 3")
    end = jobs.subject.execute(msgspec.structs.replace(job, enough=lambda: False))
    assert (end.status, end.enough) == (3, False)
