# SPDX-License-Identifier: Apache-2.0
"""Ed25519 keys: from OpenSSH and PEM files, made anew, and checked for soundness.

A key is named by its OpenSSH fingerprint `SHA256:…`, which `ssh-keygen -lf` prints as well.
Small-order and non-canonical public keys are refused when they are loaded: for them signatures
verify without any private key (https://github.com/C2SP/CCTV, directory ed25519). Keys that an
agent holds are in `repropack.signing.agent`.
"""

from __future__ import annotations

import base64
import os
import shlex
import stat
import struct
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
    load_ssh_private_key,
    load_ssh_public_key,
)

from repropack import digest, durable
from repropack.errors import UsageError

__all__ = [
    "MAX_KEY_FILE",
    "PassphraseNeededError",
    "PublicKey",
    "Signer",
    "SigningKey",
    "WeakKeyError",
    "WrongPassphraseError",
    "create_key",
    "load_private",
    "load_public",
    "load_signing",
    "parse_public",
    "parse_signing",
    "read_small",
]

MAX_KEY_FILE: Final = 64 * 1024
"""Bytes of a key file; the largest RSA key in PEM, which is refused by its kind, has less."""

_PRIME: Final = 2**255 - 19

_WIRE_PREFIX: Final = struct.pack(">I", 11) + b"ssh-ed25519" + struct.pack(">I", 32)

_SMALL_ORDER_Y: Final = frozenset(
    {
        0,
        1,
        0x5FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        _PRIME - 1,
    }
)
"""The y coordinates of the eight points whose order divides the cofactor 8. Each y serves both
signs of x, and together with `y < p` that covers all 14 encodings of the published vectors."""


class WeakKeyError(ValueError):
    """A public key for which signatures prove nothing."""


class PassphraseNeededError(UsageError):
    """The file holds an encrypted key and no passphrase was given."""


class WrongPassphraseError(UsageError):
    """The passphrase does not open the key file."""


class PublicKey:
    """An Ed25519 public key that is canonical and of large order.

    Args:
        raw: The 32 bytes of RFC 8032.

    Raises:
        WeakKeyError: Not 32 bytes, y not below the field prime, or a point of small order.
    """

    __slots__ = ("_key", "raw")

    def __init__(self, raw: bytes) -> None:
        if len(raw) != 32:
            raise WeakKeyError(f"an Ed25519 key has 32 bytes, not {len(raw)}")
        y = int.from_bytes(raw, "little") & (2**255 - 1)
        if y >= _PRIME:
            raise WeakKeyError("the key is not in canonical form")
        if y in _SMALL_ORDER_Y:
            raise WeakKeyError("the key is a point of small order")
        self.raw: Final = raw
        self._key: Final = Ed25519PublicKey.from_public_bytes(raw)

    @classmethod
    def from_openssh(cls, line: str) -> PublicKey:
        """The key of a line that is exactly what `openssh` writes.

        Raises:
            WeakKeyError: Another spelling, another kind of key, or an unsound key.
        """
        prefix, _, encoded = line.partition(" ")
        try:
            wire = base64.b64decode(encoded.encode("ascii"), validate=True)
        except (ValueError, UnicodeEncodeError):
            wire = b""
        if prefix != "ssh-ed25519":
            raise WeakKeyError("not an ssh-ed25519 public key")
        key = cls.from_wire(wire)
        if key.openssh != line:
            raise WeakKeyError("not the canonical form of an ssh-ed25519 public key")
        return key

    @classmethod
    def from_wire(cls, wire: bytes) -> PublicKey:
        """The key of an SSH public key blob (RFC 8709, section 4).

        Raises:
            WeakKeyError: Another kind of key, or an unsound key.
        """
        if len(wire) != len(_WIRE_PREFIX) + 32 or not wire.startswith(_WIRE_PREFIX):
            raise WeakKeyError("not an ssh-ed25519 public key")
        return cls(wire[len(_WIRE_PREFIX) :])

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and the unpadded base64 of the digest of the SSH wire form (RFC 4253, 6.6)."""
        digested = bytes.fromhex(digest.sha256_hex(self.wire))
        return "SHA256:" + base64.b64encode(digested).decode("ascii").rstrip("=")

    @property
    def openssh(self) -> str:
        """One line of an OpenSSH public key file, without a comment."""
        return "ssh-ed25519 " + base64.b64encode(self.wire).decode("ascii")

    @property
    def wire(self) -> bytes:
        """The SSH public key blob (RFC 8709, section 4)."""
        return _WIRE_PREFIX + self.raw

    @property
    def pem(self) -> str:
        """SubjectPublicKeyInfo in PEM, as `openssl` reads it."""
        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(
            "ascii"
        )

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature over the message is this key's.

        The equation of RFC 8032, section 5.1.7, without the cofactor, as OpenSSL has it: the point
        that S, the key and the message give must have exactly the encoding R, and S is below the
        order of the group. A signature has one spelling then, and R none that is not canonical.
        """
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PublicKey) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"PublicKey({self.fingerprint})"


