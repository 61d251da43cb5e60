# SPDX-License-Identifier: Apache-2.0
"""The program called many times, each in a process of its own that is forked with all imported.

`python -m tests.cli.many_calls` reads a JSON list of calls (`cwd` and `arguments`) and writes a
list of what came of them. An interpreter for each call would take ten times as long.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["Called", "call_all"]

SECONDS = 60
"""After which a call is taken for hung."""


class Called(NamedTuple):
    """What came of a call; a negative status is the signal that ended it."""

    status: int
    stdout: str
    stderr: str


def call_all(
    calls: Sequence[tuple[Path, Sequence[str]]], environment: Mapping[str, str]
) -> list[Called]:
    """Calls the program in directories, one after another."""
    asked = json.dumps([{"cwd": str(cwd), "arguments": list(words)} for cwd, words in calls])
    done = subprocess.run(
        [sys.executable, "-m", "tests.cli.many_calls"],
        input=asked,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return [Called(*one) for one in json.loads(done.stdout)]


def _call(cwd: str, arguments: list[str]) -> Called:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            _be_the_program(cwd, arguments, out.fileno(), err.fileno())
        _, state = os.waitpid(child, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
        return Called(os.waitstatus_to_exitcode(state), *texts)


def _be_the_program(cwd: str, arguments: list[str], out: int, err: int) -> None:
    status = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(cwd)
        sys.argv = ["repropack", *arguments]
        signal.alarm(SECONDS)
        from repropack.__main__ import main

        main()
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 70
    except BaseException:  # noqa: BLE001 - the child ends here, whatever it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    from repropack.cli import TABLE

    for module, _ in TABLE.values():
        importlib.import_module(module)
    json.dump([_call(**one) for one in json.load(sys.stdin)], sys.stdout)
