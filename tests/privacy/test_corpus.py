# SPDX-License-Identifier: Apache-2.0
"""Everything that is planted is found, in every kind of file; nothing of it is shown."""

from __future__ import annotations

import pytest

from repropack.privacy.rules import RULES
from repropack.privacy.walk import Scanned, Target, scan
from tests.privacy.corpus import KINDS, Planted, make_corpus, own_terms


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Planted], Scanned]:
    directory = tmp_path_factory.mktemp("corpus")
    planted = make_corpus(directory)
    targets = [Target(place=p.path.name, content=p.path) for p in planted]
    return planted, scan(targets, own_terms(), workers=1)


def test_the_corpus_is_large_enough(corpus: tuple[list[Planted], Scanned]) -> None:
    planted, _ = corpus
    assert len(planted) >= 300
    assert len({p.kind for p in planted}) == len(KINDS) >= 30
    assert {p.what for p in planted} - {"term"} <= {rule.name for rule in RULES}
    assert len({p.what for p in planted}) >= 40


def test_everything_is_found(corpus: tuple[list[Planted], Scanned]) -> None:
    planted, scanned = corpus
    found: dict[str, set[str]] = {}
    for leak in scanned.leaks:
        if leak.blocks:
            found.setdefault(leak.place.split(" » ")[0], set()).add(leak.rule)
    missed = [
        (p.kind, p.what, p.text, p.path.name)
        for p in planted
        if not any(
            rule == p.what or (p.what == "term" and rule.startswith("term"))
            for rule in found.get(p.path.name, ())
        )
    ]
    assert missed == []


def test_no_secret_is_shown(corpus: tuple[list[Planted], Scanned]) -> None:
    planted, scanned = corpus
    masked = {rule.name for rule in RULES if rule.secret}
    shown = "\n".join(f"{leak.shown} {leak.place} {leak.why}" for leak in scanned.leaks)
    for one in planted:
        if one.what in masked:
            assert one.text not in shown
            assert one.text[5:] not in shown


def test_unknown_binary_files_are_not_called_clean(corpus: tuple[list[Planted], Scanned]) -> None:
    planted, scanned = corpus
    noted = {one.place for one in scanned.unsearched}
    for one in planted:
        if one.kind == "unknown binary":
            assert one.path.name in noted
