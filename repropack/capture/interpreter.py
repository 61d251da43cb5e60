# SPDX-License-Identifier: Apache-2.0
"""The environment record of a run, from what its Python processes said of themselves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from repropack.capture.agent_log import ProcessObservation
from repropack.environment.installed import installed_distributions
from repropack.environment.machine import describe_machine
from repropack.model import RECORD_VERSION, Environment, Python

__all__ = ["describe_environment", "library_paths", "main_process"]


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


def describe_environment(
    processes: Sequence[ProcessObservation], variables: Mapping[str, str]
) -> Environment:
    """Builds the environment record; without Python processes it has platform facts only.

    Args:
        processes: What the agent saw; all are assumed to share one environment.
        variables: The command's environment variables, for locale and time zone.
    """
    machine = describe_machine(variables)
    main = main_process(processes)
    if main is None:
        return Environment(version=RECORD_VERSION, machine=machine)
    modules: dict[str, str] = {}
    numerics: dict[str, dict[str, str]] = {}
    for process in processes:
        modules.update(process.modules)
        for library, settings in process.numerics.items():
            numerics.setdefault(library, dict(settings))
    libraries = library_paths(processes)
    return Environment(
        version=RECORD_VERSION,
        machine=machine,
        python=Python(
            implementation=main.cache_tag.partition("-")[0],
            version=main.version,
            cache_tag=main.cache_tag,
            flags={name: value for name, value in main.flags.items() if value},
            virtual=main.prefix != main.base_prefix,
        ),
        distributions=installed_distributions(libraries, modules),
        numerics=numerics,
        modules=tuple(
            sorted(name for name, path in modules.items() if _is_installed(path, libraries))
        ),
    )


def _is_installed(path: str, libraries: Sequence[str]) -> bool:
    return any(path.startswith(library + "/") for library in libraries)
