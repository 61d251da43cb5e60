# SPDX-License-Identifier: Apache-2.0
"""Metrics in JSON and JSON Lines files: each number in an object, a list of numbers, or of objects.

`{"test": {"accuracy": 0.97}}` gives `test.accuracy`; `{"loss": [0.9, 0.5]}` gives a series, and
so does each number of `[{"step": 1, "loss": 0.9}, …]`. A file with one object a line
(https://jsonlines.org) is read as the list of these objects, whatever its name ends in; the last
line of a run that was killed may be cut off, and then it is left out and said.
"""

from __future__ import annotations

import codecs
import math
from typing import Final

from repropack import canonical
from repropack.importers import NotMetricsError, Reading, UnreadableMetricsError
from repropack.importers.series import STEP_NAMES, Sample, metric
from repropack.model import Metric, MetricSource

__all__ = ["handles", "pointer", "read", "rows_of"]

_LINES: Final = (".jsonl", ".ndjson")

MAX_METRICS: Final = 10_000
"""Metrics of one file: a file with more numbers is data, not a result."""


def handles(path: str) -> bool:
    """Files that end in `.json`, `.jsonl` or `.ndjson`."""
    return path.lower().endswith((".json", *_LINES))


def read(data: bytes, path: str) -> Reading:
    """The metrics in a JSON document.

    Raises:
        NotMetricsError: It holds more than `MAX_METRICS` numbers with a name of their own.
        UnreadableMetricsError: It is not JSON.
    """
    # RFC 8259, section 8.1: a reader may ignore the mark that editors of Windows put first.
    data = data.removeprefix(codecs.BOM_UTF8)
    metrics: list[Metric] = []
    remarks: tuple[str, ...] = ()
    if path.lower().endswith(_LINES):
        rows, remarks = _lines(data)
        _rows(rows, (), path, metrics)
    else:
        try:
            _walk(canonical.decode_foreign(data), (), path, metrics)
        except canonical.NotCanonicalError as error:
            try:
                rows, remarks = _lines(data)
            except UnreadableMetricsError:
                raise UnreadableMetricsError(f"not JSON: {error}") from error
            if len(rows) < 2:
                raise UnreadableMetricsError(f"not JSON: {error}") from error
            _rows(rows, (), path, metrics)
    if len(metrics) > MAX_METRICS:
        raise NotMetricsError(f"more than {MAX_METRICS} numbers")
    return Reading(metrics=tuple(metrics), remarks=remarks)


def _lines(data: bytes) -> tuple[list[dict[str, object]], tuple[str, ...]]:
    rows: list[dict[str, object]] = []
    lines = data.split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = canonical.decode_foreign(line)
        except canonical.NotCanonicalError as error:
            if number == len(lines) and rows:
                return rows, (f"line {number} is cut off and was left out",)
            raise UnreadableMetricsError(f"not JSON: line {number}: {error}") from error
        if not isinstance(row, dict):
            raise UnreadableMetricsError(f"not JSON Lines: line {number} is no object")
        rows.append(row)
    return rows, ()


def _walk(value: object, keys: tuple[str, ...], path: str, out: list[Metric]) -> None:
    if isinstance(value, canonical.Number):
        out.append(_metric(keys, path, [(None, value.value)], value.text, always=False))
    elif isinstance(value, dict):
        for key, inner in value.items():
            _walk(inner, (*keys, key), path, out)
    elif isinstance(value, list) and value:
        numbers = [item for item in value if isinstance(item, canonical.Number)]
        rows = [item for item in value if isinstance(item, dict)]
        if len(numbers) == len(value):
            samples: list[Sample] = [(float(i), number.value) for i, number in enumerate(numbers)]
            out.append(_metric(keys, path, samples, numbers[-1].text, always=True))
        elif len(rows) == len(value):
            _rows(rows, keys, path, out)


def _rows(
    rows: list[dict[str, object]], keys: tuple[str, ...], path: str, out: list[Metric]
) -> None:
    if len(rows) > 1 and not any(name in row for row in rows for name in STEP_NAMES):
        # Rows that nothing counts are data, a list of predictions say, as in a table.
        return
    for key, (samples, text) in rows_of(rows).items():
        out.append(_metric((*keys, key), path, samples, text, always=True))


def rows_of(rows: list[dict[str, object]]) -> dict[str, tuple[list[Sample], str]]:
    """By key, the samples of rows that a step counts, and how the last one is spelled."""
    found: dict[str, tuple[list[Sample], str]] = {}
    for index, row in enumerate(rows):
        counter = next(
            (row[k] for k in STEP_NAMES if isinstance(row.get(k), canonical.Number)), None
        )
        step = counter.value if isinstance(counter, canonical.Number) else float(index)
        for key, number in row.items():
            if isinstance(number, canonical.Number) and key not in STEP_NAMES:
                samples = found[key][0] if key in found else []
                samples.append((step if math.isfinite(step) else None, number.value))
                found[key] = (samples, number.text)
    return found


def pointer(keys: tuple[str, ...]) -> str:
    """The JSON Pointer (RFC 6901) of a value."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def _metric(
    keys: tuple[str, ...], path: str, samples: list[Sample], text: str, *, always: bool
) -> Metric:
    source = MetricSource(importer="json", path=path, key=pointer(keys))
    return metric(".".join(keys) or "value", samples, source, text=text, always=always)
