# SPDX-License-Identifier: Apache-2.0
"""What was signed as one kind of message is none of another kind, whoever replays it as what.

All kinds are DSSE envelopes with one payload type, signed here by the same two keys: what tells
them apart is signed, and each reader asks for its own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from repropack import canonical
from repropack.bundle import open_bundle
from repropack.findings import Code, DefectError
from repropack.model import Author, Authorship, Report, RevocationReason
from repropack.signing.commitments import author_commitment
from repropack.signing.dsse import ATTESTATION, read_envelope, seal
from repropack.signing.key_statements import read_key_statement, revocation, rotation
from repropack.signing.keys import PublicKey, SigningKey, WeakKeyError
from repropack.signing.model_signing import ModelKey, sign_model
from repropack.signing.policy import TrustPolicy
from repropack.verify.integrity import read_signed
from repropack.verify.receipts import read_receipt, receipt_payload
from repropack.verify.reveal.authors import check_author_reveal, reveal_payload
from repropack.verify.reveal.refusal import RevealRefusedError
from tests.verify.release_builder import simple
from tests.verify.test_receipts import CLAIMS, HERE, report

A, B = (SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (31, 32))
NOW: Final = "2026-01-02T03:04:05Z"
SALT: Final = bytes(range(32))
AUTHOR: Final = Author(name="Zoe", key=B.public.openssh)
PEM: Final = ModelKey(ec.derive_private_key(7, ec.SECP256R1()))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simple(tmp_path_factory.mktemp("release")).write("release.rpk", key=A)


@pytest.fixture(scope="module")
def digest(release: Path) -> str:
    with open_bundle(release) as opened:
        return read_signed(opened, TrustPolicy()).listed.manifest_sha256


def of_release(release: Path, digest: str) -> bytes:
    with open_bundle(release) as opened:
        return opened.attestation


KINDS: Final[dict[str, Callable[[Path, str], bytes]]] = {
    "release": of_release,
    "receipt": lambda _, digest: seal(receipt_payload(_about(digest), HERE, NOW), A, B),
    "rotation": lambda _, __: rotation(A, B, NOW),
    "revocation": lambda _, __: revocation(A.public, A, RevocationReason.LOST, NOW),
    "reveal": lambda _, digest: seal(reveal_payload(digest, AUTHOR, SALT), A, B),
    # The statement of OMS, as if somebody had it signed by a key for bundles.
    "weights": lambda _, digest: seal(_statement_of_weights(digest), A, B),
}


def _about(digest: str) -> Report:
    return replace(report(), manifest_sha256=digest)


def _statement_of_weights(digest: str) -> bytes:
    bundle = json.loads(sign_model("manifest.json", [("manifest.json", digest)], PEM))
    return base64.b64decode(bundle["dsseEnvelope"]["payload"])


def read_release(data: bytes, release: Path, digest: str) -> None:
    """As the attestation of a bundle."""
    forged = release.with_name("forged.rpk")
    with open_bundle(release) as opened:
        signed = read_signed(opened, TrustPolicy())
        signed.listed.verify(progress=lambda _: None).reseal(
            data, forged, mode=0o644, progress=lambda _: None
        )
    with open_bundle(forged) as opened:
        read_signed(opened, TrustPolicy())


def read_as_receipt(data: bytes, release: Path, digest: str) -> None:
    read_receipt(data, "it", TrustPolicy(), manifest_sha256=digest, claims=CLAIMS)


def read_as_reveal(data: bytes, release: Path, digest: str) -> None:
    commitment = author_commitment(SALT, A.public.raw, canonical.encode(AUTHOR))
    authorship = Authorship(version=1, key=A.public.openssh, commitment=commitment)
    check_author_reveal(data, "it", authorship, digest)


def read_as_key_statement(data: bytes, release: Path, digest: str) -> None:
    read_key_statement(data, "it")


READERS: Final[dict[str, tuple[Callable[[bytes, Path, str], None], Code | None]]] = {
    "release": (read_release, Code.STATEMENT),
    "receipt": (read_as_receipt, Code.RECEIPT),
    "reveal": (read_as_reveal, None),
    "rotation": (read_as_key_statement, Code.KEY_STATEMENT),
    "revocation": (read_as_key_statement, Code.KEY_STATEMENT),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_no_message_is_taken_for_one_of_another_kind(
    release: Path, digest: str, kind: str, reader: str
) -> None:
    read, code = READERS[reader]
    data = KINDS[kind](release, digest)
    if READERS.get(kind, (None,))[0] is read:
        read(data, release, digest)
        return
    with pytest.raises((DefectError, RevealRefusedError)) as refused:
        read(data, release, digest)
    if isinstance(refused.value, DefectError):
        assert refused.value.finding.code is code


def test_every_kind_is_a_sound_envelope_of_its_own() -> None:
    """So that each refusal above is for the kind, and not for the form."""
    assert len({read for read, _ in READERS.values()}) == 4
    assert set(READERS) < set(KINDS)


def test_a_key_of_one_algorithm_is_none_of_the_other(release: Path, digest: str) -> None:
    """A P-256 key under the label of Ed25519, and the signature of one under the other's key."""
    signed = json.loads(sign_model("x", [("a", digest)], PEM))
    point = ec.derive_private_key(7, ec.SECP256R1()).public_key().public_numbers()
    for raw in (point.x.to_bytes(32, "big"), b"\x04" + point.x.to_bytes(32, "big")):
        blob = b"\0\0\0\x0bssh-ed25519\0\0\0" + bytes((len(raw),)) + raw
        keyid = "ssh-ed25519 " + base64.b64encode(blob).decode()
        data = _with_signature(signed["dsseEnvelope"], keyid)
        with pytest.raises(DefectError) as refused:
            read_key_statement(data, "it")
        assert refused.value.finding.code in (Code.ENVELOPE, Code.WEAK_KEY, Code.SIGNATURE)
    with pytest.raises(WeakKeyError):
        PublicKey.from_openssh("ecdsa-sha2-nistp256 AAAA")
    with pytest.raises(DefectError) as refused:
        read_envelope(sign_model("x", [("a", digest)], PEM), ATTESTATION)
    assert refused.value.finding.code is Code.ENVELOPE


def _with_signature(envelope: dict[str, object], keyid: str) -> bytes:
    signature = base64.b64encode(bytes(64)).decode()
    return canonical.encode({**envelope, "signatures": [{"keyid": keyid, "sig": signature}]})
