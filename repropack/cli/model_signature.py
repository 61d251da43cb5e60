# SPDX-License-Identifier: Apache-2.0
"""`repropack sign --oms`: the weights of a bundle, for the tools of OpenSSF Model Signing."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Final

import click

from repropack import durable
from repropack.bundle import Location
from repropack.cli.location import open_named
from repropack.cli.places import ask_passphrase, trust_policy
from repropack.cli.progress import byte_progress
from repropack.cli.screen import bold, dim, plural, say, tell
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.reports.text import describe_signer
from repropack.signing.keys import PassphraseNeededError
from repropack.signing.model_signing import ModelKey, load_model_key, sign_model, uncovered
from repropack.verify.integrity import read_signed

__all__ = ["sign_weights"]

WEIGHTS: Final = "weights/"


def sign_weights(
    location: Location, bundle: str, key_file: Path, output: str | None, *, ask: bool
) -> int:
    """Checks every byte, then signs the weights.

    Raises:
        UsageError: The key cannot be used, there are no weights, or the file exists.
        RepropackError: The bundle is not intact.
    """
    if output is None and not isinstance(location, Path):
        raise UsageError(f"{bundle} is an address: say with -o where the signature goes")
    written = output or f"{bundle.rstrip('/')}.oms.sig"
    place = Path(written).expanduser()
    if os.path.lexists(place):
        raise UsageError(f"{written} exists and is not overwritten", advice="name another with -o")
    key = _load(key_file)
    with open_named(location, quiet=False) as opened:
        signed = read_signed(opened, trust_policy(()))
        with byte_progress("checking", signed.listed.content_size, quiet=False) as advance:
            verified = signed.listed.verify(progress=advance)
    files = {
        member.path.removeprefix(WEIGHTS): member.sha256
        for member in verified.manifest.members
        if member.path.startswith(WEIGHTS)
    }
    left_out = uncovered(files)
    if len(files) == len(left_out):
        raise UsageError(f"{bundle}: it has no weights", advice="`repropack inspect` lists it")
    say(f"{bold(show(location.name))}  {plural(len(files), 'file')} of weights, all intact")
    say(f"{dim('signed by')}  {describe_signer(signed.signer)}")
    if ask and sys.stdin.isatty():
        click.confirm("Sign the weights?", default=True, abort=True, err=True)
    durable.write_file(place, sign_model(location.name, files.items(), key))
    for path in left_out:
        tell(f"not covered, because verifiers of OMS pass it over: {show(WEIGHTS + path)}")
    say(f"{dim('written')}    {show(written)}")
    extract = shlex.join(["repropack", "extract", bundle, "DIR", "weights"])
    say(f"next, for a reader: {bold(extract)}")
    words = ["model_signing", "verify", "key", f"DIR/{WEIGHTS.rstrip('/')}"]
    words += ["--signature", written, "--public_key", "PUBLIC.pem"]
    say(bold(shlex.join(words)))
    return 0


def _load(path: Path) -> ModelKey:
    try:
        return load_model_key(path)
    except PassphraseNeededError:
        passphrase = ask_passphrase(f"Passphrase for {path}: ")
        if passphrase is None:
            raise
        return load_model_key(path, passphrase)
