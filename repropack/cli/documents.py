# SPDX-License-Identifier: Apache-2.0
"""What each command prints with `--json`: the types from which its schema is made.

Each type stands in the module of its command and is imported when a schema is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

__all__ = ["TABLE", "document_type"]

TABLE: Final = {
    "calibrate": "repropack.cli.calibrate",
    "data-check": "repropack.cli.data",
    "data-diff": "repropack.cli.data",
    "diff": "repropack.cli.diff_runs",
    "doctor": "repropack.cli.doctor",
    "export": "repropack.cli.export_document",
    "inspect": "repropack.cli.inspect_bundle",
    "list": "repropack.cli.list_runs",
    "receipt-check": "repropack.cli.receipt",
    "scan": "repropack.cli.scan",
    "show": "repropack.cli.show_run",
}
"""Command to the module whose `Document` it prints; `verify` and `repeat` print a report."""


def document_type(command: str) -> Any:
    """The type of a command's document.

    Raises:
        KeyError: There is no such command in `TABLE`.
    """
    return importlib.import_module(TABLE[command]).Document
