# SPDX-License-Identifier: Apache-2.0
"""Wheels made of what is installed, judged by an installer that knows nothing of us."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from msgspec.structs import replace
from uv import find_uv_bin

from repropack.digest import sha256_hex
from repropack.environment.installed import installed_distributions
from repropack.environment.repacking import repack
from repropack.model import Distribution

INFO = "odd_name-4.9.3.dist-info"


def _line(path: str, data: bytes) -> str:
    value = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{path},sha256={value},{len(data)}"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """What an installer leaves of a package that it has built from source."""
    place = tmp_path / "env/lib/python3.11/site-packages"
    python = tmp_path / "env/bin/python"
    files = {
        "odd/__init__.py": b"VALUE = 3\n",
        "odd/data, with comma.txt": b"x",
        f"{INFO}/METADATA": b"Metadata-Version: 2.1\nName: odd-name\nVersion: 4.9.3\n\n",
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nGenerator: bdist_wheel\nRoot-Is-Purelib: true\n"
        b"Tag: py3-none-any\n\n",
        f"{INFO}/entry_points.txt": b"[console_scripts]\nodd-run = odd:main\n",
        f"{INFO}/INSTALLER": b"uv",
        "../../../bin/odd-run": b"#!%s\nimport odd\n" % bytes(python),
        "../../../bin/odd-script": b"#!%s\nimport odd; print(odd.VALUE)\n" % bytes(python),
    }
    lines = []
    for path, data in files.items():
        target = Path(os.path.normpath(place / path))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        if "/bin/" in path:
            target.chmod(0o755)
        lines.append(_line(f'"{path}"' if "," in path else path, data))
    lines += ["odd/__pycache__/__init__.cpython-311.pyc,,", f"{INFO}/RECORD,,", ""]
    (place / INFO / "RECORD").write_text("\n".join(lines))
    return place


def _recorded(site: Path) -> Distribution:
    (found,) = installed_distributions([str(site)], {})
    return found


def test_an_installer_gets_the_same_files(site: Path, tmp_path: Path) -> None:
    distribution = _recorded(site)
    wheel, reason = repack(distribution, ["/nowhere", str(site)], tmp_path / "cache")
    assert wheel is not None, reason
    assert wheel.wheel.filename == "odd_name-4.9.3-py3-none-any.whl"
    assert sha256_hex(wheel.path.read_bytes()) == wheel.wheel.sha256
    again, _ = repack(distribution, [str(site)], tmp_path / "other")
    assert again is not None
    assert again.wheel == wheel.wheel
    # No place of this machine is in it.
    assert str(tmp_path).encode() not in b"".join(
        zipfile.ZipFile(wheel.path).read(name) for name in zipfile.ZipFile(wheel.path).namelist()
    )
    target = tmp_path / "fresh"
    uv = [find_uv_bin(), "--no-config", "--offline", "--cache-dir", str(tmp_path / "uv")]
    subprocess.run([*uv, "venv", "-q", "-p", sys.executable, target], check=True)
    subprocess.run(
        [*uv, "pip", "install", "-q", "-p", f"{target}/bin/python", "--no-index", wheel.path],
        check=True,
    )
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    fresh = target / "lib" / version / "site-packages"
    for path in ("odd/__init__.py", "odd/data, with comma.txt", f"{INFO}/METADATA"):
        assert (fresh / path).read_bytes() == (site / path).read_bytes()
    done = subprocess.run([target / "bin/odd-script"], capture_output=True, check=True)
    assert done.stdout == b"3\n"
    assert (target / "bin/odd-run").exists()


def test_what_is_not_the_recorded_installation_is_not_packed(site: Path, tmp_path: Path) -> None:
    distribution = _recorded(site)
    cache = tmp_path / "cache"
    assert repack(replace(distribution, origin="vcs"), [str(site)], cache)[0] is None
    other = replace(distribution, record_sha256="0" * 64)
    wheel, reason = repack(other, [str(site)], cache)
    assert (wheel, reason) == (
        None, "the installation that was recorded is not on this machine any more"
    )  # fmt: skip
    (site / "odd/__init__.py").write_text("VALUE = 4\n")
    assert repack(distribution, [str(site)], cache) == (
        None, "odd/__init__.py is not what was installed"
    )  # fmt: skip
    (site / "odd/__init__.py").unlink()
    wheel, reason = repack(distribution, [str(site)], cache)
    assert wheel is None
    assert reason.startswith("odd/__init__.py: No such file")
    assert not cache.exists()
