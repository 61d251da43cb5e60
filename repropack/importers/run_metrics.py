# SPDX-License-Identifier: Apache-2.0
"""The metrics of one execution, out of its output files and its console.

The recorder and the verifier both call this, so that a number which was found when a run was
recorded is found in the same way when it is repeated.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from repropack.importers import CONSOLE, MAX_METRIC_FILE, TABLE, UnreadableMetricsError, importer
from repropack.model import Metric

__all__ = ["read_run_metrics"]

MAX_CONSOLE: Final = 16 * 1024 * 1024
"""Bytes at the end of a log that are searched: a few seconds of work after the command."""


def read_run_metrics(
    outputs: Iterable[tuple[str, int]],
    read: Callable[[str], bytes],
    *,
    stdout: Path,
    stderr: Path,
) -> tuple[Metric, ...]:
    """Reads every metric that the importers find.

    Args:
        outputs: Recorded path and size of each file that the run wrote.
        read: Gives the content of one of them.
        stdout: The kept standard output.
        stderr: The kept standard error.
    """
    found: list[Metric] = []
    for path, size in outputs:
        if size > MAX_METRIC_FILE:
            continue
        for name in TABLE:
            reader = importer(name)
            if reader.handles(path):
                # A file that only looks like a metrics file is no failure: it holds no metrics.
                with contextlib.suppress(UnreadableMetricsError, OSError):
                    found += reader.read(read(path), path)
    for label, place in (("stdout", stdout), ("stderr", stderr)):
        with contextlib.suppress(FileNotFoundError):
            found += _console_metrics(place, label)
    return tuple(found)


def _console_metrics(path: Path, label: str) -> tuple[Metric, ...]:
    """From the end of a log: a final number stands there, however long the log is."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= MAX_CONSOLE:
            return importer(CONSOLE).read(file.read(), label)
        file.seek(size - MAX_CONSOLE)
        file.readline()
        found = importer(CONSOLE).read(file.read(), label)
    # Lines were counted from somewhere in the log.
    return tuple(
        msgspec.structs.replace(m, source=msgspec.structs.replace(m.source, line=None))
        for m in found
    )
