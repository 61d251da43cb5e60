# SPDX-License-Identifier: Apache-2.0
"""`repropack init`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from repropack import durable
from repropack.cli.screen import bold, say, tell
from repropack.errors import RepropackError, UsageError
from repropack.escaping import show
from repropack.export.chain import choose_artifacts, project_relative, trace_chain
from repropack.export.data import choose_data
from repropack.export.project_template import Known, write_template
from repropack.placeholders import PROJECT_DATA
from repropack.project_file import PROJECT_FILE, ProjectFile
from repropack.source.snapshot import find_root
from repropack.store import Store, StoredRun

__all__ = ["command"]


@click.command("init")
@click.option("--print", "only_print", is_flag=True, help="Print it and write nothing.")
def command(only_print: bool) -> int:
    r"""Write a commented repropack.yaml at the project's root.

    It explains every key, and is filled in with what the last recorded run tells: the numbers that
    an export would claim, the weights, the names of the data sets. Nothing needs the file: it is
    for what cannot be seen in a run.

    \b
    Exit status:
      0  it is written
      2  there is a repropack.yaml already; it stays as it is
    """
    root, known = _known(Path.cwd())
    text = write_template(known)
    if only_print:
        say(text.rstrip("\n"))
        return 0
    path = root / PROJECT_FILE
    if os.path.lexists(path):
        # Also a link that leads nowhere is the user's.
        raise UsageError(
            f"{path} is there already; nothing was written",
            advice="`repropack init --print` shows what would be in a new one",
        )
    durable.write_file(path, text.encode())
    filled = "" if known.run is None else f", filled in from run {known.run}"
    say(f"wrote {show(str(path))}{filled}")
    after = "run -- COMMAND" if known.run is None else "export --dry-run"
    say(f"next: look through it, then {bold(f'repropack {after}')}")
    return 0


def _known(directory: Path) -> tuple[Path, Known]:
    """The project's root and what its last run tells."""
    try:
        store = Store.find(directory)
    except UsageError:
        root, _ = find_root(directory)
        return root, Known(title=root.name)
    store.share()
    finished = [run for run in store.runs() if run.record is not None]
    if not finished:
        return store.project, Known(title=store.project.name)
    return store.project, _known_of(store, finished[-1])


def _known_of(store: Store, run: StoredRun) -> Known:
    try:
        chain = trace_chain(store, run)
        artifacts = choose_artifacts(store, chain, ())
        data = choose_data(store, chain, ProjectFile(), include=False)
        metrics = store.metrics(run).metrics
    except RepropackError as error:
        # A run that cannot be exported is no reason to have no file.
        tell(f"repropack: run {run.id} is not used: {show(error.message)}")
        return Known(title=store.project.name)
    relative = (project_relative(one.product.path) for one in artifacts)
    return Known(
        title=store.project.name,
        run=run.id,
        metrics=metrics,
        trains_alone=len(chain) == 1,
        weights=tuple(dict.fromkeys(path for path in relative if path is not None)),
        data=tuple(one.manifest.name for one in data if one.manifest.name != PROJECT_DATA),
    )
