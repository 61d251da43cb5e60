# SPDX-License-Identifier: Apache-2.0
"""Environments rebuilt by digest.

A bundle's lock file never reaches uv. `build` writes the requirements itself from checked
parts, allows wheels only, and lets uv fill an environment exactly once, each new attempt a new one:
the interpreter of an environment that holds packages executes their `.pth` files when it starts, so
nothing here starts it again afterwards.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace

from repropack import process
from repropack.digest import sha256_hex
from repropack.environment.index import uv_arguments
from repropack.environment.installation import entries_of
from repropack.environment.lock import LockedPackage, python_series
from repropack.environment.uv import RESOLVE_SECONDS, Uv, last_line, mentioned
from repropack.errors import CannotDecideError
from repropack.escaping import show
from repropack.findings import Code, Finding
from repropack.model import Python

__all__ = ["EnvironmentNotBuiltError", "build", "build_directory"]

INSTALL_SECONDS: Final = 7200.0
"""Time for downloads: 3 GiB of CUDA wheels at 1 MiB/s take 50 minutes."""

_OTHER_PLACE: Final = (
    "a folder that holds the wheel can be named by UV_FIND_LINKS or PIP_FIND_LINKS"
)

_LOCAL_BUILD: Final = (
    "a version with `+` is a build that no public index has: name the index that it comes from by "
    "UV_INDEX or PIP_EXTRA_INDEX_URL, or a folder that holds the wheel by UV_FIND_LINKS or "
    "PIP_FIND_LINKS"
)

_UNSOLVABLE: Final = re.compile(
    r"(?:error:|×)?\s*No solution found when resolving dependencies:?\s*(?:cause:|╰─▶)?\s*"
    r"|,? ?(?:and )?we can conclude that your requirements are unsatisfiable\."
)
"""What uv says around the reason why a package is not to be had."""

_LOCK_FILE: Final = {".lock": f"sha256 {sha256_hex(b'')}"}
"""uv locks what it installs into by an empty file, which stays."""

_NO_ROOM: Final = "no room on the disk"
_NO_WHEEL: Final = "no wheel with the locked digest"
_OTHER: Final = "a file with another digest"
_WITHDRAWN: Final = "the index lists the wheel and does not have it"


class EnvironmentNotBuiltError(CannotDecideError):
    """The recorded environment cannot be rebuilt here; that says nothing about the claims.

    Attributes:
        finding: The package that stood in the way, if one was named.
        locked: Whether it is one that the lock names and that is not to be had.
    """

    def __init__(
        self, message: str, *, finding: Finding, advice: str = "", locked: bool = False
    ) -> None:
        super().__init__(message, advice=advice)
        self.finding = finding
        self.locked = locked


def build(
    uv: Uv,
    entries: Sequence[LockedPackage],
    interpreter: str,
    target: Path,
    *,
    wheels: Path | None,
    offline: bool,
    progress: Callable[[str], None],
) -> dict[str, str]:
    """Makes a virtual environment that holds exactly the locked packages.

    Args:
        uv: The program.
        entries: What to install.
        interpreter: Absolute path of the interpreter it is made for.
        target: Where it is made; must not exist. On failure nothing is left there.
        wheels: A directory with wheels, from the bundle. Where it has every package, it is tried
            by itself first. In the reader's folders a file of the same name may be another one.
        offline: Whether only `wheels` and what was downloaded earlier may be used.
        progress: Told in words what is being done.

    Returns:
        What the environment held before a package was installed (`entries_of`).

    Raises:
        EnvironmentNotBuiltError: A package is not to be had as a wheel with a locked digest, or
            the environment could not be made.
    """
    progress("creating the environment")
    own: dict[str, str] = {}

    def prepare() -> list[str]:
        _run(
            uv,
            ["venv", "--no-project", "--python", interpreter, str(target.absolute())],
            timeout=RESOLVE_SECONDS,
        )
        own.update(entries_of(target), **_LOCK_FILE)
        return ["--python", str(target.absolute() / "bin" / "python")]

    if entries:
        _install(uv, entries, target, prepare, wheels=wheels, offline=offline, progress=progress)
    else:
        with _nothing_left(target):
            prepare()
    return own


def build_directory(
    uv: Uv,
    entries: Sequence[LockedPackage],
    python: Python,
    target: Path,
    *,
    wheels: Path | None,
    offline: bool,
    progress: Callable[[str], None],
) -> dict[str, str]:
    """Installs packages into a directory, for an interpreter of another environment.

    Args:
        uv: The program.
        entries: What to install.
        python: The interpreter that they are for; it is not started.
        target: Where; must not exist.
        wheels: A directory with wheels, from the bundle.
        offline: Whether only `wheels` and what was downloaded earlier may be used.
        progress: Told in words what is being done.

    Returns:
        What the directory holds beside the packages, as `entries_of`.

    Raises:
        EnvironmentNotBuiltError: As `build`.
    """
    into = [
        *("--python", sys.executable, "--python-version", python_series(python)),
        *("--target", str(target.absolute())),
    ]
    _install(uv, entries, target, lambda: into, wheels=wheels, offline=offline, progress=progress)
    return _LOCK_FILE


def _install(
    uv: Uv,
    entries: Sequence[LockedPackage],
    target: Path,
    prepare: Callable[[], Sequence[str]],
    *,
    wheels: Path | None,
    offline: bool,
    progress: Callable[[str], None],
) -> None:
    """Installs from the first of `_sources` that has it all, each time into a new `target`.

    Args:
        uv: The program.
        entries: What to install.
        target: Where; on failure nothing is left there.
        prepare: Makes it ready and says how uv is told of it.
        wheels: A directory with wheels, from the bundle.
        offline: Whether nothing may be downloaded.
        progress: Told in words what is being done.
    """
    failed: EnvironmentNotBuiltError | None = None
    for source in _sources(uv, entries, wheels, offline=offline):
        if source.last_resort and (failed is None or not failed.finding.found.startswith(_OTHER)):
            continue
        count = f"{len(entries)} package" + ("" if len(entries) == 1 else "s")
        progress(f"installing {count} {source.name}")
        try:
            with _nothing_left(target):
                _install_from(source, entries, prepare())
        except EnvironmentNotBuiltError as error:
            if error.finding.found.startswith(_NO_ROOM):
                raise
            # Of a last resort it is the reason for it that the reader can do something about.
            failed = failed if source.last_resort else error
        else:
            return
    assert failed is not None
    raise failed


@contextlib.contextmanager
def _nothing_left(target: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


class _Source(NamedTuple):
    """Where uv looks.

    Attributes:
        uv: The program, told of the folders.
        arguments: Its further arguments.
        name: In words.
        last_resort: Whether it has less than the one before, and is for when that one has a file
            of the right name with another content, at which uv stops.
    """

    uv: Uv
    arguments: tuple[str, ...]
    name: str
    last_resort: bool = False


def _sources(
    uv: Uv, entries: Sequence[LockedPackage], wheels: Path | None, *, offline: bool
) -> Iterator[_Source]:
    """The bundle by itself, if it has everything; all there is; all but the reader's folders."""
    usual = tuple(uv_arguments(uv.settings))
    # In the variable, because the option would replace the reader's own folders. As an address:
    # uv cuts a plain path at a comma and at a number sign.
    packed = [] if wheels is None else [wheels.absolute().as_uri().replace(",", "%2C")]
    if wheels is not None and _holds_all(wheels, entries):
        alone = ("--offline", *(() if "--no-index" in usual else ("--no-index",)))
        yield _Source(_looking_in(uv, packed), (*usual, *alone), "from the bundle")
    own = [link for link in uv.environment.get("UV_FIND_LINKS", "").split(",") if link]
    if offline:
        own = [link for link in own if "://" not in link or link.startswith("file://")]
        usual = (*usual, "--offline")
    name = "without the network" if offline else "from the package index"
    yield _Source(_looking_in(uv, [*packed, *own]), usual, name)
    if own:
        yield _Source(_looking_in(uv, packed), usual, f"{name}, not from your folders", True)


