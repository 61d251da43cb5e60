# SPDX-License-Identifier: Apache-2.0
"""The walker on hostile and damaged files, waivers, and what must not be flagged."""

from __future__ import annotations

import base64
import gzip
import importlib
import io
import lzma
import pickle
import random
import sqlite3
import struct
import zipfile
import zlib
from contextlib import closing
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack.errors import RepropackError, UsageError
from repropack.privacy import walk
from repropack.privacy.rules import REACH, RULES
from repropack.privacy.search import BEFORE
from repropack.privacy.terms import Identity, terms_of
from repropack.privacy.waivers import WAIVERS, add_waivers, read_waivers, unwaived
from repropack.privacy.walk import Scanned, Target, scan
from tests.privacy.corpus import KINDS, own_terms

TOKEN = "ghp_Zk3Rw9QxLm2VtY7bNc5Hd8Jf4Gs6Pa1Ku0Ei"


def look(content: bytes, place: str = "file", **options: bool) -> Scanned:
    return scan([Target(place=place, content=content)], own_terms(), **options)


def rules(scanned: Scanned) -> set[str]:
    return {leak.rule for leak in scanned.leaks if leak.blocks}


def test_rules_have_unique_names_and_triggers() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES) >= 40
    for rule in RULES:
        assert rule.why
        assert rule.anchors
        for anchor in rule.anchors:
            assert anchor == anchor.lower()
            assert len(anchor) > 1


def test_no_match_is_longer_than_what_is_looked_at() -> None:
    """Windows overlap by so much: what a rule finds lies whole in one of them."""
    from re import _parser  # type: ignore[attr-defined]

    for rule in RULES:
        _, longest = _parser.parse(rule.pattern.pattern).getwidth()
        assert longest <= REACH, rule.name
        assert rule.before < BEFORE


@pytest.mark.parametrize(
    "text",
    [
        'AWS_KEY = "AKIAIOSFODNN7EXAMPLE"',
        "https://user:password@example.com/",
        "password = os.environ['PASSWORD']",
        "token = tokenizer.encode_plus_something_long(x)",
        "api_key: str = config.get_secret_value_of_the_thing()",
        "/home/user/project",
        "key=x25519.X25519PrivateKey",
        "sha256_key: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "def scratch(self): return '/scratch/user'",
        "The feather of a quill, an institute",
    ],
)
def test_what_documentation_and_code_say_is_no_leak(text: str) -> None:
    assert rules(look(text.encode(), second=False)) == set()


def test_across_the_edges_of_blocks_and_chunks() -> None:
    line = f"\n{TOKEN}\n".encode()
    for edge in (64 * 1024, 1024 * 1024, 1024 * 1024 + 64 * 1024):
        for shift in range(0, 48, 5):
            data = b"." * (edge - shift) + line + b"." * 70_000
            (leak,) = look(data).leaks
            assert leak.rule == "github-token"
            assert leak.shown == "ghp_… (40 characters)"


@pytest.mark.parametrize("kind", KINDS)
def test_any_prefix_of_a_file_is_an_answer(kind: str, tmp_path: Path) -> None:
    ending, make = KINDS[kind]
    data = make("sparse-marmots", tmp_path)
    for size in {*range(0, len(data), max(1, len(data) // 40)), len(data) - 1}:
        look(data[:size], f"x{ending}")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(KINDS)), st.randoms(use_true_random=False))
def test_damage_is_no_crash(kind: str, numbers: random.Random) -> None:
    if kind in ("git bundle", "SQLite"):
        return  # they need a directory: the prefixes above
    ending, make = KINDS[kind]
    data = bytearray(make("sparse-marmots", Path()))
    for _ in range(numbers.randint(1, 8)):
        data[numbers.randrange(len(data))] = numbers.randrange(256)
    look(bytes(data), f"x{ending}")


def test_a_header_that_is_no_text_is_damage() -> None:
    header = b'{"\x80":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    found = look(len(header).to_bytes(8, "little") + header + b"x", "x.safetensors")
    assert [one.reason for one in found.unsearched] == ["safetensors: a damaged header"]


def test_a_bomb_is_left_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MIN_EXPANDED", 1024 * 1024)
    scanned = look(gzip.compress(bytes(64 * 1024 * 1024)))
    assert [one.reason for one in scanned.unsearched] == ["unfolds to more than is searched"]


def test_archives_in_archives_end() -> None:
    data = TOKEN.encode()
    for _ in range(12):
        data = gzip.compress(data)
    assert any("deep" in one.reason for one in look(data).unsearched)


def test_pickles_are_not_unpickled(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return (open, (str(canary), "w"))

    look(pickle.dumps(Evil()), "x.pkl")
    assert not canary.exists()


def test_encrypted_archives_are_said() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", b"x")
    data = bytearray(buffer.getvalue())
    data[6] |= 1
    at = data.index(b"PK\1\2")
    data[at + 8] |= 1
    assert any("encrypted" in one.reason for one in look(bytes(data)).unsearched)


def test_an_author_may_be_named_where_authors_are_named() -> None:
    text = "Copyright 2026 Zoë Quillfeather\n".encode()
    assert rules(look(text, "LICENSE")) == set()
    assert any(not leak.blocks for leak in look(text, "LICENSE").leaks)
    assert rules(look(text, "LICENSE", anonymous=True)) == {"term: name"}
    assert rules(look(text, "train.py")) == {"term: name"}


def test_names_of_files_count() -> None:
    assert rules(look(b"x", "results-zquill7/log.txt")) == {"term: user name"}


def test_short_terms_need_their_case_in_binary_files() -> None:
    terms = terms_of(Identity(users=("quilx",)))
    noise = bytes(range(32)) * 4

    def found(word: bytes) -> bool:
        return bool(scan([Target(place="x", content=noise + word + noise)], terms).leaks)

    assert found(b"quilx")
    assert not found(b"qUiLx")


def test_several_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "PARALLEL_FROM", 1)
    paths = [tmp_path / f"{n}.txt" for n in range(6)]
    for path in paths:
        path.write_text(f"{TOKEN}\nzquill7 in {path.name}\n")
    targets = [Target(place=path.name, content=path) for path in paths]
    both = scan(targets, own_terms(), workers=2)
    assert both == scan(targets, own_terms(), workers=1)
    assert len(both.leaks) == 12


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RepropackError, match=r"cannot read .*absent"):
        scan([Target(place="absent", content=tmp_path / "absent")], ())


