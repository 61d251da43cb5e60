# SPDX-License-Identifier: Apache-2.0
"""Readings of text in base64, base32, base85 and hexadecimal, in lines and as dumps of bytes.

Pure. Runs of an alphabet are found first; of weights next to none are long enough. Where a reader
cannot know where a group begins, each beginning is read.
"""

from __future__ import annotations

import binascii
import re
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["BREAK", "has_run", "has_text", "readings", "unbroken"]

_UPPER: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTERS_AND_DIGITS: Final = _UPPER + _UPPER.lower() + b"0123456789"
_HEX: Final = b"0123456789abcdefABCDEF"


def _runs(alphabet: bytes) -> bytes:
    """A table that makes an `x` of each character of an alphabet, and a space of others."""
    return bytes(120 if c in alphabet else 32 for c in range(256))


_B64_RUNS: Final = _runs(_LETTERS_AND_DIGITS + b"+/")
_ADDRESS_RUNS: Final = _runs(_LETTERS_AND_DIGITS + b"+/_-")
_B32_RUNS: Final = _runs(_UPPER + b"234567")
_HEX_RUNS: Final = _runs(_HEX)
_MIN_B64: Final = b"x" * 16
_MIN_B32: Final = b"x" * 16
_MIN_HEX: Final = b"x" * 12

BREAK: Final = (
    rb"(?:(?:\r?\n|\\r?\\n|\\n)[ \t\"',#>]{0,16}"
    rb"|[\"'][ \t]{0,4}[\\+,]?[ \t]{0,4}\r?\n[ \t+]{0,32}b?[\"'])"
)
"""Between two lines of an encoded text, also where they are strings of a program or a notebook."""

_BREAK: Final = re.compile(BREAK)
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+(?:" + BREAK + rb"[A-Za-z0-9+/]{4,})*")
_BASE32: Final = re.compile(rb"[A-Z2-7]+(?:" + BREAK + rb"[A-Z2-7]{4,})*")
_BASE16: Final = re.compile(rb"[0-9A-Fa-f]+(?:" + BREAK + rb"[0-9A-Fa-f]{4,}(?![0-9A-Za-z]))*")
_LINE_ENDS: Final = (b"\r", b"\n", b"\\", b'"', b"'")

_CAMEL: Final = re.compile(rb"(?:[A-Z]?+[a-z]{2,}+/?+)++[0-9]?")
"""An identifier or a path, of which each capital begins a word. Of sixteen characters of text in
base64 not one in a thousand looks like that, and of longer ones next to none."""

_MAX_CAMEL: Final = 64

_MAX_WORD: Final = 40
"""Characters of base32 without a digit: of so many one in five thousand has none, and sequences of
genes have nothing else."""

_GIT_85: Final = _LETTERS_AND_DIGITS[52:] + _LETTERS_AND_DIGITS[:52] + b"!#$%&()*+-;<=>?@^_`{|}~"
_ADOBE_85: Final = bytes(range(33, 118))
"""Those of git and Python (RFC 1924), and of PostScript and PDF."""

_PRINTABLE_RUNS: Final = _runs(bytes(range(32, 127)))
_MIN_PRINTABLE: Final = b"x" * 20
"""Of weights a gigabyte has one run of so many."""


class _Base85(NamedTuple):
    """A way to write four bytes as five characters.

    Attributes:
        run: A run of its digits.
        values: A table of their values.
        signs: Digits that words and numbers have not.
        zeros: What stands for four zeros that are written as `z`.
    """

    run: re.Pattern[bytes]
    values: bytes
    signs: bytes
    zeros: bytes


_BASE85: Final = (
    _Base85(
        run=re.compile(rb"[0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-]{30,}"),
        values=bytes.maketrans(_GIT_85, bytes(range(85))),
        signs=b"!#$%&()*+;<>?@^`{|}~",
        zeros=b"z",
    ),
    _Base85(
        run=re.compile(rb"[!-uz]{30,}"),
        values=bytes.maketrans(_ADOBE_85, bytes(range(85))),
        signs=b"!#$%&'()*;<>?@^`",
        zeros=b"!!!!!",
    ),
)
_SIGNS: Final = b"!#$%&'()*+;<>?@^`{|}~"
_WORD_RUNS: Final = _runs(bytes(range(33, 127)))
_MIN_WORD: Final = b"x" * 50
_WORD_LINES: Final = re.compile(rb"[!-~]+(?:\r?\n[!-~]{4,})*")

