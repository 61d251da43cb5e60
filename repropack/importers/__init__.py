# SPDX-License-Identifier: Apache-2.0
"""Metrics out of what programs write: one importer for each kind of file.

An importer is a module with two functions (`Importer`): pure, from bytes to metrics, so that the
recorder and the verifier read a run in exactly the same way. To add one: one file here, one row in
`TABLE`.
"""

from __future__ import annotations

import importlib
from typing import Final, Protocol, cast

from repropack.errors import RepropackError
from repropack.model import Metric

__all__ = ["CONSOLE", "MAX_METRIC_FILE", "TABLE", "Importer", "UnreadableMetricsError", "importer"]

MAX_METRIC_FILE: Final = 64 * 1024 * 1024
"""Bytes of a file that is searched for metrics: a million rows of a CSV log."""

CONSOLE: Final = "console"
"""The importer for what a command prints; it is chosen by name, for it has no file of its own."""


class UnreadableMetricsError(RepropackError):
    """A file that an importer handles by name does not have the form that the importer reads."""


class Importer(Protocol):
    """What a file in this package provides, as module functions."""

    def handles(self, path: str) -> bool:
        """Whether a file of this name may hold metrics in this importer's form."""

    def read(self, data: bytes, path: str) -> tuple[Metric, ...]:
        """The metrics in a file; `path` is its recorded path.

        Raises:
            UnreadableMetricsError: It does not have this form.
        """


TABLE: Final = {
    "json": "repropack.importers.json_file",
    "table": "repropack.importers.table_file",
    CONSOLE: "repropack.importers.console",
}


def importer(name: str) -> Importer:
    """The importer of a row of `TABLE`.

    Raises:
        KeyError: There is no such row.
    """
    return cast("Importer", importlib.import_module(TABLE[name]))
