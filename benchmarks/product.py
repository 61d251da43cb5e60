# SPDX-License-Identifier: Apache-2.0
"""repropack's container as a command: `python -m benchmarks.product export DIR FILE | verify FILE`.

Without the squash, the records and the environment of a release: what archivers do too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


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


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["export", source_path, bundle_path]:
            export(Path(source_path), Path(bundle_path))
        case ["verify", bundle_path]:
            verify(Path(bundle_path))
