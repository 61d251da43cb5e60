# SPDX-License-Identifier: Apache-2.0
"""`repropack sign`."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path

import click

from repropack.cli.location import existing_bundle, open_named
from repropack.cli.model_signature import sign_weights
from repropack.cli.places import KEY_HELP, load_keys, trust_policy
from repropack.cli.progress import byte_progress
from repropack.cli.screen import bold, dim, say
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.model import SignerStatus
from repropack.reports.text import describe_signer
from repropack.signing.dsse import add_signature, read_envelope
from repropack.verify.integrity import read_signed
from repropack.verify.reveal.authors import read_authorship

__all__ = ["command"]


@click.command("sign")
@click.argument("bundle", metavar="FILE")
@click.option(
    "--key", "key_names", metavar="KEY", multiple=True, help=KEY_HELP + " Repeatable: each signs."
)
@click.option("-o", "--output", metavar="FILE", help="Write another file instead of this one.")
@click.option(
    "--oms",
    "model_key",
    metavar="KEY.pem",
    help="Leave the bundle as it is, and sign its weights with this P-256 key for the tools of "
    "OpenSSF Model Signing, in a file of its own (the name of the bundle and .oms.sig).",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def command(
    bundle: str, key_names: tuple[str, ...], output: str | None, model_key: str | None, yes: bool
) -> int:
    """Add your signature to a bundle that somebody has made.

    Every byte is checked first. The files, their list and the other signatures stay as they are,
    and so does the digest. Nothing is executed: whether the numbers come out again is what
    `repropack verify` says.
    """
    location = existing_bundle(bundle)
    if model_key is not None:
        if key_names:
            raise UsageError("--oms signs a file of its own, --key the bundle: give one of them")
        return sign_weights(location, bundle, Path(model_key).expanduser(), output, ask=not yes)
    own = location if isinstance(location, Path) and location.is_file() else None
    if own is None and output is None:
        raise UsageError(
            f"{bundle} is not one file", advice="say with -o which file gets the signature"
        )
    destination = Path(output).expanduser() if output is not None else own
    assert destination is not None
    keys = load_keys(key_names)
    with open_named(location, quiet=False) as opened:
        signed = read_signed(opened, trust_policy(()))
        total = signed.listed.content_size
        with byte_progress("checking", total, quiet=False) as advance:
            verified = signed.listed.verify(progress=advance)
        held = {s.fingerprint for s in signed.signers if s.status is not SignerStatus.INVALID}
        new = [key for key in keys if key.public.fingerprint not in held]
        say(f"{bold(show(location.name))}  {len(verified.manifest.members)} files, all intact")
        say(f"{dim('digest')}     sha256:{verified.manifest_sha256}")
        for number, signer in enumerate(signed.signers):
            say(f"{dim(('signed by' if number == 0 else '').ljust(10))} {describe_signer(signer)}")
        for number, claim in enumerate(signed.statement.predicate.claims):
            say(f"{dim(('claims' if number == 0 else '').ljust(10))} {show(claim)}")
        for key in new:
            say(f"{dim('new'.ljust(10))} {key.public.fingerprint}")
        if not new and output is None:
            say("it has this signature already; nothing was changed")
            return 0
        if not yes and new and read_authorship(verified) is not None:
            raise UsageError(
                f"{bundle} is anonymous, and a signature would tell that its key's owner has to do "
                "with it",
                advice="after the decision, `repropack reveal` proves who made it; if you mean to "
                "sign it all the same, say --yes",
            )
        if not yes and sys.stdin.isatty():
            click.confirm("Sign it?", default=True, abort=True, err=True)
        attestation = opened.attestation
        for key in new:
            attestation = add_signature(read_envelope(attestation), key)
        mode = stat.S_IMODE(own.stat().st_mode) if own is not None else 0o644
        with byte_progress("writing", opened.size, quiet=False) as advance:
            # A link stays a link to the file that it names.
            verified.reseal(attestation, destination.resolve(), mode=mode, progress=advance)
    everybody = [*sorted(held), *(key.public.fingerprint for key in new)]
    named = [word for fingerprint in everybody for word in ("--signer", fingerprint)]
    shortest = min(str(destination), os.path.relpath(destination), key=len)
    words = ["repropack", "verify", shortest, *named, "--threshold", str(len(everybody))]
    say(f"{dim('written')}    {show(destination)}")
    say(f"next: {bold(shlex.join(words))}")
    return 0
