# SPDX-License-Identifier: Apache-2.0
"""The leak gate beside detect-secrets and betterleaks: recall, false flags, speed.

Recall: the corpus of `tests/privacy/corpus.py`, each file with one planted secret or term. False
flags: the installed packages of this environment, which hold no secrets; all files for repropack,
and the same sample of text files for all three. The others know no author's terms; they are
asked for secrets only. Speed: MB of 10^6 bytes; repropack on all processors.
"""

from __future__ import annotations

import sysconfig
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.measuring import make_weights, table
from repropack.privacy.walk import Target, scan
from tests.privacy.corpus import make_corpus, own_terms

SAMPLE = 25
"""One of so many text files: detect-secrets reads a quarter of a megabyte in a second."""

WEIGHTS = 512 * 2**20

Flagged = set[str]
Tool = Callable[[list[Path]], Flagged]


def measure(scratch: Path) -> str:
    """The section `Leaks` of docs/performance.md."""
    planted = make_corpus(scratch / "corpus")
    corpus = [one.path for one in planted]
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
        found = tool(corpus)
        flagged, seconds = timed(tool, sample)
        rows.append(
            [
                name,
                f"{len(found & secrets)} of {len(secrets)}",
                f"{len(found & terms)} of {len(terms)}" if tool is repropack else "–",
                f"{len(flagged)} of {len(sample):,}",
                f"{size_of(sample) / 1e6 / seconds:.1f}",
            ]
        )
    flagged, seconds = timed(repropack, clean)
    weights = scratch / "weights.bin"
    make_weights(weights, WEIGHTS)
    # Several files, as a release has them: each processor gets some.
    parts = [weights.with_name(f"part-{n}.bin") for n in range(4)]
    for part in parts:
        part.hardlink_to(weights)
    _, weighed = timed(repropack, parts)
    kinds = len({one.kind for one in planted})
    return "\n".join(
        [
            "## Leaks",
            "",
            *table(["tool", "secrets found", "terms found", "false flags", "MB/s"], rows),
            "",
            f"Planted in {kinds} kinds of files. False flags and speed are those of the sample. "
            f"repropack on all {len(clean):,} files of the environment "
            f"({size_of(clean) / 1e6:.0f} MB): {len(flagged)} flagged, "
            f"{size_of(clean) / 1e6 / seconds:.1f} MB/s; on {len(parts)} files of weights of "
            f"{WEIGHTS // 2**20} MiB: {size_of(parts) / 1e6 / weighed:.1f} MB/s.",
        ]
    )


def timed(tool: Tool, files: list[Path]) -> tuple[Flagged, float]:
    start = time.perf_counter()
    return tool(files), time.perf_counter() - start


def size_of(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def repropack(files: list[Path]) -> Flagged:
    targets = [Target(place=str(path), content=path) for path in files]
    found = scan(targets, own_terms()).leaks
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
