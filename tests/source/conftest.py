# SPDX-License-Identifier: Apache-2.0
"""A real git beside ours: it makes repositories and judges what we made of them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plain_git import run_git

Git = Callable[..., bytes]
Hostile = Callable[..., tuple[Path, str]]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An author with an empty home, whatever the machine's user has configured."""
    place = tmp_path / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    return place


@pytest.fixture
def git(home: Path) -> Git:
    def call(directory: Path, *arguments: str, stdin: bytes = b"", check: bool = True) -> bytes:
        author = ("Zoe", "zoe@example.org")
        done = run_git(directory, *arguments, home=home, author=author, stdin=stdin)
        if check:
            assert done.returncode == 0, done.stderr.decode()
        return done.stdout.strip() if check else str(done.returncode).encode()

    return call


@pytest.fixture
def project(tmp_path: Path, git: Git) -> Path:
    """A repository with one commit."""
    root = tmp_path / "project"
    (root / "pkg").mkdir(parents=True)
    (root / "train.py").write_text("print('train')\n")
    (root / "pkg/model.py").write_text("x = 1\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / ".gitignore").write_text("*.log\n/.repropack/\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    return root


@pytest.fixture
def store(project: Path) -> Path:
    return project / ".repropack/git"


def fingerprint(directory: Path) -> dict[str, tuple[int, str]]:
    """Mode and digest of every file below a directory."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mode,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def hostile(tmp_path: Path, git: Git) -> Hostile:
    """Writes a bundle from raw objects: what no git would make, but a hostile hand can."""
    serial = 0

    def make(
        objects: list[tuple[str, bytes]],
        *,
        header: Callable[[str], bytes] | None = None,
        tail: bytes = b"",
    ) -> tuple[Path, str]:
        """Packs the objects; the last one is the commit that the header names."""
        nonlocal serial
        serial += 1
        repository = tmp_path / f"hostile-{serial}.git"
        git(tmp_path, "init", "-q", "--bare", str(repository))
        ids = [
            git(
                repository, "hash-object", "-w", "--literally", "-t", kind, "--stdin", stdin=data
            ).decode()
            for kind, data in objects
        ]
        commit = ids[-1]
        pack = subprocess.run(
            ["git", "pack-objects", "-q", "--stdout"],
            cwd=repository,
            input="\n".join(dict.fromkeys(ids)).encode() + b"\n",
            capture_output=True,
            check=True,
        ).stdout
        text = f"# v2 git bundle\n{commit} HEAD\n{commit} refs/heads/main\n\n".encode()
        bundle = tmp_path / f"hostile-{serial}.bundle"
        bundle.write_bytes((header(commit) if header else text) + pack + tail)
        return bundle, commit

    return make
