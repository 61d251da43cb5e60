# SPDX-License-Identifier: Apache-2.0
"""repropack beside the tools that people pack, back up and sign with, at growing sizes.

Weights of some GiB and a hundred small files. Each tool does its usual part with its usual
settings; what that part is stands in the table. All take turns. What is not needed any more is
removed at once: 16 GiB of weights need 50 GiB of disk.
"""

from __future__ import annotations

import shlex
import shutil
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring import Command, Run, make_texts, make_weights, table, take_turns

ROUNDS: dict[float, int] = {1: 3, 4: 2}
"""By GiB of weights; one round of others, which take long."""

SLOW = ("zip -1", "reprozip pack")
"""One thread and deflate, ten minutes for 16 GiB: only up to `SLOW_LIMIT`."""
SLOW_LIMIT = 4

PARTS = {
    "repropack export": "pack, compress, hash, sign",
    "repropack export, again": "the same with another README, after a first export",
    "tar, zstd -T0, openssl dgst": "pack, compress, hash",
    "tar --zstd": "pack, compress",
    "zip -1": "pack, compress, CRC",
    "borg create": "pack, compress, hash, deduplicate",
    "restic backup": "pack, compress, hash, deduplicate, encrypt",
    "reprozip pack": "pack, compress (of a traced run)",
    "model_signing sign": "hash, sign",
    "bagit --sha256": "hash",
    "repropack verify": "decompress, hash, check the signature's manifest",
    "zstd -dc, openssl dgst": "decompress, hash",
    "model_signing verify": "hash, check the signature",
    "bagit --validate": "hash",
    "limit: read": "all processors",
    "limit: SHA-256": "all processors",
    "limit: zstd -1": "all processors",
    "limit: SHA-256 and zstd -1": "all processors; what an export must do",
    "limit: zstd -d and SHA-256": "all processors; what a check must do",
}

EXPORTS = "repropack export"
CHECKS = "repropack verify"
CHECKERS = (
    "zstd -dc, openssl dgst",
    "model_signing verify",
    "bagit --validate",
    "limit: zstd -d and SHA-256",
)


def measure(scratch: Path, gib: float) -> str:
    """A section of docs/performance.md, for weights of so many GiB."""
    present = commands(scratch, int(gib * 2**30))
    if gib > SLOW_LIMIT:
        present = {name: line for name, line in present.items() if name not in SLOW}
    rounds = ROUNDS.get(gib, 1)
    runs = take_turns(present, rounds)
    shutil.rmtree(scratch / "source")
    left_out = f"{' and '.join(SLOW)} would take ten minutes each. " if gib > SLOW_LIMIT else ""
    return "\n".join(
        [
            f"## Archivers, {gib} GiB",
            "",
            *rows(runs),
            "",
            f"Rounds: {rounds}. Ratio: repropack's seconds (export, or verify for what checks) "
            "divided by the tool's; the median of the ratios within a round. Peak: the largest "
            f"process. Inputs are cached where they fit into memory. {left_out}Limits do nothing "
            "else with the bytes.",
        ]
    )


