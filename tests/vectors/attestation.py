# SPDX-License-Identifier: Apache-2.0
"""Vectors of section 7: envelope, signatures, keys, statement, and what a reader was told."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from repropack.signing.dsse import PAYLOAD_TYPE, pre_authentication_encoding
from tests.signing.ed25519_equations import signature_with_nonce_point
from tests.vectors.forge import AUTHOR, OTHER, THIEF, Draft, Edit, release, signature
from tests.vectors.vector import Vector, bad, good

BASE: Final = release()


def _payload(envelope: Any) -> bytes:
    return base64.b64decode(envelope["payload"])


def _signature(change: Callable[[dict[str, str], bytes], object]) -> Draft:
    """A change of the only signature, which also gets the payload."""
    return BASE(envelope=lambda e: change(e["signatures"][0], _payload(e)))


def _sig(make: Callable[[bytes], bytes]) -> Draft:
    """Other bytes in the place of the signature, made from the payload."""
    return _signature(lambda s, p: s.update(sig=base64.b64encode(make(p)).decode()))


def _keyid(text: str) -> Draft:
    return _signature(lambda s, _: s.update(keyid=text))


def _ssh(kind: str, *fields: bytes) -> str:
    """A line of an OpenSSH public key file."""
    wire = b"".join(struct.pack(">I", len(f)) + f for f in (kind.encode(), *fields))
    return "ssh-ed25519 " + base64.b64encode(wire).decode()


def _raw(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


PRIME: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493

# ---------------------------------------------------------------- envelope

ENVELOPE: Final = [
    bad("RPK301-empty", BASE(attestation=lambda _: b""), "An attestation without a byte.", rules="7.1", step="signature", rows=(20,)),
    bad("RPK301-not-json", BASE(attestation=lambda _: b"-----BEGIN PGP SIGNATURE-----\n"), "A signature of another kind.", rules="7.1", step="signature", rows=(20,)),
    bad("RPK301-line-feed-at-the-end", BASE(attestation=lambda a: a + b"\n"), "A line feed after the envelope.", rules="7.1 2.1", step="signature", rows=(22,)),
    bad("RPK301-spaces", BASE(attestation=lambda a: json.dumps(json.loads(a)).encode()), "The envelope with spaces.", rules="7.1 2.6", step="signature", rows=(22,)),
    bad("RPK301-signatures-twice", BASE(attestation=lambda a: a[:-1] + b',"signatures":[]}'), "The list of signatures twice, the second time empty.", rules="7.1 2.2", step="signature", rows=(20, 22)),
    bad("RPK301-unknown-field", BASE(envelope=lambda e: e.update(alg="none")), "A field that names an algorithm.", rules="7.1 7.4", step="signature", rows=(20,)),
    bad("RPK301-algorithm-of-a-signature", _signature(lambda s, _: s.update(alg="HS256")), "A signature with a field that names an algorithm.", rules="7.1 7.4", step="signature", rows=(20,)),
    bad("RPK301-signatures-missing", BASE(envelope=lambda e: e.pop("signatures")), "The list of signatures is missing.", rules="7.1", step="signature", rows=(20,)),
    bad("RPK301-key-id-missing", _signature(lambda s, _: s.pop("keyid")), "A signature without key id.", rules="7.1", step="signature", rows=(20,)),
    bad("RPK301-payload-type-of-another-message", BASE(envelope=lambda e: e.update(payloadType="application/vnd.repropack.reveal+json", signatures=[signature(_payload(e), AUTHOR, "application/vnd.repropack.reveal+json")])), "A message of another kind, well signed.", rules="7.2", step="signature", rows=(21,)),
    bad("RPK301-payload-type-beside-the-signature", BASE(envelope=lambda e: e.update(payloadType="application/json")), "The payload type was changed after it was signed.", rules="7.2", step="signature", rows=(21,)),
    bad("RPK301-base64-without-padding", _signature(lambda s, _: s.update(sig=s["sig"].rstrip("="))), "Base64 without padding.", rules="7.1", step="signature", rows=(17,)),
    bad("RPK301-base64-unused-bits", _signature(lambda s, _: s.update(sig=s["sig"][:-3] + chr(ord(s["sig"][-3]) + 1) + "==")), "Base64 whose unused bits are not zero.", rules="7.1", step="signature", rows=(17,)),
    bad("RPK301-base64-url-alphabet", BASE(envelope=lambda e: e.update(payload=e["payload"][:-4] + "-_8=")), "Base64 with the alphabet for addresses.", rules="7.1", step="signature", rows=(17,)),
    bad("RPK301-base64-line-feed", BASE(envelope=lambda e: e.update(payload=e["payload"][:76] + "\n" + e["payload"][76:])), "Base64 in lines.", rules="7.1", step="signature", rows=(17,)),
    bad("RPK301-signature-of-63-bytes", _sig(lambda p: bytes(63)), "A signature of 63 bytes.", rules="7.4", step="signature", rows=(20,)),
    bad("RPK301-signature-of-256-bytes", _sig(lambda p: bytes(256)), "A signature as long as one of RSA.", rules="7.4", step="signature", rows=(20,)),
    bad("RPK302-no-signatures", BASE(envelope=lambda e: e.update(signatures=[])), "An empty list of signatures.", rules="7.3", step="signature", rows=(20,)),
    bad("RPK109-65-signatures", BASE(envelope=lambda e: e.update(signatures=e["signatures"] * 65)), "65 signatures.", rules="7.3 10.1", step="signature", rows=(6,)),
]  # fmt: skip

# ---------------------------------------------------------------- signatures and keys


def _s_plus_order(payload: bytes) -> bytes:
    signed = AUTHOR.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    s = int.from_bytes(signed[32:], "little") + ORDER
    return signed[:32] + s.to_bytes(32, "little")


def _nonce_point(point: bytes) -> Draft:
    """A signature by the signer's own equation, whose R is this encoding of a small-order point."""
    message = partial(pre_authentication_encoding, PAYLOAD_TYPE)
    return _sig(
        lambda p: signature_with_nonce_point(bytes([1]) * 32, AUTHOR.public.raw, message(p), point)
    )


