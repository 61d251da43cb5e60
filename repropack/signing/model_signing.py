# SPDX-License-Identifier: Apache-2.0
"""A signature of a directory of weights as the OpenSSF Model Signing specification has it (OMS v1).

Whoever downloads weights checks them so, with other people's tools and without the rest of a
bundle: `model_signing verify key DIR --signature FILE --public_key PEM`. It is a Sigstore bundle
(version 0.3, JSON) around a DSSE envelope whose in-toto statement lists the files. Written here and
never read: repropack's own checks rest on the bundle's attestation alone
(docs/spec/rpk-v1.md, section 20). OMS knows ECDSA keys; this one is P-256 and signs nothing else.

Source: https://github.com/sigstore/model-transparency, `model_signing._signing`, version 1.1.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from repropack import canonical, digest
from repropack.errors import UsageError
from repropack.model import STATEMENT_TYPE
from repropack.signing.dsse import PAYLOAD_TYPE, pre_authentication_encoding
from repropack.signing.keys import load_private

__all__ = ["PREDICATE_TYPE", "ModelKey", "load_model_key", "sign_model", "uncovered"]

PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"

_BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"

_MAKE: Final = (
    "make one: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY.pem"
)

_IGNORED: Final = (".git", ".gitattributes", ".github", ".gitignore")
"""What a verifier of OMS leaves out at the top of a directory unless it is told otherwise."""


class ModelKey:
    """A P-256 private key."""

    __slots__ = ("_key", "pem")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key: Final = key
        self.pem: Final = key.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, message: bytes) -> bytes:
        """The ECDSA signature of a message, in DER."""
        return self._key.sign(message, ec.ECDSA(SHA256()))


def load_model_key(path: Path, passphrase: str | None = None) -> ModelKey:
    """Reads a private key from an OpenSSH or PEM file.

    Args:
        path: The file.
        passphrase: Used only if the file is encrypted.

    Raises:
        PassphraseNeededError: The file is encrypted and no passphrase was given.
        WrongPassphraseError: The file is encrypted with another passphrase.
        UsageError: It cannot be read, others can read it too, or it is no P-256 key.
    """
    key = load_private(path, passphrase, kind="P-256", advice=_MAKE)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise UsageError(
            f"{path}: found another kind of key, expected P-256 (OMS has no Ed25519)",
            advice=_MAKE,
        )
    return ModelKey(key)


def uncovered(paths: Iterable[str]) -> tuple[str, ...]:
    """The files that no verifier of OMS looks at, so that a signature cannot cover them."""
    return tuple(path for path in paths if path.partition("/")[0] in _IGNORED)


def sign_model(name: str, files: Iterable[tuple[str, str]], key: ModelKey) -> bytes:
    """The signature of a directory, as a file of its own.

    Args:
        name: What the model is called; for people.
        files: Path below the directory, with `/`, and SHA-256 of each file.
        key: Who signs.
    """
    listed = dict(files)
    left_out = set(uncovered(listed))
    # The order is that of paths by their components, and the digest of the whole depends on it.
    paths = sorted((path for path in listed if path not in left_out), key=lambda p: p.split("/"))
    whole = digest.sha256_hex(b"".join(bytes.fromhex(listed[path]) for path in paths))
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": whole}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(_IGNORED),
            },
            "resources": [
                {"name": path, "algorithm": "sha256", "digest": listed[path]} for path in paths
            ],
        },
    }
    payload = canonical.encode(statement)
    signature = key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))
    return canonical.encode(
        {
            "mediaType": _BUNDLE_TYPE,
            "verificationMaterial": {
                "publicKey": {"hint": digest.sha256_hex(key.pem)},
                "tlogEntries": [],
            },
            "dsseEnvelope": {
                "payload": base64.b64encode(payload).decode("ascii"),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"keyid": "", "sig": base64.b64encode(signature).decode("ascii")}],
            },
        }
    )
