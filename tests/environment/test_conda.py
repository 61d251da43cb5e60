# SPDX-License-Identifier: Apache-2.0
"""Environments of conda: recorded, locked by digest, rebuilt from the reader's channel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

pytest.importorskip("rattler")

from repropack.environment.conda import recipe
from repropack.environment.conda_channels import (
    CondaChannels,
    fetch_archives,
    load_conda_channels,
    refusal,
)
from repropack.environment.index import IndexSettings
from repropack.environment.lock import write_lock
from repropack.errors import UsageError
from repropack.findings import Code
from repropack.model import CondaPackage, Distribution, Environment, Role, Verdict
from tests.environment.conda_channel import PLATFORM, SERIES, link, write_archive, write_python
from tests.environment.test_uv import HERE, sha256
from tests.project import Project
from tests.verify.release_builder import (
    MACHINE,
    Draft,
    check,
    metrics,
    python_environment,
    simple,
)

LOCK = "environment/pylock.toml"

MakeWheel = Callable[..., Path]

SCORES = """\
import json, model_zoo, addon, sys
json.dump({"score": model_zoo.SCORE + addon.MORE}, open("metrics.json", "w"))
print(sys.prefix)
"""


@dataclass
class Author:
    """A project whose Python is conda's, and the channel that its packages come from."""

    project: Project
    channel: Path
    bundle: Path

    def verify(self, *options: str, alias: str | None = None, cut: bool = False) -> Any:
        start = ["unshare", "-n"] if cut else []
        done = subprocess.run(
            [*start, *self.command(*options)],
            env={**self.project.environment, "CONDA_CHANNEL_ALIAS": alias or self.alias},
            cwd=self.project.root.parent, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    @property
    def alias(self) -> str:
        return self.channel.parent.as_uri()

    def command(self, *options: str) -> list[str]:
        words = [sys.executable, "-m", "repropack", "verify", str(self.bundle)]
        return [*words, "--allow-unknown-signer", "--json", *options]


def dist_info(name: str, version: str) -> dict[str, tuple[bytes, int]]:
    """Metadata as conda-build leaves it, with the directory of its own machine."""
    folder = f"site-packages/{name}-{version}.dist-info"
    address = {"dir_info": {}, "url": f"file:///home/conda/feedstock_root/{name}"}
    texts = {
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{folder}/RECORD": f"{name}.py,,\n",
        f"{folder}/INSTALLER": "conda",
        f"{folder}/direct_url.json": json.dumps(address),
    }
    return {path: (text.encode(), 0o644) for path, text in texts.items()}


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("channels") / "lab"
    write_python(place)
    files = {"site-packages/model_zoo.py": (b"SCORE = 0.75\n", 0o644)}
    write_archive(
        place, "model_zoo", "1.5", {**files, **dist_info("model_zoo", "1.5")}, noarch=True,
        build="py_0",
    )  # fmt: skip
    return place


@pytest.fixture
def author(
    project: Project, channel: Path, make_wheel: MakeWheel, wheelhouse: Path, tmp_path: Path
) -> Author:
    files = {
        "addon.py": "MORE = 0.125\n",
        "addon-1.0.dist-info/entry_points.txt": "[console_scripts]\nscore = addon:main\n",
    }
    make_wheel("addon", "1.0", files)
    prefix = tmp_path / "conda-env"
    link(prefix, *sorted(channel.glob("*/*.conda")))
    from repropack.environment.uv import find_uv

    uv = find_uv(
        {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home")},
        IndexSettings(no_index=True, find_links=(str(wheelhouse),)),
    )
    subprocess.run(
        [uv.program, "pip", "install", "-q", "--no-index", "--python", prefix / "bin/python",
         "--break-system-packages", "addon==1.0"],
        env=uv.environment, check=True,
    )  # fmt: skip
    config = Path(project.environment["HOME"]) / ".config/uv/uv.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"no-index = true\nfind-links = [{json.dumps(str(wheelhouse))}]\n")
    project.environment["PATH"] = f"{prefix}/bin:{project.environment['PATH']}"
    project.write("train.py", SCORES)
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    bundle = tmp_path / "release.rpk"
    shown = project.ok("export", "-o", str(bundle), "--yes")
    assert "2 packages are conda's: they are locked by digest and not packed" in shown
    shutil.rmtree(prefix)
    return Author(project, channel, bundle)


def test_an_environment_of_conda_is_recorded_locked_and_rebuilt(author: Author) -> None:
    project = author.project
    place = author.bundle.with_name("extracted")
    project.ok("extract", str(author.bundle), str(place))
    told = (place / "environment/environment.json").read_text()
    environment = json.loads(told)
    conda = {one["name"]: one for one in environment["conda"]}
    assert conda["model_zoo"]["file_name"] == "model_zoo-1.5-py_0.conda"
    assert conda["model_zoo"]["channel"] == "lab"
    assert conda["model_zoo"]["sha256"] == sha256(
        author.channel / "noarch/model_zoo-1.5-py_0.conda"
    )
    origins = {d["name"]: d.get("origin", "index") for d in environment["distributions"]}
    assert origins == {"model-zoo": "conda", "addon": "index"}
    assert "tk-secret" not in told
    assert [p["name"] for p in tomllib.loads((place / LOCK).read_text())["packages"]] == ["addon"]
    text = (place / "REPRODUCING.md").read_text()
    assert 'micromamba create --yes --prefix "$PWD"/env -c lab --file env.conda.txt' in text
    report = author.verify("--keep-work")
    assert report["verdict"] == "REPRODUCED", report
    shutil.rmtree(report["work"])
    # What was fetched once is there, without channel and network, and is checked again.
    again = author.verify(alias="https://conda.invalid", cut=os.geteuid() == 0)
    assert again["verdict"] == "REPRODUCED", again


def test_without_the_channel_the_reader_is_told_what_to_type(author: Author) -> None:
    report = author.verify("--offline", alias="https://conda.invalid/t/tk-mine")
    assert report["verdict"] == "INCONCLUSIVE"
    finding = report["findings"][-1]
    assert finding["code"] == Code.CONDA_NOT_BUILT.code
    assert "python-" in finding["found"]
    assert "offline, and not downloaded before (one of 2 such packages)" in finding["found"]
    version = f"{SERIES}."
    assert "`micromamba create -n reproduce -c lab python=" + version in finding["expected"]
    assert "tk-mine" not in json.dumps(report)


def test_an_archive_with_another_digest_is_not_linked(author: Author, tmp_path: Path) -> None:
    other = tmp_path / "other/lab"
    shutil.copytree(author.channel, other)
    write_archive(other, "model_zoo", "1.5", {}, noarch=True, build="py_0")
    report = author.verify(alias=(tmp_path / "other").as_uri())
    assert report["verdict"] == "INCONCLUSIVE"
    assert "model_zoo-1.5-py_0.conda has another digest" in report["findings"][-1]["found"]


@pytest.mark.parametrize(
    ("escape", "said"),
    [
        ("path", "py-rattler: Caused by: failed to copy file"),
        ("link", "etc/startup leads out of the environment"),
        ("directory", "inner leads out of the environment"),
    ],
)
def test_a_package_that_leads_out_of_the_environment_reaches_nothing(
    project: Project, channel: Path, tmp_path: Path, escape: str, said: str
) -> None:
    """Signed by its author and locked by digest: it is a stranger's all the same."""
    target = tmp_path / "victim"
    target.mkdir()
    (target / "startup.pth").write_text("mine\n")
    lab = tmp_path / "hostile/lab"
    shutil.copytree(channel, lab)
    files = {
        "site-packages/model_zoo.py": (b"SCORE = 0.75\n", 0o644),
        **dist_info("model_zoo", "1.5"),
    }
    links = {}
    if escape == "path":
        up = "../" * 30
        files[f"site-packages/{up}{str(target)[1:]}/startup.pth"] = (b"import os\n", 0o644)
    elif escape == "link":
        links = {"etc/startup": str(target / "startup.pth")}
    else:
        links = {"site-packages/inner": str(target)}
    hostile = write_archive(lab, "model_zoo", "1.5", files, links=links, noarch=True, build="py_1")
    prefix = tmp_path / "conda-env"
    link(prefix, *sorted(channel.glob("*/*.conda")))
    project.environment["PATH"] = f"{prefix}/bin:{project.environment['PATH']}"
    told = json.loads((prefix / "conda-meta/model_zoo-1.5-py_0.json").read_bytes())
    told.update(fn=hostile.name, sha256=sha256(hostile), build="py_1")
    (prefix / "conda-meta/model_zoo-1.5-py_0.json").write_text(json.dumps(told))
    project.write("train.py", SCORES.replace(", addon", "").replace(" + addon.MORE", ""))
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    bundle = tmp_path / "release.rpk"
    project.ok("export", "-o", str(bundle), "--yes")
    report = Author(project, lab, bundle).verify()
    assert report["verdict"] == "INCONCLUSIVE", report
    assert report["findings"][-1]["code"] == Code.CONDA_NOT_BUILT.code
    assert said in report["findings"][-1]["found"]
    assert (target / "startup.pth").read_text() == "mine\n"
    assert os.listdir(target) == ["startup.pth"]


def conda_release(place: Path, *, imported: bool) -> Draft:
    place.mkdir()
    draft = simple(place, metrics("0.91"))
    recorded = python_environment(HERE.version)
    draft.environments["environment"] = replace(
        recorded,
        distributions=(
            *recorded.distributions,
            Distribution(name="zlib", version="1.3", origin="conda", imported=imported),
        ),
        conda=(package(channel="lab"),),
    )
    draft.members["environment/pylock.toml"] = (Role.ENVIRONMENT, write_lock(HERE, []))
    return draft


def test_without_the_library_the_reader_is_told_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rattler", None)
    report = check(conda_release(tmp_path / "release", imported=True).write())
    assert report.verdict is Verdict.INCONCLUSIVE
    assert report.findings[-1].code == Code.CONDA_NOT_BUILT.code
    assert "pip install 'repropack[conda]'" in report.findings[-1].expected
    assert "`micromamba create -n reproduce -c lab zlib=1.3=h1_0`" in report.findings[-1].expected


def test_packages_of_conda_that_the_run_did_not_import_are_a_difference(tmp_path: Path) -> None:
    report = check(conda_release(tmp_path / "release", imported=False).write())
    assert report.verdict is Verdict.REPRODUCED
    assert [d.recorded for d in report.differences if d.subject == "packages of conda"] == ["1"]


# ---------------------------------------------------------------- single steps


def package(**changes: Any) -> CondaPackage:
    told = {
        "name": "zlib",
        "version": "1.3",
        "build": "h1_0",
        "channel": "conda-forge",
        "file_name": "zlib-1.3-h1_0.conda",
        "platform": PLATFORM,
        "sha256": "0" * 64,
    }
    return CondaPackage(**{**told, **changes})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"platform": "noarch"}, ""),
        ({"sha256": None}, "it was recorded without a SHA-256"),
        ({"file_name": ""}, "its archive was recorded without a name"),
        ({"file_name": "../zlib-1.3-h1_0.conda"}, "its archive was recorded without a name"),
        ({"file_name": "zlib-1.3-h1_0.conda/../x"}, "its archive was recorded without a name"),
        ({"file_name": "zlib-1.3-h1_0.conda\n"}, "its archive was recorded without a name"),
        ({"channel": ".."}, "its channel was recorded without a name"),
        ({"channel": "a/b"}, "its channel was recorded without a name"),
        ({"platform": "win-64"}, f"it is for win-64, and this machine is {PLATFORM}"),
        ({"platform": ""}, f"it is for no platform, and this machine is {PLATFORM}"),
    ],
)
def test_what_cannot_be_fetched_at_all(changes: dict[str, Any], why: str) -> None:
    assert refusal(package(**changes), PLATFORM) == why


