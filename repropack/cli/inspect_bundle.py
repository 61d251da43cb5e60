# SPDX-License-Identifier: Apache-2.0
"""`repropack inspect`."""

from __future__ import annotations

import click

from repropack import canonical
from repropack.cli.location import existing_bundle, open_named
from repropack.cli.places import trust_policy
from repropack.cli.screen import bold, dim, human_size, plural, say
from repropack.escaping import show
from repropack.model import Member, ReleasePredicate, Role, SignerReport
from repropack.model.fields import Record, Sha256
from repropack.reports.text import describe_signer
from repropack.verify.integrity import read_signed
from repropack.verify.release import AUTHORSHIP

__all__ = ["Document", "command"]

SHOWN = 40


class Document(Record, frozen=True, kw_only=True):
    """What `--json` prints.

    Attributes:
        signer: The signer who stands best with the reader.
        signers: Every key that signed.
        statement: What is signed about the release.
    """

    manifest_sha256: Sha256
    signer: SignerReport
    signers: tuple[SignerReport, ...]
    statement: ReleasePredicate
    members: tuple[Member, ...]


@click.command("inspect")
@click.argument("bundle", metavar="FILE|DIR|URL")
@click.option("--all", "show_all", is_flag=True, help="List every file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def command(bundle: str, show_all: bool, as_json: bool) -> int:
    """Show what is in a bundle. Nothing is executed, and only its list is read and checked.

    Of an https address only the end and the list are fetched.
    """
    location = existing_bundle(bundle)
    with open_named(location, quiet=as_json) as opened:
        signed = read_signed(opened, trust_policy(()))
        members = signed.listed.manifest.members
        predicate = signed.statement.predicate
        if as_json:
            document = Document(
                manifest_sha256=signed.listed.manifest_sha256,
                signer=signed.signer,
                signers=signed.signers,
                statement=predicate,
                members=members,
            )
            say(canonical.encode(document).decode())
            return 0
        say(f"{bold(show(location.name))}  {human_size(opened.size)}")
    for number, signer in enumerate(signed.signers):
        say(f"{dim(('signed by' if number == 0 else '').ljust(10))} {describe_signer(signer)}")
    if any(member.path == AUTHORSHIP for member in members):
        say(f"{dim('anonymous')}  its author is to stay unknown until she reveals herself")
    say(f"{dim('digest')}     sha256:{signed.listed.manifest_sha256}")
    say(f"{dim('made by')}    {show(predicate.tool)}, run {show(predicate.run)}")
    for number, claim in enumerate(predicate.claims):
        say(f"{dim(('claims' if number == 0 else '').ljust(10))} {show(claim)}")
    for role in Role:
        chosen = [member for member in members if member.role is role]
        if chosen:
            total = sum(member.size for member in chosen)
            say(f"{bold(role.value)}  {plural(len(chosen), 'file')}, {human_size(total)}")
            for member in chosen if show_all else chosen[:SHOWN]:
                say(f"  {human_size(member.size):>10}  {show(member.path, limit=1024)}")
            if len(chosen) > SHOWN and not show_all:
                say(f"  … and {len(chosen) - SHOWN} more (--all)")
    say(f"the list is the signed one; the files are checked by {bold('repropack verify --no-run')}")
    return 0