_LEADING: Final = bytes(range(10, 41))
"""Values of the first of five characters, where four of ASCII are written so."""

_SPACED_RUNS: Final = _runs(_HEX + b" \t:,-xX")
_MIN_SPACED: Final = b"x" * 35

_DUMP: Final = re.compile(
    rb"[ \t]*(?:[0-9A-Fa-f]{4,16}:[ \t]{0,3}|[0-9A-Fa-f]{6,16}[ \t]{1,3})"
    rb"((?:[0-9A-Fa-f]{2}){1,8}(?:[ \t]{1,2}(?:[0-9A-Fa-f]{2}){1,8})*)(?![0-9A-Za-z])"
)
"""A line of xxd, hexdump and od: where it stands, and bytes or words."""

_LIST: Final = re.compile(
    rb"(?:0[xX])?[0-9A-Fa-f]{2}(?:(?:[:,]\s{0,24}|-|\s{1,8})(?:0[xX])?[0-9A-Fa-f]{2}){5,}"
    rb"(?![0-9A-Za-z])"
)
"""Bytes one by one: `7a 6f 65`, `7a:6f:65`, and as programs have them, `0x7a, 0x6f`."""


def has_text(data: bytes) -> bool:
    """Whether there is a run of printable characters, which hardly any weights have."""
    return _MIN_PRINTABLE in data.translate(_PRINTABLE_RUNS)


def has_run(data: bytes, least: int, *, hexadecimal: bool) -> bool:
    """Whether so many digits of base64 or of hexadecimal numbers follow each other."""
    return b"x" * least in data.translate(_HEX_RUNS if hexadecimal else _ADDRESS_RUNS)


def readings(data: bytes, *, text: bool) -> Iterator[bytes]:
    """What text in another radix says; of most bytes, nothing.

    Args:
        data: Any bytes.
        text: Whether they have text.
    """
    runs = data.translate(_B64_RUNS)
    # Each run of hexadecimal digits and of base32 is one of base64 too.
    if _MIN_HEX in runs:
        if _MIN_B64 in runs:
            yield b"\n".join(_from_base64(data, runs))
            capitals = data.translate(_B32_RUNS)
            if _MIN_B32 in capitals:
                yield b"\n".join(_from_base32(data, capitals))
        digits = data.translate(_HEX_RUNS)
        if _MIN_HEX in digits:
            yield b"\n".join(_from_hex(data, digits))
    if text:
        yield b"\n".join(_from_base85(data))
        yield from _from_dumps(data)
        yield b"\n".join(_from_numbers(data))


def _from_base64(data: bytes, runs: bytes) -> Iterator[bytes]:
    for run in _lines(data, runs, _MIN_B64, _BASE64):
        # Of text in base64 there are capital and small letters.
        if run.islower() or run.isupper() or run.isdigit():
            continue
        if len(run) <= _MAX_CAMEL and _CAMEL.fullmatch(run):
            continue
        for skip in range(4):
            # A single character at the end has no byte.
            rest = (len(run) - skip) % 4
            yield binascii.a2b_base64(run[skip : -1 if rest == 1 else None] + b"==")


def _from_base32(data: bytes, runs: bytes) -> Iterator[bytes]:
    for run in _lines(data, runs, _MIN_B32, _BASE32):
        if run.isdigit() or (run.isalpha() and len(run) > _MAX_WORD):
            continue
        value = int(run.translate(_TO_PYTHON_32), 32)
        for skip in range(8):
            bits = 5 * (len(run) - skip)
            count = bits // 8
            kept = value >> bits % 8 & (1 << 8 * count) - 1
            yield kept.to_bytes(count, "big")


_TO_PYTHON_32: Final = bytes.maketrans(_UPPER + b"234567", b"0123456789abcdefghijklmnopqrstuv")


def _from_hex(data: bytes, runs: bytes) -> Iterator[bytes]:
    for run in _lines(data, runs, _MIN_HEX, _BASE16):
        for skip in (0, 1):
            odd = (len(run) - skip) % 2
            yield binascii.a2b_hex(run[skip : len(run) - odd])


def unbroken(text: bytes) -> bytes:
    """Lines of an encoded text as one."""
    return _BREAK.sub(b"", text)


def _lines(data: bytes, runs: bytes, least: bytes, pattern: re.Pattern[bytes]) -> Iterator[bytes]:
    """Each run of an alphabet, with the lines of it that follow."""
    end = 0
    while (at := runs.find(least, end)) >= 0:
        end = runs.find(b" ", at)
        end = len(data) if end < 0 else end
        run = data[at:end]
        if data[end : end + 1] in _LINE_ENDS and (match := pattern.match(data, at)):
            end = match.end()
            run = unbroken(match[0])
        yield run


