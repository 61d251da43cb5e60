# SPDX-License-Identifier: Apache-2.0
"""`repropack reveal`: prove later what a release kept private."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
from msgspec import Struct

from repropack import canonical, durable
from repropack.cli.location import existing_bundle, open_named
from repropack.cli.places import KEY_HELP, trust_policy, unlock, unlock_keys
from repropack.cli.progress import byte_progress
from repropack.cli.report_files import output_path
from repropack.cli.screen import bold, dim, say, tell
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.model import Authorship, CommitReveal, OpenedCommit, RevocationReason
from repropack.reports.text import describe_signer
from repropack.signing.dsse import read_envelope, seal
from repropack.signing.keys import (
    PassphraseNeededError,
    PublicKey,
    SigningKey,
    WrongPassphraseError,
    parse_signing,
    read_small,
)
from repropack.signing.policy import TrustPolicy, authenticate
from repropack.store import Store
from repropack.store.authorships import (
    SEALED_FOR,
    LockedAuthorship,
    kept_authorship,
    place_of_authorship,
)
from repropack.verify.code_check import check_code
from repropack.verify.integrity import Signed, read_signed
from repropack.verify.release import Release, read_release
from repropack.verify.reveal.authors import (
    check_author_reveal,
    is_envelope,
    read_authorship,
    reveal_payload,
    with_authorship,
)
from repropack.verify.reveal.commits import (
    COMMIT_KIND,
    MAX_REVEAL,
    Committed,
    check_commit_reveal,
    commitments_of,
    read_commit_reveal,
)
from repropack.verify.reveal.refusal import RevealRefusedError

__all__ = ["command"]

NOT_OURS: Final = "use the store that the bundle was exported from, or a copy of it"


class _Checked(Struct, frozen=True, kw_only=True):
    """A bundle of which every byte, the records and the code have been checked."""

    signed: Signed
    release: Release
    authorship: Authorship | None

    @property
    def digest(self) -> str:
        return self.signed.listed.manifest_sha256


@click.command("reveal")
@click.argument("arguments", metavar="FILE | check FILE STATEMENT", nargs=-1, required=True)
@click.option("--commit", is_flag=True, help="Reveal which of your commits the code was.")
@click.option("--key", metavar="KEY", help="The key that the release was sealed to. " + KEY_HELP)
@click.option("-o", "--output", metavar="FILE", help="Where to write the statement.")
@click.option(
    "--signer",
    "signers",
    metavar="FINGERPRINT|FILE",
    multiple=True,
    help="With check: the author must be this one: a fingerprint, a public key, or an OpenSSH "
    "allowed_signers file. Repeatable; one of them.",
)
@click.option("--allow-unknown-signer", is_flag=True, help="With check: exit with 0 instead of 4.")
def command(
    arguments: tuple[str, ...],
    commit: bool,
    key: str | None,
    output: str | None,
    signers: tuple[str, ...],
    allow_unknown_signer: bool,
) -> int:
    """Prove later what a release kept private, or check such a proof.

    `reveal FILE` writes a statement that you made an anonymous release: it is signed by the key
    that was made for the release and by your own.
    `reveal --commit FILE` writes a statement that opens the release's commitments to your commits.
    It shows the commit itself: author, date, message and the ids of its parents.
    `reveal check FILE STATEMENT` checks either. Nothing is executed.

    \b
    Exit status:
      0  done, or: it is proven
      1  it is not proven
      2  wrong usage
      4  it is proven that the holder of a key made the release,
         but not whose key that is
    """  # noqa: D301 - click wants the character itself, not its name
    if arguments[0] == "check":
        if len(arguments) != 3 or commit or output is not None or key is not None:
            raise UsageError("expected `reveal check FILE STATEMENT`")
        return _check(
            arguments[1],
            arguments[2],
            trust_policy(signers),
            allow_unknown_signer=allow_unknown_signer,
        )
    if len(arguments) != 1:
        raise UsageError("expected one bundle, or `check FILE STATEMENT`")
    if signers or allow_unknown_signer:
        raise UsageError("--signer and --allow-unknown-signer are about `reveal check`")
    output_path("-o", output)
    if commit:
        if key is not None:
            raise UsageError("--key signs who you are, and --commit needs no signature")
        return _reveal_commits(arguments[0], output)
    return _reveal_author(arguments[0], key, output)


def _read(bundle: str) -> _Checked:
    """Checks every byte, the records and the code; nothing is executed."""
    with open_named(existing_bundle(bundle), quiet=False) as opened:
        signed = read_signed(opened, trust_policy(()))
        with byte_progress("checking", signed.listed.content_size, quiet=False) as advance:
            verified = signed.listed.verify(progress=advance)
        authorship = read_authorship(verified)
        signed = with_authorship(signed, authorship)
        release = read_release(verified, signed.statement)
        with tempfile.TemporaryDirectory(prefix="repropack-reveal-") as work:
            check_code(release, verified, Path(work))
        return _Checked(signed=signed, release=release, authorship=authorship)


# ---------------------------------------------------------------- the author


def _reveal_author(bundle: str, key_name: str | None, output: str | None) -> int:
    store = Store.find(Path.cwd())
    checked = _read(bundle)
    if checked.authorship is None:
        raise UsageError(
            f"{bundle}: it is not anonymous, its signer is known from the start",
            advice="`reveal --commit` reveals which commit the code was",
        )
    locked = kept_authorship(store.directory, checked.digest)
    if locked is None:
        raise UsageError(
            f"{store.directory}: has not made this bundle, and so has no key of it", advice=NOT_OURS
        )
    ((own, passphrase),) = unlock_keys(() if key_name is None else (key_name,))
    key = _bundle_key(locked, place_of_authorship(store.directory, checked.digest), passphrase)
    kept = locked.open(key.secret_for(SEALED_FOR))
    sealed_to = PublicKey.from_openssh(kept.author.key)
    if own.public != sealed_to:
        raise UsageError(
            f"the release is sealed to the key {sealed_to.fingerprint}, not to "
            f"{own.public.fingerprint}",
            advice="name that key with --key",
        )
    statement = seal(reveal_payload(checked.digest, kept.author, kept.salt), key, own)
    # What a reader would refuse is not written.
    check_author_reveal(statement, bundle, checked.authorship, checked.digest)
    place = _write(bundle, output, ".author.json", statement)
    say(f"It says that {show(kept.author.name)} made the release, with the key "
        f"{sealed_to.fingerprint}.")  # fmt: skip
    say(f"next: {bold(f'repropack reveal check {show(bundle)} {show(place)}')}")
    return 0


def _bundle_key(locked: LockedAuthorship, place: Path, passphrase: str | None) -> SigningKey:
    """The key that was made for the bundle, protected by what the author's own key had then."""
    try:
        return parse_signing(locked.key, place, passphrase)
    except (PassphraseNeededError, WrongPassphraseError):
        # Her own is in an agent now, or has another passphrase.
        return unlock(place, lambda typed: parse_signing(locked.key, place, typed))[0]


