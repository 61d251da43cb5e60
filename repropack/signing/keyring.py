# SPDX-License-Identifier: Apache-2.0
"""What a reader knows of keys from their own statements: who follows whom, and who is revoked.

Only the reader's explicit word adds a statement. It is kept with the time of her own clock: the
time in a statement is its signer's word, which a thief writes as he likes. So a key that was
compromised since March hands its trust on only to a key whose rotation she had before March.

More statements never make a revocation weaker: of several for a key, each must let a signature or a
rotation pass. Rules: docs/spec/rpk-v1.md, section 17.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import durable
from repropack.errors import UsageError
from repropack.findings import Code, DefectError
from repropack.model import RevocationReason
from repropack.signing.key_statements import (
    CheckedRevocation,
    CheckedRotation,
    CheckedStatement,
    parse_time,
    read_key_statement,
)
from repropack.signing.keys import read_small
from repropack.signing.trusted import check_permissions, locked

__all__ = ["Keyring", "Known", "forget", "read_keyring", "remember"]

MAX_LIST: Final = 4 * 1024 * 1024
"""Bytes of the reader's list: more than two thousand statements."""

_LINE: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z) (\{.*\})")


class Known(Struct, frozen=True, kw_only=True):
    """A statement that the reader has accepted.

    Attributes:
        since: Since when, by her own clock (UTC, RFC 3339).
        envelope: The statement as it was.
    """

    statement: CheckedStatement
    since: str
    envelope: bytes


class Keyring(Struct, frozen=True, kw_only=True):
    """The statements that a reader knows, none of which contradicts another. Keys are fingerprints.

    No key has two that follow it, no key follows itself through others, and each revocation is
    signed by its key or by one that follows it.
    """

    known: tuple[Known, ...] = ()

    def add(self, statement: CheckedStatement, *, now: str, envelope: bytes) -> Keyring:
        """The keyring with one more statement; itself where it knows the statement already.

        Args:
            statement: What was checked by itself.
            now: The present time, by the reader's own clock.
            envelope: The statement as it was.

        Raises:
            DefectError: `KEY_CONFLICT`: it contradicts what is known, or has no authority.
        """
        if isinstance(statement, CheckedRotation):
            if self._follower(statement.old) == statement.new:
                return self
            self._refuse_rotation(statement, now)
        else:
            if any(one.statement == statement for one in self.known):
                return self
            if statement.signer not in (statement.key, *self.followers(statement.key)):
                raise _conflict(
                    statement.key,
                    f"a revocation by {statement.signer}",
                    "one by the key itself or by a key that it has handed over to",
                )
        return Keyring(
            known=(*self.known, Known(statement=statement, since=now, envelope=envelope))
        )

    def _refuse_rotation(self, rotation: CheckedRotation, now: str) -> None:
        other = self._follower(rotation.old)
        if other is not None:
            raise _conflict(
                rotation.old,
                f"that it hands over to {rotation.new}",
                f"{other}, to which it has handed over before: if both statements are real, two "
                "people have the key",
            )
        if rotation.old in (rotation.new, *self.followers(rotation.new)):
            raise _conflict(
                rotation.old,
                f"that it hands over to {rotation.new}",
                "a key that it does not follow itself",
            )
        if self.revocations(rotation.new):
            raise _conflict(
                rotation.old,
                f"that it hands over to {rotation.new}, which is revoked",
                "a key that is not revoked",
            )
        if not self._passes_on(rotation, now):
            raise _conflict(
                rotation.old,
                f"that it hands over to {rotation.new}, but it is revoked",
                "a rotation that was known before, or that the revocation names",
            )

    def without(self, key: str) -> Keyring:
        """The keyring without the rotations to a key, and without what rests on them.

        Revocations that a key signed about itself stay, whatever else is forgotten.
        """
        kept = Keyring()
        for one in self.known:
            if isinstance(one.statement, CheckedRotation) and one.statement.new == key:
                continue
            try:
                kept = kept.add(one.statement, now=one.since, envelope=one.envelope)
            except DefectError:
                # A revocation by a key that follows no more.
                continue
        return kept

    def followers(self, key: str) -> tuple[str, ...]:
        """The keys that follow, the next one first, whether or not that counts for the reader."""
        found: list[str] = []
        following = self._follower(key)
        while following is not None and following not in found:
            found.append(following)
            following = self._follower(following)
        return tuple(found)

    def origins(self, key: str) -> tuple[str, ...]:
        """The keys whose trust goes over to this one, through rotations that count; nearest first.

        A rotation by a revoked key counts if the reader had it before the key was worth nothing, or
        if the revocation names the key that follows and the old one was not compromised.
        """
        found: list[str] = []
        wanted = [key]
        while wanted:
            new = wanted.pop(0)
            for one in self.known:
                rotation = one.statement
                if not isinstance(rotation, CheckedRotation) or rotation.new != new:
                    continue
                if rotation.old not in (key, *found) and self._passes_on(rotation, one.since):
                    found.append(rotation.old)
                    wanted.append(rotation.old)
        return tuple(found)

    def same_holder(self, key: str) -> frozenset[str]:
        """The key and all that rotations join it with: they are one party, whether trusted or not.

        Both keys of a rotation sign it, so that nobody is joined against her will.
        """
        joined = {key}
        grown = True
        while grown:
            grown = False
            for one in self.known:
                if isinstance(one.statement, CheckedRotation):
                    pair = {one.statement.old, one.statement.new}
                    if pair & joined and not pair <= joined:
                        joined |= pair
                        grown = True
        return frozenset(joined)

    def revocations(self, key: str) -> tuple[CheckedRevocation, ...]:
        """What is known to revoke a key, the hardest first: compromised, then the earliest."""
        found = [
            one.statement
            for one in self.known
            if isinstance(one.statement, CheckedRevocation) and one.statement.key == key
        ]
        compromised = RevocationReason.COMPROMISED
        return tuple(
            sorted(found, key=lambda one: (one.reason is not compromised, one.since or ""))
        )

    def revoked(self, key: str, signed_before: dt.datetime | None) -> CheckedRevocation | None:
        """The hardest revocation that a signature of a key meets, if any.

        Args:
            key: Whose signature.
            signed_before: When the signature existed, as somebody proves whom the reader trusts.
        """
        for one in self.revocations(key):
            proven = (
                signed_before is not None
                and one.since is not None
                and signed_before < parse_time(one.since)
            )
            if not proven:
                return one
        return None

    def _follower(self, key: str) -> str | None:
        for one in self.known:
            if isinstance(one.statement, CheckedRotation) and one.statement.old == key:
                return one.statement.new
        return None

    def _passes_on(self, rotation: CheckedRotation, known_since: str) -> bool:
        for one in self.revocations(rotation.old):
            before = one.since is not None and parse_time(known_since) < parse_time(one.since)
            # What revokes a compromised key names no successor: a thief could as well.
            if not before and one.successor != rotation.new:
                return False
        return True


