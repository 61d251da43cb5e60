# SPDX-License-Identifier: Apache-2.0
"""Whether what has the form of a secret is one: no word of a manual, no identifier, no digest.

Pure functions on a match; what a pattern cannot say. They look at most `LOOK_BACK` bytes before it.
"""

from __future__ import annotations

import binascii
import math
import re
from collections import Counter
from typing import Final

__all__ = [
    "LOOK_BACK",
    "is_assigned",
    "is_basic_auth",
    "is_credential",
    "is_encoded_key",
    "is_home",
    "is_mail",
    "is_mixed",
    "is_password",
    "is_real",
    "is_somebody",
    "is_unquoted_password",
    "is_varied",
    "secret_of",
]

LOOK_BACK: Final = 128
"""Bytes before a match that may count."""

_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS: Final = b"0123456789"
_CAPITALS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WORDS: Final = re.compile(rb"(?:[A-Z]{0,5}+[a-z]{2,}+|[A-Z]{2,5}+|[0-9_.-]++)++")
_MEANT_FOR_NONE: Final = (
    rb"example|placeholder|changeme|change_me|your|dummy|fake|redacted|xxxx|\.\.\.|<|\$|\{|%(?:[sd](?![A-Za-z0-9])|\()"
    rb"|\*\*|0{8}"
)
_PLACEHOLDER: Final = re.compile(_MEANT_FOR_NONE + rb"|1234567|abcdefg", re.IGNORECASE)
"""What stands in manuals in the form of a token."""

_NO_VALUE: Final = re.compile(
    _MEANT_FOR_NONE
    + rb"|sample|1234|abcd|password|passwd|secret|foobar|hunter2|none|null|true|false"
    rb"|test",
    re.IGNORECASE,
)
"""What stands in manuals and programs where something is called a secret."""

_PLACEHOLDER_WITHIN: Final = 48
"""Bytes in which a manual says that it means none; a long token has each short word by chance."""

_DOCUMENTED_USERS: Final = frozenset(
    b"""
    user username users runner ubuntu you me foo bar baz guest conda docker builder vagrant jovyan
    travis circleci ec2-user admin root test tester name someone somebody nobody ci jenkins build
    dev developer app appuser node airflow spark hadoop hdfs linuxbrew shared public common
    buildozer codespace guido web_user alex david
    vscode alice bob eve john joe jane johndoe jdoe myuser myname my_name
    your_user your_username your-username yourname your_name youruser user_name default work
    hostedtoolcache anaconda miniconda mambaforge pi kali centos debian fedora azureuser xxx
    """.split()
)
_MAIL_NOBODY: Final = re.compile(
    rb"@(?:[\w.-]*\.)?(?:example|invalid|test|localhost|domain|email|company|foo|bar|host)"
    rb"(?:\.(?:com|org|net|edu))?$|^git@|noreply|\.(?:png|jpe?g|gif|svg|py|js|css|html)$",
    re.IGNORECASE,
)
_DIGEST_NAME: Final = re.compile(
    rb"sha\d|md5|digest|hash|checksum|commit|public|pubkey", re.IGNORECASE
)


_FILE_NAME: Final = re.compile(
    rb"\.(?:txt|csv|tsv|json|py|ipynb|md|rst|html?|xml|ya?ml|log|dat|pdf|png|jpe?g|zip|gz|cfg|ini|sh"
    rb"|js|css|tex|php)$",
    re.IGNORECASE,
)


def secret_of(match: re.Match[bytes]) -> bytes:
    """The group `secret`, else all that matched."""
    return match["secret"] if "secret" in match.re.groupindex else match[0]


def is_real(match: re.Match[bytes]) -> bool:
    """Whether it is no placeholder of documentation."""
    return not _is_placeholder(secret_of(match))


def is_varied(match: re.Match[bytes]) -> bool:
    """Letters and digits mixed as no word, name or path has them."""
    data = secret_of(match)
    tail = data[-40:]
    return (
        not _is_placeholder(data)
        and _entropy(data) > 3.0
        and _count(tail, _LETTERS) > 0
        and (_count(tail, _DIGITS) >= 2 or _has_random_case(tail))
    )


def is_mixed(match: re.Match[bytes]) -> bool:
    """Letters of both cases, as random as they come."""
    data = secret_of(match)
    lower = _count(data, b"abcdefghijklmnopqrstuvwxyz")
    return not _is_placeholder(data) and 4 < lower < len(data) - 8 and _entropy(data) > 3.8


