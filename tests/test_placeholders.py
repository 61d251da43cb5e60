# SPDX-License-Identifier: Apache-2.0
"""Recorded text: nothing of this machine in it, and the original can be had back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.placeholders import (
    Recording,
    UnfilledError,
    fill,
    names_in,
    split_code,
    split_data,
)

PLACES = {
    "project": "/home/zoe/lab",
    "home": "/home/zoe",
    "tmp": "/tmp",
    "data:mnist": "/data/mnist",
    "host": "bigbox",
}
RECORDING = Recording(
    prefixes={place: name for name, place in PLACES.items() if name != "host"},
    words={"bigbox": "host"},
)

PIECES = st.sampled_from(
    [*PLACES.values(), "{project}", "{data:x}", "{", "}", "{{", "/", " ", ":", "a", ".", "-I", "é"]
)
TEXT = st.one_of(st.text(), st.lists(PIECES).map("".join))


@given(TEXT)
def test_filled_in_with_the_same_places_it_is_the_original(text: str) -> None:
    assert fill(RECORDING.text(text), PLACES) == text


@given(TEXT)
def test_text_without_places_names_no_placeholder(text: str) -> None:
    nothing = Recording(prefixes={})
    assert names_in(nothing.text(text)) == ()
    assert fill(nothing.text(text), {}) == text


@pytest.mark.parametrize(
    ("text", "recorded"),
    [
        ("/home/zoe/lab/a.py", "{project}/a.py"),
        ("--out=/home/zoe/x", "--out={home}/x"),
        ("-I/home/zoe/include", "-I{home}/include"),
        ("file:///home/zoe/x.db", "file://{home}/x.db"),
        ("/home/zoe/lab:/home/zoe", "{project}:{home}"),
        ("['/home/zoe/a']", "['{home}/a']"),
        ("No such file: /home/zoe.", "No such file: {home}."),
        # A longer name, or the same name elsewhere, is another directory.
        ("/home/zoey/a", "/home/zoey/a"),
        ("/home/zoe-old", "/home/zoe-old"),
        ("/home/zoe.old", "/home/zoe.old"),
        ("/backup/home/zoe", "/backup/home/zoe"),
        ("/scratch/tmp/x", "/scratch/tmp/x"),
        ("out/bigbox.log", "out/{host}.log"),
        ("bigboxes", "bigboxes"),
        ("{project}", "{{project}"),
    ],
)
def test_where_a_place_begins_and_ends(text: str, recorded: str) -> None:
    assert RECORDING.text(text) == recorded


def test_a_placeholder_without_a_value_is_named() -> None:
    with pytest.raises(UnfilledError, match="data:mnist"):
        fill("{data:mnist}/a", {})


def test_the_data_set_of_a_path() -> None:
    assert split_data("{data:a}/b/c") == ("a", "b/c")
    assert split_data("{project}/b") == ("project", "b")
    assert split_data("{home}/b") is None
    assert split_data("{data:a") is None


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("{project}", (None, "")),
        ("{project}/a/b", (None, "a/b")),
        ("{code:lib}", ("lib", "")),
        ("{code:lib}/a", ("lib", "a")),
        ("{project}/", None),
        ("{project}x", None),
        ("{code:}", None),
        ("{code:a/b}", None),
        ("{data:lib}/a", None),
        ("/etc", None),
    ],
)
def test_places_of_code(path: str, split: tuple[str | None, str] | None) -> None:
    assert split_code(path) == split


NAMES = st.text(st.sampled_from("ab-._{}:/\n jo"), min_size=1, max_size=8).filter(
    lambda name: not name.startswith("/")
)


@given(st.lists(NAMES, max_size=4), st.sampled_from(["/d", "/d/jo", "/d/{project", "/e-"]))
def test_many_files_of_a_directory_are_called_like_each_alone(
    files: list[str], directory: str
) -> None:
    recording = Recording(
        prefixes={"/d": "data:d", "/d/a": "code:a", "/b": "home"}, words={"jo": "user"}
    )
    one_by_one = [recording.text(f"{directory}/{file}") for file in files]
    assert recording.texts_below(directory, files) == one_by_one


def test_files_below_a_data_set_have_its_placeholder() -> None:
    recording = Recording(prefixes={"/data/set": "data:set"}, words={"jo": "user"})
    assert recording.texts_below("/data/set", ["a.png", "b/c.png"]) == [
        "{data:set}/a.png",
        "{data:set}/b/c.png",
    ]