def _sshsig(payload: bytes) -> bytes:
    """What `ssh-keygen -Y sign -n file` signs."""
    fields = (b"file", b"", b"sha512", hashlib.sha512(payload).digest())
    return AUTHOR.sign(b"SSHSIG" + b"".join(struct.pack(">I", len(f)) + f for f in fields))


def _hmac(payload: bytes) -> bytes:
    message = pre_authentication_encoding(PAYLOAD_TYPE, payload)
    return hmac.digest(AUTHOR.public.raw, message, "sha512")


SIGNATURES: Final = [
    bad("RPK303-signature-of-zeros", _sig(lambda _: bytes(64)), "A signature of zeros.", rules="7.4 7.7", step="signature", rows=(20,)),
    bad("RPK303-signature-of-the-bare-payload", _sig(AUTHOR.sign), "The payload is signed without its type.", rules="7.4 7.7", step="signature", rows=(21,)),
    bad("RPK303-signature-of-another-type", _sig(lambda p: AUTHOR.sign(pre_authentication_encoding("application/vnd.repropack.reveal+json", p))), "The payload is signed as a message of another kind.", rules="7.4 7.7", step="signature", rows=(21,)),
    bad("RPK303-ssh-signature-of-a-file", _sig(_sshsig), "The signature that ssh-keygen makes of a file.", rules="7.4 7.7", step="signature", rows=(21,)),
    bad("RPK303-hmac-with-the-public-key", _sig(_hmac), "An HMAC whose key is the public key.", rules="7.4 7.7", step="signature", rows=(20,)),
    bad("RPK303-s-plus-order", _sig(_s_plus_order), "A good signature in its second form, S plus the group's order.", rules="7.4 7.7", step="signature", rows=(17, 25)),
    bad("RPK303-cofactor-needed", _nonce_point(_raw(PRIME - 1)), "A signature for which only the equation with the cofactor holds.", rules="7.14", step="signature", rows=(25,)),
    bad("RPK303-nonce-point-not-canonical", _nonce_point(_raw(PRIME + 1)), "A signature whose R is the neutral element, with y not below the prime.", rules="7.14", step="signature", rows=(25,)),
    bad("RPK303-key-id-of-another-key", _keyid(OTHER.public.openssh), "The key id names a key that did not sign.", rules="7.5 7.7", step="signature", rows=(24,)),
    bad("RPK303-payload-changed", BASE(envelope=lambda e: e.update(payload=base64.b64encode(_payload(e).replace(b"0.91", b"0.99")).decode())), "The payload was changed after it was signed.", rules="7.7", step="signature", rows=(17,)),
    bad("RPK304-rsa-key", _keyid(_ssh("ssh-rsa", b"\1\0\1", b"\0" + b"\xc1" * 256)), "An RSA key under the name of an Ed25519 key.", rules="7.5", step="signature", rows=(20,)),
    bad("RPK304-security-key", _keyid(_ssh("sk-ssh-ed25519@openssh.com", AUTHOR.public.raw, b"ssh:")), "A key of a hardware token.", rules="7.5", step="signature", rows=(20,)),
    bad("RPK304-key-with-comment", _keyid(AUTHOR.public.openssh + " zoe@example.org"), "A key with a comment.", rules="7.5", step="signature", rows=(24,)),
    bad("RPK304-key-as-hexadecimal", _keyid(AUTHOR.public.raw.hex()), "A key as hexadecimal digits.", rules="7.5", step="signature", rows=(24,)),
    bad("RPK304-no-key-id", _keyid(""), "An empty key id.", rules="7.5", step="signature", rows=(24,)),
    bad("RPK304-key-of-small-order", BASE(envelope=lambda e: e.update(signatures=[{"keyid": _ssh("ssh-ed25519", _raw(1)), "sig": base64.b64encode(_raw(1) + bytes(32)).decode()}])), "The neutral element as key, for which one signature fits every message.", rules="7.6", step="signature", rows=(25,)),
    bad("RPK304-key-of-order-8", _keyid(_ssh("ssh-ed25519", bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))), "A key of order 8.", rules="7.6", step="signature", rows=(25,)),
    bad("RPK304-key-of-order-4", _keyid(_ssh("ssh-ed25519", _raw(0))), "A key of order 4.", rules="7.6", step="signature", rows=(25,)),
    bad("RPK304-key-of-order-2", _keyid(_ssh("ssh-ed25519", _raw(PRIME - 1))), "A key of order 2.", rules="7.6", step="signature", rows=(25,)),
    bad("RPK304-key-not-canonical", _keyid(_ssh("ssh-ed25519", _raw(PRIME + 1))), "A key whose y is not below the prime.", rules="7.6", step="signature", rows=(25,)),
    bad("RPK304-key-not-canonical-sign", _keyid(_ssh("ssh-ed25519", _raw(1, 1))), "The neutral element with a sign.", rules="7.6", step="signature", rows=(25,)),
]  # fmt: skip

