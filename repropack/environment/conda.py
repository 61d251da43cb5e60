# SPDX-License-Identifier: Apache-2.0
"""What conda has installed, read from `conda-meta/*.json`; conda itself is not called.

Of a channel only its name is taken: its address can hold a token or a host of the author's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from repropack import canonical
from repropack.model import CondaPackage, Environment

__all__ = [
    "ARCHIVE",
    "channel_names",
    "conda_metadata",
    "conda_packages",
    "important",
    "needs_conda",
    "recipe",
]

ARCHIVE: Final = re.compile(r"[a-z0-9_][a-z0-9_.-]*-[^-/\s]+-[^-/\s]+\.(?:conda|tar\.bz2)")
"""The name of an archive: name, version and build (conda's CEP 26), without a directory."""

_MAX_RECORD: Final = 64 * 1024 * 1024
"""Bytes of the record of one package: those of 100,000 files have about 20 MiB."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_CHANNEL: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_METADATA: Final = re.compile(
    rb'"lib/python[0-9.]+t?/site-packages/([^/"]+\.(?:dist-info|egg-info))(?:/(?:METADATA|PKG-INFO))?"'
)
_PLATFORM: Final = re.compile(r"(?:noarch|(?:linux|osx|win|emscripten|wasi)-[a-z0-9_]+)")


_NUMERIC: Final = re.compile(
    r"python|blas|libblas|liblapack|openblas|libopenblas|nomkl|mkl|mkl-service|blis|llvm-openmp"
    r"|libgomp|cudatoolkit|cuda-version|cudnn|nccl|pytorch.*|tensorflow.*|jaxlib"
)
"""Packages of conda that decide about numbers though no Python package has their name."""

_WORD: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.!+-]{0,99}")
MAX_NAMED: Final = 12
"""Packages in a command that the reader is told to type."""


def conda_packages(prefix: Path) -> tuple[CondaPackage, ...]:
    """The packages of a conda environment, by name; none where it is no such environment.

    A record that cannot be read is left out, as conda does.
    """
    found = []
    for place in sorted(prefix.glob("conda-meta/*.json")):
        try:
            if place.stat().st_size > _MAX_RECORD:
                continue
            told: dict[str, Any] = canonical.decode(place.read_bytes(), dict)
        except (OSError, canonical.NotCanonicalError):
            continue
        name, version = told.get("name"), told.get("version")
        if not isinstance(name, str) or not isinstance(version, str):
            continue
        sha256, md5 = str(told.get("sha256") or ""), str(told.get("md5") or "")
        found.append(
            CondaPackage(
                name=name,
                version=version,
                build=str(told.get("build") or ""),
                file_name=_file_name(told),
                channel=_channel(str(told.get("channel") or "")),
                platform=str(told.get("subdir") or ""),
                sha256=sha256 if _SHA256.fullmatch(sha256) else None,
                md5=md5 if _MD5.fullmatch(md5) else None,
            )
        )
    return tuple(sorted(found, key=lambda package: package.name))


def conda_metadata(site: Path) -> frozenset[str]:
    """The metadata directories and files in a site-packages that belong to packages of conda.

    conda-build lets them say that they come from a directory, which is one of its own machine.
    """
    places = site.parent.parent.parent.glob("conda-meta/*.json")
    found: set[str] = set()
    for place in places:
        try:
            if place.stat().st_size <= _MAX_RECORD:
                # Read as text: only names are looked for, in files of up to some megabytes.
                found.update(name.decode() for name in _METADATA.findall(place.read_bytes()))
        except (OSError, UnicodeDecodeError):
            continue
    return frozenset(found)


def _file_name(told: dict[str, Any]) -> str:
    """`fn`; where it is a bare name, as in old records, the ending is that of the address."""
    name = str(told.get("fn") or "")
    if not ARCHIVE.fullmatch(name):
        name = str(told.get("url") or "").partition("?")[0].rpartition("/")[2]
    return name if ARCHIVE.fullmatch(name) else ""


def _channel(address: str) -> str:
    """`conda-forge` of `https://HOST/t/TOKEN/conda-forge/linux-64`."""
    plain = address.partition("?")[0]
    parts = [part for part in plain.split("/") if part and not _PLATFORM.fullmatch(part)]
    name = parts[-1] if parts else ""
    is_host = "://" in address and len(parts) <= 2  # the scheme and the host
    return "" if is_host or not _CHANNEL.fullmatch(name) else name


def needs_conda(environment: Environment) -> bool:
    """Whether the run used a package of conda's; a Python alone can be another build of it."""
    return any(one.origin == "conda" and one.imported for one in environment.distributions)


def recipe(environment: Environment) -> str:
    """A command by which the reader makes a like environment; its words need no quoting."""
    imported = {one.name for one in environment.distributions if one.imported}
    chosen = [
        one
        for one in environment.conda
        if (one.name in imported or important(one.name)) and _is_plain(one)
    ]
    chosen.sort(key=lambda one: (one.name != "python", one.name))
    words = ["micromamba create -n reproduce"]
    words += [f"-c {name}" for name in channel_names(environment)]
    words += [f"{one.name}={one.version}={one.build}" for one in chosen[:MAX_NAMED]]
    return " ".join(words)


def channel_names(environment: Environment) -> list[str]:
    """The channels that a command names; `defaults` is several."""
    names = dict.fromkeys(
        "defaults" if one.channel in ("main", "r") else one.channel
        for one in environment.conda
        if _WORD.fullmatch(one.channel)
    )
    return list(names)[:MAX_NAMED]


def important(name: str) -> bool:
    """Whether a package decides about numbers though no Python package has its name."""
    return _NUMERIC.fullmatch(name) is not None


def _is_plain(package: CondaPackage) -> bool:
    return all(map(_WORD.fullmatch, (package.name, package.version, package.build)))
