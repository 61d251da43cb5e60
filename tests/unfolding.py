# SPDX-License-Identifier: Apache-2.0
"""A bundle turned inside out by other tools, to be searched for what must not be in it."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import zstandard

__all__ = ["contents", "everything", "found_in", "opened"]


def opened(bundle: Path) -> Path:
    """The directory into which `tar` unpacks the content of a bundle."""
    place = bundle.parent / f"search-{bundle.name}"
    if not place.exists():
        place.mkdir()
        archive = bundle.with_name(f"{bundle.name}.tar")
        reader = zstandard.ZstdDecompressor()
        with reader.stream_reader(bundle.read_bytes(), read_across_frames=True) as stream:
            archive.write_bytes(stream.read())
        subprocess.run(["tar", "-xf", archive, "-C", place], check=True)
    return place


def everything(bundle: Path) -> bytes:
    """All bytes of a bundle: as stored, decompressed, each git object, what is signed."""
    inside = contents(bundle)
    archive = bundle.with_name(f"{bundle.name}.tar").read_bytes()
    return b"\n".join([bundle.read_bytes(), archive, inside])


def contents(bundle: Path) -> bytes:
    """What is in a bundle, without the form in which it is stored."""
    place = opened(bundle)
    found = [path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()]
    envelope = json.loads((place / "attestation.dsse.json").read_bytes())
    found.append(base64.b64decode(envelope["payload"]))
    for code in sorted(place.glob("code/*.bundle")):
        repository = bundle.parent / f"git-{bundle.name}-{code.stem}"
        if not repository.exists():
            subprocess.run(["git", "clone", "-q", "--mirror", code, repository], check=True)
        found.append(_objects(repository))
    return b"\n".join(found)


def _objects(repository: Path) -> bytes:
    def git(*arguments: str, stdin: bytes = b"") -> bytes:
        return subprocess.run(
            ["git", *arguments], cwd=repository, input=stdin, check=True, capture_output=True
        ).stdout

    assert git("for-each-ref", "--format=%(refname)").split() == [b"refs/heads/main"]
    ids = git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return git("cat-file", "--batch", stdin=ids)


def found_in(content: bytes, term: str) -> list[str]:
    """The encodings in which a term stands in bytes, whatever its case in plain text."""
    low = content.lower()
    return [
        name
        for name, spelled, folded in _encodings(term)
        if spelled in (low if folded else content)
    ]


def _encodings(term: str) -> Iterator[tuple[str, bytes, bool]]:
    plain = term.encode()
    yield "UTF-8", term.lower().encode(), True
    yield "hexadecimal", plain.hex().encode(), True
    for codec in ("utf-16-le", "utf-16-be"):
        yield codec, term.encode(codec), False
    for skip in range(3):
        # Of what stands in other text, the characters that depend on this text alone.
        coded = base64.b64encode(b"\0" * skip + plain)
        end = (skip + len(plain)) * 8 // 6
        yield f"base64 from {skip}", coded[(skip * 8 + 5) // 6 : end], False