# ---------------------------------------------------------------- statement


def _statement(name: str, edit: Edit, why: str, *rows: int, rules: str = "7.8") -> Vector:
    return bad(name, BASE(statement=edit), why, rules=rules, step="statement", rows=rows)


STATEMENT: Final = [
    bad("RPK305-not-json", BASE(payload=lambda _: b"hello\n"), "A signed payload that is not JSON.", rules="7.8", step="statement", rows=(21,)),
    bad("RPK305-spaces", BASE(payload=lambda p: json.dumps(json.loads(p)).encode()), "A statement with spaces.", rules="7.8 2.6", step="statement", rows=(22,)),
    bad("RPK305-name-twice", BASE(payload=lambda p: p.replace(b'"run":', b'"run":"run000000002","run":')), "A name twice in the predicate.", rules="7.8 2.2", step="statement", rows=(22,)),
    bad("RPK305-run-with-line-feed", BASE(statement=lambda s: s["predicate"].update(run="run000000001\n")), "A run id with a line feed at its end.", rules="7.8 2.7", step="statement"),
    _statement("RPK305-type-of-another-version", lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "A statement of in-toto's version 0.1.", 26),
    _statement("RPK305-predicate-of-another-kind", lambda s: s.update(predicateType="https://slsa.dev/provenance/v1"), "A predicate of another kind.", 21),
    _statement("RPK305-no-subject", lambda s: s.update(subject=[]), "A statement about nothing.", 19),
    _statement("RPK305-two-subjects", lambda s: s.update(subject=s["subject"] * 2), "A statement about two files.", 19),
    _statement("RPK305-subject-of-another-name", lambda s: s["subject"][0].update(name="README.md"), "A statement about another file.", 19),
    _statement("RPK305-second-digest", lambda s: s["subject"][0]["digest"].update(sha1="0" * 40), "A subject with a second digest.", 19),
    _statement("RPK305-other-digest", lambda s: s["subject"][0].update(digest={"sha512": "0" * 128}), "A subject with another kind of digest.", 19),
    _statement("RPK305-digest-not-hexadecimal", lambda s: s["subject"][0].update(digest={"sha256": "../../x"}), "A digest that is none.", 19),
    _statement("RPK305-digest-in-capitals", lambda s: s["subject"][0]["digest"].update(sha256=s["subject"][0]["digest"]["sha256"].upper()), "A digest in capitals.", 19),
    _statement("RPK305-unknown-field", lambda s: s.update(extra=1), "A field that version 1 does not have.", rules="7.8 2.7"),
    _statement("RPK305-negative-offset", lambda s: s["predicate"].update(manifest_offset=-512), "A negative offset of the manifest.", 18, rules="7.8 2.7"),
    _statement("RPK305-offset-with-fraction", lambda s: s["predicate"].update(manifest_offset=0.5), "An offset with a fraction.", 18, rules="7.8 2.7"),
    _statement("RPK202-predicate-version-99", lambda s: s["predicate"].update(version=99), "Version 99 in the statement.", 26, rules="7.9 11.1"),
    _statement("RPK202-predicate-format", lambda s: s["predicate"].update(format="rpq"), "Another format in the statement.", 26, rules="7.9 11.1"),
    _statement("RPK202-predicate-type-v2", lambda s: s.update(predicateType="urn:repropack:release:v2"), "The predicate type of a later version.", 26, rules="7.9 11.1"),
    _statement("RPK202-predicate-type-v2-with-other-fields", lambda s: s.update(predicateType="urn:repropack:release:v2", predicate={"else": True}), "The predicate of a later version.", 26, rules="7.9 11.1"),
]  # fmt: skip

