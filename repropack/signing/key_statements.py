# SPDX-License-Identifier: Apache-2.0
"""Statements of keys about keys: rotations and revocations (docs/spec/rpk-v1.md, section 17).

Each is an in-toto statement in a DSSE envelope, about the digest of a key's SSH wire form, whose
hexadecimal digits and fingerprint are the same number. Here a statement is made, and checked by
itself: its form, and that exactly the keys signed it that must. What several of them come to for a
reader is in `repropack.signing.keyring`.
"""

from __future__ import annotations

import datetime as dt
from typing import Final, TypeAlias

from msgspec import Struct, field

from repropack import canonical, digest
from repropack.findings import Code, DefectError
from repropack.model import (
    KEY_REVOCATION_TYPE,
    KEY_ROTATION_TYPE,
    STATEMENT_TYPE,
    KeyRevocation,
    KeyRevocationStatement,
    KeyRotation,
    KeyRotationStatement,
    RevocationReason,
    Subject,
)
from repropack.signing.dsse import check_signatures, read_envelope, seal
from repropack.signing.keys import PublicKey, Signer

__all__ = [
    "MAX_KEY_STATEMENT",
    "CheckedRevocation",
    "CheckedRotation",
    "CheckedStatement",
    "parse_time",
    "read_key_statement",
    "revocation",
    "rotation",
]

MAX_KEY_STATEMENT: Final = 16 * 1024
"""Bytes of a statement: ours have about 1.5 KiB."""


class CheckedRotation(Struct, frozen=True, kw_only=True):
    """A rotation that both keys signed. Keys are fingerprints.

    Attributes:
        new_openssh: The key that follows, as a line of an OpenSSH public key file.
        stated: When, as the signers say.
    """

    old: str
    new: str
    new_openssh: str
    stated: str


class CheckedRevocation(Struct, frozen=True, kw_only=True):
    """A revocation that one key signed; whether it may is not decided here. Keys are fingerprints.

    Attributes:
        signer: Who signed it: the key itself or another.
        since: What the key signed before this time is still its holder's; None if nothing is.
        successor: The only key that may follow it, or None.
        stated: When, as the signer says.
    """

    key: str
    signer: str
    reason: RevocationReason
    since: str | None
    successor: str | None
    stated: str


CheckedStatement: TypeAlias = CheckedRotation | CheckedRevocation


class _Typed(Struct, frozen=True):
    """What tells the statements apart. Read after their signatures were checked."""

    predicate_type: str = field(name="predicateType")


def rotation(old: Signer, new: Signer, stated: str) -> bytes:
    """The envelope with which a key hands over to another.

    Args:
        old: The key until now.
        new: The key that follows.
        stated: The present time.

    Raises:
        RepropackError: A key cannot sign now.
    """
    statement = KeyRotationStatement(
        type_=STATEMENT_TYPE,
        subject=(_subject(old.public),),
        predicate_type=KEY_ROTATION_TYPE,
        predicate=KeyRotation(
            version=1, old=old.public.openssh, new=new.public.openssh, stated=stated
        ),
    )
    return seal(canonical.encode(statement), old, new)


def revocation(
    key: PublicKey,
    signer: Signer,
    reason: RevocationReason,
    stated: str,
    *,
    since: str | None = None,
    successor: PublicKey | None = None,
) -> bytes:
    """The envelope that revokes a key.

    Args:
        key: The key that is revoked.
        signer: The key itself, or one that follows it.
        reason: Why.
        stated: The present time.
        since: What the key signed before is still its holder's; None if nothing is.
        successor: The only key to which it has handed over.

    Raises:
        RepropackError: The key cannot sign now.
    """
    statement = KeyRevocationStatement(
        type_=STATEMENT_TYPE,
        subject=(_subject(key),),
        predicate_type=KEY_REVOCATION_TYPE,
        predicate=KeyRevocation(
            version=1,
            key=key.openssh,
            reason=reason,
            stated=stated,
            since=since,
            successor=None if successor is None else successor.openssh,
        ),
    )
    return seal(canonical.encode(statement), signer)


