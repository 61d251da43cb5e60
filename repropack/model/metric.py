# SPDX-License-Identifier: Apache-2.0
"""What a run measured, and where each number was read."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from repropack.model.fields import Count, Record, SparseRecord

__all__ = ["Metric", "MetricSet", "MetricSource", "Series"]


class MetricSource(SparseRecord, frozen=True, kw_only=True):
    """Where a metric was read: which importer, in which file, under which key.

    Attributes:
        importer: A row of `repropack.importers.TABLE`.
        path: The recorded path of the file, or `stdout`, `stderr` or `log_metric`.
        key: JSON path, column name or label.
        line: Line number from 1 where the format has lines.
        place: The path with `*` for the parts that are new in each run: a time, a process id, a
            running number. Empty where it has no such part.
        ordinal: With a place: how many files of the run at this place, with this key, come before.
    """

    importer: str
    path: str
    key: str
    line: int | None = None
    place: str = ""
    ordinal: Annotated[int, Meta(ge=0)] = 0

    @property
    def identity(self) -> tuple[str, str, int, str]:
        """What is the same for this metric in every repetition of the run."""
        return self.importer, self.place or self.path, self.ordinal, self.key


class Series(SparseRecord, frozen=True, kw_only=True):
    """The values of a metric over the steps of a run, column by column.

    Attributes:
        values: Each with the precision of its source.
        steps: As many; None where the source does not say. Empty where they are evenly spaced.
        first: Then the first of them,
        stride: and the distance between them.
        length: How many values the source has, where it has more than are held here.
    """

    values: tuple[float | Literal["NaN", "Infinity", "-Infinity"], ...]
    steps: tuple[float | None, ...] = ()
    first: float = 0.0
    stride: float = 1.0
    length: Annotated[int, Meta(ge=0)] = 0


class Metric(SparseRecord, frozen=True, kw_only=True):
    """A named number, or a series whose last value is the number.

    Attributes:
        value: The final value; None where it is not finite (NaN never passes).
        text: The value as its source spells it.
        unit: Empty, or `%` where the source says so; values are never rescaled.
        precision: The type in which the source stores it, where that is less than a double:
            `float32`, `float16` or `bfloat16`. The value is then exactly what is stored.
        series: All values, where there are several.
    """

    name: str
    value: float | None
    text: str
    source: MetricSource
    unit: str = ""
    precision: str = ""
    split: str | None = None
    series: Series | None = None


class MetricSet(Record, frozen=True, kw_only=True):
    """`runs/<n>/metrics.json`."""

    version: Count
    metrics: tuple[Metric, ...]
