# SPDX-License-Identifier: Apache-2.0
"""The reader's trust policy: which signers she accepts, and what an envelope is worth to her.

A key that arrives in a bundle is a hint and never trusted. Strongest first: a signer named in this
call, then the signers trusted earlier (`repropack key trust`), kept in a file in the style of
OpenSSH's allowed_signers: a name, then the key.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import durable
from repropack.errors import UsageError
from repropack.model import SignerReport, SignerStatus
from repropack.signing.dsse import Envelope, signers
from repropack.signing.keys import load_public

__all__ = [
    "Authenticated",
    "TrustPolicy",
    "TrustedSigner",
    "authenticate",
    "parse_signer",
    "read_trusted",
    "trust",
]

_FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_NAME: Final = re.compile(r"[^\s#\"]{1,200}")


class TrustedSigner(Struct, frozen=True, kw_only=True):
    """A key the reader accepts, under the name she gave it."""

    name: str
    fingerprint: str


class TrustPolicy(Struct, frozen=True, kw_only=True):
    """Whose signature counts.

    Attributes:
        required: Fingerprints named for this bundle. Where there are any, no other key is accepted.
        trusted: Signers accepted for every bundle.
    """

    required: tuple[str, ...] = ()
    trusted: tuple[TrustedSigner, ...] = ()


class Authenticated(Struct, frozen=True, kw_only=True):
    """A payload whose signature held, and what the policy says of its signer."""

    payload: bytes
    signer: SignerReport


def authenticate(envelope: Envelope, policy: TrustPolicy) -> Authenticated:
    """Checks an envelope's signatures, then asks the policy about their keys.

    Of several signers the one who stands best with the reader is reported.

    Raises:
        DefectError: `SIGNATURE`: no signature holds; `WEAK_KEY`: a key is not sound.
    """
    reports = [
        SignerReport(fingerprint=key.fingerprint, status=_status(key.fingerprint, policy))
        for key in signers(envelope)
    ]
    best = min(reports, key=lambda report: report.status is not SignerStatus.TRUSTED)
    return Authenticated(payload=envelope.payload, signer=best)


def _status(fingerprint: str, policy: TrustPolicy) -> SignerStatus:
    if policy.required:
        return SignerStatus.TRUSTED if fingerprint in policy.required else SignerStatus.REJECTED
    if any(signer.fingerprint == fingerprint for signer in policy.trusted):
        return SignerStatus.TRUSTED
    return SignerStatus.UNKNOWN


def parse_signer(text: str) -> str:
    """The fingerprint that `--signer` names: itself, or that of a public key file.

    Raises:
        UsageError: Neither a fingerprint nor a readable Ed25519 public key.
    """
    if text.startswith("SHA256:"):
        if not _FINGERPRINT.fullmatch(text):
            raise UsageError(
                f"{text} is not a fingerprint",
                advice="it is `SHA256:` and 43 characters, as `repropack key show` prints it",
            )
        return text
    return load_public(Path(text)).fingerprint


def read_trusted(path: Path) -> tuple[TrustedSigner, ...]:
    """Reads the reader's own list of trusted signers; a missing file is an empty list.

    Raises:
        UsageError: A line is neither empty, a comment, nor a name and a fingerprint.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the trusted signers cannot be read: {error}") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        if len(fields) != 2 or not _FINGERPRINT.fullmatch(fields[1]):
            raise UsageError(
                f"{path}, line {number}: found {line.strip()[:60]!r}, "
                "expected a name and a fingerprint `SHA256:…`",
                advice="mend or remove the line",
            )
        found.append(TrustedSigner(name=fields[0], fingerprint=fields[1]))
    return tuple(found)


def trust(path: Path, signer: TrustedSigner) -> None:
    """Adds a signer to the reader's list, durably.

    Raises:
        UsageError: The name has white space, or stands for another key already.
        OSError: The list could not be written.
    """
    if not _NAME.fullmatch(signer.name):
        raise UsageError(
            f"{signer.name!r} is not a name for a signer", advice="use a name without white space"
        )
    present = read_trusted(path)
    for other in present:
        if other == signer:
            return
        if other.name == signer.name:
            raise UsageError(
                f"{signer.name} is already trusted with another key, {other.fingerprint}",
                advice=f"if the key really changed, remove the line from {path} first",
            )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lines = [f"{s.name} {s.fingerprint}" for s in (*present, signer)]
    durable.write_file(path, ("\n".join(lines) + "\n").encode("utf-8"), mode=0o600)
