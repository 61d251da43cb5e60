# SPDX-License-Identifier: Apache-2.0
r"""Searches bytes for rules and terms, fast: one automaton finds where anything could be.

Everything that is searched for has anchors: byte strings, one of which stands wherever it does. All
of them, as bytes, UTF-16 and UTF-32, are one Aho-Corasick automaton, which reads data once. Only at
its hits are patterns tried, on `REACH` bytes; so a hit depends on its surroundings alone, and a
file that is searched in windows gives what it gives as a whole. The author's terms are also
searched where base64, hexadecimal, `%41` or `\u0041` hide them (`repropack.privacy.readings`).
"""

from __future__ import annotations

import contextlib
import functools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from repropack.digest import sha256_hex
from repropack.privacy.edges import AFTER_ESCAPE
from repropack.privacy.plausibility import LOOK_BACK, secret_of
from repropack.privacy.readings import readings
from repropack.privacy.rules import ISSUED, REACH, RULES, Rule
from repropack.privacy.terms import MIN_ALONE, Term, TermKind

__all__ = [
    "BEFORE",
    "CONTEXT",
    "Hit",
    "Searcher",
    "concealed",
    "fingerprint",
    "is_binary",
    "masked",
]

BEFORE: Final = 512 + LOOK_BACK
"""Characters before an anchor that may count."""

_WIDEST: Final = 4
"""Bytes of a character, in UTF-32."""

CONTEXT: Final = _WIDEST * max(REACH, BEFORE)
"""Bytes around a window of a file that `search` has to be given."""

_SMALL_AUTOMATON: Final = 200_000
"""Bytes of all anchors up to which the automaton is a table of each state and byte: the fastest
form, and of so many bytes some 50 MB."""

_LOWER: Final = bytes(c + 32 if 65 <= c <= 90 else c for c in range(256))
_CONTROLS: Final = bytes(c for c in range(256) if (c < 32 and c not in b"\t\r\n\f\x1b") or c == 127)
_AROUND_VIEW: Final = 2048
"""Bytes around a window that are decoded with it, so that a term across its edge is found."""

_BEGINS: Final = rb"(?:(?<![A-Za-z])|" + AFTER_ESCAPE.encode("ascii") + rb")"

_SURROUNDINGS: Final = 512
"""Bytes on each side of a hit that tell whether it stands in text."""

_MIN_IN_BINARY: Final = 6
"""Letters and digits of a term in bytes that are no text. Shorter ones must have the case in which
people write them: in a gigabyte of weights each five letters stand somewhere."""

_OLDER_ENCODINGS: Final = (
    "cp1252", "cp1250", "cp1251", "cp850", "mac_roman", "iso8859_2", "koi8_r", "gb18030", "big5",
    "shift_jis", "euc_jp", "euc_kr",
)  # fmt: skip
"""Encodings of text that systems had before UTF-8, in Europe and in East Asia."""

_TEXT_RUN: Final = 12
"""Printable characters in a row: a gigabyte of random bytes has few thousand such runs."""

_PRINTABLE_RUN: Final = re.compile(rb"[ -~]{%d,}" % _TEXT_RUN)

_PERSONAL: Final = (TermKind.NAME, TermKind.MAIL, TermKind.AFFILIATION, TermKind.REMOTE,
                    TermKind.DOMAIN)  # fmt: skip
_CREDITS: Final = re.compile(
    r"(?i)(?:^|/)(?:licen[cs]e|copying|notice|authors|contributors|maintainers|codeowners|readme"
    r"|citation|acknowledge?ments)[^/]*$|(?:^|/)(?:pyproject\.toml|setup\.(?:py|cfg)|package\.json"
    r"|codemeta\.json|\.zenodo\.json|ro-crate-metadata\.json|description|repropack\.yaml)$"
)
"""Files that are there to name their author."""

_PROGRAM: Final = re.compile(r"\.(?:exe|dll|pyd|so|dylib|o|a)(?:\.[0-9.]+)?$")
"""Names of compiled programs and libraries."""