# ---------------------------------------------------------------- what the reader was told

BY_AUTHOR: Final = ("--signer", AUTHOR.public.fingerprint)
NASTY: Final = (
    "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u200b\r\x7f\u2028<script>alert(1)</script>"
)


def _expecting(draft: Draft) -> tuple[str, str]:
    return "--expect", "sha256:" + hashlib.sha256(draft.manifest_content()).hexdigest()


def _two(envelope: Any) -> None:
    """A good signature of a stranger, and a bad one in the name of the author."""
    payload = _payload(envelope)
    bad_one = {**signature(payload, AUTHOR), "sig": base64.b64encode(bytes(64)).decode()}
    envelope["signatures"] = [signature(payload, THIEF), bad_one]


def _also_bad(envelope: Any) -> None:
    """The author's good signature, and one that does not hold."""
    payload = _payload(envelope)
    other = {**signature(payload, OTHER), "sig": base64.b64encode(bytes(64)).decode()}
    envelope["signatures"] = [other, signature(payload, AUTHOR)]


RELEASED_LATER: Final = BASE.with_file("README.md", b"# The release that replaced it\n")

POLICY: Final = [
    bad("RPK306-signed-by-a-thief", BASE(key=THIEF), "The same files, signed by somebody else.", rules="7.12 7.13", step="signer", rows=(23,), twin="signed-by-the-author", arguments=BY_AUTHOR),
    bad("RPK306-bad-signature-of-the-author", BASE(envelope=_two), "A good signature of a stranger beside a bad one of the author.", rules="7.7 7.13", step="signer", rows=(24,), twin="signed-by-the-author", arguments=BY_AUTHOR),
    bad("RPK307-older-release", BASE, "An older release of the same author under the name of a newer one.", rules="7.13", step="statement", rows=(27,), twin="expected-digest", arguments=_expecting(RELEASED_LATER)),
    bad("RPK307-signed-by-the-author-all-the-same", BASE, "The right signer and another manifest.", rules="7.13", step="statement", rows=(27,), twin="expected-digest", arguments=(*BY_AUTHOR, *_expecting(RELEASED_LATER))),
]  # fmt: skip

GOOD: Final = [
    good("signed-by-the-author", BASE, "The signer that the reader named.", rules="7.13", rows=(23, 24), arguments=BY_AUTHOR),
    good("signed-by-a-stranger", BASE(key=THIEF), "Well signed, by nobody that the reader knows: accepted as bytes, and never called established.", rules="7.12", rows=(23,)),
    good("expected-digest", RELEASED_LATER, "The manifest that the reader expects.", rules="7.12 7.13", rows=(27,), arguments=_expecting(RELEASED_LATER)),
    good("second-signature-does-not-hold", BASE(envelope=_also_bad), "A signature that does not hold beside one that does: it earns nothing and spoils nothing.", rules="7.7", rows=(24,), arguments=BY_AUTHOR),
    good("signed-by-two", BASE(envelope=lambda e: e["signatures"].append(signature(_payload(e), OTHER))), "Two signers, of whom the reader named one.", rules="7.7 7.13", rows=(24,), arguments=BY_AUTHOR),
    good("nonce-point-of-small-order", _nonce_point(_raw(1)), "A signature whose R is the neutral element, in canonical form: unwise of the signer, and good.", rules="7.14", rows=(25,), arguments=BY_AUTHOR),
    good("signed-twice-by-one-key", BASE(envelope=lambda e: e.update(signatures=e["signatures"] * 2)), "The same signature twice: one signer.", rules="7.7", rows=(24,), arguments=BY_AUTHOR),
    good("hostile-text", BASE(statement=lambda s: s["predicate"].update(claims=[NASTY, "=cmd|' /C calc'!A0", "javascript:alert(1)", "T" * 700_000], tool=NASTY)), "Terminal escapes, bidirectional overrides, HTML, a formula and a megabyte in the statement's text.", rules="7.8", rows=(39,)),
]  # fmt: skip

VECTORS: Final[list[Vector]] = [*ENVELOPE, *SIGNATURES, *STATEMENT, *POLICY, *GOOD]
