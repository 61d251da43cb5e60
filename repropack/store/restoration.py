# SPDX-License-Identifier: Apache-2.0
"""Outputs of a run, put back on the disk: whole, with the recorded digest, or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from repropack import digest, durable
from repropack.errors import RepropackError, UsageError
from repropack.model import Product
from repropack.store import Store
from repropack.store.contents import copy_hashing

__all__ = ["Restored", "restore"]


class Restored(Struct, frozen=True, kw_only=True):
    """What came of it: paths that were written, and paths that had that content already."""

    written: tuple[Path, ...]
    present: tuple[Path, ...]


def restore(
    store: Store, wanted: Iterable[tuple[str, Product]], directory: Path, *, overwrite: bool
) -> Restored:
    """Writes outputs below a directory. Blocks are shared where the file system can do that.

    Args:
        store: Where their contents are.
        wanted: Paths below the directory, and what belongs there.
        directory: Made if it is not there.
        overwrite: Whether files with another content are replaced.

    Raises:
        UsageError: A file with another content is in the way; nothing was written.
        RepropackError: A content was not kept, is missing or damaged, or a file cannot be written.
    """
    todo = []
    present = []
    in_the_way = []
    for relative, product in wanted:
        if not product.kept:
            raise RepropackError(
                f"{product.path} was not kept, for it was too large or excluded; its digest is "
                f"sha256:{product.sha256}",
                advice="leave it out by naming the others",
            )
        if not store.has(product.sha256):
            raise RepropackError(
                f"{product.path} is missing from the store: there is no "
                f"{store.object_path(product.sha256)}",
                advice="bring that file back from a copy",
            )
        place = directory / relative
        if not os.path.lexists(place):
            todo.append((place, product))
        elif _holds(place, product):
            present.append(place)
        elif overwrite:
            todo.append((place, product))
        else:
            in_the_way.append(place)
    if in_the_way:
        more = f" and {len(in_the_way) - 1} more" if len(in_the_way) > 1 else ""
        raise UsageError(
            f"{in_the_way[0]}{more}: there already, with another content; nothing was written",
            advice="choose another directory, or replace them with --overwrite",
        )
    for place, product in todo:
        try:
            _write(store, place, product, overwrite=overwrite)
        except OSError as error:
            # A full disk, above all, of which the system does not say which file found it full.
            raise RepropackError(
                f"{place} could not be written: {error.strerror}",
                advice="make room, or choose another directory",
            ) from error
    return Restored(written=tuple(place for place, _ in todo), present=tuple(present))


def _holds(place: Path, product: Product) -> bool:
    try:
        return (
            not place.is_symlink()
            and place.stat().st_size == product.size
            and digest.hash_file(place)[0] == product.sha256
        )
    except OSError:
        return False


def _write(store: Store, place: Path, product: Product, *, overwrite: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    source = store.object_path(product.sha256)
    reader = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        mode = 0o777 if product.executable else 0o666
        temporary, writer = durable.create_partial(place.parent, place.name, mode)
        try:
            try:
                found, _ = copy_hashing(reader, writer)
                os.fsync(writer)
            finally:
                os.close(writer)
            if found != product.sha256:
                raise RepropackError(
                    f"{source} is damaged: its digest is sha256:{found}, recorded is "
                    f"sha256:{product.sha256}",
                    advice="bring that file back from a copy",
                )
            if overwrite:
                os.rename(temporary, place)
            else:
                # Unlike a rename, a link never replaces what somebody has put there meanwhile.
                os.link(temporary, place)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    finally:
        os.close(reader)
    durable.sync_directory(place.parent)