def _check_author(
    checked: _Checked, data: bytes, name: str, policy: TrustPolicy, *, allow_unknown: bool
) -> int:
    if checked.authorship is None:
        raise RevealRefusedError(
            f"{name}: says who made an anonymous bundle, and this one is not anonymous"
        )
    revealed = check_author_reveal(data, name, checked.authorship, checked.digest)
    own = revealed.key.fingerprint
    signers = authenticate(read_envelope(data, name), policy).signers
    standing = next(signer for signer in signers if signer.fingerprint == own)
    say(f"{dim('signed by')}  {describe_signer(checked.signed.signer)}")
    say(f"{dim('author')}     {bold(show(revealed.author.name))}")
    say(f"{dim('her key')}    {describe_signer(standing)}")
    compromised = RevocationReason.COMPROMISED
    if any(one.reason is compromised for one in policy.keyring.revocations(own)):
        raise RevealRefusedError(
            f"{name}: the author's key {own} is revoked ({standing.note}): who has stolen it could "
            "reveal a bundle of his own as hers"
        )
    known = standing.status.established
    if not known and own not in policy.required and (policy.required or policy.unusable):
        raise RevealRefusedError(f"{name}: the author's key is {own}, not one that you named")
    say("PROVEN: both keys say so, and the bundle was sealed to this author when it was signed")
    if known or allow_unknown:
        return 0
    tell(
        "whose key it is, nothing here says: compare the fingerprint with the author's, then "
        + bold(f"repropack key trust {own} --name NAME")
    )
    return 4


