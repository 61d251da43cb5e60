# SPDX-License-Identifier: Apache-2.0
"""repropack as an archiver: `python -m benchmarks.product export DIR FILE [NOTES] | verify FILE`.

Without the squash, the records and the environment of a release: what archivers do too. With NOTES,
a directory, an export knows the digests of its files from an earlier one, as a release does from
the record, and may copy frames of it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def export(source: Path, bundle: Path, notes: Path | None = None) -> None:
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
    known = notes / "digests.json" if notes is not None else None
    digests = json.loads(known.read_text()) if known is not None and known.exists() else {}
    sources = [
        MemberSource(
            path=path[top:], role=Role.DATA, content=Path(path), sha256=digests.get(path[top:])
        )
        for directory, _, names in os.walk(source)
        for path in (os.path.join(directory, name) for name in names)
    ]
    written = write_bundle(bundle, sources, seal=seal, frame_notes=notes and notes / "frames")
    if known is not None:
        known.parent.mkdir(exist_ok=True)
        known.write_text(json.dumps({m.path: m.sha256 for m in written.manifest.members}))
    place.write_text(f"{place.read_text()} {written.manifest_sha256}", encoding="ascii")


def verify(bundle: Path) -> None:
    from repropack.bundle import open_bundle

    offset, size, sha256 = bundle.with_suffix(".place").read_text(encoding="ascii").split()
    with open_bundle(bundle) as opened:
        opened.read_manifest(offset=int(offset), size=int(size), sha256=sha256).verify()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["export", source_path, bundle_path, *notes_path]:
            export(Path(source_path), Path(bundle_path), *map(Path, notes_path))
        case ["verify", bundle_path]:
            verify(Path(bundle_path))
