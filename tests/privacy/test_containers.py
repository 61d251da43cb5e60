# SPDX-License-Identifier: Apache-2.0
"""What lies in, behind and between the parts of files: found, or said not to have been read."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import marshal
import random
import sqlite3
import struct
import tarfile
import zipapp
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy
import pytest

from repropack.privacy.containers import PACKED
from repropack.privacy.walk import Scanned, Target, scan
from tests.privacy.corpus import own_terms

TOKEN = b"ghp_Zk3Rw9QxLm2VtY7bNc5Hd8Jf4Gs6Pa1Ku0Ei"
HIDDEN = b"padding " * 30 + b"Zoe Quillfeather here\ntoken = " + TOKEN + b"\n"
FOUND = {"term: name", "github-token"}


def look(content: bytes, place: str) -> Scanned:
    return scan([Target(place=place, content=content)], own_terms(), workers=1)


def rules(scanned: Scanned) -> set[str]:
    return {leak.rule for leak in scanned.leaks if leak.blocks}


def zipped(content: bytes = HIDDEN, name: str = "notes.txt") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return target.getvalue()


def tarred(content: bytes, name: str) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


JPEG = (
    b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xda\0\x04\1\0"
    b"\x12\xff\x00\x34\xff\xd0\x56\xff\xd9"
)
"""With a stuffed byte and a restart marker in its scan."""

GIF = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
WEBP = b"RIFF" + struct.pack("<I", 16) + b"WEBPVP8L" + struct.pack("<I", 4) + b"\x2f\0\0\0"
PDF = b"%PDF-1.5\n1 0 obj\n<< >>\nendobj\ntrailer << >>\n%%EOF\n"

PICTURES = {"x.jpg": JPEG, "x.gif": GIF, "x.webp": WEBP, "x.png": png(), "x.pdf": PDF}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_alone_is_clean(name: str) -> None:
    found = look(PICTURES[name], name)
    assert not found.leaks
    assert not found.unsearched


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(
    "pack", [zipped, lambda: gzip.compress(HIDDEN), lambda: lzma.compress(HIDDEN)]
)
def test_what_follows_a_picture_is_looked_into(name: str, pack: Callable[[], bytes]) -> None:
    content = PICTURES[name] + pack()
    found = look(content, name)
    assert rules(found) >= FOUND
    assert len({leak.place for leak in found.leaks}) == 1
    # Also in an archive, packed and stored.
    assert rules(look(gzip.compress(content), name + ".gz")) >= FOUND
    assert rules(look(tarred(content, name), "x.tar")) >= FOUND


@pytest.mark.parametrize("name", PICTURES)
def test_unknown_bytes_behind_a_picture_are_said(name: str) -> None:
    noise = b"\0\1\2\3" + random.Random(1).randbytes(300)
    assert look(PICTURES[name] + noise, name).unsearched
    assert look(PICTURES[name][:-1], name).unsearched or name == "x.pdf"


def test_a_program_in_an_archive_is_looked_into(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "__main__.py").write_bytes(b'"""\n' + HIDDEN + b'"""\n')
    zipapp.create_archive(source, tmp_path / "x.pyz", "/usr/bin/env python3", compressed=True)
    found = look((tmp_path / "x.pyz").read_bytes(), "x.pyz")
    assert rules(found) >= FOUND
    assert not found.unsearched
    elf = b"\x7fELF" + bytes(range(256)) * 9
    assert rules(look(elf + zipped(), "x.bin")) >= FOUND


def test_an_archive_before_an_archive_is_looked_into() -> None:
    found = look(zipped() + zipped(b"nothing"), "x.zip")
    assert rules(found) >= FOUND
    assert not found.unsearched


def test_entries_that_no_directory_names_are_looked_into() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"nothing")
        archive.writestr("hidden.txt", HIDDEN)
        archive.writestr("b.txt", b"nothing either")
        archive.filelist = [e for e in archive.filelist if e.filename != "hidden.txt"]
    found = look(target.getvalue(), "x.zip")
    assert rules(found) >= FOUND or found.unsearched


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.lzma", lzma.compress(HIDDEN, format=lzma.FORMAT_ALONE)),
        ("x", lzma.compress(HIDDEN, format=lzma.FORMAT_ALONE, preset=9)),
        ("x.zlib", zlib.compress(HIDDEN)),
        ("x", zlib.compress(HIDDEN, 0)),
        ("x", zlib.compress(HIDDEN * 90, 1)),
        ("3f/9a0b", zlib.compress(b"blob %d\0" % len(HIDDEN) + HIDDEN)),
        ("objects/3f/9a0b", zlib.compress(b"blob %d\0" % len(HIDDEN) + HIDDEN)),
        ("two", zlib.compress(b"nothing") + zlib.compress(HIDDEN)),
        ("x.bz2", bz2.compress(b"nothing") + bz2.compress(HIDDEN)),
        ("x.png", png((b"zTXt", b"a\0\0" + zlib.compress(HIDDEN)))),
        ("x.png", png((b"iTXt", b"a\0\1\0en\0a\0" + zlib.compress(HIDDEN)))),
        ("x.png", png((b"iTXt", b"a\0\0\0en\0a\0" + HIDDEN))),
        ("x.png", png((b"iCCP", b"a\0\0" + zlib.compress(HIDDEN)))),
    ],
)  # fmt: skip
def test_streams_are_looked_into(name: str, content: bytes) -> None:
    found = look(content, name)
    assert rules(found) >= FOUND
    assert not found.unsearched
    assert rules(look(gzip.compress(content), name + ".gz")) >= FOUND


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_what_follows_a_stream_is_said(pack: Callable[[bytes], bytes]) -> None:
    found = look(pack(HIDDEN) + b"more\0\1\2", "x")
    assert rules(found) >= FOUND
    assert found.unsearched


@pytest.mark.parametrize("name", ["objects/x.py", "objects/ab/notes.txt"])
def test_a_text_that_begins_like_a_stream_is_text(name: str) -> None:
    found = look(b"x = '" + TOKEN + b"'\n# by Zoe Quillfeather\n", name)
    assert rules(found) == FOUND
    assert not found.unsearched
    assert not look(b"x^2 + y^2 = 1\n", "x.txt").unsearched
    assert not look(b"x^2 + y^2 = 1, and more\n" * 90, "x.txt").unsearched


def test_files_in_texts_in_archives_are_looked_into() -> None:
    """A notebook holds its pictures in base64, wherever the notebook lies."""
    picture = base64.encodebytes(png((b"zTXt", b"a\0\0" + zlib.compress(HIDDEN)))).decode()
    cell = {"cell_type": "code", "outputs": [{"data": {"image/png": picture}}]}
    for filling in (0, 2_000_000):
        notebook = json.dumps({"cells": [cell], "note": "x y " * (filling // 4)}).encode()
        stored = io.BytesIO()
        with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("x.ipynb", notebook)
        for name, content in (
            ("x.tar", tarred(notebook, "x.ipynb")),
            ("x.zip", stored.getvalue()),
            ("x.gz", gzip.compress(notebook)),
            ("y.zip", zipped(notebook, "x.ipynb")),
        ):
            assert rules(look(content, name)) >= FOUND, (name, filling)


@pytest.mark.parametrize(
    "pack",
    [zlib.compress, bz2.compress, lzma.compress, gzip.compress, zipped,
     lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE)],
)  # fmt: skip
def test_streams_in_base64_are_looked_into(pack: Callable[[bytes], bytes]) -> None:
    text = b'{"state": "' + base64.b64encode(pack(HIDDEN)) + b'"}'
    assert rules(look(text, "x.json")) >= FOUND


def test_tables_with_computed_columns_are_looked_into(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.execute("CREATE TABLE a (v, n AS (length(v)) VIRTUAL)")
        database.execute("INSERT INTO a (v) VALUES (?)", (gzip.compress(HIDDEN),))
        database.commit()
    assert rules(look((tmp_path / "x.db").read_bytes(), "x.db")) >= FOUND


@pytest.mark.parametrize("mode", ["wal", "persist"])
def test_the_journal_of_a_database_is_not_called_clean(tmp_path: Path, mode: str) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as database:
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("PRAGMA cache_size = 5")
        database.execute("CREATE TABLE a (v)")
        database.execute("INSERT INTO a VALUES (?)", (HIDDEN.decode(),))
        database.commit()
        database.execute("UPDATE a SET v = 'gone'")
        database.commit()
        (log,) = tmp_path.glob("x.db-*l") if mode == "wal" else tmp_path.glob("x.db-j*")
        found = look(log.read_bytes(), log.name)
    assert rules(found) >= FOUND
    assert found.unsearched


@pytest.mark.parametrize("length", [48, 56, 65, 90, 97, 106, 122])
def test_a_length_that_is_a_letter_hides_nothing(length: int) -> None:
    """Bytecode and protocol buffers write the length of a text right before it."""
    line = (TOKEN + b" Zoe Quillfeather " + b"." * 99)[:length].decode()
    for text in (line, line[len(TOKEN) + 1 :] + "." * (len(TOKEN) + 1)):
        code = compile(f"x = {text!r}", "/opt/x.py", "exec")
        pyc = b"\xa7\r\r\n" + bytes(12) + marshal.dumps(code)
        event = bytes(16) + b"\x1a" + bytes([length]) + text.encode() + bytes(4)
        expected = {"github-token"} if text == line else {"term: name"}
        if len(TOKEN) + 18 <= length or text == line:
            assert rules(look(pyc, "x.pyc")) >= expected
            assert rules(look(event, "x.tfevents.1")) >= expected


@pytest.mark.parametrize("kind", [mark for _, _, mark in PACKED])
def test_what_is_not_unpacked_is_said_by_its_name(kind: bytes) -> None:
    """Also where so much of it is text that it does not look like a binary file."""
    for content in (kind + b"\x15\0\x15" + HIDDEN + b"PAR1", kind + HIDDEN * 9):
        for name, packed in (("x.parquet", content), ("x.zip", zipped(content, "x.parquet"))):
            found = look(packed, name)
            assert rules(found) >= FOUND
            assert any("has packed" in one.reason for one in found.unsearched)


def array(content: object, **options: bool) -> bytes:
    target = io.BytesIO()
    numpy.save(target, numpy.array(content, dtype=object if options else None), **options)
    return target.getvalue()


def tensors(content: bytes, metadata: str = "") -> bytes:
    entry = {"dtype": "U8", "shape": [len(content)], "data_offsets": [0, len(content)]}
    header = json.dumps({"__metadata__": {"a": metadata}, "w": entry}).encode()
    return struct.pack("<Q", len(header)) + header + content


PACKED_AWAY = {
    "x.npy": array([gzip.compress(HIDDEN), 3], allow_pickle=True),
    "bytes.npy": array(numpy.frombuffer(gzip.compress(HIDDEN), dtype=numpy.uint8)),
    "behind.npy": array([1.0, 2.0]) + gzip.compress(HIDDEN),
    "tensor.safetensors": tensors(gzip.compress(HIDDEN)),
    "metadata.safetensors": tensors(b"1234", base64.b64encode(gzip.compress(HIDDEN)).decode()),
    "behind.safetensors": tensors(b"1234") + zipped(),
    "constant.pyc": b"\xa7\r\r\n"
    + bytes(12)
    + marshal.dumps(compile(f"x = {gzip.compress(HIDDEN)!r}", "x", "exec")),
    "behind.zip": zipped(b"nothing") + gzip.compress(HIDDEN),
    "literal.py": f"X = {gzip.compress(HIDDEN)!r}\n".encode(),
    "buffer.json": json.dumps({"type": "Buffer", "data": [*gzip.compress(HIDDEN)]}).encode(),
    "address.txt": b"x=" + base64.urlsafe_b64encode(zlib.compress(HIDDEN)),
    "lines.py": b"X = (\n"
    + b"".join(
        b'    b"%s"\n' % base64.b64encode(gzip.compress(HIDDEN))[at : at + 40]
        for at in range(0, 600, 40)
    )
    + b")\n",
    "dump.txt": b"\n".join(
        gzip.compress(HIDDEN)[at : at + 30].hex().encode() for at in range(0, 300, 30)
    ),
}


@pytest.mark.parametrize("name", PACKED_AWAY)
def test_what_is_packed_in_arrays_and_literals_is_looked_into(name: str) -> None:
    assert rules(look(PACKED_AWAY[name], name)) >= FOUND


@pytest.mark.parametrize("content", [array([1.5] * 90), array(["a", "b"]), tensors(bytes(90))])
def test_arrays_of_numbers_and_text_are_clean(content: bytes) -> None:
    for name in ("x.npy", "x.safetensors"):
        assert not look(content, name).unsearched


def test_a_short_stream_in_the_middle_of_a_text_is_said() -> None:
    found = look(b"text " * 900 + gzip.compress(b"x") + b"text " * 900, "x.txt")
    assert found.unsearched


def test_a_mark_in_a_program_is_no_file() -> None:
    assert not look(
        b"if magic.startswith(b'PK\\x03\\x04') or x == b'\\x1f\\x8b\\x08':\n", "x.py"
    ).unsearched
