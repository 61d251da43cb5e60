# SPDX-License-Identifier: Apache-2.0
"""What lies in a rebuilt environment, against what its wheels say of themselves."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repropack.environment.installation import Installation, check_installation, site_packages
from repropack.environment.rebuilding import EnvironmentNotBuiltError, build
from repropack.environment.uv import Uv
from repropack.findings import Code
from repropack.model import Verdict
from tests.environment.test_uv import BASE, HERE, locked
from tests.environment.test_wheels import with_wheels
from tests.verify.release_builder import check

MakeWheel = Callable[..., Path]
MakeUv = Callable[..., Uv]


def test_every_installed_file_is_compared_with_its_record(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    files = {
        "thing/__init__.py": "",
        "thing/a, b.py": "x = 1\n",
        "thing-1.0.dist-info/entry_points.txt": "[console_scripts]\nthing = thing:main\n",
        "thing-1.0.data/scripts/tool": "#!python\nprint(1)\n",
        "sitecustomize.py": "",
    }
    entry = locked(make_wheel("thing", "1.0", files))
    target = tmp_path / "environment"
    own = build(make_uv(), [entry], BASE, target, wheels=wheelhouse, offline=True, progress=print)
    good = check_installation(target, site_packages(target, HERE), [entry], own)
    assert good.altered == ()
    assert good.files >= 6
    assert good.startup == (("thing", "sitecustomize.py"),)
    site = site_packages(target, HERE)
    (site / "thing/a, b.py").write_text("x = 2\n")
    (site / "thing/__init__.py").unlink()
    bad = check_installation(target, site_packages(target, HERE), [entry], own)
    assert set(bad.altered) == {("thing", "thing/a, b.py"), ("thing", "thing/__init__.py")}
    shutil.rmtree(site / "thing-1.0.dist-info")
    assert (
        check_installation(target, site_packages(target, HERE), [entry], own)
        .altered[0][1]
        .endswith("no RECORD")
    )


def installed(make_uv: MakeUv, wheelhouse: Path, target: Path, *wheels: Path) -> Installation:
    entries = [locked(wheel) for wheel in wheels]
    own = build(make_uv(), entries, BASE, target, wheels=wheelhouse, offline=True, progress=print)
    return check_installation(target, site_packages(target, HERE), entries, own)


def test_an_environment_without_packages_is_in_order(make_uv: MakeUv, tmp_path: Path) -> None:
    target = tmp_path / "environment"
    own = build(make_uv(), [], BASE, target, wheels=None, offline=True, progress=print)
    assert "pyvenv.cfg" in own
    assert own["bin/python"].startswith("link ")
    assert check_installation(target, site_packages(target, HERE), [], own) == Installation(
        altered=(), startup=(), files=0
    )


@pytest.mark.parametrize(
    "path",
    [
        "stray.pth",
        "stray.py",
        "thing/stray.abi3.so",
        "sitecustomize.py",
        "thing-1.0.data/data/share/stray",
        "thing-1.0.data/scripts/stray",
    ],
)
def test_what_no_record_lists_is_found(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path, path: str
) -> None:
    wheel = make_wheel("thing", "1.0", {"thing/__init__.py": ""}, unlisted={path: "import os\n"})
    found = installed(make_uv, wheelhouse, tmp_path / "environment", wheel)
    assert len(found.altered) == 1
    assert path.rpartition("/")[2] in found.altered[0][1]
    assert found.altered[0][1].endswith(": its RECORD has no digest of it")


def test_what_came_from_nowhere_is_found(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    entry = locked(make_wheel("thing", "1.0"))
    target = tmp_path / "environment"
    own = build(make_uv(), [entry], BASE, target, wheels=wheelhouse, offline=True, progress=print)
    site = site_packages(target, HERE)
    (site / "linked").symlink_to(tmp_path)
    (site / "stray-1.0.dist-info").mkdir()
    (site / "stray-1.0.dist-info/RECORD").write_text("stray.py,sha256=AAAA,1\n")
    os.mkfifo(target / "bin/fifo")
    found = check_installation(target, site_packages(target, HERE), [entry], own).altered
    below = site.relative_to(target)
    assert found == tuple(
        ("", f"{place}: no RECORD lists it")
        for place in ("bin/fifo", f"{below}/linked", f"{below}/stray-1.0.dist-info/RECORD")
    )


@pytest.mark.parametrize(
    "path",
    [
        "anything.pth",
        "sitecustomize.py",
        "usercustomize/__init__.py",
        "sitecustomize.abi3.so",
        "sitecustomize.pyc",
    ],
)
def test_code_that_runs_whenever_python_starts_is_told(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path, path: str
) -> None:
    wheel = make_wheel("thing", "1.0", {path: "import os\n", "thing/other.pth": ""})
    found = installed(make_uv, wheelhouse, tmp_path / "environment", wheel)
    assert found.altered == ()
    assert found.startup == (("thing", path),)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("../../../../../../../../../../dev/zero,sha256=AAAA,0\n", "outside the environment"),
        ("/dev/zero,sha256=AAAA,0\n", "outside the environment"),
        ("thing.py,,\n", "its RECORD has no digest of it"),
        ("thing.py,md5=AAAA,0\n", "its RECORD has no digest of it"),
        ('"' + "x" * 200_000 + '",sha256=AAAA,0\n', "no RECORD"),
        ("a\0b,sha256=AAAA,0\n", "no RECORD"),
        ("absent.py,sha256=AAAA,0\n", "absent.py"),
    ],
)
def test_a_record_that_lies(
    make_wheel: MakeWheel,
    make_uv: MakeUv,
    wheelhouse: Path,
    tmp_path: Path,
    line: str,
    said: str,
) -> None:
    entry = locked(make_wheel("thing", "1.0"))
    target = tmp_path / "environment"
    own = build(make_uv(), [entry], BASE, target, wheels=wheelhouse, offline=True, progress=print)
    record = site_packages(target, HERE) / "thing-1.0.dist-info/RECORD"
    lines = [one for one in record.read_text().splitlines(keepends=True) if one[:8] != line[:8]]
    record.write_text("".join([*lines, line]))
    found = check_installation(target, site_packages(target, HERE), [entry], own)
    assert found.altered[0][0] == "thing"
    assert found.altered[0][1].endswith(said)


@pytest.mark.parametrize("place", ["pyvenv.cfg", "bin/python", "bin/activate"])
def test_a_wheel_that_replaces_files_of_the_environment_itself(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path, place: str
) -> None:
    wheel = make_wheel("thing", "1.0", {f"thing-1.0.data/data/{place}": "home = /elsewhere\n"})
    target = tmp_path / "environment"
    with contextlib.suppress(EnvironmentNotBuiltError):
        found = installed(make_uv, wheelhouse, target, wheel)
        assert ("thing", f"{place}: a package replaced this file of the environment") in (
            found.altered
        )


def test_two_packages_may_bring_the_same_file(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    one = make_wheel("one", "1.0", {"shared/__init__.py": "ONE = 1\n"})
    two = make_wheel("two", "1.0", {"shared/__init__.py": "TWO = 2\n"})
    assert installed(make_uv, wheelhouse, tmp_path / "environment", one, two).altered == ()


def test_lines_of_a_wheel_about_files_that_it_does_not_have_reach_nothing(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    lines = "../../../../../../../../dev/zero,sha256=AAAA,0\n/dev/zero,sha256=AAAA,0\n"
    wheel = make_wheel("thing", "1.0", further_lines=lines)
    assert installed(make_uv, wheelhouse, tmp_path / "environment", wheel).altered == ()


@pytest.mark.parametrize(
    "metadata",
    [
        "Metadata-Version: 2.1\nName: another\nVersion: 1.0\n",
        "Metadata-Version: 2.1\nName: thing\nVersion: 2.0\n",
        "Metadata-Version: 2.1\nVersion: 1.0\n",
    ],
)
def test_a_wheel_that_says_it_is_another_package(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path, metadata: str
) -> None:
    wheel = make_wheel("thing", "1.0", metadata=metadata)
    with pytest.raises(EnvironmentNotBuiltError) as refused:
        installed(make_uv, wheelhouse, tmp_path / "environment", wheel)
    assert refused.value.finding.code is Code.PACKAGE_MISSING


def test_a_stray_file_of_a_packed_wheel_is_refused(make_wheel: MakeWheel, tmp_path: Path) -> None:
    wheel = make_wheel("thing", "1.0", unlisted={"stray.pth": "import os\n"})
    place = tmp_path / "release"
    place.mkdir()
    report: Any = check(with_wheels(place, wheel, packed={wheel.name: wheel.read_bytes()}).write())
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "stray.pth: its RECORD has no digest of it" in report.reason
    assert Code.PACKAGE_ALTERED.code in {f.code for f in report.findings}
    assert Code.STARTUP_CODE.code in {f.code for f in report.findings}
