# SPDX-License-Identifier: Apache-2.0
"""`repropack key`: make, show, trust, list."""

from __future__ import annotations

from pathlib import Path

import click

from repropack.cli.places import default_key, trusted_signers
from repropack.cli.screen import bold, say, tell
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.signing.keys import create_key, load_public, load_signing
from repropack.signing.policy import TrustedSigner, parse_signer, read_trusted, trust

__all__ = ["command"]

OWN_NAME = "me"


@click.group("key")
def command() -> None:
    """Make, show and trust signing keys (Ed25519, in OpenSSH's file format)."""


@command.command("new")
@click.option("--key", "path", metavar="FILE", help="Where to write the private key.")
def new(path: str | None) -> int:
    """Make a new key pair. Its fingerprint is what readers compare: print it in the paper."""
    place = Path(path).expanduser() if path else default_key()
    key = create_key(place)
    if path is None:
        # Her own bundles are hers: a check of them need not ask whose key that is.
        trust(trusted_signers(), TrustedSigner(name=OWN_NAME, fingerprint=key.public.fingerprint))
    say(f"{place}  private: keep it, it cannot be made again")
    say(f"{place}.pub  public")
    say(bold(key.public.fingerprint))
    return 0


@command.command("show")
@click.option("--key", "path", metavar="FILE", help="A private or public key file.")
def show_key(path: str | None) -> int:
    """Show the fingerprint and the public key."""
    place = Path(path).expanduser() if path else default_key()
    public_beside = place.with_name(place.name + ".pub")
    if place.suffix == ".pub":
        public = load_public(place)
    elif public_beside.exists():
        public = load_public(public_beside)
    elif place.exists():
        public = load_signing(place).public
    else:
        raise UsageError(f"{place}: there is no key", advice="make one with `repropack key new`")
    say(public.fingerprint)
    say(public.openssh)
    return 0


@command.command("trust")
@click.argument("signer", metavar="FINGERPRINT|FILE")
@click.option("--name", metavar="NAME", required=True, help="What you call the signer.")
def trust_key(signer: str, name: str) -> int:
    """Accept a signer for every bundle from now on."""
    fingerprint = parse_signer(signer)
    trust(trusted_signers(), TrustedSigner(name=name, fingerprint=fingerprint))
    say(f"{show(name)} {fingerprint} is trusted")
    return 0


@command.command("list")
def list_keys() -> int:
    """List the trusted signers."""
    trusted = read_trusted(trusted_signers())
    if not trusted:
        tell("repropack: no signer is trusted yet; see `repropack key trust --help`")
    for signer in trusted:
        say(f"{signer.fingerprint}  {show(signer.name)}")
    return 0
