# SPDX-License-Identifier: Apache-2.0
"""Export and verification of the container against tar, zstd and openssl.

2 GiB of weights and 20,000 small files. All commands take turns in each round, so that whatever
else the machine does meets all of them. Times are those of whole processes, start included.
"""

from __future__ import annotations

import array
import os
import random
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROUNDS = 3
WEIGHTS = 2 * 2**30
SMALL_FILES = 20_000
DISTURBED = 0.15
ATTEMPTS = 5


class Run(NamedTuple):
    """Seconds of wall clock and of processor, and MiB of peak memory where it was measured."""

    wall: float
    processor: float
    peak: int | None


def measure(scratch: Path) -> str:
    """The section `Container` of docs/performance.md."""
    source = scratch / "source"
    make_inputs(source)
    bundle = scratch / "x.rpk"
    archive = scratch / "x.tar.zst"
    files = scratch / "files.txt"
    files.write_bytes(b"\0".join(os.fsencode(p) for p in source.rglob("*") if p.is_file()))
    q = {k: shlex.quote(str(v)) for k, v in locals().items() if isinstance(v, Path)}
    product = f"{shlex.quote(sys.executable)} -m benchmarks.container"
    commands = {
        "export": f"{product} export {q['source']} {q['bundle']}",
        "tar --zstd": f"tar --zstd -cf {q['archive']} -C {q['source']} .",
        "tar, zstd -T0 -3, openssl dgst": (
            f"tar -cf - -C {q['source']} . | zstd -T0 -3 -qfo {q['archive']} && "
            f"xargs -0 openssl dgst -sha256 < {q['files']} > /dev/null"
        ),
        "verify": f"{product} verify {q['bundle']}",
        "zstd -dc, openssl dgst": f"zstd -dcq {q['archive']} | openssl dgst -sha256 > /dev/null",
    }
    written = dict(zip(commands, (bundle, archive, archive), strict=False))
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(ROUNDS + 1):
        for name, command in commands.items():
            result = run(command, written=written.get(name))
            if number:  # the first round fills the caches
                runs[name].append(result)
    return report(runs, source, bundle, archive)


def make_inputs(source: Path) -> None:
    """Float32 weights with the entropy of real ones, and texts."""
    numbers = random.Random(20261123)
    (source / "weights").mkdir(parents=True)
    base = array.array("f", (numbers.gauss(0, 0.02) for _ in range(4 * 2**20))).tobytes()
    with (source / "weights/model.bin").open("wb") as file:
        # Rotations of 16 MiB: what repeats lies beyond the window of every compressor here.
        for _ in range(WEIGHTS // len(base)):
            start = 4 * numbers.randrange(len(base) // 4)
            file.write(base[start:] + base[:start])
    words = ["".join(numbers.choices("etaoinshrdlu", k=numbers.randint(2, 9))) for _ in range(500)]
    for number in range(SMALL_FILES):
        directory = source / f"small/{number % 100:02d}"
        directory.mkdir(parents=True, exist_ok=True)
        text = " ".join(numbers.choices(words, k=600))
        (directory / f"{number:05d}.txt").write_text(text, encoding="ascii")
    (source / "README.md").write_text("# benchmark\n", encoding="ascii")


def run(command: str, *, written: Path | None) -> Run:
    """Runs a command; again, if other processes disturbed it too much.

    What it writes is removed first: each has the same free memory for its file.
    """
    for _ in range(ATTEMPTS):
        if written is not None:
            written.unlink(missing_ok=True)
        result, others = run_once(command)
        if others <= DISTURBED:
            return result
    print(f"the machine is busy: {others:.0%} of it did something else", file=sys.stderr)
    return result


def run_once(command: str) -> tuple[Run, float]:
    """A run, and the part of all processors' time that was spent on something else meanwhile."""
    busy = busy_seconds()
    before = os.times()
    started = time.perf_counter()
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], check=True, stdout=subprocess.PIPE, text=True
    )
    wall = time.perf_counter() - started
    after = os.times()
    processor = sum(after[2:4]) - sum(before[2:4])
    others = (busy_seconds() - busy - processor) / (wall * len(os.sched_getaffinity(0)))
    return Run(wall, processor, int(done.stdout) if done.stdout else None), others


