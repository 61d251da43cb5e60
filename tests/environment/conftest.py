# SPDX-License-Identifier: Apache-2.0
"""Wheels made on the spot, so that most tests need no network."""

from __future__ import annotations

import base64
import hashlib
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from repropack.environment.index import IndexSettings
from repropack.environment.uv import Uv, find_uv

MakeWheel = Callable[..., Path]
MakeUv = Callable[..., Uv]


@pytest.fixture
def wheelhouse(tmp_path: Path) -> Path:
    folder = tmp_path / "wheel house, #1"
    folder.mkdir()
    return folder


@pytest.fixture
def make_wheel(wheelhouse: Path) -> MakeWheel:
    """Makes a wheel: `make_wheel("name", "1.0", {"name.py": "code"})`."""

    def make(
        name: str,
        version: str,
        files: Mapping[str, str] | None = None,
        *,
        tag: str = "py3-none-any",
        requires: tuple[str, ...] = (),
        folder: Path = wheelhouse,
        unlisted: Mapping[str, str] | None = None,
        further_lines: str = "",
        metadata: str = "",
    ) -> Path:
        stem = name.replace("-", "_")
        info = f"{stem}-{version}.dist-info"
        contents = {
            **(files if files is not None else {f"{stem}.py": f"VERSION = '{version}'\n"}),
            f"{info}/METADATA": metadata
            or f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            + "".join(f"Requires-Dist: {text}\n" for text in requires),
            f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
            f"Tag: {tag}\n",
        }
        lines = []
        for path, text in contents.items():
            raw = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
            quoted = f'"{path}"' if "," in path else path
            lines.append(f"{quoted},sha256={raw.decode()},{len(text.encode())}\n")
        contents[f"{info}/RECORD"] = "".join(lines) + further_lines + f"{info}/RECORD,,\n"
        contents.update(unlisted or {})
        wheel = folder / f"{stem}-{version}-{tag}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path, text in contents.items():
                archive.writestr(zipfile.ZipInfo(path), text)
        return wheel

    return make


@pytest.fixture
def make_uv(tmp_path: Path) -> MakeUv:
    """A uv with an empty cache of its own; without settings it reaches no index."""

    def make(settings: IndexSettings | None = None, environ: Mapping[str, str] | None = None) -> Uv:
        variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")}
        return find_uv({**variables, **(environ or {})}, settings or IndexSettings(no_index=True))

    return make
