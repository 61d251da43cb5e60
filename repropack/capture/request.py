# SPDX-License-Identifier: Apache-2.0
"""What the user asked a recording for."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from repropack.capture.outputs import KeepLimits
from repropack.capture.tracing import TraceMode

__all__ = ["RunRequest"]


class RunRequest(Struct, frozen=True, kw_only=True):
    """What the user asked for.

    Attributes:
        assigned: Variables that the command line sets before the command.
        data: Data set name to directory.
        trace: How the command is observed.
        resume: The id of the run that this execution goes on with, as its next segment.
        keep: Which outputs are kept.
    """

    argv: tuple[str, ...]
    assigned: dict[str, str] = {}
    name: str | None = None
    data: dict[str, Path] = {}
    trace: TraceMode = TraceMode.AUTO
    resume: str | None = None
    keep: KeepLimits = KeepLimits()
