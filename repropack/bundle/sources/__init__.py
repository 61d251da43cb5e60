# SPDX-License-Identifier: Apache-2.0
"""Where the bytes of a bundle come from: a file, volumes, an address.

The reader asks for pieces at offsets and does not know which of them it has. An implementation is
one module here and one row of `TABLE`.
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Protocol, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from repropack.address import Address
    from repropack.http import Client

__all__ = ["TABLE", "Access", "Location", "Piece", "Source", "open_source"]

Location: TypeAlias = "Path | Address"
"""What a user can name: a path, or an address that she typed."""

Piece: TypeAlias = tuple[int, int]
"""An offset, and a number of bytes from there."""


class Source(Protocol):
    """Bytes that can be read at any offset, from any thread.

    Implementations inherit from this class; `ahead` and `place` need not be written again.

    Attributes:
        size: Bytes, as they were when the source was opened.
    """

    size: int

    def read_into(self, view: memoryview, offset: int) -> None:
        """Fills a buffer with the bytes from an offset on; all of them lie before `size`.

        Raises:
            DefectError: `TRUNCATED`: it has become shorter.
            RepropackError: It cannot be read.
        """

    def close(self) -> None:
        """Gives back what is open; closing twice does nothing."""

    def ahead(self, pieces: Sequence[Piece]) -> AbstractContextManager[None]:
        """Says which pieces will be read soon: each once, in about this order.

        A source that answers slowly uses this to ask early, and for many pieces at once.
        """
        del pieces
        return contextlib.nullcontext()

    def place(self, offset: int) -> str:
        """Where an offset lies, if the size and the offset alone do not say it: a volume's name."""
        del offset
        return ""


class Access(Struct, frozen=True, kw_only=True):
    """How far-away bytes are reached, and where copies of them go.

    Attributes:
        variables: The reader's environment variables, for her proxy settings.
        client: What makes requests, which is closed with the source; None for a new one.
        tell: Told in one line what takes long.
        advance: Told how many bytes of how many were downloaded.
        copies: A private directory for copies of bytes from far away; None for a temporary file of
            the system's.
        keep: Whether what was read from far away is kept, so that it is read once and what is used
            later is what was checked.
    """

    variables: Mapping[str, str] = {}
    client: Client | None = None
    tell: Callable[[str], None] = lambda _: None
    advance: Callable[[int, int], None] = lambda _, __: None
    copies: Path | None = None
    keep: bool = False

    def temporary(self) -> IO[bytes]:
        """A new file without a name, that nobody else can open.

        Raises:
            OSError: It cannot be made.
        """
        return tempfile.TemporaryFile(dir=self.copies)


TABLE: Final = {
    "address": "repropack.bundle.sources.address",
    "volumes": "repropack.bundle.sources.volumes",
    "file": "repropack.bundle.sources.file",
}
"""Kinds and modules, in the order in which they are tried. A module has `open_source`, with the
arguments of the function below, which returns None where the location is not of its kind."""


def open_source(location: Location, access: Access) -> Source:
    """Opens what a user named.

    Raises:
        UsageError: There is no such thing, or it is nothing that can be read like this.
        DefectError: Volumes are missing, or have sizes that cannot be.
        RepropackError: It cannot be reached or read.
    """
    for module in TABLE.values():
        if isinstance(location, Path) and module == TABLE["address"]:
            continue  # a local file does not pay for the network's modules
        source: Source | None = importlib.import_module(module).open_source(location, access)
        if source is not None:
            return source
    raise AssertionError(f"no kind of source takes {location}")
