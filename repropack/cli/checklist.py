# SPDX-License-Identifier: Apache-2.0
"""`repropack checklist`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from repropack.cli.screen import say, tell
from repropack.export import ExportRequest, plan
from repropack.export.anonymity import without_identity
from repropack.export.checklists import KINDS, write_checklist
from repropack.store import Store

__all__ = ["command"]


@click.command("checklist")
@click.argument("run", metavar="RUN", default="last")
@click.option(
    "--kind",
    type=click.Choice(list(KINDS)),
    required=True,
    help="ml-code: ML code completeness; neurips: the paper checklist; acm: artifact appendix.",
)
@click.option(
    "--anonymous", is_flag=True, help="Of the release that `export --anonymous` would make."
)
def command(run: str, kind: str, *, anonymous: bool) -> int:
    """Fill a venue's checklist from what is recorded; `____` is left for you.

    It describes the release that `repropack export --run RUN` would make, as Markdown to paste.
    """
    store = Store.find(Path.cwd())
    tell("repropack: looking up the packages' digests")
    planned = plan(
        ExportRequest(run=run),
        store,
        dict(os.environ),
        lambda text: tell(f"repropack: {text}"),
    )
    if anonymous:
        planned = without_identity(planned)
    say(write_checklist(kind, planned).rstrip("\n"))
    return 0