def test_a_waiver_is_for_one_place_and_one_content(tmp_path: Path) -> None:
    (leak,) = look(TOKEN.encode(), "a.py").leaks
    waivers = add_waivers(tmp_path, [leak], [leak.id])
    assert unwaived([leak], read_waivers(tmp_path)) == ()
    assert TOKEN not in (tmp_path / WAIVERS).read_text()
    (elsewhere,) = look(TOKEN.encode(), "b.py").leaks
    (other,) = look(TOKEN.replace("Z", "Y").encode(), "a.py").leaks
    assert unwaived([elsewhere, other], waivers) == (elsewhere, other)
    # Once more is no error; an id that is nobody's is one.
    assert add_waivers(tmp_path, [leak], [leak.id]) == waivers
    with pytest.raises(UsageError, match="no such finding"):
        add_waivers(tmp_path, [leak], ["0" * 12])


@pytest.mark.parametrize("kind", ["gzip", "bz2", "lzma", "zstandard"])
def test_a_stream_that_ends_too_early_is_not_clean(kind: str) -> None:
    text = "".join(random.Random(1).choices("abcdefgh \n", k=300_000)).encode()
    whole = importlib.import_module(kind).compress(text)
    assert not look(whole).unsearched
    assert not look(whole + whole).unsearched
    more = importlib.import_module(kind).compress(f"token = {TOKEN}\n".encode())
    assert rules(look(whole + more)) == {"github-token"}
    for end in (len(whole) - 1, len(whole) // 2, len(whole) // 3):
        assert look(whole[:end]).unsearched, end
        assert look(whole + whole[:end]).unsearched, end


def test_a_zstd_stream_with_skippable_frames_is_looked_into() -> None:
    frame = zstandard.compress(f"token = {TOKEN}\n".encode(), 1)
    note = b"\x5e\x2a\x4d\x18\x03\0\0\0abc"
    found = look(zstandard.compress(b"x" * 1_000_000, 3) + note + frame + note)
    assert rules(found) == {"github-token"}
    assert not found.unsearched
    assert look(frame + b"more").unsearched


def test_a_damaged_list_of_waivers_is_an_error(tmp_path: Path) -> None:
    (tmp_path / WAIVERS).write_text("{")
    with pytest.raises(UsageError, match=r"waivers\.json"):
        read_waivers(tmp_path)


def test_a_program_tells_where_others_built_it() -> None:
    text = bytes(range(32)) * 9 + b"/home/kmarlowe/build/x.c" + bytes(range(32)) * 9
    assert rules(look(text, "lib/x.so.1")) == set()
    assert rules(look(text, "x.bin")) == {"home-path"}
    own = text.replace(b"kmarlowe", b"zquill7")
    assert "term: home directory" in rules(look(own, "lib/x.so.1"))


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


HIDDEN = b"padding " * 30 + b"Zoe Quillfeather here\n"


def test_streams_of_xz_that_follow_each_other_are_all_looked_into() -> None:
    content = lzma.compress(b"nothing\n") + bytes(8) + lzma.compress(HIDDEN)
    assert "term: name" in rules(look(content, "x.xz"))


def test_files_in_a_database_are_looked_into(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.execute("CREATE TABLE artefacts (name, content)")
        database.execute("INSERT INTO artefacts VALUES ('x', ?)", (gzip.compress(HIDDEN),))
        database.commit()
    found = look((tmp_path / "x.db").read_bytes(), "x.db")
    assert "term: name" in rules(found)
    assert not found.unsearched


def test_an_archive_in_a_page_is_looked_into() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.txt", HIDDEN)
    for size in range(3):
        # Base64 is padded, or not, by the length of what it holds.
        packed = target.getvalue()[:-2] + struct.pack("<H", size) + b"c" * size
        page = b"<a href='data:application/zip;base64," + base64.b64encode(packed) + b"'>"
        found = look(page, "x.html")
        assert "term: name" in rules(found)
        assert not found.unsearched


def test_a_word_in_several_runs_of_a_document_is_one() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "word/document.xml",
            "<w:p><w:r><w:t>by Zoe Quill</w:t></w:r><w:proofErr/><w:r><w:rPr/>"
            '<w:t xml:space="preserve">feather</w:t></w:r></w:p>',
        )
    assert "term: name" in rules(look(target.getvalue(), "x.docx"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("install.sh", b"#!/bin/sh\n" + b"echo unpacking\n" * 60 + gzip.compress(HIDDEN * 9)),
        ("text.png", _png((b"zTXt", b"a\0\0" + zlib.compress(bytes(5_000_000) + HIDDEN)))),
        ("codes.pdf", b"%PDF-1.5\nstream\n" + zlib.compress(b"BT <00300058> Tj ET")),
        ("ascii85.pdf", b"%PDF-1.5\n<</Filter /ASCII85Decode>> stream\n" + b"87cURD]~>"),
    ],
)
def test_what_could_not_be_read_is_not_clean(name: str, content: bytes) -> None:
    found = look(content, name)
    assert not found.leaks
    assert found.unsearched
