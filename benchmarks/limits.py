# SPDX-License-Identifier: Apache-2.0
"""What no archiver on this machine can beat: `python -m benchmarks.limits read|sha256|zstd FILE`.

Reading, SHA-256 and zstd (level 1, frames of 4 MiB) of a file, one process a processor, nothing
else done with the bytes. Prints nothing.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

FRAME = 4 * 2**20


def work(kind: str, path: Path, start: int, end: int) -> None:
    buffer = bytearray(FRAME)
    use = use_of(kind)
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while start < end and (count := file.readinto(memoryview(buffer)[: end - start])):
            use(memoryview(buffer)[:count])
            start += count


def use_of(kind: str) -> Callable[[memoryview], object]:
    match kind:
        case "read":
            return len
        case "sha256":
            return hashlib.sha256().update
        case "zstd":
            import zstandard

            compressor = zstandard.ZstdCompressor(
                level=1, write_checksum=True, write_content_size=True
            )
            return compressor.compress
    raise SystemExit(f"{kind}: one of read, sha256, zstd")


def main(kind: str, path: Path) -> None:
    processors = len(os.sched_getaffinity(0))
    size = path.stat().st_size
    step = -(-size // processors // FRAME) * FRAME
    with ProcessPoolExecutor(processors) as pool:
        parts = [
            pool.submit(work, kind, path, start, min(start + step, size))
            for start in range(0, size, step)
        ]
        for part in parts:
            part.result()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
