# SPDX-License-Identifier: Apache-2.0
"""What conda has installed, read from `conda-meta/*.json`; conda itself is not called.

Of a channel only its name is taken: its address can hold a token or a host of the author's.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from repropack import canonical
from repropack.model import CondaPackage

__all__ = ["conda_packages"]

_MAX_RECORD: Final = 64 * 1024 * 1024
"""Bytes of the record of one package: those of 100,000 files have about 20 MiB."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MD5: Final = re.compile(r"[0-9a-f]{32}")
_CHANNEL: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_PLATFORM: Final = re.compile(r"(?:noarch|(?:linux|osx|win|emscripten|wasi)-[a-z0-9_]+)")


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
                channel=_channel(str(told.get("channel") or "")),
                platform=str(told.get("subdir") or ""),
                sha256=sha256 if _SHA256.fullmatch(sha256) else None,
                md5=md5 if _MD5.fullmatch(md5) else None,
            )
        )
    return tuple(sorted(found, key=lambda package: package.name))


def _channel(address: str) -> str:
    """`conda-forge` of `https://HOST/t/TOKEN/conda-forge/linux-64`."""
    plain = address.partition("?")[0]
    parts = [part for part in plain.split("/") if part and not _PLATFORM.fullmatch(part)]
    name = parts[-1] if parts else ""
    is_host = "://" in address and len(parts) <= 2  # the scheme and the host
    return "" if is_host or not _CHANNEL.fullmatch(name) else name
