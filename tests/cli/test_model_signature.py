# SPDX-License-Identifier: Apache-2.0
"""`repropack sign --oms`, with the package model-signing as the judge."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from repropack.model import Role
from tests.project import Project
from tests.verify.release_builder import simple

PASSPHRASE = "two words"
WEIGHTS = {
    # The order by components is not that of the whole paths.
    "run-1/model.safetensors": b"w" * 70_000,
    "run-1/a/tokens.json": b"{}",
    "run-1/a-b.bin": b"",
    "run-1/.gitattributes": b"covered: it is not at the top",
    "run-1/M\u00fcller (1).bin": b"\0\1",
    "run-2/model.safetensors": b"v",
}


def new_key(
    place: Path,
    curve: ec.EllipticCurve | None = None,
    *,
    form: PrivateFormat = PrivateFormat.PKCS8,
    protection: KeySerializationEncryption | None = None,
) -> None:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    place.write_bytes(key.private_bytes(Encoding.PEM, form, protection or NoEncryption()))
    place.chmod(0o600)
    place.with_suffix(".pub.pem").write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )


@pytest.fixture
def desk(bare_project: Project) -> Project:
    """An empty directory with a release that has weights, and a P-256 key."""
    draft = simple(bare_project.root)
    for path, data in WEIGHTS.items():
        draft.members[f"weights/{path}"] = (Role.WEIGHTS, data)
    draft.write("release.rpk")
    new_key(bare_project.root / "key.pem")
    return bare_project


def judged(desk: Project, place: str = "out/weights", key: str = "key.pub.pem") -> tuple[int, str]:
    """What `model_signing verify key` says."""
    done = subprocess.run(
        [sys.executable, "-m", "model_signing", "verify", "key", place,
         "--signature", "release.rpk.oms.sig", "--public_key", key],
        cwd=desk.root, env={**desk.environment, "OTEL_SDK_DISABLED": "true"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def statement(desk: Project) -> Any:
    bundle = json.loads((desk.root / "release.rpk.oms.sig").read_bytes())
    return json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))


def test_model_signing_accepts_the_weights_and_refuses_what_was_changed(desk: Project) -> None:
    before = (desk.root / "release.rpk").read_bytes()
    screen = desk.ok("sign", "release.rpk", "--oms", "key.pem")
    assert (desk.root / "release.rpk").read_bytes() == before
    assert "model_signing verify key DIR/weights" in screen.splitlines()[-1]
    # It establishes nobody.
    assert desk.repropack("verify", "release.rpk", "--no-run").returncode == 4
    desk.ok("extract", "release.rpk", "out", "weights")
    status, said = judged(desk)
    assert status == 0, said
    assert "succeeded" in said
    (desk.root / "out/weights").rename(desk.root / "elsewhere")
    assert judged(desk, "elsewhere")[0] == 0
    new_key(desk.root / "other.pem")
    assert judged(desk, "elsewhere", "other.pub.pem")[0] != 0

    target = desk.root / "elsewhere/run-1/model.safetensors"
    target.write_bytes(b"w" * 69_999 + b"x")
    status, said = judged(desk, "elsewhere")
    assert status != 0
    assert "run-1/model.safetensors" in said
    target.write_bytes(b"w" * 70_000)
    assert judged(desk, "elsewhere")[0] == 0
    (desk.root / "elsewhere/more").write_text("x")
    assert judged(desk, "elsewhere")[0] != 0


def test_our_statement_is_the_one_that_model_signing_itself_makes(desk: Project) -> None:
    desk.ok("sign", "release.rpk", "--oms", "key.pem")
    ours = statement(desk)
    desk.ok("extract", "release.rpk", "out", "weights")
    subprocess.run(
        [sys.executable, "-m", "model_signing", "sign", "key", "out/weights",
         "--private_key", "key.pem", "--signature", "release.rpk.oms.sig"],
        cwd=desk.root, env=desk.environment, capture_output=True, check=True,
    )  # fmt: skip
    theirs = statement(desk)
    assert ours["subject"][0]["digest"] == theirs["subject"][0]["digest"]
    assert ours["predicate"]["resources"] == theirs["predicate"]["resources"]
    assert ours["predicateType"] == theirs["predicateType"]
    assert ours["_type"] == theirs["_type"]


def test_what_verifiers_pass_over_is_left_out_and_said(desk: Project) -> None:
    (desk.root / "of-git").mkdir()
    draft = simple(desk.root / "of-git")
    draft.members["weights/.gitattributes"] = (Role.WEIGHTS, b"*.bin filter=lfs")
    draft.members["weights/model.bin"] = (Role.WEIGHTS, b"w")
    draft.write("../release.rpk")
    done = desk.repropack("sign", "release.rpk", "--oms", "key.pem")
    assert done.returncode == 0
    assert "not covered" in done.stderr
    assert "weights/.gitattributes" in done.stderr
    desk.ok("extract", "release.rpk", "out", "weights")
    assert judged(desk)[0] == 0


def test_keys_from_openssh_and_with_a_passphrase(desk: Project) -> None:
    new_key(
        desk.root / "ssh.pem",
        form=PrivateFormat.OpenSSH,
        protection=BestAvailableEncryption(PASSPHRASE.encode()),
    )
    given = {"REPROPACK_PASSPHRASE": PASSPHRASE}
    desk.ok("sign", "release.rpk", "--oms", "ssh.pem", variables=given)
    desk.ok("extract", "release.rpk", "out", "weights")
    assert judged(desk, key="ssh.pub.pem")[0] == 0
    wrong = desk.repropack(
        "sign", "release.rpk", "--oms", "ssh.pem", "-o", "x.sig",
        variables={"REPROPACK_PASSPHRASE": "x"},
    )  # fmt: skip
    assert (wrong.returncode, "passphrase" in wrong.stderr) == (2, True)


def test_what_cannot_be_signed_is_one_clear_line(desk: Project) -> None:
    new_key(desk.root / "large.pem", ec.SECP384R1())
    new_key(desk.root / "open.pem")
    (desk.root / "open.pem").chmod(0o644)
    new_key(desk.root / "private.pem")
    (desk.root / "private.pub.pem").chmod(0o600)
    desk.ok("key", "new", "--key", "ed25519")
    (desk.root / "none").mkdir()
    simple(desk.root / "none").write("../none.rpk")
    data = bytearray((desk.root / "release.rpk").read_bytes())
    data[40] ^= 1
    (desk.root / "bad.rpk").write_bytes(data)
    desk.write("taken.rpk.oms.sig", "mine")
    (desk.root / "taken.rpk").write_bytes((desk.root / "release.rpk").read_bytes())
    for arguments, status, words in (
        (("release.rpk", "--oms", "large.pem"), 2, "expected P-256"),
        (("release.rpk", "--oms", "ed25519"), 2, "expected P-256"),
        (("release.rpk", "--oms", "private.pub.pem"), 2, "expected P-256"),
        (("release.rpk", "--oms", "absent.pem"), 2, "absent.pem"),
        (("release.rpk", "--oms", "open.pem"), 2, "chmod 600"),
        (("release.rpk", "--oms", "key.pem", "--key", "ed25519"), 2, "one of them"),
        (("none.rpk", "--oms", "key.pem"), 2, "no weights"),
        (("bad.rpk", "--oms", "key.pem"), 1, "RPK"),
        (("taken.rpk", "--oms", "key.pem"), 2, "not overwritten"),
    ):
        done = desk.repropack("sign", *arguments)
        assert (done.returncode, words in done.stderr) == (status, True), done.stderr
        assert "Traceback" not in done.stderr
    assert [path.name for path in desk.root.glob("*.sig")] == ["taken.rpk.oms.sig"]
    assert (desk.root / "taken.rpk.oms.sig").read_text() == "mine"
    # A key for weights signs no bundle.
    done = desk.repropack("sign", "release.rpk", "--key", "key.pem")
    assert (done.returncode, "expected Ed25519" in done.stderr) == (2, True)
