# SPDX-License-Identifier: Apache-2.0
"""The leak gate beside detect-secrets and betterleaks: recall, false flags, speed.

Recall: the corpora of `tests/privacy/corpus.py`, with each rule and term in each kind of file, and
of `tests/privacy/everyday.py`, with files of other programs as people have them; each file has one
planted secret or term. False flags: the installed packages of this environment, which hold no
secrets; all files for repropack, and the same sample of text files for all three. The others know
no author's terms; they are asked for secrets only. Speed: MB of 10^6 bytes; repropack on all
processors.
"""

from __future__ import annotations

import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.measuring import make_weights, table
from repropack.privacy.walk import Target, scan
from tests.privacy.corpus import make_corpus, own_terms
from tests.privacy.everyday import EVERYDAY, WRAPPINGS, draw

SAMPLE = 25
"""One of so many text files: detect-secrets reads a quarter of a megabyte in a second."""

WEIGHTS = 2 * 2**30

Flagged = set[str]
Tool = Callable[[list[Path]], Flagged]

SEEDS = range(3)
"""Values of the everyday files, of which a few look like nothing by chance."""


def measure(scratch: Path) -> str:
    """The section `Leaks` of docs/performance.md."""
    planted = make_corpus(scratch / "corpus")
    everyday = make_everyday(scratch / "everyday")
    secrets = {str(one.path) for one in planted if one.what != "term"}
    terms = {str(one.path) for one in planted} - secrets
    packages = Path(sysconfig.get_paths()["purelib"])
    clean = sorted(p for p in packages.rglob("*") if p.is_file() and not p.is_symlink())
    sample = [p for p in clean if p.suffix in (".py", ".txt", ".json", ".md", ".js")][::SAMPLE]
    tools: dict[str, Tool] = {
        "repropack": repropack, "detect-secrets": detect_secrets, "betterleaks": betterleaks
    }  # fmt: skip
    rows = []
    for name, tool in tools.items():
        found = tool([one.path for one in planted])
        daily = tool(everyday)
        flagged, seconds = timed(tool, sample)
        rows.append(
            [
                name,
                f"{len(found & secrets)} of {len(secrets)}",
                f"{len(daily)} of {len(everyday)}",
                f"{len(found & terms)} of {len(terms)}" if tool is repropack else "–",
                f"{len(flagged)} of {len(sample):,}",
                f"{size_of(sample) / 1e6 / seconds:.1f}",
            ]
        )
    start = time.perf_counter()
    targets = [Target(place=str(path), content=path) for path in clean]
    leaks = scan(targets, own_terms(), second=False).leaks
    seconds = time.perf_counter() - start
    rules: dict[str, set[str]] = {}
    for leak in leaks:
        if leak.blocks:
            rules.setdefault(leak.place.split(" » ")[0], set()).add(leak.rule)
    kinds_of_flags = Counter(rule for found_in in rules.values() for rule in found_in)
    by_rule = ", ".join(f"{count} {rule}" for rule, count in kinds_of_flags.most_common())
    weights = scratch / "weights.bin"
    make_weights(weights, WEIGHTS)
    _, weighed = timed(repropack, [weights])
    kinds = len({one.kind for one in planted})
    return "\n".join(
        [
            "## Leaks",
            "",
            *table(["tool", "secrets", "everyday files", "terms", "false flags", "MB/s"], rows),
            "",
            f"Planted in {kinds} kinds of files; everyday files are {len(EVERYDAY)} files of other "
            f"programs with {len(SEEDS)} values each, in {len(KINDS)} wrappings. False flags "
            "and speed in the table are those of a sample. repropack on all "
            f"{len(clean):,} files of the environment ({size_of(clean) / 1e6:.0f} MB): "
            f"{len(rules)} flagged, {1000 * len(rules) / len(clean):.2f} in 1,000 ({by_rule}), "
            f"{size_of(clean) / 1e6 / seconds:.1f} MB/s; on one file of {WEIGHTS // 2**30} GiB of "
            f"weights: {WEIGHTS / 1e6 / weighed:.1f} MB/s.",
        ]
    )


def make_everyday(directory: Path) -> list[Path]:
    """Everyday files, each in one wrapping after the other."""
    paths = []
    for seed in SEEDS:
        for number, one in enumerate(draw(seed)):
            kind = KINDS[(number + seed * 6) % len(KINDS)]
            path = directory / f"{seed}-{number}" / (Path(one.name).name + ENDINGS.get(kind, ""))
            path.parent.mkdir(parents=True)
            path.write_bytes(WRAPPINGS[kind](one.name, one.text.encode()))
            paths.append(path)
    return paths


KINDS = [kind for kind in WRAPPINGS if kind != "past a megabyte of text"]
"""detect-secrets would need minutes for such a file."""

ENDINGS = {
    "gz": ".gz", "bz2": ".bz2", "xz": ".xz", "zst": ".zst", "tar": ".tar", "tar.gz": ".tar.gz",
    "zip": ".zip", "gz in tar in zip": ".zip", "zip in tar.xz": ".tar.xz", "pickle": ".pkl",
    "bytes in a pickle": ".pkl", "among weights": ".bin",
}  # fmt: skip
"""By the name the other tools tell what a file is."""


def timed(tool: Tool, files: list[Path]) -> tuple[Flagged, float]:
    start = time.perf_counter()
    return tool(files), time.perf_counter() - start


def size_of(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def repropack(files: list[Path]) -> Flagged:
    targets = [Target(place=str(path), content=path) for path in files]
    found = scan(targets, own_terms(), second=False).leaks
    return {leak.place.split(" » ")[0] for leak in found if leak.blocks}


def detect_secrets(files: list[Path]) -> Flagged:
    from detect_secrets.core.secrets_collection import SecretsCollection
    from detect_secrets.settings import default_settings

    secrets = SecretsCollection()
    with default_settings():
        for path in files:
            secrets.scan_file(str(path))
    return set(secrets.files)


def betterleaks(files: list[Path]) -> Flagged:
    """Directories only: links to the files, in one."""
    import tempfile

    from pybetterleaks import scan_dir

    # A hidden or temporary place may be skipped by its rules; names stay, numbers keep them apart.
    with tempfile.TemporaryDirectory(prefix="leaks-", dir=files[0].parent) as directory:
        linked = {}
        for number, path in enumerate(files):
            place = Path(directory) / str(number) / path.name
            place.parent.mkdir()
            place.hardlink_to(path)
            linked[str(place)] = str(path)
        result = scan_dir(directory, validation=False)
        if result.errors:
            raise SystemExit(f"betterleaks: {result.errors}")
        # It looks into archives and calls what is in them `ARCHIVE!ENTRY`.
        named = {(one.file or "").partition("!")[0] for one in result.findings}
        return {linked[str(Path(directory) / name)] for name in named}
