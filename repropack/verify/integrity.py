# SPDX-License-Identifier: Apache-2.0
"""The first two rungs: is every byte what was signed, and who signed it.

The order matters: the signature is checked over the stored bytes of the statement before the
statement is parsed; the statement says where the manifest is; the manifest says what every other
byte must be.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import Struct, field

from repropack import canonical
from repropack.bundle import ListedBundle, UnverifiedBundle
from repropack.findings import Code, DefectError, Finding
from repropack.model import (
    FORMAT_VERSION,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    SignerReport,
    SignerStatus,
    Statement,
)
from repropack.signing.dsse import read_envelope
from repropack.signing.policy import TrustPolicy, authenticate
from repropack.signing.timestamps import Stamp, Stamped, check_stamp

__all__ = ["Signed", "read_signed"]


_ATTESTATION: Final = "attestation.dsse.json"


class Signed(Struct, frozen=True, kw_only=True):
    """A bundle whose statement and manifest are the signed ones; members are not checked yet.

    Attributes:
        signer: The signer who stands best with the reader; its standing is that of the bundle.
        signers: Every key that the attestation names.
        refusal: Why the reader's policy does not accept the signers, or why the time stamp does not
            hold, if so.
        stamped: What the time stamp says, if there is one that holds.
    """

    listed: ListedBundle
    statement: Statement
    signer: SignerReport
    signers: tuple[SignerReport, ...]
    refusal: Finding | None = None
    stamped: Stamped | None = None


def read_signed(
    bundle: UnverifiedBundle,
    policy: TrustPolicy,
    *,
    expected_manifest: str | None = None,
    stamp: Stamp | None = None,
) -> Signed:
    """Checks the signature and reads the manifest that it covers.

    Args:
        bundle: An opened bundle.
        policy: Whose signature counts.
        expected_manifest: The digest of `manifest.json` that the reader knows from elsewhere (a
            paper); it establishes the author better than any key.
        stamp: A time stamp of the attestation that the reader has.

    Raises:
        DefectError: The attestation or the manifest is not in order, or the manifest's digest is
            not the expected one.
    """
    envelope = read_envelope(bundle.attestation)
    stamped: Stamped | None = None
    unstamped: Finding | None = None
    if stamp is not None:
        try:
            stamped = check_stamp(stamp, envelope)
        except DefectError as error:
            unstamped = error.finding
    dated = {} if stamped is None else dict.fromkeys(stamped.keys, stamped.time)
    authenticated = authenticate(envelope, policy, dated)
    statement = _read_statement(authenticated.payload)
    sha256 = statement.subject[0].digest["sha256"]
    if expected_manifest is not None and sha256 != expected_manifest:
        raise DefectError(
            Code.UNEXPECTED_DIGEST,
            "manifest.json",
            found=f"sha256:{sha256}",
            expected=f"sha256:{expected_manifest}",
        )
    listed = bundle.read_manifest(
        offset=statement.predicate.manifest_offset,
        size=statement.predicate.manifest_size,
        sha256=sha256,
    )
    signer, refusal = authenticated.signer, authenticated.refusal
    if expected_manifest is not None and signer.status in (
        SignerStatus.UNKNOWN,
        SignerStatus.REVOKED,
    ):
        # What the reader knows these very bytes by outlives every key.
        signer = msgspec.structs.replace(signer, status=SignerStatus.EXPECTED_DIGEST)
        if refusal is not None and refusal.code is Code.KEY_REVOKED:
            refusal = None
    return Signed(
        listed=listed,
        statement=statement,
        signer=signer,
        signers=authenticated.signers,
        refusal=refusal or unstamped,
        stamped=stamped,
    )


def _read_statement(payload: bytes) -> Statement:
    try:
        statement = canonical.decode_canonical(payload, Statement)
    except canonical.NotCanonicalError as error:
        _refuse_later_version(payload)
        raise DefectError(Code.STATEMENT, _ATTESTATION, found=str(error)) from error
    wrong = None
    if statement.type_ != STATEMENT_TYPE:
        wrong = (f"_type {statement.type_}", STATEMENT_TYPE)
    elif statement.predicate_type != PREDICATE_TYPE:
        _refuse_later_version(payload)
        wrong = (f"predicateType {statement.predicate_type}", PREDICATE_TYPE)
    elif [(s.name, tuple(s.digest)) for s in statement.subject] != [
        ("manifest.json", ("sha256",))
    ] or not _is_digest(statement.subject[0].digest["sha256"]):
        wrong = ("another subject", "manifest.json with one sha256")
    if wrong is not None:
        raise DefectError(Code.STATEMENT, _ATTESTATION, found=wrong[0], expected=wrong[1])
    if statement.predicate.format != "rpk" or statement.predicate.version != FORMAT_VERSION:
        raise DefectError(
            Code.MANIFEST_VERSION,
            _ATTESTATION,
            found=f"{statement.predicate.format} version {statement.predicate.version}",
            expected=f"rpk version {FORMAT_VERSION}; a newer repropack may read it",
        )
    return statement


class _Typed(Struct, frozen=True):
    """What can be read of a release statement of any version."""

    predicate_type: str = field(name="predicateType")


def _refuse_later_version(payload: bytes) -> None:
    """A statement of a later version may have other fields: it is not broken, only newer."""
    try:
        kind = canonical.peek(payload, _Typed).predicate_type
    except canonical.NotCanonicalError:
        return
    if kind != PREDICATE_TYPE and re.fullmatch(r"urn:repropack:release:v[0-9]{1,9}", kind):
        raise DefectError(
            Code.MANIFEST_VERSION,
            _ATTESTATION,
            found=kind,
            expected=f"{PREDICATE_TYPE}; a newer repropack may read it",
        )


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
