# SPDX-License-Identifier: Apache-2.0
"""Files that lie in texts: in base64 and hexadecimal, uuencoded, and in patches of git.

Pure. So notebooks, pages, mails, dumps of databases and programs hold them. Encoded text is read by
`repropack.privacy.radix`; here are files whose content is packed.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from repropack.privacy.containers import HEAD, container_for

__all__ = ["embedded"]

_MARKS: Final = (
    b"iVBORw0KGgo", b"/9j/", b"R0lGOD", b"H4sI", b"UEsDB", b"JVBERi0", b"QlpoO", b"/Td6WFoA",
    b"XQAA", b"KLUv/", b"U1FMaXRlIGZvcm1hdCAz", b"eJ", b"eNo", b"eNr", b"eAE", b"eAF",
)  # fmt: skip
"""PNG, JPEG, GIF, gzip, ZIP, PDF, bzip2, xz and its forerunner, zstd, SQLite and zlib in base64."""

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/\\\r\n]{64,}={0,2}")

_ALPHABET: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


_HEX_MARKS: Final = tuple(
    spelling
    for mark in (
        b"89504e470d0a1a0a", b"ffd8ff", b"1f8b08", b"504b0304", b"255044462d", b"425a68",
        b"fd377a585a00", b"28b52ffd", b"53514c69746520666f726d61742033", b"789c", b"78da", b"785e",
        b"7801",
    )
    for spelling in dict.fromkeys((mark, mark.upper()))
)  # fmt: skip
"""The same in hexadecimal."""

_HEX: Final = re.compile(rb"(?:[0-9A-Fa-f]{2}){24,}")
_HEX_DIGITS: Final = frozenset(b"0123456789abcdefABCDEF")

_UUENCODED: Final = re.compile(rb"(?m)^begin [0-7]{3,4} [^\r\n]{1,200}\r?\n((?:[!-`][ -`]*\r?\n)*)")
"""POSIX, uuencode: each line begins with its length."""

_PATCH: Final = re.compile(rb"(?m)^(?:literal|delta) [0-9]+\r?\n((?:[A-Za-z][^ \r\n]+\r?\n)+)")
"""gitformat-patch, binary: lines of base85 that begin with their length, of a zlib stream."""


def embedded(text: bytes) -> Iterator[bytes]:
    """Each file in a text, decoded."""
    for run in _runs(text, _MARKS, _ALPHABET, _BASE64):
        data = _from_base64(run)
        if container_for(data[:HEAD], "") is not None:
            yield data
    for run in _runs(text, _HEX_MARKS, _HEX_DIGITS, _HEX):
        data = binascii.a2b_hex(run)
        if container_for(data[:HEAD], "") is not None:
            yield data
    if b"begin " in text:
        for match in _UUENCODED.finditer(text):
            yield b"".join(_from_line(line) for line in match[1].splitlines())
    if b"GIT binary patch" in text:
        for match in _PATCH.finditer(text):
            yield b"".join(map(_from_patch, match[1].splitlines()))


def _runs(
    text: bytes, marks: tuple[bytes, ...], alphabet: frozenset[int], pattern: re.Pattern[bytes]
) -> Iterator[bytes]:
    """What begins with one of the marks, and not in the middle of a run."""
    for mark in marks:
        at = text.find(mark)
        while at >= 0:
            end = at + len(mark)
            before = text[at - 1] if at else 0
            if before not in alphabet and (match := pattern.match(text, at)):
                end = match.end()
                yield match[0]
            at = text.find(mark, end)


def _from_line(line: bytes) -> bytes:
    # Some encoders count what fills a line, too, and some leave spaces at its end out.
    digits = ((line[0] - 32 & 63) + 2) // 3 * 4
    try:
        return binascii.a2b_uu(line[: 1 + digits].ljust(1 + digits))
    except binascii.Error:
        return b""


def _from_patch(line: bytes) -> bytes:
    length = line[0] - (64 if line[0] < 97 else 70)
    try:
        return base64.b85decode(line[1:])[:length]
    except ValueError:
        return b""


def _from_base64(text: bytes) -> bytes:
    run = text.replace(b"\\n", b"").translate(None, b"\\\r\n=")
    # A single character at the end has no byte.
    run = run[: len(run) - (len(run) % 4 == 1)]
    try:
        return base64.b64decode(run + b"=" * (-len(run) % 4))
    except binascii.Error:
        return b""