def _from_base85(data: bytes) -> Iterator[bytes]:
    runs = data.translate(_WORD_RUNS)
    end = 0
    while (at := runs.find(_MIN_WORD, end)) >= 0:
        end = runs.find(b" ", at)
        run = data[at : end if end >= 0 else len(data)]
        end = at + len(run)
        # Of random digits a fifth are signs and a third capitals: words and numbers have less.
        if _share(run, _SIGNS) < 0.04 or _share(run, _UPPER) < 0.08:
            continue
        if data[end : end + 1] in _LINE_ENDS and (match := _WORD_LINES.match(data, at)):
            end = match.end()
            run = match[0].translate(None, b"\r\n")
        for form in _BASE85:
            for digits in form.run.findall(run):
                if _share(digits, form.signs) >= 0.04:
                    # A program writes a backslash before a backslash and a quotation mark.
                    plain = digits.replace(b"\\\\", b"\\").replace(b"\\'", b"'")
                    for text in {digits, plain}:
                        yield from _in_base85(text, form)


def _share(data: bytes, alphabet: bytes) -> float:
    return 1 - len(data.translate(None, alphabet)) / len(data)


def _in_base85(text: bytes, form: _Base85) -> Iterator[bytes]:
    digits = text.replace(b"z", form.zeros).translate(form.values)
    for skip in range(5):
        count = 5 * ((len(digits) - skip) // 5)
        leading = digits[skip : skip + count : 5]
        if len(leading.translate(None, _LEADING)) * 5 < len(leading) * 2:
            yield _groups(digits[skip : skip + count])


def _groups(digits: bytes) -> bytes:
    """The bytes of groups of five digits."""
    columns = (digits[at::5] for at in range(5))
    numbers = [
        (((a * 85 + b) * 85 + c) * 85 + d) * 85 + e & 0xFFFFFFFF
        for a, b, c, d, e in zip(*columns, strict=True)
    ]
    return struct.pack(f">{len(numbers)}I", *numbers)


def _from_dumps(data: bytes) -> Iterator[bytes]:
    words: list[bytes] = []
    runs = data.translate(_SPACED_RUNS)
    end = 0
    while (at := runs.find(_MIN_SPACED, end)) >= 0:
        end = runs.find(b" ", at)
        end = len(data) if end < 0 else end
        line = data.rfind(b"\n", 0, at) + 1
        dumped = _DUMP.match(data, line)
        if dumped is None and (first := _LIST.search(data, at, end)):
            # It may go on in further lines.
            whole = _LIST.match(data, first.start()) or first
            end = max(end, whole.end())
            yield binascii.a2b_hex(_NO_DIGIT.sub(b"", whole[0]))
        while dumped is not None:
            words += dumped[1].split()
            end = data.find(b"\n", dumped.end()) + 1 or len(data)
            dumped = _DUMP.match(data, end)
    yield b"".join(map(binascii.a2b_hex, words))
    # Words of two bytes, as processors have them: the lower one comes first.
    yield b"".join(binascii.a2b_hex(word)[::-1] for word in words if len(word) == 4)


def _from_numbers(data: bytes) -> Iterator[bytes]:
    """Bytes as decimal numbers, as JSON and C write them."""
    runs = data.translate(_NUMBER_RUNS)
    end = 0
    while (at := runs.find(_MIN_NUMBERS, end)) >= 0:
        end = runs.find(b" ", at)
        end = len(data) if end < 0 else end
        first = [int(digits) for digits in _NUMBER.findall(data, at, min(end, at + _SAMPLE))]
        # Measurements, pixels and counters are no text.
        if sum(n in _CHARACTERS for n in first) * 5 >= len(first) * 4 > 0:
            yield bytes(n for n in map(int, _NUMBER.findall(data, at, end)) if n < 256)


_NUMBER_RUNS: Final = _runs(b"0123456789, \t\r\n")
_MIN_NUMBERS: Final = b"x" * 40
_NUMBER: Final = re.compile(rb"(?<![0-9])[0-9]{1,3}(?![0-9])")
_SAMPLE: Final = 200
_CHARACTERS: Final = frozenset((9, 10, 13, *range(32, 127)))

_NO_DIGIT: Final = re.compile(rb"0[xX](?=[0-9A-Fa-f]{2})|[^0-9A-Fa-f]+")
