# SPDX-License-Identifier: Apache-2.0
"""Ed25519 signatures that only some verifiers accept, made by the signer's own equation.

With the private scalar at hand no arithmetic on the curve is needed: for a nonce point R of small
order, `S = k * a mod L` satisfies `S*B = R + k*A` where R is the identity, and the same equation
times the cofactor for the other points of small order (RFC 8032, section 5.1.7).
"""

from __future__ import annotations

import hashlib

__all__ = ["GROUP_ORDER", "PRIME", "signature_with_nonce_point"]

PRIME = 2**255 - 19
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


def signature_with_nonce_point(
    seed: bytes, public: bytes, message: bytes, nonce_point: bytes
) -> bytes:
    """A signature whose R is this encoding of a point of small order."""
    digest = bytearray(hashlib.sha512(seed).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 127 | 64
    scalar = int.from_bytes(digest, "little")
    challenge = int.from_bytes(hashlib.sha512(nonce_point + public + message).digest(), "little")
    return nonce_point + (challenge * scalar % GROUP_ORDER).to_bytes(32, "little")