def _looking_in(uv: Uv, folders: Sequence[str]) -> Uv:
    return replace(uv, environment={**uv.environment, "UV_FIND_LINKS": ",".join(folders)})


def _install_from(source: _Source, entries: Sequence[LockedPackage], into: Sequence[str]) -> None:
    uv = source.uv
    arguments = [
        *("pip", "install", *into),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", "-"),
        *source.arguments,
    ]
    try:
        _run(uv, arguments, stdin=_requirements(entries), timeout=INSTALL_SECONDS)
    except _UvFailedError as error:
        names = mentioned([entry.name for entry in entries], error.stderr)
        entry = next((entry for entry in entries if entry.name in names[:1]), None)
        subject = f"{entry.name} {entry.version}" if entry else "a package"
        reason, advice = _reason(
            error.stderr, offline="--offline" in arguments, local="+" in subject
        )
        said = _UNSOLVABLE.sub("", error.said)
        raise EnvironmentNotBuiltError(
            f"{subject} cannot be installed: {said}",
            finding=Finding(
                code=Code.PACKAGE_MISSING,
                subject=subject,
                # Where, is not known: in the environment, or in the cache.
                found=reason if reason == _NO_ROOM else f"{reason}: {said}",
                expected="" if not entry or reason == _NO_ROOM else entry.wheels[0].filename,
            ),
            advice=advice,
            locked=entry is not None and reason in (_NO_WHEEL, _WITHDRAWN),
        ) from None