class Signer(Protocol):
    """Whatever can sign with an Ed25519 key: a key in memory, or an agent that holds one."""

    @property
    def public(self) -> PublicKey:
        """Whose signatures these are."""

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of a message.

        Raises:
            RepropackError: It cannot be signed now.
        """


class SigningKey:
    """An Ed25519 private key in memory. Signing is deterministic (RFC 8032)."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key: Final = key
        self.public: Final = PublicKey(
            key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        )

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """The key that 32 bytes stand for (RFC 8032, section 5.1.5: the private key itself).

        Raises:
            ValueError: Not 32 bytes.
        """
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of a message."""
        return self._key.sign(message)

    def secret_for(self, purpose: str) -> bytes:
        """32 bytes that nobody else can compute (HKDF with SHA-256, RFC 5869)."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        seed = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return HKDF(SHA256(), 32, salt=None, info=purpose.encode("utf-8")).derive(seed)

    def file_content(self, passphrase: str | None = None) -> bytes:
        """The key as an OpenSSH file has it.

        Args:
            passphrase: What protects it (bcrypt and AES, as `ssh-keygen` does); None for nothing.
        """
        protection: KeySerializationEncryption = NoEncryption()
        if passphrase:
            protection = BestAvailableEncryption(passphrase.encode("utf-8"))
        return self._key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, protection)


def create_key(path: Path, passphrase: str | None = None) -> SigningKey:
    """Makes a new key pair: `path` in OpenSSH form with mode 0600, and `path.pub`.

    Args:
        path: The private key's file; missing directories are made, for the user alone.
        passphrase: What protects the file (bcrypt and AES, as `ssh-keygen` does); None for none.

    Raises:
        UsageError: A file of that name exists; a key is never overwritten.
        OSError: It could not be written.
    """
    public_path = path.with_name(path.name + ".pub")
    for existing in (path, public_path):
        if os.path.lexists(existing):
            raise UsageError(
                f"{existing} exists and is not overwritten", advice="name another file with --key"
            )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = SigningKey(Ed25519PrivateKey.generate())
    durable.write_file(path, key.file_content(passphrase), mode=0o600)
    durable.write_file(public_path, key.public.openssh.encode("ascii") + b"\n")
    return key


def load_signing(path: Path, passphrase: str | None = None) -> SigningKey:
    """Reads a private key from an OpenSSH or PEM (PKCS#8) file.

    Args:
        path: The file.
        passphrase: Used only if the file is encrypted.

    Raises:
        PassphraseNeededError: The file is encrypted and no passphrase was given.
        WrongPassphraseError: The file is encrypted with another passphrase.
        UsageError: It cannot be read, others can read it too, or it is no Ed25519 key.
    """
    data = read_small(path, MAX_KEY_FILE, what="key", private=True)
    return parse_signing(data, path, passphrase)


def parse_signing(data: bytes, path: Path, passphrase: str | None = None) -> SigningKey:
    """The private key in the bytes of an OpenSSH or PEM (PKCS#8) file.

    Args:
        data: The content of the file.
        path: The file, for messages.
        passphrase: Used only if the key is encrypted.

    Raises:
        PassphraseNeededError: It is encrypted and no passphrase was given.
        WrongPassphraseError: It is encrypted with another passphrase.
        UsageError: It is no Ed25519 key.
    """
    key = _parse_private(
        data,
        path,
        passphrase,
        kind="Ed25519",
        advice="give an Ed25519 key: `repropack key new` or `ssh-keygen -t ed25519`",
    )
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(
            f"{path}: found a key of another kind, expected Ed25519",
            advice="make one with `repropack key new`",
        )
    return SigningKey(key)


