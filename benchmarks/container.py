# SPDX-License-Identifier: Apache-2.0
"""Export and verification of the container against tar, zstd and openssl.

2 GiB of weights and 20,000 small files. Times are those of whole processes, start included.
"""

from __future__ import annotations

import os
import shlex
import statistics
import sys
from pathlib import Path

from benchmarks.measuring import Command, Run, make_texts, make_weights, table, take_turns

ROUNDS = 3
WEIGHTS = 2 * 2**30
SMALL_FILES = 20_000


def measure(scratch: Path) -> str:
    """The section `Container` of docs/performance.md."""
    source = scratch / "source"
    make_weights(source / "weights/model.bin", WEIGHTS)
    make_texts(source / "small", SMALL_FILES)
    (source / "README.md").write_text("# benchmark\n", encoding="ascii")
    bundle = scratch / "x.rpk"
    archive = scratch / "x.tar.zst"
    notes = scratch / "notes"
    files = scratch / "files.txt"
    files.write_bytes(b"\0".join(os.fsencode(p) for p in source.rglob("*") if p.is_file()))
    q = {k: shlex.quote(str(v)) for k, v in locals().items() if isinstance(v, Path)}
    product = f"{shlex.quote(sys.executable)} -m benchmarks.product"
    commands = {
        "export": Command(
            f"{product} export {q['source']} {q['bundle']} {q['notes']}",
            bundle,
            f"rm -rf {q['notes']} && {product} digests {q['source']} {q['notes']}",
        ),
        "tar --zstd": Command(f"tar --zstd -cf {q['archive']} -C {q['source']} .", archive),
        "tar, zstd -T0 -3, openssl dgst": Command(
            f"tar -cf - -C {q['source']} . | zstd -T0 -3 -qfo {q['archive']} && "
            f"xargs -0 openssl dgst -sha256 < {q['files']} > /dev/null",
            archive,
        ),
        "verify": Command(f"{product} verify {q['bundle']}"),
        "zstd -dc, openssl dgst": Command(
            f"zstd -dcq {q['archive']} | openssl dgst -sha256 > /dev/null"
        ),
    }
    return report(take_turns(commands, ROUNDS), source, bundle, archive)


def report(runs: dict[str, list[Run]], source: Path, bundle: Path, archive: Path) -> str:
    total = sum(p.stat().st_size for p in source.rglob("*") if p.is_file())
    rows = []
    for ours, peers in (
        ("export", ["tar --zstd", "tar, zstd -T0 -3, openssl dgst"]),
        ("verify", ["zstd -dc, openssl dgst"]),
    ):
        for name in (ours, *peers):
            ratios = [a.wall / b.wall for a, b in zip(runs[ours], runs[name], strict=True)]
            rows.append(
                [
                    f"**repropack {name}**" if name == ours else f"`{name}`",
                    f"{statistics.median(r.wall for r in runs[name]):.2f}",
                    f"{statistics.median(r.processor for r in runs[name]):.2f}",
                    "1" if name == ours else f"{statistics.median(ratios):.2f}",
                    str(max(r.peak for r in runs[name])),
                ]
            )
    lines = [
        "## Container",
        "",
        f"{total / 1e9:.2f} GB: {WEIGHTS // 2**30} GiB of float32 weights and {SMALL_FILES:,} "
        f"small files, cached. Median of {ROUNDS} rounds in which all commands take turns; the "
        "ratio is the median of the ratios within a round.",
        "",
        *table(["command", "seconds", "processor seconds", "ratio", "peak MiB"], rows),
        "",
        "Ratio: repropack's seconds divided by the other's. repropack's export also hashes every "
        "member, signs, and waits for the disk (fsync); its verification also compares headers. "
        "Peak: the largest process.",
        f"Sizes: .rpk {bundle.stat().st_size / 1e9:.3f} GB, "
        f".tar.zst {archive.stat().st_size / 1e9:.3f} GB.",
    ]
    return "\n".join(lines)