def commands(place: Path, size: int) -> dict[str, Command]:
    """Every command at one size, in the order in which they need each other."""
    source = place / "source"
    make_weights(source / "weights/model.bin", size)
    make_texts(source / "small", 100)
    (source / "README.md").write_text("# benchmark\n", encoding="ascii")
    tools = Path(sys.executable).parent
    names = {
        "src": source,
        "weights": source / "weights/model.bin",
        "rpk": place / "x.rpk",
        "again": place / "again.rpk",
        "notes": place / "notes",
        "tzst": place / "x.tar.zst",
        "zip": place / "x.zip",
        "borg": place / "borg",
        "restic": place / "restic",
        "trace": place / "trace",
        "rpz": place / "x.rpz",
        "sig": place / "model.sig",
        "key": place / "key.pem",
        "public": place / "public.pem",
        "bag": place / "bag",
        "py": Path(sys.executable),
        "bin": tools,
    }
    q = {name: shlex.quote(str(path)) for name, path in names.items()}
    lines = {
        "repropack export": "{py} -m benchmarks.product export {src} {rpk} {notes}",
        "repropack verify": "{py} -m benchmarks.product verify {rpk}",
        "limit: zstd -d and SHA-256": "{py} -m benchmarks.limits verify {rpk}",
        "repropack export, again": "{py} -m benchmarks.product export {src} {again} {notes}",
        "tar, zstd -T0, openssl dgst": (
            "tar -cf - -C {src} . | zstd -T0 -qfo {tzst} && "
            "find {src} -type f -print0 | xargs -0 openssl dgst -sha256"
        ),
        "tar --zstd": "tar --zstd -cf {tzst} -C {src} .",
        "zstd -dc, openssl dgst": "zstd -dcq {tzst} | openssl dgst -sha256",
        "zip -1": "zip -1 -q -r {zip} {src}",
        "borg create": "borg create {borg}::x {src}",
        "restic backup": "RESTIC_PASSWORD=x restic -q -r {restic} backup {src}",
        "reprozip pack": "{bin}/reprozip pack -d {trace} {rpz}",
        "model_signing sign": (
            "{bin}/model_signing sign key {src} --private_key {key} --signature {sig}"
        ),
        "model_signing verify": (
            "{bin}/model_signing verify key {src} --public_key {public} --signature {sig}"
        ),
        "bagit --sha256": "{bin}/bagit.py --quiet --sha256 --processes 2 {bag}",
        "bagit --validate": "{bin}/bagit.py --quiet --validate --processes 2 {bag}",
        "limit: read": "{py} -m benchmarks.limits read {weights}",
        "limit: SHA-256": "{py} -m benchmarks.limits sha256 {weights}",
        "limit: zstd -1": "{py} -m benchmarks.limits zstd {weights}",
        "limit: SHA-256 and zstd -1": "{py} -m benchmarks.limits export {weights}",
    }
    # What a tool needs before its clock starts.
    prepare = {
        "repropack export": "rm -rf {notes} && {py} -m benchmarks.product digests {src} {notes}",
        "repropack export, again": "echo 'one more line' >> {src}/README.md",
        "borg create": "borg init -e none {borg}",
        "restic backup": "RESTIC_PASSWORD=x restic -q -r {restic} init",
        "reprozip pack": (
            "export REPROZIP_USAGE_STATS=off; cd {src} && find . -type f | "
            "xargs {bin}/reprozip trace --overwrite -d {trace} --dont-identify-packages cat"
        ),
        "model_signing sign": (
            "openssl ecparam -name prime256v1 -genkey -noout -out {key} && "
            "openssl ec -in {key} -pubout -out {public} 2>&1"
        ),
        # A bag holds its own copy; links cost no disk.
        "bagit --sha256": "cp -al {src} {bag}",
    }
    written = {
        "repropack export": "rpk",
        "repropack export, again": "again",
        "tar, zstd -T0, openssl dgst": "tzst",
        "tar --zstd": "tzst",
        "zip -1": "zip",
        "borg create": "borg",
        "restic backup": "restic",
        "reprozip pack": "rpz",
        "model_signing sign": "sig",
        "bagit --sha256": "bag",
    }
    spent = {
        "repropack export, again": ("rpk", "again"),
        "zstd -dc, openssl dgst": ("tzst",),
        "zip -1": ("zip",),
        "borg create": ("borg",),
        "restic backup": ("restic",),
        "reprozip pack": ("rpz", "trace"),
        "bagit --validate": ("bag",),
    }
    return {
        name: Command(
            line.format(**q),
            names[written[name]] if name in written else None,
            prepare.get(name, "").format(**q),
            tuple(names[one] for one in spent.get(name, ())),
        )
        for name, line in lines.items()
    }


def rows(runs: dict[str, list[Run]]) -> Iterator[str]:
    def cells() -> Iterator[list[str]]:
        for name, found in runs.items():
            ours = CHECKS if name in CHECKERS or name == CHECKS else EXPORTS
            ratios = [a.wall / b.wall for a, b in zip(runs[ours], found, strict=True)]
            yield [
                f"**{name}**" if name == ours else name if "limit" in name else f"`{name}`",
                PARTS[name],
                f"{statistics.median(r.wall for r in found):.1f}",
                f"{statistics.median(r.processor for r in found):.1f}",
                "1" if name == ours else f"{statistics.median(ratios):.2f}",
                str(max(r.peak for r in found)),
            ]

    header = ["command", "what it does", "seconds", "processor seconds", "ratio", "peak MiB"]
    yield from table(header, list(cells()))