class Hit(NamedTuple):
    """Something that was found.

    Attributes:
        rule: The rule's name, or `term: ` and the kind of the author's term.
        shown: What may be shown: a masked secret, or the term.
        sha256: The digest of rule and content, for waivers: it tells nothing of a long secret.
        blocks: Whether it stops an export.
        why: Why it matters.
    """

    rule: str
    shown: str
    sha256: str
    blocks: bool
    why: str


class _Spelling(NamedTuple):
    """One way to write a term, in one encoding of bytes."""

    term: Term
    encoded: bytes
    letters: int


class _Anchor(NamedTuple):
    """What an anchor stands for, and how the characters around it are read."""

    codec: str | None
    rules: tuple[Rule, ...]
    spellings: tuple[_Spelling, ...]


class Searcher:
    """Searches bytes.

    Args:
        terms: The author's own.
        anonymous: Whether her name is unwanted also where authors are named.
    """

    def __init__(self, terms: Sequence[Term] = (), *, anonymous: bool = False) -> None:
        from ahocorasick_rs import BytesAhoCorasick, Implementation

        self._anonymous = anonymous
        self._has_terms = bool(terms)
        meant = _anchors(terms)
        self._anchors = list(meant.values())
        self._longest = max(map(len, meant))
        small = sum(map(len, meant)) <= _SMALL_AUTOMATON
        self._automaton = BytesAhoCorasick(
            list(meant),
            implementation=Implementation.DFA if small else Implementation.ContiguousNFA,
        )

    def search(
        self, data: bytes, place: str = "", *, start: int = 0, stop: int | None = None
    ) -> Iterator[Hit]:
        """What stands in bytes, plainly or encoded. The same thing may come more than once.

        Args:
            data: A window of a file, with `CONTEXT` bytes on each side as far as there are so many.
            place: The path of the file, which may be one that names authors.
            start: Where the window begins in `data`,
            stop: and where it ends: what begins in it is found.
        """
        stop = len(data) if stop is None else stop
        credited = not self._anonymous and _CREDITS.search(place) is not None
        # A program tells where it was built, mostly by others; the author's own home is a term.
        built = _PROGRAM.search(place) is not None
        yield from self._plainly(data, start, stop, credited=credited, built=built)
        if self._has_terms:
            begin = max(start - _AROUND_VIEW, 0)
            around = data[begin : stop + _AROUND_VIEW]
            for view in filter(None, readings(around)):
                for hit in self._plainly(view, 0, len(view), credited=credited, built=built):
                    if hit.rule.startswith("term: ") or hit.rule in ISSUED:
                        yield hit

    def _plainly(
        self, data: bytes, start: int, stop: int, *, credited: bool, built: bool
    ) -> Iterator[Hit]:
        """What stands there as it is."""
        low = data[start : stop + self._longest].translate(_LOWER)
        anchors = self._anchors
        length = stop - start
        for index, at, end in self._automaton.find_matches_as_indexes(low, overlapping=True):
            if at >= length:
                continue
            codec, rules, spellings = anchors[index]
            where, beyond = at + start, end + start
            if codec is None:
                text, position = data, where
            else:
                text, position, beyond = _decoded(data, where, beyond, codec)
            for rule in rules:
                match = _match(rule, text, position)
                if match and (rule.blocks or not is_binary(_surroundings(data, where))):
                    yield _rule_hit(rule, match, built=built)
            for spelling in spellings:
                # Only a short term has to be looked at more closely in bytes that are no text.
                binary = spelling.letters < _MIN_IN_BINARY and (
                    codec is not None or is_binary(_surroundings(data, where))
                )
                if _stands(spelling, text, position, beyond, binary=binary):
                    term = spelling.term
                    yield _term_hit(term, blocks=not (credited and term.kind in _PERSONAL))


def is_binary(block: bytes) -> bool:
    """Whether bytes are no text: more than 3 % of them are control characters.

    Of compressed or random bytes it is a tenth, of text in any encoding of bytes next to none.
    """
    return len(block) - len(block.translate(None, _CONTROLS)) > len(block) * 0.03


# ---------------------------------------------------------------- at an anchor


