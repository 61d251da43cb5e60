# SPDX-License-Identifier: Apache-2.0
"""`repropack gc`."""

from __future__ import annotations

import datetime
import os
import re
from pathlib import Path
from typing import Final

import click

from repropack.cli.screen import dim, human_size, plural, say
from repropack.errors import UsageError
from repropack.escaping import show, show_command
from repropack.store import Store

__all__ = ["command"]

_UNITS: Final = {"h": 3600, "d": 86400, "w": 7 * 86400}


@click.command("gc", epilog="Code snapshots stay: they are small, and runs share them.")
@click.option("--dry-run", "-n", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--keep-last",
    metavar="N",
    type=click.IntRange(min=0),
    help="Remove runs, but not the latest N.",
)
@click.option(
    "--older-than", metavar="AGE", help="Remove runs that ended longer ago: `12h`, `30d`, `8w`."
)
@click.option("--named", is_flag=True, help="Remove runs with a name, too.")
@click.option("--ancestors", is_flag=True, help="Remove runs that others descend from, too.")
@click.option(
    "--cache",
    is_flag=True,
    help="Remove no runs, but the packages that were downloaded for environments; with "
    "--older-than those not used for so long.",
)
def command(
    dry_run: bool,
    keep_last: int | None,
    older_than: str | None,
    named: bool,
    ancestors: bool,
    cache: bool,
) -> int:
    """Remove kept files that no run needs, and with a bound also old runs.

    With both bounds, only runs that are beyond both. Runs that have a name, and runs from which
    others descend that stay, are kept unless told. While a run or an export goes on, nothing is
    removed.
    """
    age = None if older_than is None else _seconds(older_than)
    if cache:
        if keep_last is not None or named or ancestors:
            raise UsageError("--cache is about no runs: give it with --older-than or by itself")
        return _clear_cache(age, dry_run=dry_run)
    from repropack.store.reclaim import Selection, plan_removal, remove, size_on_disk

    store = Store.find(Path.cwd())
    selection = Selection(
        keep_last=keep_last,
        older_than=age,
        named=named,
        ancestors=ancestors,
    )
    now = datetime.datetime.now(datetime.UTC)
    if dry_run:
        planned = plan_removal(store, selection, now=now)
    else:
        with store.alone():
            planned = plan_removal(store, selection, now=now)
            remove(store, planned)
    for run in planned.runs:
        name = f" [{show(run.started.name)}]" if run.started.name else ""
        command_line = show_command(run.started.argv, limit=60)
        say(f"run {run.id}{name}  {run.started.started}  {command_line}")
    for run_id, reason in planned.spared.items():
        say(dim(f"run {run_id} stays: {show(reason)}"))
    did = "would remove" if dry_run else "removed"
    files = plural(len(planned.contents), "kept file")
    freed = human_size(sum(planned.contents.values()))
    say(f"the store has {human_size(size_on_disk(store.directory))} on the disk")
    say(f"{did} {plural(len(planned.runs), 'run')} and {files} of {freed}")
    return 0


def _clear_cache(older_than: float | None, *, dry_run: bool) -> int:
    from repropack.environment.cache import cache_directory, contents, is_unused, remove
    from repropack.environment.index import load_index_settings
    from repropack.environment.uv import find_uv

    environ = dict(os.environ)
    all_of_it = contents(environ)
    chosen = [one for one in all_of_it if is_unused(one, older_than)]
    if chosen and not dry_run:
        uv = find_uv(environ, load_index_settings(environ))
        for one in chosen:
            remove(one, uv.program, uv.environment)
    size, freed = (human_size(sum(one.size for one in group)) for group in (all_of_it, chosen))
    say(f"{show(cache_directory(environ))} {'has' if dry_run else 'had'} {size}")
    say(f"{'would remove' if dry_run else 'removed'} {freed} of downloaded packages")
    return 0


def _seconds(text: str) -> float:
    """An age such as `30d`.

    Raises:
        UsageError: It has another form.
    """
    match = re.fullmatch(r"([0-9]{1,6})([hdw])", text)
    if match is None:
        raise UsageError(f"--older-than {text}: expected a number and `h`, `d` or `w`, such as 30d")
    return float(match[1]) * _UNITS[match[2]]
