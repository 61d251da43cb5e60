# SPDX-License-Identifier: Apache-2.0
"""Envelopes and keys against OpenSSH, OpenSSL and securesystemslib as independent oracles."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.signer._key import SSlibKey

from repropack import canonical
from repropack.errors import UsageError
from repropack.findings import Code, DefectError
from repropack.model import SignerStatus
from repropack.signing.dsse import (
    pre_authentication_encoding,
    read_envelope,
    seal,
    signers,
)
from repropack.signing.keys import (
    PublicKey,
    SigningKey,
    WeakKeyError,
    create_key,
    load_public,
    load_signing,
)
from repropack.signing.policy import (
    TrustedSigner,
    TrustPolicy,
    authenticate,
    parse_signer,
    read_trusted,
    trust,
)

KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))


def test_pre_authentication_encoding_is_the_published_vector() -> None:
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, "Test Vectors"
    assert pre_authentication_encoding("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_securesystemslib_accepts_our_envelope_and_refuses_another_payload_type() -> None:
    wire = json.loads(seal(b'{"x":1}', KEY))
    theirs = TheirEnvelope.from_dict(
        {**wire, "signatures": [{"keyid": "k", "sig": wire["signatures"][0]["sig"]}]}
    )
    key = SSlibKey("k", "ed25519", "ed25519", {"public": KEY.public.raw.hex()})
    assert list(theirs.verify([key], 1)) == ["k"]
    theirs.payload_type = "application/json"
    with pytest.raises(Exception, match="signatures"):
        theirs.verify([key], 1)


@given(payload=st.binary(max_size=300))
def test_sealed_payloads_come_back_and_no_flipped_bit_is_accepted(payload: bytes) -> None:
    data = seal(payload, KEY)
    envelope = read_envelope(data)
    assert envelope.payload == payload
    assert signers(envelope) == (KEY.public,)


def test_every_single_bit_flip_of_an_envelope_is_refused() -> None:
    data = seal(b'{"a":"b"}', KEY)
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(DefectError):
            signers(read_envelope(bytes(damaged)))


def _envelope(**changes: object) -> bytes:
    wire = json.loads(seal(b"{}", KEY))
    wire.update(changes)
    return canonical.encode(wire)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_envelope(signatures=[]), Code.NO_SIGNATURE),
        (_envelope(payloadType="application/json"), Code.ENVELOPE),
        (_envelope(payload="e30"), Code.ENVELOPE),
        (_envelope(payload="e31="), Code.ENVELOPE),
        (_envelope(extra=1), Code.ENVELOPE),
        (seal(b"{}", KEY) + b"\n", Code.ENVELOPE),
        (b"", Code.ENVELOPE),
        (_envelope(signatures=[{"keyid": KEY.public.openssh, "sig": "AAAA"}]), Code.ENVELOPE),
        (
            _envelope(
                signatures=[
                    {"keyid": KEY.public.openssh, "sig": base64.b64encode(bytes(64)).decode()}
                ]
            ),
            Code.SIGNATURE,
        ),
        (
            _envelope(signatures=[{"keyid": "none", "sig": base64.b64encode(bytes(64)).decode()}]),
            Code.WEAK_KEY,
        ),
    ],
)
def test_each_defect_of_an_envelope_has_its_code(data: bytes, code: Code) -> None:
    with pytest.raises(DefectError) as caught:
        signers(read_envelope(data))
    assert caught.value.finding.code is code


def test_small_order_and_non_canonical_keys_are_refused() -> None:
    prime = 2**255 - 19
    small = [0, 1, prime - 1, prime, prime + 1]
    small.append(2707385501144840649318225287225658788936804267575313519463743609750303402022)
    small.append(55188659117513257062467267217118295137698188065244968500265048394206261417927)
    for y in small:
        for sign in (0, 1 << 255):
            with pytest.raises(WeakKeyError):
                PublicKey((y | sign).to_bytes(32, "little"))
    with pytest.raises(WeakKeyError):
        PublicKey(bytes(31))


VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "ed25519" / "ed25519vectors.json"


@pytest.mark.skipif(not VECTORS.exists(), reason="the C2SP vectors are not beside this checkout")
def test_weak_keys_of_the_c2sp_vectors_are_refused() -> None:
    refused = 0
    for vector in json.loads(VECTORS.read_text()):
        weak = {"low_order_A", "non_canonical_A"} & set(vector["flags"] or ())
        if weak:
            with pytest.raises(WeakKeyError):
                PublicKey(bytes.fromhex(vector["key"]))
            refused += 1
    assert refused > 100


def test_ssh_keygen_agrees_on_key_and_fingerprint(tmp_path: Path) -> None:
    created = create_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    listed = subprocess.run(
        ["ssh-keygen", "-lf", tmp_path / "key.pub"], check=True, capture_output=True, text=True
    ).stdout
    assert created.public.fingerprint in listed
    derived = subprocess.run(
        ["ssh-keygen", "-yf", tmp_path / "key"], check=True, capture_output=True, text=True
    ).stdout
    assert derived.split()[:2] == created.public.openssh.split()
    assert load_signing(tmp_path / "key").public == created.public
    assert load_public(tmp_path / "key.pub") == created.public
    with pytest.raises(UsageError, match="not overwritten"):
        create_key(tmp_path / "key")


def test_keys_made_by_ssh_keygen_and_openssl_can_sign(tmp_path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret words", "-f", tmp_path / "a"],
        check=True,
    )
    asked = []

    def passphrase() -> str:
        asked.append(True)
        return "secret words"

    key = load_signing(tmp_path / "a", passphrase)
    assert asked
    assert key.public == load_public(tmp_path / "a.pub")
    with pytest.raises(UsageError, match="passphrase"):
        load_signing(tmp_path / "a")
    with pytest.raises(UsageError):
        load_signing(tmp_path / "a", lambda: "wrong")
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "b.pem"], check=True
    )
    assert signers(read_envelope(seal(b"x", load_signing(tmp_path / "b.pem"))))
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", tmp_path / "rsa"],
        check=True,
    )
    with pytest.raises(UsageError, match="Ed25519"):
        load_signing(tmp_path / "rsa")
    with pytest.raises(UsageError, match="cannot be read"):
        load_signing(tmp_path / "absent")


@pytest.mark.parametrize(
    "content", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA", b"\0" * 10**6]
)
def test_what_is_no_key_is_one_plain_line(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "key"
    place.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_signing(place, None)
    assert str(caught.value).startswith(f"{place}: ")
    assert "https://" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_endless_file_is_no_key() -> None:
    with pytest.raises(UsageError, match="larger than"):
        load_signing(Path("/dev/zero"), None)


def test_policy_unknown_trusted_required_and_rejected(tmp_path: Path) -> None:
    envelope = read_envelope(seal(b"{}", KEY))
    mine = KEY.public.fingerprint
    other = OTHER.public.fingerprint

    def status(policy: TrustPolicy) -> SignerStatus:
        return authenticate(envelope, policy).signer.status

    trusted = TrustedSigner(name="author", fingerprint=mine)
    assert status(TrustPolicy()) is SignerStatus.UNKNOWN
    assert status(TrustPolicy(trusted=(trusted,))) is SignerStatus.TRUSTED
    assert status(TrustPolicy(required=(mine,))) is SignerStatus.TRUSTED
    assert status(TrustPolicy(required=(other,), trusted=(trusted,))) is SignerStatus.REJECTED


def test_trusted_signers_are_remembered_and_a_changed_key_is_loud(tmp_path: Path) -> None:
    path = tmp_path / "config" / "trusted_signers"
    assert read_trusted(path) == ()
    first = TrustedSigner(name="lab", fingerprint=KEY.public.fingerprint)
    trust(path, first)
    trust(path, first)
    assert read_trusted(path) == (first,)
    with pytest.raises(UsageError, match="already trusted with another key"):
        trust(path, TrustedSigner(name="lab", fingerprint=OTHER.public.fingerprint))
    path.write_text("lab not-a-fingerprint\n")
    with pytest.raises(UsageError, match="line 1"):
        read_trusted(path)


def test_signers_are_named_by_fingerprint_or_file(tmp_path: Path) -> None:
    public = tmp_path / "key.pub"
    public.write_text(KEY.public.openssh + " someone@somewhere\n")
    assert parse_signer(str(public)) == KEY.public.fingerprint
    assert parse_signer(KEY.public.fingerprint) == KEY.public.fingerprint
    (tmp_path / "key.pem").write_text(KEY.public.pem)
    assert parse_signer(str(tmp_path / "key.pem")) == KEY.public.fingerprint
    with pytest.raises(UsageError, match="not a fingerprint"):
        parse_signer("SHA256:abc")