def _match(rule: Rule, text: bytes, at: int) -> re.Match[bytes] | None:
    """What a rule finds that has its anchor at this place."""
    limit = at + REACH
    if not rule.before:
        match = rule.pattern.match(text, at, limit)
        return match if match and rule.accept(match) else None
    if rule.near is not None and not rule.near.match(text, at, limit):
        return None
    for match in rule.pattern.finditer(text, max(at - rule.before, 0), limit):
        if match.start() > at:
            break
        if match.end() > at and rule.accept(match):
            return match
    return None


def _stands(spelling: _Spelling, text: bytes, at: int, end: int, *, binary: bool) -> bool:
    """Whether a term stands around its anchor."""
    room = 4 * len(spelling.encoded) + 16
    pattern = _pattern(spelling.encoded)
    for match in pattern.finditer(text, max(at - room, 0), end + room):
        if match.start() > at or match.end() < end:
            continue
        if binary and not _is_as_written(spelling, match[0]):
            continue
        if binary and spelling.letters < MIN_ALONE and not _is_in_text(text, match):
            continue
        return True
    return False


def _is_as_written(spelling: _Spelling, found: bytes) -> bool:
    form = spelling.encoded
    return found in (form, form.lower(), form.upper(), form.capitalize())


def _is_in_text(block: bytes, match: re.Match[bytes]) -> bool:
    """Whether a match stands among printable characters: `a@b` is in every megabyte of weights."""
    around = block[max(match.start() - _TEXT_RUN, 0) : match.end() + _TEXT_RUN]
    before = min(match.start(), _TEXT_RUN)
    return any(
        run.start() <= before and run.end() >= before + len(match[0])
        for run in _PRINTABLE_RUN.finditer(around)
    )


def _surroundings(data: bytes, at: int) -> bytes:
    return data[max(at - _SURROUNDINGS, 0) : at + _SURROUNDINGS]


def _decoded(data: bytes, at: int, end: int, codec: str) -> tuple[bytes, int, int]:
    """The characters around an anchor as UTF-8, and where the anchor begins and ends there."""
    width = 4 if codec.startswith("utf-32") else 2
    first = max(at - width * BEFORE, at % width)
    before = data[first:at].decode(codec, "replace").encode()
    if missing := -(end - at) % width:
        # One in ASCII lacks its last zeros, which may be there or not.
        anchor = data[at:end:width]
    else:
        anchor = data[at:end].decode(codec, "replace").encode()
    after = data[end + missing : at + width * REACH].decode(codec, "replace").encode()
    return before + anchor + after, len(before), len(before) + len(anchor)


def _rule_hit(rule: Rule, match: re.Match[bytes], *, built: bool) -> Hit:
    data = secret_of(match)
    text = match[0].decode("utf-8", "replace") if not rule.secret else masked(data)
    return Hit(
        rule=rule.name,
        shown=text,
        sha256=fingerprint(rule.name, data),
        blocks=rule.blocks and (rule.secret or not built),
        why=rule.why,
    )


def _term_hit(term: Term, *, blocks: bool) -> Hit:
    rule = f"term: {term.kind.value}"
    return Hit(
        rule=rule,
        shown=term.text,
        sha256=fingerprint(rule, term.text.lower().encode("utf-8", "surrogateescape")),
        blocks=blocks,
        why="is a term of yours" if blocks else "names you, where authors are named",
    )


def masked(data: bytes) -> str:
    """At most four characters of a long secret, and its length: enough to find it again."""
    start = data[:4].decode("ascii", "replace") if len(data) >= 20 and data.isascii() else ""
    shown = start if start.isprintable() else ""
    return f"{shown}… ({len(data)} characters)"


_WHOLE_KEY: Final = re.compile(
    rb"(?s)(-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----)(.*?)(?=-----END |$)"
    rb"|(PuTTY-User-Key-File-[23]:)(.*)"
)
"""A private key with all of its lines: a rule needs its beginning only."""


def concealed(text: str) -> str:
    """A short text for a screen or a form, in which secrets are masked."""
    data = _WHOLE_KEY.sub(_mask_key, text.encode("utf-8", "surrogateescape"))
    for rule in RULES:
        if not rule.secret:
            continue
        for match in reversed(list(rule.pattern.finditer(data))):
            if rule.accept(match):
                secret = secret_of(match)
                start = match.start("secret") if "secret" in match.re.groupindex else match.start()
                data = data[:start] + masked(secret).encode() + data[start + len(secret) :]
    return data.decode("utf-8", "surrogateescape")