def load_private(path: Path, passphrase: str | None, *, kind: str, advice: str) -> object:
    """Reads a private key of whatever kind from an OpenSSH or PEM (PKCS#8) file.

    Args:
        path: The file.
        passphrase: Used only if the file is encrypted.
        kind: Which kind is expected, for messages.
        advice: What to do where the file holds no key.

    Raises:
        PassphraseNeededError: The file is encrypted and no passphrase was given.
        WrongPassphraseError: The file is encrypted with another passphrase.
        UsageError: It cannot be read, others can read it too, or it holds no private key.
    """
    data = read_small(path, MAX_KEY_FILE, what="key", private=True)
    return _parse_private(data, path, passphrase, kind=kind, advice=advice)


def _parse_private(
    data: bytes, path: Path, passphrase: str | None, *, kind: str, advice: str
) -> object:
    load = load_ssh_private_key if b"OPENSSH PRIVATE KEY" in data else load_pem_private_key
    try:
        return load(data, None)
    except TypeError:
        # cryptography's way to say that the file is encrypted.
        if passphrase is None:
            raise PassphraseNeededError(f"{path} is protected by a passphrase") from None
        if not passphrase:
            # cryptography takes an empty one for none.
            raise WrongPassphraseError(f"{path}: this is not its passphrase") from None
        try:
            return load(data, passphrase.encode("utf-8"))
        except ValueError as error:
            raise WrongPassphraseError(f"{path}: this is not its passphrase") from error
        except UnsupportedAlgorithm as error:
            raise _unreadable_key(path, kind, advice) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable_key(path, kind, advice) from error


def _unreadable_key(path: Path, kind: str, advice: str) -> UsageError:
    return UsageError(
        f"{path}: found no private key that can be read, expected {kind} as OpenSSH or PEM",
        advice=advice,
    )


def load_public(path: Path) -> PublicKey:
    """Reads a public key from an OpenSSH public key file or a PEM file.

    Raises:
        UsageError: It cannot be read, is not Ed25519, or is weak.
    """
    return parse_public(read_small(path, MAX_KEY_FILE, what="key"), path)


def parse_public(data: bytes, path: Path) -> PublicKey:
    """The public key in the bytes of an OpenSSH public key file or a PEM file.

    Args:
        data: One key: PEM, or a line `TYPE BASE64 [COMMENT]`.
        path: The file, for messages.

    Raises:
        UsageError: It is not Ed25519, or is weak.
    """
    load = load_pem_public_key if data.lstrip().startswith(b"-----BEGIN") else load_ssh_public_key
    try:
        key = load(data.strip() if load is load_ssh_public_key else data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f"{path}: not a public key ({error})",
            advice="give an OpenSSH .pub file or a PEM file with an Ed25519 key",
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: found a key of another kind, expected Ed25519")
    try:
        return PublicKey(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    except WeakKeyError as error:
        raise UsageError(f"{path}: {error}") from error


def read_small(path: Path, limit: int, *, what: str, private: bool = False) -> bytes:
    """Reads a file that the user named, which may also be a pipe.

    Args:
        path: The file.
        limit: The most bytes that are accepted.
        what: What it should hold, for messages.
        private: Refuse a file of the user's that others can read, as `ssh` does.

    Raises:
        UsageError: It cannot be read, is too large, or is open to others.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            mode = stat.S_IMODE(status.st_mode)
            own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
            if private and own and mode & 0o077:
                raise UsageError(
                    f"{path}: its permissions {mode:04o} are too open: others can read the key",
                    advice=f"chmod 600 {shlex.quote(str(path))}",
                )
            data = file.read(limit + 1)
    except OSError as error:
        raise UsageError(f"{path}: the {what} cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise UsageError(
            f"{path}: is larger than {limit} bytes, which no {what} is", advice="name another file"
        )
    return data
