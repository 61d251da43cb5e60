# SPDX-License-Identifier: Apache-2.0
"""DSSE v1 envelopes with Ed25519 signatures.

Source: https://github.com/secure-systems-lab/dsse, protocol.md and envelope.md, version 1.0.2.
Signed are the pre-authentication encoding of payload type and payload, so that a message of one
kind cannot be passed off as another. The payload is parsed only after its signature held.
Narrower than DSSE, to leave one spelling for one meaning (docs/spec/rpk-v1.md, section 7): the
envelope is canonical JSON, base64 is standard and canonical, and the algorithm is Ed25519.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

import msgspec
from msgspec import Struct

from repropack import canonical
from repropack.errors import RepropackError
from repropack.findings import Code, DefectError
from repropack.signing.keys import PublicKey, Signer, WeakKeyError

__all__ = [
    "ATTESTATION",
    "MAX_ENVELOPE",
    "PAYLOAD_TYPE",
    "Envelope",
    "Signature",
    "add_signature",
    "check_signatures",
    "earlier_forms",
    "pre_authentication_encoding",
    "read_envelope",
    "seal",
    "signers",
]

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"

ATTESTATION: Final = "attestation.dsse.json"
"""The member of a bundle that is an envelope."""

MAX_ENVELOPE: Final = 1024 * 1024
"""Bytes of an envelope: ours have about 2 KiB; room for long lists of claims."""

MAX_SIGNATURES: Final = 64
"""Signatures in one envelope: more signers than any release has."""


class Signature(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signature.

    Attributes:
        keyid: The signer's public key as a line of an OpenSSH key file. It is not signed and gives
            no trust; it lets a reader check the signature before she parses the payload.
        sig: Base64 of 64 bytes.
    """

    keyid: str
    sig: str


class _EnvelopeJson(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: tuple[Signature, ...]


class Envelope(Struct, frozen=True, kw_only=True):
    """A well-formed envelope whose signatures have not been checked.

    Attributes:
        name: What it is called in findings.
    """

    payload: bytes
    payload_type: str
    signatures: tuple[Signature, ...]
    name: str = ATTESTATION


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: `DSSEv1 SP LEN(type) SP type SP LEN(payload) SP payload`."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal(payload: bytes, *keys: Signer) -> bytes:
    """Signs a payload with each key and returns the envelope as canonical JSON.

    Raises:
        RepropackError: A key cannot sign now.
    """
    message = pre_authentication_encoding(PAYLOAD_TYPE, payload)
    return _encode(payload, tuple(_sign(key, message) for key in keys))


def add_signature(envelope: Envelope, key: Signer) -> bytes:
    """The envelope with one more signature at the end of its list, as canonical JSON.

    The payload stays as it is, byte for byte, and so does every other signature. Whether they hold
    is not checked here.

    Raises:
        RepropackError: The key cannot sign now, or the envelope has as many signatures as it can.
    """
    if len(envelope.signatures) >= MAX_SIGNATURES:
        raise RepropackError(f"it has {MAX_SIGNATURES} signatures, and can have no more")
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    return _encode(envelope.payload, (*envelope.signatures, _sign(key, message)))


def earlier_forms(envelope: Envelope) -> tuple[tuple[bytes, Envelope], ...]:
    """What the envelope is, and was before each of its signatures was added, with its bytes.

    The present form comes first. Each signer adds a signature at the end.
    """
    return tuple(
        (
            _encode(envelope.payload, envelope.signatures[:count]),
            msgspec.structs.replace(envelope, signatures=envelope.signatures[:count]),
        )
        for count in range(len(envelope.signatures), 0, -1)
    )


def _sign(key: Signer, message: bytes) -> Signature:
    return Signature(
        keyid=key.public.openssh, sig=base64.b64encode(key.sign(message)).decode("ascii")
    )


def _encode(payload: bytes, signatures: tuple[Signature, ...]) -> bytes:
    return canonical.encode(
        _EnvelopeJson(
            payload=base64.b64encode(payload).decode("ascii"),
            payload_type=PAYLOAD_TYPE,
            signatures=signatures,
        )
    )


def read_envelope(data: bytes, name: str = ATTESTATION) -> Envelope:
    """Reads an envelope; checks its form and no signature.

    Args:
        data: The document.
        name: What it is called in findings.

    Raises:
        DefectError: `ENVELOPE` if it is not canonical JSON of the allowed form or has another
            payload type, `NO_SIGNATURE` if its list of signatures is empty.
    """
    try:
        wire = canonical.decode_canonical(data, _EnvelopeJson, limit=MAX_ENVELOPE)
        payload = _decode_base64(wire.payload)
        for signature in wire.signatures:
            if len(_decode_base64(signature.sig)) != 64:
                raise canonical.NotCanonicalError("a signature does not have 64 bytes")
    except canonical.NotCanonicalError as error:
        raise DefectError(Code.ENVELOPE, name, found=str(error)) from error
    if wire.payload_type != PAYLOAD_TYPE:
        raise DefectError(
            Code.ENVELOPE,
            name,
            found=f"payload type {wire.payload_type}",
            expected=PAYLOAD_TYPE,
        )
    if not wire.signatures:
        raise DefectError(Code.NO_SIGNATURE, name)
    if len(wire.signatures) > MAX_SIGNATURES:
        raise DefectError(Code.TOO_LARGE, name, found=f"{len(wire.signatures)} signatures")
    return Envelope(
        payload=payload,
        payload_type=wire.payload_type,
        signatures=wire.signatures,
        name=name,
    )


def check_signatures(envelope: Envelope) -> dict[PublicKey, bool]:
    """Each key that the envelope names, in order, and whether a signature of it holds.

    Raises:
        DefectError: `WEAK_KEY`: a key id is no sound Ed25519 key; `SIGNATURE`: no signature holds.
    """
    message = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    checked: dict[PublicKey, bool] = {}
    for signature in envelope.signatures:
        try:
            key = PublicKey.from_openssh(signature.keyid)
        except WeakKeyError as error:
            raise DefectError(Code.WEAK_KEY, envelope.name, found=str(error)) from error
        holds = key.verify(_decode_base64(signature.sig), message)
        checked[key] = checked.get(key, False) or holds
    if not any(checked.values()):
        raise DefectError(Code.SIGNATURE, envelope.name)
    return checked


def signers(envelope: Envelope) -> tuple[PublicKey, ...]:
    """The keys that signed the payload. A signature that does not hold earns nothing.

    Raises:
        DefectError: As `check_signatures`.
    """
    return tuple(key for key, holds in check_signatures(envelope).items() if holds)


def _decode_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise canonical.NotCanonicalError("not standard base64") from error
    if base64.b64encode(data).decode("ascii") != text:
        raise canonical.NotCanonicalError("base64 in a form that is not canonical")
    return data
