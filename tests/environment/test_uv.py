# SPDX-License-Identifier: Apache-2.0
"""Locking and rebuilding with the real uv."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repropack.environment.index import IndexSettings, load_index_settings
from repropack.environment.installed import installed_distributions
from repropack.environment.interpreter import find_interpreter
from repropack.environment.lock import LockedPackage, read_lock, write_lock
from repropack.environment.rebuilding import EnvironmentNotBuiltError, build
from repropack.environment.uv import Uv, find_uv
from repropack.environment.wheel_digests import find_wheels
from repropack.findings import Code
from repropack.model import Distribution, Python, Wheel
from repropack.sandbox import find_bubblewrap

MakeWheel = Callable[..., Path]
MakeUv = Callable[..., Uv]

HERE = Python(
    implementation=sys.implementation.name,
    version="{}.{}.{}".format(*sys.version_info),
    cache_tag=sys.implementation.cache_tag or "",
)
SERIES = f"{sys.version_info[0]}{sys.version_info[1]}"
BASE = os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def locked(*wheels: Path) -> LockedPackage:
    name, version = wheels[0].name.split("-")[:2]
    return LockedPackage(
        name=name.replace("_", "-"),
        version=version,
        wheels=tuple(Wheel(filename=w.name, sha256=sha256(w)) for w in wheels),
    )


def rebuild(uv: Uv, entries: list[LockedPackage], target: Path, wheels: Path | None) -> list[str]:
    said: list[str] = []
    build(uv, entries, BASE, target, wheels=wheels, offline=True, progress=said.append)
    return said


@contextlib.contextmanager
def served(wheel: Path, *answers: int) -> Iterator[str]:
    """An index with one wheel. `answers`: the status for the page, and for the wheel; 0 cuts it."""
    page, of_wheel = (*answers, 200, 200)[:2]
    listing = f'<a href="/{wheel.name}">{wheel.name}</a>'.encode()

    class Index(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_wheel = self.path.endswith(".whl")
            status = of_wheel if is_wheel else page if wheel.name.startswith(self.name) else 404
            body = wheel.read_bytes() if is_wheel else listing
            self.send_response(status or 200)
            self.send_header("Content-Type", "application/zip" if is_wheel else "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if status else body[: len(body) // 2])

        @property
        def name(self) -> str:
            return self.path.strip("/").rpartition("/")[2] + "-"

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Index)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/simple"
    finally:
        server.shutdown()
        server.server_close()


def site_packages(target: Path) -> Path:
    return next(target.glob("lib/python*/site-packages"))


# ---------------------------------------------------------------- find_wheels


def test_installed_packages_are_locked_by_the_wheels_of_the_index(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path
) -> None:
    pure = make_wheel("pure-thing", "1.0")
    make_wheel("pure-thing", "1.1")
    uv = make_uv(IndexSettings(no_index=True, find_links=(str(wheelhouse),)))
    installed = [Distribution(name="pure-thing", version="1.0", tags=("py3-none-any",))]
    packages, unlocked = find_wheels(uv, installed, HERE)
    assert packages == (locked(pure),)
    assert unlocked == ()


def test_the_installed_wheel_comes_first_and_other_interpreters_are_left_out(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path
) -> None:
    own = f"cp{SERIES}-cp{SERIES}-manylinux_2_17_x86_64"
    tags = [
        f"cp{SERIES}-cp{SERIES}-macosx_11_0_arm64",
        own,
        "cp38-abi3-manylinux_2_17_x86_64",
        "py3-none-any",
        "cp27-cp27m-manylinux_2_17_x86_64",
        "cp399-cp399-manylinux_2_17_x86_64",
        f"cp{SERIES}-cp{SERIES}t-manylinux_2_17_x86_64",
    ]
    for tag in tags:
        make_wheel("native", "1.0", tag=tag)
    uv = make_uv(IndexSettings(no_index=True, find_links=(str(wheelhouse),)))
    installed = [Distribution(name="native", version="1.0", tags=(own,))]
    (package,), _ = find_wheels(uv, installed, HERE)
    names = [wheel.filename for wheel in package.wheels]
    assert names[0] == f"native-1.0-{own}.whl"
    assert set(names) == {f"native-1.0-{tag}.whl" for tag in tags[:4]}


def test_what_the_index_lacks_is_told_and_does_not_stop_the_rest(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path
) -> None:
    wheels = [make_wheel(f"thing-{i}", "1.0") for i in range(9)]
    with tarfile.open(wheelhouse / "source_only-1.0.tar.gz", "w:gz"):
        pass
    uv = make_uv(IndexSettings(no_index=True, find_links=(str(wheelhouse),)))
    installed = [
        *(Distribution(name=f"thing-{i}", version="1.0") for i in range(9)),
        Distribution(name="absent", version="1.0"),
        Distribution(name="thing-10", version="1.0"),
        Distribution(name="source-only", version="1.0"),
        Distribution(name="odd", version="not a version"),
        Distribution(name="odd; x @ file:///etc", version="1"),
    ]
    packages, unlocked = find_wheels(uv, installed, HERE)
    assert packages == tuple(locked(wheel) for wheel in wheels)
    assert set(unlocked) == {"absent", "thing-10", "source-only", "odd", "odd; x @ file:///etc"}


def test_a_package_from_elsewhere_is_not_locked_to_its_namesake_on_the_index(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path
) -> None:
    make_wheel("mine", "1.0")
    uv = make_uv(IndexSettings(no_index=True, find_links=(str(wheelhouse),)))
    installed = [
        Distribution(name="mine", version="1.0", origin=origin)
        for origin in ("local", "vcs", "url")
    ]
    for distribution in installed:
        assert find_wheels(uv, [distribution], HERE) == ((), ("mine",))


def test_a_wheel_whose_digest_the_installer_kept_needs_no_index(
    make_wheel: MakeWheel, make_uv: MakeUv
) -> None:
    wheel = make_wheel("mine", "1.0+cpu")
    archive = Wheel(filename=wheel.name, sha256=sha256(wheel))
    installed = [
        Distribution(name="mine", version="1.0+cpu", origin="local", archive=archive),
        Distribution(name="other", version="1.0", origin="local", archive=archive),
    ]
    assert find_wheels(make_uv(), installed, HERE) == ((locked(wheel),), ("other",))


@pytest.mark.slow
def test_an_index_that_does_not_answer_leaves_all_unlocked(
    make_uv: MakeUv, caplog: pytest.LogCaptureFixture
) -> None:
    uv = make_uv(IndexSettings(index_url="http://zoe:hunter2@127.0.0.1:9/simple"))
    installed = [Distribution(name=f"thing-{i}", version="1.0") for i in range(4)]
    packages, unlocked = find_wheels(uv, installed, HERE)
    assert packages == ()
    assert len(unlocked) == 4
    assert "127.0.0.1" in caplog.text
    assert "hunter2" not in caplog.text
    assert "zoe" not in caplog.text


# ---------------------------------------------------------------- build


def test_an_environment_is_rebuilt_offline_from_the_wheels_of_a_bundle(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    wheels = [make_wheel("first", "1.0", requires=("absent",)), make_wheel("second", "2!1.0+x.1")]
    entries = list(read_lock(write_lock(HERE, [locked(wheel) for wheel in wheels])))
    target = tmp_path / "environment"
    said = rebuild(make_uv(), entries, target, wheelhouse)
    found = installed_distributions([str(site_packages(target))], {})
    assert {d.name: d.version for d in found} == {"first": "1.0", "second": "2!1.0+x.1"}
    code = "import first, second, sys; print(first.VERSION, second.VERSION, sys.prefix)"
    done = subprocess.run(
        [target / "bin" / "python", "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"1.0 2!1.0+x.1 {target}\n"
    assert said[-1] == "installing 2 packages from the bundle"


def test_a_folder_of_the_readers_with_another_file_of_that_name_is_in_nobodys_way(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    # A package of no index is packed as a wheel that was made anew; who made it has the first.
    # uv takes the file of the folder whose path comes first, and stops at its digest.
    packed, index = tmp_path / "x-packed", tmp_path / "zz"
    packed.mkdir()
    index.mkdir()
    entries = [
        locked(make_wheel("own", "1.0+cpu", {"own.py": "right"}, folder=packed)),
        locked(make_wheel("public", "1.0", {"public.py": "right"}, folder=index)),
    ]
    for name in ("own", "public"):
        make_wheel(name, entries[0].version if name == "own" else "1.0", {f"{name}.py": "other"})
    folders = (str(wheelhouse), str(index))
    uv = make_uv(IndexSettings(no_index=True, find_links=folders))
    make_wheel("public", "1.0", {"public.py": "right"}, folder=packed)
    for offline in (True, False):
        target = tmp_path / f"whole-{offline}"
        build(uv, entries, BASE, target, wheels=packed, offline=offline, progress=lambda _: None)
        assert (site_packages(target) / "own.py").read_text() == "right"
    # Where the bundle has one of them alone, the other is in a folder without a namesake.
    (packed / "public-1.0-py3-none-any.whl").unlink()
    (wheelhouse / "public-1.0-py3-none-any.whl").unlink()
    simple = tmp_path / "simple" / "public"
    simple.mkdir(parents=True)
    wheel = index / "public-1.0-py3-none-any.whl"
    (simple / "index.html").write_text(f'<a href="{wheel.as_uri()}">{wheel.name}</a>')
    uv = make_uv(IndexSettings(index_url=simple.parent.as_uri(), find_links=(str(wheelhouse),)))
    target = tmp_path / "part"
    build(uv, entries, BASE, target, wheels=packed, offline=False, progress=lambda _: None)
    assert (site_packages(target) / "own.py").read_text() == "right"


def test_what_was_downloaded_once_needs_no_network_where_the_bundle_has_another_package(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    public = make_wheel("public", "1.0")
    entries = [locked(make_wheel("own", "1.0", folder=tmp_path)), locked(public)]
    packed = tmp_path / "packed"
    packed.mkdir()
    (tmp_path / "own-1.0-py3-none-any.whl").rename(packed / "own-1.0-py3-none-any.whl")
    with served(public) as address:
        uv = make_uv(IndexSettings(index_url=address))
        for number, offline in enumerate((False, True)):
            target = tmp_path / str(number)
            build(uv, entries, BASE, target, wheels=packed, offline=offline, progress=print)
    assert (site_packages(target) / "public.py").exists()


def test_a_second_attempt_starts_nothing_that_the_first_has_installed(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    # Code of a wheel runs whenever the interpreter of its environment starts, and uv starts that
    # once for each environment that it does not know yet.
    canary = tmp_path / "canary"
    hostile = f"import pathlib; pathlib.Path({str(canary)!r}).write_text('ran')\n"
    entries = [
        locked(make_wheel("early", "1.0", {"early.pth": hostile, "early.py": ""})),
        # No directory can be made where the other has a file.
        locked(make_wheel("late", "1.0", {"early.py/late.py": ""})),
    ]
    uv = make_uv(IndexSettings(no_index=True))
    forgetful = tmp_path / "uv"
    forgetful.write_text(
        f'#!/bin/sh\nrm -rf "$UV_CACHE_DIR"/interpreter-*\nexec {uv.program} "$@"\n'
    )
    forgetful.chmod(0o755)
    uv = Uv(program=str(forgetful), environment=uv.environment, settings=uv.settings)
    said: list[str] = []
    target = tmp_path / "environment"
    with contextlib.suppress(EnvironmentNotBuiltError):
        build(uv, entries, BASE, target, wheels=wheelhouse, offline=False, progress=said.append)
    assert len(said) == 3, "there was no second attempt"
    assert not canary.exists()


def test_files_are_copies_so_that_one_environment_cannot_poison_the_next(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    entries = [locked(make_wheel("thing", "1.0"))]
    uv = make_uv()
    rebuild(uv, entries, tmp_path / "one", wheelhouse)
    installed = site_packages(tmp_path / "one") / "thing.py"
    assert installed.stat().st_nlink == 1
    with installed.open("a") as file:
        file.write("POISON = 1\n")
    rebuild(uv, entries, tmp_path / "two", wheelhouse)
    assert "POISON" not in (site_packages(tmp_path / "two") / "thing.py").read_text()


def test_a_wheel_with_another_digest_is_refused(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    entry = locked(make_wheel("thing", "1.0"))
    make_wheel("thing", "1.0", {"thing.py": "tampered = True\n"})
    with pytest.raises(EnvironmentNotBuiltError) as caught:
        rebuild(make_uv(), [entry], tmp_path / "environment", wheelhouse)
    finding = caught.value.finding
    assert finding.code is Code.PACKAGE_MISSING
    assert finding.subject == "thing 1.0"
    assert not (tmp_path / "environment").exists()


def test_a_cached_wheel_with_another_digest_is_refused_too(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    uv = make_uv()
    good = locked(make_wheel("thing", "1.0"))
    rebuild(uv, [good], tmp_path / "one", wheelhouse)
    other = LockedPackage(
        name="thing",
        version="1.0",
        wheels=(Wheel(filename=good.wheels[0].filename, sha256="0" * 64),),
    )
    with pytest.raises(EnvironmentNotBuiltError):
        rebuild(uv, [other], tmp_path / "two", wheelhouse)


def test_a_missing_wheel_is_named_with_what_to_do(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    entries = [locked(make_wheel("here", "1.0")), locked(make_wheel("gone", "1.0"))]
    (wheelhouse / "gone-1.0-py3-none-any.whl").unlink()
    with pytest.raises(EnvironmentNotBuiltError) as caught:
        rebuild(make_uv(), entries, tmp_path / "environment", wheelhouse)
    assert caught.value.finding.subject == "gone 1.0"
    assert caught.value.finding.expected == "gone-1.0-py3-none-any.whl"
    assert "PIP_FIND_LINKS" in caught.value.advice
    assert caught.value.exit_status == 3
    assert not (tmp_path / "environment").exists()


def failure(uv: Uv, target: Path, *, offline: bool) -> EnvironmentNotBuiltError:
    entry = LockedPackage(
        name="thing",
        version="1.0",
        wheels=(Wheel(filename="thing-1.0-py3-none-any.whl", sha256="0" * 64),),
    )
    with pytest.raises(EnvironmentNotBuiltError) as caught:
        build(uv, [entry], BASE, target, wheels=None, offline=offline, progress=lambda _: None)
    assert not target.exists()
    return caught.value


def test_an_index_that_is_not_reached_is_told_from_one_that_lacks_the_wheel(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    target = tmp_path / "environment"
    dead = make_uv(IndexSettings(index_url="http://zoe:hunter2@127.0.0.1:9/simple"))
    retried = Uv(
        program=dead.program,
        environment={**dead.environment, "UV_HTTP_RETRIES": "0"},
        settings=dead.settings,
    )
    unreached = failure(retried, target, offline=False)
    assert unreached.finding.found.startswith("the package index was not reached: error: ")
    assert "127.0.0.1:9" in unreached.finding.found
    assert "network" in unreached.advice
    assert "hunter2" not in repr(unreached.finding) + str(unreached)
    cold = failure(dead, target, offline=True)
    assert cold.finding.found.startswith("offline, and not downloaded before: ")
    assert "--offline" in cold.advice
    make_wheel("thing", "2.0")
    poor = make_uv(IndexSettings(no_index=True, find_links=(str(wheelhouse),)))
    lacking = failure(poor, target, offline=False)
    assert lacking.finding.found.startswith("no wheel with the locked digest: ")
    assert "unsatisfiable" not in lacking.finding.found
    make_wheel("thing", "1.0")
    other = failure(poor, target, offline=False)
    assert other.finding.found.startswith("a file with another digest: ")


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ((401,), "the package index refuses access: "),
        ((403,), "the package index refuses access: "),
        ((200, 403), "the package index refuses access: "),
        ((200, 410), "the index lists the wheel and does not have it: "),
        ((200, 0), "the package index was not reached: "),
    ],
    ids=["401", "403", "403 of the wheel", "410 of the wheel", "cut off"],
)
def test_an_index_that_refuses_is_told_from_one_that_lacks_the_wheel(
    make_wheel: MakeWheel, make_uv: MakeUv, tmp_path: Path, answers: tuple[int, ...], found: str
) -> None:
    wheel = make_wheel("thing", "1.0")
    with served(wheel, *answers) as address:
        uv = make_uv(IndexSettings(index_url=address))
        uv = Uv(
            program=uv.program,
            environment={**uv.environment, "UV_HTTP_RETRIES": "0"},
            settings=uv.settings,
        )
        with pytest.raises(EnvironmentNotBuiltError) as caught:
            build(
                uv, [locked(wheel)], BASE, tmp_path / "environment",
                wheels=None, offline=False, progress=print,
            )  # fmt: skip
    assert caught.value.finding.found.startswith(found)


def test_a_wheel_of_the_bundle_that_is_not_in_order_was_not_withdrawn(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    wheel = make_wheel("thing", "1.0")
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in members.items():
            if not name.endswith("/RECORD"):
                archive.writestr(name, content)
    with pytest.raises(EnvironmentNotBuiltError) as caught:
        rebuild(make_uv(), [locked(wheel)], tmp_path / "environment", wheelhouse)
    assert "RECORD" in caught.value.finding.found
    assert "withdrawn" not in caught.value.advice
    assert not caught.value.locked


def test_a_full_disk_is_not_taken_for_a_missing_wheel(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    bubblewrap = find_bubblewrap()
    assert bubblewrap is not None
    make_wheel("thing", "1.0", {"thing.py": "#" * 3_000_000})
    small = tmp_path / "small"
    small.mkdir()
    uv = make_uv(IndexSettings(no_index=True, find_links=(str(wheelhouse),)))
    # uv runs where one directory has little room; the rest is as it is.
    program = tmp_path / "uv"
    program.write_text(
        f"#!/bin/sh\nexec {bubblewrap.path} --dev-bind / / --size 2000000 --tmpfs {small} "
        f'{uv.program} "$@"\n'
    )
    program.chmod(0o755)
    full = Uv(
        program=str(program),
        environment={**uv.environment, "UV_CACHE_DIR": str(small / "cache")},
        settings=uv.settings,
    )
    error = failure(full, tmp_path / "environment", offline=False)
    assert "digest" not in error.finding.found
    assert error.finding.found == "no room on the disk"
    assert "TMPDIR" in error.advice


def test_a_source_archive_is_never_built(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "setup-ran"
    entry = locked(make_wheel("thing", "1.0"))
    (wheelhouse / "thing-1.0-py3-none-any.whl").unlink()
    source = tmp_path / "thing-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(canary)!r}, 'w')\n")
    (source / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: thing\nVersion: 1.0\n")
    archive = wheelhouse / "thing-1.0.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(source, "thing-1.0")
    digest = Wheel(filename=entry.wheels[0].filename, sha256=sha256(archive))
    hostile = LockedPackage(name="thing", version="1.0", wheels=(digest,))
    with pytest.raises(EnvironmentNotBuiltError):
        rebuild(make_uv(), [hostile], tmp_path / "environment", wheelhouse)
    assert not canary.exists()


def test_nothing_of_a_wheel_runs_while_the_environment_is_built(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    canary = tmp_path / "ran"
    bomb = f"open({str(canary)!r}, 'w')"
    entries = [
        locked(make_wheel("bomb", "1.0", {"bomb.pth": f"import os; {bomb}\n", "bomb.py": ""})),
        locked(make_wheel("custom", "1.0", {"sitecustomize.py": bomb, "usercustomize.py": bomb})),
    ]
    rebuild(make_uv(), entries, tmp_path / "environment", wheelhouse)
    assert not canary.exists()
    # The canary does sing: that is why a rebuilt environment is started in a sandbox only.
    subprocess.run([tmp_path / "environment/bin/python", "-c", ""], check=True)
    assert canary.exists()


@pytest.mark.parametrize(
    "path",
    ["../../../../../escaped.py", "/tmp/repropack-escaped.py", "thing-1.0.data/data/../../../../x"],
)
def test_a_wheel_cannot_write_outside_the_environment(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path, path: str
) -> None:
    entry = locked(make_wheel("thing", "1.0", {"thing.py": "", path: "escaped"}))
    before = {p for p in tmp_path.rglob("*") if "cache" not in p.parts}
    # Refused or installed without that file: both are fine.
    target = tmp_path / "environment"
    try:
        rebuild(make_uv(), [entry], target, wheelhouse)
    except EnvironmentNotBuiltError as error:
        assert error.finding.code is Code.PACKAGE_MISSING  # noqa: PT017
    after = {p for p in tmp_path.rglob("*") if "cache" not in p.parts and ".cache" not in p.parts}
    outside = {p for p in after - before if target not in (p, *p.parents)}
    assert outside <= {tmp_path / "home"}
    assert not Path("/tmp/repropack-escaped.py").exists()


def test_a_wheel_cannot_reach_the_base_interpreter_through_the_environment(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    # bin/python of an environment is a link to the user's interpreter. A copy stands in for it.
    base = tmp_path / "base" / "bin" / Path(BASE).name
    base.parent.mkdir(parents=True)
    shutil.copy2(BASE, base)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / "base" / "lib").mkdir()
    (tmp_path / "base" / "lib" / version).symlink_to(os.path.dirname(os.__file__))
    original = sha256(base)
    files = {
        "thing-1.0.data/scripts/python": "#!python\nprint('hostile')\n",
        "thing-1.0.data/data/bin/python3": "hostile",
        f"thing-1.0.data/data/bin/{version}": "hostile",
    }
    entry = locked(make_wheel("thing", "1.0", files))
    try:
        build(
            make_uv(), [entry], str(base), tmp_path / "environment",
            wheels=wheelhouse, offline=True, progress=lambda _: None,
        )  # fmt: skip
    except EnvironmentNotBuiltError as error:
        assert error.finding.code is Code.PACKAGE_MISSING  # noqa: PT017
    assert sha256(base) == original


def test_the_users_own_cache_and_configuration_are_left_alone(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    config = home / ".config" / "uv"
    config.mkdir(parents=True)
    # Each of these would make uv fail or install something else, if it were read.
    (config / "uv.toml").write_text("[pip]\nconstraints = ['thing<1']\nno-binary = [':all:']\n")
    environ = {"UV_CONSTRAINT": "/nonexistent", "UV_REQUIRE_HASHES": "0", "UV_OFFLINE": "x"}
    entries = [locked(make_wheel("thing", "1.0"))]
    rebuild(make_uv(environ=environ), entries, tmp_path / "environment", wheelhouse)
    assert [p.name for p in (home / ".cache").iterdir()] == ["repropack"]


def test_a_cache_that_cannot_be_written_is_said_with_what_to_do(
    make_uv: MakeUv, tmp_path: Path
) -> None:
    uv = make_uv()
    (tmp_path / "file").write_text("")
    uv = Uv(
        program=uv.program,
        environment={**uv.environment, "UV_CACHE_DIR": str(tmp_path / "file/cache")},
        settings=uv.settings,
    )
    with pytest.raises(EnvironmentNotBuiltError) as caught:
        rebuild(uv, [], tmp_path / "environment", None)
    assert str(tmp_path / "file/cache") in caught.value.finding.found
    assert caught.value.advice == "name another place for the cache by XDG_CACHE_HOME"


def test_an_interpreter_that_is_not_there_is_an_error_that_names_it(
    make_uv: MakeUv, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentNotBuiltError, match="python9"):
        build(
            make_uv(), [], "/nonexistent/python9", tmp_path / "environment",
            wheels=None, offline=True, progress=lambda _: None,
        )  # fmt: skip
    assert not (tmp_path / "environment").exists()


# ---------------------------------------------------------------- interpreters


def test_the_recorded_interpreter_is_found_behind_a_virtual_environment(make_uv: MakeUv) -> None:
    found = find_interpreter(make_uv(), HERE, {"PATH": "/nonexistent"})
    assert found is not None
    assert found.path == BASE
    assert found.version == HERE.version
    assert found.prefix == os.path.realpath(sys.base_prefix)


def test_another_patch_version_is_taken_where_the_recorded_one_is_not_here(
    make_uv: MakeUv,
) -> None:
    wanted = Python(
        implementation=HERE.implementation,
        version="{}.{}.987".format(*sys.version_info),
        cache_tag=HERE.cache_tag,
    )
    found = find_interpreter(make_uv(), wanted, {"PATH": os.environ["PATH"]})
    assert found is not None
    assert found.version.split(".")[:2] == wanted.version.split(".")[:2]


@pytest.mark.parametrize(("implementation", "version"), [("cpython", "3.99.0"), ("pypy", "3.11.7")])
def test_no_interpreter_is_better_than_a_wrong_one(
    make_uv: MakeUv, implementation: str, version: str
) -> None:
    wanted = Python(implementation=implementation, version=version, cache_tag="")
    assert find_interpreter(make_uv(), wanted, {"PATH": os.environ["PATH"]}) is None


def test_broken_candidates_on_the_path_are_passed_over(make_uv: MakeUv, tmp_path: Path) -> None:
    series = "{}.{}".format(*sys.version_info)
    for name, text in ((f"python{series}", "exit 127"), ("python3", "echo no json")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    wanted = Python(implementation="cpython", version=f"{series}.987", cache_tag="")
    found = find_interpreter(make_uv(), wanted, {"PATH": str(tmp_path)})
    assert found is not None
    assert found.path == BASE


# ---------------------------------------------------------------- the user's own index


@pytest.mark.slow
def test_packages_of_the_configured_index_are_locked_and_rebuilt(tmp_path: Path) -> None:
    environ = dict(os.environ, XDG_CACHE_HOME=str(tmp_path / "cache"))
    uv = find_uv(environ, load_index_settings(environ))
    installed = [
        Distribution(name="six", version="1.17.0", tags=("py2-none-any", "py3-none-any")),
        Distribution(name="packaging", version="25.0", tags=("py3-none-any",)),
        Distribution(name="packaging-of-nobody-zz", version="1.0"),
    ]
    packages, unlocked = find_wheels(uv, installed, HERE)
    assert unlocked == ("packaging-of-nobody-zz",)
    lock = write_lock(HERE, packages)
    for leak in (b"://", os.environ["HOME"].encode(), b"url"):
        assert leak not in lock
    entries = read_lock(lock)
    # The digest that PyPI has published for this file.
    assert entries[1].wheels[0] == Wheel(
        filename="six-1.17.0-py2.py3-none-any.whl",
        sha256="4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274",
    )
    target = tmp_path / "environment"
    build(uv, entries, BASE, target, wheels=None, offline=False, progress=lambda _: None)
    assert (site_packages(target) / "six.py").is_file()
    # What was downloaded once is there without a network, and still checked.
    build(uv, entries, BASE, tmp_path / "2", wheels=None, offline=True, progress=lambda _: None)


def test_a_build_that_no_public_index_has_is_found_where_the_reader_has_it(
    make_wheel: MakeWheel, make_uv: MakeUv, wheelhouse: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    make_wheel("torch", "2.13.0+cpu", folder=elsewhere)
    without = make_uv(IndexSettings(no_index=True, find_links=(str(wheelhouse),)))
    both = make_uv(IndexSettings(no_index=True, find_links=(str(wheelhouse), str(elsewhere))))
    installed = [Distribution(name="torch", version="2.13.0+cpu", tags=("py3-none-any",))]
    assert find_wheels(without, installed, HERE) == ((), ("torch",))
    entries, unlocked = find_wheels(both, installed, HERE)
    assert unlocked == ()
    with pytest.raises(EnvironmentNotBuiltError) as refused:
        build(without, entries, BASE, tmp_path / "a", wheels=None, offline=False, progress=print)
    assert refused.value.finding.subject == "torch 2.13.0+cpu"
    assert "UV_INDEX" in refused.value.advice
    build(both, entries, BASE, tmp_path / "b", wheels=None, offline=False, progress=print)
    assert (site_packages(tmp_path / "b") / "torch.py").exists()
