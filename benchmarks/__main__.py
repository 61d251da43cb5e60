# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks and prints Markdown: `python -m benchmarks [--scratch DIR] [NAME …]`."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import tempfile
from pathlib import Path

TABLE = {
    "container": "benchmarks.container",
    "archivers": "benchmarks.archivers",
    "recording": "benchmarks.recording",
    "recorders": "benchmarks.recorders",
    "hashing": "benchmarks.hashing",
    "leaks": "benchmarks.leaks",
    "verdict": "benchmarks.verdict",
}
"""Each module has `measure(scratch: Path) -> str`, which returns a Markdown section."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TABLE))
    parser.add_argument("--scratch", type=Path, help="where temporary files go; 60 GiB are needed")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - TABLE.keys()
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(TABLE)}")
    print(machine())
    for name in arguments.names or TABLE:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.scratch) as scratch:
            print("\n" + importlib.import_module(TABLE[name]).measure(Path(scratch)))


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores ({model}), {memory:.0f} GiB of memory, "
        f"Linux {platform.release()}, CPython {platform.python_version()}"
    )


if __name__ == "__main__":
    main()
