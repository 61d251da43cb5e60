# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.compat.freeze` writes the bundles that every later version must read.

They are made by the program as users run it, and signed with a key that everybody has. Once the
version is tagged its files are never written again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from repropack import __version__
from repropack.signing.keys import SigningKey
from tests.project import Project

__all__ = ["HERE", "KEY", "digest_lines", "frozen_files", "main", "members"]

HERE: Final = Path(__file__).parent
INDEX: Final = "index.json"
DIGESTS: Final = "SHA256SUMS"

KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""The private key. It is public knowledge: a signature by it says nothing about who signed."""

PACKAGE: Final = "packaging==25.0"
"""One package, so that a lock file with a wheel is among what later versions must read."""

README: Final = """\
# Bundles of repropack {version}

Every later version must read these files and say the same of them. They are frozen from the moment
the version is tagged (`v{version}`): until then `python -m tests.compat.freeze` may write them
anew, afterwards it refuses to, and nothing in this directory may change.

They are signed with a key that is public knowledge (the Ed25519 private key is the bytes 0 to 31),
so a signature here says nothing about who signed. Never trust that key.

| file | what is in it |
|---|---|
| `evaluated.rpk` | a training and its evaluation by shell scripts; its claim is reproduced |
| `data.rpk` | a training in Python with a package, on a data set that is included |
| `paths.rpk` | executable files; paths with a `prefix`, with PAX records, and in other scripts |

