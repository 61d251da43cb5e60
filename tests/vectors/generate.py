# SPDX-License-Identifier: Apache-2.0
"""Writes all vectors and their index: `python -m tests.vectors.generate [DIRECTORY]`."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import zstandard

from tests.vectors import attestation, code, container, manifest, records
from tests.vectors.forge import release
from tests.vectors.vector import Vector, good, kind_of

__all__ = ["VECTORS", "index", "write"]

PLACE: Final = Path(__file__).parent / "v1"

VECTORS: Final[list[Vector]] = [
    good("minimal", release(), "The smallest release that a reader can repeat."),
    *container.VECTORS,
    *manifest.VECTORS,
    *attestation.VECTORS,
    *records.VECTORS,
    *code.VECTORS,
]


def entry(vector: Vector, data: bytes) -> dict[str, Any]:
    """A row of the index."""
    row: dict[str, Any] = {
        "file": vector.path,
        "expect": vector.code,
        "kind": kind_of(vector.code),
        "why": vector.why,
        "rules": list(vector.rules),
        "rows": list(vector.rows),
        "size": len(data),
        "sha256": sha256(data).hexdigest(),
    }
    if vector.step:
        row |= {"step": vector.step, "twin": f"good/{vector.twin}.rpk"}
    else:
        row["manifest_sha256"] = sha256(vector.draft.manifest_content()).hexdigest()
    if vector.also:
        row["also"] = list(vector.also)
    if vector.arguments:
        row["arguments"] = list(vector.arguments)
    return row


def index(files: dict[str, bytes]) -> dict[str, Any]:
    """The index of vectors that were built."""
    return {
        "format": "rpk",
        "version": 1,
        "libzstd": ".".join(map(str, zstandard.ZSTD_VERSION)),
        "vectors": [entry(vector, files[vector.path]) for vector in ordered()],
    }


def ordered() -> list[Vector]:
    """All vectors, by file name."""
    return sorted(VECTORS, key=lambda vector: vector.path)


def build() -> dict[str, bytes]:
    """All files."""
    return {vector.path: vector.draft.build() for vector in ordered()}


def write(place: Path) -> int:
    """Writes all files and the index; removes vectors that are no more. Returns their number."""
    files = build()
    for folder in ("good", "bad"):
        (place / folder).mkdir(parents=True, exist_ok=True)
        for old in (place / folder).glob("*.rpk"):
            if f"{folder}/{old.name}" not in files:
                old.unlink()
    for name, data in files.items():
        (place / name).write_bytes(data)
    text = json.dumps(index(files), indent=1, ensure_ascii=True) + "\n"
    (place / "index.json").write_text(text, encoding="utf-8")
    return len(files)


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else PLACE
    print(f"{write(chosen)} vectors in {chosen}")  # noqa: T201 - a program
