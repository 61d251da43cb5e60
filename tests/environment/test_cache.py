# SPDX-License-Identifier: Apache-2.0
"""The cache of downloaded packages: what is in it, what may go, and `gc --cache`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from repropack.environment.cache import apart, cache_directory, contents, is_unused, mark_used
from tests.project import Project

HOUR = 3600.0


@pytest.fixture
def cache(bare_project: Project) -> Path:
    """Two wheels and an archive of conda, of which one was used just now; something of uv's."""
    place = Path(bare_project.environment["HOME"], ".cache", "repropack")
    for name, age in (("wheels/aa", 0.0), ("wheels/bb", 2 * HOUR), ("conda/cc", 50 * HOUR)):
        file = place / name / "package"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 1000)
        os.utime(file, times=(time.time() - age,) * 2)
    (place / "uv/wheels-v5").mkdir(parents=True)
    (place / "uv/wheels-v5/thing").write_bytes(b"x" * 500)
    return place


def left(cache: Path) -> set[str]:
    """All files but uv's lock, which is empty and stays."""
    files = (p for p in cache.rglob("*") if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(cache)) for p in files}


def test_what_is_used_now_stays_and_the_rest_goes(bare_project: Project, cache: Path) -> None:
    before = left(cache)
    said = bare_project.ok("gc", "--cache", "--dry-run").splitlines()
    assert said == [f"{cache} has 3.4 KiB", "would remove 2.4 KiB of downloaded packages"]
    assert left(cache) == before
    assert bare_project.ok("gc", "--cache").splitlines()[-1].startswith("removed 2.4 KiB")
    assert left(cache) == {"wheels/aa/package"}
    assert "removed 0 B" in bare_project.ok("gc", "--cache")


def test_an_age_spares_what_was_used_since(bare_project: Project, cache: Path) -> None:
    bare_project.ok("gc", "--cache", "--older-than", "1d")
    assert left(cache) == {"wheels/aa/package", "wheels/bb/package", "uv/wheels-v5/thing"}


def test_use_is_noted(bare_project: Project, cache: Path) -> None:
    environ = bare_project.environment
    assert len([one for one in contents(environ) if is_unused(one, None)]) == 3
    mark_used(cache / "conda/cc/package")
    assert len([one for one in contents(environ) if is_unused(one, None)]) == 2


def test_a_cache_apart_has_what_is_there_and_changes_nothing_of_it(
    bare_project: Project, cache: Path, tmp_path: Path
) -> None:
    before = {path: path.lstat() for path in sorted(cache.rglob("*"))}
    variables = apart(bare_project.environment, tmp_path / "apart")
    other = cache_directory(variables)
    assert (other / "wheels/aa/package").read_bytes() == b"x" * 1000
    mark_used(other / "conda/cc/package")
    (other / "wheels/bb/package").unlink()
    (other / "wheels/dd").mkdir()
    after = {path: path.lstat() for path in sorted(cache.rglob("*"))}
    assert {p: (s.st_size, s.st_mtime_ns) for p, s in after.items()} == {
        p: (s.st_size, s.st_mtime_ns) for p, s in before.items()
    }


def test_it_needs_no_project_and_no_cache(bare_project: Project, tmp_path: Path) -> None:
    bare = Project(root=tmp_path, environment=bare_project.environment)
    assert bare.ok("gc", "--cache").splitlines()[-1] == "removed 0 B of downloaded packages"


def test_it_is_about_no_runs(bare_project: Project) -> None:
    done = bare_project.repropack("gc", "--cache", "--keep-last", "1")
    assert done.returncode == 2
    assert "--cache is about no runs" in done.stderr
