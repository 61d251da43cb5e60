# SPDX-License-Identifier: Apache-2.0
"""`repropack extract`."""

from __future__ import annotations

from pathlib import Path

import click

from repropack.cli.location import existing_bundle, open_named
from repropack.cli.places import trust_policy
from repropack.cli.progress import byte_progress
from repropack.cli.screen import bold, plural, say
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.reports.text import describe_signer
from repropack.verify.integrity import read_signed

__all__ = ["command"]


@click.command("extract")
@click.argument("bundle", metavar="FILE|DIR|URL")
@click.argument("directory", metavar="DIR")
@click.argument("paths", metavar="[PATH…]", nargs=-1)
def command(bundle: str, directory: str, paths: tuple[str, ...]) -> int:
    """Write the files of a bundle, or only those named, into a new or empty directory.

    Each file is checked against the signed list while it is written. A PATH may be a directory of
    the bundle, such as `weights`. Nothing is executed. Of an https address only what holds these
    files is fetched.
    """
    destination = Path(directory).expanduser()
    with open_named(existing_bundle(bundle), quiet=False) as opened:
        signed = read_signed(opened, trust_policy(()))
        listed = signed.listed
        wanted = {
            member.path: member.size
            for member in listed.manifest.members
            if not paths or any(_fits(member.path, path) for path in paths)
        }
        for path in paths:
            if not any(_fits(member, path) for member in wanted):
                raise UsageError(
                    f"{path}: the bundle has no such file",
                    advice=f"`repropack inspect {bundle} --all` lists them",
                )
        with byte_progress("writing", sum(wanted.values()), quiet=False) as advance:
            listed.extract(
                destination,
                (lambda member: member.path in wanted) if paths else None,
                progress=advance,
            )
    say(f"{plural(len(wanted), 'file')} written to {bold(show(destination))}")
    say(f"signed by {', '.join(describe_signer(signer) for signer in signed.signers)}")
    return 0


def _fits(member: str, path: str) -> bool:
    plain = path.rstrip("/")
    return member == plain or member.startswith(plain + "/")
