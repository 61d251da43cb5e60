# SPDX-License-Identifier: Apache-2.0
"""The reader's trust policy: which signers she accepts, and what an envelope is worth to her.

A key that arrives in a bundle is a hint and never trusted. Strongest first: signers named in this
call, the signer known under a name that was given in this call, the signers trusted earlier.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from repropack.findings import Code, Finding
from repropack.model import RevocationReason, SignerReport, SignerStatus
from repropack.signing.dsse import Envelope, check_signatures
from repropack.signing.key_statements import CheckedRevocation
from repropack.signing.keyring import Keyring
from repropack.signing.trusted import TrustedSigner

__all__ = ["Authenticated", "TrustPolicy", "authenticate"]

_BEST_FIRST: Final = tuple(SignerStatus)
"""The order in which `SignerStatus` lists its values: how well a signer stands."""


class TrustPolicy(Struct, frozen=True, kw_only=True):
    """Whose signature counts.

    Attributes:
        required: Fingerprints named for this bundle. Where there are any, no other key is accepted,
            but those to which one of them has handed over.
        threshold: How many of `required` must have signed; each key counts once.
        names: What the reader calls the keys of `required`, by fingerprint.
        unusable: Keys that she named and that do not count now, with the reason.
        trusted: Signers accepted for every bundle.
        pin: The signer must be one whom `trusted` has under this name; if it has none, the only
            signer is accepted on first use, for the caller to remember.
        keyring: Which keys follow these, and which are revoked.
    """

    required: tuple[str, ...] = ()
    threshold: int = 1
    names: dict[str, str] = {}
    unusable: dict[str, str] = {}
    trusted: tuple[TrustedSigner, ...] = ()
    pin: str | None = None
    keyring: Keyring = Keyring()


class Authenticated(Struct, frozen=True, kw_only=True):
    """A payload whose signature held, and what the policy says of its signers.

    Attributes:
        signer: The signer who stands best, with the standing of the whole.
        signers: Every key that the envelope names, with its own standing.
        refusal: Why the policy does not accept the envelope; None where it does, or says nothing.
    """

    payload: bytes
    signer: SignerReport
    signers: tuple[SignerReport, ...]
    refusal: Finding | None = None


def authenticate(
    envelope: Envelope, policy: TrustPolicy, dated: Mapping[str, dt.datetime] | None = None
) -> Authenticated:
    """Checks an envelope's signatures, then asks the policy about their keys.

    Args:
        envelope: What was signed, and by whom.
        policy: Whose signature counts.
        dated: Before when a key's signature existed, as somebody proves whom the reader trusts.

    Raises:
        DefectError: `SIGNATURE`: no signature holds; `WEAK_KEY`: a key is not sound.
    """
    dated = dated or {}
    checked = {key.fingerprint: holds for key, holds in check_signatures(envelope).items()}
    holding = tuple(fingerprint for fingerprint, holds in checked.items() if holds)
    revoked = {}
    for fingerprint in holding:
        revocation = policy.keyring.revoked(fingerprint, dated.get(fingerprint))
        if revocation is not None:
            revoked[fingerprint] = revocation
    reports = tuple(
        _proven(_report(fingerprint, policy, holding, revoked.get(fingerprint)), policy, dated)
        if holds
        else SignerReport(fingerprint=fingerprint, status=SignerStatus.INVALID)
        for fingerprint, holds in checked.items()
    )
    best = min(reports, key=lambda report: _BEST_FIRST.index(report.status))
    refusal = _revoked_only(reports, revoked) or _refusal(holding, policy, revoked)
    if refusal is None:
        best = _least_of_the_needed(reports, policy, revoked) or best
    elif refusal.code is Code.KEY_REVOKED:
        best = next(report for report in reports if report.fingerprint == refusal.subject)
    else:
        changed = refusal.code is Code.SIGNER_CHANGED
        status = SignerStatus.CHANGED if changed else SignerStatus.REJECTED
        best = msgspec.structs.replace(best, status=status)
    return Authenticated(payload=envelope.payload, signer=best, signers=reports, refusal=refusal)


def _report(
    fingerprint: str,
    policy: TrustPolicy,
    holding: tuple[str, ...],
    revocation: CheckedRevocation | None,
) -> SignerReport:
    """The standing of a key whose signature holds."""
    report = _known_itself(fingerprint, policy)
    if report.status is SignerStatus.UNKNOWN:
        report = _known_by_rotation(fingerprint, policy) or report
    if revocation is not None:
        return msgspec.structs.replace(
            report, status=SignerStatus.REVOKED, note=_describe(revocation)
        )
    if report.status is SignerStatus.UNKNOWN and _is_first_use(policy):
        if len(holding) == 1:
            return SignerReport(
                fingerprint=fingerprint, status=SignerStatus.FIRST_USE, name=policy.pin or ""
            )
        note = "several keys have signed, so that none is pinned on first use"
        return msgspec.structs.replace(report, note=note)
    return report


def _proven(
    report: SignerReport, policy: TrustPolicy, dated: Mapping[str, dt.datetime]
) -> SignerReport:
    """Says of a key that is revoked and still counts why it does."""
    revocations = policy.keyring.revocations(report.fingerprint)
    if report.status is SignerStatus.REVOKED or not revocations:
        return report
    since, time = revocations[0].since, dated[report.fingerprint]
    note = f"revoked since {since}, but signed before {time:%Y-%m-%dT%H:%M:%SZ}"
    return msgspec.structs.replace(report, note="; ".join(filter(None, (report.note, note))))


def _is_first_use(policy: TrustPolicy) -> bool:
    """Whether the signer may be pinned under a name that has no key yet."""
    return (
        policy.pin is not None
        and not policy.required
        and not policy.unusable
        and all(signer.name != policy.pin for signer in policy.trusted)
    )


def _known_itself(fingerprint: str, policy: TrustPolicy) -> SignerReport:
    """The standing that a key has by the reader's own word about this very key."""
    known = [signer for signer in policy.trusted if signer.fingerprint == fingerprint]
    name = ", ".join(dict.fromkeys(signer.name for signer in known))
    status = SignerStatus.UNKNOWN
    note = policy.unusable.get(fingerprint, "")
    if policy.required or policy.unusable:
        name = policy.names.get(fingerprint, name)
        if fingerprint in policy.required:
            status = SignerStatus.TRUSTED
    elif not _is_first_use(policy):
        if policy.pin is not None:
            known = [signer for signer in known if signer.name == policy.pin]
        if any(not signer.first_use for signer in known):
            status = SignerStatus.TRUSTED
        elif known:
            status, note = SignerStatus.PINNED, f"since {known[0].first_use}"
    return SignerReport(fingerprint=fingerprint, status=status, name=name, note=note)


