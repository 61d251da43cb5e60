# SPDX-License-Identifier: Apache-2.0
"""Our tar headers mean the same to GNU tar and to Python's tarfile as they mean to us."""

from __future__ import annotations

import io
import itertools
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repropack.bundle.tar_layer import (
    END_OF_ARCHIVE,
    frame_starts,
    header_size,
    lay_out,
    member_header,
    padding,
)
from repropack.model import Member, Role
from repropack.paths import PathRefusedError, check_logical_path
from tests.bundle.rpk_forge import FRAME

COMPONENT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"]),
    min_size=1,
    max_size=120,
)


def is_logical(path: str) -> bool:
    try:
        check_logical_path(path)
    except PathRefusedError:
        return False
    return True


ASCII = st.text("abcXYZ019._- ", min_size=1, max_size=160)
PATHS = st.lists(COMPONENT | ASCII, min_size=1, max_size=6).map("/".join).filter(is_logical)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(PATHS, st.tuples(st.binary(max_size=1200), st.booleans()), max_size=4))
def test_tarfile_reads_the_same(members: dict[str, tuple[bytes, bool]]) -> None:
    archive = b"".join(
        member_header(path, len(content), executable=executable)
        + content
        + bytes(padding(len(content)))
        for path, (content, executable) in members.items()
    )
    with tarfile.open(fileobj=io.BytesIO(archive + END_OF_ARCHIVE)) as tar:
        for info, (path, (content, executable)) in zip(
            tar.getmembers(), members.items(), strict=True
        ):
            assert info.name == path
            assert info.isreg()
            assert info.mode == (0o755 if executable else 0o644)
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname) == (0, 0, 0, "", "")
            assert tar.extractfile(info).read() == content  # type: ignore[union-attr]


@settings(max_examples=25, deadline=None)
@given(paths=st.lists(PATHS, min_size=1, max_size=30, unique=True))
def test_gnu_tar_lists_the_same(paths: list[str]) -> None:
    archive = b"".join(member_header(path, 0) for path in paths) + END_OF_ARCHIVE
    listing = subprocess.run(
        ["tar", "-tf", "-", "--quoting-style=literal"],
        input=archive,
        check=True,
        capture_output=True,
    )
    assert listing.stdout.decode().splitlines() == paths
    assert listing.stderr == b""


@given(PATHS, st.integers(0, 2**53 - 1))
def test_size_and_layout_agree_with_the_header(path: str, size: int) -> None:
    header = member_header(path, size)
    assert header_size(path, size) == len(header)
    member = Member(path=path, size=size, sha256="0" * 64, executable=False, role=Role.DATA)
    layout = lay_out([member, member])
    assert layout.contents[0] == len(header)
    assert layout.headers[1] == len(header) + size + padding(size)
    assert layout.end == 2 * layout.headers[1]
    assert layout.end % 512 == 0


@given(st.lists(st.integers(0, 2000) | st.integers(FRAME - 600, 3 * FRAME + 600), min_size=1))
def test_frames_are_cut_at_large_members_and_when_they_are_full(sizes: list[int]) -> None:
    members = [
        Member(path=f"m{i}", size=size, sha256="0" * 64, executable=False, role=Role.DATA)
        for i, size in enumerate(sizes)
    ]
    layout = lay_out(members)
    starts = list(frame_starts(members, layout))
    assert starts[-1] == layout.end
    must = {0, layout.end}
    for member, content_at in zip(members, layout.contents, strict=True):
        if member.size >= FRAME:
            must |= {content_at, content_at + member.size + padding(member.size)}
    assert must <= set(starts)
    for start, following in itertools.pairwise(starts):
        assert 0 < following - start <= FRAME
        assert following - start == FRAME or following in must


@pytest.mark.parametrize(
    ("path", "extended"),
    [
        ("a" * 100, False),
        ("a" * 101, True),
        ("a/" + "b" * 100, False),
        ("a" * 155 + "/" + "b" * 100, False),
        ("a" * 156 + "/" + "b" * 100, True),
        ("a/" + "b" * 101, True),
        ("é", True),
    ],
)
def test_pax_only_where_ustar_cannot_hold_the_path(path: str, extended: bool) -> None:
    header = member_header(path, 3)
    assert (len(header) > 512) is extended
    assert header[156:157] == (b"x" if extended else b"0")


def test_the_shortest_prefix_is_used() -> None:
    header = member_header("a/" * 60 + "name", 0)
    name, prefix = header[:100].rstrip(b"\0"), header[345:500].rstrip(b"\0")
    assert prefix + b"/" + name == b"a/" * 60 + b"name"
    assert len(name) == 100


@pytest.mark.parametrize("size", [8**11 - 1, 8**11, 10 * 2**30])
def test_sizes_beyond_8_gib(tmp_path: Path, size: int) -> None:
    header = member_header("big.bin", size)
    assert (len(header) > 512) is (size >= 8**11)
    path = tmp_path / "sparse.tar"
    with path.open("wb") as file:
        file.write(header)
        os.ftruncate(file.fileno(), len(header) + size + padding(size))
        file.seek(0, os.SEEK_END)
        file.write(member_header("after", 0) + END_OF_ARCHIVE)
    listing = subprocess.run(
        ["tar", "--numeric-owner", "-tvf", path], check=True, capture_output=True
    ).stdout.decode()
    first, second = (line.split() for line in listing.splitlines())
    assert first[:3] == ["-rw-r--r--", "0/0", str(size)]
    assert (first[-1], second[-1]) == ("big.bin", "after")
    with tarfile.open(path) as tar:
        assert [(i.name, i.size) for i in tar.getmembers()] == [("big.bin", size), ("after", 0)]
