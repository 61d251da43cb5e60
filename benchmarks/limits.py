# SPDX-License-Identifier: Apache-2.0
"""What no tool on this machine can beat: `python -m benchmarks.limits KIND FILE`. Prints nothing.

One process a processor, each with its part of the file, nothing else done with the bytes:

    read, sha256, zstd   of a file: reading it; SHA-256; zstd (level 1, frames of 4 MiB)
    export               of a file: SHA-256 and zstd, which whoever hashes and compresses does both
    verify               of a bundle: decompressing its frames, and SHA-256 of what comes out

SHA-256 of one file cannot be shared by processors; here each hashes its part, so that the limit is
that of many files, and of a machine with few processors.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

FRAME = 4 * 2**20

Piece = tuple[int, int]
"""Offset and size."""


def work(kind: str, path: Path, pieces: Sequence[Piece]) -> None:
    buffer = bytearray(FRAME + FRAME // 256)
    use = use_of(kind)
    with path.open("rb", buffering=0) as file:
        for start, size in pieces:
            file.seek(start)
            count = file.readinto(memoryview(buffer)[:size])
            assert count == size
            use(memoryview(buffer)[:size])


def use_of(kind: str) -> Callable[[memoryview], object]:
    import zstandard

    digest = hashlib.sha256()
    compressor = zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=True)
    decompressor = zstandard.ZstdDecompressor()

    def export(piece: memoryview) -> None:
        digest.update(piece)
        compressor.compress(piece)

    def verify(piece: memoryview) -> None:
        digest.update(decompressor.decompress(piece))

    uses: dict[str, Callable[[memoryview], object]] = {
        "read": len, "sha256": digest.update, "zstd": compressor.compress,
        "export": export, "verify": verify,
    }  # fmt: skip
    return uses[kind]


def pieces_of(kind: str, path: Path) -> list[Piece]:
    if kind != "verify":
        size = path.stat().st_size
        return [(start, min(FRAME, size - start)) for start in range(0, size, FRAME)]
    from repropack.bundle.container import open_container
    from repropack.bundle.sources.file import open_file

    source = open_file(path)
    offsets = open_container(source).table.offsets
    source.close()
    return [(start, end - start) for start, end in itertools.pairwise(offsets)]


def main(kind: str, path: Path) -> None:
    processors = len(os.sched_getaffinity(0))
    pieces = pieces_of(kind, path)
    step = -(-len(pieces) // processors)
    with ProcessPoolExecutor(processors) as pool:
        parts = [
            pool.submit(work, kind, path, pieces[start : start + step])
            for start in range(0, len(pieces), step)
        ]
        for part in parts:
            part.result()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
