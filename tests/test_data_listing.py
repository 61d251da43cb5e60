# SPDX-License-Identifier: Apache-2.0
"""Lists of files with digests: those of coreutils, ours, and how two differ."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repropack import canonical
from repropack.data_listing import (
    Alignment,
    align,
    by_directory,
    by_suffix,
    compare,
    read_listing,
)
from repropack.errors import UsageError
from repropack.model import DataFile, DataManifest


@pytest.mark.parametrize("tool", ["md5sum", "sha1sum", "sha256sum", "sha512sum"])
@pytest.mark.parametrize("options", [[], ["--tag"], ["-b"]])
def test_lists_of_coreutils_with_any_name(tmp_path: Path, tool: str, options: list[str]) -> None:
    names = [b"plain.jpg", b"a b  c", b"line\nfeed", b"back\\slash", b"\xff.bin", b"(x) = y", b"*s"]
    data = tmp_path / "data"
    data.mkdir()
    for name in names:
        (data / os.fsdecode(name)).write_bytes(name)
    made = subprocess.run(
        [tool, *options, "--", *(b"./" + name for name in names)],
        cwd=data,
        check=True,
        capture_output=True,
    ).stdout
    (tmp_path / "list").write_bytes(made)
    found = read_listing(tmp_path / "list")
    assert found.algorithm == tool.removesuffix("sum")
    assert found.files == {
        os.fsdecode(name): hashlib.new(found.algorithm, name).digest() for name in names
    }


def test_a_data_manifest(tmp_path: Path) -> None:
    manifest = DataManifest(
        version=1, name="birds", files=(DataFile(path="a/1.jpg", size=1, sha256="ab" * 32),)
    )
    (tmp_path / "birds.json").write_bytes(canonical.encode(manifest))
    found = read_listing(tmp_path / "birds.json")
    assert (found.name, found.files) == ("birds", {"a/1.jpg": bytes.fromhex("ab" * 32)})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no line"),
        (b"\n\n", "no line"),
        (b"{}", "no data manifest"),
        (b"a,b,c\n", "line 1: expected `DIGEST  PATH`"),
        (b"ab" * 16 + b"  ok\nnonsense\n", "line 2: expected"),
        (b"ab" * 16 + b"  ok\n" + b"ab" * 32 + b"  other\n", "line 2: a digest of 64 digits"),
        (b"ab" * 20 + b"ab  odd\n", "a digest of 42 digits"),
        (b"ab" * 32 + b"  x\n" + b"cd" * 32 + b"  ./x\n", "stands twice"),
        (b"ab" * 32 + b"  " + b"x" * 70000, "line 1: expected"),
    ],
)
def test_what_is_no_list_is_one_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        read_listing(tmp_path / "list")
    assert said in str(caught.value)
    assert str(tmp_path / "list") in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_are_a_list_or_a_refusal(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list").write_bytes(content)
    with contextlib.suppress(UsageError):
        assert read_listing(tmp_path / "list").files


_LISTS = st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([b"", b"1", b"2"]))


@given(_LISTS, _LISTS)
def test_every_file_is_counted_once_and_the_other_way_round(
    one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    there, back = compare(one, other), compare(other, one)
    parts = (there.added, there.removed, there.changed, there.unknown)
    assert there.same + sum(map(len, parts)) == len({*one, *other})
    assert (there.added, there.removed) == (back.removed, back.added)
    assert (there.same, there.changed, there.unknown) == (back.same, back.changed, back.unknown)
    assert compare(one, one).same == sum(1 for content in one.values() if content)


@pytest.mark.parametrize(
    ("paths", "others", "alignment"),
    [
        (["a/1", "b/2"], ["a/1", "b/2"], Alignment()),
        (["a/1", "b/2"], ["set/a/1", "set/b/3"], Alignment(put="set/")),
        (["set/x/a/1", "set/x/b/2"], ["a/1"], Alignment(cut="set/x/")),
        (["a/1"], ["z"], Alignment()),
        ([], ["z"], Alignment()),
        (["a/1"], [], Alignment()),
    ],
)
def test_lists_that_start_at_other_directories(
    paths: list[str], others: list[str], alignment: Alignment
) -> None:
    assert align(dict.fromkeys(paths, b""), dict.fromkeys(others, b"")) == alignment


def test_the_content_tells_directories_with_equal_names_apart() -> None:
    files = {"1.jpg": b"x", "2.jpg": b"y"}
    others = {"train/1.jpg": b"a", "train/2.jpg": b"b", "validation/1.jpg": b"x"}
    assert align(files, others) == Alignment(put="validation/")


def test_groups() -> None:
    paths = ["a/1.PNG", "a/2.png", "b/3.gif", "readme"]
    assert by_suffix(paths) == [(".png", 2), (".gif", 1), ("no suffix", 1)]
    assert by_directory(paths) == [("a", 2), (".", 1), ("b", 1)]