def test_where_a_channel_is_comes_from_the_reader(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    tail = f"{PLATFORM}/zlib-1.3-h1_0.conda"
    for channel in ("conda-forge", "main"):
        usual = load_conda_channels(home).address(package(channel=channel))
        assert usual.startswith("https://")
        assert usual.endswith(f"/{channel}/{tail}")
    (tmp_path / ".condarc").write_text(
        "channel_alias: https://mirror.example/conda/\n"
        "custom_channels:\n  main: https://mirror.example/pkgs\n"
    )
    channels = load_conda_channels(home)
    assert channels.address(package()) == f"https://mirror.example/conda/conda-forge/{tail}"
    assert channels.address(package(channel="main")) == f"https://mirror.example/pkgs/main/{tail}"
    (tmp_path / ".condarc").write_text("- a list\n")
    with pytest.raises(UsageError, match="expected settings of conda"):
        load_conda_channels(home)
    (tmp_path / ".condarc").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        load_conda_channels(home)


def test_a_server_without_the_archive_is_named_without_its_token(tmp_path: Path) -> None:
    import functools
    import threading
    from http.server import ThreadingHTTPServer

    from tests.environment.test_wheels import Silent

    there = tmp_path / "t/tk-1/conda-forge" / PLATFORM / "zlib-1.3-h1_0.conda"
    there.parent.mkdir(parents=True)
    there.write_bytes(b"archive")
    handler = functools.partial(Silent, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    channels = CondaChannels(alias=f"http://127.0.0.1:{server.server_address[1]}/t/tk-1")
    wanted = [
        package(sha256=sha256(there)),
        package(name="gone", file_name="gone-1-0.conda"),
        package(name="other", channel="elsewhere"),
    ]
    environ = {"HOME": str(tmp_path / "home")}
    found, reasons = fetch_archives(wanted, channels, environ, offline=False, progress=print)
    assert found["zlib"].read_bytes() == b"archive"
    assert set(reasons) == {"gone", "other"}
    assert reasons["gone"].endswith(
        f"/t/…/conda-forge/{PLATFORM}/gone-1-0.conda: the server answered with status 404"
    )
    again, _ = fetch_archives(wanted[:1], channels, environ, offline=True, progress=print)
    assert again == {"zlib": found["zlib"]}
    server.shutdown()
    server.server_close()


def test_the_command_to_type_has_words_that_need_no_quoting() -> None:
    environment = Environment(
        version=1,
        machine=MACHINE,
        distributions=(
            Distribution(name="numpy", version="1.26.4", origin="conda", imported=True),
            Distribution(name="pip", version="24", origin="conda"),
        ),
        conda=(
            package(name="libblas", version="3.9", build="openblas"),
            package(name="numpy", version="1.26.4", build="py311_0"),
            package(name="pip", version="24", build="0"),
            package(name="python", version="3.11.7", build="h1_cpython", channel="main"),
            package(name="mkl", version="1; rm -rf ~", build="0"),
            package(name="blas", version="1", build="0", channel="$(rm)"),
        ),
    )
    assert recipe(environment) == (
        "micromamba create -n reproduce -c conda-forge -c defaults python=3.11.7=h1_cpython "
        "blas=1=0 libblas=3.9=openblas numpy=1.26.4=py311_0"
    )
