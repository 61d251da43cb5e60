# SPDX-License-Identifier: Apache-2.0
"""The second search: without network, masked, and never silent when it fails."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from repropack.privacy import betterleaks, walk
from repropack.privacy.walk import Scanned, Target, scan

FAKE = """
import json, os, socket
from types import SimpleNamespace

class Extend:
    def __init__(self, *, use_default):
        assert use_default is True

class BetterleaksConfig:
    def __init__(self, *, extend):
        assert isinstance(extend, Extend)

def scan_dir(path, *, config, validation, redact):
    assert isinstance(config, BetterleaksConfig)
    assert validation is False
    assert redact is False
    with open({notes!r}, "w") as file:
        json.dump(dict(os.environ), file)
    {act}
    findings = []
    for directory, _, names in os.walk(path):
        for name in names:
            place = os.path.join(directory, name)
            if b"house-secret" in open(place, "rb").read():
                findings.append(SimpleNamespace(
                    file=place, rule_id="house", description="opens the house",
                    secret="house-secret-42-xyzzy-plugh"))
    return SimpleNamespace(findings=findings, errors={errors}, betterleaks_version="v0")
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(tmp_path, monkeypatch)


class Fake:
    """A package with the interface of pybetterleaks, for what the real one cannot be made to do."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.notes = place / "notes.json"
        self._package = place / "site" / "pybetterleaks" / "__init__.py"
        self._package.parent.mkdir(parents=True)
        monkeypatch.setattr(walk, "location", lambda: str(self._package.parents[1]))

    def acts(self, act: str = "pass", errors: str = "[]") -> None:
        self._package.write_text(FAKE.format(notes=str(self.notes), act=act, errors=errors))


def look(content: bytes, place: str = "notes.txt") -> Scanned:
    return scan([Target(place=place, content=content, member="m")], ())


def test_what_it_finds_is_named_masked_and_stops_an_export(fake: Fake) -> None:
    fake.acts()
    scanned = look(pickle.dumps({"config": {"note": "house-secret-42-xyzzy-plugh"}}), "a.pkl")
    (leak,) = scanned.leaks
    assert (leak.rule, leak.member, leak.blocks) == ("betterleaks: house", "m", True)
    assert leak.shown == "hous… (27 characters)"
    assert leak.why == "opens the house"
    assert leak.place.startswith("a.pkl")
    assert scanned.betterleaks
    assert scan([Target(place="a", content=b"house-secret")], (), second=False).leaks == ()


def test_it_has_no_network_and_none_of_our_variables(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = threading.Event()
    monkeypatch.setenv("GITHUB_TOKEN", "secret of the environment")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(1)
        port = server.getsockname()[1]
        fake.acts(f"""
    try:
        socket.create_connection(("127.0.0.1", {port}), timeout=5)
    except OSError:
        pass
    else:
        raise SystemExit("reached the network")""")
        scanned = look(b"house-secret")
        try:
            server.accept()
            reached.set()
        except TimeoutError:
            pass
    assert not reached.is_set()
    assert [leak.rule for leak in scanned.leaks] == ["betterleaks: house"]
    assert "GITHUB_TOKEN" not in json.loads(fake.notes.read_text())


@pytest.mark.parametrize(
    ("act", "errors", "words"),
    [
        ("raise SystemExit(3)", "[]", "ended with status 3"),
        ("raise ValueError('no')", "[]", "no"),
        ("os._exit(9)", "[]", "status 9"),
        ("print('what')", "[]", "not understood"),
        ("pass", "[SimpleNamespace(code='config', message='is broken')]", "config: is broken"),
    ],
)
def test_its_failure_is_said(fake: Fake, act: str, errors: str, words: str) -> None:
    fake.acts(act, errors)
    scanned = look(b"house-secret and ghp_Zk3Rw9QxLm2VtY7bNc5Hd8Jf4Gs6Pa1Ku0Ei\n")
    assert [leak.rule for leak in scanned.leaks] == ["github-token"]
    (note,) = scanned.unsearched
    assert note.reason.startswith("betterleaks did not search: ")
    assert words in note.reason


def test_many_texts_are_searched_in_turns(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.acts()
    monkeypatch.setattr(betterleaks, "MAX_TEXTS", 100)
    targets = [Target(place=f"{n}.txt", content=b"house-secret" + b"." * 40) for n in range(7)]
    assert {leak.place for leak in scan(targets, ()).leaks} == {f"{n}.txt" for n in range(7)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("extra")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(place),
         "pybetterleaks>=0.6"],
        check=True,
    )  # fmt: skip
    return place


@pytest.mark.slow
def test_the_real_one_finds_what_we_have_no_rule_for_and_makes_no_socket(
    installed: Path, tmp_path: Path
) -> None:
    token = "EZAK" + "8f3a1c9e7b2d405f6a8c1e3b5d7f9a02Zk3Rw9QxLm2VtY7bNc5Hd8"
    project = tmp_path / "project"
    project.mkdir()
    (project / "a.pkl").write_bytes(pickle.dumps({"shop": token}))
    (project / ".betterleaks.toml").write_text('[allowlist]\npaths = [".*"]\n')
    (project / ".gitleaks.toml").write_text('[allowlist]\npaths = [".*"]\n')
    trace = tmp_path / "trace"
    # Where it is installed beside repropack; what PYTHONPATH names is the user's, not ours.
    start = f"import sys; sys.path.append({str(installed)!r}); import repropack.__main__ as r; "
    command = [sys.executable, "-c", start + "sys.exit(r.main())", "scan", ".", "--no-own-terms"]
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace here to watch the system calls")
    done = subprocess.run(
        [strace, "-f", "-qq", "-e", "trace=%network,unshare", "-o", str(trace), *command],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "betterleaks: easypost-api-token: EZAK… (58 characters)" in done.stdout
    assert token not in done.stdout + done.stderr
    calls = trace.read_text()
    assert "unshare(CLONE_NEWNET" in calls or "CLONE_NEWUSER|CLONE_NEWNET) = 0" in calls
    assert "AF_INET" not in calls
    assert "connect(" not in calls
