# SPDX-License-Identifier: Apache-2.0
"""Interpreters that ran without the agent, and what they say when they are asked afterwards.

`-I`, `-E` and `-S` keep the agent out, and so does a script that replaces PYTHONPATH
(`PYTHONPATH=src python train.py`). Where the interpreter and its packages are, it can still tell:
it is started once more, isolated, with one line of ours. What the run imported shows in the trace,
if there is one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from repropack import process
from repropack.agent.log import ProcessObservation

__all__ = ["ask_interpreters", "imported_files", "is_interpreter", "unobserved_interpreters"]

SECONDS: Final = 20.0
"""Time to answer: the start of an interpreter on a slow network file system."""

_PYTHON: Final = re.compile(r"(?:python|pypy)[0-9.]*")

_QUESTION: Final = """\
import sys
def text(value): return value.encode("utf-8", "surrogateescape").hex()
print(*("%d.%d.%d" % sys.version_info[:3], sys.implementation.cache_tag or "-", text(sys.version),
    text(sys.prefix), text(sys.base_prefix), *map(text, filter(None, sys.path))))
"""

_PACKAGES: Final = re.compile(r"(.*/(?:site|dist)-packages)/(.*)", re.DOTALL)


def is_interpreter(program: str) -> bool:
    """Whether a program is called as Python is."""
    return _PYTHON.fullmatch(os.path.basename(program)) is not None


def unobserved_interpreters(
    programs: Iterable[str], processes: Iterable[ProcessObservation]
) -> list[str]:
    """Interpreters among programs of which no process was observed, nor one of the same place.

    A script that is called like one (a shim of pyenv) becomes one, which tells of itself.
    """
    processes = tuple(processes)
    known = {process.executable for process in processes}
    places = {f"{process.prefix}/bin" for process in processes}
    return [
        program
        for program in dict.fromkeys(programs)
        if is_interpreter(program)
        and program not in known
        and os.path.dirname(program) not in places
        and not _is_script(program)
    ]


def _is_script(program: str) -> bool:
    try:
        with open(program, "rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        # Its name stands for it.
        return False


def ask_interpreters(
    programs: Iterable[str],
    read: Sequence[str],
    environment: Mapping[str, str],
) -> tuple[ProcessObservation, ...]:
    """What interpreters say of themselves; one that does not answer is left out.

    Args:
        programs: Their absolute paths.
        read: The files that a trace saw being read.
        environment: The command's environment variables.
    """
    found = []
    for program in dict.fromkeys(programs):
        try:
            answer = process.run(
                # Without bytecode: asking leaves no trace in the environment.
                (program, "-I", "-B", "-c", _QUESTION),
                environment=environment,
                timeout=SECONDS,
            )
            version, tag, *texts = answer.stdout.decode("ascii").split()
            build, prefix, base, *path = (
                bytes.fromhex(text).decode("utf-8", "surrogateescape") for text in texts
            )
        except (process.ProcessFailedError, ValueError):
            continue
        found.append(
            ProcessObservation(
                pid=0,
                executable=program,
                prefix=prefix,
                base_prefix=base,
                version=version,
                cache_tag=tag.strip("-"),
                sys_path=tuple(path),
                modules=imported_files(read, path),
                numerics={"python": {"sys_version": build}},
                complete=True,
            )
        )
    return tuple(found)


def imported_files(read: Iterable[str], path: Sequence[str]) -> dict[str, str]:
    """The modules of installed packages to which files belong that were read, each with a file.

    As the agent says it: the top-level ones, and of a namespace package its direct members.
    """
    modules: dict[str, str] = {}
    searched = set(path)
    for file in read:
        matched = _PACKAGES.fullmatch(file)
        if matched is None or matched[1] not in searched:
            continue
        directory, parts = matched[1], matched[2].split("/")
        if parts[0] == "__pycache__":
            parts = [parts[-1].partition(".")[0] + ".py"]
        for depth in (1, 2):
            place = "/".join((directory, *parts[:depth]))
            name = ".".join(part.partition(".")[0] for part in parts[:depth])
            if len(parts) <= depth:
                if place.endswith((".py", ".so")):
                    modules.setdefault(name, place)
                break
            if os.path.isfile(f"{place}/__init__.py"):
                modules.setdefault(name, f"{place}/__init__.py")
                break
    return modules