def is_assigned(match: re.Match[bytes]) -> bool:
    """A value with the look of a token: one run of letters and digits, no expression."""
    data = secret_of(match)
    return (
        is_varied(match)
        and not _is_no_value(data)
        and _entropy(data) > 3.4
        and (_count(data, _DIGITS) >= 3 or _has_random_case(data))
        and (_count(data, b"_-.") < 5 or _has_random_case(data))
        # `mlkem768_x25519`, `sk-ssh-ed25519`: words with digits, joined.
        and not re.fullmatch(rb"[a-z0-9]+(?:[._/-][a-z0-9]+)+", data)
        # `x25519.X25519PrivateKey`: an attribute.
        and not re.fullmatch(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", data)
        # A digest or a git commit is no secret where it is called so.
        and not _DIGEST_NAME.search(
            match.string[max(0, match.start() - 24) : match.start("secret")]
        )
    )


def is_password(match: re.Match[bytes]) -> bool:
    """Short, but with letters and something else."""
    data = secret_of(match)
    return (
        not _is_no_value(data)
        and _count(data, _LETTERS) > 0
        and (_count(data, b"0123456789!@#%&*^+?~") > 0 or _has_random_case(data, 3))
        and _entropy(data) > 2.5
    )


def is_unquoted_password(match: re.Match[bytes]) -> bool:
    """In a file of settings it is a value; in a program the same would be a name."""
    data = secret_of(match)
    name = re.fullmatch(rb"[A-Za-z_][\w.]*", data) is not None
    mixed = _has_random_case(data, 3) or (
        _count(data, _DIGITS) >= 2
        and not (data.islower() or data.isupper())
        and b"_" not in data
        and b"." not in data
    )
    return is_password(match) and (mixed or not name)


def is_credential(match: re.Match[bytes]) -> bool:
    """User and password of an address, and no example of one."""
    user, host = match["user"].lower(), match["host"].lower()
    data = match["secret"]
    return not (
        _is_no_value(data)
        or user in (b"user", b"username", b"me", b"foo", b"joe", b"a", b"u")
        or data.lower() in (b"pass", b"pwd", b"bar", b"port", b"pw", user)
        or b"example" in host
        or host in (b"host", b"hostname", b"localhost", b"server", b"domain")
    )


def is_basic_auth(match: re.Match[bytes]) -> bool:
    """`user:password` in base64, as Docker keeps it."""
    user, colon, password = _decoded(match).partition(b":")
    return bool(colon and user and password) and (user + password).isascii()


def is_encoded_key(match: re.Match[bytes]) -> bool:
    """A private key in PEM, and that in base64, as Kubernetes keeps it."""
    return b"PRIVATE KEY-----" in _decoded(match)


def is_somebody(match: re.Match[bytes]) -> bool:
    """A user of no manual and no build machine."""
    return match["secret"].lower().strip(b"._-") not in _DOCUMENTED_USERS


def is_home(match: re.Match[bytes]) -> bool:
    """A home directory of somebody: no page of a site, no file."""
    before = match.string[max(0, match.start() - LOOK_BACK) : match.start()]
    return (
        is_somebody(match)
        and not _FILE_NAME.search(match["secret"])
        and not re.search(rb"https?://[^\s\"'<>()]*$", before)
    )


def is_mail(match: re.Match[bytes]) -> bool:
    """An address of a person."""
    # What stands before the `@` of an address may be a password, which must not be shown.
    before = match.string[max(0, match.start() - 100) : match.start()]
    return not (_MAIL_NOBODY.search(match[0]) or re.search(rb"://[^\s/@]*$", before))


def _has_random_case(data: bytes, least: int = 5) -> bool:
    """Capitals where no word begins: of random letters and digits one in ten has few digits."""
    return (
        _count(data, _CAPITALS) >= least
        and _count(data, _CAPITALS.lower()) >= least
        and not _WORDS.fullmatch(data)
    )


def _is_placeholder(data: bytes) -> bool:
    return _PLACEHOLDER.search(data, 0, _PLACEHOLDER_WITHIN) is not None


def _is_no_value(data: bytes) -> bool:
    return _NO_VALUE.search(data, 0, _PLACEHOLDER_WITHIN) is not None


def _decoded(match: re.Match[bytes]) -> bytes:
    data = secret_of(match).rstrip(b"=")
    whole = data[: len(data) - (len(data) % 4 == 1)]
    return binascii.a2b_base64(whole + b"==")


def _count(data: bytes, alphabet: bytes) -> int:
    return len(data) - len(data.translate(None, alphabet))


def _entropy(data: bytes) -> float:
    """Bits for each byte (Shannon)."""
    total = len(data)
    return -sum(n / total * math.log2(n / total) for n in Counter(data).values()) if total else 0.0
