# SPDX-License-Identifier: Apache-2.0
"""Metrics in the curves of DVCLive: `<dir>/plots/metrics/<name>.tsv`.

Each file is one metric; `train/loss` is `train/loss.tsv` with a column `loss`, so the name is taken
from the path. The last values of all are in `<dir>/metrics.json`, an ordinary JSON file.
"""

from __future__ import annotations

import csv
import io
import math

from repropack.importers import NotMetricsError, Reading, UnreadableMetricsError
from repropack.importers.series import Sample, metric
from repropack.model import MetricSource

__all__ = ["handles", "read"]

_FOLDER = "/plots/metrics/"


def handles(path: str) -> bool:
    """Files that end in `.tsv` below `plots/metrics`."""
    return path.endswith(".tsv") and _FOLDER in path


def read(data: bytes, path: str) -> Reading:
    """The one metric of a file, as a series over steps.

    Raises:
        NotMetricsError: It is no such table.
        UnreadableMetricsError: A row in its middle is damaged.
    """
    name = path.rpartition(_FOLDER)[2].removesuffix(".tsv")
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""), delimiter="\t"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise NotMetricsError("not a table") from error
    header = rows[0] if rows else []
    if "step" not in header or header[-1] != name.rpartition("/")[2] or len(header) < 2:
        raise NotMetricsError("not the columns of a curve")
    step_column = header.index("step")
    samples: list[Sample] = []
    remarks: tuple[str, ...] = ()
    text = ""
    for number, row in enumerate(rows[1:], 2):
        try:
            step, value = float(row[step_column]), float(row[len(header) - 1])
        except (IndexError, ValueError) as error:
            if number == len(rows) and samples:
                remarks = (f"line {number} is cut off and was left out",)
                break
            raise UnreadableMetricsError(f"line {number} is no step and number") from error
        samples.append((step if math.isfinite(step) else None, value))
        text = row[len(header) - 1]
    if not samples:
        return Reading()
    source = MetricSource(importer="dvclive", path=path, key=name, line=len(samples) + 1)
    return Reading(
        metrics=(metric(name, samples, source, text=text, always=True),), remarks=remarks
    )
