# SPDX-License-Identifier: Apache-2.0
"""Metrics in what a command prints: `accuracy: 0.97`, `{'loss': 0.31}`, `test_acc = 97.2%`.

A name that is printed again and again is a series; its last value is the metric, and the line of
that value is named. A percent sign is kept as the unit, never divided away. Where it is not plain
which number is meant (`1,234`, `0,97`) there is none: a wrong number is worse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from repropack.importers.series import point, thin
from repropack.model import Metric, MetricSource

__all__ = ["handles", "read"]

MAX_NAME: Final = 100
"""Characters of a name; what is longer is no word that somebody chose."""

MAX_NUMBER: Final = 40
"""Characters of a number: a float64 has at most 24."""

MAX_NAMES: Final = 1_000
"""Distinct names of one log; beyond that the text is data that happens to look like metrics."""

# Every repetition is possessive, and a name starts where a word starts: matching takes linear time
# whatever is printed.
_ESCAPE: Final = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x07\x1b]*+(?:\x07|\x1b\\)|[@-_])")
_WORD: Final = r"[A-Za-z_][A-Za-z0-9_@/\-]*+(?:\.[A-Za-z0-9_@/\-]++)*+"
_NAME: Final = rf"(?<![A-Za-z0-9_@/.\-])(?P<name>{_WORD}(?:[ \t]{_WORD}){{0,3}})"
_EXPONENT: Final = r"(?:[eE][-+]?[0-9]++)?+"
_NUMBER: Final = (
    rf"(?:[-+]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++){_EXPONENT}|[-+]?(?:nan|inf(?:inity)?+))"
)
_FRACTION: Final = rf"[-+]?[0-9]*+\.[0-9]++{_EXPONENT}"
_END: Final = r"(?![\w:/%\\-]|\.\w|,[0-9])"
# What numpy, torch and JAX print for a scalar: `np.float64(0.9)`, `tensor(0.9, device='cuda:0')`.
_CALL: Final = (
    r"(?:(?:np|numpy|torch|jnp)\.)?+(?:float[0-9]*+|int[0-9]*+|tensor|array)"
    rf"\([ \t]*+(?P<scalar>{_NUMBER})(?:,[ \t][^()]*+)?+\)"
)
# `9910/10000 (99%)`: the share is the metric.
_SHARE: Final = rf"[0-9]++/[0-9]++[ ]?\([ ]*+(?P<share>{_NUMBER})[ ]?%\)"
_PAIR: Final = re.compile(
    rf"{_NAME}['\"]?+[ \t]*+[:=][ \t]*+"
    rf"(?:{_SHARE}|{_CALL}|(?P<number>{_NUMBER})(?P<unit>[ ]?%)?{_END})",
    re.IGNORECASE,
)
_AT_RANK: Final = re.compile(
    r"(?<![A-Za-z0-9_@/.\-])(?P<name>[A-Za-z_][A-Za-z_/\-]*+@[0-9]++(?:\.[0-9]++)?+)[ \t]++"
    rf"(?P<number>{_FRACTION})(?P<unit>[ ]?%)?{_END}"
)
"""`Acc@1 76.130 Acc@5 92.862`, the usual last line of a classifier's evaluation."""
_WHOLE_LINE: Final = re.compile(
    rf"\s*+{_NAME}[ \t]++"
    rf"(?P<number>{_FRACTION})(?P<unit>[ ]?%)?\s*+",
    re.IGNORECASE,
)
"""`RMSE 12.3` alone on its line. Without a sign between them only a fraction counts: `resumed at
3` is a sentence."""

_LOG_WORDS: Final = frozenset(
    ("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL", "root",
     "AM", "PM", "UTC", "GMT")
)  # fmt: skip
"""What a logger puts before the message, in its own spelling: `error rate` is a name."""

_FILLERS: Final = frozenset(("with", "is", "the", "a", "an", "and", "of"))


def handles(path: str) -> bool:
    """No file is chosen by its name: consoles have none, and a log file may hold anything."""
    del path
    return False


def read(data: bytes, path: str) -> tuple[Metric, ...]:
    """The metrics in a console log. Never raises: any bytes are text to it.

    Args:
        data: What the command printed. With a NUL byte in it, it is no text and has no metrics.
        path: `stdout` or `stderr`.
    """
    if b"\0" in data:
        return ()
    text = _ESCAPE.sub("", data.decode("utf-8", "replace"))
    values: dict[str, list[tuple[float, str]]] = {}
    last: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        # A progress bar rewrites its line with carriage returns; each version counts.
        for piece in line.split("\r"):
            for written, spelled, unit in _found(piece):
                name = _short(written)
                if not name or len(name) > MAX_NAME or len(spelled) > MAX_NUMBER:
                    continue
                if name not in values and len(values) >= MAX_NAMES:
                    continue
                values.setdefault(name, []).append((float(spelled), spelled))
                last[name] = (spelled, unit, number)
    metrics = []
    for name, series in values.items():
        points = thin([point(float(i), value, text) for i, (value, text) in enumerate(series)])
        spelled, unit, number = last[name]
        metrics.append(
            Metric(
                name=name,
                value=points[-1].value,
                text=spelled,
                unit=unit,
                source=MetricSource(importer="console", path=path, key=name, line=number),
                points=points if len(points) > 1 else (),
            )
        )
    return tuple(metrics)


def _found(line: str) -> Iterator[tuple[str, str, str]]:
    """Name, number and unit of each metric in a line, as they are written."""
    whole = _WHOLE_LINE.fullmatch(line)
    if whole:
        yield whole["name"], whole["number"], "%" if whole["unit"] else ""
        return
    for match in _PAIR.finditer(line):
        if match["share"]:
            yield match["name"], match["share"], "%"
        else:
            yield match["name"], match["number"] or match["scalar"], "%" if match["unit"] else ""
    for match in _AT_RANK.finditer(line):
        yield match["name"], match["number"], "%" if match["unit"] else ""


def _short(written: str) -> str:
    """A name without what a logger or a sentence puts around it: its last two words at most."""
    words = written.split()
    while words and (words[0] in _LOG_WORDS or words[0].lower() in _FILLERS):
        del words[0]
    while words and words[-1].lower() in _FILLERS:
        del words[-1]
    words = words[-2:]
    if words and words[0].lower() in _FILLERS:
        del words[0]
    return " ".join(words)
