# SPDX-License-Identifier: Apache-2.0
"""Numbers that a console lays out in more than one line: tables, and lines that were wrapped.

Tables: with borders, as rich, tabulate and Lightning draw them, and the report of scikit-learn's
`classification_report`. Wrapped lines: a name at the end of a line and its number on the next, and
a number that was cut at the width of the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from repropack.importers.series import STEP_NAMES

__all__ = ["MAX_NUMBER", "NUMBER", "Printed", "tables", "unwrapped"]

MAX_NUMBER: Final = 40
"""Characters of a number: a float64 has at most 24."""

MAX_CELLS: Final = 200
"""Cells of a row; a wider one is no table for people."""

# Possessive throughout: linear time, whatever is printed.
NUMBER: Final = (
    r"(?:[-+]?(?:[0-9]++(?:\.[0-9]*+)?+|\.[0-9]++)(?:[eE][-+]?[0-9]++)?+"
    r"|[-+]?(?:nan|inf(?:inity)?+))"
)


class Printed(NamedTuple):
    """A metric as a console shows it; `line` counts from 1, `step` where a table has one."""

    name: str
    number: str
    value: float
    unit: str
    line: int
    step: float | None


# ---------------------------------------------------------------- tables

_BORDERS: Final = "|│┃║"
_SPLIT: Final = re.compile(f"[{_BORDERS}]")
_RULE: Final = re.compile(r"[\s+|:=\-─━═│┃║╔╗╚╝╠╣╦╩╬┌┐└┘├┤┬┴┼┏┓┗┛┣┫┳┻╋┡┩╇╈╞╡╪╤╧╟╢╫╥╨╭╮╰╯┝┥┿]+")
_CELL: Final = re.compile(rf"({NUMBER})[ ]?(%?)", re.IGNORECASE)
_REPORT: Final = re.compile(r"\s*precision\s+recall\s+f1-score\s+support\s*")
_REPORT_ROW: Final = re.compile(r"\s*(\S[^\n]{0,80}?)\s{2,}([0-9.]+(?:\s+[0-9.]+){1,3})\s*")


def tables(lines: Sequence[str]) -> Iterator[Printed]:
    """The metrics in the tables of a text, from top to bottom."""
    header: list[str] | None = None
    owner = ""
    report = False
    for number, line in enumerate(lines, 1):
        if report:
            row = _REPORT_ROW.fullmatch(line) if line.strip() and len(line) < 500 else None
            if row is not None:
                yield from _report_row(row[1], row[2].split(), number)
                continue
            report = not line.strip()
            if report:
                continue
        if len(line) < 500 and _REPORT.fullmatch(line):
            report = True
            continue
        cells = _cells(line)
        if cells is None:
            # Rules lie between the rows of a table; anything else ends it.
            if not line.strip() or not _RULE.fullmatch(line.strip()):
                header = None
            continue
        if not any(_CELL.fullmatch(cell) for cell in cells):
            header = cells
            continue
        if header is not None and len(header) == len(cells) > 2 and _is_long(header):
            # A task is named once, and its further rows leave the cell empty.
            owner = cells[0] or owner
            yield from _long_row(header, [owner, *cells[1:]], number)
            continue
        yield from _row(header, cells, number)


def _cells(line: str) -> list[str] | None:
    stripped = line.strip()
    if len(stripped) < 3 or stripped[0] not in _BORDERS or stripped[-1] not in _BORDERS:
        return None
    cells = [cell.strip() for cell in _SPLIT.split(stripped[1:-1])]
    if not 2 <= len(cells) <= MAX_CELLS or all(_RULE.fullmatch(c) for c in cells if c):
        return None
    return cells


def _row(header: list[str] | None, cells: list[str], line: int) -> Iterator[Printed]:
    label = "" if _CELL.fullmatch(cells[0]) else cells[0]
    if len(cells) == 2 and label:
        yield from _cell(label, cells[1], line, None)
        return
    if header is None or len(header) != len(cells):
        return
    counted = next((i for i, name in enumerate(header) if name.lower() in STEP_NAMES), None)
    step = None
    if counted is not None:
        found = _CELL.fullmatch(cells[counted])
        step = float(found[1]) if found and len(found[1]) <= MAX_NUMBER else None
    if not label and step is None:
        # Rows that nothing counts and nothing names are data.
        return
    for name, cell in list(zip(header, cells, strict=True))[1 if label else 0 :]:
        if name and name.lower() not in STEP_NAMES:
            whole = f"{label} {name}" if label and counted is None else name
            yield from _cell(whole, cell, line, step)


def _is_long(header: list[str]) -> bool:
    """Whether each row of a table has one metric, whose name is a cell: lm-evaluation-harness."""
    lowered = [name.lower() for name in header]
    return "metric" in lowered[1:] and "value" in lowered[lowered.index("metric", 1) :]


def _long_row(header: list[str], cells: list[str], line: int) -> Iterator[Printed]:
    lowered = [name.lower() for name in header]
    place = lowered.index("metric", 1)
    at = lowered.index("value", place)
    # Of what stands before the metric, words tell rows apart; numbers are versions and settings.
    words = [cell for cell in cells[: place + 1] if cell and not _CELL.fullmatch(cell)]
    name = " ".join(words)
    yield from _cell(name, cells[at], line, None)
    for other, cell in list(zip(header, cells, strict=True))[at + 1 :]:
        if other:
            yield from _cell(f"{name} {other}", cell, line, None)


def _cell(name: str, cell: str, line: int, step: float | None) -> Iterator[Printed]:
    found = _CELL.fullmatch(cell)
    if found and len(found[1]) <= MAX_NUMBER and name[:1].isalnum():
        yield Printed(name, found[1], float(found[1]), found[2], line, step)


def _report_row(label: str, numbers: list[str], line: int) -> Iterator[Printed]:
    columns = ("precision", "recall", "f1-score")
    # `accuracy` has no precision and recall of its own: its number and the support.
    named = [label] if len(numbers) == 2 else [f"{label} {column}" for column in columns]
    for name, number in zip(named, numbers[:-1], strict=False):
        yield from _cell(name, number, line, None)


# ---------------------------------------------------------------- wrapped lines

_WIDTHS: Final = frozenset((79, 80, 100, 120, 132, 160))
"""Where programs wrap that do not see a terminal, and where people set theirs."""

_DANGLING: Final = re.compile(r"[A-Za-z0-9_)\]]['\"]?[ \t]*[:=][ \t]*$")
_ALONE: Final = re.compile(rf"\s*(?:{NUMBER})[ ]?%?\s*(?:[,;)\]}}].*)?", re.IGNORECASE | re.DOTALL)
_INDENTED: Final = re.compile(rf"\s+(?:{NUMBER})[ ]?%?(?:\s.*)?", re.IGNORECASE | re.DOTALL)
"""What follows a line with `train.py:7` at its right goes on under its text."""

MAX_PLACE: Final = 70
"""Characters of the name of a file and the number of its line."""

_PLACE: Final = re.compile(r"[ \t][\w\-]{1,60}+\.py:[0-9]{1,6}$")
"""`train.py:7` at the right, where rich's log handler says that it was called: not the text."""

