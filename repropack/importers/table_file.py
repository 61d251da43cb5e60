# SPDX-License-Identifier: Apache-2.0
"""Metrics in CSV and TSV files with a header.

A table is one of three things. With a column that counts (`STEP_NAMES`, in any case) it is a log:
each other column of numbers is a series. With the two columns `metric` and `value` each row is a
metric. With a single row it is a result: each number is a metric. Any other table is data, such as
the predictions for each sample, where the last row means nothing.

Cells may be empty (Lightning's CSV logger leaves a column empty where another was logged). A
percent sign is the unit of its column. A decimal comma is no number here.
"""

from __future__ import annotations

import csv
import io
import math
from typing import Final

from repropack.importers import NotMetricsError, Reading
from repropack.importers.series import STEP_NAMES, Sample, metric
from repropack.model import Metric, MetricSource

__all__ = ["handles", "read"]

_NAME_COLUMNS: Final = ("metric", "name", "key")
"""The first of the two columns of a table with one metric a row; the second is `value`."""

MAX_COLUMNS: Final = 1_000
"""Columns of a log, or rows of a table with one metric a row; what is larger is data."""


def handles(path: str) -> bool:
    """Files that end in `.csv` or `.tsv`."""
    return path.lower().endswith((".csv", ".tsv"))


def read(data: bytes, path: str) -> Reading:
    """The metrics in a table.

    Raises:
        NotMetricsError: It is not UTF-8, has no header of distinct names, or is too wide.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotMetricsError(f"not UTF-8 at byte {error.start}") from error
    header_line = text.partition("\n")[0]
    delimiter = "\t" if "\t" in header_line else ";" if ";" in header_line else ","
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(rows, [])]
        if not header or len(set(header)) != len(header) or any(_number(n) for n in header):
            raise NotMetricsError("no header line with distinct names")
        if len(header) > MAX_COLUMNS:
            raise NotMetricsError(f"more than {MAX_COLUMNS} columns")
        return Reading(metrics=_metrics(header, list(rows), path))
    except csv.Error as error:
        raise NotMetricsError(f"not a table: {error}") from error


def _metrics(header: list[str], rows: list[list[str]], path: str) -> tuple[Metric, ...]:
    lowered = [name.lower() for name in header]
    if len(lowered) == 2 and lowered[0] in _NAME_COLUMNS and lowered[1] == "value":
        return _named_rows(rows, path)
    step_column = next((lowered.index(name) for name in STEP_NAMES if name in lowered), None)
    if step_column is None and sum(any(map(str.strip, row)) for row in rows) != 1:
        return ()
    return _columns(header, rows, step_column, path)


def _named_rows(rows: list[list[str]], path: str) -> tuple[Metric, ...]:
    metrics: dict[str, Metric] = {}
    for number, row in enumerate(rows):
        name = row[0].strip() if len(row) == 2 else ""
        cell = row[1].strip() if name else ""
        value = _number(cell)
        if value is None:
            continue
        if name in metrics or len(metrics) >= MAX_COLUMNS:
            return ()
        metrics[name] = _metric(name, [(None, value[0])], path, number + 2, cell)
    return tuple(metrics.values())


def _columns(
    header: list[str], rows: list[list[str]], step_column: int | None, path: str
) -> tuple[Metric, ...]:
    metrics = []
    for column, name in enumerate(header):
        if not name or name.lower() in STEP_NAMES:
            continue
        samples: list[Sample] = []
        units = set()
        text, line = "", 0
        for number, row in enumerate(rows):
            cell = row[column].strip() if column < len(row) else ""
            if not cell:
                continue
            value = _number(cell)
            if value is None:
                break
            step = _step(row, step_column)
            samples.append((float(number) if step is None else step, value[0]))
            text, line = cell, number + 2
            units.add(cell.endswith("%"))
        else:
            if len(units) == 1:
                metrics.append(_metric(name, samples, path, line, text))
    return tuple(metrics)


def _metric(name: str, samples: list[Sample], path: str, line: int, cell: str) -> Metric:
    return metric(
        name,
        samples,
        MetricSource(importer="table", path=path, key=name, line=line),
        text=cell.removesuffix("%").rstrip(),
        unit="%" if cell.endswith("%") else "",
    )


def _step(row: list[str], column: int | None) -> float | None:
    if column is None or column >= len(row):
        return None
    value = _number(row[column])
    return value[0] if value is not None and math.isfinite(value[0]) else None


def _number(text: str) -> tuple[float] | None:
    # A tuple, so that the number 0 is not taken for "no number".
    try:
        # Python's 1_000 is nobody's number in a file.
        return None if "_" in text else (float(text.removesuffix("%")),)
    except ValueError:
        return None
