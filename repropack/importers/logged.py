# SPDX-License-Identifier: Apache-2.0
"""Metrics that programs said by `repropack.log_metric` (a line: docs/concepts.md).

Each line has its own checksum; one that a kill or a full disk cut off is counted and left out.
Ranks of a distributed training, and processes without a rank, are kept apart: the first is called
as it calls itself, the others `loss [rank 1]`, `loss [process 2]`.
"""

from __future__ import annotations

import math
import zlib
from typing import Final

from repropack import canonical
from repropack.importers import LOGGED, Reading
from repropack.importers.series import Sample, metric
from repropack.model import MetricSource

__all__ = ["handles", "read"]

MAX_NAME: Final = 300
"""Characters of a name."""

MAX_NAMES: Final = 10_000
"""Metrics of one run."""

MAX_LINE: Final = 4_096
"""Bytes of a line: a name of `MAX_NAME` characters, each escaped, and a few numbers."""

MAX_REFUSED: Final = 10
"""Names that are said of what was no number."""

_PRECISIONS: Final = ("float32", "float16", "bfloat16")


def handles(path: str) -> bool:
    """No file is chosen by its name."""
    del path
    return False


def read(data: bytes, path: str) -> Reading:
    """The metrics in the log of a run. Never raises: what is no line of ours is counted.

    Args:
        data: The log.
        path: `log_metric`.
    """
    samples: dict[str, list[Sample]] = {}
    last: dict[str, tuple[str, str, int]] = {}
    processes: dict[object, int] = {}
    refused: dict[str, str] = {}
    damaged = misnamed = 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line:
            continue
        fields = _fields(line)
        name = fields.get("name") if fields is not None else None
        if fields is None or not isinstance(name, str):
            damaged += 1
            continue
        if not name or len(name) > MAX_NAME:
            misnamed += 1
            continue
        value, step, kind = fields.get("value"), fields.get("step"), fields.get("dtype")
        if not isinstance(value, canonical.Number):
            kind = str(fields.get("refused", "nothing"))
            # What float() does not take although it is a number has more than 308 digits.
            why = "too large for a float64" if kind == "int" else "no number"
            refused.setdefault(name, f"{name} was given as {kind}, {why}")
            continue
        if "refused_step" in fields:
            refused.setdefault(
                f"{name}\0step",
                f"the step of {name} was given as {fields['refused_step']}, no number; its values "
                "are counted",
            )
        name += _apart(fields, processes)
        if name not in samples:
            if len(samples) >= MAX_NAMES:
                damaged += 1
                continue
            samples[name] = []
        at = float(len(samples[name]))
        if isinstance(step, canonical.Number) and math.isfinite(step.value):
            at = step.value
        samples[name].append((at, value.value))
        last[name] = (value.text, str(kind) if kind in _PRECISIONS else "", number)
    remarks = list(refused.values())[:MAX_REFUSED]
    if len(refused) > MAX_REFUSED:
        remarks.append(f"{len(refused) - MAX_REFUSED} more were given as no number")
    if misnamed:
        remarks.append(f"lines left out, whose name has not 1 to {MAX_NAME} characters: {misnamed}")
    if damaged:
        remarks.append(f"lines left out, damaged or too many: {damaged}")
    return Reading(
        metrics=tuple(
            metric(
                name,
                series,
                MetricSource(importer=LOGGED, path=path, key=name, line=last[name][2]),
                text=last[name][0],
                precision=last[name][1],
            )
            for name, series in samples.items()
        ),
        remarks=tuple(remarks),
    )


def _fields(line: bytes) -> dict[str, object] | None:
    checksum, _, body = line.partition(b" ")
    if len(line) > MAX_LINE or checksum != b"%08x" % zlib.crc32(body):
        return None
    try:
        fields = canonical.decode_foreign(body)
    except canonical.NotCanonicalError:
        return None
    return fields if isinstance(fields, dict) else None


def _apart(fields: dict[str, object], processes: dict[object, int]) -> str:
    """What follows the name of a metric that is not the first process's."""
    rank, pid = fields.get("rank"), fields.get("pid")
    if isinstance(rank, canonical.Number):
        return "" if rank.value == 0 else f" [rank {rank.text[:20]}]"
    count = processes.setdefault(pid, len(processes) + 1) if pid is not None else 1
    return "" if count == 1 else f" [process {count}]"