def _holds_all(wheels: Path, entries: Sequence[LockedPackage]) -> bool:
    return all(any((wheels / w.filename).is_file() for w in entry.wheels) for entry in entries)


def _reason(stderr: bytes, *, offline: bool, local: bool) -> tuple[str, str]:
    """Why uv did not install, and what can be done about it. uv has no codes, only words."""
    if b"No space left on device" in stderr or b"Disk quota exceeded" in stderr:
        return (
            _NO_ROOM,
            "make room, or name other directories by TMPDIR and XDG_CACHE_HOME",
        )
    if b"Hash mismatch" in stderr:
        return _OTHER, f"the locked file is needed: {_OTHER_PLACE}"
    if offline and b"network was disabled" in stderr:
        return (
            "offline, and not downloaded before",
            f"verify once without --offline; {_OTHER_PLACE}",
        )
    if re.search(rb"401 Unauthorized|403 Forbidden", stderr):
        return (
            "the package index refuses access",
            "check the user name and password in its address, or in NETRC; " + _OTHER_PLACE,
        )
    if re.search(rb"client error \(4(04|10)|\.whl\b[^\n]*No such file or directory", stderr):
        return (
            _WITHDRAWN,
            "it was withdrawn: ask the author for a bundle that was exported with --wheels; "
            + _OTHER_PLACE,
        )
    if re.search(rb"Failed to fetch|error (sending request|decoding response body)", stderr):
        return (
            "the package index was not reached",
            f"check its address and the network; {_OTHER_PLACE}",
        )
    if b"No solution found" in stderr:
        return (
            _NO_WHEEL,
            _LOCAL_BUILD
            if local
            else "check that your package index offers this version, and lets you have it; "
            + _OTHER_PLACE,
        )
    return "uv failed", _OTHER_PLACE


def _requirements(entries: Sequence[LockedPackage]) -> bytes:
    """One line for each package. `LockedPackage` has checked every part."""
    lines = [
        " ".join(
            [f"{entry.name}=={entry.version}"]
            + [f"--hash=sha256:{digest}" for digest in sorted({w.sha256 for w in entry.wheels})]
        )
        for entry in entries
    ]
    return ("\n".join(lines) + "\n").encode("ascii")


class _UvFailedError(EnvironmentNotBuiltError):
    """uv ended with an error. `said` is its reason, safe to show."""

    def __init__(self, said: str, stderr: bytes) -> None:
        no_cache = b"Failed to initialize cache" in stderr
        super().__init__(
            f"the environment could not be made: {said}",
            finding=Finding(code=Code.PACKAGE_MISSING, found=said),
            advice="name another place for the cache by XDG_CACHE_HOME" if no_cache else "",
        )
        self.said = said
        self.stderr = stderr


def _run(uv: Uv, arguments: Sequence[str], *, timeout: float, stdin: bytes = b"") -> None:
    try:
        process.run(
            [uv.program, *arguments],
            environment=uv.environment,
            directory=Path("/"),
            stdin=stdin,
            timeout=timeout,
        )
    except process.ProcessFailedError as error:
        # `from None`: uv's own words may hold the address of a private index.
        if error.completed is None:
            raise _UvFailedError(show(uv.settings.conceal(error.message)), b"") from None
        stderr = error.completed.stderr
        raise _UvFailedError(last_line(uv, stderr), stderr) from None
