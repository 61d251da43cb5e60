# SPDX-License-Identifier: Apache-2.0
"""Metrics in what a command prints: `accuracy: 0.97`, `{'loss': 0.31}`, `test_acc = 97.2%`, tables.

A name that is printed again and again is a series; its last value is the metric, and the line of
that value is named. Its steps are those that its lines print (`step 7 loss: 0.5`), if each has one
and they rise; else the values are counted. A percent sign is kept as the unit, never divided away.
Where it is not plain which number is meant (`1,234`, `0,97`) there is none: a wrong number is
worse.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from repropack.importers import Reading
from repropack.importers.console_layout import MAX_NUMBER, NUMBER, Printed, tables, unwrapped
from repropack.importers.series import STEP_NAMES, Sample, metric
from repropack.model import MetricSource

__all__ = ["handles", "read"]

MAX_NAME: Final = 100
"""Characters of a name; what is longer is no word that somebody chose."""

MAX_NAMES: Final = 1_000
"""Distinct names of one log; beyond that the text is data that happens to look like metrics."""

# Every repetition is possessive, and a name starts where a word starts: matching takes linear time
# whatever is printed.
_ESCAPE: Final = re.compile(r"\x1b(?:\[[0-?]*+[ -/]*+[@-~]|\][^\x07\x1b]*+(?:\x07|\x1b\\)|[@-_])")
# `mAP@0.5:0.95 = 0.45`, `mAP@[.5:.95]: 0.45`: at which thresholds is a part of the name.
_THRESHOLDS: Final = (
    r"(?:(?<=@)\.[0-9]++)?+(?:(?<=[0-9]):[0-9]*+\.[0-9]++(?=[ \t]*+[:=])|(?<=@)\[[0-9.:]{1,20}\])?+"
)
# `valid_0's auc: 0.95` (LightGBM): without the owner two data sets would be one series.
# A byte that is no UTF-8 (`pr\ufffdcision`) is a letter of the word in which it stands.
_WORD: Final = (
    rf"(?:[^\W\d]|\ufffd)[\w\ufffd@/\-]*+(?:\.[\w@/\-]++)*+{_THRESHOLDS}(?:'s(?=[ \t]))?+"
)
_NAME: Final = rf"(?<![\w\ufffd@/.\-])(?P<name>{_WORD}(?:[ \t]{_WORD}){{0,3}})"
_EXPONENT: Final = r"(?:[eE][-+]?[0-9]++)?+"
_FRACTION: Final = rf"[-+]?[0-9]*+\.[0-9]++{_EXPONENT}"
_END: Final = r"(?![\w:/%\\-]|\.\w|,[0-9])"
# `Epoch 3:  45%|####      | 9/20`: how far a bar is, as tqdm draws it.
_NO_BAR: Final = r"(?!\||[ ]*+[\u2588\u2501])"
# What numpy, torch and JAX print for a scalar: `np.float64(0.9)`, `tensor(0.9, device='cuda:0')`.
_CALL: Final = (
    r"(?:(?:np|numpy|torch|jnp)\.)?+(?:float[0-9]*+|int[0-9]*+|tensor|array)"
    rf"\([ \t]*+(?P<scalar>{NUMBER})(?:,[ \t][^()]*+)?+\)"
)
# `9906/10000 (99%)`: the share is the metric, and the counts say it exactly.
_SHARE: Final = (
    rf"(?P<part>[0-9]{{1,15}}+)/(?P<whole>[0-9]{{1,15}}+)[ ]?\([ ]*+(?P<share>{NUMBER})[ ]?%\)"
)
# `{'loss': '0.6939', 'epoch': '0.25'}`: Hugging Face's Trainer prints what it has rounded.
_QUOTED: Final = rf"(?P<quote>['\"])(?P<quoted>{NUMBER})(?P=quote)(?=[ \t]*+[,}}])"
_PAIR: Final = re.compile(
    rf"{_NAME}['\"]?+[ \t]*+[:=\uff1a][ \t]*+"
    rf"(?:{_SHARE}|{_CALL}|{_QUOTED}|(?P<number>{NUMBER})(?:(?P<unit>[ ]?%){_NO_BAR})?{_END})",
    re.IGNORECASE,
)
_AT_RANK: Final = re.compile(
    r"(?<![\w@/.\-])(?P<name>[A-Za-z_][A-Za-z_/\-]*+@[0-9]++(?:\.[0-9]++)?+)[ \t]++"
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

_COCO: Final = re.compile(
    r"[ \t]*+(?P<name>Average[ ](?:Precision|Recall)[ \t]++\(A[PR]\)[ \t]++"
    r"@\[[^\]=]*+=[^\]]{1,80}+\])"
    rf"[ \t]*+=[ \t]*+(?P<number>{NUMBER})[ \t]*+"
)
"""What pycocotools prints: the name says for which overlap, size and number of objects."""

_CUT: Final = re.compile(r"(?<![\w.+\-])[-+]?[0-9]{1,20}\.(?:[0-9]{0,20}[eE][-+]?)?\Z")
"""A number at the end of all in whose middle the command was killed. In `0.34` nobody sees it."""

_LOG_WORDS: Final = frozenset(
    ("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL", "root",
     "AM", "PM", "UTC", "GMT")
)  # fmt: skip
"""What a logger puts before the message, in its own spelling: `error rate` is a name."""

_CODE_FILE: Final = re.compile(r"\.(?:py|cc?|cpp|cu|h|go|jl|js|rs|R|sh)$")
"""`train.py:12] loss: 0.5`: where a logger says that it was called."""

_COUNTERS: Final = {
    "steps": "step",
    "iterations": "iteration",
    "iters": "iter",
    **{name: name for name in STEP_NAMES},
}
"""Words before a number that counts, by how people spell them."""

_COUNTER: Final = re.compile(
    rf"(?<![\w@/.\-])(?P<name>{'|'.join(sorted(_COUNTERS, key=len, reverse=True))})['\"]?+"
    rf"[ \t]*+[:=#]?[ \t]*+[\[(]?[ \t]*+['\"]?(?P<number>{NUMBER})(?![\w.%])",
    re.IGNORECASE,
)
"""`Epoch 3`, `epoch [3/10]`, `step=7`, `'epoch': 1.5`."""

_FILLERS: Final = frozenset(("with", "is", "the", "a", "an", "and", "of"))


_LOG_FILE: Final = re.compile(r"(?:\.log|\.out|(?:^|[/_-])log\.txt)$", re.IGNORECASE)


def handles(path: str) -> bool:
    """Files that end in `.log` or `.out`, or are called `log.txt`; the console has no file."""
    return _LOG_FILE.search(path) is not None


def read(data: bytes, path: str) -> Reading:
    """The metrics in a console log. Never raises: any bytes are text to it.

    Args:
        data: What the command printed. Lines with a NUL byte in them are no text.
        path: `stdout`, `stderr`, or the recorded path of a log file.
    """
    remarks = []
    if b"\0" in data:
        lines = data.split(b"\n")
        # Left empty: the others keep their numbers.
        data = b"\n".join(b"" if b"\0" in line else line for line in lines)
        count = sum(b"\0" in line for line in lines)
        remarks.append(f"lines with bytes that are no text were not read: {count}")
    text = _CUT.sub("", _ESCAPE.sub("", data.decode("utf-8", "replace")))
    samples: dict[str, list[Sample]] = {}
    counted: dict[str, list[Mapping[str, float]]] = {}
    last: dict[str, Printed] = {}
    left_out = False
    for found, counters in _all(text):
        name = found.name
        if not name or len(name) > MAX_NAME or len(found.number) > MAX_NUMBER:
            continue
        if name not in samples:
            if len(samples) >= MAX_NAMES:
                left_out = True
                continue
            samples[name] = []
            counted[name] = []
        step = float(len(samples[name])) if found.step is None else found.step
        samples[name].append((step, found.value))
        counted[name].append(counters)
        last[name] = found
    return Reading(
        metrics=tuple(
            metric(
                name,
                _stepped(series, counted[name]) if name.lower() not in _COUNTERS else series,
                MetricSource(importer="console", path=path, key=name, line=last[name].line),
                text=last[name].number,
                unit=last[name].unit,
            )
            for name, series in samples.items()
        ),
        remarks=(
            *remarks,
            *((f"more than {MAX_NAMES} names of numbers; the others were not read",) * left_out),
        ),
    )


def _stepped(samples: list[Sample], counted: Sequence[Mapping[str, float]]) -> list[Sample]:
    """The samples with the steps that their lines print, where these leave no doubt."""
    for name in STEP_NAMES:
        steps = [counters[name] for counters in counted if name in counters]
        rising = all(one < other for one, other in pairwise(steps))
        if len(steps) == len(samples) and rising:
            return [(step, value) for step, (_, value) in zip(steps, samples, strict=True)]
    return samples


def _all(text: str) -> Iterator[tuple[Printed, Mapping[str, float]]]:
    """Every metric of a text, from top to bottom, and what its line counts."""
    lines = text.split("\n")
    in_tables: dict[int, list[Printed]] = {}
    for found in tables(lines):
        in_tables.setdefault(found.line, []).append(found)
    for number, line in unwrapped(lines, skip=in_tables.keys()):
        if number in in_tables:
            yield from ((found, {}) for found in in_tables[number])
            continue
        # A progress bar rewrites its line with carriage returns; each version counts.
        for piece in line.split("\r"):
            counters: Mapping[str, float] | None = None
            for name, spelled, value, unit in _found(piece):
                counters = _counters(piece) if counters is None else counters
                yield Printed(name, spelled, value, unit, number, None), counters


def _counters(line: str) -> dict[str, float]:
    """What a line counts: of each kind the first, if it is a number."""
    found: dict[str, float] = {}
    for match in _COUNTER.finditer(line):
        number = float(match["number"]) if len(match["number"]) <= MAX_NUMBER else math.nan
        if math.isfinite(number):
            found.setdefault(_COUNTERS[match["name"].lower()], number)
    return found


def _found(line: str) -> Iterator[tuple[str, str, float, str]]:
    """Name, number as it is written, its value and unit of each metric in a line."""
    whole = _WHOLE_LINE.fullmatch(line)
    if whole:
        yield _short(whole["name"]), whole["number"], float(whole["number"]), _unit(whole)
        return
    coco = _COCO.fullmatch(line)
    if coco:
        name = " ".join(coco["name"].replace("=", "= ").split()).replace("= ", "=")
        yield name, coco["number"], float(coco["number"]), ""
        return
    for match in _PAIR.finditer(line):
        if match["share"]:
            yield _short(match["name"]), *_exact_share(match), "%"
        else:
            number = match["number"] or match["scalar"] or match["quoted"]
            yield _short(match["name"]), number, float(number), _unit(match)
    for match in _AT_RANK.finditer(line):
        yield _short(match["name"]), match["number"], float(match["number"]), _unit(match)


def _unit(match: re.Match[str]) -> str:
    return "%" if match["unit"] else ""


def _exact_share(match: re.Match[str]) -> tuple[str, float]:
    """The per cent of `9906/10000 (99%)`: 99.06, if the rounded share is of these counts."""
    printed = float(match["share"])
    part, whole = int(match["part"]), int(match["whole"])
    resolution = 10.0 ** -len(match["share"].partition(".")[2])
    if whole and abs(100 * part / whole - printed) <= resolution:
        return f"{part}/{whole}", 100 * part / whole
    return match["share"], printed


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
    if words and _CODE_FILE.search(words[-1]):
        return ""
    return " ".join(words)
