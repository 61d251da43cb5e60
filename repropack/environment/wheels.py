# SPDX-License-Identifier: Apache-2.0
"""The wheels of a lock file themselves, fetched by digest for a bundle that needs no index.

pip fetches them, because uv keeps what it has unpacked and not the files: out of the author's pip
cache, her folders of wheels and her index, in that order of haste. Like uv, pip runs with an
environment of our own making and without configuration files; only the places are hers. A file
counts only if it has the name and the digest of the lock.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct
from packaging.tags import Tag, parse_tag
from packaging.utils import parse_wheel_filename

from repropack import process
from repropack.digest import hash_file
from repropack.environment.cache import cache_directory, mark_used
from repropack.environment.index import IndexSettings, pip_environment
from repropack.environment.lock import LockedPackage, python_series
from repropack.errors import RepropackError
from repropack.escaping import show
from repropack.model import Distribution, Machine, Python, Wheel

__all__ = ["FetchedWheel", "fetch_wheels", "installed_wheel", "wheel_place"]

DOWNLOAD_SECONDS: Final = 7200.0
"""Time for downloads: 3 GiB of CUDA wheels at 1 MiB/s take 50 minutes."""


class FetchedWheel(Struct, frozen=True, kw_only=True):
    """A wheel on the disk, with the name and the digest of the lock when it was looked at."""

    package: str
    wheel: Wheel
    path: Path
    size: int


def installed_wheel(
    entry: LockedPackage, distribution: Distribution, machine: Machine
) -> Wheel | None:
    """The wheel of a package that the recorded machine had, or would get.

    Returns:
        The one with the installed tags; else one for any platform; else one for the recorded
        platform; else None.
    """
    recorded = {tag for text in distribution.tags for tag in _tags(text)}
    tags = {wheel: set(parse_wheel_filename(wheel.filename)[3]) for wheel in entry.wheels}
    if distribution.archive in tags:
        return distribution.archive
    suffix = f"_{machine.architecture}"
    same = [wheel for wheel in tags if recorded and tags[wheel] == recorded]
    pure = [wheel for wheel in tags if all(tag.platform == "any" for tag in tags[wheel])]
    like = [
        wheel
        for wheel in tags
        if any("linux" in tag.platform and tag.platform.endswith(suffix) for tag in tags[wheel])
    ]
    return next(iter((*same, *pure, *like)), None)


def fetch_wheels(
    entries: Iterable[tuple[LockedPackage, Wheel]],
    python: Python,
    settings: IndexSettings,
    environ: Mapping[str, str],
    progress: Callable[[str], None],
) -> tuple[tuple[FetchedWheel, ...], dict[str, str]]:
    """Fetches wheels; those that were fetched before are taken from a folder of our own.

    Args:
        entries: Packages, each with the wheel to fetch.
        python: The recorded interpreter.
        settings: Where packages come from.
        environ: The author's environment variables: her network, her caches.
        progress: Told in words what is being done.

    Returns:
        The wheels in the order of the entries, and for each package whose wheel is not to be had
        the reason.

    Raises:
        OSError: The folder cannot be written.
    """
    store = cache_directory(environ) / "wheels"
    wanted = list(entries)
    present = {
        entry.name: fetched
        for entry, wheel in wanted
        if (fetched := _look(store, entry.name, wheel)) is not None
    }
    absent = [(entry, wheel) for entry, wheel in wanted if entry.name not in present]
    reasons: dict[str, str] = {}
    if absent:
        progress(f"fetching {len(absent)} wheels")
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store, prefix=".fetch-") as folder:
            reasons = _download(absent, Path(folder), python, settings, environ)
            for entry, wheel in absent:
                place = Path(folder, wheel.filename)
                if entry.name in reasons:
                    continue
                found = hash_file(place)[0] if place.is_file() else None
                if found != wheel.sha256:
                    reasons[entry.name] = f"{wheel.filename} came with another name or digest"
                    continue
                target = wheel_place(store, wheel)
                target.parent.mkdir(exist_ok=True)
                os.replace(place, target)
                fetched = _look(store, entry.name, wheel)
                assert fetched is not None
                present[entry.name] = fetched
    return tuple(present[e.name] for e, _ in wanted if e.name in present), reasons


def wheel_place(store: Path, wheel: Wheel) -> Path:
    """Where a wheel is kept in a folder of ours."""
    return store / wheel.sha256 / wheel.filename


def _look(store: Path, package: str, wheel: Wheel) -> FetchedWheel | None:
    """A wheel that was fetched before, if it still is what it was."""
    place = wheel_place(store, wheel)
    if not place.is_file():
        return None
    digest, size = hash_file(place)
    if digest != wheel.sha256:
        shutil.rmtree(place.parent)
        return None
    mark_used(place)
    return FetchedWheel(package=package, wheel=wheel, path=place, size=size)


def _download(
    entries: Sequence[tuple[LockedPackage, Wheel]],
    folder: Path,
    python: Python,
    settings: IndexSettings,
    environ: Mapping[str, str],
) -> dict[str, str]:
    """Downloads all at once; where one is not to be had, each half by itself."""
    reasons: dict[str, str] = {}
    pending = [list(entries)]
    while pending:
        group = pending.pop()
        reason = _pip(group, folder, python, settings, environ)
        if reason and len(group) > 1:
            middle = len(group) // 2
            pending += [group[middle:], group[:middle]]
        elif reason:
            reasons[group[0][0].name] = reason
    return reasons


def _pip(
    entries: Sequence[tuple[LockedPackage, Wheel]],
    folder: Path,
    python: Python,
    settings: IndexSettings,
    environ: Mapping[str, str],
) -> str:
    """Downloads some wheels. Returns the reason why one of them is not to be had, or nothing."""
    tags = {tag for _, wheel in entries for tag in parse_wheel_filename(wheel.filename)[3]}
    # What fits the interpreter of repropack does not matter: the recorded one is meant.
    options = ["--implementation", "pp" if python.implementation.lower() == "pypy" else "cp"]
    options += ["--python-version", python_series(python)]
    for option, values in (
        ("--platform", {tag.platform for tag in tags}),
        ("--abi", {tag.abi for tag in tags}),
    ):
        for value in sorted(values):
            options += [option, value]
    # `LockedPackage` has checked every part of a line.
    lines = [f"{e.name}=={e.version} --hash=sha256:{wheel.sha256}\n" for e, wheel in entries]
    home = folder / "home"
    home.mkdir(exist_ok=True)
    try:
        process.run(
            [
                *(sys.executable, "-I", "-m", "pip", "download", "--no-deps", "--require-hashes"),
                *("--only-binary", ":all:", "--dest", str(folder), "--progress-bar", "off"),
                *(*options, "-r", "/dev/stdin"),
            ],
            environment=pip_environment(environ, settings, home),
            directory=Path("/"),
            stdin="".join(lines).encode("ascii"),
            timeout=DOWNLOAD_SECONDS,
        )
    except process.ProcessFailedError as error:
        said = error.message
        if error.completed is not None:
            text = error.completed.stderr.decode("utf-8", "replace")
            if "No module named pip" in text:
                raise RepropackError(
                    "pip was not found beside repropack", advice="install it: pip install pip"
                ) from None
            errors = [line for line in text.splitlines() if line.startswith("ERROR: ")]
            said = (errors or text.splitlines() or [said])[0].removeprefix("ERROR: ")
        # `from None`: pip's own words may hold the address of a private index.
        return show(settings.conceal(said), limit=200)
    return ""


def _tags(text: str) -> frozenset[Tag]:
    return parse_tag(text.strip()) if text.strip().count("-") == 2 else frozenset()
