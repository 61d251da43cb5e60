# SPDX-License-Identifier: Apache-2.0
"""The author's terms and packed files where an encoding hides them in a text."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import quopri
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack.privacy.readings import readings
from repropack.privacy.walk import Scanned, Target, scan
from tests.privacy.corpus import own_terms

TEXT = "Some text before, and then by Zoë Quillfeather; zquill7 was here, at work.\n"
TOKEN = "ghp_Zk3Rw9QxLm2VtY7bNc5Hd8Jf4Gs6Pa1Ku0Ei"

Encoding = Callable[[bytes], bytes]


def look(content: bytes) -> Scanned:
    return scan([Target(place="x.txt", content=content)], own_terms(), workers=1)


def names(scanned: Scanned) -> set[str]:
    return {leak.shown for leak in scanned.leaks}


def uuencode(data: bytes) -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return b"begin 644 notes\n" + b"".join(lines) + b"`\nend\n"


def lines_of(form: str, width: int = 16) -> Encoding:
    """As dumps are laid out: address, bytes, and the same as text."""

    def dump(data: bytes) -> bytes:
        rows = []
        for at in range(0, len(data), width):
            row = data[at : at + width]
            pairs = [row[n : n + 2] for n in range(0, len(row), 2)]
            shown = "".join(chr(c) if 32 <= c < 127 else "." for c in row)
            rows.append(
                form.format(
                    at=at,
                    bytes=row.hex(" "),
                    words=" ".join(pair.hex() for pair in pairs),
                    swapped=" ".join(pair[::-1].hex() for pair in pairs),
                    shown=shown,
                    list=", ".join(f"0x{c:02x}" for c in row),
                )
            )
        return "\n".join(rows).encode()

    return dump


ENCODINGS: dict[str, Encoding] = {
    "base64": base64.encodebytes,
    "base64, one line": base64.b64encode,
    "base64, in addresses": base64.urlsafe_b64encode,
    "base32": base64.b32encode,
    "base85": base64.b85encode,
    "base85, assigned": lambda data: b"KEY=" + base64.b85encode(data),
    "base85, in JSON": lambda data: b'{"a":"' + base64.b85encode(data) + b'"}',
    "ascii85": base64.a85encode,
    "ascii85, of PDF": lambda data: base64.a85encode(data, wrapcol=60, adobe=True),
    "ascii85, in a program": lambda data: repr(base64.a85encode(data)).encode(),
    "hexadecimal": lambda data: data.hex().encode(),
    "xxd -p": lambda data: b"\n".join(
        data[at : at + 30].hex().encode() for at in range(0, len(data), 30)
    ),
    "xxd": lines_of("{at:08x}: {words:39}  {shown}"),
    "xxd -i": lines_of("  {list},", 12),
    "hexdump -C": lines_of("{at:08x}  {bytes}  |{shown}|"),
    "hexdump": lines_of("{at:07x} {swapped}"),
    "od -tx1": lines_of("{at:07o} {bytes}"),
    "od -An -tx1": lines_of(" {bytes}"),
    "bytes": lambda data: data.hex(" ").encode(),
    "bytes, as of a certificate": lambda data: data.hex(":").encode(),
    "uuencode": uuencode,
    "quoted-printable": quopri.encodestring,
    "numbers": lambda data: json.dumps([*data]).encode(),
    "numbers, in a program": lambda data: b"char x[] = {" + b", ".join(b"%d" % c for c in data),
    "characters that nobody sees": lambda data: "\u200b".join(
        data.decode("utf-8", "replace")
    ).encode(),
    "RTF": lambda data: b"{\\rtf1 " + b"".join(b"\\'%02x" % c for c in data),
    "lines of a program": lambda data: b"".join(
        b'    b"%s"\n' % base64.b64encode(data)[at : at + 40]
        for at in range(0, len(base64.b64encode(data)), 40)
    ),
    "percent": lambda data: quote(data, safe="").encode(),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_terms_are_found_wherever_a_group_begins(name: str) -> None:
    for before in range(9):
        data = b"abcdefghi"[:before] + TEXT.encode() * 2
        found = look(b"head\n" + ENCODINGS[name](data) + b"\ntail\n")
        assert names(found) == {"Zoë Quillfeather", "zquill7"}, before


@pytest.mark.parametrize(
    "command", ["base32", "xxd", "xxd -p", "xxd -i", "hexdump -C", "hexdump", "od -tx1", "od -x"]
)
def test_what_the_tools_write_is_read(command: str) -> None:
    if shutil.which(command.split(maxsplit=1)[0]) is None:
        pytest.skip(f"no {command.split(maxsplit=1)[0]} here")
    written = subprocess.run(
        command.split(), input=TEXT.encode(), capture_output=True, check=True
    ).stdout
    assert names(look(written)) == {"Zoë Quillfeather", "zquill7"}


@pytest.mark.parametrize(
    "broken", [b"Quill-\nfeather", b"Quill-\r\n    feather", b"Quill\xc2\xadfeather"]
)
def test_a_word_that_is_broken_is_one(broken: bytes) -> None:
    assert names(look(b"by Zoe " + broken + b" and others\n")) == {"Zoë Quillfeather"}


@pytest.mark.parametrize(
    "content",
    [
        base64.encodebytes(TOKEN.encode() * 2),
        TOKEN.encode().hex(" ").encode(),
        quote(TOKEN, safe="").replace("_", "%5F").encode(),
        "".join(f"\\u{ord(c):04x}" for c in TOKEN).encode(),
    ],
)
def test_tokens_of_a_form_of_their_own_are_found_too(content: bytes) -> None:
    found = look(b"mail:\n" + content + b"\n")
    assert "github-token" in {leak.rule for leak in found.leaks}
    assert TOKEN[8:] not in str(found)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(sorted(ENCODINGS)))
def test_any_bytes_have_readings(data: bytes, name: str) -> None:
    for content in (data, ENCODINGS[name](data), ENCODINGS[name](data)[: len(data) // 2 + 9]):
        for reading in readings(content):
            assert isinstance(reading, bytes)
        look(content)


@pytest.mark.parametrize(
    "content",
    [
        b"def function_of_many_words(first, second): return first.attribute[second] + 1\n" * 90,
        b"0.123,-0.456,1e-7,22,33,44\n" * 900,
        b"12 34 56 78 90 12 34 56\n" * 900,
        b"ACGTTGCAACGT" * 900,
        b",".join(b"%d" % (n * 7 % 251) for n in range(9000)),
        b"<a href='https://example.org/?q=A&b=1#x'>{[(!@#$%^&*)]}</a>\n" * 90,
    ],
)
def test_other_texts_say_nothing(content: bytes) -> None:
    assert not look(content).leaks


def test_packed_files_in_texts_are_looked_into(tmp_path: Path) -> None:
    hidden = f"{TEXT}token = {TOKEN}\n".encode() * 3
    packed = gzip.compress(hidden)
    for text in (
        b"INSERT INTO a VALUES (X'" + packed.hex().encode() + b"');",
        b"INSERT INTO a VALUES (X'" + packed.hex().upper().encode() + b"');",
        b'data = bytes.fromhex("' + zlib.compress(hidden).hex().encode() + b'")',
        uuencode(packed),
        b"From: x\n\n" + uuencode(hidden) + b"\nmore\n",
    ):
        found = look(text)
        assert names(found) >= {"Zoë Quillfeather", "zquill7", "ghp_… (40 characters)"}
        assert not found.unsearched

    def git(*arguments: str) -> bytes:
        return subprocess.run(
            ["git", *arguments], cwd=tmp_path, check=True, capture_output=True
        ).stdout

    git("init", "-q")
    (tmp_path / "x.bin").write_bytes(b"\0" * 64 + hidden)
    git("add", "x.bin")
    patch = git("diff", "--cached", "--binary")
    assert b"GIT binary patch" in patch
    assert names(look(patch)) >= {"Zoë Quillfeather", "zquill7", "ghp_… (40 characters)"}
