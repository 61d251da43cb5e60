# SPDX-License-Identifier: Apache-2.0
"""Data sets: which files, with which digests."""

from __future__ import annotations

from repropack.model.fields import Count, Record, Sha256, Size, SparseRecord

__all__ = ["DataFile", "DataManifest"]


class DataFile(Record, frozen=True, kw_only=True):
    """A file of a data set, by its path below the data set's root."""

    path: str
    size: Size
    sha256: Sha256


class DataManifest(SparseRecord, frozen=True, kw_only=True):
    """`data/<name>.json`: the files a run read from outside its code.

    Attributes:
        name: The name in `{data:NAME}`.
        recorded_path: The author's path, only where it holds none of her terms.
        position: Where it stood as seen from the project's root, such as `../data`, for code that
            names it so.
        address: An https address of the files, where the author declared one.
        licence: Free text or an SPDX expression, where declared.
        included: The member directory that holds the files, where they are in the bundle.
    """

    version: Count
    name: str
    files: tuple[DataFile, ...]
    recorded_path: str | None = None
    position: str | None = None
    address: str | None = None
    licence: str | None = None
    included: str | None = None
