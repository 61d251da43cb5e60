# SPDX-License-Identifier: Apache-2.0
"""Where repropack keeps the user's own keys and trusted signers, and asking for passphrases."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from repropack.errors import UsageError
from repropack.signing.keys import SigningKey, load_signing
from repropack.signing.policy import TrustPolicy, parse_signer, read_trusted

__all__ = ["default_key", "load_key", "settings_directory", "trust_policy", "trusted_signers"]


def settings_directory() -> Path:
    """`$REPROPACK_HOME`, else `repropack` in the user's configuration directory (XDG)."""
    chosen = os.environ.get("REPROPACK_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "repropack"


def default_key() -> Path:
    """The private key that is used when none is named."""
    return settings_directory() / "key"


def trusted_signers() -> Path:
    """The list of signers that the user trusts."""
    return settings_directory() / "trusted_signers"


def load_key(named: str | None) -> SigningKey:
    """The key to sign with.

    Raises:
        UsageError: There is none, or it cannot be used.
    """
    path = Path(named).expanduser() if named else default_key()
    if named is None and not path.exists():
        raise UsageError(
            "there is no signing key yet",
            advice="make one with `repropack key new`, or name an OpenSSH key with --key",
        )
    ask = (lambda: getpass.getpass(f"Passphrase for {path}: ")) if sys.stdin.isatty() else None
    return load_signing(path, ask)


def trust_policy(signers: tuple[str, ...]) -> TrustPolicy:
    """The reader's policy: the signers named in this call, else those trusted earlier.

    Raises:
        UsageError: A named signer is no fingerprint and no key file, or the list is damaged.
    """
    return TrustPolicy(
        required=tuple(parse_signer(signer) for signer in signers),
        trusted=read_trusted(trusted_signers()),
    )
