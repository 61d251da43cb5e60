# SPDX-License-Identifier: Apache-2.0
"""Reveals of the author of an anonymous bundle, against everybody who would like to be her."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack import canonical
from repropack.model import Author, Authorship
from repropack.signing.commitments import author_commitment
from repropack.signing.dsse import PAYLOAD_TYPE, pre_authentication_encoding, seal
from repropack.signing.keys import SigningKey
from repropack.verify.reveal.authors import check_author_reveal, reveal_payload
from repropack.verify.reveal.refusal import RevealRefusedError

BUNDLE = SigningKey.from_seed(b"b" * 32)
OWN = SigningKey.from_seed(b"o" * 32)
THIEF = SigningKey.from_seed(b"t" * 32)
SALT = b"s" * 32
AUTHOR = Author(name="Zoe Private <zoe@private.example>", key=OWN.public.openssh)
DIGEST = "ab" * 32


def authorship(author: Author = AUTHOR, key: SigningKey = BUNDLE, salt: bytes = SALT) -> Authorship:
    return Authorship(
        version=1,
        key=key.public.openssh,
        commitment=author_commitment(salt, key.public.raw, canonical.encode(author)),
    )


def stated(
    *keys: SigningKey, author: Author = AUTHOR, salt: bytes = SALT, digest: str = DIGEST
) -> bytes:
    return seal(reveal_payload(digest, author, salt), *keys)


def changed(change: Callable[[Any], object], *keys: SigningKey) -> bytes:
    """A statement that says something else, well signed."""
    statement = json.loads(reveal_payload(DIGEST, AUTHOR, SALT))
    change(statement)
    return seal(canonical.encode(statement), *(keys or (BUNDLE, OWN)))


def test_both_keys_and_the_salt_open_it() -> None:
    for keys in ((BUNDLE, OWN), (OWN, BUNDLE), (THIEF, OWN, BUNDLE)):
        revealed = check_author_reveal(stated(*keys), "r.json", authorship(), DIGEST)
        assert revealed.author == AUTHOR
        assert revealed.key == OWN.public


MIMIC = Author(name="Tess Thief", key=THIEF.public.openssh)

REFUSED: dict[str, tuple[bytes, str]] = {
    "a thief with the bundle alone": (
        stated(THIEF, author=MIMIC, salt=b"x" * 32), "the bundle's own key"),
    "a thief with the published salt": (stated(THIEF, author=MIMIC), "the bundle's own key"),
    "a thief who names the author": (stated(THIEF), "the bundle's own key"),
    "the bundle's key alone": (stated(BUNDLE), "the author's key"),
    "the author's key alone": (stated(OWN), "the bundle's own key"),
    # Somebody who got hold of the bundle's key cannot claim it for another identity.
    "a stolen key of the bundle": (stated(BUNDLE, THIEF, author=MIMIC), "not to this author"),
    "another name": (
        stated(BUNDLE, OWN, author=Author(name="Zoe", key=OWN.public.openssh)),
        "not to this author"),
    "another salt": (stated(BUNDLE, OWN, salt=b"x" * 32), "not to this author"),
    "another bundle": (stated(BUNDLE, OWN, digest="cd" * 32), "about another bundle"),
    "the bundle's key as the author": (
        stated(BUNDLE, author=Author(name="Zoe", key=BUNDLE.public.openssh)), "the bundle's own"),
    "two subjects": (changed(lambda s: s["subject"].append(s["subject"][0])), "another bundle"),
    "another digest beside it": (
        changed(lambda s: s["subject"][0]["digest"].update(sha1="0" * 40)), "another bundle"),
    "another kind": (
        changed(lambda s: s.update(predicateType="urn:repropack:release:v1")), "found the kind"),
    "no in-toto statement": (changed(lambda s: s.update(_type="x")), "found the kind"),
    "an unknown field": (
        changed(lambda s: s["predicate"].update(also="x")), "not a statement about an author"),
    "a short salt": (changed(lambda s: s["predicate"].update(salt="AAAA")), "3 bytes"),
    "no base64": (changed(lambda s: s["predicate"].update(salt="=")), "not base64"),
    "a weak key": (
        changed(lambda s: s["predicate"]["author"].update(key="ssh-ed25519 AAAA")), "author's key"),
    "no envelope": (b"{}", "RPK301"),
    "no signature": (
        json.dumps({"payload": "", "payloadType": PAYLOAD_TYPE, "signatures": []},
                   separators=(",", ":")).encode(), "RPK302"),
}  # fmt: skip


@pytest.mark.parametrize("who", REFUSED)
def test_reveals_that_are_refused(who: str) -> None:
    data, words = REFUSED[who]
    with pytest.raises(RevealRefusedError, match=words):
        check_author_reveal(data, "r.json", authorship(), DIGEST)


def test_a_signature_of_another_statement_is_none_of_this() -> None:
    envelope = json.loads(stated(BUNDLE, OWN))
    other = reveal_payload(DIGEST, MIMIC, SALT)
    envelope["payload"] = base64.b64encode(other).decode()
    message = pre_authentication_encoding(PAYLOAD_TYPE, other)
    envelope["signatures"].append(
        {
            "keyid": THIEF.public.openssh,
            "sig": base64.b64encode(THIEF.sign(message)).decode(),
        }
    )
    with pytest.raises(RevealRefusedError, match="the bundle's own key"):
        check_author_reveal(canonical.encode(envelope), "r.json", authorship(), DIGEST)


def test_a_copied_commitment_opens_under_no_other_key() -> None:
    """A thief puts the author's commitment into a bundle of her own and waits for the reveal."""
    copied = Authorship(version=1, key=THIEF.public.openssh, commitment=authorship().commitment)
    for keys in ((THIEF, OWN), (BUNDLE, THIEF, OWN)):
        with pytest.raises(RevealRefusedError, match="not to this author"):
            check_author_reveal(stated(*keys), "r.json", copied, DIGEST)


@given(st.binary(max_size=64))
def test_a_guessed_author_cannot_be_tried_without_the_salt(guess: bytes) -> None:
    """Everything that a reader has gives no other bytes to hash than with a salt of 32 bytes."""
    commitment = authorship().commitment
    known = (bytes(32), BUNDLE.public.raw, bytes.fromhex(commitment), (guess + bytes(32))[:32])
    encoded = canonical.encode(AUTHOR)
    assert all(
        author_commitment(salt, BUNDLE.public.raw, encoded) != commitment
        for salt in known
        if salt != SALT
    )
    if len(guess) != 32:
        with pytest.raises(ValueError, match="a salt of"):
            author_commitment(guess, BUNDLE.public.raw, encoded)


def test_the_commitment_is_a_published_construction() -> None:
    """SHA-256 over tag, salt, key and canonical JSON, computed here by other means."""
    import hashlib

    text = json.dumps({"key": AUTHOR.key, "name": AUTHOR.name}, separators=(",", ":"))
    expected = hashlib.sha256(
        b"repropack:author:v1\0" + SALT + BUNDLE.public.raw + text.encode()
    ).hexdigest()
    assert authorship().commitment == expected
