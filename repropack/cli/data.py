# SPDX-License-Identifier: Apache-2.0
"""`repropack data`: which files of a data set were added, removed or changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from msgspec import structs

from repropack import canonical, digest
from repropack.cli.location import (
    begins_as_bundle,
    existing_bundle,
    is_called_bundle,
    open_named,
)
from repropack.cli.places import trust_policy
from repropack.cli.screen import bold, dim, plural, say
from repropack.data_listing import (
    DataDifference,
    DataListing,
    align,
    by_directory,
    by_suffix,
    compare,
    listing_of,
    read_listing,
)
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.model import DataManifest
from repropack.model.fields import Record
from repropack.placeholders import PROJECT_DATA, split_data
from repropack.store import Store, StoredRun
from repropack.verify.integrity import read_signed
from repropack.verify.release import MAX_RECORD

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
        unread: Files of the published list that are on the disk, but that the run did not read.
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
    left, right = _sets(one), _sets(other)
    before, after = _chosen(left, right, name, one), _chosen(right, left, name, other)
    if before.algorithm != after.algorithm:
        raise UsageError(
            f"{one} has {before.algorithm} digests and {other} {after.algorithm}",
            advice="`repropack data check NAME --against LIST` reads the files themselves",
        )
    there = align(before.files, after.files)
    moved = {there(path) or path: content for path, content in before.files.items()}
    return _report(compare(moved, after.files), (), show_all=show_all, as_json=as_json)


@command.command("check")
@click.argument("name", metavar="NAME")
@click.option(
    "--against",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The published list: of sha256sum or md5sum, or a data manifest.",
)
@click.option("--run", "run", metavar="ID", default="last", show_default=True, help="Which run.")
@click.option("--all", "show_all", is_flag=True, help="List every file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def check(name: str, against: Path, run: str, show_all: bool, as_json: bool) -> int:
    """Compare a data set that a run read with a published list.

    Files of the list that are on the disk but that the run did not read are counted apart. With
    other digests than SHA-256 the files themselves are read: as far as they are still what the run
    read. Exit status as for `data diff`.
    """
    published = read_listing(against)
    store = Store.find(Path.cwd())
    stored = store.resolve(run)
    sets = _sets_of_run(store, stored)
    if name not in sets:
        raise UsageError(
            f"run {stored.id} read no data set {name!r}", advice=f"it read {_names(sets)}"
        )
    listing = sets[name]
    roots = {PROJECT_DATA: str(store.project), **store.private(stored).data_roots}
    root = roots.get(name, "")
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
    difference = structs.replace(difference, removed=removed)
    return _report(difference, unread, show_all=show_all, as_json=as_json)


# ---------------------------------------------------------------- what is compared


def _sets(text: str) -> dict[str, DataListing]:
    """The data sets of whatever an argument names, by name."""
    path = Path(text).expanduser()
    if path.is_file() and not (is_called_bundle(path) or begins_as_bundle(path)):
        listing = read_listing(path)
        return {listing.name: listing}
    # `os.path.exists` says no to what no file system takes as a name.
    if "://" in text or os.path.exists(path) or os.path.exists(f"{path}.001"):
        return _sets_of_bundle(text)
    store = Store.find(Path.cwd())
    return _sets_of_run(store, store.resolve(text))


def _sets_of_run(store: Store, stored: StoredRun) -> dict[str, DataListing]:
    """What a run read, but in the project what earlier runs had made."""
    found: dict[str, dict[str, bytes]] = {}
    for segment in store.finished(stored).segments:
        for material in segment.materials:
            split = split_data(material.path)
            if split is not None and (material.origin is None or split[0] != PROJECT_DATA):
                content = bytes.fromhex(material.sha256) if material.sha256 else b""
                found.setdefault(split[0], {})[split[1]] = content
    return {name: DataListing(name=name, files=files) for name, files in found.items()}


def _sets_of_bundle(text: str) -> dict[str, DataListing]:
    with open_named(existing_bundle(text), quiet=True) as opened:
        listed = read_signed(opened, trust_policy(())).listed
        found = {}
        for member in listed.manifest.members:
            if member.path.startswith("data/") and member.path.count("/") == 1:
                data = listed.read(member.path, limit=MAX_RECORD)
                try:
                    manifest = canonical.decode(data, DataManifest)
                except canonical.NotCanonicalError as error:
                    raise UsageError(f"{text}: {member.path}: {error}") from error
                found[manifest.name] = listing_of(manifest)
        return found


def _chosen(
    sets: dict[str, DataListing], others: dict[str, DataListing], name: str | None, text: str
) -> DataListing:
    """The one data set to compare, or all of them under their names."""
    if name is not None:
        if name in sets:
            return sets[name]
        if len(sets) == 1 and "" in sets:
            return sets[""]
        raise UsageError(f"{text} has no data set {name!r}", advice=f"it has {_names(sets)}")
    if len(sets) == 1 and (len(others) == 1 or set(sets) == {""}):
        return next(iter(sets.values()))
    if len(others) == 1 and sets:
        (only,) = others
        if only in sets:
            return sets[only]
        if only == "":
            raise UsageError(
                f"{text} has several data sets: {_names(sets)}", advice="name one with --data NAME"
            )
    return DataListing(
        files={
            f"{set_name}/{path}": content
            for set_name, listing in sets.items()
            for path, content in listing.files.items()
        }
    )


def _names(sets: dict[str, DataListing]) -> str:
    return ", ".join(sorted(filter(None, sets))) or "none with a name"


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

    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        found = dict(zip(paths, pool.map(one, paths), strict=True))
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
