# SPDX-License-Identifier: Apache-2.0
"""A command that has ended, and what is at hand to write its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from repropack.capture.gaps import Gaps
from repropack.capture.interruption import Interruption
from repropack.capture.preparation import Prepared
from repropack.capture.request import RunRequest
from repropack.capture.streams import ProcessEnd
from repropack.capture.traced_files import TracedFiles

__all__ = ["EndedCommand"]


class EndedCommand(Struct, frozen=True, kw_only=True):
    """What the second half of a recording begins with.

    Attributes:
        request: The command and its options.
        prepared: What was known before it started.
        end: How it ended.
        ended: When, as records hold it.
        directory: Its working directory.
        environment: Its variables.
        trace: What strace saw.
        gaps: Told what the record does not hold.
        interruption: Once it is requested, nothing that takes long is begun.
        tell: Told in one line what is of interest or takes long.
    """

    request: RunRequest
    prepared: Prepared
    end: ProcessEnd
    ended: str
    directory: Path
    environment: Mapping[str, str]
    trace: TracedFiles
    gaps: Gaps
    interruption: Interruption
    tell: Callable[[str], None]
