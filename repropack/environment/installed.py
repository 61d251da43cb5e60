# SPDX-License-Identifier: Apache-2.0
"""What is installed on a search path, read as files.

Nothing is imported and no interpreter is started: the observed interpreter may have another
version than ours, and importing runs code. The files are those of the specifications "Recording
installed projects" (`*.dist-info`) and, for old installs and Debian's packages, `*.egg-info`.
No path and no address of this machine is in the result.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import msgspec

from repropack import canonical
from repropack.digest import sha256_hex
from repropack.environment.conda import conda_metadata
from repropack.model import Distribution, Wheel

__all__ = ["copied_projects", "editable_projects", "installed_distributions"]

_MAX_METADATA: Final = 64 * 1024 * 1024
"""Bytes of one metadata file: a RECORD of 100,000 files has about 12 MiB."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class _Installed(msgspec.Struct, kw_only=True):
    """A distribution that was found, and what decides whether it was imported."""

    name: str
    version: str
    root: str
    record: bytes
    top_level: frozenset[str]
    tags: tuple[str, ...]
    requires: tuple[str, ...]
    editable: bool
    origin: str
    archive: Wheel | None
    entry_points: dict[str, dict[str, str]]


def installed_distributions(
    paths: Sequence[str], modules: Mapping[str, str]
) -> tuple[Distribution, ...]:
    """The distributions on a search path, sorted by name.

    Args:
        paths: `sys.path` of the observed interpreter; what is no directory is skipped. Of two
            installs of a name the first on the path counts, as it does for imports.
        modules: Top-level modules that were imported, each with its file; an empty file stands
            for a namespace package.

    Returns:
        One value for each name. An install whose metadata cannot be read is left out, as it is
        by every installer.
    """
    found: dict[str, _Installed] = {}
    roots: list[tuple[str, str]] = []
    for path in paths:
        real = os.path.realpath(path)
        if not path or any(real == known for _, known in roots):
            continue
        roots.append((path, real))
        for install in _scan(real):
            found.setdefault(install.name, install)
    imported = _imported(list(found.values()), roots, modules)
    return tuple(
        Distribution(
            name=name,
            version=install.version,
            tags=install.tags,
            record_sha256=sha256_hex(install.record) if install.record else None,
            imported=name in imported,
            editable=install.editable,
            origin=install.origin,
            requires=install.requires,
            archive=install.archive,
            entry_points=install.entry_points,
        )
        for name, install in sorted(found.items())
    )


def editable_projects(paths: Sequence[str]) -> dict[str, str]:
    """The directories of editable installs (PEP 660) on a search path, by normalised name.

    They are places of this machine, and no part of a record.
    """
    found: dict[str, str] = {}
    for path in paths:
        try:
            names = sorted(os.listdir(path))
        except OSError:
            # As for the distributions: not every entry of a search path is a directory.
            continue
        for name in names:
            if not name.endswith(".dist-info"):
                continue
            folder = os.path.join(path, name)
            data = _read(folder, "direct_url.json")
            if data and _direct_url(data)[0]:
                headers = _headers(_read(folder, "METADATA"))
                address = urlsplit(str(canonical.decode(data, dict).get("url", "")))
                if headers.get("name") and address.scheme == "file":
                    found.setdefault(_normal(headers["name"][0]), unquote(address.path))
    return found


