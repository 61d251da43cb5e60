# SPDX-License-Identifier: Apache-2.0
"""What the usual hosts of releases accept."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["HOSTS", "Host", "host_notes"]


class Host(NamedTuple):
    """A host: bytes of one file, bytes and files of one release; None for no stated limit."""

    name: str
    file: int | None
    release: int | None
    files: int | None
    source: str


HOSTS: Final = (
    Host("GitHub releases", 2 * 2**30, None, 1000,
         "docs.github.com, About releases: each file under 2 GiB, up to 1000 assets"),
    Host("Zenodo", 50 * 10**9, 50 * 10**9, 100,
         "help.zenodo.org, What are the size limitations: 50 GB and 100 files a record"),
)  # fmt: skip


def host_notes(size: int, volume_size: int | None) -> tuple[str, ...]:
    """For each host whether a bundle fits.

    Args:
        size: Bytes of the bundle, or the most that it may have.
        volume_size: Bytes of one volume, or None for one file.
    """
    largest = min(size, volume_size) if volume_size is not None else size
    count = -(-size // volume_size) if volume_size else 1
    notes = []
    for host in HOSTS:
        if host.release is not None and size > host.release:
            notes.append(f"{host.name}: too large for one record ({host.release // 10**9} GB)")
        elif host.file is not None and largest >= host.file:
            notes.append(f"{host.name}: too large for one file; --volumes 1900M makes it fit")
        elif host.files is not None and count > host.files:
            notes.append(f"{host.name}: {count} files, more than {host.files}")
        else:
            notes.append(f"{host.name}: fits")
    return tuple(notes)
