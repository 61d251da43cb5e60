# SPDX-License-Identifier: Apache-2.0
"""A bundle has one form: whatever is changed is refused, or means exactly the same.

Compressed bytes are not signed, so a zstd frame has a few bits that change nothing. Everything else
counts. What is accepted is written again as the bytes that were signed (`meaning` asserts it).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.vectors.forge import Draft, File, release
from tests.vectors.meaning import Meaning, meaning
from tests.vectors.mutation import LAYERS, SIGNED, changed, layer, rebuilt

MUTATIONS: Final = 20_000
PARTS: Final = 4

RECORDS: Final = frozenset(name for name in LAYERS if name.endswith(".json"))
EXPECTED: Final = frozenset({
    "OK", "RPK102", "RPK103", "RPK104", "RPK105", "RPK106", "RPK107", "RPK108", "RPK201", "RPK202",
    "RPK204", "RPK205", "RPK206", "RPK301", "RPK303", "RPK304", "RPK305", "RPK501", "RPK502",
})  # fmt: skip

SMALLEST: Final[Draft] = release()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.rpk"


def meaning_of(path: Path, data: bytes) -> Meaning | str:
    path.write_bytes(data)
    return meaning(path)


def test_every_prefix_is_refused(path: Path) -> None:
    data = SMALLEST.build()
    assert isinstance(meaning_of(path, data), Meaning)
    codes = Counter(meaning_of(path, data[:length]) for length in range(len(data)))
    assert set(codes) <= {"RPK101", "RPK102", "RPK103"}
    assert sum(codes.values()) == len(data)
    assert codes["RPK101"] <= 4


@pytest.mark.slow
def test_every_flipped_bit_is_refused_or_means_the_same(path: Path) -> None:
    data = Draft(files=(File(path="README.md", content=b"# x\n"),)).build()
    path.write_bytes(data)
    original = meaning(path, records=False)
    assert isinstance(original, Meaning)
    frames = len(data) - 17 - 3 * 8
    harmless = []
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        found = meaning(path, records=False)
        if isinstance(found, Meaning):
            assert found == original, bit
            harmless.append(bit)
    # The seek table has no such bits.
    assert all(bit // 8 < frames for bit in harmless)
    assert len(harmless) < 8 * len(data) / 50


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_structured_mutations_are_refused_or_mean_the_same(path: Path, part: int) -> None:
    random = Random(part)
    original = meaning_of(path, SMALLEST.build())
    assert isinstance(original, Meaning)
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in LAYERS}
    plain = {name: layer(name) for name in LAYERS}
    names = [name for name in LAYERS if name not in RECORDS] * 3 + sorted(RECORDS)
    for number in range(MUTATIONS // PARTS):
        name = names[number % len(names)]
        path.write_bytes(rebuilt(name, changed(name, plain[name], random)))
        found = meaning(path, records=name in RECORDS or name == "statement")
        if isinstance(found, Meaning):
            outcomes[name]["OK"] += 1
            # What the author signs may mean something else; then it is what she signed.
            assert name in SIGNED or found == original, name
        else:
            outcomes[name][found] += 1
    assert sum(counts.total() for counts in outcomes.values()) == MUTATIONS // PARTS
    # The mutations reach every layer's own code, and are not all refused at the door.
    missed = EXPECTED - set().union(*outcomes.values())
    assert not missed, missed
    for name in ("members frame", "manifest frame", "attestation frame"):
        assert outcomes[name]["OK"], "another level of compression is accepted"
    for name in ("claims.json", "runs/1/run.json"):
        assert outcomes[name]["OK"], "another valid record that the author signs is accepted"


def test_the_order_of_members_is_not_free(path: Path) -> None:
    files = tuple(File(path=name, content=b"") for name in ("README.md", "a", "b"))
    for listed, expected in ((files, "RPK207"), ((files[0], files[2], files[1]), "RPK205")):
        assert meaning_of(path, Draft(files=listed).build()) == expected