def _mask_key(match: re.Match[bytes]) -> bytes:
    return (match[1] or match[3]) + masked(b"\n" + (match[2] or match[4] or b"")).encode()


def fingerprint(rule: str, data: bytes) -> str:
    """What a waiver knows of a finding."""
    return sha256_hex(rule.encode() + b"\0" + data)


# ---------------------------------------------------------------- anchors


def _anchors(terms: Sequence[Term]) -> dict[bytes, _Anchor]:
    """All anchors, in each encoding, and what they stand for."""
    rules: dict[tuple[bytes, str | None], list[Rule]] = {}
    spellings: dict[tuple[bytes, str | None], list[_Spelling]] = {}
    for rule in RULES:
        for anchor in rule.anchors:
            for form, codec in _in_each_encoding(anchor.decode("ascii"), anchor):
                # What only may be private is not looked for in every binary file.
                if codec is None or rule.blocks:
                    rules.setdefault((form, codec), []).append(rule)
    for term in terms:
        for spelling in term.spellings:
            for anchor, encoded in _forms(spelling):
                letters = sum(len(c.encode()) for c in spelling if c.isalnum())
                one = _Spelling(term=term, encoded=encoded, letters=letters)
                text = anchor.decode("utf-8", "replace")
                for form, codec in _in_each_encoding(text, anchor):
                    spellings.setdefault((form, codec), []).append(one)
    found: dict[bytes, _Anchor] = {}
    for form, codec in dict.fromkeys([*rules, *spellings]):
        key = (form, codec)
        found[form] = _Anchor(codec, tuple(rules.get(key, ())), tuple(spellings.get(key, ())))
    return found


def _in_each_encoding(text: str, anchor: bytes) -> Iterator[tuple[bytes, str | None]]:
    yield anchor, None
    if len(text) < 2:
        # An `@` is the same byte in all of them.
        return
    if text.isascii():
        # Of ASCII, one form stands in both orders of bytes: without the outermost zeros.
        yield "\0".join(text).encode(), "utf-16-le"
        yield "\0\0\0".join(text).encode(), "utf-32-le"
    elif "\ufffd" not in text:
        for codec in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
            yield text.encode(codec).translate(_LOWER), codec


def _forms(spelling: str) -> Iterator[tuple[bytes, bytes]]:
    """The ways in which a spelling is written, each with an anchor."""
    forms: dict[bytes, None] = {}
    for text in (spelling, spelling.lower(), spelling.upper()):
        forms[text.encode("utf-8", "surrogateescape")] = None
        if not text.isascii():
            # As macOS names files, and as text was written before UTF-8.
            forms[unicodedata.normalize("NFD", text).encode("utf-8", "surrogateescape")] = None
            forms.update(dict.fromkeys(_in_older_encodings(text)))
        else:
            break
    for encoded in forms:
        anchor = max(re.split(rb"[ \\]+", encoded.translate(_LOWER)), key=len)
        if anchor:
            yield anchor, encoded


def _in_older_encodings(text: str) -> Iterator[bytes]:
    for codec in _OLDER_ENCODINGS:
        with contextlib.suppress(UnicodeEncodeError):
            encoded = text.encode(codec)
            # A longer form is one of characters that the encoding was not made for.
            if len(encoded) <= 2 * len(text) and (
                codec == "cp1252" or len(encoded) >= _MIN_IN_BINARY
            ):
                yield encoded


@functools.lru_cache(100_000)
def _pattern(encoded: bytes) -> re.Pattern[bytes]:
    """A spelling, whatever the case, and whatever stands for its spaces."""
    body = rb"[\s._+-]{1,4}".join(re.escape(piece) for piece in encoded.split(b" "))
    if b"\\" in encoded:
        body = body.replace(rb"\\", rb"\\{1,4}")
    left = _BEGINS if encoded[:1].isalpha() else b""
    right = rb"(?![A-Za-z])" if encoded[-1:].isalpha() else b""
    return re.compile(left + body + right, re.IGNORECASE)
