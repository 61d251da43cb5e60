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
from repropack.privacy.radix import BREAK, has_run, unbroken

__all__ = ["embedded"]

_MARKS: Final = (
    b"iVBORw0KGgo", b"/9j/", b"R0lGOD", b"H4sI", b"UEsDB", b"JVBERi0", b"QlpoO", b"/Td6WFoA",
    b"XQAA", b"KLUv/", b"U1FMaXRlIGZvcm1hdCAz", b"eJ", b"eNo", b"eNr", b"eAE", b"eAF",
)  # fmt: skip
"""PNG, JPEG, GIF, gzip, ZIP, PDF, bzip2, xz and its forerunner, zstd, SQLite and zlib in base64."""

_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{24,}(?:" + BREAK + rb"[A-Za-z0-9+/_-]{4,})*={0,2}")

_SHORTEST: Final = 24
"""Digits of a line with which a file begins."""

_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
"""Of addresses to that of mails (RFC 4648, section 5)."""

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

_HEX: Final = re.compile(rb"[0-9A-Fa-f]{24,}(?:" + BREAK + rb"[0-9A-Fa-f]{4,}(?![0-9A-Za-z]))*")
_HEX_DIGITS: Final = frozenset(b"0123456789abcdefABCDEF")

_UUENCODED: Final = re.compile(rb"(?m)^begin [0-7]{3,4} [^\r\n]{1,200}\r?\n((?:[!-`][ -`]*\r?\n)*)")
"""POSIX, uuencode: each line begins with its length."""

_PATCH: Final = re.compile(rb"(?m)^(?:literal|delta) [0-9]+\r?\n((?:[A-Za-z][^ \r\n]+\r?\n)+)")
"""gitformat-patch, binary: lines of base85 that begin with their length, of a zlib stream."""


_ESCAPED_MARKS: Final = (
    rb"\x1f\x8b\x08", rb"PK\x03\x04", rb"x\x9c", rb"x\xda", rb"\xfd7zXZ", rb"(\xb5/\xfd",
    rb"\x89PNG", b"BZh",
)  # fmt: skip
_LITERAL: Final = re.compile(
    rb"[\"']((?:\\x1f\\x8b\\x08|PK\\x03\\x04|x\\x9c|x\\xda|\\xfd7zXZ|\(\\xb5/\\xfd|\\x89PNG|BZh[1-9])"
    rb"(?:[^\\\r\n\"']|\\[^\r\n]|['\"](?=[^\r\n]{0,4000}\\x))*)"
)
_ESCAPE: Final = re.compile(rb"(?s)\\(?:x([0-9A-Fa-f]{2})|(.))")
_SHORT_ESCAPES: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"0": b"\0", b"a": b"\a",
                         b"b": b"\b", b"f": b"\f", b"v": b"\v"}  # fmt: skip
"""Bytes as a string of a program."""

_NUMBERS: Final = re.compile(
    rb"(?<![0-9])(?:31,\s{0,12}139,\s{0,12}8|80,\s{0,12}75,\s{0,12}3,\s{0,12}4"
    rb"|120,\s{0,12}(?:156|218|94|1)),[\s0-9,]{60,}"
)
_NUMBER: Final = re.compile(rb"(?<![0-9])[0-9]{1,3}(?![0-9])")
"""Bytes as decimal numbers."""


def embedded(text: bytes) -> Iterator[bytes]:
    """Each file in a text, decoded."""
    marks: tuple[bytes, ...] = _MARKS if has_run(text, _SHORTEST, hexadecimal=False) else ()
    for run in _runs(text, marks, _ALPHABET, _BASE64):
        data = _from_base64(run)
        if container_for(data[:HEAD], "") is not None:
            yield data
    marks = _HEX_MARKS if has_run(text, _SHORTEST, hexadecimal=True) else ()
    for run in _runs(text, marks, _HEX_DIGITS, _HEX):
        digits = unbroken(run)
        data = binascii.a2b_hex(digits[: len(digits) - len(digits) % 2])
        if container_for(data[:HEAD], "") is not None:
            yield data
    for literal in _LITERAL.findall(text) if any(mark in text for mark in _ESCAPED_MARKS) else ():
        data = _from_literal(literal)
        # A program that reads such files has their marks in it.
        if len(data) >= _SHORTEST and container_for(data[:HEAD], "") is not None:
            yield data
    if b"139," in text or b"80," in text or b"120," in text:
        for match in _NUMBERS.finditer(text):
            data = bytes(n for n in map(int, _NUMBER.findall(match[0])) if n < 256)
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


def _from_literal(literal: bytes) -> bytes:
    return _ESCAPE.sub(_unescape, literal)


def _unescape(match: re.Match[bytes]) -> bytes:
    if match[1]:
        return bytes((int(match[1], 16),))
    return _SHORT_ESCAPES.get(match[2], match[2])


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
    run = unbroken(text).translate(_STANDARD, b"=")
    # A single character at the end has no byte.
    run = run[: len(run) - (len(run) % 4 == 1)]
    try:
        return base64.b64decode(run + b"=" * (-len(run) % 4))
    except binascii.Error:
        return b""
