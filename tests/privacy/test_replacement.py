# SPDX-License-Identifier: Apache-2.0
"""Words are replaced exactly where they stand, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.privacy.replacement import ReplacementError, apply, parse_replacements
from repropack.privacy.search import Searcher
from repropack.privacy.terms import Identity, terms_of


@pytest.mark.parametrize(
    ("given_", "text", "expected"),
    [
        (["kim=author"], "by kim, kim_1 and skimage", "by author, author_1 and skimage"),
        (["kim=author"], "Kim KIM kim", "Kim KIM author"),
        (["Kim Lee=A", "Kim=B"], "Kim Lee met Kim", "A met B"),
        (["Kim=B", "Kim Lee=A"], "Kim Lee met Kim", "A met B"),
        (["müller=x"], "müller übermüller müllerin", "x übermüller müllerin"),
        (["a=b=c"], "a=b d", "c d"),
        ([r"k.m=x"], "kim k.m", "kim x"),
        (["17=x"], "1700 17", "x00 x"),
    ],
)
def test_only_where_no_letter_adjoins(given_: list[str], text: str, expected: str) -> None:
    assert apply(text, parse_replacements(given_)) == expected


@pytest.mark.parametrize(
    "bad",
    ["", "kim", "=x", " kim=x", "kim=", "kim=a/b", "kim=a\\b", "kim=a'b", 'kim=a"b', "kim=a\nb",
     "kim=..", "a/b=c", "kim= x", "k\x1bm=x"],
)  # fmt: skip
def test_what_could_break_code_or_paths_is_refused(bad: str) -> None:
    with pytest.raises(ReplacementError):
        parse_replacements([bad])


def test_a_word_that_would_stand_there_again_is_refused() -> None:
    for several in (["kim=old kim"], ["kim=lee", "lee=kim"], ["kim=a", "kim=b"]):
        with pytest.raises(ReplacementError):
            parse_replacements(several)
    assert len(parse_replacements(["kim=a", "kim=a"])) == 1


def test_it_counts() -> None:
    counts: dict[str, int] = {}
    apply("kim kim lee", parse_replacements(["kim=a", "zoe=b"]), counts)
    assert counts == {"kim": 2}


@given(st.text(alphabet="kim leeKX_-./1é", max_size=60))
def test_what_is_replaced_is_what_the_leak_gate_finds(text: str) -> None:
    """The gate looks for a declared term by the same borders; only case may differ."""
    changed = apply(text, parse_replacements(["kimlee=author"]))
    searcher = Searcher(terms_of(Identity(declared=("kimlee",))), anonymous=True)
    again = [h for h in searcher.search(changed.encode()) if h.rule.startswith("term")]
    assert not again or "kimlee" in changed.lower()
    assert "kimlee" not in apply(changed, parse_replacements(["kimlee=author"])) or changed == text


@given(st.text(max_size=80))
def test_text_without_the_term_stays(text: str) -> None:
    if "marsh" not in text:
        assert apply(text, parse_replacements(["marsh=author"])) == text


@pytest.mark.parametrize("before", [r"\n", r"\t", "\x1b[1m", r"\u001b[31m"])
def test_a_word_after_an_escape_is_replaced_too(before: str) -> None:
    assert apply(f"by{before}kim", parse_replacements(["kim=author"])) == f"by{before}author"
