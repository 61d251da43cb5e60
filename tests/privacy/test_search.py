# SPDX-License-Identifier: Apache-2.0
"""One automaton finds what patterns find without it, and windows find what the whole does."""

from __future__ import annotations

import base64
import itertools
import random
import re
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack.privacy import walk
from repropack.privacy.plausibility import secret_of
from repropack.privacy.rules import RULES
from repropack.privacy.search import CONTEXT, Hit, Searcher, concealed, fingerprint
from repropack.privacy.terms import Identity, terms_of
from repropack.privacy.walk import Target, scan
from tests.privacy.corpus import TERMS, own_terms, secrets_of

SEARCHER = Searcher(own_terms())
LINES = [line for _, line in secrets_of(random.Random(5)).values()]
PLANTS = [line.encode() for line in LINES + list(TERMS)]
FORMS = (
    lambda line: line,
    lambda line: line.decode().encode("utf-16-le"),
    lambda line: line.decode().encode("utf-16-be"),
    lambda line: line.decode().encode("utf-32-le"),
    base64.b64encode,
    base64.encodebytes,
    lambda line: line.hex().encode(),
    lambda line: line.upper(),
)


def filler(numbers: random.Random, size: int) -> bytes:
    kind = numbers.randrange(4)
    if kind == 0:
        return numbers.randbytes(size)
    if kind == 1:
        return bytes(size)
    alphabet = (
        b"abcdefghijklm nopqrst\nuvwxyz=_:/\"'@.-+ABC019" if kind == 2 else b"ABCdefgh01234+/"
    )
    return bytes(numbers.choices(alphabet, k=size))


def found(data: bytes, start: int = 0, stop: int | None = None) -> set[Hit]:
    return set(SEARCHER.search(data, start=start, stop=stop))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_windows_find_what_the_whole_does(seed: int) -> None:
    numbers = random.Random(seed)
    pieces = []
    for _ in range(numbers.randint(1, 12)):
        pieces.append(filler(numbers, numbers.choice((0, 1, 7, 100, 5_000, 30_000))))
        pieces.append(numbers.choice(FORMS)(numbers.choice(PLANTS)))
    data = b"".join(pieces)
    cuts = sorted({0, len(data), *(numbers.randint(0, len(data)) for _ in range(4))})
    parts: set[Hit] = set()
    for start, stop in itertools.pairwise(cuts):
        first = max(start - CONTEXT, 0)
        parts |= found(data[first : stop + CONTEXT], start - first, stop - first)
    assert parts == found(data)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_nothing_that_a_pattern_finds_is_passed_over(seed: int) -> None:
    numbers = random.Random(seed)
    pieces = []
    for _ in range(numbers.randint(1, 8)):
        pieces.append(filler(numbers, numbers.randint(0, 300)))
        pieces.append(numbers.choice(PLANTS))
    data = b"".join(pieces)
    slow = {
        fingerprint(rule.name, secret_of(match))
        for rule in RULES
        if rule.blocks
        for match in rule.pattern.finditer(data)
        if rule.accept(match)
    }
    assert slow <= {hit.sha256 for hit in found(data)}


def test_parts_of_a_large_file_find_what_it_does_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = random.Random(3)
    path = tmp_path / "weights.bin"
    data = bytearray(numbers.randbytes(900_000))
    for number, plant in enumerate(PLANTS):
        at = 100_000 * (number % 8 + 1) - numbers.randrange(len(plant)) + 700 * (number // 8)
        data[at : at + len(plant) + 2] = b"\n" + plant + b"\n"
    path.write_bytes(data)
    targets = [Target(place="weights.bin", content=path)]
    whole = scan(targets, own_terms(), workers=1)
    monkeypatch.setattr(walk, "PARALLEL_FROM", 1)
    monkeypatch.setattr(walk, "PART", 100_000)
    assert scan(targets, own_terms(), workers=2) == whole
    assert len(whole.leaks) >= len(PLANTS)


@pytest.mark.parametrize("size", [100, 3_000, 70_000, 1_500_000])
@pytest.mark.parametrize("shift", range(4))
def test_a_term_is_found_anywhere_in_base64(size: int, shift: int) -> None:
    text = random.Random(1).randbytes(size) + b" by zquill7, 2026 " + bytes(50 + shift)
    for encoded in (base64.b64encode(text), base64.encodebytes(text)):
        (leak,) = scan([Target(place="x", content=b"j" * shift + encoded)], own_terms()).leaks
        assert leak.rule == "term: user name"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("张伟明", "张伟明".encode()),
        ("张伟明", "张伟明".encode("utf-16-le")),
        ("Иван Кузнецов", "кузнецов".encode()),
        ("Jörg Müllerstrøm", "Müllerstrøm".encode("cp1252")),
        ("Jörg Müllerstrøm", b"Jo\xcc\x88rg Mu\xcc\x88llerstr\xc3\xb8m"),
        ("Jörg Müllerstrøm", "JÖRG MÜLLERSTRØM".encode("utf-16-be")),
    ],
)
def test_names_in_any_script_and_encoding(name: str, written: bytes) -> None:
    terms = terms_of(Identity(people=((name, ""),)))
    for data in (written, b"by " + written + b".\n"):
        if data[:3] == b"by " and b"\0" in data:
            data = "by ".encode("utf-16-le") + written
        assert scan([Target(place="x", content=data)], terms).leaks