def parse_time(text: str) -> dt.datetime:
    """A time of a statement.

    Raises:
        ValueError: There is no such time.
    """
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=dt.UTC)


def read_key_statement(data: bytes, name: str) -> CheckedStatement:
    """Checks a statement about a key: form, signatures, signers.

    Args:
        data: The file.
        name: Its name, for findings.

    Raises:
        DefectError: `ENVELOPE`, `NO_SIGNATURE`, `SIGNATURE`, `WEAK_KEY`: as for an attestation;
            `KEY_STATEMENT`: it is no rotation or revocation, contradicts itself, or was not signed
            by exactly the keys that must.
    """
    envelope = read_envelope(data, name)
    checked = check_signatures(envelope)
    if not all(checked.values()) or len(checked) != len(envelope.signatures):
        raise _refused(name, "a signature that does not hold, or one twice", "none but what is due")
    try:
        kind = canonical.peek(envelope.payload, _Typed).predicate_type
        if kind == KEY_ROTATION_TYPE:
            return _rotation(
                canonical.decode_canonical(envelope.payload, KeyRotationStatement),
                tuple(checked),
                name,
            )
        if kind == KEY_REVOCATION_TYPE:
            return _revocation(
                canonical.decode_canonical(envelope.payload, KeyRevocationStatement),
                tuple(checked),
                name,
            )
    except ValueError as error:
        # Not canonical, an unsound key, or a time that there is not.
        raise DefectError(Code.KEY_STATEMENT, name, found=str(error)) from error
    raise _refused(name, f"predicateType {kind}", f"{KEY_ROTATION_TYPE} or {KEY_REVOCATION_TYPE}")


def _rotation(
    statement: KeyRotationStatement, signers: tuple[PublicKey, ...], name: str
) -> CheckedRotation:
    old = PublicKey.from_openssh(statement.predicate.old)
    new = PublicKey.from_openssh(statement.predicate.new)
    _check(statement.type_, statement.subject, old, name)
    parse_time(statement.predicate.stated)
    if old == new:
        raise _refused(name, f"{old.fingerprint} that hands over to itself", "two keys")
    if set(signers) != {old, new}:
        raise _refused(
            name,
            "signed by " + " and ".join(key.fingerprint for key in signers),
            f"signatures of {old.fingerprint} and {new.fingerprint}",
        )
    return CheckedRotation(
        old=old.fingerprint,
        new=new.fingerprint,
        new_openssh=new.openssh,
        stated=statement.predicate.stated,
    )


def _revocation(
    statement: KeyRevocationStatement, signers: tuple[PublicKey, ...], name: str
) -> CheckedRevocation:
    said = statement.predicate
    key = PublicKey.from_openssh(said.key)
    successor = None if said.successor is None else PublicKey.from_openssh(said.successor)
    _check(statement.type_, statement.subject, key, name)
    for time in filter(None, (said.stated, said.since)):
        parse_time(time)
    if len(signers) != 1:
        raise _refused(name, f"{len(signers)} signatures", "one")
    if successor == key:
        raise _refused(name, f"{key.fingerprint} that follows itself", "another key")
    if successor is not None and said.reason is RevocationReason.COMPROMISED:
        raise _refused(name, "a compromised key that names who follows it", "no successor")
    return CheckedRevocation(
        key=key.fingerprint,
        signer=signers[0].fingerprint,
        reason=said.reason,
        since=said.since,
        successor=None if successor is None else successor.fingerprint,
        stated=said.stated,
    )


def _check(kind: str, subject: tuple[Subject, ...], key: PublicKey, name: str) -> None:
    if kind != STATEMENT_TYPE:
        raise _refused(name, f"_type {kind}", STATEMENT_TYPE)
    if subject != (_subject(key),):
        raise _refused(name, "another subject", f"the key {key.fingerprint}")


def _subject(key: PublicKey) -> Subject:
    return Subject(name=key.fingerprint, digest={"sha256": digest.sha256_hex(key.wire)})


def _refused(name: str, found: str, expected: str) -> DefectError:
    return DefectError(Code.KEY_STATEMENT, name, found=found, expected=expected)
