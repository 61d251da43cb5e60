# SPDX-License-Identifier: Apache-2.0
"""An index of a test's own: a folder of wheels, whose numbers hang on their versions."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.project import Project

__all__ = ["make_environment", "own_index", "write_wheel"]

UV = Path(sys.executable).with_name("uv")


def own_index(place: Path, project: Project) -> Path:
    """A folder that is all that the project's author and readers install from."""
    index = place / "index"
    index.mkdir()
    config = Path(project.environment["HOME"]) / ".config/uv/uv.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"no-index = true\nfind-links = [{json.dumps(str(index))}]\n")
    return index


def write_wheel(index: Path, name: str, version: str, *, module: str) -> None:
    """A package that says which version it is."""
    stem = name.replace("-", "_")
    info = f"{stem}-{version}.dist-info"
    contents = {
        f"{module}/__init__.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = []
    for path, text in contents.items():
        raw = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
        lines.append(f"{path},sha256={raw.decode()},{len(text)}\n")
    contents[f"{info}/RECORD"] = "".join(lines) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(index / f"{stem}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path), text)


def make_environment(place: Path, index: Path, *packages: str) -> Path:
    """The interpreter of a virtual environment with packages of the index."""
    python = place / "bin" / "python"
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, place], check=True)
    subprocess.run(
        [UV, "pip", "install", "-q", "--python", python, "--no-index", "--find-links", index,
         *packages],
        check=True,
    )  # fmt: skip
    return python
