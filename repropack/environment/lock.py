# SPDX-License-Identifier: Apache-2.0
"""`environment/pylock.toml`: which packages, which wheels, which digests (PEP 751).

Pure: text in, values out. The file that we write is valid PEP 751, so that any installer can use
it. The file that we read comes from a stranger: only the few keys that we write are accepted,
so nothing in it can name an address, a directory, a source archive or a place on the disk
(docs/spec/rpk-v1.md, section 6).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from msgspec import Struct
from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from repropack.errors import RepropackError
from repropack.findings import Code, DefectError
from repropack.model import Distribution, Machine, Python, Wheel

__all__ = [
    "MAX_LOCK",
    "LockedPackage",
    "marker_environment",
    "python_series",
    "read_lock",
    "select",
    "write_lock",
]

MAX_LOCK: Final = 8 * 1024 * 1024
"""Bytes of a lock file: 500 packages with 20 wheels each have about 2 MiB."""
MAX_LINE: Final = 1024
"""Bytes of a line: ours have at most 330. `tomllib` needs time that grows with the square of the
length of a dotted key: minutes for a megabyte."""
MAX_PACKAGES: Final = 5000
"""Packages of a lock file: no environment that we know of has a tenth of it."""
MAX_WHEELS: Final = 200
"""Wheels of one package: the largest releases offer about 100 files."""
MAX_NAME: Final = 200
"""Characters of a name, a version, or (with tags) of a wheel's file name: NAME_MAX is 255."""

MAX_REQUIREMENTS: Final = 16 * 1024 * 1024
"""Characters of requirements that `select` follows: a thousand packages with many extras have about
4 MiB. A record from a stranger could ask for the same million requirements for a million extras."""

_WHEEL_NAME: Final = re.compile(r"[A-Za-z0-9_.+!-]{1,255}")
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SERIES: Final = re.compile(r"(\d{1,3})\.(\d{1,3})(?:\.\d.*)?")


class LockedPackage(Struct, frozen=True, kw_only=True):
    """A package of which at least one wheel is known by digest.

    Whoever has one may write its parts into a requirements line: the constructor accepts nothing
    that could be read as an option, an address or a second line.

    Attributes:
        name: Normalised name.
        version: A PEP 440 version, spelled as the distribution spelled it.
        wheels: The wheel that was recorded first, then others of the same version.

    Raises:
        ValueError: A part does not have its form, or a wheel belongs to another package.
    """

    name: str
    version: str
    wheels: tuple[Wheel, ...]

    def __post_init__(self) -> None:
        if len(self.name) > MAX_NAME or not _NAME.fullmatch(self.name):
            raise ValueError("the name is not a normalised package name")
        if len(self.version) > MAX_NAME or not _WHEEL_NAME.fullmatch(self.version):
            raise ValueError("the version is not a version")
        version = Version(self.version)
        if not 1 <= len(self.wheels) <= MAX_WHEELS:
            raise ValueError(f"it has {len(self.wheels)} wheels; 1 to {MAX_WHEELS} are allowed")
        for wheel in self.wheels:
            if not _WHEEL_NAME.fullmatch(wheel.filename):
                raise ValueError("a wheel's file name is not a bare file name")
            try:
                name, its_version, _, _ = parse_wheel_filename(wheel.filename)
            except (InvalidWheelFilename, InvalidVersion) as error:
                raise ValueError("a wheel's file name does not have the form of one") from error
            if name != self.name or its_version != version:
                raise ValueError(f"the wheel {wheel.filename} belongs to another package")
            if not _SHA256.fullmatch(wheel.sha256):
                raise ValueError("a digest is not 64 hexadecimal digits")
        if len({wheel.filename for wheel in self.wheels}) != len(self.wheels):
            raise ValueError("a wheel stands twice")


def python_series(python: Python) -> str:
    """The `X.Y` of an interpreter, to which wheels are bound.

    Raises:
        RepropackError: The recorded version has no such form.
    """
    match = _SERIES.fullmatch(python.version)
    if not match:
        raise RepropackError("the recorded Python version has no form that we know")
    return f"{match[1]}.{match[2]}"


def marker_environment(python: Python, machine: Machine) -> dict[str, str]:
    """The environment of PEP 508 markers on the recorded machine, not on this one."""
    system = machine.system.lower()
    implementation = python.implementation.lower()
    return {
        "implementation_name": implementation,
        "implementation_version": python.version,
        "os_name": "nt" if system == "windows" else "posix",
        "platform_machine": machine.architecture,
        "platform_python_implementation": {"cpython": "CPython", "pypy": "PyPy"}.get(
            implementation, python.implementation
        ),
        "platform_release": machine.kernel,
        "platform_system": machine.system,
        "platform_version": "",
        "python_full_version": python.version,
        "python_version": python_series(python),
        "sys_platform": {"windows": "win32"}.get(system, system),
    }


def select(
    distributions: Iterable[Distribution], python: Python, machine: Machine
) -> tuple[Distribution, ...]:
    """What the run needs: imported distributions and everything installed that they require.

    Requirements are followed with their markers and extras. Editable installs are followed too,
    but left out of the result: their code is a code root.

    Raises:
        RepropackError: As `python_series`.
        DefectError: The requirements are more than any installation has.
    """
    environment = marker_environment(python, machine)
    followed = 0
    installed = {distribution.name: distribution for distribution in distributions}
    seen: set[tuple[str, str]] = set()
    pending = [(d.name, "") for d in installed.values() if d.imported]
    while pending:
        name, extra = pending.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for text in installed[name].requires:
            followed += len(text) + 1
            if followed > MAX_REQUIREMENTS:
                raise DefectError(
                    Code.TOO_LARGE,
                    "requirements of packages",
                    expected=f"at most {MAX_REQUIREMENTS} characters",
                )
            try:
                requirement = Requirement(text)
            except (InvalidRequirement, RecursionError):
                # Old metadata holds what no installer follows any more; a hostile record holds
                # a marker of a thousand parentheses.
                continue
            required = canonicalize_name(requirement.name)
            if required in installed and _applies(requirement.marker, environment, extra):
                pending += [(required, wanted) for wanted in ("", *requirement.extras)]
    names = {name for name, _ in seen}
    return tuple(d for _, d in sorted(installed.items()) if d.name in names and not d.editable)


