# SPDX-License-Identifier: Apache-2.0
"""One command in isolation, from its preparation to its end.

Resource limits (`setrlimit`) count per process, except for the number of processes, which counts
per user and does not bind root at all: for root that limit is a control group, where this system
lets us make one. The `Isolation` that is reported says what is really in force.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack.model import Isolation
from repropack.sandbox.bubblewrap import ETC_FILES, Bubblewrap, bubblewrap_argv
from repropack.sandbox.spec import Limits, SandboxSpec

__all__ = ["Confined", "confined", "no_isolation"]

_REMOVAL_SECONDS: Final = 5.0
"""A control group can be removed once the kernel has reaped its last process."""


class Confined(Struct, frozen=True, kw_only=True):
    """A command line that runs a command in isolation, and what that isolation is."""

    argv: tuple[str, ...]
    isolation: Isolation


def no_isolation() -> Isolation:
    """What a report says where the user chose to run code without a sandbox."""
    return Isolation(
        kind="none",
        summary="the code ran with all the rights of the user: files, network and processes",
    )


@contextlib.contextmanager
def confined(
    bubblewrap: Bubblewrap, spec: SandboxSpec, command: Sequence[str]
) -> Iterator[Confined]:
    """Prepares a sandbox for one command and removes what it needed afterwards.

    Args:
        bubblewrap: A program that `probe` found to work.
        spec: What the command may see and use.
        command: Its arguments; the program is looked up inside the sandbox.

    Yields:
        The command line to start, and the isolation that it puts in force. bubblewrap reports a
        command that a signal ended as status 128 + the signal's number.

    Raises:
        OSError: The temporary files of the sandbox could not be written.
    """
    with tempfile.TemporaryDirectory(prefix="repropack-etc-") as etc, _cgroup(spec.limits) as group:
        for name, text in ETC_FILES.items():
            Path(etc, name).write_text(text, encoding="ascii")
        limits, said = _limits(spec.limits, group)
        argv = bubblewrap_argv(bubblewrap, spec, command, etc=etc)
        launcher = str(Path(__file__).with_name("launcher.py"))
        yield Confined(
            argv=(sys.executable, "-I", "-S", launcher, *limits, "--", *argv),
            isolation=Isolation(kind="bubblewrap", summary=_summary(bubblewrap, said)),
        )


def _limits(limits: Limits, group: Path | None) -> tuple[list[str], list[str]]:
    """The words for the launcher, and what they mean in words for the report."""
    words, said = ["CORE=0"], []
    for name, value, text in (
        ("AS", limits.memory, "{} bytes of memory a process"),
        ("CPU", limits.cpu_seconds, "{} s of processor time a process"),
        ("FSIZE", limits.file_size, "{} bytes a file"),
    ):
        if value is not None:
            words.append(f"{name}={value}")
            said.append(text.format(value))
    if limits.processes is not None:
        if group is not None:
            words.append(f"cgroup={group}")
        elif os.geteuid() != 0:
            words.append(f"NPROC={limits.processes + _own_threads()}")
        else:
            said.append("the number of processes is not limited, because root starts them")
            return words, said
        said.append(f"{limits.processes} processes")
    return words, said


def _summary(bubblewrap: Bubblewrap, limits: Sequence[str]) -> str:
    version = ".".join(map(str, bubblewrap.version))
    text = (
        f"bubblewrap {version}: no network, no home directory, no other processes, a read-only "
        "system, only the work directory writable; the kernel is shared"
    )
    return f"{text}; limits: {', '.join(limits)}" if limits else f"{text}; no limits"


def _own_threads() -> int:
    """Threads that the user has now: the kernel counts them together with those of the sandbox."""
    own, count = os.getuid(), 0
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            # A process may end between any two of these steps.
            with contextlib.suppress(OSError):
                if entry.stat().st_uid == own:
                    count += len(os.listdir(f"/proc/{entry.name}/task"))
    return count


@contextlib.contextmanager
def _cgroup(limits: Limits) -> Iterator[Path | None]:
    """A control group that bounds the number of processes, for root; else None."""
    group = _make_group(limits.processes) if limits.processes and os.geteuid() == 0 else None
    try:
        yield group
    finally:
        if group is not None:
            _remove_group(group)


def _make_group(processes: int) -> Path | None:
    for parent in _parents():
        group = parent / f"repropack-{secrets.token_hex(6)}"
        try:
            group.mkdir()
        except OSError:
            # Read-only or not ours, as in most containers.
            continue
        try:
            _write_control(group / "pids.max", str(processes))
            os.close(os.open(group / "cgroup.procs", os.O_WRONLY))
        except OSError:
            # Version 2 where the pids controller is not handed down to children; or an ordinary
            # directory, as where a container has a tmpfs with no control groups mounted on it.
            _remove_group(group)
            continue
        return group
    return None


def _write_control(path: Path, text: str) -> None:
    """Writes to a file that the kernel made; one that is not there is an error, never created."""
    with open(os.open(path, os.O_WRONLY), "w", encoding="ascii") as file:
        file.write(text)


def _parents() -> Iterator[Path]:
    """Control groups that may get a child: our own, then (version 2) those above it."""
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "pids" in controllers.split(","):
            yield Path("/sys/fs/cgroup/pids") / path.lstrip("/")
        elif not controllers:
            top = Path("/sys/fs/cgroup")
            own = top / path.lstrip("/")
            yield from (own, *own.parents[: len(own.parts) - len(top.parts)])


def _remove_group(group: Path) -> None:
    end = time.monotonic() + _REMOVAL_SECONDS
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > end:
                # An empty group costs nothing; a process that does not die is the kernel's.
                return
            time.sleep(0.01)
        else:
            return