def test_long_tokens_are_found_whole_or_cut() -> None:
    numbers = random.Random(4)
    word = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

    def some(count: int) -> str:
        return "".join(numbers.choices(word, k=count))

    for size in (100, 700, 2_000, 6_000):
        token = f"eyJ{some(200)}.eyJ{some(size)}.{some(86)}"
        assert "json-web-token" in {hit.rule for hit in found(f"a: {token}\n".encode())}
    session = f"aws_session_token = IQoJb3JpZ2lu{some(900)}"
    assert "aws-session-token" in {hit.rule for hit in found(session.encode())}


@pytest.mark.parametrize(
    "before",
    [r"a\n", r"\t", r"\r", "\x1b[32m", "\x1b[0;31m", "\x1b[38;5;123m", r"\u001b[1;36m", r"\x1b[m"],
)
def test_a_letter_at_the_end_of_an_escape_belongs_to_no_word(before: str) -> None:
    terms = own_terms()
    for _, line in secrets_of(random.Random(6)).values():
        if not found(line.encode()):
            continue
        plainly = {hit.rule for hit in found(line.encode()) if hit.blocks}
        after = {hit.rule for hit in found((before + line).encode())}
        assert plainly <= after, line
    for term in terms:
        for spelling in term.spellings:
            assert found((before + spelling).encode()), spelling
            assert found((before + spelling).encode("utf-16-le")), spelling


@pytest.mark.parametrize(
    "form",
    ["NRAK-{A27}", "ATATT3xFfGF0{a160}", "sq0atp-{a22}", "lin_api_{a40}", "ntn_{a46}",
     "secret_{a43}", "figd_{a40}", "HRKU-{a36}", "sbp_{x40}", "rpa_{A40}", "PMAK-{x24}-{x34}",
     "rubygems_{x48}", "GR1348941{a20}", "dp.pt.{a43}", "pscale_tkn_{a43}",
     "tskey-auth-{a12}-{a32}", "fo1_{a43}"],
)  # fmt: skip
def test_tokens_of_further_services(form: str) -> None:
    numbers = random.Random(form)
    letters = string.ascii_letters + string.digits
    alphabets = {"a": letters, "A": letters[26:], "x": "0123456789abcdef"}
    token = re.sub(
        r"\{(.)(\d+)\}",
        lambda m: "".join(numbers.choices(alphabets[m[1]], k=int(m[2]))),
        form,
    )
    (hit,) = {hit for hit in found(f"it is {token}\n".encode()) if hit.blocks}
    assert hit.rule == "service-token"
    assert token[-8:] not in hit.shown


