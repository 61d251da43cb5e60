# SPDX-License-Identifier: Apache-2.0
"""Options that mean the same for every command that repeats runs."""

from __future__ import annotations

from typing import Final

import click

__all__ = ["as_json", "keep_work", "no_sandbox", "offline", "report", "time_limit"]

time_limit: Final = click.option(
    "--time",
    "time_limit",
    metavar="TIME",
    help="When a run is ended, such as 2h; after 20 times its recorded time if left out.",
)

no_sandbox: Final = click.option(
    "--no-sandbox", is_flag=True, help="Run the code with all your rights."
)

offline: Final = click.option("--offline", is_flag=True, help="Download nothing.")

report: Final = click.option("--report", metavar="FILE.html", help="Write a report for people.")

as_json: Final = click.option(
    "--json", "as_json", is_flag=True, help="The report as JSON, for programs."
)

keep_work: Final = click.option(
    "--keep-work", is_flag=True, help="Keep the work directory and say where it is."
)
