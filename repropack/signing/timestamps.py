# SPDX-License-Identifier: Apache-2.0
"""Time stamps of envelopes: that signatures existed at a time, on the word of an authority.

Source: RFC 3161. A time-stamping authority signs the digest of an envelope and the time. The answer
lies beside the bundle (docs/spec/rpk-v1.md, section 18): a signature cannot be inside what it
covers. Which authorities count, the reader says; certificates are judged at the time of the stamp,
because they end long before a paper does. What is ASN.1 and CMS here is read by rfc3161-client,
an extra, and OpenSSL behind it. This module opens no connection.
"""

from __future__ import annotations

import datetime as dt
import re
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from repropack import digest
from repropack.errors import RepropackError, UsageError
from repropack.escaping import show
from repropack.findings import Code, DefectError
from repropack.signing.dsse import Envelope, earlier_forms, signers

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = [
    "MAX_TOKEN",
    "REPLY_TYPE",
    "REQUEST_TYPE",
    "Stamp",
    "StampRequest",
    "Stamped",
    "check_answer",
    "check_stamp",
    "read_authorities",
    "stamp_request",
]

REQUEST_TYPE: Final = "application/timestamp-query"
REPLY_TYPE: Final = "application/timestamp-reply"
"""Media types (RFC 3161, section 3.4)."""

MAX_TOKEN: Final = 64 * 1024
"""Bytes of an answer: those of public authorities have 3 to 8 KiB with their certificates."""

_SHA256: Final = "2.16.840.1.101.3.4.2.1"


class StampRequest(Struct, frozen=True, kw_only=True):
    """What is sent to an authority.

    Attributes:
        der: The request.
        nonce: A number that the answer must repeat, so that it is no older answer.
    """

    der: bytes
    nonce: int


class Stamp(Struct, frozen=True, kw_only=True):
    """What a reader has to judge a time by.

    Attributes:
        token: The authority's answer, as it was.
        name: Its file, for messages.
        authorities: The certificates that she accepts as roots, and any between.
    """

    token: bytes
    name: str
    authorities: tuple[Certificate, ...]


class Stamped(Struct, frozen=True, kw_only=True):
    """What a time stamp that holds says.

    Attributes:
        time: When the signatures existed: the latest time that the authority's accuracy allows.
        authority: The name in its certificate: escape it to show it.
        keys: The fingerprints of the keys whose signatures it covers.
    """

    time: dt.datetime
    authority: str
    keys: tuple[str, ...]


def stamp_request(envelope: bytes) -> StampRequest:
    """A request to stamp an envelope.

    Raises:
        UsageError: The extra is not installed.
    """
    library = _library()
    made = (
        library.TimestampRequestBuilder()
        .data(envelope)
        .hash_algorithm(library.HashAlgorithm.SHA256)
        .build()
    )
    return StampRequest(der=made.as_bytes(), nonce=made.nonce)


def check_answer(request: StampRequest, answer: bytes, envelope: bytes, place: str) -> None:
    """Whether an authority has answered what was asked. Whose answer it is, is not checked.

    Raises:
        RepropackError: It refused, or the answer belongs to another request.
    """
    try:
        decoded = _library().decode_timestamp_response(answer)
        granted = decoded.status in (0, 1)
        if not granted:
            said = show("; ".join(decoded.status_string)) or "without a reason"
            raise RepropackError(f"{place}: the authority refused to stamp: {said}")
        info = decoded.tst_info
        nonce, imprint = info.nonce, info.message_imprint
        asked = imprint.hash_algorithm.dotted_string == _SHA256 and (
            imprint.message.hex() == digest.sha256_hex(envelope)
        )
    except ValueError as error:
        raise RepropackError(
            f"{place}: found no time stamp ({show(str(error), limit=120)}), expected an answer "
            "as in RFC 3161",
            advice="is it the address of a time-stamping authority?",
        ) from error
    if nonce != request.nonce:
        raise RepropackError(f"{place}: the answer belongs to another request: its nonce differs")
    if not asked:
        raise RepropackError(f"{place}: the answer is about another digest than was asked for")


