# SPDX-License-Identifier: Apache-2.0
"""Signers that the reader names in a call: a fingerprint, a key file, an allowed_signers file.

The last is OpenSSH's: ssh-keygen(1), section ALLOWED SIGNERS. A line counts if its `namespaces`
allow `repropack` and the time of the check lies in its validity. A bundle holds no trusted time of
its signature, so the time is that of the check. What this module does not know is refused, never
skipped: an option that is ignored could widen what the reader meant to allow.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack.errors import UsageError
from repropack.signing.keys import (
    PublicKey,
    WeakKeyError,
    load_public,
    parse_public,
    read_small,
)
from repropack.signing.trusted import FINGERPRINT

__all__ = ["NAMESPACE", "AllowedSigner", "allowed_signers", "one_fingerprint"]

NAMESPACE: Final = "repropack"
"""What `namespaces=` of an allowed_signers file must allow."""

MAX_FILE: Final = 4 * 1024 * 1024
"""Bytes of an allowed_signers file: tens of thousands of signers."""

_SPACE: Final = " \t\r"
_KEY_TYPE: Final = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[A-Za-z0-9@.-]+")
_TIMESTAMP: Final = re.compile(r"([0-9]{8})([0-9]{4})?([0-9]{2})?(Z?)")
_OPTION: Final = re.compile(r'([A-Za-z-]+)(?:="((?:[^"\\]|\\.)*)")?(,|$)')


class AllowedSigner(Struct, frozen=True, kw_only=True):
    """A key that the reader names.

    Attributes:
        name: The principals of its line; empty for a fingerprint or a plain key file.
        unusable: Why the key does not count now; empty where it does.
    """

    fingerprint: str
    name: str = ""
    unusable: str = ""


def allowed_signers(text: str, now: dt.datetime) -> tuple[AllowedSigner, ...]:
    """The signers that `--signer` names.

    Args:
        text: `SHA256:…`, or the path of a public key file (OpenSSH lines or PEM) or of an
            allowed_signers file.
        now: The time of the check, with a time zone.

    Raises:
        UsageError: It is none of these, names no Ed25519 key, or has an option that is not known.
    """
    if text.startswith("SHA256:"):
        return (AllowedSigner(fingerprint=_fingerprint(text)),)
    path = Path(text).expanduser()
    data = read_small(path, MAX_FILE, what="key")
    if data.lstrip().startswith(b"-----BEGIN"):
        return (AllowedSigner(fingerprint=parse_public(data, path).fingerprint),)
    try:
        # OpenSSH knows no other ends of lines and no other white space: a comment that holds a form
        # feed would be read as a second line, with a key, by str.splitlines.
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: found bytes that are no text, expected a public key or allowed signers"
        ) from error
    found = [
        signer
        for number, line in enumerate(lines, 1)
        if (stripped := line.strip(_SPACE)) and not stripped.startswith("#")
        for signer in _line(stripped, f"{path}, line {number}", now)
    ]
    if not found:
        raise UsageError(
            f"{path}: found no Ed25519 key, expected a public key or allowed signers",
            advice="a line is `ssh-ed25519 AAAA…` or `PRINCIPALS [OPTIONS] ssh-ed25519 AAAA…`",
        )
    return tuple(found)


def one_fingerprint(text: str) -> str:
    """The fingerprint that one argument names: itself, or that of a file with one public key.

    Raises:
        UsageError: Neither a fingerprint nor a readable Ed25519 public key.
    """
    if text.startswith("SHA256:"):
        return _fingerprint(text)
    return load_public(Path(text).expanduser()).fingerprint


def _fingerprint(text: str) -> str:
    if not FINGERPRINT.fullmatch(text):
        raise UsageError(
            f"{text} is not a fingerprint",
            advice="it is `SHA256:` and 43 characters, as `repropack key show` prints it",
        )
    return text


def _line(line: str, place: str, now: dt.datetime) -> Iterator[AllowedSigner]:
    """The signer of a line; none where its key is of a kind that signs no bundle."""
    if _KEY_TYPE.fullmatch(line.split(maxsplit=1)[0]):
        public = _key(line, place)
        if public is not None:
            yield AllowedSigner(fingerprint=public.fingerprint)
        return
    principals, rest = _principals(line, place)
    if not rest:
        raise UsageError(f"{place}: found no key after {principals[:60]!r}")
    unusable = ""
    if not _KEY_TYPE.fullmatch(rest.split(maxsplit=1)[0]):
        options, rest = _cut_options(rest)
        unusable = _read_options(options, place, now)
    public = _key(rest, place)
    if public is not None:
        yield AllowedSigner(fingerprint=public.fingerprint, name=principals, unusable=unusable)


def _principals(line: str, place: str) -> tuple[str, str]:
    if line.startswith('"'):
        principals, closing, rest = line[1:].partition('"')
        if not closing:
            raise UsageError(f"{place}: found a quotation mark that is not closed")
    else:
        principals, *after = line.split(maxsplit=1)
        rest = after[0] if after else ""
    return principals, rest.strip()


def _key(text: str, place: str) -> PublicKey | None:
    """The key of `TYPE BASE64 [COMMENT]`; None for another kind of key."""
    fields = text.split()
    if not fields or not _KEY_TYPE.fullmatch(fields[0]):
        raise UsageError(f"{place}: found {text[:60]!r}, expected `ssh-ed25519 AAAA…`")
    if fields[0] != "ssh-ed25519":
        return None
    try:
        return PublicKey.from_openssh(" ".join(fields[:2]))
    except WeakKeyError as error:
        raise UsageError(f"{place}: {error}", advice="mend or remove the line") from error


def _cut_options(text: str) -> tuple[str, str]:
    """The options, up to the first white space outside quotation marks, and what follows."""
    quoted = False
    for index, character in enumerate(text):
        if character == '"' and text[index - 1 : index] != "\\":
            quoted = not quoted
        elif character in " \t" and not quoted:
            return text[:index], text[index:].strip()
    return text, ""


def _read_options(text: str, place: str, now: dt.datetime) -> str:
    """Why the options keep a line from counting now, or nothing.

    Raises:
        UsageError: An option is not known, repeated, or not well formed.
    """
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _OPTION.match(text, position)
        if match is None:
            raise UsageError(f"{place}: found {text[position:][:60]!r}, expected options or a key")
        name = match.group(1).lower()
        if name not in ("namespaces", "valid-after", "valid-before") or match.group(2) is None:
            raise UsageError(
                f"{place}: found the option {name}, which is not supported here",
                advice='options are namespaces="…", valid-after="…" and valid-before="…"',
            )
        if name in values:
            raise UsageError(f"{place}: found the option {name} twice")
        values[name] = match.group(2).replace('\\"', '"')
        position = match.end()
    after = _time(values["valid-after"], place) if "valid-after" in values else None
    before = _time(values["valid-before"], place) if "valid-before" in values else None
    if after is not None and before is not None and after >= before:
        raise UsageError(f"{place}: valid-before is not after valid-after")
    if "namespaces" in values and not _matches(NAMESPACE, values["namespaces"]):
        return f"{place}: it is not allowed for the namespace {NAMESPACE}"
    if after is not None and now < after:
        return f"{place}: it is valid only after {after:%Y-%m-%d %H:%M:%S %Z}"
    if before is not None and now > before:
        return f"{place}: it was valid only before {before:%Y-%m-%d %H:%M:%S %Z}"
    return ""


def _time(text: str, place: str) -> dt.datetime:
    """`YYYYMMDD[HHMM[SS]][Z]`, without Z in the system's time zone."""
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise UsageError(f"{place}: found the time {text[:40]!r}, expected YYYYMMDD[HHMM[SS]][Z]")
    day, minute, second, zone = match.groups()
    try:
        time = dt.datetime.strptime(
            f"{day}{minute or '0000'}{second or '00'}", "%Y%m%d%H%M%S"
        )  # fmt: skip
        return time.replace(tzinfo=dt.UTC) if zone else time.astimezone()
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{place}: found the time {text[:40]!r}: {error}") from error


def _matches(text: str, patterns: str) -> bool:
    """OpenSSH's match_pattern_list: `*`, `?`, and `!` for what must not match."""
    found = False
    for pattern in patterns.split(","):
        negated = pattern.startswith("!")
        expression = "".join(
            {"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern.removeprefix("!")
        )
        if re.fullmatch(expression, text):
            if negated:
                return False
            found = True
    return found
