# SPDX-License-Identifier: Apache-2.0
"""Receipts: what somebody signs who has checked a bundle, and what several of them come to.

A receipt is an in-toto statement with the test-result predicate, in a DSSE envelope, about the
digest of a bundle's manifest (docs/spec/rpk-v1.md, section 14). It proves that the holder of a key
says so, and nothing more: whose key it is, the reader decides. Pure: reports and bytes in, values
out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from msgspec import Struct

from repropack import canonical
from repropack.escaping import show
from repropack.findings import Code, DefectError
from repropack.model import (
    RECEIPT_CONFIGURATION,
    RECEIPT_TYPE,
    RECORD_VERSION,
    STATEMENT_TYPE,
    ClaimResult,
    Machine,
    Receipt,
    ReceiptConfiguration,
    ReceiptFacts,
    ReceiptResult,
    Report,
    SignerReport,
    SignerStatus,
    Subject,
    Verdict,
)
from repropack.signing.dsse import read_envelope
from repropack.signing.policy import TrustPolicy, authenticate

__all__ = [
    "CheckedReceipt",
    "Stack",
    "is_receiptable",
    "platform_class",
    "read_receipt",
    "receipt_payload",
    "stack",
]

_RESULTS: Final[dict[Verdict, Literal["PASSED", "WARNED", "FAILED"]]] = {
    Verdict.REPRODUCED: "PASSED",
    Verdict.INCONCLUSIVE: "WARNED",
    Verdict.NOT_REPRODUCED: "FAILED",
}

_MODES: Final = ("evaluate", "retrain")


class CheckedReceipt(Struct, frozen=True, kw_only=True):
    """A receipt whose signatures hold and which is about the bundle at hand.

    Attributes:
        name: The file it came from.
        signers: The keys whose signatures hold, as the reader's policy sees them.
        own: Those of them that signed the bundle too, or that rotations join with one that did: no
            independent party.
        parties: Whose they are: the same name for keys that rotations join, by fingerprint.
    """

    name: str
    result: ReceiptResult
    facts: ReceiptFacts
    signers: tuple[SignerReport, ...]
    own: frozenset[str] = frozenset()
    parties: dict[str, str] = {}


class Stack(Struct, frozen=True, kw_only=True):
    """What several receipts of one bundle come to. Keys are counted, each once; keys of one holder
    as one, by the first of them.

    Attributes:
        reproduced: Independent keys of which every receipt says REPRODUCED.
        independent: All keys that did not sign the bundle.
        established: Those of `reproduced` whom the reader's policy knows.
        platforms: On which classes of machine they reproduced it.
        own: Keys that signed the bundle too and say REPRODUCED.
        failed: Keys of which a receipt says NOT REPRODUCED.
    """

    verdict: Verdict
    reproduced: tuple[str, ...]
    independent: tuple[str, ...]
    established: tuple[str, ...]
    platforms: tuple[str, ...]
    own: tuple[str, ...]
    failed: tuple[str, ...]


def platform_class(machine: Machine) -> str:
    """The class of a machine: within one, evaluations agree to the last bits or nearly so."""
    accelerators = Counter(one.partition(",")[0].strip() for one in machine.accelerators)
    named = [f"{count} x {name}" for name, count in sorted(accelerators.items())]
    return ", ".join([f"{machine.system} {machine.architecture}", *named])


def is_receiptable(report: Report) -> bool:
    """Whether there is anything to sign: numbers were compared, of a manifest that is known."""
    return bool(report.claims) and report.verdict in _RESULTS and report.manifest_sha256 is not None


def receipt_payload(report: Report, machine: Machine, checked: str) -> bytes:
    """The statement that a checker signs.

    Args:
        report: Of a check in which numbers were compared (`is_receiptable`).
        machine: On which machine.
        checked: When.
    """
    assert report.manifest_sha256 is not None
    named = _names(report.claims)
    tests = {
        verdict: tuple(name for name, one in named if one.verdict is verdict)
        for verdict in _RESULTS
    }
    facts = ReceiptFacts(
        version=RECORD_VERSION,
        verdict=report.verdict,
        mode=report.mode,
        platform=platform_class(machine),
        isolation=report.isolation.kind if report.isolation else "none",
        tool=report.tool,
        checked=checked,
        differences=report.differences,
    )
    return canonical.encode(
        Receipt(
            type_=STATEMENT_TYPE,
            subject=(Subject(name="manifest.json", digest={"sha256": report.manifest_sha256}),),
            predicate_type=RECEIPT_TYPE,
            predicate=ReceiptResult(
                result=_RESULTS[report.verdict],
                configuration=(
                    ReceiptConfiguration(
                        name="repropack verify", uri=RECEIPT_CONFIGURATION, annotations=facts
                    ),
                ),
                passed_tests=tests[Verdict.REPRODUCED],
                warned_tests=tests[Verdict.INCONCLUSIVE],
                failed_tests=tests[Verdict.NOT_REPRODUCED],
            ),
        )
    )


def _names(claims: Iterable[ClaimResult]) -> list[tuple[str, ClaimResult]]:
    """A name for each claim, and no name twice."""
    seen: Counter[str] = Counter()
    named = []
    for one in claims:
        source = one.claim.source
        name = show(" ".join(filter(None, (one.claim.metric, source.path, source.key))))
        seen[name] += 1
        named.append((name if seen[name] == 1 else f"{name} ({seen[name]})", one))
    return named


def read_receipt(
    data: bytes,
    name: str,
    policy: TrustPolicy,
    *,
    manifest_sha256: str,
    bundle_signers: frozenset[str] = frozenset(),
) -> CheckedReceipt:
    """Checks a receipt: form, signatures, and that it is about this bundle.

    Args:
        data: The file.
        name: Its name, for findings.
        policy: Whose receipts count.
        manifest_sha256: The digest of the bundle's manifest.
        bundle_signers: Fingerprints of the keys that signed the bundle.

    Raises:
        DefectError: `ENVELOPE`, `NO_SIGNATURE`, `SIGNATURE`, `WEAK_KEY`: as for an attestation;
            `RECEIPT`: the statement is no receipt, or contradicts itself; `RECEIPT_SUBJECT`: it is
            about another bundle.
    """
    authenticated = authenticate(read_envelope(data, name), policy)
    try:
        receipt = canonical.decode_canonical(authenticated.payload, Receipt)
    except canonical.NotCanonicalError as error:
        raise DefectError(Code.RECEIPT, name, found=str(error)) from error
    facts = _facts(receipt, name)
    if receipt.subject[0].digest["sha256"] != manifest_sha256:
        raise DefectError(
            Code.RECEIPT_SUBJECT,
            name,
            found=f"sha256:{receipt.subject[0].digest['sha256']}",
            expected=f"sha256:{manifest_sha256}",
        )
    holding = tuple(s for s in authenticated.signers if s.status is not SignerStatus.INVALID)
    holders = {s.fingerprint: policy.keyring.same_holder(s.fingerprint) for s in holding}
    return CheckedReceipt(
        name=show(name),
        result=receipt.predicate,
        facts=facts,
        signers=holding,
        own=frozenset(key for key, holder in holders.items() if holder & bundle_signers),
        parties={key: min(holder) for key, holder in holders.items()},
    )


def _facts(receipt: Receipt, name: str) -> ReceiptFacts:
    """The facts of a receipt whose parts agree with each other."""
    result = receipt.predicate
    wrong: tuple[str, str] | None = None
    tests = (*result.passed_tests, *result.warned_tests, *result.failed_tests)
    if receipt.type_ != STATEMENT_TYPE:
        wrong = f"_type {receipt.type_}", STATEMENT_TYPE
    elif receipt.predicate_type != RECEIPT_TYPE:
        wrong = f"predicateType {receipt.predicate_type}", RECEIPT_TYPE
    elif [(s.name, tuple(s.digest)) for s in receipt.subject] != [("manifest.json", ("sha256",))]:
        wrong = "another subject", "manifest.json with one sha256"
    elif [one.uri for one in result.configuration] != [RECEIPT_CONFIGURATION]:
        wrong = "another configuration", RECEIPT_CONFIGURATION
    elif not tests or len(set(tests)) != len(tests):
        wrong = "no test, or one twice", "each claim once"
    if wrong is None:
        facts = result.configuration[0].annotations
        if facts.version != RECORD_VERSION:
            wrong = f"version {facts.version}", f"version {RECORD_VERSION}"
        elif facts.mode not in _MODES:
            wrong = f"mode {facts.mode}", " or ".join(_MODES)
        elif not _agree(result, facts.verdict):
            wrong = f"{facts.verdict.value} with result {result.result}", "parts that agree"
        else:
            return facts
    raise DefectError(Code.RECEIPT, name, found=wrong[0], expected=wrong[1])


def _agree(result: ReceiptResult, verdict: Verdict) -> bool:
    """Whether the result, the verdict and the lists of tests say the same."""
    if _RESULTS.get(verdict) != result.result:
        return False
    if verdict is Verdict.REPRODUCED:
        return not result.warned_tests and not result.failed_tests
    if verdict is Verdict.NOT_REPRODUCED:
        return bool(result.failed_tests)
    return not result.failed_tests


def stack(receipts: Sequence[CheckedReceipt]) -> Stack:
    """Counts keys, not receipts. What a key says twice counts once, and its worst word counts.

    What a revoked key says does not count: anybody may have it by now.
    """
    first: dict[str, str] = {}
    said: dict[str, set[Verdict]] = {}
    own: set[str] = set()
    known: set[str] = set()
    platforms: dict[str, list[str]] = {}
    for receipt in receipts:
        for signer in receipt.signers:
            if signer.status is SignerStatus.REVOKED:
                continue
            party = receipt.parties.get(signer.fingerprint, signer.fingerprint)
            key = first.setdefault(party, signer.fingerprint)
            if signer.fingerprint in receipt.own:
                own.add(key)
            said.setdefault(key, set()).add(receipt.facts.verdict)
            if signer.status.established:
                known.add(key)
            platforms.setdefault(key, []).append(receipt.facts.platform)
    failed = tuple(key for key, words in said.items() if Verdict.NOT_REPRODUCED in words)
    good = [key for key, words in said.items() if words == {Verdict.REPRODUCED}]
    independent = tuple(key for key in said if key not in own)
    reproduced = tuple(key for key in good if key not in own)
    if failed:
        verdict = Verdict.NOT_REPRODUCED
    else:
        verdict = Verdict.REPRODUCED if reproduced else Verdict.INCONCLUSIVE
    return Stack(
        verdict=verdict,
        reproduced=reproduced,
        independent=independent,
        established=tuple(key for key in reproduced if key in known),
        platforms=tuple(dict.fromkeys(p for key in reproduced for p in platforms[key])),
        own=tuple(key for key in good if key in own),
        failed=failed,
    )