`index.json` has, for each, the digests of the file, of its manifest and of its members, and what
`repropack verify --no-run --signer …` says. `SHA256SUMS` has the digest of every other file here.
"""

TRAIN: Final = """\
import json, pathlib, sys
import packaging
rows = [float(p.read_text()) for p in sorted(pathlib.Path(sys.argv[1]).glob("*.txt"))]
pathlib.Path("out").mkdir(exist_ok=True)
pathlib.Path("out/model.bin").write_text(json.dumps([sum(rows) / len(rows)]))
pathlib.Path("out/metrics.json").write_text(json.dumps({"accuracy": sum(rows) / 40}))
"""


def main(version: str = __version__) -> None:
    """Writes the directory of a version.

    Raises:
        SystemExit: The version is tagged, or a bundle names a place of this machine.
    """
    tagged = subprocess.run(
        ["git", "tag", "--list", f"v{version}"], cwd=HERE, check=True, capture_output=True
    ).stdout
    if tagged:
        raise SystemExit(f"repropack {version} is tagged: its bundles are frozen")
    fingerprint = SigningKey(KEY).public.fingerprint
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        directory = place / version
        directory.mkdir()
        for name, make in (("evaluated", _evaluated), ("data", _data), ("paths", _paths)):
            make(_project(place, name), directory / f"{name}.rpk")
        bundles = [_describe(path, fingerprint, place) for path in sorted(directory.glob("*.rpk"))]
        index = {"version": version, "signer": fingerprint, "bundles": bundles}
        text = json.dumps(index, indent=1, ensure_ascii=False)
        (directory / INDEX).write_text(text + "\n", encoding="utf-8")
        (directory / "README.md").write_text(README.format(version=version), encoding="utf-8")
        (directory / DIGESTS).write_text("".join(digest_lines(directory)), encoding="ascii")
        shutil.rmtree(HERE / version, ignore_errors=True)
        shutil.copytree(directory, HERE / version)


def frozen_files(directory: Path) -> list[Path]:
    """All that `SHA256SUMS` covers."""
    return sorted(path for path in directory.iterdir() if path.name != DIGESTS)


def digest_lines(directory: Path) -> list[str]:
    """The lines of `SHA256SUMS`, as sha256sum(1) writes them."""
    return [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in frozen_files(directory)
    ]


def members(extracted: Path) -> list[dict[str, Any]]:
    """Path, size, digest and executable bit of all files of an extracted bundle."""
    return [
        {
            "path": path.relative_to(extracted).as_posix(),
            "size": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "executable": bool(path.stat().st_mode & 0o100),
        }
        for path in sorted(extracted.rglob("*"))
        if path.is_file()
    ]


def _project(place: Path, name: str) -> Project:
    root = place / name / "project"
    home = place / name / "home"
    root.mkdir(parents=True)
    home.mkdir()
    environment = place / "environment"
    if not environment.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        pip = (str(environment / "bin/python"), "-m", "pip", "--quiet")
        subprocess.run([*pip, "install", PACKAGE], check=True)
        subprocess.run([*pip, "uninstall", "--yes", "pip", "setuptools"], check=True)
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (place / "key.pem").write_bytes(pem)
    (place / "key.pem").chmod(0o600)
    passed = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "UV_", "SSL_"))}
    project = Project(
        root,
        {
            **passed,
            "HOME": str(home),
            "PATH": f"{environment}/bin:{os.environ['PATH']}",
            "REPROPACK_HOME": str(home / "settings"),
            "LC_ALL": "C.UTF-8",
        },
    )
    project.write("LICENSE", "No rights reserved (CC0-1.0).\n")
    project.write(".gitignore", "out/\n")
    subprocess.run(["git", "init", "-q", root], check=True)
    return project


def _export(project: Project, target: Path, *options: str) -> None:
    key = project.root.parent.parent / "key.pem"
    project.ok("export", "-o", str(target), "--key", str(key), "--yes", *options)


def _evaluated(project: Project, target: Path) -> None:
    project.write("train.sh", "mkdir -p out && echo 0.9125 > out/model.bin\n")
    project.write("eval.sh", 'printf \'{"accuracy": %s}\' "$(cat "$1")" > out/metrics.json\n')
    project.ok("run", "--name", "train", "--", "sh", "train.sh")
    project.ok("run", "--name", "eval", "--", "sh", "eval.sh", "out/model.bin")
    _export(project, target)


def _data(project: Project, target: Path) -> None:
    # Below the home, so that its place is not recorded: it differs each time.
    data = Path(project.environment["HOME"]) / "numbers"
    data.mkdir()
    for number in range(40):
        (data / f"{number:02}.txt").write_text(f"{number / 40}\n")
    (data / "größen 7.txt").write_text("0.5\n")
    project.write("train.py", TRAIN)
    project.ok("run", "--data", f"numbers={data}", "--", "python", "train.py", str(data))
    _export(project, target, "--include-data")


def _paths(project: Project, target: Path) -> None:
    deep = "/".join(["a" * 40] * 5)
    wide = "/".join(["重み" * 20] * 3)
    project.write(
        "train.sh",
        f"mkdir -p 'out/{deep}' 'out/{wide}'\n"
        f"echo 1 > 'out/{deep}/model.bin'\n"
        f"echo 2 > 'out/{wide}/модель.bin'\n"
        f"echo 3 > 'out/{'x' * 150}.bin'\n"
        "printf '#!/bin/sh\\necho 4\\n' > out/predict.sh && chmod +x out/predict.sh\n"
        "printf '' > out/empty.bin\n"
        "echo 'accuracy: 0.5'\n",
    )
    project.ok("run", "--", "sh", "train.sh")
    _export(project, target, "--weights", "out/**")


def _describe(bundle: Path, fingerprint: str, place: Path) -> dict[str, Any]:
    program = Project(place, dict(os.environ))
    options = ("--no-run", "--signer", fingerprint, "--json")
    report = json.loads(program.ok("verify", str(bundle), *options))
    extracted = place / f"extracted-{bundle.stem}"
    program.ok("extract", str(bundle), str(extracted))
    listed = members(extracted)
    private = (os.uname().nodename, str(Path.home()), str(place), str(HERE.parents[1]))
    for member in listed:
        content = (extracted / member["path"]).read_bytes()
        for word in private:
            # A short name is in any base64 by chance.
            if len(word) > 3 and word.encode() in content:
                raise SystemExit(f"{bundle}: {member['path']} names {word}")
    return {
        "file": bundle.name,
        "sha256": hashlib.sha256(bundle.read_bytes()).hexdigest(),
        "manifest_sha256": hashlib.sha256((extracted / "manifest.json").read_bytes()).hexdigest(),
        "verdict": report["verdict"],
        "members": listed,
    }


if __name__ == "__main__":
    main()
