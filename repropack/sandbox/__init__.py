# SPDX-License-Identifier: Apache-2.0
"""Isolation for code that a stranger wrote: bubblewrap, and limits on what it may use.

`spec` says what the code may see and use, `bubblewrap` finds the program and writes its command
line, `confined` puts both into force around one command. Where no sandbox works the caller decides;
nothing here falls back to running code without one.
"""

from __future__ import annotations

from repropack.sandbox.bubblewrap import Bubblewrap, bubblewrap_argv, find_bubblewrap, probe
from repropack.sandbox.confined import Confined, confined, no_isolation
from repropack.sandbox.spec import Bind, Limits, SandboxSpec

__all__ = [
    "Bind",
    "Bubblewrap",
    "Confined",
    "Limits",
    "SandboxSpec",
    "bubblewrap_argv",
    "confined",
    "find_bubblewrap",
    "no_isolation",
    "probe",
]
