# SPDX-License-Identifier: Apache-2.0
"""Metrics in what Sacred's FileStorageObserver writes: `<dir>/<number>/{metrics,run}.json`.

`metrics.json` is `{name: {"steps": […], "timestamps": […], "values": […]}}`. Of `run.json` the only
metric is `result`, what the main function returned; all else is about the machine and the time.
"""

from __future__ import annotations

import math

from repropack import canonical
from repropack.importers import NotMetricsError, Reading
from repropack.importers.json_file import pointer
from repropack.importers.series import Sample, metric
from repropack.model import Metric, MetricSource

__all__ = ["handles", "read"]

_COLUMNS = {"steps", "timestamps", "values"}
_RUN = {"command", "experiment", "heartbeat", "host", "meta", "result"}


def handles(path: str) -> bool:
    """Files called `metrics.json` or `run.json`."""
    return path.rpartition("/")[2] in ("metrics.json", "run.json")


def read(data: bytes, path: str) -> Reading:
    """Each metric as a series over steps; of `run.json` the result.

    Raises:
        NotMetricsError: It is another JSON document, or none.
    """
    try:
        document = canonical.decode_foreign(data)
    except canonical.NotCanonicalError as error:
        raise NotMetricsError("not JSON") from error
    if not isinstance(document, dict):
        raise NotMetricsError("no object")
    if path.endswith("run.json"):
        if not document.keys() >= _RUN:
            raise NotMetricsError("not a run of Sacred")
        result = document["result"]
        if not isinstance(result, canonical.Number):
            return Reading()
        return Reading(
            metrics=(_metric("result", ("result",), [(None, result.value)], result.text, path),)
        )
    if not document or not all(
        isinstance(value, dict) and value.keys() == _COLUMNS for value in document.values()
    ):
        raise NotMetricsError("not the metrics of Sacred")
    found = []
    for name, columns in document.items():
        samples, text = _samples(columns)
        if samples:
            found.append(_metric(name, (name, "values"), samples, text, path))
    return Reading(metrics=tuple(found))


def _samples(columns: object) -> tuple[list[Sample], str]:
    assert isinstance(columns, dict)
    steps, values = columns["steps"], columns["values"]
    if not isinstance(steps, list) or not isinstance(values, list):
        raise NotMetricsError("not the metrics of Sacred")
    samples: list[Sample] = []
    text = ""
    for step, value in zip(steps, values, strict=False):
        # A value of numpy is written as an object of jsonpickle; that is left to nobody to guess.
        if isinstance(value, canonical.Number):
            known = isinstance(step, canonical.Number) and math.isfinite(step.value)
            samples.append((step.value if known else None, value.value))
            text = value.text
    return samples, text


def _metric(
    name: str, keys: tuple[str, ...], samples: list[Sample], text: str, path: str
) -> Metric:
    source = MetricSource(importer="sacred", path=path, key=pointer(keys))
    return metric(name, samples, source, text=text)
