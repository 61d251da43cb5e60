# SPDX-License-Identifier: Apache-2.0
"""Receipts: what is signed, what others' tools say of it, hostile ones, and how they stack."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import google.protobuf.json_format
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from in_toto_attestation.v1 import resource_descriptor_pb2, statement_pb2
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from in_toto_attestation.v1.statement import Statement as TheirStatement
from jsonschema import Draft202012Validator
from msgspec import structs
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.signer._key import SSlibKey

from repropack import canonical
from repropack.findings import Code, DefectError
from repropack.model import (
    Absolute,
    Claim,
    ClaimMode,
    ClaimResult,
    Difference,
    Isolation,
    Machine,
    MetricSource,
    Report,
    RevocationReason,
    SignerReport,
    SignerStatus,
    Verdict,
)
from repropack.schema import schema
from repropack.signing.dsse import seal
from repropack.signing.key_statements import read_key_statement, revocation, rotation
from repropack.signing.keyring import Keyring
from repropack.signing.keys import SigningKey
from repropack.signing.policy import TrustPolicy
from repropack.signing.trusted import TrustedSigner
from repropack.verify.claims import printable
from repropack.verify.receipts import (
    CheckedReceipt,
    Stack,
    is_receiptable,
    platform_class,
    read_receipt,
    receipt_payload,
    stack,
)

DIGEST: Final = "ab" * 32
NOW: Final = "2026-01-02T03:04:05Z"
HERE: Final = Machine(system="Linux", architecture="x86_64")
GPU: Final = Machine(
    system="Linux",
    architecture="x86_64",
    accelerators=("NVIDIA H100, 80 GiB, 550.1", "NVIDIA H100, 80 GiB, 550.1"),
)
A, B, C = (
    SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)) for number in (3, 4, 5)
)


def claimed(
    verdict: Verdict, metric: str = "accuracy", mode: ClaimMode = ClaimMode.EVALUATE
) -> ClaimResult:
    source = MetricSource(importer="json", path="{project}/m.json", key=f"/{metric}")
    claim = Claim(
        metric=metric,
        source=source,
        expected=0.9,
        mode=mode,
        tolerance=Absolute(within=0.01),
    )
    return ClaimResult(claim=claim, verdict=verdict, fresh=0.9, sentence="")


def report(verdict: Verdict = Verdict.REPRODUCED, *claims: ClaimResult) -> Report:
    return Report(
        version=1,
        bundle="x.rpk",
        manifest_sha256=DIGEST,
        verdict=verdict,
        reason="",
        exit_status=0,
        signer=SignerReport(fingerprint="SHA256:x", status=SignerStatus.TRUSTED),
        mode="evaluate",
        steps=(),
        repetitions=1,
        claims=claims or (claimed(verdict), claimed(verdict, "loss")),
        differences=(Difference(subject="processor", recorded="EPYC", present="Xeon"),),
        isolation=Isolation(kind="bubblewrap", summary="no network"),
        tool="repropack 0.1.0",
    )


CLAIMS: Final = tuple(
    claimed(Verdict.REPRODUCED, metric, mode).claim
    for metric in ("accuracy", "loss")
    for mode in ClaimMode
)
"""What the bundle claims: each number in each mode."""


def receipt(
    key: SigningKey = A, verdict: Verdict = Verdict.REPRODUCED, machine: Machine = HERE
) -> bytes:
    return seal(receipt_payload(report(verdict), machine, NOW), key)


def read(
    data: bytes,
    *,
    trusted: tuple[SigningKey, ...] = (),
    own: tuple[SigningKey, ...] = (),
    claims: Sequence[Claim] = CLAIMS,
) -> CheckedReceipt:
    policy = TrustPolicy(
        trusted=tuple(
            TrustedSigner(name="lab", fingerprint=key.public.fingerprint) for key in trusted
        )
    )
    return read_receipt(
        data,
        "a.receipt",
        policy,
        manifest_sha256=DIGEST,
        claims=claims,
        bundle_signers=frozenset(key.public.fingerprint for key in own),
    )


def edited(change: Callable[[Any], object], key: SigningKey = A) -> bytes:
    """A receipt whose statement was changed before it was signed."""
    statement = json.loads(receipt_payload(report(), HERE, NOW))
    change(statement)
    return seal(canonical.encode(statement), key)


def test_a_receipt_says_what_was_checked_and_how() -> None:
    checked = read(receipt(), trusted=(A,))
    assert checked.result.result == "PASSED"
    assert checked.result.passed_tests == (
        "accuracy {project}/m.json /accuracy",
        "loss {project}/m.json /loss",
    )
    assert checked.facts.mode is ClaimMode.EVALUATE
    assert (checked.facts.repetitions, checked.facts.seeds) == (1, ())
    assert checked.facts.platform == "Linux x86_64"
    assert checked.facts.isolation == "bubblewrap"
    assert checked.facts.differences[0].present == "Xeon"
    assert [s.status for s in checked.signers] == [SignerStatus.TRUSTED]


def test_the_platform_is_a_class_of_machines_and_names_no_machine() -> None:
    assert platform_class(GPU) == "Linux x86_64, 2 x NVIDIA H100"


def test_others_read_the_statement_and_the_envelope() -> None:
    data = receipt()
    envelope = TheirEnvelope.from_dict(json.loads(data))
    key = SSlibKey(A.public.openssh, "ed25519", "ed25519", {"public": A.public.raw.hex()})
    for signature in envelope.signatures.values():
        key.verify_signature(signature, envelope.pae())
    theirs = google.protobuf.json_format.Parse(envelope.payload, statement_pb2.Statement())
    statement = TheirStatement.copy_from_pb(theirs)
    statement.validate()
    assert statement.pb.predicate_type == "https://in-toto.io/attestation/test-result/v0.1"
    assert statement.pb.predicate["result"] == "PASSED"
    (configuration,) = json.loads(envelope.payload)["predicate"]["configuration"]
    descriptor = google.protobuf.json_format.ParseDict(
        configuration, resource_descriptor_pb2.ResourceDescriptor()
    )
    ResourceDescriptor.copy_from_pb(descriptor).validate()
    Draft202012Validator(schema("receipt")).validate(json.loads(envelope.payload))


def test_what_was_not_compared_is_not_signed() -> None:
    assert is_receiptable(report())
    for verdict in (Verdict.INTACT, Verdict.NOT_INTACT):
        assert not is_receiptable(report(verdict))
    empty = Report(
        version=1,
        bundle="x",
        manifest_sha256=DIGEST,
        verdict=Verdict.INCONCLUSIVE,
        reason="data is missing",
        exit_status=3,
        signer=None,
        mode="evaluate",
        steps=(),
    )
    assert not is_receiptable(empty)


def test_claims_of_one_name_stay_apart() -> None:
    two = (claimed(Verdict.REPRODUCED), claimed(Verdict.REPRODUCED))
    data = seal(receipt_payload(report(Verdict.REPRODUCED, *two), HERE, NOW), A)
    twice = [one.claim for one in two]
    assert len(set(read(data, claims=twice).result.passed_tests)) == 2
    with pytest.raises(DefectError, match=Code.RECEIPT_CLAIMS.code):
        read(data, claims=twice[:1])


def set_at(*path: Any) -> Callable[[Any], object]:
    *keys, last, value = path

    def change(statement: Any) -> None:
        for key in keys:
            statement = statement[key]
        statement[last] = value

    return change


ACCURACY: Final = "accuracy {project}/m.json /accuracy"
LOSS: Final = "loss {project}/m.json /loss"
ANNOTATIONS: Final = ("predicate", "configuration", 0, "annotations")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (set_at("subject", 0, "digest", "sha256", "cd" * 32), Code.RECEIPT_SUBJECT),
        (set_at("subject", 0, "digest", {"sha256": DIGEST, "md5": "0"}), Code.RECEIPT),
        (set_at("subject", 0, "digest", {}), Code.RECEIPT),
        (set_at("subject", 0, "name", "x.rpk"), Code.RECEIPT),
        (set_at("subject", []), Code.RECEIPT),
        (set_at("_type", "https://in-toto.io/Statement/v0.1"), Code.RECEIPT),
        (set_at("predicateType", "urn:repropack:release:v1"), Code.RECEIPT),
        (set_at("predicate", "result", "passed"), Code.RECEIPT),
        (set_at("predicate", "result", "FAILED"), Code.RECEIPT),
        (set_at("predicate", "failedTests", ["one more"]), Code.RECEIPT),
        (set_at("predicate", "passedTests", []), Code.RECEIPT),
        (set_at("predicate", "passedTests", ["a", "a"]), Code.RECEIPT),
        (set_at("predicate", "url", "https://example.org"), Code.RECEIPT),
        (set_at("predicate", "configuration", []), Code.RECEIPT),
        (set_at("predicate", "configuration", 0, "uri", "urn:other"), Code.RECEIPT),
        (set_at(*ANNOTATIONS, "verdict", "INTACT"), Code.RECEIPT),
        (set_at(*ANNOTATIONS, "verdict", "INCONCLUSIVE"), Code.RECEIPT),
        (set_at(*ANNOTATIONS, "version", 2), Code.RECEIPT),
        (set_at(*ANNOTATIONS, "mode", "no-run"), Code.RECEIPT),
        (set_at(*ANNOTATIONS, "mode", "retrain_new_seed"), Code.RECEIPT),
        (set_at(*ANNOTATIONS, "seeds", ["7"]), Code.RECEIPT),
        (set_at(*ANNOTATIONS, "seeds", ["x"]), Code.RECEIPT),
        (set_at(*ANNOTATIONS, "repetitions", 0), Code.RECEIPT),
        (set_at("predicate", "passedTests", ["moon landing"]), Code.RECEIPT_CLAIMS),
        (set_at("predicate", "passedTests", [ACCURACY]), Code.RECEIPT_CLAIMS),
        (set_at("predicate", "passedTests", [ACCURACY, LOSS, "moon"]), Code.RECEIPT_CLAIMS),
        (set_at(*ANNOTATIONS, "checked", "yesterday"), Code.RECEIPT),
        (set_at(*ANNOTATIONS, "extra", 1), Code.RECEIPT),
    ],
)
def test_receipts_that_are_refused(change: Callable[[Any], object], code: Code) -> None:
    with pytest.raises(DefectError) as caught:
        read(edited(change), trusted=(A,))
    assert caught.value.finding.code is code
    assert caught.value.finding.subject == "a.receipt"


def test_a_receipt_in_another_spelling_is_refused() -> None:
    payload = json.dumps(json.loads(receipt_payload(report(), HERE, NOW))).encode()
    with pytest.raises(DefectError) as caught:
        read(seal(payload, A))
    assert caught.value.finding.code is Code.RECEIPT


def test_a_changed_payload_under_an_old_signature_is_refused() -> None:
    good, other = (json.loads(d) for d in (receipt(), receipt(verdict=Verdict.NOT_REPRODUCED)))
    forged = canonical.encode({**other, "payload": good["payload"]})
    with pytest.raises(DefectError) as caught:
        read(forged)
    assert caught.value.finding.code is Code.SIGNATURE


@pytest.mark.parametrize("data", [b"", b"{}", b"\x00" * 100, b"[" * 100_000, b"null"])
def test_what_is_no_envelope_is_refused(data: bytes) -> None:
    with pytest.raises(DefectError) as caught:
        read(data)
    assert caught.value.finding.code is Code.ENVELOPE


def test_keys_are_counted_and_not_receipts() -> None:
    result = stack([read(receipt(A)), read(receipt(A)), read(receipt(A, machine=GPU))])
    assert len(result.reproduced) == 1
    assert len(result.platforms) == 2


def test_three_parties_on_two_platforms() -> None:
    everybody = [receipt(A), receipt(B), receipt(C, machine=GPU)]
    result = stack([read(one, trusted=(A, C)) for one in everybody])
    assert result.verdict is Verdict.REPRODUCED
    assert (len(result.reproduced), len(result.independent), len(result.platforms)) == (3, 3, 2)
    assert set(result.established) == {A.public.fingerprint, C.public.fingerprint}


def of_mode(key: SigningKey, mode: ClaimMode, *seeds: str) -> bytes:
    results = [claimed(Verdict.REPRODUCED, metric, mode) for metric in ("accuracy", "loss")]
    whole = structs.replace(
        report(Verdict.REPRODUCED, *results), seeds=seeds, repetitions=len(seeds) or 1
    )
    return seal(receipt_payload(whole, HERE, NOW), key)


def test_a_receipt_of_new_seeds_names_them() -> None:
    data = of_mode(A, ClaimMode.RETRAIN_NEW_SEED, "8", "9")
    facts = read(data).facts
    assert (facts.mode, facts.repetitions) == (ClaimMode.RETRAIN_NEW_SEED, 2)
    assert facts.seeds == ("8", "9")
    for wrong in (("8", "8"), ()):
        with pytest.raises(DefectError) as caught:
            read(of_mode(A, ClaimMode.RETRAIN_NEW_SEED, *wrong))
        assert caught.value.finding.code is Code.RECEIPT


def test_a_receipt_of_a_mode_in_which_nothing_is_claimed_is_refused() -> None:
    evaluations = [claim for claim in CLAIMS if claim.mode is ClaimMode.EVALUATE]
    read(of_mode(A, ClaimMode.EVALUATE), claims=evaluations)
    with pytest.raises(DefectError) as caught:
        read(of_mode(A, ClaimMode.RETRAIN_SAME_SEED), claims=evaluations)
    assert caught.value.finding.code is Code.RECEIPT_CLAIMS
    assert caught.value.finding.expected.endswith("in the mode retrain_same_seed")


def test_hostile_names_of_claims_are_the_same_in_receipt_and_bundle() -> None:
    names = ("\x1b[2J", "\u202e", "x" * 5000, "a (2)", "a", "a", "a (2)")
    results = [claimed(Verdict.REPRODUCED, name) for name in names]
    raw = [one.claim for one in results]
    shown = [structs.replace(one, claim=printable(one.claim)) for one in results]
    data = seal(receipt_payload(report(Verdict.REPRODUCED, *shown), HERE, NOW), A)
    tests = read(data, claims=raw).result.passed_tests
    assert len(set(tests)) == len(names)
    assert "\x1b" not in "".join(tests)


def test_a_stack_says_who_reproduced_it_in_which_way() -> None:
    same, new = ClaimMode.RETRAIN_SAME_SEED, ClaimMode.RETRAIN_NEW_SEED
    result = stack([read(one) for one in (receipt(A), of_mode(A, same), of_mode(B, new, "8"))])
    assert result.modes == {
        A.public.fingerprint: (ClaimMode.EVALUATE, same),
        B.public.fingerprint: (new,),
    }


def test_a_key_that_signs_one_receipt_thrice_counts_once() -> None:
    thrice = seal(receipt_payload(report(), HERE, NOW), A, A, A)
    assert len(stack([read(thrice)]).reproduced) == 1


def test_a_signature_of_one_under_the_name_of_another_does_not_count() -> None:
    mine, theirs = json.loads(receipt(A)), json.loads(receipt(B))
    forged = {**mine["signatures"][0], "keyid": theirs["signatures"][0]["keyid"]}
    both = canonical.encode({**mine, "signatures": [mine["signatures"][0], forged]})
    assert stack([read(both)]).reproduced == (A.public.fingerprint,)
    alone = canonical.encode({**mine, "signatures": [forged]})
    with pytest.raises(DefectError) as caught:
        read(alone)
    assert caught.value.finding.code is Code.SIGNATURE


def test_the_authors_own_receipt_is_no_independent_one() -> None:
    result = stack([read(receipt(A), trusted=(A,), own=(A,))])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.own == (A.public.fingerprint,)
    assert not result.reproduced
    assert not result.established


def test_one_who_could_not_reproduce_it_decides() -> None:
    result = stack([read(receipt(A)), read(receipt(B, Verdict.NOT_REPRODUCED))])
    assert result.verdict is Verdict.NOT_REPRODUCED
    assert result.failed == (B.public.fingerprint,)


def test_a_key_that_says_both_does_not_count_as_having_reproduced() -> None:
    result = stack([read(receipt(A)), read(receipt(A, Verdict.INCONCLUSIVE))])
    assert result.verdict is Verdict.INCONCLUSIVE
    assert not result.reproduced


def test_nothing_is_not_good() -> None:
    assert stack([]).verdict is Verdict.INCONCLUSIVE


def test_a_name_with_escapes_reaches_no_screen(tmp_path: Path) -> None:
    del tmp_path
    with pytest.raises(DefectError) as caught:
        read_receipt(b"{}", "\x1b[2J", TrustPolicy(), manifest_sha256=DIGEST, claims=CLAIMS)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("reason", list(RevocationReason))
@pytest.mark.parametrize("verdict", [Verdict.REPRODUCED, Verdict.NOT_REPRODUCED])
def test_what_a_revoked_key_says_counts_neither_way(
    reason: RevocationReason, verdict: Verdict
) -> None:
    envelope = revocation(A.public, A, reason, NOW)
    known = Keyring().add(read_key_statement(envelope, "it"), now=NOW, envelope=envelope)
    policy = TrustPolicy(
        trusted=(TrustedSigner(name="lab", fingerprint=A.public.fingerprint),), keyring=known
    )
    checked = read_receipt(
        receipt(A, verdict), "a.receipt", policy, manifest_sha256=DIGEST, claims=CLAIMS
    )
    assert [s.status for s in checked.signers] == [SignerStatus.REVOKED]
    result = stack([checked])
    assert (result.reproduced, result.failed, result.independent) == ((), (), ())
    assert result.verdict is Verdict.INCONCLUSIVE


def _joined(*pairs: tuple[SigningKey, SigningKey]) -> Keyring:
    known = Keyring()
    for old, new in pairs:
        envelope = rotation(old, new, NOW)
        known = known.add(read_key_statement(envelope, "it"), now=NOW, envelope=envelope)
    return known


def test_keys_of_one_holder_are_one_party() -> None:
    trust = (TrustedSigner(name="lab", fingerprint=A.public.fingerprint),)

    def stacked(known: Keyring, own: SigningKey | None = None) -> Stack:
        policy = TrustPolicy(trusted=trust, keyring=known)
        signers = frozenset() if own is None else frozenset({own.public.fingerprint})
        return stack(
            [
                read_receipt(
                    receipt(key),
                    "a",
                    policy,
                    manifest_sha256=DIGEST,
                    claims=CLAIMS,
                    bundle_signers=signers,
                )
                for key in (A, B)
            ]
        )

    assert len(stacked(Keyring()).independent) == 2
    joined = stacked(_joined((A, B)))
    assert joined.reproduced == joined.established == (A.public.fingerprint,)
    # Nor does an author become independent of her own release by changing her key.
    for pairs in (((A, B), (B, C)), ((C, A), (A, B)), ((A, C), (B, C))):
        found = stacked(_joined(*pairs), own=C)
        assert (found.independent, found.reproduced) == ((), ())
        assert found.verdict is Verdict.INCONCLUSIVE