# ---------------------------------------------------------------- commits


def _reveal_commits(bundle: str, output: str | None) -> int:
    store = Store.find(Path.cwd())
    checked = _read(bundle)
    opening_of = _openings(store, checked)
    commits = []
    for committed in commitments_of(checked.release):
        opening = opening_of(committed)
        if opening is None:
            raise UsageError(
                f"run {committed.run}: this store cannot open its commitment", advice=NOT_OURS
            )
        content, salt = opening
        commits.append(
            OpenedCommit(
                run=committed.run,
                segment=committed.segment,
                commit=base64.b64encode(content).decode("ascii"),
                salt=base64.b64encode(salt).decode("ascii"),
            )
        )
    if not commits:
        raise UsageError(
            f"{bundle}: it has no commitment to a commit",
            advice="only code that ran as it was committed, and goes out as it ran, has one",
        )
    reveal = CommitReveal(kind=COMMIT_KIND, manifest_sha256=checked.digest, commits=tuple(commits))
    # What a reader would refuse is not written.
    check_commit_reveal(reveal, checked.release, checked.digest)
    place = _write(bundle, output, ".commit.json", canonical.encode(reveal))
    say("It shows the commit: author, date, message, and the ids of its parents.")
    say(f"next: {bold(f'repropack reveal check {show(bundle)} {show(place)}')}")
    return 0


def _openings(store: Store, checked: _Checked) -> Callable[[Committed], tuple[bytes, bytes] | None]:
    """Commit object and salt of a commitment: an anonymous bundle has salts of its own."""
    if checked.authorship is None:

        def stored(committed: Committed) -> tuple[bytes, bytes] | None:
            opening = store.opening(store.run(committed.run), committed.segment)
            return None if opening is None else (opening.content, opening.salt)

        return stored
    locked = kept_authorship(store.directory, checked.digest)
    own: dict[tuple[str, int], tuple[bytes, bytes]] = {}
    if locked is not None:
        key = _bundle_key(locked, place_of_authorship(store.directory, checked.digest), None)
        kept = locked.open(key.secret_for(SEALED_FOR))
        own = {(o.run, o.segment): (o.content, o.salt) for o in kept.openings}
    return lambda committed: own.get((committed.run, committed.segment))


def _check_commits(checked: _Checked, data: bytes, name: str) -> int:
    reveal = read_commit_reveal(data, name)
    opened = check_commit_reveal(reveal, checked.release, checked.digest)
    say(f"{dim('signed by')}  {describe_signer(checked.signed.signer)}")
    for committed, commit in opened:
        say(f"run {committed.run}, segment {committed.segment}: tree {committed.tree} ran")
        say(f"  it is that of commit {bold(commit)}")
    say("PROVEN: the bundle was committed to this when it was signed")
    return 0


# ---------------------------------------------------------------- both


def _check(bundle: str, statement: str, policy: TrustPolicy, *, allow_unknown_signer: bool) -> int:
    data = read_small(Path(statement).expanduser(), MAX_REVEAL, what="statement")
    checked = _read(bundle)
    if is_envelope(data):
        return _check_author(checked, data, statement, policy, allow_unknown=allow_unknown_signer)
    return _check_commits(checked, data, statement)


def _write(bundle: str, output: str | None, suffix: str, content: bytes) -> Path:
    place = Path(output) if output is not None else Path(Path(bundle).name + suffix)
    place = place.expanduser()
    durable.write_file(place, content)
    say(f"{dim('written')}    {show(place)}")
    return place
