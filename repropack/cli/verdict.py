# SPDX-License-Identifier: Apache-2.0
"""What came of a check, on the screen."""

from __future__ import annotations

import sys
from typing import Final

from repropack.cli.screen import folded, say, styled
from repropack.model import Report, Verdict
from repropack.reports import render

__all__ = ["say_report", "verdict_line"]

HANGING = 5
"""Columns before what belongs to the line above; as wide as `ok` and `FAIL`."""

_STYLES: Final = {
    Verdict.REPRODUCED: "1;32",
    Verdict.INTACT: "1",
    Verdict.NOT_REPRODUCED: "1;31",
    Verdict.NOT_INTACT: "1;31",
    Verdict.INCONCLUSIVE: "1;33",
}


def say_report(report: Report) -> None:
    """Prints a report but for its last line.

    Raises:
        OSError: Nobody takes it, or it cannot be written.
    """
    for line in render("text", report).rstrip("\n").split("\n"):
        say(folded(line, HANGING))


def verdict_line(verdict: Verdict, reason: str) -> str:
    """A verdict in its colour, and the reason for it."""
    return f"{styled(verdict.value, _STYLES[verdict], sys.stdout)}: {reason}"
