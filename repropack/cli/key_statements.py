# SPDX-License-Identifier: Apache-2.0
"""`repropack key rotate`, `key revoke` and `key import`: what keys say about keys."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Final

import click

from repropack import durable
from repropack.cli.places import KEY_HELP, default_key, key_statements, load_key, trusted_signers
from repropack.cli.screen import bold, complain, dim, say, tell
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.findings import DefectError
from repropack.model import RevocationReason
from repropack.signing.key_statements import (
    MAX_KEY_STATEMENT,
    CheckedRevocation,
    CheckedRotation,
    CheckedStatement,
    parse_time,
    read_key_statement,
    revocation,
    rotation,
)
from repropack.signing.keyring import read_keyring, remember
from repropack.signing.keys import PublicKey, Signer, load_public, read_small
from repropack.signing.trusted import read_trusted
from repropack.store import now

__all__ = ["describe_revocation", "import_statements", "prepare_revocation", "revoke", "rotate"]

PREPARED: Final = ".revocation.json"
"""What the name of a prepared revocation ends with, after that of the key's file."""


@click.command("rotate")
@click.option("--key", "old_name", metavar="KEY", help="The old key. " + KEY_HELP)
@click.option("--to", "new_name", metavar="KEY", required=True, help="The new key.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="key-rotation.json",
    help="Where to write the statement (key-rotation.json).",
)
def rotate(old_name: str | None, new_name: str, output: str) -> int:
    """Hand over from your old key to a new one: a statement that both sign.

    Publish it where readers know you, and beside your releases. A reader who knows the old key
    and runs `repropack key import` on it accepts the new one.
    """
    place = _free(output)
    if not new_name.startswith("agent:") and not Path(new_name).expanduser().exists():
        raise UsageError(
            f"{new_name}: there is no key", advice=f"make it: `repropack key new --key {new_name}`"
        )
    old, new = load_key(old_name), load_key(new_name)
    if old.public == new.public:
        raise UsageError("the old and the new key are the same", advice="name another with --to")
    envelope = rotation(old, new, now())
    _keep(read_key_statement(envelope, output), envelope)
    durable.write_file(place, envelope)
    say(f"{dim('old')}      {old.public.fingerprint}")
    say(f"{dim('new')}      {new.public.fingerprint}")
    say(f"{dim('written')}  {show(output)}")
    tell("publish it beside your releases, and the new fingerprint where the old one stands")
    tell("sign with the new key from now on, with --key or REPROPACK_KEY")
    say(f"next, for a reader: {bold(f'repropack key import {show(output)}')}")
    return 0


@click.command("revoke")
@click.option(
    "--key",
    "named",
    metavar="KEY",
    help="The key to revoke; with --by its .pub file suffices. If left out: your own.",
)
@click.option(
    "--reason",
    type=click.Choice([reason.value for reason in RevocationReason]),
    help="compromised: somebody else has or may have it. lost: you cannot use it any more. "
    "retired: you do not use it any more.",
)
@click.option(
    "--since",
    metavar="TIME",
    help="What it signed before is still yours: 2026-03-01 or 2026-03-01T12:00:00Z. "
    "If left out, nothing is.",
)
@click.option("--by", metavar="KEY", help="Sign with this key, to which the old one handed over.")
@click.option(
    "--successor",
    metavar="FILE",
    help="The public key to which it has handed over: only that one may follow. "
    "Not for a compromised key.",
)
@click.option(
    "--prepare",
    is_flag=True,
    help="Only write the statement, for the day when the key is lost. Whoever has the file can "
    "revoke the key with it.",
)
@click.option("-o", "--output", metavar="FILE", help="Where to write it (key-revocation.json).")
def revoke(
    named: str | None,
    reason: str | None,
    since: str | None,
    by: str | None,
    successor: str | None,
    prepare: bool,
    output: str | None,
) -> int:
    """State that a key does not count any more.

    Publish the statement where readers know you. Nothing is sent anywhere: it reaches a reader when
    she runs `repropack key import` on it.
    """
    if prepare and (by or since or successor):
        raise UsageError("--prepare is for a day that is not known yet: leave the others out")
    if reason is None and not prepare:
        raise UsageError("say why, with --reason compromised, lost or retired")
    why = RevocationReason(reason or "lost")
    if why is RevocationReason.COMPROMISED and successor is not None:
        raise UsageError(
            "--successor: a thief could name one too",
            advice="leave it out; readers must compare the new fingerprint",
        )
    output = output or ("key-revocation.json" if not prepare else f"key{PREPARED}")
    place = _free(output)
    signer = load_key(by or named)
    key = _public(named) if by is not None else signer.public
    envelope = revocation(
        key,
        signer,
        why,
        now(),
        since=_since(since),
        successor=None if successor is None else load_public(Path(successor).expanduser()),
    )
    checked = read_key_statement(envelope, output)
    if not prepare:
        _keep(checked, envelope)
    durable.write_file(place, envelope, mode=0o600 if prepare else 0o644)
    assert isinstance(checked, CheckedRevocation)
    say(f"{key.fingerprint}  {describe_revocation(checked)}")
    say(f"{dim('written')}  {show(output)}")
    if prepare:
        say("keep it offline, apart from the key; publish it when the key is lost")
    else:
        say(f"next, for a reader: {bold(f'repropack key import {show(output)}')}")
    return 0


