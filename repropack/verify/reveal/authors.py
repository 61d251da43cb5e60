# SPDX-License-Identifier: Apache-2.0
"""An anonymous bundle and its author (specification section 19): what it says, and its opening.

`authorship.json` names the key that was made for the bundle and a commitment to the author. A
*reveal* is a statement about the bundle's manifest, signed by that key and by the author's own,
that opens the commitment. Who has only the bundle has no key of it; who has only a published
reveal has a salt that fits nobody else.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from repropack import canonical
from repropack.bundle import VerifiedBundle
from repropack.findings import Code, DefectError
from repropack.model import (
    RECORD_VERSION,
    REVEAL_TYPE,
    STATEMENT_TYPE,
    Author,
    AuthorReveal,
    Authorship,
    RevealedAuthor,
    SignerStatus,
    Subject,
)
from repropack.signing.commitments import SALT_SIZE, author_commitment
from repropack.signing.dsse import check_signatures, read_envelope
from repropack.signing.keys import PublicKey, WeakKeyError
from repropack.verify.integrity import Signed
from repropack.verify.release import AUTHORSHIP
from repropack.verify.reveal.refusal import RevealRefusedError

__all__ = [
    "Revealed",
    "check_author_reveal",
    "is_envelope",
    "read_authorship",
    "reveal_payload",
    "with_authorship",
]

MAX_AUTHORSHIP: Final = 4096
"""Bytes: ours have 230."""


class Revealed(Struct, frozen=True, kw_only=True):
    """Who made an anonymous bundle, as both keys say.

    Attributes:
        author: The name is her own word; the key is proven.
        key: Her own key.
    """

    author: Author
    key: PublicKey


def read_authorship(bundle: VerifiedBundle) -> Authorship | None:
    """What an anonymous bundle says of its author; None of any other bundle.

    Raises:
        DefectError: The record is not in order.
    """
    if all(member.path != AUTHORSHIP for member in bundle.manifest.members):
        return None
    try:
        found = canonical.decode(bundle.read(AUTHORSHIP, limit=MAX_AUTHORSHIP), Authorship)
        PublicKey.from_openssh(found.key)
    except canonical.NotCanonicalError as error:
        raise DefectError(Code.RECORD_JSON, AUTHORSHIP, found=str(error)) from error
    except WeakKeyError as error:
        raise DefectError(Code.WEAK_KEY, AUTHORSHIP, found=str(error)) from error
    if found.version != RECORD_VERSION:
        raise DefectError(
            Code.MANIFEST_VERSION,
            AUTHORSHIP,
            found=f"version {found.version}",
            expected=f"version {RECORD_VERSION}; a newer repropack may read it",
        )
    return found


def with_authorship(signed: Signed, authorship: Authorship | None) -> Signed:
    """The signers of a bundle, where it is anonymous: its own key is nobody's, and means no harm.

    Such a key is never pinned: it would be of no use for another bundle, and a list of whose
    submissions somebody has read.

    Raises:
        DefectError: The key that the bundle names has not signed it.
    """
    if authorship is None:
        return signed
    own = PublicKey.from_openssh(authorship.key).fingerprint
    holding = [s.fingerprint for s in signed.signers if s.status is not SignerStatus.INVALID]
    if own not in holding:
        raise DefectError(
            Code.NOT_ITS_OWN_KEY, AUTHORSHIP, found=" and ".join(holding), expected=own
        )
    signers = tuple(
        replace(one, status=SignerStatus.ANONYMOUS, name="")
        if one.fingerprint == own and one.status in (SignerStatus.UNKNOWN, SignerStatus.FIRST_USE)
        else one
        for one in signed.signers
    )
    signer = signed.signer
    if signer.fingerprint == own and signer.status in (
        SignerStatus.UNKNOWN,
        SignerStatus.FIRST_USE,
    ):
        signer = replace(signer, status=SignerStatus.ANONYMOUS, name="")
    return replace(signed, signers=signers, signer=signer)


def is_envelope(data: bytes) -> bool:
    """Whether a statement is signed, as that of an author is and that of commits is not."""
    try:
        canonical.peek(data, _Enveloped)
    except canonical.NotCanonicalError:
        return False
    return True


class _Enveloped(Struct, frozen=True):
    signatures: tuple[object, ...]


def reveal_payload(manifest_sha256: str, author: Author, salt: bytes) -> bytes:
    """What the bundle's own key and the author's sign to reveal her."""
    return canonical.encode(
        AuthorReveal(
            type_=STATEMENT_TYPE,
            subject=(Subject(name="manifest.json", digest={"sha256": manifest_sha256}),),
            predicate_type=REVEAL_TYPE,
            predicate=RevealedAuthor(author=author, salt=base64.b64encode(salt).decode("ascii")),
        )
    )


def check_author_reveal(
    data: bytes, name: str, authorship: Authorship, manifest_sha256: str
) -> Revealed:
    """Checks a reveal against a bundle whose bytes and signature have been checked.

    Args:
        data: The statement.
        name: What it is called in messages.
        authorship: What the bundle says.
        manifest_sha256: The bundle.

    Raises:
        RevealRefusedError: A key has not signed, it is about another bundle, or the bundle's
            commitment is not to this author.
    """
    try:
        envelope = read_envelope(data, name)
        keys = check_signatures(envelope)
    except DefectError as error:
        raise RevealRefusedError(error.message) from error
    try:
        statement = canonical.decode_canonical(envelope.payload, AuthorReveal)
    except canonical.NotCanonicalError as error:
        raise RevealRefusedError(f"{name}: not a statement about an author: {error}") from error
    subject = [(one.name, one.digest) for one in statement.subject]
    if (statement.type_, statement.predicate_type) != (STATEMENT_TYPE, REVEAL_TYPE):
        raise RevealRefusedError(
            f"{name}: found the kind {statement.predicate_type}, expected {REVEAL_TYPE}"
        )
    if subject != [("manifest.json", {"sha256": manifest_sha256})]:
        raise RevealRefusedError(
            f"{name}: the statement is about another bundle than sha256:{manifest_sha256}"
        )
    author = statement.predicate.author
    try:
        own, bundle = PublicKey.from_openssh(author.key), PublicKey.from_openssh(authorship.key)
    except WeakKeyError as error:
        raise RevealRefusedError(f"{name}: the author's key: {error}") from error
    for key, whose in ((bundle, "the bundle's own key"), (own, "the author's key")):
        if not keys.get(key, False):
            raise RevealRefusedError(
                f"{name}: {whose} {key.fingerprint} has not signed the statement"
            )
    if own == bundle:
        raise RevealRefusedError(f"{name}: the author's key is the bundle's own")
    salt = _salt(statement.predicate.salt, name)
    if author_commitment(salt, bundle.raw, canonical.encode(author)) != authorship.commitment:
        raise RevealRefusedError(f"{name}: the bundle's commitment is not to this author")
    return Revealed(author=author, key=own)


def _salt(text: str, name: str) -> bytes:
    try:
        salt = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise RevealRefusedError(f"{name}: the salt is not base64") from error
    if len(salt) != SALT_SIZE:
        raise RevealRefusedError(f"{name}: the salt has {len(salt)} bytes, expected {SALT_SIZE}")
    return salt
