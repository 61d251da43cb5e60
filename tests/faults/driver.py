# SPDX-License-Identifier: Apache-2.0
"""A process that has imported the program once, and runs it in a fork for each request.

It is started by `injection.Injector` with the shim loaded. A request is a line of JSON on standard
input. The answer is a line on standard output: how the fork ended, or that it has stopped.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import mmap
import os
import signal
import struct
import sys
from typing import Any, NoReturn

from repropack.__main__ import main
from repropack.cli import TABLE

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

PLAN = struct.Struct("=qqqqq4096s")


def arm(request: dict[str, Any], leader: int) -> None:
    with open(os.environ["FAULT_PLAN"], "r+b") as file, mmap.mmap(file.fileno(), PLAN.size) as plan:
        below = os.fsencode(request["below"])
        plan[:] = PLAN.pack(0, request["at"], request["kind"], request["error"], leader, below)


def live(request: dict[str, Any]) -> NoReturn:
    """The life of a fork: what `repropack ARGUMENTS` does."""
    os.setsid()
    for number, name in ((0, os.devnull), (1, request["stdout"]), (2, request["stderr"])):
        file = os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["repropack", *request["argv"]]
    status: int | str | None = 70
    try:
        arm(request, os.getpid())
        main()
    except SystemExit as ended:
        status = ended.code if ended.code is not None else 0
    finally:
        try:
            sys.stdout.flush()
        finally:
            os._exit(status if isinstance(status, int) else 1)


def answer(document: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def serve() -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for module, _ in TABLE.values():
        importlib.import_module(module)
    for name in ("capture.recorder", "capture.streams", "export", "verify"):
        importlib.import_module(f"repropack.{name}")
    for line in sys.stdin:
        if line == "\n":
            continue
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            live(request)
        while True:
            _, status = os.waitpid(child, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            answer({"stopped": child})
            sys.stdin.readline()
            os.kill(child, signal.SIGCONT)
        # Whatever it has left behind is ours now (see below): it must have ended too.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-child, 0)
        answer({"status": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    serve()
