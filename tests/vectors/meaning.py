# SPDX-License-Identifier: Apache-2.0
"""What a file means to the reader: its code, or everything that was signed.

For tests that try very many files: in-process, without git and without executing anything.
"""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from repropack import canonical
from repropack.bundle import open_bundle
from repropack.findings import DefectError
from repropack.signing.policy import TrustPolicy
from repropack.verify.integrity import read_signed
from repropack.verify.release import read_release
from repropack.verify.reveal.authors import read_authorship, with_authorship

__all__ = ["Meaning", "meaning"]


class Meaning(NamedTuple):
    """An accepted file."""

    manifest_sha256: str
    statement: bytes
    signer: str
    members: tuple[tuple[str, str], ...]


def meaning(path: Path, *, records: bool = True) -> Meaning | str:
    """The meaning of a file, or the code with which it is refused.

    Args:
        path: The file.
        records: Whether the records are read as well.

    What is accepted must be written again as the bytes that were signed: there is one spelling.

    Raises:
        AssertionError: A value of the file has two spellings.
        Exception: Anything but a finding is a defect of the reader.
    """
    try:
        with open_bundle(path) as opened:
            signed = read_signed(opened, TrustPolicy())
            verified = signed.listed.verify(workers=1)
            with_authorship(signed, read_authorship(verified))
            if records:
                read_release(verified, signed.statement)
            manifest = canonical.encode(verified.manifest)
            assert sha256(manifest).hexdigest() == verified.manifest_sha256
            statement = base64.b64decode(json.loads(opened.attestation)["payload"])
            assert canonical.encode(signed.statement) == statement
            members = tuple((m.path, m.sha256) for m in verified.manifest.members)
            return Meaning(verified.manifest_sha256, statement, signed.signer.fingerprint, members)
    except DefectError as error:
        return error.finding.code.code
