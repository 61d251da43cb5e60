# SPDX-License-Identifier: Apache-2.0
"""`repropack restore`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from repropack.cli.screen import human_size, plural, say
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.model import Product
from repropack.store import Store

__all__ = ["command"]


@click.command("restore")
@click.argument("run", metavar="ID")
@click.argument("paths", metavar="[PATH…]", nargs=-1)
@click.option(
    "-o",
    "--output",
    "directory",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the files go, by their paths below the project.",
)
@click.option(
    "--segment", type=click.IntRange(min=1), help="What this segment left; else the last."
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
def command(
    run: str, paths: tuple[str, ...], directory: Path, segment: int | None, overwrite: bool
) -> int:
    """Write outputs of a run back to the disk, as the run left them.

    All of them, or those that PATH names: a file, a directory or a pattern, below the project.
    Later runs may have overwritten them since. Nothing is replaced without `--overwrite`.
    """
    from repropack.export.chain import fits, products_of, project_relative
    from repropack.placeholders import fill
    from repropack.store.restoration import restore

    store = Store.find(Path.cwd())
    store.share()
    stored = store.resolve(run)
    record = store.finished(stored)
    if segment is not None and segment > len(record.segments):
        raise UsageError(
            f"--segment {segment}: run {stored.id} has {plural(len(record.segments), 'segment')}"
        )
    left: dict[str, Product] = {}
    for product in (
        products_of(record).values() if segment is None else record.segments[segment - 1].products
    ):
        relative = project_relative(product.path)
        if relative is not None:
            left[fill(relative, {"host": os.uname().nodename})] = product
    for path in paths:
        if not any(fits(relative, path) for relative in left):
            raise UsageError(
                f"{path}: run {stored.id} wrote no such file",
                advice=f"`repropack show {stored.id}` lists what it wrote",
            )
    wanted = {
        relative: product
        for relative, product in left.items()
        # What was not kept is no error unless it was asked for.
        if (any(fits(relative, path) for path in paths) if paths else product.kept)
    }
    if not wanted:
        raise UsageError(f"run {stored.id} has no outputs that were kept")
    done = restore(store, wanted.items(), directory, overwrite=overwrite)
    for relative, product in wanted.items():
        state = "  (there already)" if directory / relative in done.present else ""
        say(f"{show(str(directory / relative))}  {human_size(product.size)}{state}")
    skipped = len(left) - len(wanted) if not paths else 0
    note = f"; {skipped} that were not kept are left out" if skipped else ""
    say(f"restored {plural(len(done.written), 'file')} of run {stored.id}{note}")
    return 0