def busy_seconds() -> float:
    """Seconds that all processors have worked, or were not given to this machine."""
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    user, nice, system, _idle, _waiting, interrupt, soft_interrupt, stolen = map(int, first)
    ticks = user + nice + system + interrupt + soft_interrupt + stolen
    return ticks / os.sysconf("SC_CLK_TCK")


def report(runs: dict[str, list[Run]], source: Path, bundle: Path, archive: Path) -> str:
    total = sum(p.stat().st_size for p in source.rglob("*") if p.is_file())
    lines = [
        "## Container",
        "",
        f"{total / 1e9:.2f} GB: {WEIGHTS // 2**30} GiB of float32 weights and {SMALL_FILES:,} "
        f"small files, cached. Median of {ROUNDS} rounds in which all commands take turns; the "
        "ratio is the median of the ratios within a round.",
        "",
        "| command | seconds | processor seconds | ratio | peak MiB |",
        "|---|---|---|---|---|",
    ]
    for ours, peers in (
        ("export", ["tar --zstd", "tar, zstd -T0 -3, openssl dgst"]),
        ("verify", ["zstd -dc, openssl dgst"]),
    ):
        for name in (ours, *peers):
            ratios = [a.wall / b.wall for a, b in zip(runs[ours], runs[name], strict=True)]
            peak = max((r.peak for r in runs[name] if r.peak is not None), default=None)
            cells = [
                f"**repropack {name}**" if name == ours else f"`{name}`",
                f"{statistics.median(r.wall for r in runs[name]):.2f}",
                f"{statistics.median(r.processor for r in runs[name]):.2f}",
                "1" if name == ours else f"{statistics.median(ratios):.2f}",
                "" if peak is None else str(peak),
            ]
            lines.append("| " + " | ".join(cells) + " |")
    lines += [
        "",
        "Ratio: repropack's seconds divided by the other's. repropack's export also hashes every "
        "member, signs, and waits for the disk (fsync); its verification also compares headers.",
        f"Sizes: .rpk {bundle.stat().st_size / 1e9:.3f} GB, "
        f".tar.zst {archive.stat().st_size / 1e9:.3f} GB.",
    ]
    return "\n".join(lines)


def export(source: Path, bundle: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from repropack.bundle import MemberSource, write_bundle
    from repropack.model import Role
    from repropack.signing import dsse
    from repropack.signing.keys import SigningKey

    key = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(32)))
    place = bundle.with_suffix(".place")

    def seal(manifest: bytes, offset: int) -> bytes:
        place.write_text(f"{offset} {len(manifest)}", encoding="ascii")
        return dsse.seal(manifest[:1000], key)

    top = len(os.fspath(source)) + 1
    sources = [
        MemberSource(path=path[top:], role=Role.DATA, content=Path(path))
        for directory, _, names in os.walk(source)
        for path in (os.path.join(directory, name) for name in names)
    ]
    written = write_bundle(bundle, sources, seal=seal)
    place.write_text(f"{place.read_text()} {written.manifest_sha256}", encoding="ascii")


def verify(bundle: Path) -> None:
    from repropack.bundle import open_bundle

    offset, size, sha256 = bundle.with_suffix(".place").read_text(encoding="ascii").split()
    with open_bundle(bundle) as opened:
        opened.read_manifest(offset=int(offset), size=int(size), sha256=sha256).verify()


def peak_memory() -> int:
    # Unlike ru_maxrss this does not count what the parent had before exec.
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["export", source_path, bundle_path]:
            export(Path(source_path), Path(bundle_path))
        case ["verify", bundle_path]:
            verify(Path(bundle_path))
    print(peak_memory())
