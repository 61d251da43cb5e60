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
    Claim,
    ClaimMode,
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
from repropack.verify.claims import printable

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
        modes: In which ways each of `reproduced` did it.
    """

    verdict: Verdict
    reproduced: tuple[str, ...]
    independent: tuple[str, ...]
    established: tuple[str, ...]
    platforms: tuple[str, ...]
    own: tuple[str, ...]
    failed: tuple[str, ...]
    modes: dict[str, tuple[ClaimMode, ...]] = {}


def platform_class(machine: Machine) -> str:
    """The class of a machine: within one, evaluations agree to the last bits or nearly so."""
    accelerators = Counter(one.partition(",")[0].strip() for one in machine.accelerators)
    named = [f"{count} x {name}" for name, count in sorted(accelerators.items())]
    return ", ".join([f"{machine.system} {machine.architecture}", *named])


def is_receiptable(report: Report) -> bool:
    """Whether there is anything to sign: numbers were compared, of a manifest that is known."""
    return (
        bool(report.claims)
        and report.repetitions > 0
        and report.verdict in _RESULTS
        and report.manifest_sha256 is not None
    )


def receipt_payload(report: Report, machine: Machine, checked: str) -> bytes:
    """The statement that a checker signs.

    Args:
        report: Of a check in which numbers were compared (`is_receiptable`).
        machine: On which machine.
        checked: When.
    """
    assert report.manifest_sha256 is not None
    named = zip(_names(one.claim for one in report.claims), report.claims, strict=True)
    tests: dict[Verdict, list[str]] = {verdict: [] for verdict in _RESULTS}
    for name, one in named:
        tests[one.verdict].append(name)
    facts = ReceiptFacts(
        version=RECORD_VERSION,
        verdict=report.verdict,
        # A check looks at the claims of one mode.
        mode=report.claims[0].claim.mode,
        repetitions=report.repetitions,
        seeds=report.seeds,
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
                passed_tests=tuple(tests[Verdict.REPRODUCED]),
                warned_tests=tuple(tests[Verdict.INCONCLUSIVE]),
                failed_tests=tuple(tests[Verdict.NOT_REPRODUCED]),
            ),
        )
    )


def _names(claims: Iterable[Claim]) -> list[str]:
    """A name for each printable claim, and no name twice."""
    seen: set[str] = set()
    # Where to begin: of 10,000 claims with one name each would be tried against all.
    times: Counter[str] = Counter()
    names = []
    for claim in claims:
        plain = " ".join(filter(None, (claim.metric, claim.source.path, claim.source.key)))
        times[plain] += 1
        while (name := _numbered(plain, times[plain])) in seen:
            times[plain] += 1
        seen.add(name)
        names.append(name)
    return names


def _numbered(text: str, number: int) -> str:
    return text if number == 1 else f"{text} ({number})"


def read_receipt(
    data: bytes,
    name: str,
    policy: TrustPolicy,
    *,
    manifest_sha256: str,
    claims: Sequence[Claim],
    bundle_signers: frozenset[str] = frozenset(),
) -> CheckedReceipt:
    """Checks a receipt: form, signatures, and that it is about this bundle and its claims.

    Args:
        data: The file.
        name: Its name, for findings.
        policy: Whose receipts count.
        manifest_sha256: The digest of the bundle's manifest.
        claims: The bundle's.
        bundle_signers: Fingerprints of the keys that signed the bundle.

    Raises:
        DefectError: `ENVELOPE`, `NO_SIGNATURE`, `SIGNATURE`, `WEAK_KEY`: as for an attestation;
            `RECEIPT`: the statement is no receipt, or contradicts itself; `RECEIPT_SUBJECT`: it is
            about another bundle; `RECEIPT_CLAIMS`: its tests are not the bundle's claims.
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
    _check_claims(receipt.predicate, facts.mode, claims, name)
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


def _check_claims(
    result: ReceiptResult, mode: ClaimMode, claims: Sequence[Claim], name: str
) -> None:
    """Refuses a receipt whose tests are not all the claims of its mode, and nothing else."""
    claimed = set(_names(printable(claim) for claim in claims if claim.mode is mode))
    tests = {*result.passed_tests, *result.warned_tests, *result.failed_tests}
    if tests == claimed:
        return
    other, absent = sorted(tests - claimed), sorted(claimed - tests)
    raise DefectError(
        Code.RECEIPT_CLAIMS,
        name,
        found=f"the test {other[0]!r}" if other else f"no test {absent[0]!r}",
        expected=f"the {len(claimed)} claims of the bundle in the mode {mode.value}"
        if len(claimed) != 1
        else f"the one claim of the bundle in the mode {mode.value}",
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
        elif not _seeds_agree(facts):
            wrong = (
                f"{len(facts.seeds)} seeds, {facts.repetitions} repetitions, {facts.mode.value}",
                "a seed for each repetition with new seeds, and none for others",
            )
        elif not _agree(result, facts.verdict):
            wrong = f"{facts.verdict.value} with result {result.result}", "parts that agree"
        else:
            return facts
    raise DefectError(Code.RECEIPT, name, found=wrong[0], expected=wrong[1])


def _seeds_agree(facts: ReceiptFacts) -> bool:
    wanted = facts.repetitions if facts.mode is ClaimMode.RETRAIN_NEW_SEED else 0
    return len(facts.seeds) == len(set(facts.seeds)) == wanted


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
    modes: dict[str, list[ClaimMode]] = {}
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
            modes.setdefault(key, []).append(receipt.facts.mode)
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
        modes={key: tuple(dict.fromkeys(modes[key])) for key in reproduced},
    )
