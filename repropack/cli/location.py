# SPDX-License-Identifier: Apache-2.0
"""What a user may name as a bundle: a file, volumes, a directory, an address."""

from __future__ import annotations

import os
from pathlib import Path

from repropack.address import parse_address
from repropack.bundle import Access, Location, UnverifiedBundle, open_bundle
from repropack.cli.progress import ProgressLine
from repropack.errors import UsageError

__all__ = ["existing_bundle", "open_named"]


def existing_bundle(text: str) -> Location:
    """The bundle that an argument names.

    Raises:
        UsageError: There is nothing like that, or it is an address of a kind that is not read.
    """
    if "://" in text:
        return parse_address(text)
    path = Path(text).expanduser()
    # The bundle itself may exist in volumes only.
    if not path.exists() and not path.with_name(f"{path.name}.001").exists():
        raise UsageError(
            f"{text}: no such file",
            advice="give an .rpk file, its first volume, a directory it was extracted to, "
            "or an https address",
        )
    return path


def open_named(location: Location, *, quiet: bool) -> UnverifiedBundle:
    """Opens a bundle, and says on standard error what takes long.

    Raises:
        RepropackError: As `repropack.bundle.open_bundle`.
    """
    with ProgressLine(quiet=quiet) as line:
        return open_bundle(
            location,
            Access(variables=dict(os.environ), tell=line.tell, advance=line.advance),
        )
