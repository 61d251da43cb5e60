# SPDX-License-Identifier: Apache-2.0
"""Runs many command lines of repropack in one process, and notes what each of them did.

`python -m tests.vectors.worker JOBS RESULTS`: both are JSON files. A job is a list of arguments;
its result says what came out, what it cost, and every program, socket and file for writing that it
opened. Limits of memory and CPU time are set for each job: a job beyond them ends the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any, Final

from repropack.__main__ import main

MEMORY: Final = 512 * 2**20
"""Bytes of address space that a job may take beyond what the idle process has."""

CPU: Final = 3
"""Seconds after which the kernel ends a job; the test asserts less."""

_events: list[list[str]] = []

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES: Final = frozenset({
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate",
    "os.chmod", "os.chown", "os.utime",
})  # fmt: skip
_PROGRAMS: Final = frozenset({
    "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork",
    "os.forkpty", "pty.spawn",
})  # fmt: skip


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & _WRITING:
            _events.append(["write", _path(path)])
    elif event in _CHANGES:
        _events.append(["write", _path(arguments[0])])
    elif event in _PROGRAMS:
        _events.append(["program", os.fsdecode(arguments[0] or "")])
    elif event.startswith("socket."):
        _events.append(["network", event])


def _path(path: Any) -> str:
    if isinstance(path, int):
        return f"descriptor {path}"
    text = os.fsdecode(path)
    # A relative name may belong to a descriptor of a directory, which was opened before.
    return text if text.startswith("/") or "/../" in f"/{text}/" else f"relative {text}"


def _run(arguments: list[str], place: Path) -> dict[str, Any]:
    """One job, with standard output and standard error in files."""
    kept = [os.dup(1), os.dup(2)]
    names = [place / "stdout", place / "stderr"]
    for number, name in enumerate(names, 1):
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, number)
        os.close(descriptor)
    before = _cpu()
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    own = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(own.ru_utime + own.ru_stime) + 1 + CPU
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
    _events.clear()
    sys.argv = ["repropack", *arguments]
    status: Any = None
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    finally:
        noted = [list(event) for event in _events]
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        for number, descriptor in enumerate(kept, 1):
            os.dup2(descriptor, number)
            os.close(descriptor)
    return {
        "status": status,
        "stdout": names[0].read_bytes().decode("utf-8", "surrogateescape"),
        "stderr": names[1].read_bytes().decode("utf-8", "surrogateescape"),
        "cpu": _cpu() - before,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "events": noted,
    }


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run_all(jobs: Path, results: Path) -> None:
    """Runs every job of a file; the results so far are kept when a limit ends the process."""
    # What the commands import lazily is read before the limits count.
    _run(["verify", "/nonexistent"], results.parent)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    sys.addaudithook(_watch)
    with results.open("w") as file:
        for job in json.loads(jobs.read_text()):
            file.write(json.dumps({"job": job}) + "\n")
            file.flush()
            file.write(json.dumps(_run(job, results.parent)) + "\n")


if __name__ == "__main__":
    run_all(Path(sys.argv[1]), Path(sys.argv[2]))