def read_keyring(path: Path) -> Keyring:
    """Reads the reader's list of statements and checks each again; a missing file is an empty list.

    Raises:
        UsageError: A line has another form or does not hold, or others can write the file or its
            directory.
    """
    if not path.exists():
        return Keyring()
    check_permissions(path)
    data = read_small(path, MAX_LIST, what="list of statements about keys")
    keyring = Keyring()
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        place = f"{path}, line {number}"
        match = _LINE.fullmatch(line.decode("utf-8", "replace"))
        if match is None:
            raise UsageError(
                f"{place}: found {line[:60]!r}, expected a time and a statement",
                advice="mend or remove the line",
            )
        since, text = match.groups()
        try:
            parse_time(since)
            envelope = text.encode("utf-8")
            statement = read_key_statement(envelope, "the statement")
            keyring = keyring.add(statement, now=since, envelope=envelope)
        except (DefectError, ValueError) as error:
            raise UsageError(f"{place}: {error}", advice="mend or remove the line") from error
    return keyring


def remember(path: Path, statement: CheckedStatement, envelope: bytes, *, now: str) -> bool:
    """Adds a statement to the reader's list, durably.

    Returns:
        False where it was there already.

    Raises:
        DefectError: `KEY_CONFLICT`: it contradicts what is known, or has no authority.
        UsageError: The list is damaged, or would be too long.
        OSError: The list could not be written.
    """
    with locked(path):
        before = read_keyring(path)
        after = before.add(statement, now=now, envelope=envelope)
        if after is before:
            return False
        _write(path, after)
    return True


def forget(path: Path, key: str) -> bool:
    """Removes the rotations to a key and what rests on them, durably.

    Returns:
        Whether there were any.

    Raises:
        UsageError: The list is damaged.
        OSError: The list could not be written.
    """
    if not path.exists():
        return False
    with locked(path):
        before = read_keyring(path)
        after = before.without(key)
        if after == before:
            return False
        _write(path, after)
    return True


def _write(path: Path, keyring: Keyring) -> None:
    data = b"".join(
        one.since.encode("ascii") + b" " + one.envelope + b"\n" for one in keyring.known
    )
    if len(data) > MAX_LIST:
        raise UsageError(f"{path}: has room for {MAX_LIST} bytes, and is full")
    # The list may be a link into a directory of settings that the user keeps elsewhere.
    durable.write_file(path.resolve(), data, mode=0o600)


def _conflict(key: str, found: str, expected: str) -> DefectError:
    return DefectError(Code.KEY_CONFLICT, key, found=found, expected=expected)
