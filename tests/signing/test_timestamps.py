# SPDX-License-Identifier: Apache-2.0
"""Time stamps: what OpenSSL's authority says, what it proves of an envelope, and what does not."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from repropack import canonical
from repropack.errors import RepropackError, UsageError
from repropack.findings import Code, DefectError
from repropack.signing.dsse import add_signature, read_envelope, seal
from repropack.signing.keys import SigningKey
from repropack.signing.timestamps import (
    Stamp,
    Stamped,
    check_answer,
    check_stamp,
    read_authorities,
    stamp_request,
)
from tests.signing.authority import Authority

A, B = (SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (21, 22))
ENVELOPE = seal(b'{"x":1}', A)
MARCH = "2026-03-01T00:00:00Z"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("time") / "authority")


def check(token: bytes, authority: Authority, envelope: bytes = ENVELOPE) -> Stamped:
    pem = authority.certificates.read_bytes()
    stamp = Stamp(token=token, name="x.tsr", authorities=read_authorities(pem, "ca.pem"))
    return check_stamp(stamp, read_envelope(envelope))


def refused(token: bytes, authority: Authority, envelope: bytes = ENVELOPE) -> str:
    with pytest.raises(DefectError) as error:
        check(token, authority, envelope)
    assert error.value.finding.code is Code.TIMESTAMP
    text = str(error.value)
    assert text.startswith("x.tsr: RPK315")
    assert "\n" not in text
    return text


def test_openssl_stamps_what_we_ask_for(authority: Authority) -> None:
    request = stamp_request(ENVELOPE)
    answer = authority.answer(request.der)
    check_answer(request, answer, ENVELOPE, "here")
    found = check(answer, authority)
    assert found.keys == (A.public.fingerprint,)
    assert found.authority == "CN=Time"
    # The time is the latest that the authority's accuracy allows: one second later.
    assert abs(found.time - dt.datetime.now(dt.UTC)) < dt.timedelta(hours=1)


def test_a_stamp_covers_the_signatures_that_were_there(authority: Authority) -> None:
    token = authority.back_dated(ENVELOPE, MARCH)
    assert check(token, authority).time == dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    more = add_signature(read_envelope(ENVELOPE), B)
    assert check(token, authority, more).keys == (A.public.fingerprint,)
    both = authority.back_dated(more, MARCH)
    assert check(both, authority, more).keys == (A.public.fingerprint, B.public.fingerprint)
    assert "before signatures were added" in refused(both, authority)
    assert "before signatures were added" in refused(token, authority, seal(b'{"x":2}', A))


def test_a_signature_that_a_thief_adds_later_is_not_dated_by_a_bad_one_of_its_key(
    authority: Authority,
) -> None:
    wire = json.loads(ENVELOPE)
    junk = {"keyid": B.public.openssh, "sig": wire["signatures"][0]["sig"]}
    before = canonical.encode({**wire, "signatures": [*wire["signatures"], junk]})
    token = authority.back_dated(before, MARCH)
    after = add_signature(read_envelope(before), B)
    assert check(token, authority, after).keys == (A.public.fingerprint,)
    # Nothing that held then: the stamp is real and dates nobody.
    only = canonical.encode({**wire, "signatures": [junk]})
    assert check(authority.back_dated(only, MARCH), authority, only).keys == ()


def test_the_certificate_must_be_valid_when_it_stamps_not_today(tmp_path: Path) -> None:
    ended = Authority.create(tmp_path / "ended", first="2020-01-01", last="2021-01-01")
    assert check(ended.back_dated(ENVELOPE, "2020-06-01T00:00:00Z"), ended).keys
    assert "expired" in refused(ended.back_dated(ENVELOPE, "2021-06-01T00:00:00Z"), ended)
    assert "not yet valid" in refused(ended.back_dated(ENVELOPE, "2019-06-01T00:00:00Z"), ended)
    # What `openssl ts` stamps now with that certificate.
    assert "expired" in refused(ended.answer(stamp_request(ENVELOPE).der), ended)


def test_only_an_accepted_authority_whose_certificate_is_for_that_counts(
    authority: Authority, tmp_path: Path
) -> None:
    # It has the same names, and other keys.
    other = Authority.create(tmp_path / "other")
    assert "certificate" in refused(other.back_dated(ENVELOPE, MARCH), authority)
    stamping, mail = ExtendedKeyUsageOID.TIME_STAMPING, ExtendedKeyUsageOID.EMAIL_PROTECTION
    for number, (purposes, critical) in enumerate(
        (((), True), ((mail,), True), ((stamping, mail), True), ((stamping,), False))
    ):
        place = tmp_path / f"web-{number}"
        web = Authority.create(place, purposes=purposes, critical=critical)
        assert "purpose" in refused(web.back_dated(ENVELOPE, MARCH), web)
    for data in (b"", b"no pem", A.public.pem.encode()):
        with pytest.raises(UsageError, match=r"ca\.pem: found no certificate"):
            read_authorities(data, "ca.pem")


def test_the_certificate_that_signed_is_judged_and_no_other(
    authority: Authority, tmp_path: Path
) -> None:
    mail = Authority.create(
        tmp_path / "mail", purposes=(ExtendedKeyUsageOID.EMAIL_PROTECTION,), of=authority
    )
    honest = Authority.create(tmp_path / "honest", "Other", of=authority)
    beside = authority.root / "tsa.pem"
    assert check(honest.back_dated(ENVELOPE, MARCH, beside=beside), authority).authority == (
        "CN=Other"
    )
    assert "purpose" in refused(mail.back_dated(ENVELOPE, MARCH, beside=beside), authority)


def test_another_kind_of_digest_is_refused(authority: Authority) -> None:
    assert "expected SHA-256" in refused(
        authority.back_dated(ENVELOPE, MARCH, kind="sha1"), authority
    )


def test_no_prefix_and_no_flipped_bit_of_a_stamp_gives_another_time(authority: Authority) -> None:
    token = authority.back_dated(ENVELOPE, MARCH)
    meant = check(token, authority)
    for size in range(0, len(token), 7):
        refused(token[:size], authority)
    refused(token + b"\0", authority)
    dice = random.Random(7)
    for _ in range(1500):
        changed = bytearray(token)
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        with contextlib.suppress(DefectError):
            assert check(bytes(changed), authority) == meant


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda a, r: a.answer(stamp_request(ENVELOPE).der), "nonce differs"),
        (lambda a, r: a.back_dated(ENVELOPE, MARCH), "nonce differs"),
        (lambda a, r: a.answer(r)[:-40], "found no time stamp"),
        (lambda a, r: b"<html>", "found no time stamp"),
        (lambda a, r: b"", "found no time stamp"),
    ],
)
def test_an_answer_must_belong_to_the_request(
    authority: Authority, answer: Callable[[Authority, bytes], bytes], words: str
) -> None:
    request = stamp_request(ENVELOPE)
    with pytest.raises(RepropackError, match=words):
        check_answer(request, answer(authority, request.der), ENVELOPE, "here")


def test_an_answer_about_other_bytes_or_a_refusal_is_said(
    authority: Authority, tmp_path: Path
) -> None:
    request = stamp_request(b"other")
    with pytest.raises(RepropackError, match="another digest"):
        check_answer(request, authority.answer(request.der), ENVELOPE, "here")
    strict = Authority.create(tmp_path / "strict", digests="sha512")
    request = stamp_request(ENVELOPE)
    rejection = strict.answer(request.der)
    with pytest.raises(RepropackError, match="refused to stamp"):
        check_answer(request, rejection, ENVELOPE, "here")
    assert "refused" in refused(rejection, strict)


def test_without_the_extra_the_way_to_get_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(UsageError, match=r"repropack\[timestamp\]"):
        stamp_request(ENVELOPE)
    with pytest.raises(UsageError, match=r"repropack\[timestamp\]"):
        check_stamp(Stamp(token=b"", name="x.tsr", authorities=()), read_envelope(ENVELOPE))