def check_stamp(stamp: Stamp, envelope: Envelope) -> Stamped:
    """What a time stamp proves of an envelope.

    Raises:
        UsageError: The extra is not installed.
        DefectError: `TIMESTAMP`: it is malformed, about something else, or not of an accepted
            authority.
    """
    library = _library()
    try:
        decoded = library.decode_timestamp_response(stamp.token)
        if decoded.status not in (0, 1):
            raise _refused(stamp, "a request that the authority refused", "a time stamp")
        info = decoded.tst_info
        imprint = info.message_imprint
        kind, stamped = imprint.hash_algorithm.dotted_string, imprint.message
    except ValueError as error:
        raise _refused(stamp, str(error), "a time stamp as in RFC 3161") from error
    if kind != _SHA256:
        raise _refused(stamp, f"a digest of the kind {kind}", "SHA-256")
    covered = next(
        (
            form
            for data, form in earlier_forms(envelope)
            if digest.sha256_hex(data) == stamped.hex()
        ),
        None,
    )
    if covered is None:
        raise _refused(
            stamp,
            f"the time stamp of sha256:{stamped.hex()}",
            f"that of {envelope.name}, as it is or before signatures were added to it",
        )
    verifier = library.VerifierBuilder(roots=list(stamp.authorities)).build()
    try:
        verifier.verify(decoded, stamped)
        signer = _signer_name(decoded)
        time = _latest(info)
    except (library.VerificationError, ValueError, OverflowError) as error:
        raise _refused(
            stamp, _said(error), "a stamp by one of the authorities that you named, valid then"
        ) from error
    return Stamped(time=time, authority=signer, keys=_holding(covered))


def _holding(covered: Envelope) -> tuple[str, ...]:
    """The keys whose signatures were there and held when the stamp was made.

    Not every key that the envelope names: where its signature did not hold then, a thief of the key
    may have added one that does.
    """
    try:
        return tuple(key.fingerprint for key in signers(covered))
    except DefectError:
        return ()


def read_authorities(data: bytes, name: str) -> tuple[Certificate, ...]:
    """The certificates of a PEM file.

    Raises:
        UsageError: There is none.
    """
    from cryptography.x509 import load_pem_x509_certificates

    try:
        return tuple(load_pem_x509_certificates(data))
    except ValueError as error:
        raise UsageError(
            f"{name}: found no certificate, expected PEM",
            advice="give the file that the time-stamping authority publishes",
        ) from error


def _signer_name(decoded: Any) -> str:
    """The name in the certificate that signed, which the verifier has found."""
    names = [one.issuer.rfc4514_string() for one in decoded.signed_data.signer_infos]
    serials = {one.serial_number for one in decoded.signed_data.signer_infos}
    from cryptography.x509 import load_der_x509_certificate

    for der in decoded.signed_data.certificates:
        certificate = load_der_x509_certificate(der)
        issued = certificate.issuer.rfc4514_string() in names
        if issued and certificate.serial_number in serials:
            return certificate.subject.rfc4514_string()
    return ", ".join(names)


def _latest(info: Any) -> dt.datetime:
    accuracy = info.accuracy
    time: dt.datetime = info.gen_time
    if accuracy is None:
        return time
    return time + dt.timedelta(
        seconds=accuracy.seconds or 0,
        milliseconds=accuracy.millis or 0,
        microseconds=accuracy.micros or 0,
    )


def _said(error: Exception) -> str:
    """What is wrong, out of the stack of errors that OpenSSL gives."""
    text = str(error)
    certificates = re.findall(r'"Verify error: ([^"]*)"', text)
    reasons = re.findall(r'reason: "([^"]*)"', text)
    return str((certificates or reasons or [text])[-1])


def _library() -> ModuleType:
    try:
        import rfc3161_client
    except ImportError as error:
        raise UsageError(
            "time stamps need a further package", advice="pip install 'repropack[timestamp]'"
        ) from error
    return rfc3161_client


def _refused(stamp: Stamp, found: str, expected: str) -> DefectError:
    return DefectError(Code.TIMESTAMP, stamp.name, found=found, expected=expected)
