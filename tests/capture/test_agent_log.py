# SPDX-License-Identifier: Apache-2.0
"""Logs as killed processes, full disks and strangers leave them."""

from __future__ import annotations

import os
import tempfile
import zlib
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.agent.log import read_agent_logs

START = (
    b'start 1700000000000000000 12 3 /usr/bin/python3 /usr /usr 3.12.1 cpython-312 {"utf8_mode":1}'
    b' ["python3","train%20it.py"]'
)
END = (
    b'end {"modules":{"numpy":"/p/numpy/__init__.py"},"sys_path":["","/p%20q"],'
    b'"numerics":{"torch":{"version":"2.9"}},"mapped":["/d/a%ff"],"lost":0}'
)


def line(body: bytes) -> bytes:
    return b"%08x %s\n" % (zlib.crc32(body), body)


def write(directory: Path, *parts: bytes, pid: int = 12, mark: str = "00") -> Path:
    path = directory / f"{pid}-{mark * 6}.log"
    path.write_bytes(b"".join(parts))
    return path


def test_a_whole_log(tmp_path: Path) -> None:
    write(
        tmp_path,
        *map(line, (START, b"read /a", b"read /b%20c", b"read /a", b"write /o", b"list /d")),
        *map(line, (b"program git", b"blind git", b"blind /bin/sh", END)),
    )
    (seen,) = read_agent_logs(tmp_path)
    assert (seen.pid, seen.ppid, seen.executable) == (12, 3, "/usr/bin/python3")
    assert (seen.prefix, seen.base_prefix, seen.version) == ("/usr", "/usr", "3.12.1")
    assert (seen.cache_tag, seen.flags) == ("cpython-312", {"utf8_mode": 1})
    assert seen.opened_read == ("/a", "/b c")
    assert seen.opened_written == ("/o",)
    assert seen.listed == ("/d",)
    assert seen.programs == ("git", "/bin/sh")
    assert seen.unobserved_children == ("git", "/bin/sh")
    assert seen.modules == {"numpy": "/p/numpy/__init__.py"}
    assert seen.sys_path == ("", "/p q")
    assert seen.numerics == {"torch": {"version": "2.9"}}
    assert seen.mapped == (os.fsdecode(b"/d/a\xff"),)
    assert (seen.complete, seen.torn, seen.damaged) == (True, False, False)


def test_cut_anywhere_keeps_all_lines_before_the_cut(tmp_path: Path) -> None:
    lines = [line(body) for body in (START, b"read /a", b"read /b", END)]
    whole = b"".join(lines)
    for cut in range(1, len(whole) + 1):
        write(tmp_path, whole[:cut])
        (seen,) = read_agent_logs(tmp_path)
        kept = sum(1 for n in range(1, 5) if len(b"".join(lines[:n])) <= cut)
        assert seen.opened_read == ("/a", "/b")[: max(0, kept - 1)]
        assert seen.complete == (kept == 4)
        assert seen.torn == (cut != len(b"".join(lines[:kept])))
        assert not seen.damaged


@pytest.mark.parametrize(
    "bad",
    [
        b"00000000 read /x\n",
        b"\n",
        b"\x00" * 30 + b"\n",
        line(b"read /a")[:9] + line(b"read /b"),
        line(b"end {"),
        line(b'end {"modules":{}}'),
        line(b"unheard of"),
        line(b"read"),
        line(b"read /a /b"),
    ],
)
def test_a_bad_line_in_the_middle_is_damage_and_the_rest_is_used(
    tmp_path: Path, bad: bytes
) -> None:
    write(tmp_path, line(START), line(b"read /1"), bad, line(b"read /2"), line(END))
    (seen,) = read_agent_logs(tmp_path)
    assert seen.opened_read == ("/1", "/2")
    assert (seen.complete, seen.torn, seen.damaged) == (True, False, True)


@pytest.mark.parametrize("flipped", range(8 * 12))
def test_each_flipped_bit_is_noticed(tmp_path: Path, flipped: int) -> None:
    changed = bytearray(line(b"read /abcdefgh"))
    changed[9 + flipped // 8] ^= 1 << flipped % 8
    write(tmp_path, line(START), bytes(changed), line(END))
    (seen,) = read_agent_logs(tmp_path)
    assert seen.opened_read == ()
    assert seen.damaged


def test_lines_that_never_reached_the_disk_are_damage(tmp_path: Path) -> None:
    write(tmp_path, line(START), line(END.replace(b'"lost":0', b'"lost":3')))
    (seen,) = read_agent_logs(tmp_path)
    assert seen.complete
    assert seen.damaged


def test_without_its_first_line_a_process_is_damaged_and_last(tmp_path: Path) -> None:
    write(tmp_path, line(b"read /a"), pid=1)
    write(tmp_path, line(START), pid=2)
    first, second = read_agent_logs(tmp_path)
    assert (first.pid, first.damaged) == (2, False)
    assert (second.pid, second.damaged, second.opened_read) == (1, True, ("/a",))


def test_order_is_that_of_the_starts(tmp_path: Path) -> None:
    for pid, start in ((5, 300), (4, 100), (3, 2000)):
        write(tmp_path, line(START.replace(b"1700000000000000000", b"%d" % start)), pid=pid)
    assert [seen.pid for seen in read_agent_logs(tmp_path)] == [4, 5, 3]


def test_what_is_no_log_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "1-000000000000.log").mkdir()
    os.mkfifo(tmp_path / "2-000000000000.log")
    (tmp_path / "3-000000000000.log").symlink_to("/etc/passwd")
    (tmp_path / "4-000000000000.log").write_bytes(b"")
    assert read_agent_logs(tmp_path) == ()
    assert read_agent_logs(tmp_path / "missing") == ()


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_without_an_error(data: bytes, sound: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        write(Path(place), line(data) if sound else data, line(START), line(b"read /a"))
        (seen,) = read_agent_logs(Path(place))
    assert seen.opened_read[-1:] == ("/a",)


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=5, unique=True))
def test_any_name_comes_back(names: list[bytes]) -> None:
    def escaped(name: bytes) -> bytes:
        text = quote_from_bytes(name, safe="/")
        return "".join(
            part if number == 0 else "%" + part[:2].lower() + part[2:]
            for number, part in enumerate(text.split("%"))
        ).encode()

    with tempfile.TemporaryDirectory() as place:
        write(Path(place), line(START), *(line(b"read " + escaped(name)) for name in names))
        (seen,) = read_agent_logs(Path(place))
    assert [os.fsencode(name) for name in seen.opened_read] == names


@pytest.mark.parametrize(
    "fields", ["/a 1 2", "/a x 2 " + "ab" * 32, "/a 1 2 " + "AB" * 32, "/a 1 2 ab"]
)
def test_a_content_in_another_form_is_damage(tmp_path: Path, fields: str) -> None:
    body = f"was {fields}".encode()
    line = b"%08x %s\n" % (zlib.crc32(body), body)
    (tmp_path / "7-0123456789ab.log").write_bytes(line)
    (observation,) = read_agent_logs(tmp_path)
    assert observation.damaged
    assert observation.replaced == {}
