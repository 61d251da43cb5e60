# SPDX-License-Identifier: Apache-2.0
"""The data sets of whatever an argument names: a run, a bundle, a data manifest or a list."""

from __future__ import annotations

import os
from pathlib import Path

from repropack import canonical
from repropack.cli.location import (
    begins_as_bundle,
    existing_bundle,
    is_called_bundle,
    open_named,
)
from repropack.cli.places import trust_policy
from repropack.data_listing import (
    DataListing,
    data_names,
    listing_of,
    listings_of_run,
    read_listing,
)
from repropack.errors import UsageError
from repropack.model import DataManifest
from repropack.store import Store
from repropack.verify.integrity import read_signed
from repropack.verify.release import MAX_RECORD

__all__ = ["chosen_data", "named_data"]


def named_data(text: str) -> dict[str, DataListing]:
    """The data sets of whatever an argument names, by name.

    Raises:
        UsageError: It names nothing that there is, or what it names cannot be read.
    """
    path = Path(text).expanduser()
    if path.is_file() and not (is_called_bundle(path) or begins_as_bundle(path)):
        listing = read_listing(path)
        return {listing.name: listing}
    # `os.path.exists` says no to what no file system takes as a name.
    if "://" in text or os.path.exists(path) or os.path.exists(f"{path}.001"):
        return _sets_of_bundle(text)
    store = Store.find(Path.cwd())
    return listings_of_run(store.finished(store.resolve(text)))


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


def chosen_data(
    sets: dict[str, DataListing], others: dict[str, DataListing], name: str | None, text: str
) -> DataListing:
    """The one data set to compare, or all of them under their names.

    Args:
        sets: Those of one side.
        others: Those of the other side.
        name: The one that was asked for.
        text: How this side was named.

    Raises:
        UsageError: There is no such data set, or it is not clear which one is meant.
    """
    if name is not None:
        if name in sets:
            return sets[name]
        if len(sets) == 1 and "" in sets:
            return sets[""]
        raise UsageError(f"{text} has no data set {name!r}", advice=f"it has {data_names(sets)}")
    if len(sets) == 1 and (len(others) == 1 or set(sets) == {""}):
        return next(iter(sets.values()))
    if len(others) == 1 and sets:
        (only,) = others
        if only in sets:
            return sets[only]
        if only == "":
            raise UsageError(
                f"{text} has several data sets: {data_names(sets)}",
                advice="name one with --data NAME",
            )
    return DataListing(
        files={
            f"{set_name}/{path}": content
            for set_name, listing in sets.items()
            for path, content in listing.files.items()
        }
    )
