# SPDX-License-Identifier: Apache-2.0
"""Metrics in MLflow's file store: `mlruns/<experiment>/<run>/metrics/<name>`.

A line is `<milliseconds> <value> <step>`. Parameters (`params/…`) are what a run was told, not what
it found; they are kept as files and are no metrics.
"""

from __future__ import annotations

import math
import re
from typing import Final

from repropack.importers import Reading, UnreadableMetricsError
from repropack.importers.series import Sample, metric
from repropack.model import MetricSource

__all__ = ["handles", "read"]

_FILE: Final = re.compile(r"(?:^|/)[0-9a-zA-Z_-]+/[0-9a-f]{32}/metrics/(?P<name>[^\n]+)$")


def handles(path: str) -> bool:
    """Files below `metrics` of a directory whose name is a run's id: 32 hexadecimal digits."""
    return _FILE.search(path) is not None


def read(data: bytes, path: str) -> Reading:
    """The one metric of a file, as a series over steps.

    Raises:
        UnreadableMetricsError: A line in its middle is damaged.
    """
    match = _FILE.search(path)
    name = match["name"] if match else path.rpartition("/")[2]
    lines = data.decode("utf-8", "replace").split("\n")
    samples: list[Sample] = []
    remarks: tuple[str, ...] = ()
    text = ""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = line.split()
        try:
            _, value, step = (float(field) for field in fields[:3])
        except ValueError as error:
            if number == len(lines) and samples:
                remarks = (f"line {number} is cut off and was left out",)
                break
            raise UnreadableMetricsError(f"line {number} is no time, value and step") from error
        samples.append((step if math.isfinite(step) else None, value))
        text = fields[1]
    if not samples:
        return Reading()
    source = MetricSource(importer="mlflow", path=path, key=name, line=len(samples))
    return Reading(
        metrics=(metric(name, samples, source, text=text, always=True),), remarks=remarks
    )
