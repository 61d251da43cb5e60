# SPDX-License-Identifier: Apache-2.0
"""Wheels inside a bundle: fetched by the author's own configuration, used without any network."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from repropack.environment.index import IndexSettings, pip_environment
from repropack.environment.installation import site_packages
from repropack.environment.lock import LockedPackage
from repropack.environment.rebuilding import EnvironmentNotBuiltError, build
from repropack.environment.uv import Uv
from repropack.environment.wheels import fetch_wheels, installed_wheel
from repropack.findings import Code
from repropack.model import Distribution, Machine, Python, Role, Verdict, Wheel
from tests.environment.test_uv import BASE, HERE, locked, sha256
from tests.project import Project
from tests.verify.release_builder import Draft, check, metrics, simple
from tests.verify.release_builder import python_environment as recorded_environment

MakeWheel = Callable[..., Path]
MakeUv = Callable[..., Uv]

LINUX = Machine(system="Linux", architecture="x86_64")


def fetch(
    entries: list[LockedPackage], settings: IndexSettings, tmp_path: Path, python: Python = HERE
) -> tuple[dict[str, Path], dict[str, str]]:
    fetched, reasons = fetch_wheels(
        [(entry, entry.wheels[0]) for entry in entries],
        python,
        settings,
        {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")},
        lambda _: None,
    )
    return {one.package: one.path for one in fetched}, reasons


# ---------------------------------------------------------------- which wheel


def choice(tags: tuple[str, ...], *wheels: str, archive: Wheel | None = None) -> str | None:
    entry = LockedPackage(
        name="thing",
        version="1.0",
        wheels=tuple(Wheel(filename=f"thing-1.0-{tag}.whl", sha256="0" * 64) for tag in wheels),
    )
    chosen = installed_wheel(
        entry, Distribution(name="thing", version="1.0", tags=tags, archive=archive), LINUX
    )
    return chosen.filename.removeprefix("thing-1.0-").removesuffix(".whl") if chosen else None


def test_the_wheel_that_was_installed_is_packed() -> None:
    mac, linux, arm = (
        f"cp311-cp311-{name}"
        for name in ("macosx_11_0_arm64", "manylinux_2_17_x86_64", "manylinux_2_17_aarch64")
    )
    assert choice((linux,), mac, linux, "py3-none-any") == linux
    assert choice((), mac, linux, "py3-none-any") == "py3-none-any"
    assert choice((), mac, arm, linux) == linux
    assert choice((), mac, arm) is None
    both = ("py2-none-any", "py3-none-any")
    assert choice(both, "py3-none-any", "py2.py3-none-any") == "py2.py3-none-any"


# ---------------------------------------------------------------- fetching


def test_wheels_come_from_the_authors_folder_also_those_of_no_index_and_another_platform(
    make_wheel: MakeWheel, wheelhouse: Path, tmp_path: Path
) -> None:
    wheels = [
        make_wheel("torch", "2.13.0+cpu", tag="cp312-cp312-manylinux_2_28_aarch64"),
        make_wheel("with-dash", "1!2.0", tag="py2.py3-none-any"),
        make_wheel("stable", "1.0", tag="cp38-abi3-manylinux2014_x86_64.manylinux_2_17_x86_64"),
    ]
    settings = IndexSettings(no_index=True, find_links=(str(wheelhouse),))
    other = Python(implementation="cpython", version="3.12.1", cache_tag="cpython-312")
    found, reasons = fetch([locked(wheel) for wheel in wheels], settings, tmp_path, other)
    assert reasons == {}
    assert {p.name: p.read_bytes() for p in found.values()} == {
        wheel.name: wheel.read_bytes() for wheel in wheels
    }
    # What was fetched once needs no place any more, and is looked at again.
    shutil.rmtree(wheelhouse)
    again, reasons = fetch([locked(found["torch"])], settings, tmp_path, other)
    assert (again, reasons) == ({"torch": found["torch"]}, {})
    entry = locked(found["torch"])
    found["torch"].write_bytes(b"altered")
    assert fetch([entry], settings, tmp_path, other)[0] == {}


def test_what_is_not_to_be_had_is_named_and_the_rest_comes(
    make_wheel: MakeWheel, wheelhouse: Path, tmp_path: Path
) -> None:
    entries = [locked(make_wheel(f"thing-{i}", "1.0")) for i in range(5)]
    (wheelhouse / "thing_1-1.0-py3-none-any.whl").unlink()
    make_wheel("thing-3", "1.0", {"thing_3.py": "another = True\n"})
    found, reasons = fetch(
        entries, IndexSettings(no_index=True, find_links=(str(wheelhouse),)), tmp_path
    )
    assert set(found) == {"thing-0", "thing-2", "thing-4"}
    assert set(reasons) == {"thing-1", "thing-3"}
    assert not any("\n" in reason for reason in reasons.values())
    assert not list((tmp_path / "home/.cache/repropack/wheels").glob(".fetch-*"))


def test_nothing_but_places_and_network_reaches_pip(wheelhouse: Path) -> None:
    hostile = {
        "PIP_TARGET": "/nonexistent",
        "PIP_CONSTRAINT": "/nonexistent",
        "PIP_NO_BINARY": ":all:",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_PYTHON": "/nonexistent",
        "PYTHONPATH": "/nonexistent",
        "PIP_CONFIG_FILE": "/nonexistent",
        "PIP_TRUSTED_HOST": "example.org",
    }
    settings = IndexSettings(find_links=(str(wheelhouse),), no_index=True)
    author = {**hostile, "PATH": "/usr/bin", "HOME": "/h"}
    variables = pip_environment(author, settings, Path("/other"))
    assert set(variables) == {
        *("PATH", "HOME", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONFIG_FILE", "PIP_CACHE_DIR"),
        *("PIP_NO_INPUT", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_RETRIES"),
    }
    assert variables["HOME"] == "/other"
    assert variables["PIP_CACHE_DIR"] == "/h/.cache/pip"
    assert variables["PIP_CONFIG_FILE"] == os.devnull


def test_programs_that_pip_starts_leave_the_authors_home_alone(
    make_wheel: MakeWheel, wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, home = tmp_path / "programs", tmp_path / "home"
    programs.mkdir()
    home.mkdir()
    for name in ("rustc", "lsb_release"):
        program = programs / name
        program.write_text(f'#!/bin/sh\ntouch {tmp_path}/started\nmkdir "$HOME/.{name}"\n')
        program.chmod(0o755)
    settings = IndexSettings(no_index=True, find_links=(str(wheelhouse),))
    entry = locked(make_wheel("thing", "1.0"))
    found, _ = fetch_wheels(
        [(entry, entry.wheels[0])],
        HERE,
        settings,
        {"HOME": str(home), "PATH": f"{programs}:/usr/bin:/bin"},
        lambda _: None,
    )
    assert found
    assert (tmp_path / "started").exists()
    assert [path.name for path in home.iterdir()] == [".cache"]


def test_pip_finds_the_passwords_of_the_authors_home(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert "NETRC" not in pip_environment(environ, IndexSettings(), Path("/other"))
    (tmp_path / ".netrc").touch()
    variables = pip_environment(environ, IndexSettings(), Path("/other"))
    assert variables["NETRC"] == str(tmp_path / ".netrc")
    named = pip_environment({**environ, "NETRC": "/n"}, IndexSettings(), Path("/other"))
    assert named["NETRC"] == "/n"


# ---------------------------------------------------------------- a whole release


@pytest.fixture
def packed(
    project: Project, make_wheel: MakeWheel, wheelhouse: Path, tmp_path: Path, make_uv: MakeUv
) -> tuple[Project, Path]:
    """A release whose run needs a package that no index has, exported with its wheels."""
    wheel = make_wheel(
        "fancy", "2.0+cpu", {"fancy.py": "SCORE = 0.75\n", "fancy.pth": "import sys\n"}
    )
    author = tmp_path / "author"
    settings = IndexSettings(no_index=True, find_links=(str(wheelhouse),))
    uv = make_uv(settings)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", author], check=True)
    subprocess.run(
        [uv.program, "pip", "install", "-q", "--no-index", "--python", author / "bin/python",
         "fancy==2.0+cpu"],
        env=uv.environment, check=True,
    )  # fmt: skip
    config = Path(project.environment["HOME"]) / ".config/uv/uv.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"no-index = true\nfind-links = [{json.dumps(str(wheelhouse))}]\n")
    project.environment["PATH"] = f"{author}/bin:{project.environment['PATH']}"
    project.write(
        "train.py",
        "import fancy, json\njson.dump({'score': fancy.SCORE}, open('metrics.json', 'w'))\n",
    )
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    bundle = tmp_path / "release.rpk"
    done = project.repropack("export", "-o", str(bundle), "--wheels", "--yes")
    assert done.returncode == 0, done.stderr
    assert "1 wheel packed" in done.stdout
    listed = json.loads(project.ok("inspect", str(bundle), "--json"))
    assert f"environment/wheels/{wheel.name}" in json.dumps(listed)
    shutil.rmtree(wheelhouse)
    config.unlink()
    shutil.rmtree(Path(project.environment["HOME"]) / ".cache")
    return project, bundle


@pytest.mark.root
def test_a_bundle_with_its_wheels_is_verified_without_any_network(
    packed: tuple[Project, Path],
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can take the network away")
    project, bundle = packed
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-m", "repropack", "verify", bundle,
         "--allow-unknown-signer", "--json"],
        env=project.environment, cwd=project.root.parent, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["verdict"] == "REPRODUCED"
    said = [f for f in report["findings"] if f["code"] == Code.STARTUP_CODE.code]
    assert [(f["subject"], f["found"]) for f in said] == [("fancy", "fancy.pth")]


def test_an_export_says_that_a_reader_cannot_rebuild_what_it_has_no_wheel_of(
    packed: tuple[Project, Path], tmp_path: Path
) -> None:
    project, _ = packed
    project.environment["PIP_NO_INDEX"] = "1"
    text = project.ok("export", "-o", str(tmp_path / "lean.rpk"), "--wheels", "--yes")
    assert "0 locked with digests" in text
    assert "a reader cannot rebuild the environment" in text


# ---------------------------------------------------------------- hostile wheels


def with_wheels(tmp_path: Path, *wheels: Path, packed: dict[str, bytes]) -> Draft:
    from repropack.environment.lock import write_lock

    draft = simple(tmp_path, metrics("0.91"))
    draft.environments["environment"] = recorded_environment(HERE.version)
    draft.members["environment/pylock.toml"] = (
        Role.ENVIRONMENT,
        write_lock(HERE, [locked(wheel) for wheel in wheels]),
    )
    for name, content in packed.items():
        draft.members[f"environment/wheels/{name}"] = (Role.ENVIRONMENT, content)
    return draft


@pytest.mark.parametrize("case", ["another digest", "another name"])
def test_a_packed_wheel_must_be_one_of_the_lock(
    make_wheel: MakeWheel, tmp_path: Path, case: str
) -> None:
    wheel = make_wheel("thing", "1.0")
    name = wheel.name if case == "another digest" else "other-1.0-py3-none-any.whl"
    content = b"hostile" if case == "another digest" else wheel.read_bytes()
    place = tmp_path / "release"
    place.mkdir()
    report = check(with_wheels(place, wheel, packed={name: content}).write())
    assert report.verdict is Verdict.NOT_INTACT
    assert name in report.reason


def test_an_environment_of_packed_wheels_is_built_and_repeated(
    make_wheel: MakeWheel, tmp_path: Path
) -> None:
    wheel = make_wheel("thing", "1.0")
    place = tmp_path / "release"
    place.mkdir()
    draft = with_wheels(place, wheel, packed={wheel.name: wheel.read_bytes()})
    assert check(draft.write(), offline=True).verdict is Verdict.REPRODUCED


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def index_of(folder: Path, *wheels: Path, yanked: str = "") -> str:
    """A package index of files (PEP 503)."""
    for wheel in wheels:
        page = folder / wheel.name.split("-")[0].replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        mark = f' data-yanked="{yanked}"' if yanked else ""
        page.write_text(
            f'<!DOCTYPE html><a href="{wheel.as_uri()}#sha256={sha256(wheel)}"{mark}>'
            f"{wheel.name}</a>"
        )
    return folder.as_uri()


def test_a_wheel_of_another_platform_in_the_bundle_does_not_keep_the_readers_out(
    make_wheel: MakeWheel, make_uv: MakeUv, tmp_path: Path
) -> None:
    own = make_wheel("thing", "1.0", tag="py3-none-any")
    inside = tmp_path / "inside"
    inside.mkdir()
    other = make_wheel("thing", "1.0", tag="cp27-cp27m-win32", folder=inside)
    target = tmp_path / "environment"
    said: list[str] = []
    uv = make_uv(IndexSettings(index_url=index_of(tmp_path / "index", own)))
    build(
        uv, [locked(own, other)], BASE, target, wheels=inside, offline=False, progress=said.append
    )
    assert said[-2:] == [
        "installing 1 package from the bundle",
        "installing 1 package from the package index",
    ]
    assert (site_packages(target, HERE) / "thing.py").exists()


def test_a_yanked_wheel_is_still_the_recorded_one(
    make_wheel: MakeWheel, make_uv: MakeUv, tmp_path: Path
) -> None:
    wheel = make_wheel("thing", "1.0")
    uv = make_uv(IndexSettings(index_url=index_of(tmp_path / "index", wheel, yanked="broken")))
    target = tmp_path / "environment"
    build(uv, [locked(wheel)], BASE, target, wheels=None, offline=False, progress=print)
    assert (site_packages(target, HERE) / "thing.py").exists()


@pytest.mark.parametrize("kind", ["files", "server"])
def test_a_vanished_wheel_is_named_with_what_to_do(
    make_wheel: MakeWheel, make_uv: MakeUv, tmp_path: Path, kind: str
) -> None:
    wheel = make_wheel("thing", "1.0")
    entry = locked(wheel)
    address = index_of(tmp_path / "index", wheel)
    if kind == "server":
        page = tmp_path / "index/thing/index.html"
        page.write_text(page.read_text().replace(wheel.as_uri(), f"/gone/{wheel.name}"))
        handler = functools.partial(Silent, directory=str(tmp_path / "index"))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
    uv = make_uv(IndexSettings(index_url=address))
    wheel.unlink()
    with pytest.raises(EnvironmentNotBuiltError) as caught:
        build(
            uv, [entry], BASE, tmp_path / "environment",
            wheels=None, offline=False, progress=print,
        )  # fmt: skip
    assert caught.value.finding.subject == "thing 1.0"
    assert caught.value.finding.found.startswith("the index lists the wheel and does not have it: ")
    assert "--wheels" in caught.value.advice
    if kind == "server":
        server.shutdown()
        server.server_close()


# ---------------------------------------------------------------- RECORD


def test_a_poisoned_cache_is_found_out(
    make_wheel: MakeWheel, wheelhouse: Path, tmp_path: Path
) -> None:
    wheel = make_wheel("thing", "1.0")
    place = tmp_path / "release"
    place.mkdir()
    bundle = with_wheels(place, wheel, packed={}).write()
    config = place / ".config/uv/uv.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"no-index = true\nfind-links = [{json.dumps(str(wheelhouse))}]\n")
    assert check(bundle).verdict is Verdict.REPRODUCED
    cached = [p for p in (place / "cache/repropack/uv").rglob("thing.py") if p.is_file()]
    assert cached, "where does uv keep what it has unpacked?"
    for path in cached:
        path.write_text("POISON = 1\n")
    report: Any = check(bundle)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert Code.PACKAGE_ALTERED.code in {f.code for f in report.findings}
    assert "thing.py" in report.reason
