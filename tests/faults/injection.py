# SPDX-License-Identifier: Apache-2.0
"""Lets one call of the program fail: the Nth that changes something below a directory.

`shim.c` is compiled here and loaded before the C library, in the program and in whatever it starts.
"""

from __future__ import annotations

import enum
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.faults.driver import PLAN

HERE = Path(__file__).parent
_LOT = r"[0-9a-z]{8,64}|[0-9a-f]{2}|[0-9]+|tmp_obj_\w+|bulk_fsync_\w+|\w{6}"
"""Parts of names that differ from run to run: ids, digests, process numbers, mkstemp(3)."""

NO_COMPILER = "needs a C compiler: the calls that fail are replaced in the C library"


class Kind(enum.IntEnum):
    """What happens to the call; the values are those of shim.c."""

    NONE = 0
    ONCE = 1  # it fails, later ones do not
    FULL = 2  # it is a short write, and from then on nothing grows: a disk that fills up
    DEAD = 3  # it and all later ones fail
    KILL = 4  # SIGKILL to the whole process group, before the call
    ORPHAN = 5  # SIGKILL to the program alone; what it has started goes on
    STOP = 6  # the program stops before this call and each later one


class Call(NamedTuple):
    """A call that was counted."""

    number: int
    process: int
    name: str
    path: Path
    other: Path | None

    @property
    def site(self) -> tuple[str, str]:
        """What is called on what kind of file: names that are drawn by lot are left out.

        A git repository that is being made, and its object store, count as one file each.
        """
        path = re.sub(r"(/\.git\.[0-9a-f]{12}|/git/objects)/.*", r"\1", str(self.path))
        words = re.split(r"([./-])", path)
        return self.name, "".join(w for w in words if not re.fullmatch(_LOT, w))


class Outcome(NamedTuple):
    """How the program ended; the status is minus the signal if it was killed."""

    status: int
    stdout: str
    stderr: str
    calls: tuple[Call, ...]


class Injector:
    """The program, ready to be run again and again in no time."""

    def __init__(self, place: Path) -> None:
        self._place = place
        # Mapped files of other places would be taken for inputs of the runs that are recorded.
        self._plan = Path(tempfile.mkdtemp(dir="/dev/shm")) / "plan"
        self._plan.write_bytes(bytes(PLAN.size))
        shim = place / "shim.so"
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", shim, HERE / "shim.c"],
            check=True,
        )
        self.variables = {"LD_PRELOAD": str(shim), "FAULT_PLAN": str(self._plan)}
        # git gets an environment that is built for it: the shim comes in by its own name.
        self.programs = place / "programs"
        self.programs.mkdir()
        git = shutil.which("git")
        wrapper = self.programs / "git"
        preload = " ".join(f"{name}='{value}'" for name, value in self.variables.items())
        wrapper.write_text(f'#!/bin/sh\n{preload} exec {git} "$@"\n')
        wrapper.chmod(0o755)
        self._driver = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.driver"],
            cwd=HERE.parents[1],
            env={**os.environ, **self.variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Injector:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.close()
        self._driver.wait(timeout=60)
        self._driver.stdout.close()
        shutil.rmtree(self._plan.parent)

    def run(
        self,
        argv: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        below: Path,
        at: int = 0,
        kind: Kind = Kind.NONE,
        error: int = 0,
        at_stop: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Runs `repropack ARGV`; call number `at` that changes something below a path is hit.

        Args:
            argv: The arguments.
            directory: The working directory.
            environment: The environment; the shim and the git that loads it are added.
            below: Only calls on this directory and what is in it count.
            at: Which call, from 1; 0 for none.
            kind: What happens to it.
            error: The errno of `ONCE` and `DEAD`.
            at_stop: Called at each stop of `STOP`, with what is on standard output so far.
        """
        log = self._plan.with_name("plan.log")
        out, err = self._place / "stdout", self._place / "stderr"
        for path in (log, out, err):
            path.unlink(missing_ok=True)
        request = {
            "argv": list(argv),
            "directory": str(directory),
            "environment": {
                **environment,
                **self.variables,
                "PATH": f"{self.programs}:{environment['PATH']}",
            },
            "below": str(below),
            "at": at,
            "kind": int(kind),
            "error": error,
            "stdout": str(out),
            "stderr": str(err),
        }
        answer = self._ask(json.dumps(request))
        while "stopped" in answer:
            assert at_stop is not None
            at_stop(out.read_text())
            answer = self._ask("")
        lines = log.read_text().splitlines() if log.exists() else []
        return Outcome(
            status=answer["status"],
            stdout=out.read_text(errors="replace"),
            stderr=err.read_text(errors="replace"),
            calls=tuple(sorted(map(_call, lines))),
        )

    def _ask(self, line: str) -> dict[str, int]:
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(line + "\n")
        self._driver.stdin.flush()
        answer: dict[str, int] = json.loads(self._driver.stdout.readline())
        return answer


def numbers(calls: Sequence[Call], *, every: bool) -> list[int]:
    """The calls that a sweep hits: all, or the first of each kind; and one far beyond the last."""
    first: dict[object, int] = {}
    for call in calls:
        first.setdefault(call.number if every else call.site, call.number)
    return [*first.values(), len(calls) + 1000]


def _call(line: str) -> Call:
    number, process, name, path, other = line.split("\t")
    return Call(int(number), int(process), name, Path(path), Path(other) if other else None)
