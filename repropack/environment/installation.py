# SPDX-License-Identifier: Apache-2.0
"""Whether what lies in a rebuilt environment is what its wheels say, and what runs at its start.

An installer checks the digest of a wheel when it fetches it, not when it copies the unpacked files
out of its cache. So every installed file is compared with the RECORD of its distribution
("Recording installed projects"). Read as files: nothing of the environment is started.
"""

from __future__ import annotations

import base64
import csv
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from msgspec import Struct
from packaging.utils import canonicalize_name

from repropack.digest import hash_file
from repropack.environment.lock import LockedPackage, python_series
from repropack.model import Python

__all__ = ["Installation", "check_installation", "site_packages"]

_MAX_RECORD: Final = 64 * 1024 * 1024
"""Bytes of a RECORD: one of 100,000 files has about 12 MiB."""

_STARTUP_MODULES: Final = frozenset({"sitecustomize.py", "usercustomize.py"})
"""Modules that Python imports at every start, if they are there."""


class Installation(Struct, frozen=True, kw_only=True):
    """What was found in an environment.

    Attributes:
        altered: Files that are not what their RECORD says, or that are missing, with their package.
        startup: Files of packages that are executed whenever Python starts there.
        files: How many files were compared.
    """

    altered: tuple[tuple[str, str], ...]
    startup: tuple[tuple[str, str], ...]
    files: int


def site_packages(environment: Path, python: Python) -> Path:
    """Where a virtual environment of our own making has its packages.

    Not by a pattern: a package may have made directories of such names.
    """
    kind = "pypy" if python.implementation.lower() == "pypy" else "python"
    return environment / "lib" / f"{kind}{python_series(python)}" / "site-packages"


def check_installation(
    environment: Path, python: Python, entries: Sequence[LockedPackage]
) -> Installation:
    """Compares every installed file with the RECORD of its package.

    Raises:
        OSError: The environment cannot be read.
    """
    site = site_packages(environment, python)
    folders = {
        (canonicalize_name(name), version): name_of
        for name_of in sorted(os.listdir(site))
        if name_of.endswith(".dist-info")
        for name, _, version in [name_of.removesuffix(".dist-info").partition("-")]
    }
    altered: list[tuple[str, str]] = []
    startup: list[tuple[str, str]] = []
    jobs: list[tuple[str, str, str]] = []
    for entry in entries:
        folder = folders.get((canonicalize_name(entry.name), entry.version)) or next(
            (found for (name, _), found in folders.items() if name == entry.name), None
        )
        record = site / folder / "RECORD" if folder else None
        if record is None or not record.is_file() or record.stat().st_size > _MAX_RECORD:
            altered.append((entry.name, f"{folder or entry.name}: no RECORD"))
            continue
        for path, expected in _lines(record):
            if "/" not in path and (path.endswith(".pth") or path in _STARTUP_MODULES):
                startup.append((entry.name, path))
            if expected:
                jobs.append((entry.name, path, expected))

    def differs(job: tuple[str, str, str]) -> bool:
        _, path, expected = job
        try:
            digest, _ = hash_file(os.path.normpath(site / path))
        except OSError:
            return True
        return base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode() != expected

    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        answers = list(pool.map(differs, jobs))
    altered += [(job[0], job[1]) for job, bad in zip(jobs, answers, strict=True) if bad]
    return Installation(altered=tuple(altered), startup=tuple(startup), files=len(jobs))


def _lines(record: Path) -> Iterator[tuple[str, str]]:
    """The paths of a RECORD and their digests; none for what has none, as the RECORD itself."""
    with record.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for row in csv.reader(file):
            if row and row[0]:
                kind, _, digest = row[1].partition("=") if len(row) > 1 else ("", "", "")
                yield row[0], digest if kind == "sha256" else ""
