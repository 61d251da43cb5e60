# SPDX-License-Identifier: Apache-2.0
"""A virtual environment with two packages and a namespace package, made without an installer."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["toy_environment"]


def toy_environment(place: Path, version: str = "1.0") -> Path:
    """Makes the environment at a place, each package of one version, and returns the place."""
    (place / "bin").mkdir(parents=True)
    (place / "bin/python").symlink_to(Path(sys.executable).resolve())
    home = Path(sys.executable).resolve().parent
    (place / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = place / "lib" / python / "site-packages"
    for name, module in (("toy", "toy"), ("other", "other"), ("part-of", "space/part")):
        (packages / module).mkdir(parents=True)
        (packages / module / "__init__.py").write_text("x = 1\n")
        info = packages / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\n"
        )
        (info / "RECORD").write_text(f"{module}/__init__.py,,\n")
    return place
