# SPDX-License-Identifier: Apache-2.0
"""Secrets in the files in which people have them, and those files in others: found, and masked."""

from __future__ import annotations

import itertools

import pytest

from repropack.privacy.walk import Scanned, Target, scan
from tests.privacy.everyday import EVERYDAY, WRAPPINGS, Secret, draw


def look(secrets: list[Secret], wrappings: list[str]) -> tuple[Scanned, list[tuple[str, str]]]:
    """What is found, and which files it is not found in."""
    targets = [
        Target(
            place=f"{number}/{one.name}",
            content=WRAPPINGS[kind](one.name, one.text.encode()),
        )
        for number, (one, kind) in enumerate(zip(secrets, wrappings, strict=True))
    ]
    scanned = scan(targets, (), workers=1)
    found = {leak.place.split(" » ")[0] for leak in scanned.leaks if leak.blocks}
    missed = [
        (target.place, kind)
        for target, kind in zip(targets, wrappings, strict=True)
        if target.place not in found
    ]
    return scanned, missed


def test_there_are_enough() -> None:
    assert len(EVERYDAY) >= 75
    assert len(WRAPPINGS) >= 15


@pytest.mark.parametrize("seed", range(3))
def test_every_secret_is_found_in_every_kind_of_file(seed: int) -> None:
    secrets = draw(seed)
    kinds = list(itertools.islice(itertools.cycle(WRAPPINGS), seed * 6, seed * 6 + len(secrets)))
    scanned, missed = look(secrets, kinds)
    assert missed == []
    shown = "\n".join(f"{leak.shown} {leak.place}" for leak in scanned.leaks)
    for one in secrets:
        assert one.secret not in shown
        assert one.secret[6:] not in shown


def test_hardly_a_value_is_passed_over_by_chance() -> None:
    """Random values look like anything now and then: a password of letters only is a word."""
    secrets = [one for seed in range(100, 130) for one in draw(seed)]
    _, missed = look(secrets, ["plain"] * len(secrets))
    assert len(missed) <= len(secrets) / 500
