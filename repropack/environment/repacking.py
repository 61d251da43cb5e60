# SPDX-License-Identifier: Apache-2.0
"""A wheel made again of what is installed, for packages that no index has as a wheel.

`antlr4-python3-runtime`, which OmegaConf and so Hydra need, is published as source alone: every
author's installer has built a wheel of its own and thrown it away. What it held is still there, and
its RECORD, whose digest the run recorded, vouches for every file. The format is that of the
specification "Binary distribution format"; the same files give the same bytes.
"""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from repropack.digest import hash_file, sha256_hex
from repropack.environment.wheels import FetchedWheel, wheel_place
from repropack.model import Distribution, Wheel

__all__ = ["repack"]

SIZE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of the installed files: what is larger is no package that is published as source alone."""

_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip file can say."""

_INSTALLERS: Final = ("INSTALLER", "REQUESTED", "direct_url.json", "RECORD", "uv_cache.json")
"""What an installer writes down beside the metadata: its doing, and places of this machine."""


_INTERPRETER: Final = re.compile(rb"\A#![^\n]*python[^\n]*\n")


class _CannotRepackError(Exception):
    """Why a package cannot be packed."""


def repack(
    distribution: Distribution, places: Iterable[str], cache: Path
) -> tuple[FetchedWheel | None, str]:
    """Packs what is installed of a distribution into a wheel.

    Args:
        distribution: As it was recorded.
        places: Directories of installed packages on this machine.
        cache: Where wheels are kept.

    Returns:
        The wheel, or None and the reason. It installs the recorded files, byte for byte.

    Raises:
        OSError: The cache cannot be written.
    """
    if distribution.origin != "index" or distribution.editable:
        return None, "it was not installed from an index"
    for place in places:
        folder = _folder(place, distribution)
        if folder is None:
            continue
        try:
            data, filename = _packed(place, folder, distribution)
        except _CannotRepackError as error:
            return None, str(error)
        wheel = Wheel(filename=filename, sha256=sha256_hex(data))
        path = wheel_place(cache, wheel)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{os.getpid()}")
        temporary.write_bytes(data)
        os.replace(temporary, path)
        return FetchedWheel(package=distribution.name, wheel=wheel, path=path, size=len(data)), ""
    return None, "the installation that was recorded is not on this machine any more"


def _folder(place: str, distribution: Distribution) -> str | None:
    """The `dist-info` directory that was recorded."""
    try:
        names = sorted(os.listdir(place))
    except OSError:
        return None
    for name in names:
        stem = name.removesuffix(".dist-info").partition("-")[0]
        if not name.endswith(".dist-info") or canonicalize_name(stem) != distribution.name:
            continue
        try:
            found, _ = hash_file(Path(place, name, "RECORD"))
        except OSError:
            continue
        if found == distribution.record_sha256:
            return name
    return None


def _packed(place: str, folder: str, distribution: Distribution) -> tuple[bytes, str]:
    """The bytes of the wheel, and its file name."""
    stem = folder.removesuffix(".dist-info")
    files: dict[str, tuple[bytes, bool]] = {}
    left = SIZE_LIMIT
    with open(os.path.join(place, folder, "RECORD"), encoding="utf-8", newline="") as record:
        rows = [row for row in csv.reader(record) if row]
    for path, digest, *_ in rows:
        if path.endswith(".pyc") or (
            os.path.dirname(path) == folder and os.path.basename(path) in _INSTALLERS
        ):
            continue
        outside = path.startswith(("/", "../")) or "/../" in path
        if outside and os.path.basename(os.path.dirname(path)) != "bin":
            raise _CannotRepackError(f"it has files outside its directory: {path}")
        try:
            data = Path(place, path).read_bytes()
            executable = bool(os.stat(os.path.join(place, path)).st_mode & stat.S_IXUSR)
        except OSError as error:
            raise _CannotRepackError(f"{path}: {error.strerror or error}") from error
        if digest != _digest(data):
            raise _CannotRepackError(f"{path} is not what was installed")
        left -= len(data)
        if left < 0:
            raise _CannotRepackError(f"it has more than {SIZE_LIMIT} bytes")
        if outside:
            # Installers put the place of the interpreter where a wheel has a word.
            name = f"{stem}.data/scripts/{os.path.basename(path)}"
            files[name] = _INTERPRETER.sub(b"#!python\n", data, count=1), executable
        else:
            files[path] = data, executable
    for script in _entry_points(files.get(f"{folder}/entry_points.txt", (b"", False))[0]):
        # Installers write these themselves.
        files.pop(f"{stem}.data/scripts/{script}", None)
    lines = io.StringIO()
    written = csv.writer(lines, lineterminator="\n")
    for path, (data, _) in sorted(files.items()):
        written.writerow((path, _digest(data), len(data)))
    written.writerow((f"{folder}/RECORD", "", ""))
    # The specification wants the metadata at the end.
    ordered = sorted(files, key=lambda path: (path.startswith(f"{folder}/"), path))
    files[f"{folder}/RECORD"] = lines.getvalue().encode(), False
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in (*ordered, f"{folder}/RECORD"):
            data, executable = files[path]
            entry = zipfile.ZipInfo(path, _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            archive.writestr(entry, data)
    return buffer.getvalue(), f"{stem}-{_tag(distribution.tags)}.whl"


def _entry_points(text: bytes) -> set[str]:
    """The names of an `entry_points.txt`, whatever their group."""
    lines = text.decode("utf-8", "replace").splitlines()
    return {line.partition("=")[0].strip() for line in lines if "=" in line}


def _tag(tags: tuple[str, ...]) -> str:
    """The tags of a WHEEL file as one compressed set."""
    parts = [tag.split("-") for tag in tags]
    if not parts or any(len(part) != 3 for part in parts):
        raise _CannotRepackError("its WHEEL file has no tags")
    return "-".join(".".join(sorted({part[i] for part in parts})) for i in range(3))


def _digest(data: bytes) -> str:
    """A digest as RECORD has it: URL-safe base64 without padding."""
    value = base64.urlsafe_b64encode(bytes.fromhex(sha256_hex(data))).rstrip(b"=")
    return f"sha256={value.decode('ascii')}"
