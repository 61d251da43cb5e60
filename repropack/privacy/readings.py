# SPDX-License-Identifier: Apache-2.0
r"""Other readings of bytes, in which an author's term may stand: what encodings and markup hide.

Base64 and its kin (`repropack.privacy.radix`), `%41`, quoted-printable, the escapes of JSON, Python
and C, the character references of HTML and the accents of TeX. Pure; each reading is joined of the
surroundings of what is encoded, so that a name of which one letter is written so is found.
"""

from __future__ import annotations

import binascii
import html
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from repropack.privacy import radix

__all__ = ["readings"]

_ESCAPE: Final = re.compile(
    rb"\\{1,2}(?:u([0-9A-Fa-f]{4})|u\{([0-9A-Fa-f]{1,6})\}|U(0[0-9A-Fa-f]{7})"
    rb"|[x']([0-9A-Fa-f]{2})|([0-3][0-7]{2}))|\\/"
)
"""Of JSON, of JavaScript and of Python, then bytes of Python and of C: git and PDF write octals."""

_PERCENT: Final = re.compile(rb"%[0-9A-Fa-f]{2}(?:(?=[ -~]{6})|(?<=[ -~]{9}))")
_ESCAPED: Final = re.compile(
    rb"\\(?:u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]{1,6}\}|U0[0-9A-Fa-f]{7}|[x'][0-9A-Fa-f]{2}|[0-3][0-7]{2}"
    rb"|/(?:(?=[ -~]{6})|(?<=[ -~]{8})))"
)
_QUOTED: Final = re.compile(
    rb"=(?:3D(?=[ -~]{6})|(?<=[ -~]{40}=)\r?\n|[C-F][0-9A-F]=[89AB][0-9A-F]"
    rb"|(?<=[A-Za-z]=)[C-F][0-9A-F](?=[a-z]))"
)
"""An encoding is looked for where it stands in text: random bytes have each of them, too. Lines of
quoted-printable (RFC 2045) are broken when they are long."""

_REFERENCE: Final = re.compile(
    rb"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z](?:uml|acute|grave|circ|tilde|cedil|ring|slash"
    rb"|caron|strok)|szlig|(?:AE|ae|OE|oe)lig|nbsp|eth|thorn);"
)
"""Character references of HTML: numbers, and the letters of Latin scripts."""

_TEX: Final = re.compile(
    rb"""\{\\["'`^~=.]\s?\{?\\?([A-Za-z])\}\}?"""
    rb"""|(?<=[A-Za-z])\\["'`^~=.]\{?\\?([A-Za-z])\}?"""
    rb"""|\\["'`^~=.]\{\\?([A-Za-z])\}"""
    rb"""|\{?\\[cvuHrkd]\{([A-Za-z])\}\}?"""
    rb"""|\{\\(ss|ae|oe|aa|AE|OE|AA|o|O|l|L|i|j)\}"""
    rb"""|(?<=[A-Za-z])\\(ss|ae|oe|aa|o|l|i)(?:\{\}|\s)"""
)
"""Accents and letters of TeX. Read without their accents, for so a name is searched too."""

_TEX_MARK: Final = re.compile(
    rb"""\\(?:["'`^~=.](?:\s?\{?\\?[A-Za-z]\}|(?<=[A-Za-z]\\.)\{?\\?[A-Za-z])|[cvuHrkd]\{[A-Za-z]\}"""
    rb"""|(?:ss|ae|oe|aa|AE|OE|AA|o|O|l|L|i|j)(?:\{?\}|\s))"""
)
"""What stands in each of them, and begins with a byte that is soon found."""

_TEX_LETTERS: Final = {b"aa": b"a", b"AA": b"A"}

_BETWEEN_RUNS: Final = re.compile(
    rb"</(?:[wa]:)?t>(?:[^<]|<(?!/[wa]:p>|/si>|(?:[wa]:)?t[ >])){0,600}"
    rb"<(?:[wa]:)?t(?: [^>]{0,60})?>"
)
"""Between two runs of a paragraph of an office document (ECMA-376): a word is often in several."""

