# SPDX-License-Identifier: Apache-2.0
"""`repropack timestamp`, and what `verify --timestamp` makes of its file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from repropack.bundle import open_bundle
from repropack.signing.keys import create_key
from tests.project import Project
from tests.signing.authority import Answerer, Authority, answering
from tests.verify.release_builder import simple, unprintable


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("time") / "authority")


@pytest.fixture
def desk(bare_project: Project) -> Project:
    """An empty directory with a key, and a release of it that the reader trusts."""
    key = create_key(bare_project.root / "key")
    simple(bare_project.root).write("release.rpk", key=key)
    bare_project.ok("key", "trust", "key.pub", "--name", "lab")
    return bare_project


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    with answering(lambda request: (200, authority.answer(request))) as address:
        yield address


def attestation(desk: Project, name: str = "release.rpk") -> bytes:
    with open_bundle(desk.root / name) as opened:
        return opened.attestation


def back_date(desk: Project, authority: Authority, time: str) -> None:
    data = authority.back_dated(attestation(desk), time)
    (desk.root / "release.rpk.tsr").write_bytes(data)


def check(
    desk: Project, authority: Authority, *options: str, token: str = "release.rpk.tsr"
) -> tuple[int, str, str]:
    done = desk.repropack(
        "verify", "release.rpk", "--no-run", "--timestamp", token,
        "--tsa-ca", str(authority.certificates), *options,
    )  # fmt: skip
    assert unprintable(done.stdout + done.stderr) == []
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_a_bundle_is_stamped_and_openssl_agrees(
    desk: Project, authority: Authority, url: str
) -> None:
    before = (desk.root / "release.rpk").read_bytes()
    screen = desk.ok(
        "timestamp", "release.rpk", "--url", url, "--tsa-ca", str(authority.certificates)
    )
    assert "CN=Time" in screen
    assert (desk.root / "release.rpk").read_bytes() == before
    following = screen.splitlines()[-1].removeprefix("next: ").split()[1:]
    assert "signed before 20" in desk.ok(*following, "--no-run")
    status, screen, _ = check(desk, authority)
    assert status == 0
    assert "ok   time stamp" in screen

    # By hand: the attestation out of the archive, and OpenSSL.
    (desk.root / "attestation.dsse.json").write_bytes(
        subprocess.run(
            ["tar", "--zstd", "-xOf", "release.rpk", "attestation.dsse.json"],
            cwd=desk.root, check=True, capture_output=True,
        ).stdout
    )  # fmt: skip
    judged = subprocess.run(
        ["openssl", "ts", "-verify", "-data", "attestation.dsse.json", "-in", "release.rpk.tsr",
         "-CAfile", authority.certificates],
        cwd=desk.root, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert "Verification: OK" in judged.stdout + judged.stderr

    again = desk.repropack("timestamp", "release.rpk", "--url", url)
    assert again.returncode == 2
    assert "not overwritten" in again.stderr
    unchecked = desk.repropack("timestamp", "release.rpk", "--url", url, "-o", "other.tsr")
    assert unchecked.returncode == 0
    assert "was not checked" in unchecked.stderr


def test_a_second_signature_leaves_the_stamp_good(
    desk: Project, authority: Authority, url: str
) -> None:
    desk.ok("timestamp", "release.rpk", "--url", url)
    create_key(desk.root / "second")
    desk.ok("sign", "release.rpk", "--key", "second")
    assert check(desk, authority)[0] == 0


@pytest.mark.parametrize("reason", ["compromised", "retired"])
def test_what_is_older_than_the_revocation_still_counts(
    desk: Project, authority: Authority, reason: str
) -> None:
    revoke = ("key", "revoke", "--key", "key", "--reason", reason, "--since", "2026-04-01")
    desk.ok(*revoke)
    status = desk.repropack("verify", "release.rpk", "--no-run").returncode
    assert status == (1 if reason == "compromised" else 4)
    back_date(desk, authority, "2026-03-01T00:00:00Z")
    status, screen, _ = check(desk, authority)
    assert status == 0, screen
    assert "revoked since 2026-04-01T00:00:00Z, but signed before 2026-03-01T00:00:00Z" in screen
    for late in ("2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"):
        back_date(desk, authority, late)
        assert check(desk, authority)[0] == (1 if reason == "compromised" else 4)


def test_a_stamp_makes_nobody_known_and_nothing_true(desk: Project, authority: Authority) -> None:
    back_date(desk, authority, "2026-03-01T00:00:00Z")
    desk.ok("key", "untrust", "lab")
    assert check(desk, authority)[0] == 4
    data = bytearray((desk.root / "release.rpk").read_bytes())
    data[40] ^= 1
    (desk.root / "release.rpk").write_bytes(data)
    assert check(desk, authority)[0] == 1


def test_a_stamp_that_does_not_hold_is_one_clear_line(
    desk: Project, authority: Authority, tmp_path: Path
) -> None:
    good = authority.back_dated(attestation(desk), "2026-03-01T00:00:00Z")
    other = Authority.create(tmp_path / "other")
    ended = Authority.create(tmp_path / "ended", last="2021-01-01")
    cases = {
        "wrong digest": (authority.back_dated(b"x", "2026-03-01T00:00:00Z"), authority),
        "wrong authority": (good, other),
        "truncated": (good[:-9], authority),
        "expired": (ended.back_dated(attestation(desk), "2026-03-01T00:00:00Z"), ended),
        "empty": (b"", authority),
    }
    for name, (token, accepted) in cases.items():
        (desk.root / "release.rpk.tsr").write_bytes(token)
        status, screen, _ = check(desk, accepted)
        assert status == 1, name
        assert screen.splitlines()[-1].startswith("NOT INTACT"), name
        assert "not dated" in screen.splitlines()[-1]
        assert "release.rpk.tsr: RPK315" in screen.splitlines()[-1], name
    report = json.loads(
        desk.repropack(
            "verify", "release.rpk", "--no-run", "--json", "--timestamp", "release.rpk.tsr",
            "--tsa-ca", str(authority.certificates),
        ).stdout
    )  # fmt: skip
    assert [finding["code"] for finding in report["findings"]] == ["RPK315"]


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (lambda a, _: (200, a.back_dated(b"x", "2026-03-01T00:00:00Z")), 3, "another request"),
        (lambda a, q: (200, a.answer(q)[:-20]), 3, "found no time stamp"),
        (lambda a, q: (200, b"\x1b[2J" * 20), 3, "found no time stamp"),
        (lambda a, q: (200, bytes(70_000)), 3, "more than 65536 bytes"),
        (lambda a, q: (404, b"gone"), 3, "status 404"),
        (lambda a, q: (302, b""), 3, "status 302"),
    ],
)
def test_an_authority_that_answers_otherwise_leaves_no_file(
    desk: Project, authority: Authority, answer: object, status: int, words: str
) -> None:
    assert callable(answer)
    serve: Answerer = lambda request: answer(authority, request)  # noqa: E731
    with answering(serve) as address:
        done = desk.repropack("timestamp", "release.rpk", "--url", address)
    assert (done.returncode, words in done.stderr) == (status, True), done.stderr
    assert unprintable(done.stderr) == []
    assert "Traceback" not in done.stderr
    assert not (desk.root / "release.rpk.tsr").exists()


def test_wrong_usage(desk: Project, authority: Authority, url: str, tmp_path: Path) -> None:
    ca = str(authority.certificates)
    other = Authority.create(tmp_path / "other")
    for arguments, status, words in (
        (("verify", "release.rpk", "--timestamp", "absent.tsr"), 2, "--tsa-ca"),
        (("verify", "release.rpk", "--tsa-ca", ca), 2, "--timestamp"),
        (("verify", "release.rpk", "--timestamp", "absent.tsr", "--tsa-ca", ca), 2, "absent.tsr"),
        (("verify", "release.rpk", "--timestamp", "key.pub", "--tsa-ca", "key.pub"), 2, "PEM"),
        (("timestamp", "release.rpk"), 2, "--url"),
        (("timestamp", "release.rpk", "--url", "ftp://x/"), 2, "ftp"),
        (("timestamp", "absent.rpk", "--url", url), 2, "absent.rpk"),
        (("timestamp", "release.rpk", "--url", "http://127.0.0.1:1/"), 3, "127.0.0.1"),
        (
            ("timestamp", "release.rpk", "--url", url, "--tsa-ca", str(other.certificates)),
            1,
            "RPK315",
        ),
    ):
        done = desk.repropack(*arguments)
        assert (done.returncode, words in done.stderr) == (status, True), done.stderr
        assert "Traceback" not in done.stderr
    assert not list(desk.root.glob("*.tsr"))
