# SPDX-License-Identifier: Apache-2.0
"""`repropack restore`."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

import click
from msgspec.structs import replace

from repropack.cli.screen import human_size, plural, say
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.model import Product
from repropack.store import Store

__all__ = ["command"]

_DIGEST: Final = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)


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

    Instead of ID the digest of an output, `sha256:…`: that output, whichever run wrote it.
    """
    from repropack.export.chain import fits, products_of
    from repropack.store.restoration import restore

    store = Store.find(Path.cwd())
    store.share()
    if (named := _DIGEST.fullmatch(run)) is not None:
        if paths or segment is not None:
            raise UsageError(f"{run}: a digest stands for one output; leave out PATH and --segment")
        return _restore_content(store, named[1].lower(), directory, overwrite)
    stored = store.resolve(run)
    record = store.finished(stored)
    if segment is not None and segment > len(record.segments):
        raise UsageError(
            f"--segment {segment}: run {stored.id} has {plural(len(record.segments), 'segment')}"
        )
    left = _below_project(
        products_of(record).values() if segment is None else record.segments[segment - 1].products
    )
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
    _show(wanted, directory, done.present)
    skipped = len(left) - len(wanted) if not paths else 0
    note = f"; {skipped} that were not kept are left out" if skipped else ""
    say(f"restored {plural(len(done.written), 'file')} of run {stored.id}{note}")
    return 0


def _restore_content(store: Store, sha256: str, directory: Path, overwrite: bool) -> int:
    """Restores the output with a digest, by the path at which its latest run left it."""
    from repropack.store.restoration import restore

    origin = next(iter(store.makers_of([(sha256, time.time_ns(), "")]).values()), None)
    if origin is None:
        raise UsageError(
            f"sha256:{sha256}: no recorded run left an output with this digest",
            advice="`repropack show ID --json` has the digests of what a run wrote",
        )
    stored = store.run(origin.run)
    segments = store.finished(stored).segments
    same = [p for segment in segments for p in segment.products if p.sha256 == sha256]
    left = _below_project(same[-1:])
    # It may be there from an earlier run, where the limits of this one did not let it be kept.
    wanted = {
        relative: replace(product, kept=product.kept or store.has(sha256))
        for relative, product in left.items()
    }
    done = restore(store, wanted.items(), directory, overwrite=overwrite)
    _show(wanted, directory, done.present)
    say(f"restored {plural(len(done.written), 'file')} of run {stored.id}")
    return 0


def _below_project(products: Iterable[Product]) -> dict[str, Product]:
    """Products by their places on this machine, below the project."""
    from repropack.export.chain import project_relative
    from repropack.placeholders import fill

    found: dict[str, Product] = {}
    for product in products:
        relative = project_relative(product.path)
        if relative is not None:
            found[fill(relative, {"host": os.uname().nodename})] = product
    return found


def _show(wanted: Mapping[str, Product], directory: Path, present: Collection[Path]) -> None:
    for relative, product in wanted.items():
        state = "  (there already)" if directory / relative in present else ""
        say(f"{show(str(directory / relative))}  {human_size(product.size)}{state}")
