# SPDX-License-Identifier: Apache-2.0
"""Metrics out of what programs write: one importer for each kind of file.

An importer is a module with two functions (`Importer`): pure, from bytes to metrics, so that the
recorder and the verifier read a run in exactly the same way. To add one: one file here, one row in
`TABLE`.
"""

from __future__ import annotations

import importlib
from typing import Final, Protocol, cast

from msgspec import Struct

from repropack.errors import RepropackError
from repropack.model import Metric

__all__ = [
    "CONSOLE",
    "LOGGED",
    "MAX_METRIC_FILE",
    "NOTEBOOK",
    "PRINTED",
    "TABLE",
    "Importer",
    "NotMetricsError",
    "Reading",
    "UnreadableMetricsError",
    "importer",
]

MAX_METRIC_FILE: Final = 64 * 1024 * 1024
"""Bytes of a file that is searched for metrics: a million rows of a CSV log, or of scalars that
TensorBoard shows."""

CONSOLE: Final = "console"
"""The importer for what a command prints; log files hold the same."""

NOTEBOOK: Final = "notebook"
"""The importer for what the cells of a notebook print."""

PRINTED: Final = (CONSOLE, NOTEBOOK)
"""The importers of text for people, with as many digits as people are shown."""

LOGGED: Final = "log_metric"
"""The importer for what programs say by `repropack.log_metric`; it is chosen by name."""


class NotMetricsError(RepropackError):
    """A file holds something else than this importer reads. No failure: another may read it."""


class UnreadableMetricsError(RepropackError):
    """A file should hold metrics and does not: it is damaged, or larger than is read."""


class Reading(Struct, frozen=True, kw_only=True):
    """What an importer found in a file.

    Attributes:
        metrics: Whatever could be read.
        remarks: What could not, each a sentence without the file's name.
    """

    metrics: tuple[Metric, ...] = ()
    remarks: tuple[str, ...] = ()


class Importer(Protocol):
    """What a file in this package provides, as module functions."""

    def handles(self, path: str) -> bool:
        """Whether a file of this name may hold metrics in this importer's form."""

    def read(self, data: bytes, path: str) -> Reading:
        """The metrics in a file; `path` is its recorded path.

        Raises:
            NotMetricsError: It has another form.
            UnreadableMetricsError: It has this form, and is damaged.
        """


TABLE: Final = {
    "tensorboard": "repropack.importers.tensorboard",
    "trainer_state": "repropack.importers.trainer_state",
    "dvclive": "repropack.importers.dvclive",
    "mlflow": "repropack.importers.mlflow",
    "sacred": "repropack.importers.sacred",
    "json": "repropack.importers.json_file",
    "table": "repropack.importers.table_file",
    NOTEBOOK: "repropack.importers.notebook",
    CONSOLE: "repropack.importers.console",
    LOGGED: "repropack.importers.logged",
}
"""The first that handles a file and finds its form in it reads it: the special before the general.
"""


def importer(name: str) -> Importer:
    """The importer of a row of `TABLE`.

    Raises:
        KeyError: There is no such row.
    """
    return cast("Importer", importlib.import_module(TABLE[name]))
