# SPDX-License-Identifier: Apache-2.0
"""Runs a command on this machine, in a session of its own, with its output shown live and kept."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from typing import BinaryIO, Final

from repropack.errors import RepropackError
from repropack.executors import Job, JobEnd

__all__ = ["LocalExecutor"]

MAX_LOG: Final = 256 * 1024 * 1024
"""Bytes of each log that are kept: ten days of a line of 250 bytes every second. A hostile
command must not fill the disk with what it prints."""

GRACE_SECONDS: Final = 5.0
"""Between SIGTERM and SIGKILL: time to write a checkpoint, not to hang."""

DRAIN_SECONDS: Final = 2.0
"""After the command's end: a process that left its group could hold the pipes open for ever."""

MAX_PAUSE: Final = 86_400.0
"""Seconds of one wait: the kernel counts its milliseconds in 31 bits, which is 24 days."""

LOOK_SECONDS: Final = 0.5
"""Between two looks at the disk, which a fast one fills by 2 GiB in that time, and at what the
command has done."""

_PIECE: Final = 64 * 1024
_CUT: Final = b"\n[repropack: what follows was not kept, the log has reached its limit]\n"


class LocalExecutor:
    """Executes on this machine."""

    def execute(self, job: Job) -> JobEnd:
        """See `Executor.execute`."""
        try:
            with (
                open(job.stdout, "xb", buffering=0) as out,
                open(job.stderr, "xb", buffering=0) as err,
            ):
                return _execute(job, (_Log("stdout", out), _Log("stderr", err)))
        except OSError as error:
            raise RepropackError(
                f"{job.argv[0]} could not be executed with its output kept: {error}"
            ) from error


class _Log:
    """A log file with a bound."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self.name = name
        self._file = file
        self._room = MAX_LOG
        self.cut = False

    def write(self, data: bytes) -> None:
        if self.cut:
            return
        kept = data[: self._room]
        self._room -= len(kept)
        if len(kept) < len(data):
            kept += _CUT
            self.cut = True
        view = memoryview(kept)
        while view:
            view = view[self._file.write(view) :]


def _execute(job: Job, logs: tuple[_Log, _Log]) -> JobEnd:
    started = time.monotonic()
    with subprocess.Popen(
        job.argv,
        env=job.environment,
        cwd=job.directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    ) as child:
        try:
            ended = _follow(job, child, logs, started)
        finally:
            # Also on Ctrl-C and on a full disk: the group is ended before anything is raised.
            _signal_group(child, signal.SIGKILL)
            child.wait()
    code = child.returncode
    return JobEnd(
        status=code if code >= 0 else None,
        signal=_signal_name(-code) if code < 0 else None,
        timed_out=ended.timed_out,
        out_of_room=ended.out_of_room,
        enough=ended.enough,
        seconds=time.monotonic() - started,
        cut=tuple(log.name for log in logs if log.cut),
    )


class _Ended:
    """Why we ended a command, if we did."""

    timed_out = False
    out_of_room = False
    enough = False


def _follow(
    job: Job, child: subprocess.Popen[bytes], logs: tuple[_Log, _Log], started: float
) -> _Ended:
    """Passes the output on until the command has ended."""
    ended = _Ended()
    looks = bool(job.least_room or job.least_files) or job.enough is not None
    look_at = started
    kill_at: float | None = None
    limit = started + job.wall_seconds if job.wall_seconds is not None else None
    end = os.pidfd_open(child.pid)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, end)
        selector = stack.enter_context(selectors.DefaultSelector())
        selector.register(end, selectors.EVENT_READ)
        for log, pipe in zip(logs, (child.stdout, child.stderr), strict=True):
            if pipe is not None:
                selector.register(pipe, selectors.EVENT_READ, log)
        running = True
        drained_by: float | None = None
        while running or len(selector.get_map()) > 0:
            look = look_at if looks and running else None
            due = [at for at in (limit, kill_at, drained_by, look) if at is not None]
            pause = min(max(0.0, min(due) - time.monotonic()), MAX_PAUSE) if due else None
            for key, _ in selector.select(pause):
                if key.data is None:
                    selector.unregister(end)
                    running, limit, kill_at = False, None, None
                    # What its own children still hold of the pipes closes now.
                    _signal_group(child, signal.SIGKILL)
                    drained_by = time.monotonic() + DRAIN_SECONDS
                elif not _pass_on(job, key):
                    selector.unregister(key.fileobj)
            now = time.monotonic()
            if drained_by is not None and now >= drained_by:
                break
            if look is not None and now >= look and not (ended.out_of_room or ended.enough):
                look_at = now + LOOK_SECONDS
                if not _has_room(job):
                    # No time to tidy up: it would go on writing.
                    ended.out_of_room = True
                    _signal_group(child, signal.SIGKILL)
                elif job.enough is not None and job.enough():
                    ended.enough = True
                    _signal_group(child, signal.SIGKILL)
            if limit is not None and now >= limit:
                ended.timed_out, limit, kill_at = True, None, now + GRACE_SECONDS
                _signal_group(child, signal.SIGTERM)
            elif kill_at is not None and now >= kill_at:
                kill_at = None
                _signal_group(child, signal.SIGKILL)
    return ended


def _has_room(job: Job) -> bool:
    found = os.statvfs(job.room)
    # A file system without a fixed number of files says that it has none.
    files = found.f_favail if found.f_files else job.least_files
    return found.f_bavail * found.f_frsize >= job.least_room and files >= job.least_files


def _pass_on(job: Job, key: selectors.SelectorKey) -> bool:
    """Reads one piece from a pipe; False at its end."""
    data = os.read(key.fd, _PIECE)
    if data:
        key.data.write(data)
        if job.live is not None:
            job.live(key.data.name, data)
    return bool(data)


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signals the command's group. It is still ours: its leader has not been waited for."""
    if child.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
