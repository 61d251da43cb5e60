# SPDX-License-Identifier: Apache-2.0
"""Isolation for code that a stranger wrote, and limits on what it may use.

`spec` says what the code may see and use, `layout` what of the system it sees; `bubblewrap` and
`landlock` are two ways to do it, `seccomp` is the filter of system calls in both, `confined` finds
the way that works here and puts it into force around one command. Where none works the caller
decides; nothing here falls back to running code without one.
"""

from __future__ import annotations

from repropack.sandbox.bubblewrap import Bubblewrap, bubblewrap_argv, find_bubblewrap, probe
from repropack.sandbox.confined import (
    Confined,
    NoSandbox,
    Sandbox,
    bounded_together,
    confined,
    find_sandbox,
    no_isolation,
)
from repropack.sandbox.gpu import driver_libraries, gpu_devices
from repropack.sandbox.landlock import Landlock, find_landlock
from repropack.sandbox.seccomp import CallFilter, call_filter
from repropack.sandbox.spec import Bind, Limits, SandboxSpec, usual_limits, why_not_shown

__all__ = [
    "Bind",
    "Bubblewrap",
    "CallFilter",
    "Confined",
    "Landlock",
    "Limits",
    "NoSandbox",
    "Sandbox",
    "SandboxSpec",
    "bounded_together",
    "bubblewrap_argv",
    "call_filter",
    "confined",
    "driver_libraries",
    "find_bubblewrap",
    "find_landlock",
    "find_sandbox",
    "gpu_devices",
    "no_isolation",
    "probe",
    "usual_limits",
    "why_not_shown",
]