def _known_by_rotation(fingerprint: str, policy: TrustPolicy) -> SignerReport | None:
    """The standing that a key has because one that the reader knows has handed over to it."""
    if fingerprint in policy.unusable:
        return None
    for origin in policy.keyring.origins(fingerprint):
        known = _known_itself(origin, policy)
        if known.status is not SignerStatus.UNKNOWN:
            words = filter(None, (known.name, known.status.value, known.note))
            return SignerReport(
                fingerprint=fingerprint,
                status=SignerStatus.SUCCESSOR,
                name=known.name,
                note=f"follows {origin} ({', '.join(words)})",
            )
    return None


def _describe(revocation: CheckedRevocation) -> str:
    since = f"since {revocation.since}" if revocation.since else "since ever"
    if revocation.reason is RevocationReason.COMPROMISED:
        return f"{revocation.reason.value} {since}"
    return f"{revocation.reason.value} {since}; whether this signature is older is not proven"


def _revoked_only(
    reports: tuple[SignerReport, ...], revoked: Mapping[str, CheckedRevocation]
) -> Finding | None:
    """Refuses what a compromised key signed, unless somebody signed as well who stands well."""
    if any(report.status.established for report in reports):
        return None
    for fingerprint, revocation in revoked.items():
        if revocation.reason is RevocationReason.COMPROMISED:
            return Finding(
                code=Code.KEY_REVOKED,
                subject=fingerprint,
                found=_describe(revocation),
                expected="a time stamp that is older (--timestamp), the digest from the paper "
                "(--expect), or another signer",
            )
    return None


def _refusal(
    holding: tuple[str, ...], policy: TrustPolicy, revoked: Mapping[str, CheckedRevocation]
) -> Finding | None:
    """Why the keys that signed are not those that the reader asked for."""
    found = " and ".join(holding)
    counting = [
        key
        for key in holding
        if key not in revoked or revoked[key].reason is not RevocationReason.COMPROMISED
    ]
    if policy.required or policy.unusable:
        met = _named_by(counting, policy)
        if not met:
            reasons = [f"{f} ({policy.unusable[f]})" for f in holding if f in policy.unusable]
            return Finding(
                code=Code.SIGNER_REJECTED,
                found=" and ".join(reasons) or found,
                expected=" or ".join(policy.required) or "a signer that counts now",
            )
        if len(met) < policy.threshold:
            missing = [f for f in policy.required if f not in met]
            return Finding(
                code=Code.TOO_FEW_SIGNERS,
                found=f"{len(met)} of {len(policy.required)}; no signature of {', '.join(missing)}",
                expected=str(policy.threshold),
            )
    elif policy.pin is not None:
        known = [signer.fingerprint for signer in policy.trusted if signer.name == policy.pin]
        following = {key for key in holding if set(known) & set(policy.keyring.origins(key))}
        if known and not (set(known) | following) & set(holding):
            return Finding(
                code=Code.SIGNER_CHANGED,
                subject=policy.pin,
                found=found,
                expected=" or ".join(known),
            )
    return None


def _named_by(holding: list[str], policy: TrustPolicy) -> dict[str, str]:
    """Each named key that is met, and by which key that signed.

    A key that signed meets one name only: its own, else the nearest one that it follows and that
    nobody meets yet. So a person who has changed her key counts once.
    """
    met = {key: key for key in holding if key in policy.required}
    for key in holding:
        if key not in met and key not in policy.unusable:
            origins = [name for name in policy.keyring.origins(key) if name in policy.required]
            if origins and not set(origins) & set(met):
                met[origins[0]] = key
    return met


def _least_of_the_needed(
    reports: tuple[SignerReport, ...],
    policy: TrustPolicy,
    revoked: Mapping[str, CheckedRevocation],
) -> SignerReport | None:
    """The retired or lost key without which too few of the named signers have signed, if any."""
    holding = [one.fingerprint for one in reports if one.status is not SignerStatus.INVALID]
    met = _named_by([key for key in holding if key not in revoked], policy)
    if not policy.required or len(met) >= policy.threshold:
        return None
    lesser = (one for one in reports if one.status is SignerStatus.REVOKED)
    return next(
        (one for one in lesser if one.fingerprint in _named_by(holding, policy).values()), None
    )
