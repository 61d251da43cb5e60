# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from repropack import canonical
from repropack.digest import sha256_hex
from repropack.environment.installed import installed_distributions
from repropack.model import Distribution

MakeWheel = Callable[..., Path]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "lib" / "site-packages"
    folder.mkdir(parents=True)
    return folder


def unpack(wheel: Path, site: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)


def only(site: Path, modules: dict[str, str] | None = None) -> Distribution:
    (found,) = installed_distributions([str(site)], modules or {})
    return found


def test_what_pip_sees_is_found() -> None:
    # importlib.metadata is the oracle for the environment that these tests run in.
    site = sysconfig.get_path("purelib")
    expected = {
        d.metadata["Name"].lower().replace("_", "-").replace(".", "-"): d.version
        for d in importlib.metadata.distributions(path=[site])
    }
    found = installed_distributions([site], {})
    assert {d.name: d.version for d in found} == expected
    assert [d.name for d in found] == sorted(d.name for d in found)


def test_imported_modules_of_a_real_interpreter_are_told_apart() -> None:
    script = (
        "import json, sys, yaml, msgspec\n"
        "print(json.dumps([sys.path, {n: getattr(m, '__file__', None) or ''"
        " for n, m in list(sys.modules.items()) if '.' not in n}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=True)
    paths, modules = json.loads(done.stdout)
    found = {d.name: d for d in installed_distributions(paths, modules)}
    assert found["pyyaml"].imported  # named otherwise than its module
    assert found["msgspec"].imported
    assert not found["pytest"].imported
    assert not found["jinja2"].imported


def test_everything_that_a_lock_needs_is_read(make_wheel: MakeWheel, site: Path) -> None:
    requires = ("numpy>=1", 'tomli ; python_version < "3.11"')
    unpack(make_wheel("Some.Thing-here", "1.2+cpu", tag="py3-none-any", requires=requires), site)
    found = only(site)
    assert found.name == "some-thing-here"
    assert found.version == "1.2+cpu"
    assert found.tags == ("py3-none-any",)
    assert found.requires == requires
    record = next(site.glob("*.dist-info/RECORD")).read_bytes()
    assert found.record_sha256 == sha256_hex(record)
    assert (found.origin, found.editable, found.imported) == ("index", False, False)


def test_the_first_on_the_path_wins(make_wheel: MakeWheel, tmp_path: Path) -> None:
    for folder, version in (("a", "1.0"), ("b", "2.0")):
        unpack(make_wheel("thing", version), tmp_path / folder)
    paths = [str(tmp_path / "b"), "", "/nonexistent.zip", str(tmp_path / "a")]
    (found,) = installed_distributions(paths, {})
    assert found.version == "2.0"


def test_imported_is_decided_by_the_file_and_not_by_the_name(
    make_wheel: MakeWheel, site: Path
) -> None:
    unpack(make_wheel("alpha", "1", {"alpha/__init__.py": "", "shared.py": ""}), site)
    unpack(make_wheel("beta", "1", {"beta_module.py": "", "beta_module_more.py": ""}), site)
    modules = {
        "alpha": "/home/zoe/project/alpha/__init__.py",  # the user's own package of that name
        "beta_module": str(site / "beta_module.py"),
    }
    found = {d.name: d.imported for d in installed_distributions([str(site)], modules)}
    assert found == {"alpha": False, "beta": True}


def test_a_namespace_package_without_a_file_marks_those_that_share_it(
    make_wheel: MakeWheel, site: Path
) -> None:
    unpack(make_wheel("google-a", "1", {"google/a.py": ""}), site)
    unpack(make_wheel("googlish", "1", {"googlish/b.py": ""}), site)
    found = {d.name: d.imported for d in installed_distributions([str(site)], {"google": ""})}
    assert found == {"google-a": True, "googlish": False}


def test_a_linked_search_path_is_the_same_directory(
    make_wheel: MakeWheel, site: Path, tmp_path: Path
) -> None:
    unpack(make_wheel("thing", "1"), site)
    link = tmp_path / "lib64"
    link.symlink_to(site.parent)
    modules = {"thing": str(link / "site-packages" / "thing.py")}
    (found,) = installed_distributions([str(link / "site-packages"), str(site)], modules)
    assert found.imported


@pytest.mark.parametrize(
    ("document", "origin", "editable"),
    [
        ({"url": "file:///home/zoe/x", "dir_info": {"editable": True}}, "local", True),
        ({"url": "file:///home/zoe/x", "dir_info": {}}, "local", False),
        ({"url": "file:///home/zoe/x.whl", "archive_info": {}}, "local", False),
        ({"url": "https://zoe:pw@h/x.whl", "archive_info": {}}, "url", False),
        (
            {"url": "git+ssh://zoe@h/x", "vcs_info": {"vcs": "git", "commit_id": "0"}},
            "vcs",
            False,
        ),
        ({}, "local", False),
        ({"archive_info": {"hashes": "no table"}}, "local", False),
        ({"url": 3, "dir_info": 4}, "local", False),
    ],
)
def test_origin_is_told_without_the_address(
    make_wheel: MakeWheel, site: Path, document: object, origin: str, editable: bool
) -> None:
    unpack(make_wheel("thing", "1"), site)
    (next(site.glob("*.dist-info")) / "direct_url.json").write_text(json.dumps(document))
    found = only(site)
    assert (found.origin, found.editable, found.archive) == (origin, editable, None)
    assert b"zoe" not in canonical.encode(found)


def test_the_wheel_that_pip_wrote_down_is_kept_by_name_and_digest(
    make_wheel: MakeWheel, site: Path
) -> None:
    unpack(make_wheel("thing", "1+cpu"), site)
    document = {
        "url": "file:///home/zoe/w/thing-1%2Bcpu-py3-none-any.whl",
        "archive_info": {"hashes": {"sha256": "ab" * 32}},
    }
    (next(site.glob("*.dist-info")) / "direct_url.json").write_text(json.dumps(document))
    archive = only(site).archive
    assert archive is not None
    assert archive.filename == "thing-1+cpu-py3-none-any.whl"
    assert archive.sha256 == "ab" * 32


def test_requirements_lose_their_private_addresses(make_wheel: MakeWheel, site: Path) -> None:
    requires = ('inner @ https://token@git.zoe.example/inner.git ; python_version > "3"', "b")
    unpack(make_wheel("thing", "1", requires=requires), site)
    assert only(site).requires == ('inner; python_version > "3"', "b")


def test_old_installs_and_development_trees_are_seen(tmp_path: Path) -> None:
    dist = tmp_path / "dist-packages"
    dist.mkdir()
    (dist / "old-1.0.egg-info").write_text("Metadata-Version: 1.0\nName: old\nVersion: 1.0\n")
    info = dist / "older-2.0.egg-info"
    info.mkdir()
    (info / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: older\nVersion: 2.0\n")
    (info / "top_level.txt").write_text("elder\n")
    tree = tmp_path / "src" / "mine.egg-info"
    tree.mkdir(parents=True)
    (tree / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: mine\nVersion: 3.0\n")
    modules = {"elder": str(dist / "elder.py")}
    found = {d.name: d for d in installed_distributions([str(dist), str(tree.parent)], modules)}
    assert {n: d.editable for n, d in found.items()} == {"mine": True, "old": False, "older": False}
    assert found["older"].imported
    assert not found["old"].imported


def test_broken_metadata_does_not_break_the_recorder(make_wheel: MakeWheel, site: Path) -> None:
    unpack(make_wheel("good", "1"), site)
    (site / "empty-1.dist-info").mkdir()
    (site / "file-1.dist-info").write_text("")
    (site / "bytes-1.dist-info").mkdir()
    (site / "bytes-1.dist-info" / "METADATA").write_bytes(b"Name: \xff\xfe\nVer")
    assert only(site).name == "good"
