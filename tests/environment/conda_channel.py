# SPDX-License-Identifier: Apache-2.0
"""A channel of conda made on the spot, with the Python of the tests as its package `python`."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import zstandard

PLATFORM: Final = "linux-64" if os.uname().machine == "x86_64" else f"linux-{os.uname().machine}"
SERIES: Final = f"{sys.version_info[0]}.{sys.version_info[1]}"
PREFIX: Final = "/opt/the_place_where_this_was_built_and_which_is_long_enough_for_anybody"

_LEFT_OUT: Final = frozenset(
    {"site-packages", "test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo", "ensurepip"}
    | {"__pycache__", "pydoc_data", "distutils", "unittest", "venv", "msilib", "wsgiref"}
)

_START: Final = """#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH=$here/../lib exec "$here/python-program" "$@"
"""
"""The interpreter may look for its library where it was built."""

Content = tuple[bytes, int]


def write_archive(
    channel: Path,
    name: str,
    version: str,
    files: Mapping[str, Content],
    *,
    links: Mapping[str, str] | None = None,
    noarch: bool = False,
    build: str = "0",
) -> Path:
    """Writes a package in the format `.conda`. Text of `PREFIX` becomes the place of install."""
    platform = "noarch" if noarch else PLATFORM
    index = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": 0,
        "depends": [],
        "subdir": platform,
        **({"noarch": "python"} if noarch else {}),
    }
    paths = []
    for path, (data, _) in files.items():
        entry = {
            "_path": path,
            "path_type": "hardlink",
            "size_in_bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        if PREFIX.encode() in data:
            entry |= {"prefix_placeholder": PREFIX, "file_mode": "text"}
        paths.append(entry)
    paths += [{"_path": path, "path_type": "softlink"} for path in links or {}]
    info = {
        "info/index.json": index,
        "info/paths.json": {"paths": paths, "paths_version": 1},
        **(
            {"info/link.json": {"noarch": {"type": "python"}, "package_metadata_version": 1}}
            if noarch
            else {}
        ),
    }
    place = channel / platform / f"{name}-{version}-{build}.conda"
    place.parent.mkdir(parents=True, exist_ok=True)
    told = {path: (json.dumps(value).encode(), 0o644) for path, value in info.items()}
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        stem = place.stem
        archive.writestr(f"pkg-{stem}.tar.zst", _packed(files, links or {}))
        archive.writestr(f"info-{stem}.tar.zst", _packed(told, {}))
    return place


def _packed(files: Mapping[str, Content], links: Mapping[str, str]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for path, (data, mode) in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
        for path, target in links.items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return zstandard.ZstdCompressor(level=1).compress(raw.getvalue())


def write_python(channel: Path) -> Path:
    """The interpreter of the tests as a package."""
    base = Path(sys.base_prefix)
    library = base / "lib" / f"python{SERIES}"
    files: dict[str, Content] = {}
    for directory, folders, names in os.walk(library):
        folders[:] = [f for f in folders if f not in _LEFT_OUT and not f.startswith("config-")]
        for name in names:
            place = Path(directory, name)
            relative = place.relative_to(base)
            files[str(relative)] = (place.read_bytes(), 0o644)
    program = Path(os.path.realpath(sys.executable))
    files["bin/python-program"] = (program.read_bytes(), 0o755)
    files[f"bin/python{SERIES}"] = (_START.encode(), 0o755)
    for shared in base.glob("lib/libpython*.so*"):
        if not shared.is_symlink():
            files[f"lib/{shared.name}"] = (shared.read_bytes(), 0o755)
    site = f"lib/python{SERIES}/site-packages/README.txt"
    files[site] = (b"packages\n", 0o644)
    version = "{}.{}.{}".format(*sys.version_info)
    return write_archive(channel, "python", version, files, links={"bin/python": f"python{SERIES}"})


def link(prefix: Path, *archives: Path) -> None:
    """Makes an environment as conda does, `conda-meta` included."""
    import rattler

    async def work() -> None:
        records = [await rattler.RepoDataRecord.from_package_archive(a) for a in archives]
        await rattler.install(
            records,
            target_prefix=prefix,
            cache_dir=prefix.with_name("conda-cache"),
            show_progress=False,
        )

    asyncio.run(work())
    # As conda writes it down: the address has the channel in it.
    for place in (prefix / "conda-meta").glob("*.json"):
        told = json.loads(place.read_bytes())
        told["channel"] = f"https://conda.zoe.example/t/tk-secret/lab/{told['subdir']}"
        told["url"] = f"{told['channel']}/{told['fn']}"
        place.write_text(json.dumps(told))