_FIRST_WORD: Final = re.compile(r"[A-Za-z]+")


def unwrapped(lines: Sequence[str], *, skip: Collection[int]) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line; a line that was wrapped is joined with its rest.

    Args:
        lines: The text.
        skip: Numbers of lines that are joined with nothing: the rows of tables.
    """
    width = max(map(len, lines), default=0)
    number = 0
    while number < len(lines):
        start, text = number + 1, lines[number]
        number += 1
        while number < len(lines) and number not in skip and number + 1 not in skip:
            following = lines[number]
            place = _PLACE.search(text[-MAX_PLACE:])
            said = text[: len(text) - len(place[0])].rstrip() if place else text
            rest = _INDENTED if place else _ALONE
            if _DANGLING.search(said[-MAX_NUMBER:]) and rest.fullmatch(following[:1000]):
                text = f"{said.rstrip()} {following.lstrip()}"
            elif len(lines[number - 1]) == width and _is_cut(lines[number - 1], following, width):
                text += following
            else:
                break
            number += 1
        yield start, text


def _is_cut(line: str, following: str, width: int) -> bool:
    """Whether a line goes on in the next one, as far as anybody can tell."""
    if width not in _WIDTHS or not following or following[0].isspace() or line[-1].isspace():
        return False
    # A log whose lines all happen to be as long as this repeats how they begin.
    return _start(line) != _start(following)


def _start(line: str) -> str:
    word = _FIRST_WORD.match(line)
    return word[0] if word else re.sub(r"[0-9]", "0", line[:10])
