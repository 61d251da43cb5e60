# SPDX-License-Identifier: Apache-2.0
"""Metrics in JSON and JSON Lines files: each number in an object, a list of numbers, or of objects.

`{"test": {"accuracy": 0.97}}` gives `test.accuracy`; `{"loss": [0.9, 0.5]}` gives a series, and
so does each number of `[{"step": 1, "loss": 0.9}, …]` (Hugging Face's `log_history`). A file with
one object a line (https://jsonlines.org) is read as the list of these objects.
"""

from __future__ import annotations

import math
from typing import Final

from repropack import canonical
from repropack.importers import UnreadableMetricsError
from repropack.importers.series import STEP_NAMES, point, thin
from repropack.model import Metric, MetricSource, Point

__all__ = ["handles", "read"]

_LINES: Final = (".jsonl", ".ndjson")

MAX_METRICS: Final = 10_000
"""Metrics of one file: a file with more numbers is data, not a result."""


def handles(path: str) -> bool:
    """Files that end in `.json`, `.jsonl` or `.ndjson`."""
    return path.lower().endswith((".json", *_LINES))


def read(data: bytes, path: str) -> tuple[Metric, ...]:
    """The metrics in a JSON document.

    Raises:
        UnreadableMetricsError: It is not JSON, or holds more than `MAX_METRICS` numbers.
    """
    metrics: list[Metric] = []
    try:
        if path.lower().endswith(_LINES):
            _rows(_lines(data, path), (), path, metrics)
        else:
            _walk(canonical.decode_foreign(data), (), path, metrics)
    except canonical.NotCanonicalError as error:
        raise UnreadableMetricsError(f"{path}: not JSON: {error}") from error
    if len(metrics) > MAX_METRICS:
        raise UnreadableMetricsError(
            f"{path}: more than {MAX_METRICS} numbers, not taken as metrics"
        )
    return tuple(metrics)


def _lines(data: bytes, path: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.strip():
            row = canonical.decode_foreign(line)
            if not isinstance(row, dict):
                raise UnreadableMetricsError(f"{path}: not JSON: line {number} is no object")
            rows.append(row)
    return rows


def _walk(value: object, keys: tuple[str, ...], path: str, out: list[Metric]) -> None:
    if isinstance(value, canonical.Number):
        out.append(_metric(keys, path, (_point(None, value),), series=False))
    elif isinstance(value, dict):
        for key, inner in value.items():
            _walk(inner, (*keys, key), path, out)
    elif isinstance(value, list) and value:
        numbers = [item for item in value if isinstance(item, canonical.Number)]
        rows = [item for item in value if isinstance(item, dict)]
        if len(numbers) == len(value):
            points = tuple(_point(float(i), number) for i, number in enumerate(numbers))
            out.append(_metric(keys, path, points, series=True))
        elif len(rows) == len(value):
            _rows(rows, keys, path, out)


def _rows(
    rows: list[dict[str, object]], keys: tuple[str, ...], path: str, out: list[Metric]
) -> None:
    if len(rows) > 1 and not any(name in row for row in rows for name in STEP_NAMES):
        # Rows that nothing counts are data, a list of predictions say, as in a table.
        return
    series: dict[str, list[Point]] = {}
    for index, row in enumerate(rows):
        counter = next(
            (row[k] for k in STEP_NAMES if isinstance(row.get(k), canonical.Number)), None
        )
        step = counter.value if isinstance(counter, canonical.Number) else float(index)
        for key, number in row.items():
            if isinstance(number, canonical.Number) and key not in STEP_NAMES:
                series.setdefault(key, []).append(
                    _point(step if math.isfinite(step) else None, number)
                )
    for key, points in series.items():
        out.append(_metric((*keys, key), path, tuple(points), series=True))


def _point(step: float | None, number: canonical.Number) -> Point:
    return point(step, number.value, number.text)


def _metric(keys: tuple[str, ...], path: str, points: tuple[Point, ...], *, series: bool) -> Metric:
    pointer = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)
    last = points[-1]
    return Metric(
        name=".".join(keys) or "value",
        value=last.value,
        text=last.text or repr(last.value),
        source=MetricSource(importer="json", path=path, key=pointer),
        points=thin(points) if series else (),
    )