def copied_projects(paths: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Installs that came from a directory or from version control, and were copied.

    No package index has them under the digest of what is installed.

    Returns:
        The search directory and the files below it, by normalised name. Not among the files are
        bytecode, and what the installer wrote down about its doing and about this machine.
    """
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for path in paths:
        real = os.path.realpath(path)
        for install in _scan(real):
            if install.origin not in ("local", "vcs") or install.editable or install.archive:
                continue
            lines = csv.reader(install.record.decode("utf-8", "surrogateescape").splitlines())
            files = tuple(
                row[0]
                for row in lines
                if row
                and not row[0].startswith(("/", "../"))
                and not row[0].endswith((".pyc", ".dist-info/direct_url.json"))
                and not row[0].endswith((".dist-info/RECORD", ".dist-info/INSTALLER"))
            )
            if files:
                found.setdefault(install.name, (real, files))
    return found


def _scan(root: str) -> Iterable[_Installed]:
    try:
        names = sorted(os.listdir(root))
    except OSError:
        # Search paths name zip files and directories that do not exist; imports skip them too.
        return
    by_conda = conda_metadata(Path(root))
    for name in names:
        if name.endswith(".dist-info"):
            install = _dist_info(root, os.path.join(root, name))
        elif name.endswith(".egg-info"):
            install = _egg_info(root, os.path.join(root, name))
        else:
            continue
        if install is not None:
            if name in by_conda:
                # What it says of its origin was true where conda-build made it.
                install = msgspec.structs.replace(
                    install, origin="conda", archive=None, editable=False, entry_points={}
                )
            yield install


def _dist_info(root: str, folder: str) -> _Installed | None:
    headers = _headers(_read(folder, "METADATA"))
    wheel = _headers(_read(folder, "WHEEL"))
    if not headers.get("name") or not headers.get("version"):
        return None
    editable, origin, archive = _direct_url(_read(folder, "direct_url.json"))
    return _Installed(
        name=_normal(headers["name"][0]),
        version=headers["version"][0],
        root=root,
        record=_read(folder, "RECORD"),
        top_level=_top_level(_read(folder, "top_level.txt")),
        tags=tuple(wheel.get("tag", ())),
        requires=_without_addresses(headers.get("requires-dist", ())),
        editable=editable,
        origin=origin,
        archive=archive,
        entry_points={} if origin == "index" else _entry_points(_read(folder, "entry_points.txt")),
    )


def _egg_info(root: str, path: str) -> _Installed | None:
    """Distutils wrote a file, setuptools a directory; neither has a RECORD."""
    if os.path.isdir(path):
        headers = _headers(_read(path, "PKG-INFO"))
        top_level = _top_level(_read(path, "top_level.txt"))
    else:
        headers = _headers(_read(root, os.path.basename(path)))
        top_level = frozenset()
    if not headers.get("name") or not headers.get("version"):
        return None
    # Outside site-packages it lies in a source tree: a development install.
    develop = os.path.basename(root) not in ("site-packages", "dist-packages")
    return _Installed(
        name=_normal(headers["name"][0]),
        version=headers["version"][0],
        root=root,
        record=b"",
        top_level=top_level,
        tags=(),
        requires=_without_addresses(headers.get("requires-dist", ())),
        editable=develop,
        origin="local" if develop else "index",
        archive=None,
        entry_points={},
    )


def _entry_points(data: bytes) -> dict[str, dict[str, str]]:
    """The groups of an `entry_points.txt`."""
    import configparser

    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    # Names keep their case.
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    try:
        parser.read_string(data.decode("utf-8", "replace"))
    except configparser.Error:
        return {}
    return {group: dict(parser.items(group)) for group in parser.sections()}


def _read(folder: str, name: str) -> bytes:
    try:
        with open(os.path.join(folder, name), "rb") as file:
            return file.read(_MAX_METADATA)
    except OSError:
        # Every one of these files is optional in some install; what is absent says nothing.
        return b""


def _headers(data: bytes) -> dict[str, list[str]]:
    """The header block of a core metadata file (RFC 822 form, folded lines joined)."""
    block = data.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    text = re.sub(r"\n[ \t]+", " ", block.decode("utf-8", "replace"))
    headers: dict[str, list[str]] = {}
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        if colon:
            headers.setdefault(key.strip().lower(), []).append(value.strip())
    return headers


def _direct_url(data: bytes) -> tuple[bool, str, Wheel | None]:
    """Editable, origin and wheel from `direct_url.json` (PEP 610), without the address."""
    if not data:
        return False, "index", None
    try:
        document: Any = canonical.decode(data, dict)
        address = str(document.get("url", ""))
        if "vcs_info" in document:
            return bool((document.get("dir_info") or {}).get("editable")), "vcs", None
        if "dir_info" in document:
            return bool(document["dir_info"].get("editable")), "local", None
        hashes = document["archive_info"].get("hashes") or {}
        digest, filename = hashes.get("sha256", ""), _file_name(address)
    except (canonical.NotCanonicalError, AttributeError, KeyError, TypeError):
        return False, "local", None
    wheel = None
    if filename.endswith(".whl") and isinstance(digest, str) and _SHA256.fullmatch(digest):
        wheel = Wheel(filename=filename, sha256=digest)
    return False, "local" if address.startswith("file:") else "url", wheel


def _file_name(address: str) -> str:
    return PurePosixPath(unquote(urlsplit(address).path)).name


def _without_addresses(requirements: Iterable[str]) -> tuple[str, ...]:
    """Requirements; of `name @ address` only the name stays (a private address could be in it)."""
    kept = []
    for requirement in requirements:
        named, at, address = requirement.partition("@")
        if at and ";" not in named:
            # PEP 508: white space must precede the `;` after an address.
            marker = re.search(r"\s;(.*)", address)
            requirement = named.strip() + (f"; {marker.group(1).strip()}" if marker else "")  # noqa: PLW2901
        kept.append(requirement)
    return tuple(kept)


def _top_level(data: bytes) -> frozenset[str]:
    return frozenset(data.decode("utf-8", "replace").split())


def _normal(name: str) -> str:
    """PEP 503 normalisation."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _imported(
    installs: Sequence[_Installed], roots: Sequence[tuple[str, str]], modules: Mapping[str, str]
) -> set[str]:
    """The names of the distributions that own one of the imported modules."""
    imported: set[str] = set()
    likely: dict[str, list[_Installed]] = {}
    for install in installs:
        for name in {install.name, *map(_normal, install.top_level)}:
            likely.setdefault(name, []).append(install)
    unresolved: list[tuple[str, str, str]] = []
    for module, file in modules.items():
        where = _beneath(file, roots)
        if where is None:
            if not file:
                unresolved.append(("", module, module + "/"))
            continue
        root, relative = where
        # Most modules are named like their distribution or stand in its top_level.txt: one search
        # instead of hundreds.
        for install in likely.get(_normal(module), ()):
            if _owns(install, root, module, relative):
                imported.add(install.name)
                break
        else:
            unresolved.append((root, module, relative))
    for root, module, relative in unresolved:
        for install in installs:
            if _owns(install, root, module, relative):
                imported.add(install.name)
                if not relative.endswith("/"):
                    break
    return imported


def _beneath(file: str, roots: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """The real search directory of a file and the path below it, the deepest directory first."""
    best: tuple[str, str] | None = None
    for spelled, real in roots:
        for prefix in (spelled, real):
            start = prefix.rstrip("/") + "/"
            if file.startswith(start) and (best is None or len(real) > len(best[0])):
                best = (real, file[len(start) :])
    return best


def _owns(install: _Installed, root: str, module: str, relative: str) -> bool:
    if root and install.root != root:
        return False
    if not install.record:
        return module in install.top_level
    line = relative.encode("utf-8", "surrogateescape")
    if not line.endswith(b"/"):
        line += b","
    # Lines are `path,hash,size`; a path with a comma is quoted and belongs to no module.
    return install.record.startswith(line) or b"\n" + line in install.record
