# SPDX-License-Identifier: Apache-2.0
"""Times whole commands, and makes what they work on.

Commands that are compared take turns, so that whatever else the machine does meets all of them. A
command that other processes disturbed too much runs again.
"""

from __future__ import annotations

import array
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

DISTURBED = 0.15
ATTEMPTS = 3


class Run(NamedTuple):
    """Seconds of wall clock and of processor, and MiB of the largest process."""

    wall: float
    processor: float
    peak: int


class Command(NamedTuple):
    """A shell command that is measured.

    Attributes:
        written: What it writes. It is removed first: each has the same free memory for its file.
        prepare: A command that is not measured and runs before.
        spent: What nobody needs after it. It is removed, so that sizes fit on a disk one by one.
    """

    line: str
    written: Path | None = None
    prepare: str = ""
    spent: tuple[Path, ...] = ()


def take_turns(commands: Mapping[str, Command], rounds: int) -> dict[str, list[Run]]:
    """Runs every command once a round. What they read was just written, and is cached."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(run(command))
            for path in command.spent:
                remove(path)
    return runs


def run(command: Command) -> Run:
    for _ in range(ATTEMPTS):
        if command.written is not None:
            remove(command.written)
        if command.prepare:
            subprocess.run(["bash", "-ec", command.prepare], check=True, stdout=subprocess.DEVNULL)
        result, others = run_once(command.line)
        if others <= DISTURBED:
            return result
    print(f"the machine is busy: {others:.0%} of it did something else", file=sys.stderr)
    return result


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def run_once(line: str) -> tuple[Run, float]:
    """A run, and the part of all processors' time that was spent on something else meanwhile."""
    # GNU time starts as a small process: the peak is not this program's.
    timed = f"/usr/bin/time -f %M bash -o pipefail -c {shlex.quote(line)}"
    busy = busy_seconds()
    before = os.times()
    started = time.perf_counter()
    done = subprocess.run(
        ["bash", "-c", timed], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    wall = time.perf_counter() - started
    after = os.times()
    said = done.stderr.decode(errors="replace")
    if done.returncode:
        raise SystemExit(f"{line} ended with {done.returncode}: {said[-2000:]}")
    processor = sum(after[2:4]) - sum(before[2:4])
    others = (busy_seconds() - busy - processor) / (wall * len(os.sched_getaffinity(0)))
    return Run(wall, processor, int(said.split()[-1]) // 1024), others


def busy_seconds() -> float:
    """Seconds that all processors have worked, or were not given to this machine."""
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    user, nice, system, _idle, _waiting, interrupt, soft_interrupt, stolen = map(int, first)
    ticks = user + nice + system + interrupt + soft_interrupt + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


def make_weights(path: Path, size: int) -> None:
    """Float32 weights with the entropy of real ones."""
    numbers = random.Random(20261123)
    path.parent.mkdir(parents=True, exist_ok=True)
    base = array.array("f", (numbers.gauss(0, 0.02) for _ in range(4 * 2**20))).tobytes()
    with path.open("wb") as file:
        # Rotations of 16 MiB: what repeats lies beyond the window of every compressor here.
        for _ in range(size // len(base)):
            start = 4 * numbers.randrange(len(base) // 4)
            file.write(base[start:] + base[:start])


def make_texts(directory: Path, count: int) -> None:
    """Small files of text, 100 directories of them."""
    numbers = random.Random(20261123)
    words = ["".join(numbers.choices("etaoinshrdlu", k=numbers.randint(2, 9))) for _ in range(500)]
    for number in range(count):
        place = directory / f"{number % 100:02d}"
        place.mkdir(parents=True, exist_ok=True)
        text = " ".join(numbers.choices(words, k=600))
        (place / f"{number:05d}.txt").write_text(text, encoding="ascii")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    return [
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
