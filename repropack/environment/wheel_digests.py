# SPDX-License-Identifier: Apache-2.0
"""Digests of the wheels that were installed, from the user's own package index."""

from __future__ import annotations

import logging
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion

from repropack import process
from repropack.digest import hash_file
from repropack.environment.index import uv_arguments
from repropack.environment.lock import LockedPackage, python_series
from repropack.environment.uv import RESOLVE_SECONDS, Uv, last_line, mentioned
from repropack.model import Distribution, Python, Wheel

__all__ = ["find_wheels"]

_log: Final = logging.getLogger(__name__)

_NOT_FOUND: Final = 1
"""uv's status where the index was reached and does not have what was asked for."""


def find_wheels(
    uv: Uv, distributions: Iterable[Distribution], python: Python
) -> tuple[tuple[LockedPackage, ...], tuple[str, ...]]:
    """Finds the wheels that installed distributions came from, with their digests.

    Installers keep no digest of what they install from an index. The index still has it: the
    wheel of this version whose tags are those in the installed WHEEL file. The other wheels of
    the version for the same Python are locked too, so that a reader with another platform can
    rebuild the environment; the report then says that the machine differs.

    Returns:
        The locked packages, and the names of those for which no digest was found. Nothing makes
        this fail as a whole: an export without a complete lock file is still an export.
    """
    locked: dict[str, LockedPackage] = {}
    pinned: dict[str, Distribution] = {}
    names = []
    for distribution in distributions:
        if distribution.origin == "conda":
            # Its archive is locked by its own digest; the index has another build of that version.
            continue
        names.append(distribution.name)
        if distribution.archive is not None:
            package = _package(distribution, [distribution.archive])
            if package is not None:
                locked[distribution.name] = package
        elif distribution.origin == "index" and _can_be_pinned(distribution):
            # Another origin is another package that happens to have this name and version.
            pinned[distribution.name] = distribution
    offered = _ask_index(uv, pinned, python) if pinned else {}
    for name, wheels in offered.items():
        package = _package(pinned[name], _in_order(wheels, pinned[name], python))
        if package is not None:
            locked[name] = package
    unlocked = sorted(set(names) - locked.keys())
    return tuple(locked[name] for name in sorted(locked)), tuple(unlocked)


def _package(distribution: Distribution, wheels: Sequence[Wheel]) -> LockedPackage | None:
    try:
        return LockedPackage(
            name=distribution.name, version=distribution.version, wheels=tuple(wheels)
        )
    except ValueError:
        return None


def _can_be_pinned(distribution: Distribution) -> bool:
    # The form that LockedPackage asks for, with a wheel that any package could have.
    stem = distribution.name.replace("-", "_")
    wheel = Wheel(filename=f"{stem}-{distribution.version}-py3-none-any.whl", sha256="0" * 64)
    return _package(distribution, [wheel]) is not None


def _ask_index(
    uv: Uv, pinned: Mapping[str, Distribution], python: Python
) -> dict[str, list[Wheel]]:
    """Asks for all packages at once; where some are not there, without those."""
    offered: dict[str, list[Wheel]] = {}
    pending = [sorted(pinned)]
    while pending:
        group = pending.pop()
        done = _compile(uv, [f"{name}=={pinned[name].version}" for name in group], python)
        if done.status == 0:
            offered.update(_wheels_by_name(done.stdout))
        elif done.status != _NOT_FOUND:
            # Not reached: asking again for each package would take the same minutes each time.
            _log.warning("the package index gave no answer: %s", last_line(uv, done.stderr))
            return offered
        elif len(group) > 1:
            named = mentioned(group, done.stderr) or group
            named = named if len(named) < len(group) else group[: len(group) // 2]
            pending += [named, [name for name in group if name not in named]]
    return offered


def _compile(uv: Uv, requirements: Sequence[str], python: Python) -> process.Completed:
    exact = re.match(r"\d+\.\d+\.\d+", python.version)
    return process.run(
        [
            *(uv.program, "pip", "compile", "-", "--format", "pylock.toml", "--no-header"),
            *("--no-deps", "--only-binary", ":all:", "--universal"),
            *("--python", sys.executable),
            *("--python-version", exact[0] if exact else python_series(python)),
            *uv_arguments(uv.settings),
        ],
        environment=uv.environment,
        directory=Path("/"),
        stdin="\n".join(requirements).encode(),
        timeout=RESOLVE_SECONDS,
        accept=range(256),
    )


def _wheels_by_name(lock: bytes) -> dict[str, list[Wheel]]:
    """The wheels in what uv printed: the user's own index wrote it, our program checked it."""
    document: dict[str, Any] = tomllib.loads(lock.decode("utf-8"))
    return {
        package["name"]: [
            wheel for entry in package.get("wheels", ()) if (wheel := _wheel(entry)) is not None
        ]
        for package in document.get("packages", ())
    }


def _wheel(entry: Mapping[str, Any]) -> Wheel | None:
    address = urlsplit(entry.get("url") or entry.get("path") or "")
    filename = entry.get("name") or PurePosixPath(unquote(address.path)).name
    digest = (entry.get("hashes") or {}).get("sha256")
    if digest is None and address.scheme in ("", "file"):
        try:
            digest, _ = hash_file(unquote(address.path))
        except OSError:
            return None
    return Wheel(filename=filename, sha256=digest) if digest else None


def _in_order(wheels: Iterable[Wheel], distribution: Distribution, python: Python) -> list[Wheel]:
    """The wheels for this Python; the one that was installed comes first."""
    recorded = {tag for text in distribution.tags for tag in _tags(text)}
    fitting = []
    for wheel in wheels:
        try:
            tags = parse_wheel_filename(wheel.filename)[3]
        except (InvalidWheelFilename, InvalidVersion):
            continue
        if tags == recorded or any(_fits(tag, python, recorded) for tag in tags):
            fitting.append((tags != recorded, wheel.filename, wheel))
    return [wheel for _, _, wheel in sorted(fitting, key=lambda item: item[:2])]


def _tags(text: str) -> list[Tag]:
    parts = text.strip().split("-")
    return [Tag(*parts)] if len(parts) == 3 else []


def _fits(tag: Tag, python: Python, recorded: Iterable[Tag]) -> bool:
    """Whether the recorded interpreter loads such a wheel, on whatever platform."""
    major, minor = python_series(python).split(".")
    short = {"cpython": "cp", "pypy": "pp"}.get(python.implementation.lower(), "")
    own = f"{short}{major}{minor}"
    if tag.interpreter == own:
        abis = {"none", "abi3", own, own + "m", *(known.abi for known in recorded)}
        return tag.abi in abis
    if tag.abi == "abi3" and short == "cp":
        older = re.fullmatch(rf"cp{major}(\d+)", tag.interpreter)
        return older is not None and int(older[1]) <= int(minor)
    generic = re.fullmatch(rf"py{major}(\d*)", tag.interpreter)
    return tag.abi == "none" and generic is not None and int(generic[1] or 0) <= int(minor)
