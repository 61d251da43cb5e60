# SPDX-License-Identifier: Apache-2.0
"""The same fuzzing, guided by coverage: `python -m tests.fuzz.coverage_guided [SECONDS]`.

Needs atheris (`make fuzz-coverage` installs it): libFuzzer keeps inputs that reach new branches of
repropack in `build/fuzz`, and changes them further, half of the time by the structured changes of
the layers. Where `tests.fuzz` would fail it writes the input to `crash-…` and ends with a status
that is not 0.
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from random import Random
from typing import Final

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["repropack"]):
    from tests.fuzz.__main__ import NAMES, VECTORS, Target, seeds
    from tests.vectors.mutation import changed

LARGEST: Final = 64 * 1024
"""Bytes of an input: vectors of hundreds of kilobytes teach a fuzzer little and slow it down."""


def mutate(data: bytes, most: int, number: int) -> bytes:
    """An input after one change: of its layer's own kind, or any that libFuzzer knows."""
    random = Random(number)
    if data and random.random() < 0.5:
        with contextlib.suppress(ValueError):  # no JSON any more
            name = NAMES[data[0] % len(NAMES)]
            return (data[:1] + changed(name, data[1:], random))[:most]
    other: bytes = atheris.Mutate(data, most)
    return other


def main(seconds: str = "60") -> None:
    """Fuzzes until the time is over; libFuzzer ends the process."""
    place = Path("build/fuzz")
    corpus = place / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(s for s in seeds(VECTORS) if len(s) <= LARGEST):
        (corpus / f"seed-{number:04}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", "-timeout=10"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], Target(place), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
