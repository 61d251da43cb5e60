# SPDX-License-Identifier: Apache-2.0
"""The reader's own list of signers: names that she gave, and the keys that she knows under them.

A line is `NAME SHA256:…`, or `NAME SHA256:… first-use=2026-01-31` for a key that nobody compared
with anything: it was taken from the first bundle checked under that name. A name may have several
keys and a key several names. Only the reader's explicit word adds a line.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import durable
from repropack.errors import UsageError
from repropack.signing.keys import read_small

__all__ = [
    "FINGERPRINT",
    "TrustedSigner",
    "check_name",
    "check_permissions",
    "locked",
    "read_trusted",
    "trust",
    "untrust",
]

FINGERPRINT: Final = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
"""An OpenSSH fingerprint, as `ssh-keygen -lf` prints it."""

MAX_LIST: Final = 4 * 1024 * 1024
"""Bytes of the list: tens of thousands of signers."""

_NAME: Final = re.compile(r"[^\s#\"]{1,200}")
_FIRST_USE: Final = re.compile(r"first-use=([0-9]{4}-[0-9]{2}-[0-9]{2})")


class TrustedSigner(Struct, frozen=True, kw_only=True):
    """A key the reader accepts, under the name she gave it.

    Attributes:
        first_use: The day when the key was pinned without a comparison (`2026-01-31`), or empty.
    """

    name: str
    fingerprint: str
    first_use: str = ""


def check_name(name: str) -> None:
    """Refuses what cannot be a signer's name.

    Raises:
        UsageError: It is empty, too long, or has white space, `#` or quotation marks.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:60]!r} is not a name for a signer", advice="use a name without white space"
        )


def read_trusted(path: Path) -> tuple[TrustedSigner, ...]:
    """Reads the list; a missing file is an empty list.

    Raises:
        UsageError: A line has another form, or others can write the file or its directory.
    """
    if not path.exists():
        return ()
    check_permissions(path)
    data = read_small(path, MAX_LIST, what="list of trusted signers")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: the trusted signers are not UTF-8: {error}") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        pinned = _FIRST_USE.fullmatch(fields[2]) if len(fields) == 3 else None
        formed = len(fields) == 2 or pinned is not None
        if not formed or not FINGERPRINT.fullmatch(fields[1]):
            raise UsageError(
                f"{path}, line {number}: found {line.strip()[:60]!r}, "
                "expected a name and a fingerprint `SHA256:…`",
                advice="mend or remove the line",
            )
        found.append(
            TrustedSigner(
                name=fields[0],
                fingerprint=fields[1],
                first_use=pinned.group(1) if pinned else "",
            )
        )
    return tuple(found)


def trust(path: Path, signer: TrustedSigner, *, add: bool = False) -> None:
    """Adds a signer to the list, durably.

    A key that was pinned on first use under the same name becomes a trusted one.

    Args:
        path: The list.
        signer: Whom to add.
        add: Accept that the name has another key already, and give it this one as well.

    Raises:
        UsageError: The name has white space, or stands for another key already.
        OSError: The list could not be written.
    """
    check_name(signer.name)
    with locked(path):
        present = read_trusted(path)
        kept = []
        for other in present:
            same_name = other.name == signer.name
            if same_name and other.fingerprint == signer.fingerprint:
                if signer.first_use or not other.first_use:
                    return
                continue
            if same_name and not add:
                raise UsageError(
                    f"{signer.name} is already trusted with another key, {other.fingerprint}",
                    advice=f"if the key really changed: `repropack key untrust {signer.name}` "
                    "first; if both are in use: --add",
                )
            kept.append(other)
        _write(path, (*kept, signer))


def untrust(path: Path, which: str) -> tuple[TrustedSigner, ...]:
    """Removes a name with all its keys, or a fingerprint with all its names, durably.

    Returns:
        The lines that were removed.

    Raises:
        UsageError: There is no such name and no such fingerprint.
        OSError: The list could not be written.
    """
    with locked(path):
        present = read_trusted(path)
        removed = tuple(s for s in present if which in (s.name, s.fingerprint))
        if not removed:
            raise UsageError(
                f"no trusted signer has the name or fingerprint {which}",
                advice="`repropack key list` shows them",
            )
        _write(path, tuple(s for s in present if s not in removed))
    return removed


def _write(path: Path, signers: tuple[TrustedSigner, ...]) -> None:
    lines = [
        f"{s.name} {s.fingerprint}" + (f" first-use={s.first_use}" if s.first_use else "")
        for s in signers
    ]
    # The list may be a link into a directory of settings that the user keeps elsewhere.
    durable.write_file(
        path.resolve(), "".join(f"{line}\n" for line in lines).encode("utf-8"), mode=0o600
    )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Two processes that change a list of the reader's take turns, so that no line is lost."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = path.with_name(path.name + ".lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def check_permissions(path: Path) -> None:
    """Refuses a list of the reader's that others could have written.

    Raises:
        UsageError: Others can write it or its directory.
    """
    for place in (path.resolve(), path.resolve().parent):
        status = place.stat()
        shared = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if status.st_mode & 0o022 and not shared:
            raise UsageError(
                f"{place}: its permissions {stat.S_IMODE(status.st_mode):04o} let others change "
                "whom you trust",
                advice=f"chmod go-w {shlex.quote(str(place))}",
            )
