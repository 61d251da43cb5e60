# SPDX-License-Identifier: Apache-2.0
"""`repropack reveal`: prove later what a release kept private."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import click

from repropack import canonical, durable
from repropack.cli.location import existing_bundle, open_named
from repropack.cli.places import trust_policy
from repropack.cli.progress import byte_progress
from repropack.cli.screen import bold, dim, say
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.model import CommitReveal, OpenedCommit
from repropack.reports.text import describe_signer
from repropack.signing.keys import read_small
from repropack.store import Store
from repropack.verify.code_check import check_code
from repropack.verify.integrity import Signed, read_signed
from repropack.verify.release import Release, read_release
from repropack.verify.reveal import (
    COMMIT_KIND,
    MAX_REVEAL,
    check_commit_reveal,
    commitments_of,
    read_commit_reveal,
)

__all__ = ["command"]


@click.command("reveal")
@click.argument("arguments", metavar="FILE | check FILE STATEMENT", nargs=-1, required=True)
@click.option("--commit", is_flag=True, help="Reveal which of your commits the code was.")
@click.option("-o", "--output", metavar="FILE", help="Where to write the statement.")
def command(arguments: tuple[str, ...], commit: bool, output: str | None) -> int:
    """Prove later what a release kept private, or check such a proof.

    `reveal --commit FILE` writes a statement that opens the release's commitments to your commits.
    It shows the commit itself: author, date, message and the ids of its parents.
    `reveal check FILE STATEMENT` checks one. Nothing is executed.
    """
    if arguments[0] == "check":
        if len(arguments) != 3 or commit or output is not None:
            raise UsageError("expected `reveal check FILE STATEMENT`")
        return _check(arguments[1], arguments[2])
    if len(arguments) != 1:
        raise UsageError("expected one bundle, or `check FILE STATEMENT`")
    if not commit:
        raise UsageError("nothing to reveal was named", advice="add --commit")
    return _reveal(arguments[0], output)


def _read(bundle: str) -> tuple[Signed, Release]:
    """Checks every byte, the records and the code; nothing is executed."""
    with open_named(existing_bundle(bundle), quiet=False) as opened:
        signed = read_signed(opened, trust_policy(()))
        with byte_progress("checking", signed.listed.content_size, quiet=False) as advance:
            verified = signed.listed.verify(progress=advance)
        release = read_release(verified, signed.statement)
        with tempfile.TemporaryDirectory(prefix="repropack-reveal-") as work:
            check_code(release, verified, Path(work))
        return signed, release


def _reveal(bundle: str, output: str | None) -> int:
    store = Store.find(Path.cwd())
    signed, release = _read(bundle)
    commits = []
    for committed in commitments_of(release):
        opening = store.opening(store.run(committed.run), committed.segment)
        if opening is None:
            raise UsageError(
                f"run {committed.run}: this store has no opening.json for it",
                advice="use the store that the bundle was exported from",
            )
        commits.append(
            OpenedCommit(
                run=committed.run,
                segment=committed.segment,
                commit=base64.b64encode(opening.content).decode("ascii"),
                salt=base64.b64encode(opening.salt).decode("ascii"),
            )
        )
    if not commits:
        raise UsageError(
            f"{bundle}: it has no commitment to a commit",
            advice="only code that ran as it was committed has one",
        )
    reveal = CommitReveal(
        kind=COMMIT_KIND, manifest_sha256=signed.listed.manifest_sha256, commits=tuple(commits)
    )
    # What a reader would refuse is not written.
    check_commit_reveal(reveal, release, signed.listed.manifest_sha256)
    place = Path(output) if output is not None else Path(Path(bundle).name + ".commit.json")
    place = place.expanduser()
    durable.write_file(place, canonical.encode(reveal))
    say(f"{dim('written')}    {show(place)}")
    say("It shows the commit: author, date, message, and the ids of its parents.")
    say(f"next: {bold(f'repropack reveal check {show(bundle)} {show(place)}')}")
    return 0


def _check(bundle: str, statement: str) -> int:
    reveal = read_commit_reveal(
        read_small(Path(statement).expanduser(), MAX_REVEAL, what="statement"), statement
    )
    signed, release = _read(bundle)
    opened = check_commit_reveal(reveal, release, signed.listed.manifest_sha256)
    say(f"{dim('signed by')}  {describe_signer(signed.signer)}")
    for committed, commit in opened:
        say(f"run {committed.run}, segment {committed.segment}: tree {committed.tree} ran")
        say(f"  it is that of commit {bold(commit)}")
    say("PROVEN: the bundle was committed to this when it was signed")
    return 0
