# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks and prints Markdown: `python -m benchmarks [--scratch DIR] [NAME …]`.

Each section is printed when it is measured. `archivers` means `archivers-1`, `-4` and `-16`.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import os
import platform
import tempfile
from pathlib import Path

import repropack

TABLE: dict[str, tuple[str, tuple[int, ...]]] = {
    "container": ("benchmarks.container", ()),
    "archivers-1": ("benchmarks.archivers", (1,)),
    "archivers-4": ("benchmarks.archivers", (4,)),
    "archivers-16": ("benchmarks.archivers", (16,)),
    "recording": ("benchmarks.recording", ()),
    "recorders": ("benchmarks.recorders", ()),
    "hashing": ("benchmarks.hashing", ()),
    "leaks": ("benchmarks.leaks", ()),
    "sandbox": ("benchmarks.sandbox", ()),
    "verdict": ("benchmarks.verdict", ()),
}
"""Each module has `measure(scratch: Path, *arguments) -> str`, which returns a Markdown section."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TABLE))
    parser.add_argument("--scratch", type=Path, help="where temporary files go; 50 GiB are needed")
    arguments = parser.parse_args()
    chosen = [row for name in arguments.names for row in rows_of(name)] or list(TABLE)
    unknown = [name for name in arguments.names if not rows_of(name)]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(TABLE)}")
    # Installed programs have their bytecode; these would be compiled anew at every start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(Path(repropack.__file__).parent, quiet=1)
    print(machine(), flush=True)
    for row in chosen:
        module, extra = TABLE[row]
        with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.scratch) as scratch:
            section = importlib.import_module(module).measure(Path(scratch), *extra)
            print("\n" + section, flush=True)


def rows_of(name: str) -> list[str]:
    return [row for row in TABLE if row == name or row.startswith(name + "-")]


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
