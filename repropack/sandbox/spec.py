# SPDX-License-Identifier: Apache-2.0
"""What executed code may see and use, as values that cannot be wrong."""

from __future__ import annotations

import os
from typing import Final

from msgspec import Struct

__all__ = ["SYSTEM", "Bind", "Limits", "SandboxSpec", "usual_limits", "why_not_shown"]

USUAL_FILE: Final = 1024**4
"""Bytes of a file: no checkpoint or data set that we know of is one file of a TiB."""
USUAL_SHARE: Final = 0.9
"""Of the machine's memory: what is left keeps it answering while the code is ended."""

SYSTEM: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Directories of programs and libraries: always visible, never writable."""

_RESERVED: Final = ("/dev", "/etc", "/proc", "/sys", *SYSTEM)
"""The sandbox makes these itself; a recorded path may not replace them."""


class Bind(Struct, frozen=True, kw_only=True):
    """A file or directory of this machine, and where the executed code sees it.

    Raises:
        ValueError: A path is not absolute and plain, or the target hides a part of the system.
    """

    source: str
    target: str

    def __post_init__(self) -> None:
        for path in (self.source, self.target):
            # normpath keeps two slashes at the start, which POSIX leaves open; Linux has one root.
            plain = path.startswith("/") and not path.startswith("//") and "\0" not in path
            if not plain or os.path.normpath(path) != path:
                raise ValueError(f"{path!r} is not an absolute path without . and ..")
        if self.target in ("/", "/tmp", "/home"):  # noqa: S108 - compared, not used
            raise ValueError(f"{self.target} would be replaced as a whole")
        if not self.in_system and any(_beneath(self.target, top) for top in _RESERVED):
            raise ValueError(f"{self.target} belongs to the system")

    @property
    def in_system(self) -> bool:
        """Whether the code sees it anyway, as it does an interpreter in /usr."""
        return self.source == self.target and any(_beneath(self.source, top) for top in SYSTEM)


def why_not_shown(directory: str) -> str | None:
    """Why executed code cannot see what is below a directory at its own path; None where it can."""
    below = os.path.join(directory, "x")
    try:
        Bind(source=below, target=below)
    except ValueError as error:
        return str(error).replace(below, directory)
    return None


class Limits(Struct, frozen=True, kw_only=True):
    """Upper bounds for the executed code; None is no bound.

    Attributes:
        memory: Bytes of memory of all processes together, where this system lets us count them.
            Each temporary file system has half of it.
        address_space: Bytes of address space of each process, where `memory` cannot be counted.
            CUDA and sanitizers reserve far more than they use: leave it None for them.
        cpu_seconds: Processor time of each process.
        processes: Processes and threads together, beyond those that the user has already.
        file_size: Bytes of each file.
    """

    memory: int | None = None
    address_space: int | None = None
    cpu_seconds: int | None = None
    processes: int | None = 4096
    file_size: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"the limit {name} is {value}; it has to be at least 1")


def usual_limits() -> Limits:
    """Limits that no training reaches on a machine on which it has enough memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Limits(memory=int(memory * USUAL_SHARE), file_size=USUAL_FILE)


class SandboxSpec(Struct, frozen=True, kw_only=True):
    """What a command may see, write and use.

    Attributes:
        directory: Where it starts; has to be visible.
        environment: All its variables. `HOME`, `PATH` and `TMPDIR` have defaults.
        limits: Upper bounds.
        read_only: Shown, not writable: the interpreter, the environment, data.
        devices: Device files that the code may use, at their own paths: GPUs.
        writable: The work directory and nothing else, if possible. Where root starts the sandbox,
            files made in it belong to root: keep other users out of its parent (mode 0700), or
            one of them could execute a set-uid file that the code left there.

    Raises:
        ValueError: A target lies below another: its mount point would be looked up in a
            directory whose content a stranger made, through whatever links are there.
    """

    directory: str
    environment: dict[str, str]
    limits: Limits
    read_only: tuple[Bind, ...] = ()
    writable: tuple[Bind, ...] = ()
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        targets = sorted(b.target for b in (*self.read_only, *self.writable) if not b.in_system)
        for outer in targets:
            for inner in targets:
                if inner != outer and _beneath(inner, outer):
                    raise ValueError(f"{inner} would be mounted inside {outer}")
        if len(set(targets)) != len(targets):
            raise ValueError("two directories would be mounted at the same place")
        if any(bind.in_system for bind in self.writable):
            raise ValueError("a system directory would be writable")
        for device in self.devices:
            if not device.startswith("/dev/") or os.path.normpath(device) != device:
                raise ValueError(f"{device} is no device file")
        for name, value in self.environment.items():
            if not name or "=" in name or "\0" in name + value:
                raise ValueError(f"{name!r} is not the name of a variable")


def _beneath(path: str, top: str) -> bool:
    return path == top or path.startswith(top + "/")