_INVISIBLE: Final = re.compile(rb"\xc2\xad|\xe2\x80[\x8b-\x8f]|\xe2\x81[\xa0-\xa4]")
_INVISIBLE_MARKS: Final = (b"\xe2\x80\x8b", b"\xe2\x80\x8c", b"\xe2\x80\x8d", b"\xe2\x81\xa0")
_SOFT_HYPHEN: Final = re.compile(rb"\xc2\xad(?=[A-Za-z])")
"""Characters that nobody sees: where a word may be broken, and where it may not."""

_NEXT_LINE: Final = re.compile(rb"[ \t]{0,24}(?=[a-z\x80-\xff]{2})")
"""Where the rest of a word stands that was broken at the end of a line."""

_ON_EACH_SIDE: Final = 200
"""Bytes of such a word's surroundings."""

_BEGINNING: Final = 4096
"""Bytes of which weights have a zero, and text has none."""

_SURROUNDINGS: Final = 512
"""Bytes on each side of what is encoded that are read with it."""


def readings(data: bytes) -> Iterator[bytes]:
    """Each other reading of bytes; of those without any, none."""
    text = radix.has_text(data)
    yield from radix.readings(data, text=text)
    if text or b"\0" not in data[:_BEGINNING]:
        yield from _in_text(data)
    if b"%" in data:
        yield b"\n".join(unquote_to_bytes(part) for part in _around(_PERCENT, data))
    if b"\\" in data:
        yield b"\n".join(_ESCAPE.sub(_unescape, part) for part in _around(_ESCAPED, data))
    if b"=" in data:
        yield b"\n".join(binascii.a2b_qp(part) for part in _around(_QUOTED, data))
    if b"&" in data:
        yield b"\n".join(_REFERENCE.sub(_referred, part) for part in _around(_REFERENCE, data))
    if b"\\" in data:
        yield b"\n".join(_TEX.sub(_letter, part) for part in _around(_TEX_MARK, data))


def _in_text(data: bytes) -> Iterator[bytes]:
    """Words that are in several parts."""
    # One byte is found ten times faster than several.
    if (b"\xe2" in data and any(mark in data for mark in _INVISIBLE_MARKS)) or (
        b"\xc2\xad" in data and _SOFT_HYPHEN.search(data)
    ):
        yield b"\n".join(_INVISIBLE.sub(b"", part) for part in _around(_INVISIBLE, data))
    for end in (b"-\n", b"-\r\n"):
        if end in data:
            yield b"\n".join(_joined(data, end))
    if b"<" in data and (b":t>" in data or b"</t>" in data):
        yield _BETWEEN_RUNS.sub(b"", data)


def _around(pattern: re.Pattern[bytes], data: bytes) -> Iterator[bytes]:
    """The surroundings of all matches, each byte once."""
    begin = end = 0
    for match in pattern.finditer(data):
        if match.start() > end + _SURROUNDINGS:
            if end:
                yield data[begin : end + _SURROUNDINGS]
            begin = max(match.start() - _SURROUNDINGS, 0)
        end = match.end()
    if end:
        yield data[begin : end + _SURROUNDINGS]


def _joined(data: bytes, end: bytes) -> Iterator[bytes]:
    """Words that were broken at the end of a line, and what is around them."""
    at = data.find(end)
    while at >= 0:
        rest = at + len(end)
        # Most such lines are rulers.
        if data[max(at - 2, 0) : at].isalpha() and (found := _NEXT_LINE.match(data, rest)):
            yield (
                data[max(at - _ON_EACH_SIDE, 0) : at]
                + data[found.end() : found.end() + _ON_EACH_SIDE]
            )
        at = data.find(end, rest)


def _unescape(match: re.Match[bytes]) -> bytes:
    character = match[1] or match[2] or match[3]
    if character:
        number = int(character, 16)
        return chr(number).encode("utf-8", "replace") if number < 0x110000 else b""
    if match[4]:
        return bytes((int(match[4], 16),))
    return bytes((int(match[5], 8),)) if match[5] else b"/"


def _referred(match: re.Match[bytes]) -> bytes:
    return html.unescape(match[0].decode("ascii")).encode("utf-8", "replace")


def _letter(match: re.Match[bytes]) -> bytes:
    letter: bytes = match[match.lastindex or 0]
    return _TEX_LETTERS.get(letter, letter)
