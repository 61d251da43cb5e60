# SPDX-License-Identifier: Apache-2.0
"""The fuzzer works: it tries its seeds, and is not green without any."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import NAMES, VECTORS, Target, seeds


def fuzz(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *options],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )


def test_no_seeds_are_a_failure(tmp_path: Path) -> None:
    done = fuzz("--seconds", "1", "--vectors", str(tmp_path))
    assert done.returncode == 1
    assert "no seeds" in done.stderr


def test_seeds_are_all_vectors_and_all_layers() -> None:
    assert len(seeds(VECTORS)) == len(list(VECTORS.glob("*/*.rpk"))) + len(NAMES)


def test_every_seed_is_tried_and_the_good_layers_are_accepted() -> None:
    done = fuzz("--seconds", "0")
    assert done.returncode == 0, done.stderr
    numbers = [int(word) for word in done.stdout.split() if word.isdigit()]
    assert numbers[0] == numbers[1]
    assert numbers[2] > len(NAMES)


def test_a_reader_that_raises_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(tmp_path)

    def broken(*_: object, **__: object) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("repropack.canonical.decode", broken)
    with pytest.raises(RecursionError):
        target(seeds(VECTORS)[-1])
