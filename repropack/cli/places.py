# SPDX-License-Identifier: Apache-2.0
"""Where repropack keeps the user's own keys and trusted signers, and asking for passphrases."""

from __future__ import annotations

import datetime as dt
import getpass
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from repropack.errors import UsageError
from repropack.signing import agent
from repropack.signing.allowed_signers import allowed_signers
from repropack.signing.keyring import read_keyring
from repropack.signing.keys import (
    PassphraseNeededError,
    PublicKey,
    Signer,
    SigningKey,
    WrongPassphraseError,
    load_public,
    load_signing,
)
from repropack.signing.policy import TrustPolicy
from repropack.signing.trusted import check_name, read_trusted

__all__ = [
    "KEY_HELP",
    "agent_keys",
    "ask_passphrase",
    "default_key",
    "frame_notes",
    "key_statements",
    "load_key",
    "load_keys",
    "settings_directory",
    "trust_policy",
    "trusted_signers",
    "unlock",
    "unlock_keys",
]

KEY_VARIABLE: Final = "REPROPACK_KEY"
"""Names the key where `--key` does not."""

PASSPHRASE_VARIABLE: Final = "REPROPACK_PASSPHRASE"  # noqa: S105 - a name, not a passphrase
"""The passphrase where nobody can be asked."""

KEY_HELP: Final = (
    "The Ed25519 key to sign with: a private key (OpenSSH or PEM), or a key in ssh-agent: its .pub "
    f"file or agent:SHA256:…. If left out: ${KEY_VARIABLE}, else the key of `repropack key new`. "
    f"A passphrase is asked for, or taken from ${PASSPHRASE_VARIABLE}."
)

TRIES: Final = 3
"""How often a passphrase is asked for, as `ssh` does."""


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


