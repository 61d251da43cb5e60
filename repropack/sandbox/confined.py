# SPDX-License-Identifier: Apache-2.0
"""One command in isolation, from its preparation to its end.

Resource limits (`setrlimit`) count per process, except for the number of processes, which counts
per user and does not bind root at all. What all processes use together is bounded by control
groups, where this system lets us make them: memory, and for root the number of processes. The
`Isolation` that is reported says what is really in force.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from msgspec import Struct

from repropack.model import Isolation
from repropack.sandbox.bubblewrap import find_bubblewrap, probe
from repropack.sandbox.landlock import find_landlock
from repropack.sandbox.layout import ETC_FILES
from repropack.sandbox.seccomp import call_filter
from repropack.sandbox.spec import Limits, SandboxSpec
from repropack.sandbox.starting import limited

__all__ = [
    "Confined",
    "NoSandbox",
    "Sandbox",
    "bounded_together",
    "confined",
    "find_sandbox",
    "no_isolation",
]

_REMOVAL_SECONDS: Final = 5.0
"""A control group can be removed once the kernel has reaped its last process."""


class Confined(Struct, frozen=True, kw_only=True):
    """A command line that runs a command in isolation, and what that isolation is."""

    argv: tuple[str, ...]
    isolation: Isolation


class NoSandbox(Struct, frozen=True, kw_only=True):
    """Why no kind of sandbox works here, one line each."""

    reasons: tuple[str, ...]


class Sandbox(Protocol):
    """A kind of isolation that was found to work here."""

    @property
    def kind(self) -> str:
        """Its name, for a report."""
        ...

    @property
    def summary(self) -> str:
        """What it keeps apart and what it does not, in one line."""
        ...

    def argv(
        self, spec: SandboxSpec, command: Sequence[str], *, etc: str | None, calls: bool
    ) -> list[str]:
        """The command line that runs a command as `spec` says; limits are set by `confined`.

        Args:
            spec: What the command may see.
            command: Its arguments.
            etc: A directory with the files of `ETC_FILES`, or None for no such files.
            calls: Whether the filter of system calls lies at `CALLS_FD`.
        """
        ...


def find_sandbox() -> Sandbox | NoSandbox:
    """Finds one: bubblewrap where it works, else Landlock with namespaces, else the reasons."""
    bubblewrap = find_bubblewrap()
    reason = "no bubblewrap" if bubblewrap is None else probe(bubblewrap)
    if bubblewrap is not None and reason is None:
        return bubblewrap
    landlock = find_landlock()
    if isinstance(landlock, str):
        return NoSandbox(reasons=(reason or "", landlock))
    return landlock


def bounded_together() -> frozenset[str]:
    """What of all processes together can be bounded here: of `memory` and `processes`."""
    with _cgroups(Limits(memory=1 << 30)) as groups:
        processes = "pids" in groups or os.geteuid() != 0
        found = {"memory": "memory" in groups, "processes": processes}
    return frozenset(name for name, there in found.items() if there)


def no_isolation() -> Isolation:
    """What a report says where the user chose to run code without a sandbox."""
    return Isolation(
        kind="none",
        summary="the code ran with all the rights of the user: files, network and processes",
    )


@contextlib.contextmanager
def confined(sandbox: Sandbox, spec: SandboxSpec, command: Sequence[str]) -> Iterator[Confined]:
    """Prepares a sandbox for one command and removes what it needed afterwards.

    Args:
        sandbox: One that was found to work.
        spec: What the command may see and use.
        command: Its arguments; the program is looked up inside the sandbox.

    Yields:
        The command line to start, and the isolation that it puts in force. A command that a signal
        ended is reported as status 128 + the signal's number.

    Raises:
        OSError: The temporary files of the sandbox could not be written.
    """
    with (
        tempfile.TemporaryDirectory(prefix="repropack-etc-") as etc,
        _cgroups(spec.limits) as groups,
    ):
        for name, text in ETC_FILES.items():
            Path(etc, name).write_text(text, encoding="ascii")
        limits, said = _limits(spec.limits, groups)
        calls = call_filter().program
        argv = sandbox.argv(spec, command, etc=etc, calls=calls is not None)
        yield Confined(
            argv=tuple(limited(limits, calls, argv)),
            isolation=Isolation(kind=sandbox.kind, summary=_summary(sandbox, spec, said)),
        )


def _limits(limits: Limits, groups: Mapping[str, Path]) -> tuple[list[str], list[str]]:
    """The words for the launcher, and what they mean in words for the report."""
    words, said = ["CORE=0"], []
    # A rough stand-in: programs reserve more address space than they use.
    address_space = None if "memory" in groups else limits.address_space
    for name, value, text in (
        ("AS", address_space, "{} of address space a process"),
        ("CPU", limits.cpu_seconds, "{} s of processor time a process"),
        ("FSIZE", limits.file_size, "{} a file"),
    ):
        if value is not None:
            words.append(f"{name}={value}")
            said.append(text.format(value if name == "CPU" else _size(value)))
    words += [f"cgroup={group}" for group in dict.fromkeys(groups.values())]
    if limits.memory is not None:
        together = f"{_size(limits.memory)} of memory together"
        said.append(
            together
            if "memory" in groups
            else "memory of all processes together is not limited, for lack of a control group"
        )
    if limits.processes is not None:
        if "pids" in groups:
            said.append(f"{limits.processes} processes")
        elif os.geteuid() != 0:
            words.append(f"NPROC={limits.processes + _own_threads()}")
            said.append(f"{limits.processes} processes")
        else:
            said.append("the number of processes is not limited, because root starts them")
    return words, said


def _size(number: int) -> str:
    """Bytes in the largest unit that they are a whole number of, or with one digit."""
    unit = min(4, max(0, (number.bit_length() - 1) // 10))
    text = f"{number / 1024**unit:.1f}".removesuffix(".0")
    return f"{text} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[unit]}"


def _summary(sandbox: Sandbox, spec: SandboxSpec, limits: Sequence[str]) -> str:
    text = f"{sandbox.summary}; {call_filter().summary}"
    if spec.devices:
        text += f"; with the devices {', '.join(spec.devices)}"
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
def _cgroups(limits: Limits) -> Iterator[dict[str, Path]]:
    """Control groups that bound all processes together, by controller; those that can be made."""
    wanted: dict[str, int] = {}
    if limits.memory is not None:
        wanted["memory"] = limits.memory
    if limits.processes is not None and os.geteuid() == 0:
        wanted["pids"] = limits.processes
    made = _make_groups(wanted)
    try:
        yield made
    finally:
        for group in dict.fromkeys(made.values()):
            _remove_group(group)


_FILE_OF: Final = {
    ("memory", False): "memory.limit_in_bytes",
    ("memory", True): "memory.max",
    ("pids", False): "pids.max",
    ("pids", True): "pids.max",
}
"""The file of a limit, by controller and whether it is version 2 of control groups."""


def _make_groups(wanted: Mapping[str, int]) -> dict[str, Path]:
    made: dict[str, Path] = {}
    for controllers, parent in _parents():
        open_ones = [name for name in wanted if name not in made and name in controllers]
        if not open_ones:
            continue
        unified = len(controllers) > 1
        group = parent / f"repropack-{secrets.token_hex(6)}"
        try:
            group.mkdir()
        except OSError:
            # Read-only or not ours, as in most containers.
            continue
        bounded = [
            name for name in open_ones if _bound(group / _FILE_OF[name, unified], wanted[name])
        ]
        try:
            os.close(os.open(group / "cgroup.procs", os.O_WRONLY))
        except OSError:
            bounded = []
        if not bounded:
            # Version 2 where the controllers are not handed down to children; or an ordinary
            # directory, as where a container has a tmpfs with no control groups mounted on it.
            _remove_group(group)
            continue
        made |= dict.fromkeys(bounded, group)
    return made


def _bound(file: Path, limit: int) -> bool:
    try:
        _write_control(file, str(limit))
    except OSError:
        return False
    return True


def _write_control(path: Path, text: str) -> None:
    """Writes to a file that the kernel made; one that is not there is an error, never created."""
    with open(os.open(path, os.O_WRONLY), "w", encoding="ascii") as file:
        file.write(text)


def _parents() -> Iterator[tuple[tuple[str, ...], Path]]:
    """Control groups that may get a child, with what they can bound.

    Those of version 1, one for each controller; then (version 2) our own and those above it.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    top = Path("/sys/fs/cgroup")
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for name in ("memory", "pids"):
            if name in controllers.split(","):
                yield (name,), top / name / path.lstrip("/")
        if not controllers:
            own = top / path.lstrip("/")
            for place in (own, *own.parents[: len(own.parts) - len(top.parts)]):
                yield ("memory", "pids"), place


def _remove_group(group: Path) -> None:
    end = time.monotonic() + _REMOVAL_SECONDS
    while True:
        try:
            group.rmdir()
        except OSError:
            _end_all(group)
            if time.monotonic() > end:
                # An empty group costs nothing; a process that does not die is the kernel's.
                return
            time.sleep(0.01)
        else:
            return


def _end_all(group: Path) -> None:
    """Ends what is left in a control group: only a sandbox has ever joined it."""
    for pid in _members(group):
        with contextlib.suppress(OSError):
            process = os.pidfd_open(pid)
            try:
                # Asked again: the number may have gone to another process in between.
                if pid in _members(group):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)


def _members(group: Path) -> list[int]:
    try:
        text = (group / "cgroup.procs").read_text("ascii")
    except OSError:
        return []
    # 0 is a process of another pid namespace, which is not ours to end.
    return [int(line) for line in text.split() if line != "0"]
