# SPDX-License-Identifier: Apache-2.0
"""Installs what repropack is measured against, each Python package in an environment of its own.

They come from the index that uv is set up for. REPROPACK_BENCH_PEERS names a directory to keep them
in; else they are installed anew for each measurement, which is not part of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from uv import find_uv_bin


def install(peers: Mapping[str, str], scratch: Path, trouble: dict[str, str]) -> dict[str, Path]:
    """The environment of each peer that could be installed; of others `trouble` gets the reason."""
    found = {}
    place = Path(os.environ.get("REPROPACK_BENCH_PEERS") or scratch / "peers").absolute()
    place.mkdir(parents=True, exist_ok=True)
    for name, packages in peers.items():
        # Two measurements may want the same program with others beside it.
        environment = place / "+".join(packages.split())
        if not (environment / ".installed").exists():
            uv = find_uv_bin()
            for command in (
                [uv, "venv", "-q", "--clear", "-p", sys.executable, str(environment)],
                # Some of them import pkg_resources, which later setuptools does not have.
                [uv, "pip", "install", "-q", "-p", str(environment / "bin/python"),
                 *packages.split(), "setuptools<80"],
            ):  # fmt: skip
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    said = done.stderr.strip().splitlines()
                    trouble[name] = f"could not be installed: {said[-1].strip()[:200]}"
                    break
            else:
                (environment / ".installed").touch()
        if name not in trouble:
            found[name] = environment
    return found
