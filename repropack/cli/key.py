# SPDX-License-Identifier: Apache-2.0
"""`repropack key`: make and show keys; trust, list and forget signers; what keys say of keys."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from repropack.cli.key_statements import (
    describe_revocation,
    import_statements,
    prepare_revocation,
    revoke,
    rotate,
)
from repropack.cli.places import (
    agent_keys,
    ask_passphrase,
    default_key,
    key_statements,
    load_key,
    trusted_signers,
)
from repropack.cli.report_files import output_path
from repropack.cli.screen import bold, complain, dim, say, tell
from repropack.errors import RepropackError, UsageError
from repropack.escaping import show
from repropack.signing.allowed_signers import one_fingerprint
from repropack.signing.key_statements import CheckedRotation
from repropack.signing.keyring import Keyring, forget, read_keyring
from repropack.signing.keys import create_key, load_public
from repropack.signing.trusted import TrustedSigner, read_trusted, trust, untrust

__all__ = ["command"]

OWN_NAME = "me"


@click.group("key")
def command() -> None:
    """Make, show and trust signing keys (Ed25519, in OpenSSH's file format)."""


command.add_command(rotate)
command.add_command(revoke)
command.add_command(import_statements)


@command.command("new")
@click.option("--key", "path", metavar="FILE", help="Where to write the private key.")
@click.option(
    "--passphrase",
    "protect",
    is_flag=True,
    help="Protect the file: ask for a passphrase, or take it from $REPROPACK_PASSPHRASE.",
)
@click.option(
    "--revocation",
    metavar="FILE",
    help="Also write the statement that revokes the key, to keep offline for the day when the key "
    "is lost. Whoever has the file can revoke the key with it.",
)
def new(path: str | None, protect: bool, revocation: str | None) -> int:
    """Make a new key pair. Its fingerprint is what readers compare: print it in the paper."""
    place = Path(path).expanduser() if path else default_key()
    if revocation is not None and os.path.lexists(Path(revocation).expanduser()):
        raise UsageError(f"--revocation {revocation}: exists and is not overwritten")
    # Asked before the key is made, which would be there without it.
    output_path("--revocation", revocation)
    key = create_key(place, _new_passphrase() if protect else None)
    if path is None:
        # Her own bundles are hers: a check of them need not ask whose key that is.
        trust(
            trusted_signers(),
            TrustedSigner(name=OWN_NAME, fingerprint=key.public.fingerprint),
            add=True,
        )
    sets = f"; `ssh-keygen -p -f {shlex.quote(str(place))}` sets a passphrase"
    protection = "" if protect else sets
    say(f"{place}  private: keep it, it cannot be made again{protection}")
    say(f"{place}.pub  public")
    if revocation is not None:
        prepare_revocation(Path(revocation).expanduser(), key)
        say(f"{revocation}  revokes the key: keep it offline, apart from the key")
    else:
        tell(
            "a lost key cannot be revoked any more; to prepare for that: "
            f"repropack key revoke --prepare --key {shlex.quote(str(place))} -o FILE"
        )
    say(bold(key.public.fingerprint))
    return 0


@command.command("show")
@click.option(
    "--key", "named", metavar="KEY", help="A private or public key file, or agent:SHA256:…."
)
def show_key(named: str | None) -> int:
    """Show the fingerprint and the public key."""
    place = Path(named).expanduser() if named else default_key()
    public_beside = place.with_name(place.name + ".pub")
    if named is not None and named.startswith("agent:"):
        public = load_key(named).public
    elif place.suffix == ".pub":
        public = load_public(place)
    elif public_beside.exists():
        public = load_public(public_beside)
    elif place.exists():
        public = load_key(str(place)).public
    else:
        raise UsageError(f"{place}: there is no key", advice="make one with `repropack key new`")
    say(public.fingerprint)
    say(public.openssh)
    return 0


@command.command("trust")
@click.argument("signer", metavar="FINGERPRINT|FILE")
@click.option("--name", metavar="NAME", required=True, help="What you call the signer.")
@click.option("--add", is_flag=True, help="Accept this key beside others of that name.")
def trust_key(signer: str, name: str, add: bool) -> int:
    """Accept a signer for every bundle from now on."""
    fingerprint = one_fingerprint(signer)
    trust(trusted_signers(), TrustedSigner(name=name, fingerprint=fingerprint), add=add)
    say(f"{show(name)} {fingerprint} is trusted")
    for one in read_keyring(key_statements()).revocations(fingerprint):
        complain(f"{fingerprint} does not count: it is {describe_revocation(one)}")
    return 0


@command.command("untrust")
@click.argument("which", metavar="NAME|FINGERPRINT")
def untrust_key(which: str) -> int:
    """Forget a signer: a name with all its keys, or one key with all its names.

    Of a key, the statements are forgotten too that it follows another. Revocations stay.
    """
    forgotten = which.startswith("SHA256:") and forget(key_statements(), which)
    if forgotten:
        say(f"{show(which)} follows no key any more")
    removed: tuple[TrustedSigner, ...] = ()
    try:
        removed = untrust(trusted_signers(), which)
    except UsageError:
        if not forgotten:
            raise
    for signer in removed:
        say(f"{show(signer.name)} {signer.fingerprint} is no longer trusted")
    return 0


@command.command("list")
def list_keys() -> int:
    """List the trusted signers, what their keys say, and the keys that you can sign with."""
    trusted = read_trusted(trusted_signers())
    keyring = read_keyring(key_statements())
    if not trusted:
        tell("repropack: no signer is trusted yet; see `repropack key trust --help`")
    for signer in trusted:
        how = f"  {dim(f'pinned on first use, {signer.first_use}')}" if signer.first_use else ""
        say(
            f"{signer.fingerprint}  {show(signer.name)}{how}{_revoked(keyring, signer.fingerprint)}"
        )
    for one in keyring.known:
        if isinstance(one.statement, CheckedRotation):
            new_key, old = one.statement.new, one.statement.old
            counts = "follows" if old in keyring.origins(new_key) else "does not follow any more"
            say(f"{new_key}  {dim(counts)} {old}{_revoked(keyring, new_key)}")
    own = default_key()
    public = own.with_name(own.name + ".pub")
    if public.exists():
        say(f"{load_public(public).fingerprint}  {dim('signs:')} {own}")
    if os.environ.get("SSH_AUTH_SOCK"):
        try:
            held = agent_keys()
        except RepropackError as error:
            tell(f"repropack: {show(str(error))}")
            held = ()
        for key in held:
            say(f"{key.public.fingerprint}  {dim('signs:')} ssh-agent, {show(key.comment)}")
    return 0


def _revoked(keyring: Keyring, fingerprint: str) -> str:
    revocations = keyring.revocations(fingerprint)
    return f"  {bold(describe_revocation(revocations[0]))}" if revocations else ""


def _new_passphrase() -> str:
    first = ask_passphrase("New passphrase: ")
    if first is None:
        raise UsageError(
            "there is no terminal to ask for a passphrase", advice="set REPROPACK_PASSPHRASE"
        )
    if first != ask_passphrase("The same again: "):
        raise UsageError("the two passphrases differ", advice="nothing was written; try again")
    if not first:
        raise UsageError("the passphrase is empty", advice="leave out --passphrase for none")
    return first
