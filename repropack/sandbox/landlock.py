# SPDX-License-Identifier: Apache-2.0
"""Isolation without bubblewrap: the kernel's namespaces and Landlock, by way of Python's ctypes.

The code sees what it sees in bubblewrap (`layout`), and nothing else is mounted. Landlock
(landlock(7)) is a second fence around the same places: it forbids writing, mounting and tracing
outside of them even if a mount is not what it should be. `landlock_launcher` does the work; this
module says whether it can be done here, and writes the command line.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import process
from repropack.sandbox.gpu import open_proc
from repropack.sandbox.layout import HOME, etc_binds, system_facts, variables
from repropack.sandbox.seccomp import CALLS_FD, call_filter
from repropack.sandbox.spec import SYSTEM, Limits, SandboxSpec
from repropack.sandbox.starting import limited, program, why_not_started

__all__ = ["Landlock", "find_landlock", "landlock_abi"]

MIN_ABI: Final = 3
"""The first version of Landlock that can forbid truncating a file (Linux 6.2)."""

_CREATE_RULESET: Final = 444
_ABI_ASKED: Final = 1

_PROBE_SECONDS: Final = 30.0


class Landlock(Struct, frozen=True, kw_only=True):
    """A kernel that can do it. `abi` is its version of Landlock."""

    abi: int

    @property
    def kind(self) -> str:
        """The name of this kind of isolation."""
        return "landlock"

    @property
    def summary(self) -> str:
        """What it keeps apart, and what it does not."""
        return (
            f"Landlock (ABI {self.abi}) and namespaces: no network, no home directory, no other "
            "processes, a read-only system, only the work directory writable; the kernel is "
            "shared, and bubblewrap, which more people have looked at, was not there or did not "
            "work"
        )

    def argv(
        self, spec: SandboxSpec, command: Sequence[str], *, etc: str | None, calls: bool
    ) -> list[str]:
        """See `Sandbox.argv`."""
        words = ["abi", str(self.abi)]
        for path in SYSTEM:
            if os.path.islink(path):
                words += ["link", os.readlink(path), path]
            elif os.path.isdir(path):
                words += ["ro", path, path]
        size = str((spec.limits.memory or 0) // 2)
        for path in ("/tmp", "/home", "/dev/shm"):  # noqa: S108 - inside, and new
            words += ["tmp", path, size]
        words += ["dir", HOME]
        shown = [(path, path) for path in system_facts(spec)]
        for source, target in (*shown, *etc_binds(etc)):
            if os.path.exists(source):
                words += ["ro", source, target]
        for device in spec.devices:
            words += ["dev", device]
        for path in open_proc(spec.devices):
            words += ["part", path]
        for word, binds in (("ro", spec.read_only), ("rw", spec.writable)):
            for bind in binds:
                if not bind.in_system:
                    words += [word, bind.source, bind.target]
        for name, value in sorted(variables(spec).items()):
            words += ["env", name, value]
        if calls:
            words += ["calls", str(CALLS_FD)]
        words += ["start", spec.directory]
        return program("landlock_launcher", *words, "--", *command)


def landlock_abi() -> int:
    """The kernel's version of Landlock; 0 where it has none or it is switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    asked = (ctypes.c_void_p(None), ctypes.c_size_t(0), ctypes.c_uint32(_ABI_ASKED))
    return max(0, int(libc.syscall(ctypes.c_long(_CREATE_RULESET), *asked)))


def find_landlock() -> Landlock | str:
    """Tries it. Returns what works here, else the reason in one line."""
    if os.uname().machine not in ("x86_64", "aarch64") or sys.maxsize < 2**32:
        return f"Landlock: not supported on {os.uname().machine}"
    abi = landlock_abi()
    if abi < MIN_ABI:
        return f"Landlock: version {abi} here, {MIN_ABI} is needed (Linux 6.2)"
    found = Landlock(abi=abi)
    spec = SandboxSpec(directory="/", environment={}, limits=Limits())
    calls = call_filter().program
    argv = found.argv(spec, ["true"], etc=None, calls=calls is not None)
    try:
        process.run(
            limited([], calls, argv),
            environment={},
            directory=Path("/"),
            timeout=_PROBE_SECONDS,
        )
    except process.ProcessFailedError as error:
        return f"Landlock: {why_not_started(error)}"
    return found
