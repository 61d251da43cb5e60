# SPDX-License-Identifier: Apache-2.0
"""A report of a check, in the forms that people and programs read.

Each form is one file with a function `render(report) -> str`. To add one: a file, a row in `TABLE`.
Every text of a report that came from a bundle was made printable when the report was built, and
each form escapes again for its own language.
"""

from __future__ import annotations

import importlib
from typing import Final, Protocol, cast

from repropack.model import Report

__all__ = ["TABLE", "Form", "render"]


class Form(Protocol):
    """What a file in this package provides."""

    def render(self, report: Report) -> str:
        """The report in this form."""


TABLE: Final = {
    "text": "repropack.reports.text",
    "json": "repropack.reports.json_document",
    "html": "repropack.reports.html",
}


def render(form: str, report: Report) -> str:
    """A report in a form of `TABLE`."""
    return cast("Form", importlib.import_module(TABLE[form])).render(report)
