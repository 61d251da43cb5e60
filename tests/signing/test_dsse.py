# SPDX-License-Identifier: Apache-2.0
"""Envelopes, against OpenSSL and securesystemslib as independent oracles."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.signer._key import Key, SSlibKey

from repropack import canonical
from repropack.findings import Code, DefectError
from repropack.signing.dsse import (
    pre_authentication_encoding,
    read_envelope,
    seal,
    signers,
)
from repropack.signing.keys import SigningKey

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


def test_securesystemslib_counts_our_signers_as_we_do() -> None:
    third = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34))))
    keys = {str(n): key for n, key in enumerate((KEY, OTHER, third))}
    wire = json.loads(seal(b'{"x":1}', *keys.values()))
    wire["signatures"][2]["sig"] = wire["signatures"][0]["sig"]
    theirs = TheirEnvelope.from_dict(
        {
            **wire,
            "signatures": [
                {"keyid": str(n), "sig": signature["sig"]}
                for n, signature in enumerate(wire["signatures"])
            ],
        }
    )
    their_keys: list[Key] = [
        SSlibKey(name, "ed25519", "ed25519", {"public": key.public.raw.hex()})
        for name, key in keys.items()
    ]
    assert list(theirs.verify(their_keys, 2)) == ["0", "1"]
    with pytest.raises(Exception, match="signatures"):
        theirs.verify(their_keys, 3)
    assert signers(read_envelope(canonical.encode(wire))) == (KEY.public, OTHER.public)


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
