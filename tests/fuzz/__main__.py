# SPDX-License-Identifier: Apache-2.0
"""Fuzzes the reader for a bounded time: `python -m tests.fuzz [--seconds N]`, or `make fuzz`.

The seeds are the vectors and the layers of a good bundle. An input names a layer by its first byte;
the rest takes the layer's place, and what stands above is made and signed again, so that parsers
behind the signature are reached. An input that raises anything but a finding, is accepted in two
spellings, or means something else unsigned, is written to a file and ends the run with status 1.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Final

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.vectors.meaning import Meaning, meaning
from tests.vectors.mutation import LAYERS, SIGNED, changed, layer, rebuilt

VECTORS: Final = Path(__file__).parents[1] / "vectors/v1"
NAMES: Final = tuple(LAYERS)


def seeds(vectors: Path) -> list[bytes]:
    """Every vector as a whole file, and every layer of a good one.

    Raises:
        SystemExit: There are no vectors: a fuzzer without seeds finds nothing and looks green.
    """
    whole = bytes([NAMES.index("file")])
    found = [whole + path.read_bytes() for path in sorted(vectors.glob("*/*.rpk"))]
    if not found:
        raise SystemExit(f"fuzz: no seeds in {vectors}; run `make vectors`")
    return found + [bytes([number]) + layer(name) for number, name in enumerate(NAMES)]


class Target:
    """One try of the reader, with what must hold for every input."""

    def __init__(self, place: Path) -> None:
        self._path = place / "x.rpk"
        self._path.write_bytes(rebuilt("tail", layer("tail")))
        original = meaning(self._path)
        assert isinstance(original, Meaning)
        self._original = original
        self.accepted = self.tried = 0

    def __call__(self, data: bytes) -> None:
        """Raises whatever is wrong with the reader."""
        if not data:
            return
        name = NAMES[data[0] % len(NAMES)]
        self._path.write_bytes(rebuilt(name, data[1:]))
        found = meaning(self._path)
        self.tried += 1
        if isinstance(found, Meaning):
            self.accepted += 1
            if name not in SIGNED and name != "file":
                assert found == self._original, f"{name}: accepted with another meaning"


def search(target: Target, corpus: list[bytes], seconds: float) -> None:
    """Tries every seed, then lets hypothesis change the layers until the time is over."""
    end = time.monotonic() + seconds
    for data in corpus:
        _attempt(target, data)

    @settings(max_examples=100, deadline=None, database=None, suppress_health_check=[*HealthCheck])
    @given(st.sampled_from(corpus[-len(NAMES) :]), st.integers(0, 2**32), st.integers(1, 3))
    def explore(data: bytes, number: int, times: int) -> None:
        random = Random(number)
        new = data[1:]
        for _ in range(times):
            with contextlib.suppress(ValueError):  # no JSON any more: changed enough
                new = changed(NAMES[data[0]], new, random)
        _attempt(target, data[:1] + new)

    number = 0
    while time.monotonic() < end:
        seed(number)(explore)()
        number += 1


def _attempt(target: Target, data: bytes) -> None:
    try:
        target(data)
    except Exception:
        Path("fuzz-failure.bin").write_bytes(data)
        print("fuzz: this input is in fuzz-failure.bin", file=sys.stderr)  # noqa: T201 - a program
        raise


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--vectors", type=Path, default=VECTORS)
    given = parser.parse_args()
    corpus = seeds(given.vectors)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        target = Target(Path(place))
        search(target, corpus, given.seconds)
    print(f"{len(corpus)} seeds, {target.tried} inputs, {target.accepted} accepted")  # noqa: T201


if __name__ == "__main__":
    main()
