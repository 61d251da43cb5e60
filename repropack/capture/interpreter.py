# SPDX-License-Identifier: Apache-2.0
"""The environment record of a run, from what its Python processes said of themselves."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from repropack.agent.log import ProcessObservation, numerics_of
from repropack.environment.conda import conda_packages
from repropack.environment.installed import installed_distributions
from repropack.environment.machine import describe_machine
from repropack.model import RECORD_VERSION, Environment, Python

__all__ = [
    "describe_environment",
    "interpreter_prefixes",
    "library_paths",
    "main_process",
    "programs_of",
    "used_environments",
]

PROGRAMS: Final = 20
"""Programs of an environment that are named."""


def main_process(processes: Sequence[ProcessObservation]) -> ProcessObservation | None:
    """The Python process that speaks for the run: the one whose parent was no Python process."""
    pids = {process.pid for process in processes}
    return next(
        (process for process in processes if process.ppid not in pids),
        processes[0] if processes else None,
    )


def library_paths(processes: Sequence[ProcessObservation]) -> tuple[str, ...]:
    """The directories of installed packages that the processes searched, in order."""
    found: dict[str, None] = {}
    for process in processes:
        for path in process.sys_path:
            if os.path.basename(path) in ("site-packages", "dist-packages"):
                found[path] = None
        # A process that was killed never said its path; this is where its packages are.
        major_minor = ".".join(process.version.split(".")[:2])
        for prefix in {process.prefix, process.base_prefix}:
            usual = f"{prefix}/lib/python{major_minor}/site-packages"
            if process.prefix == prefix and os.path.isdir(usual):
                found[usual] = None
    return tuple(found)


def interpreter_prefixes(program: Path) -> tuple[str, ...]:
    """Where a Python that was named by its path, and the one behind its links, are installed."""
    if not program.name.startswith(("python", "pypy")):
        return ()
    places = (os.path.normpath(program), os.path.realpath(program))
    return tuple(
        os.path.dirname(os.path.dirname(place))
        for place in dict.fromkeys(places)
        if os.path.basename(os.path.dirname(place)) == "bin" and os.path.isfile(place)
    )


def used_environments(
    processes: Sequence[ProcessObservation],
) -> tuple[tuple[ProcessObservation, ...], ...]:
    """The processes of each environment that a run used, those of the main process's first.

    A tool of the system that a library starts, and that imports nothing but what is Python's, uses
    none of its own.
    """
    main = main_process(processes)
    if main is None:
        return ()
    groups: dict[tuple[str, str], list[ProcessObservation]] = {_environment_of(main): []}
    for process in processes:
        groups.setdefault(_environment_of(process), []).append(process)
    first, *others = groups.values()
    apart = []
    for group in others:
        libraries = library_paths(group)
        files = (path for process in group for path in process.modules.values())
        if any(_is_installed(path, libraries) for path in files):
            apart.append(tuple(group))
        else:
            first += group
    return (tuple(first), *apart)


def _environment_of(process: ProcessObservation) -> tuple[str, str]:
    return process.version, os.path.realpath(process.prefix)


def programs_of(processes: Sequence[ProcessObservation]) -> tuple[str, ...]:
    """What ran in some processes, as their command lines name it: scripts, and `-m MODULE`."""
    found: dict[str, None] = {}
    for process in processes:
        words = iter(process.argv[1:])
        for word in words:
            if word == "-m":
                found[f"-m {next(words, '')}"] = None
                break
            if word == "-c":
                break
            if word in ("-W", "-X"):
                next(words, None)
            elif not word.startswith("-"):
                found[word] = None
                break
    return tuple(found)[:PROGRAMS]


def describe_environment(
    processes: Sequence[ProcessObservation],
    variables: Mapping[str, str],
    project: Path = Path("/"),
) -> Environment:
    """Builds the environment record; without Python processes it has platform facts only.

    Args:
        processes: What the agent saw; all are assumed to share one environment.
        variables: The command's environment variables, for locale and time zone.
        project: Its root.
    """
    machine = describe_machine(variables, project)
    main = main_process(processes)
    if main is None:
        return Environment(version=RECORD_VERSION, machine=machine)
    modules: dict[str, str] = {}
    versions = [""]
    for process in processes:
        for name, path in process.modules.items():
            modules.setdefault(name, path)
        versions += filter(None, [process.numerics.get("python", {}).get("sys_version")])
    libraries = library_paths(processes)
    build, compiler = _build(versions[:2][-1])
    return Environment(
        version=RECORD_VERSION,
        machine=machine,
        python=Python(
            implementation=main.cache_tag.partition("-")[0],
            version=main.version,
            cache_tag=main.cache_tag,
            build=build,
            compiler=compiler,
            flags={name: value for name, value in main.flags.items() if value},
            virtual=main.prefix != main.base_prefix,
        ),
        distributions=installed_distributions(libraries, modules),
        numerics=numerics_of(processes),
        conda=conda_packages(Path(main.prefix)) or conda_packages(Path(main.base_prefix)),
        modules=tuple(
            sorted(name for name, path in modules.items() if _is_installed(path, libraries))
        ),
    )


def _build(version: str) -> tuple[str, str]:
    """Build and compiler of `sys.version`: `3.11.2 (main, …) [GCC 12.2.0]`."""
    match = re.search(r"\((.*?)\)\s*\[(.*?)\]", version)
    return (match[1], match[2]) if match else ("", "")


def _is_installed(path: str, libraries: Sequence[str]) -> bool:
    return any(path.startswith(library + "/") for library in libraries)
