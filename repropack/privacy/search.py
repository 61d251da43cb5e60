# SPDX-License-Identifier: Apache-2.0
r"""Searches bytes for rules and terms, fast: what cannot match is found out by words.

Every rule and term has a trigger: a word of letters, or a few literal bytes. A block of bytes is
turned into its words by two calls that run in C, and they are looked up in one set, however many
terms there are. Only where a trigger stands are patterns tried, around it. The author's terms are
also searched where UTF-16, UTF-32, base64, hexadecimal, `%41` or `\u0041` hide them.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from repropack.digest import sha256_hex
from repropack.privacy.rules import RULES, Rule
from repropack.privacy.terms import MIN_ALONE, Term, TermKind

__all__ = ["BLOCK", "OVERLAP", "Hit", "Searcher", "is_binary"]

BLOCK: Final = 64 * 1024
"""Bytes that are looked at together; they fit into the second-level cache with their words."""

OVERLAP: Final = 1024
"""Bytes of a block that the next one repeats, so that what lies across an edge is found."""

_WORDS: Final = bytes(c + 32 if 65 <= c <= 90 else c if 97 <= c <= 122 else 32 for c in range(256))
_LOWER: Final = bytes(c + 32 if 65 <= c <= 90 else c for c in range(256))
_CONTROLS: Final = bytes(c for c in range(256) if (c < 32 and c not in b"\t\r\n\f\x1b") or c == 127)
_B64: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_B64_RUNS: Final = bytes(120 if c in _B64 else 32 for c in range(256))
_HEX_RUNS: Final = bytes(120 if c in b"0123456789abcdefABCDEF" else 32 for c in range(256))
_MIN_B64: Final = 16
_MIN_HEX: Final = 12
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{16,}(?:(?:\r?\n|\\n)[A-Za-z0-9+/]{4,})*")
_URLSAFE: Final = bytes.maketrans(b"-_", b"+/")
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{12,}")
_ESCAPE: Final = re.compile(rb"\\{1,2}u([0-9A-Fa-f]{4})|\\/")
_REACH: Final = (96, 640)
"""Bytes before and after a trigger that a pattern may use."""

_UNALIGNED: Final = 4096
"""Bytes of base64 up to which it is also read from its second, third and fourth character on."""

_MIN_IN_BINARY: Final = 6
"""Letters and digits of a term in bytes that are no text. Shorter ones must have the case in which
people write them: in a gigabyte of weights each five letters stand somewhere."""

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


class _Pattern(NamedTuple):
    term: Term
    pattern: re.Pattern[bytes]
    exact: frozenset[bytes]
    letters: int


class Searcher:
    """Searches blocks of bytes.

    Args:
        terms: The author's own.
        anonymous: Whether her name is unwanted also where authors are named.
    """

    def __init__(self, terms: Sequence[Term] = (), *, anonymous: bool = False) -> None:
        self._anonymous = anonymous
        self._rules: dict[bytes, list[Rule]] = {}
        self._literals: dict[bytes, list[Rule]] = {}
        for rule in RULES:
            for word in rule.words:
                self._rules.setdefault(word.encode(), []).append(rule)
            for literal in rule.literals:
                self._literals.setdefault(literal, []).append(rule)
        self._terms: dict[bytes, list[_Pattern]] = {}
        for term in terms:
            for spelling in term.spellings:
                for trigger, pattern in _compile(term, spelling):
                    self._terms.setdefault(trigger, []).append(pattern)
        self._words = frozenset(self._rules) | frozenset(self._terms)
        self._term_words = frozenset(self._terms)

    def search(self, block: bytes, place: str = "", *, cut: bool = False) -> Iterator[Hit]:
        """What stands in a block, plainly or encoded. The same thing may come more than once.

        Args:
            block: At most a few hundred kilobytes.
            place: The path of the file, which may be one that names authors.
            cut: Whether more follows, and the next block repeats the last `OVERLAP` bytes.
        """
        binary = is_binary(block)
        credited = not self._anonymous and _CREDITS.search(place) is not None
        # A program tells where it was built, mostly by others; the author's own home is a term.
        built = binary and _PROGRAM.search(place) is not None
        yield from self._plainly(block, binary=binary, credited=credited, cut=cut, built=built)
        for wide in _widened(block):
            yield from self._plainly(wide, binary=True, credited=credited, cut=cut, built=built)
        for view in _views(block, binary=binary):
            for wide in _widened(view):
                words = self._term_words.intersection(wide.translate(_WORDS).split())
                yield from self._search_terms(wide, words, binary=True, credited=credited)
            found = self._term_words.intersection(view.translate(_WORDS).split())
            if found:
                yield from self._search_terms(view, found, binary=True, credited=credited)

    def _plainly(
        self, block: bytes, *, binary: bool, credited: bool, cut: bool, built: bool
    ) -> Iterator[Hit]:
        """What stands there as it is."""
        low = block.translate(_WORDS)
        words = self._words.intersection(low.split())
        for word in words:
            for rule in self._rules.get(word, ()):
                yield from _apply(rule, block, low, word, binary=binary, cut=cut, built=built)
        for literal, rules in self._literals.items():
            if literal in block:
                for rule in rules:
                    yield from _apply(
                        rule, block, block, literal, binary=binary, cut=cut, built=built
                    )
        yield from self._search_terms(block, words, binary=binary, credited=credited)

    def _search_terms(
        self, block: bytes, words: Iterable[bytes], *, binary: bool, credited: bool
    ) -> Iterator[Hit]:
        for word in words:
            for one in self._terms.get(word, ()):
                for match in one.pattern.finditer(block):
                    short = one.letters < _MIN_IN_BINARY
                    if binary and short and match[0] not in one.exact:
                        continue
                    if binary and one.letters < MIN_ALONE and not _is_in_text(block, match):
                        continue
                    yield _term_hit(one.term, blocks=not (credited and one.term.kind in _PERSONAL))
                    break


def _is_in_text(block: bytes, match: re.Match[bytes]) -> bool:
    """Whether a match stands among printable characters: `a@b` is in every megabyte of weights."""
    around = block[max(match.start() - _TEXT_RUN, 0) : match.end() + _TEXT_RUN]
    before = min(match.start(), _TEXT_RUN)
    return any(
        run.start() <= before and run.end() >= before + len(match[0])
        for run in _PRINTABLE_RUN.finditer(around)
    )


def is_binary(block: bytes) -> bool:
    """Whether bytes are no text: more than 3 % of them are control characters.

    Of compressed or random bytes it is a tenth, of text in any encoding of bytes next to none.
    """
    return len(block) - len(block.translate(None, _CONTROLS)) > len(block) * 0.03


def _term_hit(term: Term, *, blocks: bool) -> Hit:
    rule = f"term: {term.kind.value}"
    return Hit(
        rule=rule,
        shown=term.text,
        sha256=_fingerprint(rule, term.text.lower().encode("utf-8", "surrogateescape")),
        blocks=blocks,
        why="is a term of yours" if blocks else "names you, where authors are named",
    )


def _apply(
    rule: Rule,
    block: bytes,
    haystack: bytes,
    trigger: bytes,
    *,
    binary: bool,
    cut: bool,
    built: bool,
) -> Iterator[Hit]:
    """Tries a rule around each place of its trigger."""
    if binary and not rule.secret and not rule.blocks:
        return
    at = haystack.find(trigger)
    done = 0
    while at >= 0:
        after = at + len(trigger)
        if rule.words and (
            haystack[after : after + 1].isalpha() or haystack[max(at - 1, 0) : at].isalpha()
        ):
            at = haystack.find(trigger, at + 1)
            continue
        if rule.begins:
            match = rule.pattern.match(block, at)
            matches: Iterable[re.Match[bytes]] = (match,) if match else ()
            end = len(block)
        else:
            start, end = max(done, at - _REACH[0]), after + _REACH[1]
            matches = rule.pattern.finditer(block, start, end)
        done = after
        for match in matches:
            done = max(done, match.end())
            # What was cut off is found whole in the next block, or around the next trigger.
            whole = match.end() < end or (end >= len(block) and not cut)
            if whole and rule.accept(match):
                yield _rule_hit(rule, match, built=built)
        at = haystack.find(trigger, max(done, at + 1))


def _rule_hit(rule: Rule, match: re.Match[bytes], *, built: bool) -> Hit:
    data = match["secret"] if "secret" in rule.pattern.groupindex else match[0]
    text = match[0].decode("utf-8", "replace") if not rule.secret else _masked(data)
    return Hit(
        rule=rule.name,
        shown=text,
        sha256=_fingerprint(rule.name, data),
        blocks=rule.blocks and (rule.secret or not built),
        why=rule.why,
    )


def _masked(data: bytes) -> str:
    """At most four characters of a long secret, and its length: enough to find it again."""
    start = data[:4].decode("ascii", "replace") if len(data) >= 20 and data.isascii() else ""
    shown = start if start.isprintable() else ""
    return f"{shown}… ({len(data)} characters)"


def _fingerprint(rule: str, data: bytes) -> str:
    return sha256_hex(rule.encode() + b"\0" + data)


def _compile(term: Term, spelling: str) -> Iterator[tuple[bytes, _Pattern]]:
    """The patterns of a spelling, each with the word that stands wherever it matches."""
    for form in dict.fromkeys((spelling, spelling.lower(), spelling.upper())):
        encoded = form.encode("utf-8", "surrogateescape")
        words = re.findall(rb"[a-z]+", encoded.translate(_LOWER))
        if not words:
            continue
        pieces = [re.escape(piece) for piece in encoded.split(b" ")]
        body = rb"[\s._+-]{1,4}".join(pieces)
        if b"\\" in encoded:
            body = body.replace(rb"\\", rb"\\{1,4}")
        left = rb"(?<![A-Za-z])" if encoded[:1].isalpha() else b""
        right = rb"(?![A-Za-z])" if encoded[-1:].isalpha() else b""
        yield (
            max(words, key=len),
            _Pattern(
                term=term,
                pattern=re.compile(left + body + right, re.IGNORECASE),
                exact=frozenset((encoded, encoded.lower(), encoded.upper(), encoded.capitalize())),
                letters=sum(c.isalnum() for c in form),
            ),
        )
        if form.isascii():
            return


def _widened(block: bytes) -> Iterator[bytes]:
    """What stands there in UTF-16 or UTF-32."""
    # Of text in UTF-16 every other byte is zero, of UTF-32 every other of the rest too.
    for parity in (0, 1):
        zeros = block[parity::2]
        if b"\0\0\0\0" in zeros:
            wide = block[1 - parity :: 2]
            yield re.sub(rb"\0{2,}", b"\n", wide).replace(b"\0", b"")
            yield wide


def _views(block: bytes, *, binary: bool) -> Iterator[bytes]:
    """Other readings of a block, in which a term may stand; small ones are joined."""
    if b"x" * _MIN_B64 in block.translate(_B64_RUNS):
        yield b"\n".join(_from_base64(block))
    if b"x" * _MIN_HEX in block.translate(_HEX_RUNS):
        yield b"\n".join(_from_hex(block))
    if not binary:
        if b"%" in block and re.search(rb"%[0-9A-Fa-f]{2}", block):
            yield unquote_to_bytes(block)
        if b"\\u" in block or b"\\/" in block:
            yield _ESCAPE.sub(_unescape, block)
        if b"=\n" in block or b"=\r\n" in block or b"=3D" in block:
            yield binascii.a2b_qp(block)


def _unescape(match: re.Match[bytes]) -> bytes:
    return chr(int(match[1], 16)).encode("utf-8", "replace") if match[1] else b"/"


def _from_base64(block: bytes) -> Iterator[bytes]:
    for match in _BASE64.finditer(block):
        run = match[0].replace(b"\\n", b"").translate(None, b"\r\n")
        if run.islower() or run.isupper():
            # A path or an identifier: of text in base64 both are in it.
            continue
        for skip in range(4 if len(run) <= _UNALIGNED else 1):
            piece = run[skip:]
            # A single character at the end has no byte.
            whole = piece[: len(piece) - (len(piece) % 4 == 1)]
            yield binascii.a2b_base64(whole + b"==")


def _from_hex(block: bytes) -> Iterator[bytes]:
    for match in _HEX.finditer(block):
        run = match[0]
        for skip in (0, 1):
            piece = run[skip:]
            yield bytes.fromhex(piece[: len(piece) // 2 * 2].decode("ascii"))