def frame_notes() -> Path:
    """Notes about bundles that were written here, in the user's cache directory (XDG)."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "repropack" / "frames"


def trusted_signers() -> Path:
    """The list of signers that the user trusts."""
    return settings_directory() / "trusted_signers"


def key_statements() -> Path:
    """The list of rotations and revocations that the user has accepted."""
    return settings_directory() / "key_statements"


def load_keys(named: tuple[str, ...]) -> tuple[Signer, ...]:
    """The keys to sign with, each once; the default key where none is named.

    Raises:
        UsageError: There is none, one cannot be used, or one is revoked.
    """
    return tuple(key for key, _ in unlock_keys(named))


def unlock_keys(named: tuple[str, ...]) -> tuple[tuple[Signer, str | None], ...]:
    """As `load_keys`, each with the passphrase that opened its file; None where none did.

    Raises:
        UsageError: As `load_keys`.
    """
    keys: dict[PublicKey, tuple[Signer, str | None]] = {}
    keyring = read_keyring(key_statements())
    for name in named or (None,):
        key, passphrase = _load_key(name)
        revocations = keyring.revocations(key.public.fingerprint)
        if revocations:
            raise UsageError(
                f"the key {key.public.fingerprint} is revoked ({revocations[0].reason.value}): "
                "readers refuse what it signs",
                advice="name another key with --key",
            )
        keys.setdefault(key.public, (key, passphrase))
    return tuple(keys.values())


def load_key(named: str | None) -> Signer:
    """The key to sign with: the named one, that of `$REPROPACK_KEY`, or the one made by `key new`.

    An SSH key is never taken unasked: it would tie a release to a person.

    Raises:
        UsageError: There is none, or it cannot be used.
    """
    return _load_key(named)[0]


def _load_key(named: str | None) -> tuple[Signer, str | None]:
    named = named or os.environ.get(KEY_VARIABLE) or None
    if named is None and not default_key().exists():
        raise UsageError(
            "there is no signing key yet",
            advice="make one with `repropack key new`, or name an OpenSSH key with --key",
        )
    if named is not None and named.startswith("agent:"):
        return agent.choose(agent_keys(), named.removeprefix("agent:")), None
    path = Path(named).expanduser() if named is not None else default_key()
    if path.suffix == ".pub":
        return _key_of_public(path)
    try:
        return load_signing(path), None
    except PassphraseNeededError:
        held = _in_agent(path.with_name(path.name + ".pub"))
        if held is not None:
            return held, None
        return unlock(path, lambda passphrase: load_signing(path, passphrase))


def agent_keys() -> tuple[agent.AgentKey, ...]:
    """The Ed25519 keys that the user's ssh-agent offers.

    Raises:
        UsageError: There is no agent.
        RepropackError: Its answer cannot be read.
    """
    address = os.environ.get("SSH_AUTH_SOCK")
    if not address:
        raise UsageError(
            "there is no ssh-agent: SSH_AUTH_SOCK is not set",
            advice='start one with `eval "$(ssh-agent)"` and add a key with `ssh-add FILE`',
        )
    return agent.list_keys(address)


def ask_passphrase(prompt: str) -> str | None:
    """`$REPROPACK_PASSPHRASE`, else what the user types without echo; None without a terminal."""
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given is not None:
        return given
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return None
    return getpass.getpass(prompt)


def trust_policy(
    signers: tuple[str, ...], *, threshold: int | None = None, pin: str | None = None
) -> TrustPolicy:
    """The reader's policy: the signers named in this call, else those trusted earlier.

    Args:
        signers: What `--signer` names: fingerprints, key files, allowed_signers files.
        threshold: How many of them must have signed; None for one.
        pin: The name under which the signer is known, or will be after this first use.

    Raises:
        UsageError: A named signer is no fingerprint and no key file, a list is damaged, or the
            options contradict each other.
    """
    if threshold is not None and not signers:
        raise UsageError("--threshold counts named signers", advice="name them with --signer")
    if pin is not None and signers:
        raise UsageError(
            "--pin and --signer both say who must have signed",
            advice="give one; `repropack key trust SHA256:… --name NAME` gives a key a name",
        )
    if pin is not None:
        check_name(pin)
    now = dt.datetime.now(dt.UTC)
    named = [each for signer in signers for each in allowed_signers(signer, now)]
    usable = {each.fingerprint: each.name for each in reversed(named) if not each.unusable}
    required = tuple(dict.fromkeys(e.fingerprint for e in named if not e.unusable))
    if threshold is not None and threshold > len(required):
        raise UsageError(
            f"--threshold {threshold}: only {len(required)} different keys are named",
            advice="name more with --signer",
        )
    return TrustPolicy(
        required=required,
        threshold=threshold or 1,
        names={fingerprint: name for fingerprint, name in usable.items() if name},
        unusable={e.fingerprint: e.unusable for e in named if e.fingerprint not in usable},
        trusted=read_trusted(trusted_signers()),
        pin=pin,
        keyring=read_keyring(key_statements()),
    )


def _key_of_public(path: Path) -> tuple[Signer, str | None]:
    """The private key that belongs to a public key file: in the agent, or beside the file."""
    public = load_public(path)
    held = _in_agent(path)
    if held is not None:
        return held, None
    private = path.with_suffix("")
    if private.exists():
        return _load_key(str(private))
    raise UsageError(
        f"{path} is a public key; neither an ssh-agent nor {private} holds {public.fingerprint}",
        advice="add the private key with `ssh-add FILE`, or name its file",
    )


def _in_agent(public_file: Path) -> Signer | None:
    """The agent's key for a public key file, if there are such a file, an agent and a key."""
    if not os.environ.get("SSH_AUTH_SOCK") or not public_file.exists():
        return None
    public = load_public(public_file)
    return next((key for key in agent_keys() if key.public == public), None)


def unlock(path: Path, load: Callable[[str], SigningKey]) -> tuple[SigningKey, str]:
    """A key that is protected by a passphrase, and the passphrase, which the user is asked for.

    Args:
        path: The file, for messages.
        load: Reads the key with a passphrase.

    Raises:
        UsageError: There is nobody to ask, or she does not know it.
    """
    for _ in range(TRIES):
        passphrase = ask_passphrase(f"Passphrase for {path}: ")
        if passphrase is None:
            raise UsageError(
                f"{path} is protected by a passphrase and there is no terminal to ask for it",
                advice="run the command in a terminal, use ssh-agent, "
                f"or set {PASSPHRASE_VARIABLE}",
            )
        try:
            return load(passphrase), passphrase
        except WrongPassphraseError:
            if PASSPHRASE_VARIABLE in os.environ:
                raise
    raise WrongPassphraseError(f"{path}: this is not its passphrase")
