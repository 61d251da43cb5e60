# SPDX-License-Identifier: Apache-2.0
"""The reader's trust policy: which signers she accepts, and what an envelope is worth to her.

A key that arrives in a bundle is a hint and never trusted. Strongest first: signers named in this
call, the signer known under a name that was given in this call, the signers trusted earlier.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from repropack.findings import Code, Finding
from repropack.model import SignerReport, SignerStatus
from repropack.signing.dsse import Envelope, check_signatures
from repropack.signing.trusted import TrustedSigner

__all__ = ["Authenticated", "TrustPolicy", "authenticate"]

_BEST_FIRST: Final = tuple(SignerStatus)
"""The order in which `SignerStatus` lists its values: how well a signer stands."""


class TrustPolicy(Struct, frozen=True, kw_only=True):
    """Whose signature counts.

    Attributes:
        required: Fingerprints named for this bundle. Where there are any, no other key is accepted.
        threshold: How many of `required` must have signed; each key counts once.
        names: What the reader calls the keys of `required`, by fingerprint.
        unusable: Keys that she named and that do not count now, with the reason.
        trusted: Signers accepted for every bundle.
        pin: The signer must be one whom `trusted` has under this name; if it has none, the only
            signer is accepted on first use, for the caller to remember.
    """

    required: tuple[str, ...] = ()
    threshold: int = 1
    names: dict[str, str] = {}
    unusable: dict[str, str] = {}
    trusted: tuple[TrustedSigner, ...] = ()
    pin: str | None = None


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


def authenticate(envelope: Envelope, policy: TrustPolicy) -> Authenticated:
    """Checks an envelope's signatures, then asks the policy about their keys.

    Raises:
        DefectError: `SIGNATURE`: no signature holds; `WEAK_KEY`: a key is not sound.
    """
    checked = {key.fingerprint: holds for key, holds in check_signatures(envelope).items()}
    holding = tuple(fingerprint for fingerprint, holds in checked.items() if holds)
    reports = tuple(
        _report(fingerprint, policy, holding)
        if holds
        else SignerReport(fingerprint=fingerprint, status=SignerStatus.INVALID)
        for fingerprint, holds in checked.items()
    )
    refusal = _refusal(holding, policy)
    best = min(reports, key=lambda report: _BEST_FIRST.index(report.status))
    if refusal is not None:
        changed = refusal.code is Code.SIGNER_CHANGED
        status = SignerStatus.CHANGED if changed else SignerStatus.REJECTED
        best = msgspec.structs.replace(best, status=status)
    return Authenticated(payload=envelope.payload, signer=best, signers=reports, refusal=refusal)


def _report(fingerprint: str, policy: TrustPolicy, holding: tuple[str, ...]) -> SignerReport:
    """The standing of a key whose signature holds."""
    known = [signer for signer in policy.trusted if signer.fingerprint == fingerprint]
    name = ", ".join(dict.fromkeys(signer.name for signer in known))
    status = SignerStatus.UNKNOWN
    note = policy.unusable.get(fingerprint, "")
    if policy.required or policy.unusable:
        name = policy.names.get(fingerprint, name)
        if fingerprint in policy.required:
            status = SignerStatus.TRUSTED
    elif policy.pin is not None and all(s.name != policy.pin for s in policy.trusted):
        if len(holding) == 1:
            status, name = SignerStatus.FIRST_USE, policy.pin
        else:
            note = "several keys have signed, so that none is pinned on first use"
    else:
        if policy.pin is not None:
            known = [signer for signer in known if signer.name == policy.pin]
        if any(not signer.first_use for signer in known):
            status = SignerStatus.TRUSTED
        elif known:
            status, note = SignerStatus.PINNED, f"since {known[0].first_use}"
    return SignerReport(fingerprint=fingerprint, status=status, name=name, note=note)


def _refusal(holding: tuple[str, ...], policy: TrustPolicy) -> Finding | None:
    """Why the keys that signed are not those that the reader asked for."""
    found = " and ".join(holding)
    if policy.required or policy.unusable:
        count = sum(fingerprint in policy.required for fingerprint in holding)
        if count == 0:
            reasons = [f"{f} ({policy.unusable[f]})" for f in holding if f in policy.unusable]
            return Finding(
                code=Code.SIGNER_REJECTED,
                found=" and ".join(reasons) or found,
                expected=" or ".join(policy.required) or "a signer that counts now",
            )
        if count < policy.threshold:
            missing = [f for f in policy.required if f not in holding]
            return Finding(
                code=Code.TOO_FEW_SIGNERS,
                found=f"{count} of {len(policy.required)}; no signature of {', '.join(missing)}",
                expected=str(policy.threshold),
            )
    elif policy.pin is not None:
        known = [signer.fingerprint for signer in policy.trusted if signer.name == policy.pin]
        if known and not set(known) & set(holding):
            return Finding(
                code=Code.SIGNER_CHANGED,
                subject=policy.pin,
                found=found,
                expected=" or ".join(known),
            )
    return None
