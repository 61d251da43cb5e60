# SPDX-License-Identifier: Apache-2.0
"""The report as one line of canonical JSON; its schema is schemas/report.json."""

from __future__ import annotations

from repropack import canonical
from repropack.model import Report

__all__ = ["render"]


def render(report: Report) -> str:
    """The report as JSON, with a newline."""
    return canonical.encode(report).decode("utf-8") + "\n"