@pytest.mark.parametrize(
    "written",
    [
        *("Zoe Mueller-Lund", "zoe.mueller-lund", "Muller-Lund", "BJØRK QVIST", "Bjork Qvist"),
        *("Bjoerk Qvist", "Lukasz Weissgerber", "Łukasz Weißgerber", "L. Weissgerber"),
        *(r"M{\"u}ller-Lund", r"M\"uller-Lund", r"M\"{u}ller-Lund", r"{\'Z}o{\"e} M{\"u}ller-Lund"),
        *(r"Bj{\o}rk Qvist", r"Bj\o{}rk Qvist", r"{\L}ukasz Wei{\ss}gerber", r"Bj\o rk Qvist"),
        *("M&uuml;ller-Lund", "M&#252;ller-Lund", "M&#xfc;ller-Lund", "Bj&oslash;rk Qvist"),
        *(r"M\xfcller-Lund", r"M\xc3\xbcller-Lund", r"M\303\274ller-Lund", r"M\u{fc}ller-Lund"),
        *(r"M\U000000fcller-Lund", "M=C3=BCller-Lund", "M=FCller-Lund", "M%FCller-Lund"),
        *(r"\376\377\000M\000\374\000l\000l\000e\000r\000-\000L\000u\000n\000d",),
    ],
)
def test_names_as_programs_papers_and_pages_write_them(written: str) -> None:
    people = (("Zoë Müller-Lund", ""), ("Bjørk Qvist", ""), ("Łukasz Weißgerber", ""))
    for text in (written, f"by {written},\n"):
        assert scan(
            [Target(place="x", content=text.encode())], terms_of(Identity(people=people))
        ).leaks


@pytest.mark.parametrize(
    ("name", "codec"),
    [("Zoë Müllerstrom", c) for c in ("cp1250", "cp850", "mac_roman")]
    + [("Иван Кузнецов", c) for c in ("cp1251", "koi8_r")]
    + [("張偉明", c) for c in ("gb18030", "big5", "shift_jis", "euc_jp")]
    + [("김철수", "euc_kr")],
)
def test_names_in_encodings_before_unicode(name: str, codec: str) -> None:
    terms = terms_of(Identity(people=((name, ""),)))
    data = f"# {name}\n".encode(codec)
    assert scan([Target(place="x", content=data)], terms).leaks


def test_a_short_name_that_is_a_word_is_found_with_its_initial() -> None:
    terms = terms_of(Identity(people=(("Jon Snow", ""),), affiliations=("Quoll Institute",)))
    searcher = Searcher(terms)
    for text in ("J. Snow", "Snow, J.", "Jon Snow", "jon_snow", "QuollInstitute"):
        assert list(searcher.search(f"({text})".encode())), text
    assert not list(searcher.search(b"let it snow, j = 3; j_snow = 0"))


@pytest.mark.parametrize(
    "line",
    [
        '["train.py","--password=Xk9fjq7zzW"]',
        '["train.py","--db-password", "Xk9fjq7zzW"]',
        '["train.py","--token","ab12Cd34eF56ab12Cd34eF56"]',
        "train.py --hub_token ab12Cd34eF56ab12Cd34eF56 --seed 3",
        "train.py --api-key 'ab12Cd34eF56'",
    ],
)
def test_secrets_of_a_command_line(line: str) -> None:
    (hit,) = {hit for hit in found(line.encode()) if hit.rule == "option-secret"}
    assert hit.blocks
    assert "34eF56" not in hit.shown
    assert "Xk9f" not in hit.shown


@pytest.mark.parametrize(
    "line",
    ["--token-type bearer", "--password PASSWORD", "--token TOKEN_NAME", "--secret-key-file k.pem",
     "--token=$HF_TOKEN", "--api-key <your key>", "--max-token 1000000", "--token tokens.json"],
)  # fmt: skip
def test_options_that_hold_no_secret(line: str) -> None:
    assert not {hit for hit in found(line.encode()) if hit.blocks}


@pytest.mark.parametrize("ending", ["\n", "\\n"])
def test_a_key_in_an_argument_is_masked_in_all_its_lines(ending: str) -> None:
    lines = [f"Zk3Rw9QxLm2VtY7bNc5Hd8Jf4Gs6Pa1Ku0EiZk3Rw9QxLm2VtY7b{n:02d}" for n in range(9)]
    for kind in ("PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"):
        for close in (f"-----END {kind}-----{ending}", ""):
            key = ending.join((f"-----BEGIN {kind}-----", *lines, close))
            shown = concealed(f"--key '{key}' --lr 0.1")
            assert not any(line[:10] in shown or line[-10:] in shown for line in lines)
            assert "BEGIN" in shown
            assert "--lr 0.1" in shown or not close
    putty = "PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n" + lines[0]
    assert lines[0][:10] not in concealed(putty)
    # A public key stays.
    assert concealed("-----BEGIN PUBLIC KEY-----\nMFkw") == "-----BEGIN PUBLIC KEY-----\nMFkw"