def _applies(marker: Marker | None, environment: Mapping[str, str], extra: str) -> bool:
    if marker is None:
        # Requirements without a marker were followed for the package itself.
        return not extra
    try:
        return marker.evaluate({**environment, "extra": extra})
    except (UndefinedComparison, UndefinedEnvironmentName, InvalidVersion):
        # A package too many costs a download; one too few breaks the rebuilt environment.
        return True


def write_lock(python: Python, entries: Sequence[LockedPackage]) -> bytes:
    """Writes a PEP 751 lock file. The same entries give the same bytes.

    Wheels are named by path, below the lock file; whether the bundle holds them is another
    question. No address is written: a reader takes them from the index of her choice, by digest.

    Raises:
        RepropackError: As `python_series`.
        ValueError: A package stands twice.
    """
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        raise ValueError("a package stands twice")
    lines = [
        'lock-version = "1.0"',
        f'requires-python = "=={python_series(python)}.*"',
        'created-by = "repropack"',
    ]
    for entry in sorted(entries, key=lambda entry: entry.name):
        # Every value was checked by LockedPackage: none can hold a quotation mark or a line end.
        lines += ["", "[[packages]]", f'name = "{entry.name}"', f'version = "{entry.version}"']
        for wheel in entry.wheels:
            lines += [
                "[[packages.wheels]]",
                f'name = "{wheel.filename}"',
                f'path = "wheels/{wheel.filename}"',
                f'hashes = {{ sha256 = "{wheel.sha256}" }}',
            ]
    if not entries:
        lines.append("packages = []")
    return ("\n".join(lines) + "\n").encode("ascii")


def read_lock(data: bytes) -> tuple[LockedPackage, ...]:
    """Reads a lock file that a stranger wrote.

    Raises:
        DefectError: `Code.LOCK`: it is too large, is not TOML, or holds anything but named and
            versioned packages with wheels that are known by bare file name and SHA-256.
    """
    if len(data) > MAX_LOCK:
        raise _defect("the file", f"{len(data)} bytes", f"at most {MAX_LOCK}")
    longest = max(map(len, data.split(b"\n")))
    if longest > MAX_LINE:
        raise _defect("the file", f"a line of {longest} bytes", f"at most {MAX_LINE}")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _defect("the file", str(error)[:200], "TOML in UTF-8") from error
    _check_keys(
        document, {"lock-version", "created-by", "packages"}, {"requires-python"}, "the file"
    )
    if document["lock-version"] != "1.0":
        raise _defect("lock-version", repr(document["lock-version"])[:50], "1.0")
    packages = _tables(document["packages"], MAX_PACKAGES, "packages")
    locked = tuple(_package(table, f"packages[{i}]") for i, table in enumerate(packages))
    if len({package.name for package in locked}) != len(locked):
        raise _defect("packages", "a name twice", "each package once")
    return locked


def _package(table: dict[str, Any], where: str) -> LockedPackage:
    _check_keys(table, {"name", "version", "wheels"}, set(), where)
    wheels = _tables(table["wheels"], MAX_WHEELS, f"{where}.wheels")
    try:
        return LockedPackage(
            name=_text(table["name"]),
            version=_text(table["version"]),
            wheels=tuple(_wheel(wheel, f"{where}.wheels[{i}]") for i, wheel in enumerate(wheels)),
        )
    except ValueError as error:
        raise _defect(where, str(error)) from error


def _wheel(table: dict[str, Any], where: str) -> Wheel:
    _check_keys(table, {"name", "path", "hashes"}, set(), where)
    filename = _text(table["name"])
    if table["path"] != f"wheels/{filename}":
        raise _defect(where, "another path", "wheels/ and the file name")
    hashes = table["hashes"]
    if not isinstance(hashes, dict):
        raise _defect(f"{where}.hashes", type(hashes).__name__, "a table")
    _check_keys(hashes, {"sha256"}, set(), f"{where}.hashes")
    return Wheel(filename=filename, sha256=_text(hashes["sha256"]))


def _check_keys(
    table: Mapping[str, object], required: set[str], optional: set[str], where: str
) -> None:
    missing = required - table.keys()
    unknown = table.keys() - required - optional
    if missing:
        raise _defect(where, f"no {min(missing)}")
    if unknown:
        # vcs, directory, archive, sdist, url, index, marker: each would let the lock file choose
        # what is installed or where it comes from.
        raise _defect(where, f"the key {min(unknown)[:50]!r}", ", ".join(sorted(required)))


def _tables(value: object, limit: int, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _defect(where, type(value).__name__, "an array of tables")
    if len(value) > limit:
        raise _defect(where, f"{len(value)} entries", f"at most {limit}")
    return cast("list[dict[str, Any]]", value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a {type(value).__name__} stands where text should")  # noqa: TRY004
    return value


def _defect(where: str, found: str, expected: str = "") -> DefectError:
    return DefectError(
        Code.LOCK, f"environment/pylock.toml, {where}", found=found, expected=expected
    )
