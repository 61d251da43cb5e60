# SPDX-License-Identifier: Apache-2.0
"""Metrics in CSV and TSV files with a header.

A table is one of three things. With a column that counts (`STEP_NAMES`, in any case) it is a log:
each other column of numbers is a series. With the two columns `metric` and `value` each row is a
metric. With a single row it is a result: each number is a metric. Any other table is data, such as
the predictions for each sample, where the last row means nothing.

Cells may be empty (Lightning's CSV logger leaves a column empty where another was logged). A
percent sign is the unit of its column. A decimal comma is no number here, and that is said. Of two
columns of one name nobody knows which is meant; the others are read. Comments (`#`) may stand above
the header. The last line of a run that was killed may be cut off.
"""

from __future__ import annotations

import csv
import io
import math
import re
from typing import Final, NamedTuple

from repropack.importers import NotMetricsError, Reading
from repropack.importers.series import STEP_NAMES, Sample, metric
from repropack.model import Metric, MetricSource

__all__ = ["handles", "read"]

_NAME_COLUMNS: Final = ("metric", "name", "key")
"""The first of the two columns of a table with one metric a row; the second is `value`."""

MAX_COLUMNS: Final = 1_000
"""Columns of a log, or rows of a table with one metric a row; what is larger is data."""


_AMBIGUOUS: Final = re.compile(r"[-+]?[0-9]+(?:,[0-9]+)+(?:\.[0-9]+)?[ ]?%?")
"""`0,5` and `1,234.5`: a decimal comma, or one between thousands."""


class _Row(NamedTuple):
    """The cells of a row, and the line in which it starts, from 1."""

    line: int
    cells: list[str]


def handles(path: str) -> bool:
    """Files that end in `.csv` or `.tsv`."""
    return path.lower().endswith((".csv", ".tsv"))


def read(data: bytes, path: str) -> Reading:
    """The metrics in a table.

    Raises:
        NotMetricsError: It is not UTF-8, has no header, or is too wide.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotMetricsError(f"not UTF-8 at byte {error.start}") from error
    start = 0
    while text.startswith("#", start) and "\n" in text[start:]:
        start = text.index("\n", start) + 1
    header_line = text[start:].partition("\n")[0]
    delimiter = "\t" if "\t" in header_line else ";" if ";" in header_line else ","
    try:
        rows = _rows(text[start:], delimiter, text.count("\n", 0, start))
    except csv.Error as error:
        raise NotMetricsError(f"not a table: {error}") from error
    header = [name.strip() for name in rows[0].cells] if rows else []
    if not header or any(_number(name) for name in header):
        raise NotMetricsError("no header line")
    if len(header) > MAX_COLUMNS:
        raise NotMetricsError(f"more than {MAX_COLUMNS} columns")
    # A log that is appended to gets its header again from each run.
    rows = [row for row in rows[1:] if row.cells != rows[0].cells]
    return _reading(header, rows, path, ended=text.endswith(("\n", "\r")))


def _rows(text: str, delimiter: str, line: int) -> list[_Row]:
    """The rows of a table.

    Args:
        text: The table.
        delimiter: Between its cells.
        line: How many lines of the file stand above it.

    Raises:
        csv.Error: It is no table.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows = []
    before = 0
    for cells in reader:
        rows.append(_Row(line + before + 1, cells))
        # A quoted cell may go over several lines.
        before = reader.line_num
    return rows


def _reading(header: list[str], rows: list[_Row], path: str, *, ended: bool) -> Reading:
    lowered = [name.lower() for name in header]
    if len(lowered) == 2 and lowered[0] in _NAME_COLUMNS and lowered[1] == "value":
        return Reading(metrics=_named_rows(rows, path))
    step_column = next((lowered.index(name) for name in STEP_NAMES if name in lowered), None)
    if step_column is None and sum(any(map(str.strip, row.cells)) for row in rows) != 1:
        return Reading()
    remarks = []
    if step_column is not None and not ended and len(rows) > 1 and _is_cut(header, rows[-1]):
        remarks.append(f"line {rows[-1].line} is cut off and was left out")
        rows = rows[:-1]
    metrics, said = _columns(header, rows, step_column, path)
    return Reading(metrics=metrics, remarks=(*remarks, *said))


def _is_cut(header: list[str], row: _Row) -> bool:
    """Whether a row stops where no row of this table would."""
    last = row.cells[-1].strip() if row.cells else ""
    started = re.fullmatch(r"[-+]?[0-9.]*(?:[eE][-+]?)?", last) is not None
    return len(row.cells) < len(header) or (started and not last[-1:].isdigit() and last != "")


def _named_rows(rows: list[_Row], path: str) -> tuple[Metric, ...]:
    metrics: dict[str, Metric] = {}
    for line, row in rows:
        name = row[0].strip() if len(row) == 2 else ""
        cell = row[1].strip() if name else ""
        value = _number(cell)
        if value is None:
            continue
        if name in metrics or len(metrics) >= MAX_COLUMNS:
            return ()
        metrics[name] = _metric(name, [(None, value[0])], path, line, cell)
    return tuple(metrics.values())


def _columns(
    header: list[str], rows: list[_Row], step_column: int | None, path: str
) -> tuple[tuple[Metric, ...], list[str]]:
    """The metrics of a log or a result, and what could not be read of it."""
    metrics = []
    remarks = {}
    for column, name in enumerate(header):
        if not name or name.lower() in STEP_NAMES:
            continue
        if header.count(name) > 1:
            remarks[name] = f"more than one column is called {name}; none of them was read"
            continue
        samples: list[Sample] = []
        units = set()
        text, last = "", 0
        for number, (line, row) in enumerate(rows):
            cell = row[column].strip() if column < len(row) else ""
            if not cell:
                continue
            value = _number(cell)
            if value is None:
                if _AMBIGUOUS.fullmatch(cell):
                    remarks[name] = (
                        f"{name} was not read: {cell} in line {line} may be a decimal comma or one "
                        "between thousands"
                    )
                break
            step = _step(row, step_column)
            samples.append((float(number) if step is None else step, value[0]))
            text, last = cell, line
            units.add(cell.endswith("%"))
        else:
            if len(units) == 1:
                metrics.append(_metric(name, samples, path, last, text))
    return tuple(metrics), list(remarks.values())


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
