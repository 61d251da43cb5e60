# SPDX-License-Identifier: Apache-2.0
"""Whether what lies in a rebuilt environment is what its wheels say, and what runs at its start.

An installer checks the digest of a wheel when it fetches it, not when it copies the unpacked files
out of its cache. So every installed file is compared with the RECORD of its distribution
("Recording installed projects"), and a file that none vouches for is found too: installers copy it
all the same. Read as files: nothing of the environment is started. The wheels may be a stranger's,
so that a RECORD can name anything; only what lies in the environment is opened.
"""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from msgspec import Struct
from packaging.utils import canonicalize_name

from repropack.digest import hash_file
from repropack.environment.lock import LockedPackage, python_series
from repropack.model import Python

__all__ = ["Installation", "check_installation", "entries_of", "site_packages"]

_MAX_RECORD: Final = 64 * 1024 * 1024
"""Bytes of a RECORD: one of 100,000 files has about 12 MiB."""

_STARTUP: Final = re.compile(r"(?:site|user)customize(?:\.[^/]+|/__init__\.[^/]+)?|[^/]+\.pth")
"""What Python imports or reads in site-packages at every start, if it is there."""

_WITHOUT_DIGEST: Final = re.compile(r"[^/]+\.dist-info/RECORD(?:\.jws|\.p7s)?|.+\.pyc")
"""What a RECORD lists without a digest: itself, its signatures and bytecode."""


class Installation(Struct, frozen=True, kw_only=True):
    """What was found in an environment.

    Attributes:
        altered: Files that are not what their RECORD says, that are missing, or for which no RECORD
            vouches, each with its package (none where no package lists it) and what is wrong.
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


def entries_of(environment: Path) -> dict[str, str]:
    """Every file and link below a directory, with what it is: a digest, or where a link leads.

    Raises:
        OSError: It cannot be read.
    """
    return {path: _content(environment / path) for path in _walk(environment)}


def check_installation(
    environment: Path,
    site: Path,
    entries: Sequence[LockedPackage],
    own: Mapping[str, str],
) -> Installation:
    """Compares every installed file with the RECORD of its package.

    Args:
        environment: The environment.
        site: Its `site_packages`, or itself where packages alone were installed.
        entries: The packages that were installed.
        own: `entries_of` the environment before a package was installed.

    Raises:
        OSError: The environment cannot be read.
    """
    below = "" if site == environment else f"{site.relative_to(environment)}/"
    folders = {
        (canonicalize_name(name), version): name_of
        for name_of in sorted(os.listdir(site))
        if name_of.endswith(".dist-info")
        for name, _, version in [name_of.removesuffix(".dist-info").partition("-")]
    }
    altered: list[tuple[str, str]] = []
    owners: dict[str, dict[str, str]] = {}
    for entry in entries:
        folder = folders.get((canonicalize_name(entry.name), entry.version)) or next(
            (found for (name, _), found in folders.items() if name == entry.name), None
        )
        lines = _lines(site / folder / "RECORD") if folder else None
        if folder is None or lines is None:
            altered.append((entry.name, f"{folder or entry.name}: no RECORD"))
            continue
        for path, expected in lines:
            place = os.path.normpath(below + path)
            if place.startswith("lib64/") and own.get("lib64") == "link lib":
                place = f"lib/{place.removeprefix('lib64/')}"
            if path.startswith("/") or place.startswith("../"):
                altered.append((entry.name, f"{path}: outside the environment"))
            else:
                owners.setdefault(place, {})[entry.name] = expected
                if not expected and not _WITHOUT_DIGEST.fullmatch(place.removeprefix(below)):
                    # uv lists what it finds in a wheel beside what the wheel lists.
                    altered.append((entry.name, f"{path}: its RECORD has no digest of it"))
    present = sorted(_walk(environment))
    altered += _strays(environment, present, owners, own)
    compared = [(place, one) for place, one in owners.items() if any(one.values())]

    def differs(job: tuple[str, dict[str, str]]) -> bool:
        # Two packages may bring the same file, and the one that came last has its own.
        return _digest(environment / job[0]) not in job[1].values()

    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        answers = list(pool.map(differs, compared))
    altered += [
        (next(iter(of)), place.removeprefix(below))
        for (place, of), bad in zip(compared, answers, strict=True)
        if bad
    ]
    startup = [
        (next(iter(owners.get(place, {"": ""}))), place.removeprefix(below))
        for place in present
        if place.startswith(below) and _STARTUP.fullmatch(place.removeprefix(below))
    ]
    return Installation(altered=tuple(altered), startup=tuple(startup), files=len(compared))


def _strays(
    environment: Path,
    present: Sequence[str],
    owners: Mapping[str, Mapping[str, str]],
    own: Mapping[str, str],
) -> Iterator[tuple[str, str]]:
    """What lies in an environment and belongs to no package, or replaces what it had itself."""
    for place in present:
        if place in own:
            # A wheel may put files anywhere in the environment, over its settings too.
            if _content(environment / place) != own[place]:
                owner = next(iter(owners.get(place, {"": ""})))
                yield owner, f"{place}: a package replaced this file of the environment"
        elif place not in owners:
            yield "", f"{place}: no RECORD lists it"


def _lines(record: Path) -> list[tuple[str, str]] | None:
    """The paths of a RECORD and their digests; None where it is no such file."""
    try:
        if not record.is_file() or record.stat().st_size > _MAX_RECORD:
            return None
        text = record.read_text(encoding="utf-8", errors="surrogateescape")
        rows = list(csv.reader(io.StringIO(text, newline="")))
    except (OSError, csv.Error):
        return None
    if "\0" in text:
        return None
    found = []
    for row in rows:
        if row and row[0]:
            kind, _, digest = row[1].partition("=") if len(row) > 1 else ("", "", "")
            found.append((row[0], digest if kind == "sha256" else ""))
    return found


def _walk(environment: Path) -> Iterator[str]:
    """Paths of all that is no directory; links are not followed."""
    for directory, folders, files in os.walk(environment):
        top = os.path.relpath(directory, environment)
        prefix = "" if top == "." else f"{top}/"
        yield from (prefix + name for name in files)
        yield from (prefix + name for name in folders if os.path.islink(f"{directory}/{name}"))


def _content(path: Path) -> str:
    """The digest of a file, or where a link leads; nothing for what is neither."""
    if path.is_symlink():
        return f"link {os.readlink(path)}"
    return f"sha256 {hash_file(path)[0]}" if stat.S_ISREG(path.stat().st_mode) else ""


def _digest(path: Path) -> str:
    """The digest of a file as a RECORD has it; nothing for what is missing or no regular file."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
        digest, _ = hash_file(path)
    except OSError:
        return ""
    return base64.urlsafe_b64encode(bytes.fromhex(digest)).rstrip(b"=").decode()