@click.command("import")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
def import_statements(files: tuple[str, ...]) -> int:
    """Accept what keys say about keys: rotations and revocations.

    Each is checked: its form, the signatures of the keys that must have signed it, and that it does
    not contradict what you accepted before. From then on `repropack verify` goes by it.

    \b
    Exit status:
      0  all are known now
      1  one is refused; the others are known
      2  wrong usage
    """  # noqa: D301 - click wants the character itself, not its name
    refused = 0
    statements: list[tuple[CheckedStatement, bytes]] = []
    for name in files:
        data = read_small(Path(name).expanduser(), MAX_KEY_STATEMENT, what="statement about a key")
        try:
            statements.append((read_key_statement(data, name), data))
        except DefectError as error:
            complain(str(error))
            refused += 1
    # Who may revoke a key is known from its rotation.
    statements.sort(key=lambda one: isinstance(one[0], CheckedRevocation))
    for statement, envelope in statements:
        try:
            new = remember(key_statements(), statement, envelope, now=now())
        except DefectError as error:
            complain(str(error))
            refused += 1
            continue
        _say_statement(statement, new=new)
    return 1 if refused else 0


def prepare_revocation(path: Path, signer: Signer) -> None:
    """Writes the revocation of a new key, for the day when it is lost.

    Raises:
        UsageError: The file exists.
        OSError: It could not be written.
    """
    envelope = revocation(signer.public, signer, RevocationReason.LOST, now())
    durable.write_file(_free(str(path)), envelope, mode=0o600)


def describe_revocation(one: CheckedRevocation) -> str:
    """Why and since when a key is revoked, in a few words."""
    since = f"since {one.since}" if one.since else "for all that it ever signed"
    return f"revoked: {one.reason.value} {since}"


def _say_statement(statement: CheckedStatement, *, new: bool) -> None:
    old = statement.old if isinstance(statement, CheckedRotation) else statement.key
    names = dict.fromkeys(s.name for s in read_trusted(trusted_signers()) if s.fingerprint == old)
    known = f" ({show(', '.join(names))})" if names else ""
    again = "" if new else dim("  known already")
    if isinstance(statement, CheckedRotation):
        say(f"{old}{known} hands over to {bold(statement.new)}, {statement.stated}{again}")
        if new:
            tell(
                "the holder of the old key says so, and so could its thief: compare "
                f"{statement.new} with what the author publishes"
            )
        counts = old in read_keyring(key_statements()).origins(statement.new)
        if not counts:
            tell(f"a revocation keeps {statement.new} from counting")
    else:
        say(f"{old}{known} is {bold(describe_revocation(statement))}{again}")
    if not names and new:
        tell(f"you do not know {old} yet: its statements count once you trust or name it")


def _keep(statement: CheckedStatement, envelope: bytes) -> None:
    """The author is a reader too: her own list goes by what she states."""
    remember(key_statements(), statement, envelope, now=now())


def _public(named: str | None) -> PublicKey:
    """The key to revoke, of which only the public half is needed."""
    if named is None:
        return load_public(default_key().with_name(default_key().name + ".pub"))
    if named.startswith("agent:"):
        return load_key(named).public
    path = Path(named).expanduser()
    beside = path.with_name(path.name + ".pub")
    return load_public(beside if path.suffix != ".pub" and beside.exists() else path)


def _since(text: str | None) -> str | None:
    if text is None:
        return None
    stamp = text if "T" in text else f"{text}T00:00:00Z"
    try:
        time = parse_time(stamp)
    except ValueError:
        raise UsageError(
            f"--since {text[:40]}: expected a day or a time in UTC, such as 2026-03-01 or "
            "2026-03-01T12:00:00Z"
        ) from None
    if time > dt.datetime.now(dt.UTC):
        raise UsageError(f"--since {text}: is in the future", advice="leave it out, or wait")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _free(text: str) -> Path:
    """A file that is still to be written."""
    path = Path(text).expanduser()
    if os.path.lexists(path):
        raise UsageError(f"{text} exists and is not overwritten", advice="name another with -o")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{text}: {path.absolute().parent} is not a directory")
    return path
