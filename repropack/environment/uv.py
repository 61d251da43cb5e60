# SPDX-License-Identifier: Apache-2.0
"""The door to uv: digests of what was installed, and environments rebuilt by digest.

uv runs with an environment of our own making, without configuration files, with a cache of its
own and by copying: with uv's default of hard links, code that runs in one rebuilt environment
could change a file in the cache and so in every other (its digest is checked at download only).

A bundle's lock file never reaches uv. `build` writes the requirements itself from checked
parts, allows wheels only, and lets uv fill an environment exactly once, each new attempt a new one:
the interpreter of an environment that holds packages executes their `.pth` files when it starts, so
nothing here starts it again afterwards.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from msgspec.structs import replace
from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion

from repropack import process
from repropack.digest import hash_file, sha256_hex
from repropack.environment.cache import cache_directory
from repropack.environment.index import IndexSettings, uv_arguments, uv_environment
from repropack.environment.installation import entries_of
from repropack.environment.lock import LockedPackage, python_series
from repropack.errors import CannotDecideError, RepropackError
from repropack.escaping import show
from repropack.findings import Code, Finding
from repropack.model import Distribution, Python, Wheel

__all__ = ["EnvironmentNotBuiltError", "Uv", "build", "build_directory", "find_uv", "find_wheels"]

_log: Final = logging.getLogger(__name__)

RESOLVE_SECONDS: Final = 600.0
"""Time for one question to the index: hundreds of small requests through a slow proxy."""
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

_NOT_FOUND: Final = 1
"""uv's status where the index was reached and does not have what was asked for."""


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


class Uv(Struct, frozen=True, kw_only=True):
    """The uv program and everything it is told about this machine.

    Attributes:
        program: Its absolute path.
        environment: The whole environment that it gets.
        settings: Where packages come from.
    """

    program: str
    environment: dict[str, str]
    settings: IndexSettings


def find_uv(environ: Mapping[str, str], settings: IndexSettings) -> Uv:
    """Finds the uv that was installed with repropack, else the one on PATH.

    Args:
        environ: The user's environment variables.
        settings: Where packages come from.

    Raises:
        RepropackError: There is none.
    """
    # Imported here: only the commands that rebuild an environment need it.
    import uv as uv_package

    try:
        program: str | None = uv_package.find_uv_bin()
    except FileNotFoundError:
        program = process.find_program("uv", environ.get("PATH", ""))
    if program is None:
        raise RepropackError(
            "uv was not found", advice="install it beside repropack: pip install uv"
        )
    return Uv(
        program=os.path.abspath(program),
        environment={
            **uv_environment(environ, settings),
            "UV_CACHE_DIR": str(cache_directory(environ) / "uv"),
            "UV_LINK_MODE": "copy",
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_PROGRESS": "1",
            "NO_COLOR": "1",
        },
        settings=settings,
    )


# ---------------------------------------------------------------- at export: digests


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
            _log.warning("the package index gave no answer: %s", _last_line(uv, done.stderr))
            return offered
        elif len(group) > 1:
            named = _mentioned(group, done.stderr) or group
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


# ---------------------------------------------------------------- at verify: the environment


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
        names = _mentioned([entry.name for entry in entries], error.stderr)
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
        raise _UvFailedError(_last_line(uv, stderr), stderr) from None


def _last_line(uv: Uv, stderr: bytes) -> str:
    """The reason that uv gives: the text from its `error:` on, in one line."""
    text = stderr.decode("utf-8", "replace")
    at = max(text.rfind("error:"), text.rfind("×"), 0)
    return show(" ".join(uv.settings.conceal(text[at:]).split()), limit=300)


def _mentioned(names: Sequence[str], stderr: bytes) -> list[str]:
    """The packages that a message of uv names, in the order of the message."""
    text = stderr.decode("utf-8", "replace").lower().replace("_", "-")
    at = {
        name: match.start()
        for name in names
        if (match := re.search(rf"(?<![a-z0-9.-]){re.escape(name)}(?![a-z0-9-]|\.[a-z])", text))
    }
    return sorted(at, key=at.__getitem__)
