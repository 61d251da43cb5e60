# SPDX-License-Identifier: Apache-2.0
"""Rotations and revocations as honest holders make them and as thieves forge them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from jsonschema import Draft202012Validator
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.signer._key import Key, SSlibKey

from repropack import canonical
from repropack.errors import UsageError
from repropack.findings import Code, DefectError
from repropack.model import KEY_REVOCATION_TYPE, RevocationReason, SignerStatus
from repropack.schema import schema
from repropack.signing.dsse import read_envelope, seal
from repropack.signing.key_statements import (
    CheckedRevocation,
    CheckedRotation,
    read_key_statement,
    revocation,
    rotation,
)
from repropack.signing.keyring import Keyring, forget, read_keyring, remember
from repropack.signing.keys import SigningKey
from repropack.signing.policy import Authenticated, TrustPolicy, authenticate
from repropack.signing.trusted import TrustedSigner

A, B, C, T = (
    SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (11, 12, 13, 99)
)
FA, FB, FC, FT = (key.public.fingerprint for key in (A, B, C, T))
STATED = "2026-01-02T03:04:05Z"
MARCH, APRIL, MAY = "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"
COMPROMISED, LOST, RETIRED = RevocationReason


def turn(old: SigningKey, new: SigningKey) -> bytes:
    return rotation(old, new, STATED)


def end(
    key: SigningKey,
    reason: RevocationReason = COMPROMISED,
    *,
    by: SigningKey | None = None,
    since: str | None = None,
    successor: SigningKey | None = None,
) -> bytes:
    return revocation(
        key.public,
        by or key,
        reason,
        STATED,
        since=since,
        successor=None if successor is None else successor.public,
    )


def keyring(*statements: bytes | tuple[bytes, str]) -> Keyring:
    """What a reader knows who accepted these in this order, in May where no time is given."""
    known = Keyring()
    for each in statements:
        envelope, now = each if isinstance(each, tuple) else (each, MAY)
        known = known.add(read_key_statement(envelope, "it"), now=now, envelope=envelope)
    return known


def judged(
    known: Keyring,
    *signers: SigningKey,
    trusted: SigningKey | None = A,
    stamped: str | None = None,
    **policy: Any,
) -> Authenticated:
    """What a reader who trusts one key as `lab` is told of a release by these signers."""
    trust = (TrustedSigner(name="lab", fingerprint=trusted.public.fingerprint),) if trusted else ()
    dated = {}
    if stamped is not None:
        time = dt.datetime.fromisoformat(stamped)
        dated = {key.public.fingerprint: time for key in signers}
    return authenticate(
        read_envelope(seal(b"{}", *signers)),
        TrustPolicy(trusted=trust, keyring=known, **policy),
        dated,
    )


def code(found: Authenticated) -> Code | None:
    return None if found.refusal is None else found.refusal.code


def conflict(known: Keyring, envelope: bytes, now: str = MAY) -> str:
    with pytest.raises(DefectError) as refused:
        known.add(read_key_statement(envelope, "it"), now=now, envelope=envelope)
    assert refused.value.finding.code is Code.KEY_CONFLICT
    return str(refused.value)


# ---------------------------------------------------------------- the statements


def test_a_statement_is_small_canonical_and_fits_its_schema() -> None:
    for envelope, name in (
        (turn(A, B), "key-rotation"),
        (end(A, RETIRED, since=MARCH, successor=B), "key-revocation"),
    ):
        assert len(envelope) < 2048
        payload = read_envelope(envelope).payload
        assert canonical.encode(json.loads(payload)) == payload
        Draft202012Validator(schema(name)).validate(json.loads(payload))


def test_other_tools_read_a_rotation_as_two_signatures_over_an_in_toto_statement() -> None:
    wire = json.loads(turn(A, B))
    ids = {key.public.openssh: name for name, key in (("a", A), ("b", B))}
    theirs = TheirEnvelope.from_dict(
        {
            **wire,
            "signatures": [{"keyid": ids[s["keyid"]], "sig": s["sig"]} for s in wire["signatures"]],
        }
    )
    keys: list[Key] = [
        SSlibKey(name, "ed25519", "ed25519", {"public": key.public.raw.hex()})
        for name, key in (("a", A), ("b", B))
    ]
    assert sorted(theirs.verify(keys, 2)) == ["a", "b"]
    subject = json.loads(read_envelope(turn(A, B)).payload)["subject"][0]
    ResourceDescriptor(name=subject["name"], digest=subject["digest"]).validate()
    assert subject["name"] == FA


def test_what_is_read_is_what_was_stated() -> None:
    assert read_key_statement(turn(A, B), "it") == CheckedRotation(
        old=FA, new=FB, new_openssh=B.public.openssh, stated=STATED
    )
    assert read_key_statement(end(A, LOST, by=B, since=MARCH), "it") == CheckedRevocation(
        key=FA, signer=FB, reason=LOST, since=MARCH, successor=None, stated=STATED
    )


Edit = Callable[[dict[str, Any]], None]


def edited(envelope: bytes, edit: Edit, *signers: SigningKey) -> bytes:
    """The statement with another payload, signed anew by these."""
    statement = json.loads(read_envelope(envelope).payload)
    edit(statement)
    return seal(canonical.encode(statement), *signers)


def put(*path: str | int, value: object) -> Edit:
    def edit(statement: dict[str, Any]) -> None:
        place: Any = statement
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return edit


SUBJECT_OF_B = json.loads(read_envelope(turn(B, C)).payload)["subject"]


@pytest.mark.parametrize(
    "forged",
    [
        # The thief has one of the two keys only.
        lambda: seal(read_envelope(turn(A, T)).payload, T),
        lambda: seal(read_envelope(turn(A, T)).payload, T, T),
        lambda: seal(read_envelope(turn(A, T)).payload, T, B),
        lambda: seal(read_envelope(turn(A, B)).payload, A),
        lambda: seal(read_envelope(turn(A, B)).payload, A, B, T),
        # The holders signed another rotation.
        lambda: edited(turn(A, B), put("predicate", "new", value=T.public.openssh), A, B),
        lambda: edited(turn(A, B), put("predicate", "old", value=C.public.openssh), A, B),
        lambda: edited(turn(A, B), put("subject", value=SUBJECT_OF_B), A, B),
        lambda: edited(turn(A, B), put("subject", value=[]), A, B),
        lambda: edited(turn(A, B), put("subject", 0, "name", value=FB), A, B),
        lambda: edited(turn(A, B), put("predicate", "new", value=A.public.openssh), A, B),
        lambda: edited(turn(A, B), put("predicate", "new", value=A.public.openssh), A),
        lambda: edited(turn(A, B), put("predicate", "stated", value="2026-02-31T00:00:00Z"), A, B),
        lambda: edited(turn(A, B), put("predicate", "stated", value="yesterday"), A, B),
        lambda: edited(turn(A, B), put("predicate", "version", value=2), A, B),
        lambda: edited(turn(A, B), put("predicate", "until", value=MAY), A, B),
        lambda: edited(turn(A, B), put("_type", value="https://in-toto.io/Statement/v0.1"), A, B),
        lambda: edited(turn(A, B), put("predicateType", value=KEY_REVOCATION_TYPE), A, B),
        lambda: edited(turn(A, B), put("predicateType", value="urn:repropack:release:v1"), A, B),
        lambda: edited(
            turn(A, B), put("predicate", "new", value="ssh-ed25519 " + "A" * 68), A, B
        ),
        # Revocations.
        lambda: seal(read_envelope(end(A)).payload, A, B),
        lambda: edited(end(A), put("subject", value=SUBJECT_OF_B), A),
        lambda: edited(end(A), put("predicate", "reason", value="bored"), A),
        lambda: edited(end(A), put("predicate", "since", value="2026-13-01T00:00:00Z"), A),
        lambda: edited(end(A), put("predicate", "successor", value=B.public.openssh), A),
        lambda: edited(end(A, LOST), put("predicate", "successor", value=A.public.openssh), A),
        lambda: seal(b"{}", A),
        lambda: seal(b"[]", A),
        lambda: seal(b"\xff", A),
    ],
)  # fmt: skip
def test_a_forged_or_mangled_statement_is_refused(forged: Callable[[], bytes]) -> None:
    with pytest.raises(DefectError) as refused:
        read_key_statement(forged(), "it")
    assert refused.value.finding.code is Code.KEY_STATEMENT
    assert str(refused.value).startswith("it: RPK313")


def test_the_signature_of_another_statement_is_none_of_this_one() -> None:
    good, other = json.loads(turn(A, B)), json.loads(turn(A, C))
    mixed = canonical.encode({**good, "signatures": other["signatures"]})
    with pytest.raises(DefectError) as refused:
        read_key_statement(mixed, "it")
    assert refused.value.finding.code is Code.SIGNATURE
    half = canonical.encode({**good, "signatures": [good["signatures"][0], other["signatures"][0]]})
    with pytest.raises(DefectError) as refused:
        read_key_statement(half, "it")
    assert refused.value.finding.code is Code.KEY_STATEMENT


@given(st.data())
def test_no_changed_byte_of_a_statement_is_accepted_as_another_one(data: st.DataObject) -> None:
    envelope = data.draw(st.sampled_from((turn(A, B), end(A, RETIRED, since=MARCH))))
    meant = read_key_statement(envelope, "it")
    changed = bytearray(envelope)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        assert read_key_statement(bytes(changed), "it") == meant
    except DefectError:
        return
    assert bytes(changed) == envelope


# ---------------------------------------------------------------- rotation


def test_a_key_is_known_through_a_chain_of_rotations() -> None:
    known = keyring(turn(A, B), turn(B, C))
    found = judged(known, C)
    assert (found.signer.status, found.signer.name) == (SignerStatus.SUCCESSOR, "lab")
    assert FA in found.signer.note
    assert judged(known, A).signer.status is SignerStatus.TRUSTED
    # Trust goes forward only, and only from what the reader knows.
    assert judged(known, A, trusted=B).signer.status is SignerStatus.UNKNOWN
    assert judged(known, C, trusted=None).signer.status is SignerStatus.UNKNOWN
    assert judged(known, C, trusted=T).signer.status is SignerStatus.UNKNOWN


def test_the_order_in_which_a_chain_arrives_does_not_matter() -> None:
    assert judged(keyring(turn(B, C), turn(A, B)), C).signer.status is SignerStatus.SUCCESSOR


def test_a_named_key_stands_for_those_that_follow_it_but_counts_once() -> None:
    known = keyring(turn(A, B))
    named: dict[str, Any] = {"required": (FA,), "trusted": None}
    assert code(judged(known, B, **named)) is None
    assert judged(known, B, **named).signer.status is SignerStatus.SUCCESSOR
    assert code(judged(known, T, **named)) is Code.SIGNER_REJECTED
    # The other way round: the new key was named, the old one signed.
    assert code(judged(known, A, required=(FB,), trusted=None)) is Code.SIGNER_REJECTED
    two: dict[str, Any] = {"required": (FA, FC), "threshold": 2, "trusted": None}
    assert code(judged(known, A, B, **two)) is Code.TOO_FEW_SIGNERS
    assert code(judged(known, B, C, **two)) is None
    both: dict[str, Any] = {"required": (FA, FB), "threshold": 2, "trusted": None}
    assert code(judged(known, B, **both)) is Code.TOO_FEW_SIGNERS
    assert code(judged(known, A, B, **both)) is None
    merged = keyring(turn(A, C), turn(B, C))
    assert code(judged(merged, C, **both)) is Code.TOO_FEW_SIGNERS


def test_a_key_that_the_reader_ruled_out_does_not_come_back_by_rotation() -> None:
    out: dict[str, Any] = {"required": (FA,), "unusable": {FB: "its time is over"}, "trusted": None}
    assert code(judged(keyring(turn(A, B)), B, **out)) is Code.SIGNER_REJECTED


def test_a_pinned_name_goes_over_to_the_key_that_follows() -> None:
    known = keyring(turn(A, B))
    found = judged(known, B, pin="lab")
    assert (code(found), found.signer.status) == (None, SignerStatus.SUCCESSOR)
    assert code(judged(known, T, pin="lab")) is Code.SIGNER_CHANGED
    assert code(judged(Keyring(), B, pin="lab")) is Code.SIGNER_CHANGED


def test_nobody_else_can_hand_a_key_over_and_nothing_is_taken_from_a_strangers_chain() -> None:
    known = keyring(turn(T, C), turn(C, B))
    assert judged(known, B).signer.status is SignerStatus.UNKNOWN


def test_a_second_successor_is_refused_whoever_comes_second() -> None:
    assert "two people have the key" in conflict(keyring(turn(A, B)), turn(A, T))
    assert "two people have the key" in conflict(keyring(turn(A, T)), turn(A, B))
    known = keyring(turn(A, B))
    again = rotation(A, B, "2020-01-01T00:00:00Z")
    assert known.add(read_key_statement(again, "it"), now=MAY, envelope=again) is known


def test_loops_are_refused() -> None:
    assert "does not follow itself" in conflict(keyring(turn(A, B)), turn(B, A))
    assert "does not follow itself" in conflict(keyring(turn(A, B), turn(B, C)), turn(C, A))


def test_an_old_key_is_not_reinstated() -> None:
    # Rollback: after A handed over and was retired, nobody hands over to it again.
    known = keyring(turn(A, B), end(A, RETIRED, successor=B))
    assert "which is revoked" in conflict(known, turn(T, A))
    assert "follow itself" in conflict(known, turn(B, A))


# ---------------------------------------------------------------- revocation


@pytest.mark.parametrize("policy", [{}, {"required": (FA,)}, {"pin": "lab"}])
def test_a_compromised_key_is_refused_an_idle_one_is_not_established(
    policy: dict[str, Any],
) -> None:
    hard = judged(keyring(end(A)), A, **policy)
    assert (code(hard), hard.signer.status) == (Code.KEY_REVOKED, SignerStatus.REVOKED)
    for reason in (LOST, RETIRED):
        soft = judged(keyring(end(A, reason)), A, **policy)
        assert (code(soft), soft.signer.status) == (None, SignerStatus.REVOKED)
        assert reason.value in soft.signer.note
        assert not soft.signer.status.established


def test_a_revoked_key_that_nobody_trusted_is_refused_too() -> None:
    assert code(judged(keyring(end(T)), T)) is Code.KEY_REVOKED
    assert code(judged(keyring(end(T)), T, trusted=None)) is Code.KEY_REVOKED
    # Nor is it pinned on first use.
    assert code(judged(keyring(end(T)), T, trusted=None, pin="x")) is Code.KEY_REVOKED
    idle = judged(keyring(end(T, LOST)), T, trusted=None, pin="x")
    assert idle.signer.status is SignerStatus.REVOKED


def test_another_established_signer_suffices_and_a_stranger_does_not() -> None:
    known = keyring(end(T))
    found = judged(known, T, A)
    assert (code(found), found.signer.fingerprint) == (None, FA)
    assert found.signers[0].status is SignerStatus.REVOKED
    assert code(judged(known, T, C)) is Code.KEY_REVOKED


def test_a_threshold_is_not_met_by_revoked_keys() -> None:
    two: dict[str, Any] = {"required": (FA, FB), "threshold": 2, "trusted": None}
    assert code(judged(keyring(end(A)), A, B, **two)) is Code.TOO_FEW_SIGNERS
    idle = judged(keyring(end(A, RETIRED)), A, B, **two)
    assert (code(idle), idle.signer.status) == (None, SignerStatus.REVOKED)
    one: dict[str, Any] = {"required": (FA, FB), "trusted": None}
    assert judged(keyring(end(A, RETIRED)), A, B, **one).signer.status is SignerStatus.TRUSTED


def test_only_the_key_and_those_that_follow_it_revoke_it() -> None:
    assert "a revocation by" in conflict(Keyring(), end(A, by=T))
    assert "a revocation by" in conflict(keyring(turn(B, A)), end(A, by=B))
    assert "a revocation by" in conflict(keyring(turn(T, C)), end(A, by=C))
    known = keyring(turn(A, B), turn(B, C), end(A, by=C))
    assert code(judged(known, A)) is Code.KEY_REVOKED


def test_a_rotation_by_a_revoked_key_is_refused() -> None:
    for reason in RevocationReason:
        assert "it is revoked" in conflict(keyring(end(A, reason)), turn(A, B))
        # Whatever date the thief writes: the reader goes by her own clock.
        assert "it is revoked" in conflict(keyring(end(A, reason, since=MARCH)), turn(A, B))
    assert "it is revoked" in conflict(keyring(end(A, RETIRED, successor=B)), turn(A, T))
    known = keyring(end(A, RETIRED, since=MARCH, successor=B), turn(A, B))
    assert judged(known, B).signer.status is SignerStatus.SUCCESSOR


def test_what_a_thief_handed_over_ends_with_the_compromise_what_came_before_does_not() -> None:
    # The thief of A hands over to himself; later the author says that A was compromised in March.
    for since in (None, MARCH):
        known = keyring((turn(A, T), APRIL), end(A, since=since))
        assert judged(known, T).signer.status is SignerStatus.UNKNOWN
    # The author handed over, and the reader knew it, before the old key was stolen in May.
    known = keyring((turn(A, B), APRIL), end(A, by=B, since=MAY))
    assert judged(known, B).signer.status is SignerStatus.SUCCESSOR
    # The chain is as good as its weakest link.
    known = keyring((turn(A, B), APRIL), (turn(B, C), APRIL), end(B, since=MARCH))
    assert judged(known, C).signer.status is SignerStatus.UNKNOWN
    assert code(judged(known, B)) is Code.KEY_REVOKED


def test_a_thiefs_later_or_milder_revocation_weakens_nothing() -> None:
    for first, second in (
        (end(A, since=MARCH), end(A, since="2026-12-01T00:00:00Z")),
        (end(A), end(A, RETIRED, since=MAY, successor=T)),
    ):
        for known in (keyring(first, second), keyring(second, first)):
            assert code(judged(known, A)) is Code.KEY_REVOKED
            assert code(judged(known, A, stamped=APRIL)) is Code.KEY_REVOKED
            assert "it is revoked" in conflict(known, turn(A, T))


@pytest.mark.parametrize("reason", list(RevocationReason))
def test_a_proven_date_before_the_revocation_saves_a_signature(reason: RevocationReason) -> None:
    known = keyring(end(A, reason, since=APRIL))
    assert judged(known, A, stamped=MARCH).signer.status is SignerStatus.TRUSTED
    for late in (APRIL, MAY):
        assert judged(known, A, stamped=late).signer.status is SignerStatus.REVOKED
    # Without a day, nothing that the key ever signed is told from a forgery.
    assert judged(keyring(end(A, reason)), A, stamped=MARCH).signer.status is SignerStatus.REVOKED


# ---------------------------------------------------------------- the reader's list


def learn(path: Path, *envelopes: bytes, now: str = MAY) -> None:
    for envelope in envelopes:
        assert remember(path, read_key_statement(envelope, "it"), envelope, now=now)


def test_the_list_is_kept_whole_private_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "settings" / "key_statements"
    assert read_keyring(path) == Keyring()
    learn(path, turn(A, B), end(A, RETIRED, by=B, successor=B))
    assert not remember(path, read_key_statement(turn(A, B), "it"), turn(A, B), now=MAY)
    assert read_keyring(path) == keyring(turn(A, B), end(A, RETIRED, by=B, successor=B))
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o666)
    with pytest.raises(UsageError, match="others change"):
        read_keyring(path)


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"2026-05-01T00:00:00Z {}",
        b"2026-15-01T00:00:00Z " + turn(B, C),
        b"2026-05-01T00:00:00Z " + turn(A, T),
        b"2026-05-01T00:00:00Z " + turn(B, C)[:-1],
        b"2026-05-01T00:00:00Z " + seal(read_envelope(turn(B, T)).payload, T),
        b"\xff\x00",
    ],
)
def test_a_line_that_does_not_hold_is_refused_by_its_number(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "key_statements"
    path.write_bytes(b"# mine\n" + MAY.encode() + b" " + turn(A, B) + b"\n" + line + b"\n")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="line 3"):
        read_keyring(path)


def test_a_rotation_is_forgotten_with_what_rests_on_it_and_revocations_stay(tmp_path: Path) -> None:
    path = tmp_path / "key_statements"
    learn(path, turn(A, T), end(A, by=T), end(T), turn(B, C))
    assert forget(path, FT)
    assert read_keyring(path) == keyring(end(T), turn(B, C))
    assert not forget(path, FT)
    assert not forget(tmp_path / "absent", FT)
