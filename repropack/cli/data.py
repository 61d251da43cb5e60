# SPDX-License-Identifier: Apache-2.0
"""`repropack data`: which files of a data set were added, removed or changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click
from msgspec import structs

from repropack import canonical, digest
from repropack.capture.present_data import present_data
from repropack.cli.screen import bold, dim, plural, say
from repropack.data_listing import (
    DataDifference,
    DataListing,
    align,
    by_directory,
    by_suffix,
    compare,
    data_names,
    listings_of_run,
    read_listing,
)
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.model.fields import Record
from repropack.parallel import each
from repropack.placeholders import PROJECT_DATA
from repropack.store import Store

__all__ = ["Document", "command"]

SHOWN = 20
"""Names of each kind before the rest is counted."""

GROUPS = 8
"""Suffixes and directories that are named with their counts."""


class Document(Record, frozen=True, kw_only=True):
    r"""What `--json` prints. Bytes of a path that are not UTF-8 are escaped as `\xff`.

    Attributes:
        same: How many files have the same digest.
        unknown: Files of which a digest is not known.
        unread: Files that are on the disk (with a published list: those of the list), but that the
            run did not read.
    """

    same: int
    removed: tuple[str, ...]
    added: tuple[str, ...]
    changed: tuple[str, ...]
    unknown: tuple[str, ...]
    unread: tuple[str, ...]


@click.group("data")
def command() -> None:
    """Compare the data that runs read: with each other, and with published lists."""


@command.command("diff")
@click.argument("one", metavar="A")
@click.argument("other", metavar="B")
@click.option("--data", "name", metavar="NAME", help="Compare this data set alone.")
@click.option("--all", "show_all", is_flag=True, help="List every file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def diff(one: str, other: str, name: str | None, show_all: bool, as_json: bool) -> int:
    """Show which files of the data were added, removed or changed from A to B.

    A and B are runs (ID, name, `last`), bundles, data manifests, or lists that sha256sum or md5sum
    made. Of a run it is what the run read. The exit status is 0 if nothing differs, 1 if something
    does, and 3 if nothing is seen to differ but some contents are not known.
    """
    # Bundles take modules that nobody needs who asks about the disk.
    from repropack.cli.named_data import chosen_data, named_data

    left, right = named_data(one), named_data(other)
    before, after = chosen_data(left, right, name, one), chosen_data(right, left, name, other)
    if before.algorithm != after.algorithm:
        raise UsageError(
            f"{one} has {before.algorithm} digests and {other} {after.algorithm}",
            advice="`repropack data check NAME --against LIST` reads the files themselves",
        )
    there = align(before.files, after.files)
    moved = {there(path) or path: content for path, content in before.files.items()}
    return _report(compare(moved, after.files), (), show_all=show_all, as_json=as_json)


@command.command("check")
@click.argument("name", metavar="[NAME]", required=False)
@click.option(
    "--against",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A published list: of sha256sum or md5sum, or a data manifest.",
)
@click.option("--run", "run", metavar="ID", default="last", show_default=True, help="Which run.")
@click.option("--all", "show_all", is_flag=True, help="List every file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def check(name: str | None, against: Path | None, run: str, show_all: bool, as_json: bool) -> int:
    """Compare a data set that a run read with what is on the disk, or with a published list.

    On the disk, a file that the run did not read counts as added if it was put there or touched
    since the run began; others are counted apart. So are files of a list that are on the disk but
    that the run did not read. With a list of other digests than SHA-256 the files themselves are
    read: as far as they are still what the run read. A run that read one data set needs no NAME.
    Exit status as for `data diff`.
    """
    published = read_listing(against) if against is not None else None
    store = Store.find(Path.cwd())
    stored = store.resolve(run)
    sets = listings_of_run(store.finished(stored))
    if not sets:
        raise UsageError(
            f"run {stored.id} read no data", advice="name another run with --run; see `list`"
        )
    if name is None and len(sets) > 1:
        raise UsageError(
            f"run {stored.id} read several data sets", advice=f"name one: {data_names(sets)}"
        )
    name = name if name is not None else next(iter(sets))
    if name not in sets:
        raise UsageError(
            f"run {stored.id} read no data set {name!r}", advice=f"it read {data_names(sets)}"
        )
    listing = sets[name]
    private = store.private(stored)
    roots = {PROJECT_DATA: str(store.project), **private.data_roots}
    root = roots.get(name, "")
    if published is not None:
        difference, unread = _against_list(listing, published, root)
    else:
        difference, unread = _against_disk(listing, root, store, stored.id, private.started_ns)
    return _report(difference, unread, show_all=show_all, as_json=as_json)


# ---------------------------------------------------------------- what is compared


def _against_disk(
    listing: DataListing, root: str, store: Store, run: str, began_ns: int
) -> tuple[DataDifference, tuple[str, ...]]:
    """What differs on the disk from what a run read, and what it did not read.

    In the project, whatever git ignores would be new.

    Raises:
        UsageError: The data set is not where the run read it.
    """
    if not os.path.isdir(root):
        raise UsageError(
            f"{root or listing.name}: data set {listing.name!r} of run {run} is not there",
            advice="put it back, or compare the run with a list: --against FILE",
        )
    since = None if listing.name == PROJECT_DATA else began_ns
    present = present_data(root, listing.files, store, since_ns=since)
    difference = compare(listing.files, present.files)
    return structs.replace(difference, added=present.new), present.others


def _against_list(
    listing: DataListing, published: DataListing, root: str
) -> tuple[DataDifference, tuple[str, ...]]:
    """What a run read differently from a published list, and what of the list it did not read."""
    there = align(listing.files, published.files)
    if published.algorithm != listing.algorithm:
        wanted = [p for p in listing.files if there(p) in published.files]
        listing = _hashed_again(listing, wanted, root, published.algorithm)
    found = {there(path) or path: content for path, content in listing.files.items()}
    difference = compare(published.files, found)
    unread = tuple(
        path
        for path in difference.removed
        if path.startswith(there.put)
        and root
        and os.path.lexists(os.path.join(root, there.cut + path[len(there.put) :]))
    )
    gone = set(unread)
    removed = tuple(path for path in difference.removed if path not in gone)
    return structs.replace(difference, removed=removed), unread


def _hashed_again(
    listing: DataListing, paths: Sequence[str], root: str, algorithm: str
) -> DataListing:
    """The list with digests of another algorithm, of files that are still what was recorded."""

    def one(path: str) -> bytes:
        try:
            sha256, other = digest.hash_file_twice(os.path.join(root, path), algorithm)
        except OSError:
            # It is gone or unreadable: what the run read is not known by this digest.
            return b""
        return bytes.fromhex(other) if bytes.fromhex(sha256) == listing.files[path] else b""

    found = dict(zip(paths, each(one, paths, workers=len(os.sched_getaffinity(0))), strict=True))
    return DataListing(
        name=listing.name,
        algorithm=algorithm,
        files={path: found.get(path, b"") for path in listing.files},
    )


# ---------------------------------------------------------------- what is said


def _report(
    difference: DataDifference, unread: tuple[str, ...], *, show_all: bool, as_json: bool
) -> int:
    differs = bool(difference.added or difference.removed or difference.changed)
    status = 1 if differs else 3 if difference.unknown else 0
    kinds = {
        "removed": difference.removed,
        "added": difference.added,
        "changed": difference.changed,
        "unknown": difference.unknown,
    }
    if as_json:
        plain = {kind: tuple(map(_text, paths)) for kind, paths in kinds.items()}
        document = Document(same=difference.same, **plain, unread=tuple(map(_text, unread)))
        say(canonical.encode(document).decode())
        return status
    said = [f"{len(paths):,} {kind}" for kind, paths in kinds.items() if paths]
    summary = ", ".join([*said, f"{difference.same:,} the same"])
    say(bold(summary) + (f"; {len(unread):,} on the disk that the run did not read" * bool(unread)))
    for kind, paths in kinds.items():
        if paths:
            _show_paths(kind, paths, show_all=show_all)
    if differs:
        say(f"the data differs: {', '.join(said)}")
    elif difference.unknown:
        say(f"no difference is seen, but {plural(len(difference.unknown), 'file')} not known")
    else:
        say(f"the data is the same: {plural(difference.same, 'file')}")
    return status


def _show_paths(kind: str, paths: tuple[str, ...], *, show_all: bool) -> None:
    """One kind of difference: counts by suffix and directory, then names."""
    say(f"{bold(kind)}  {plural(len(paths), 'file')}")
    for label, groups in (("by suffix", by_suffix(paths)), ("by directory", by_directory(paths))):
        named = ", ".join(f"{show(name)} {count:,}" for name, count in groups[:GROUPS])
        more = f", {len(groups) - GROUPS} more" if len(groups) > GROUPS else ""
        say(f"  {dim(label)}  {named}{more}")
    ordered = sorted(paths, key=lambda path: (os.path.dirname(path), path))
    for path in ordered if show_all else ordered[:SHOWN]:
        say(f"    {show(path, limit=1024)}")
    if len(ordered) > SHOWN and not show_all:
        say(f"    … and {len(ordered) - SHOWN:,} more (--all)")


def _text(path: str) -> str:
    """A path that JSON can hold: bytes that are not UTF-8 become an escape such as xff."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
