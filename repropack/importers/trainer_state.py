# SPDX-License-Identifier: Apache-2.0
"""Metrics in `trainer_state.json`, which the Trainer of Hugging Face's transformers writes.

Its `log_history` is a list of objects, each with the `step` and some of the metrics. The file in
the output directory and those in each `checkpoint-<step>` hold the history up to then.
"""

from __future__ import annotations

from typing import Final

from repropack import canonical
from repropack.importers import NotMetricsError, Reading, UnreadableMetricsError
from repropack.importers.json_file import pointer, rows_of
from repropack.importers.series import metric
from repropack.model import MetricSource

__all__ = ["handles", "read"]

MAX_NAMES: Final = 1_000
"""Names of one history; a training logs some ten."""


def handles(path: str) -> bool:
    """Files called `trainer_state.json`."""
    return path.rpartition("/")[2] == "trainer_state.json"


def read(data: bytes, path: str) -> Reading:
    """Each metric of the history, as a series over steps.

    Raises:
        NotMetricsError: It has no `log_history` of objects.
        UnreadableMetricsError: It is not JSON, or has more than `MAX_NAMES` names.
    """
    try:
        state = canonical.decode_foreign(data)
    except canonical.NotCanonicalError as error:
        raise UnreadableMetricsError(f"not JSON: {error}") from error
    history = state.get("log_history") if isinstance(state, dict) else None
    if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
        raise NotMetricsError("no log_history")
    found = rows_of(history)
    if len(found) > MAX_NAMES:
        raise UnreadableMetricsError(f"more than {MAX_NAMES} names in log_history")
    return Reading(
        metrics=tuple(
            metric(
                name,
                samples,
                MetricSource(
                    importer="trainer_state", path=path, key=pointer(("log_history", name))
                ),
                text=text,
                always=True,
            )
            for name, (samples, text) in found.items()
        )
    )
