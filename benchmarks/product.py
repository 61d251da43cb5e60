# SPDX-License-Identifier: Apache-2.0
"""repropack as an archiver: without the squash, the records and the environment of a release.

    python -m benchmarks.product digests DIR NOTES
    python -m benchmarks.product export DIR FILE NOTES
    python -m benchmarks.product verify FILE

`digests` prepares: a release knows the digests of its files from the record, and compares. NOTES is
a directory for them and for the notes about bundles, so that an export takes notes, as all do, and
a second one may copy frames of the first.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

README = "README.md"


def files_of(source: Path) -> Iterator[tuple[str, str]]:
    """Every file, and its path in the bundle."""
    top = len(os.fspath(source)) + 1
    for directory, _, names in os.walk(source):
        for name in names:
            path = os.path.join(directory, name)
            yield path, path[top:]


def digests(source: Path, notes: Path) -> None:
    from repropack.digest import hash_file

    # A release writes its README anew.
    known = {member: hash_file(path)[0] for path, member in files_of(source) if member != README}
    notes.mkdir()
    (notes / "digests.json").write_text(json.dumps(known), encoding="utf-8")


def export(source: Path, bundle: Path, notes: Path) -> None:
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

    known = json.loads((notes / "digests.json").read_text(encoding="utf-8"))
    sources = [
        MemberSource(path=member, role=Role.DATA, content=Path(path), sha256=known.get(member))
        for path, member in files_of(source)
    ]
    written = write_bundle(bundle, sources, seal=seal, frame_notes=notes / "frames")
    place.write_text(f"{place.read_text()} {written.manifest_sha256}", encoding="ascii")


def verify(bundle: Path) -> None:
    from repropack.bundle import open_bundle

    offset, size, sha256 = bundle.with_suffix(".place").read_text(encoding="ascii").split()
    with open_bundle(bundle) as opened:
        opened.read_manifest(offset=int(offset), size=int(size), sha256=sha256).verify()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["digests", source_path, notes_path]:
            digests(Path(source_path), Path(notes_path))
        case ["export", source_path, bundle_path, notes_path]:
            export(Path(source_path), Path(bundle_path), Path(notes_path))
        case ["verify", bundle_path]:
            verify(Path(bundle_path))
        case _:
            raise SystemExit(__doc__)
