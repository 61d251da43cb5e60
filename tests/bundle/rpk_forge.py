# SPDX-License-Identifier: Apache-2.0
"""Bundles for the tests of the container: written by the product, and forged by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from repropack import canonical
from repropack.bundle import ListedBundle, MemberSource, open_bundle, write_bundle
from repropack.bundle.tar_layer import attestation_tail, member_header, padding
from repropack.digest import sha256_hex
from repropack.model import Manifest, Member, Role
from tests.vectors.forge import FRAME, assemble, borders, compress, cut

__all__ = ["FRAME", "assemble", "compress"]


ATTESTATION = b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[]}'


class Sealed(NamedTuple):
    """A bundle and what its signed statement would say."""

    path: Path
    offset: int
    size: int
    sha256: str

    def listed(self) -> ListedBundle:
        bundle = open_bundle(self.path)
        try:
            return bundle.read_manifest(offset=self.offset, size=self.size, sha256=self.sha256)
        except BaseException:
            bundle.close()
            raise


def write(
    path: Path,
    *sources: MemberSource,
    workers: int | None = None,
    volume_size: int | None = None,
) -> Sealed:
    """Writes a bundle with the product."""
    place: dict[str, int] = {}

    def seal(manifest: bytes, offset: int) -> bytes:
        place.update(offset=offset, size=len(manifest))
        return ATTESTATION

    written = write_bundle(path, sources, seal=seal, workers=workers, volume_size=volume_size)
    return Sealed(
        path=written.path,
        sha256=written.manifest_sha256,
        offset=place["offset"],
        size=place["size"],
    )


def source(path: str, content: bytes | Path, *, executable: bool = False) -> MemberSource:
    return MemberSource(path=path, role=Role.DATA, content=content, executable=executable)


class Forged(NamedTuple):
    """The pieces of a bundle before they are put together; tests replace one of them."""

    manifest: bytes
    members: bytes
    borders: tuple[int, ...]
    manifest_header: bytes
    tail: bytes


def member(path: str, content: bytes, *, executable: bool = False) -> Member:
    return Member(
        path=path,
        size=len(content),
        sha256=sha256_hex(content),
        executable=executable,
        role=Role.DATA,
    )


def pieces(
    contents: Sequence[tuple[str, bytes]], manifest: Manifest | bytes | None = None
) -> Forged:
    """The pieces of a bundle with these members, in this order, whatever the format says of it."""
    stream = b"".join(
        member_header(path, len(content)) + content + bytes(padding(len(content)))
        for path, content in contents
    )
    if manifest is None:
        members = tuple(member(path, content) for path, content in contents)
        manifest = Manifest(format="rpk", version=1, members=members)
    encoded = manifest if isinstance(manifest, bytes) else canonical.encode(manifest)
    return Forged(
        manifest=encoded,
        members=stream,
        borders=borders(contents),
        manifest_header=member_header("manifest.json", len(encoded)),
        tail=attestation_tail(ATTESTATION),
    )


def sections(forged: Forged) -> list[bytes]:
    """The contents of all frames."""
    manifest = forged.manifest_header + forged.manifest + bytes(padding(len(forged.manifest)))
    return [*cut(forged.members, *forged.borders), *cut(manifest), forged.tail]


def sealed(path: Path, forged: Forged, data: bytes | None = None) -> Sealed:
    """Writes a forged bundle down, with a statement that tells the truth about its manifest."""
    path.write_bytes(assemble(sections(forged)) if data is None else data)
    return Sealed(
        path=path,
        offset=len(forged.members),
        size=len(forged.manifest),
        sha256=sha256_hex(forged.manifest),
    )
