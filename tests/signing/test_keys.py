# SPDX-License-Identifier: Apache-2.0
"""Keys and the Ed25519 equation, against OpenSSH, OpenSSL and the C2SP vectors."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from repropack.errors import UsageError
from repropack.signing.dsse import read_envelope, seal, signers
from repropack.signing.keys import (
    MAX_KEY_FILE,
    PassphraseNeededError,
    PublicKey,
    SigningKey,
    WeakKeyError,
    WrongPassphraseError,
    create_key,
    load_public,
    load_signing,
)
from tests.signing.ed25519_equations import GROUP_ORDER, PRIME, signature_with_nonce_point

SEED = bytes(range(32))
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(SEED))
MESSAGE = b"DSSEv1 1 t 1 x"

ORDER_8 = (
    2707385501144840649318225287225658788936804267575313519463743609750303402022,
    55188659117513257062467267217118295137698188065244968500265048394206261417927,
)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("y", [0, 1, PRIME - 1, *ORDER_8, PRIME, PRIME + 1, PRIME + 2, PRIME + 18])
def test_keys_of_small_order_or_other_form_are_refused(y: int, sign: int) -> None:
    with pytest.raises(WeakKeyError):
        PublicKey((y | sign << 255).to_bytes(32, "little"))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_keys_of_another_length_are_refused(size: int) -> None:
    with pytest.raises(WeakKeyError):
        PublicKey(bytes(size))


def _encode(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


@pytest.mark.parametrize(
    ("nonce_point", "accepted"),
    [
        # The identity: the equation itself holds. RFC 8032 does not forbid it.
        (_encode(1), True),
        # The identity in other spellings.
        (_encode(PRIME + 1), False),
        (_encode(1, 1), False),
        # Order 2 and 8: only the equation times the cofactor holds.
        (_encode(PRIME - 1), False),
        (_encode(PRIME - 1, 1), False),
        (_encode(ORDER_8[0]), False),
    ],
)
def test_the_equation_has_no_cofactor_and_nonce_points_one_spelling(
    nonce_point: bytes, accepted: bool
) -> None:
    raw = KEY.public.raw
    assert (
        KEY.public.verify(signature_with_nonce_point(SEED, raw, MESSAGE, nonce_point), MESSAGE)
        is accepted
    )


def test_a_signature_has_one_spelling() -> None:
    signature = KEY.sign(MESSAGE)
    assert KEY.public.verify(signature, MESSAGE)
    scalar = int.from_bytes(signature[32:], "little")
    for other in (scalar + GROUP_ORDER, scalar + 8 * GROUP_ORDER, scalar | 1 << 255):
        assert not KEY.public.verify(signature[:32] + other.to_bytes(32, "little"), MESSAGE)
    for other_length in (signature[:-1], signature + b"\0", b""):
        assert not KEY.public.verify(other_length, MESSAGE)


VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "ed25519" / "ed25519vectors.json"


@pytest.mark.skipif(not VECTORS.exists(), reason="the C2SP vectors are not beside this checkout")
def test_the_c2sp_vectors() -> None:
    """Weak keys are refused when they are loaded; else the verdict is the specification's."""
    vectors = json.loads(VECTORS.read_text())
    accepted = weak = 0
    for vector in vectors:
        flags = set(vector["flags"] or ())
        raw, signature = bytes.fromhex(vector["key"]), bytes.fromhex(vector["sig"])
        message = vector["msg"].encode()
        if flags & {"low_order_A", "non_canonical_A"}:
            with pytest.raises(WeakKeyError):
                PublicKey(raw)
            weak += 1
            continue
        ours = PublicKey(raw).verify(signature, message)
        assert ours is not bool(flags & {"non_canonical_R", "low_order_residue"}), vector
        try:
            Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
            theirs = True
        except InvalidSignature:
            theirs = False
        assert ours is theirs, vector
        accepted += ours
    assert (len(vectors), weak, accepted) == (914, 526, 86)


def test_ssh_keygen_agrees_on_key_and_fingerprint(tmp_path: Path) -> None:
    created = create_key(tmp_path / "keys" / "key")
    private = tmp_path / "keys" / "key"
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.parent.stat().st_mode & 0o777 == 0o700
    listed = subprocess.run(
        ["ssh-keygen", "-lf", f"{private}.pub"], check=True, capture_output=True, text=True
    ).stdout
    assert created.public.fingerprint in listed
    derived = subprocess.run(
        ["ssh-keygen", "-yf", private], check=True, capture_output=True, text=True
    ).stdout
    assert derived.split()[:2] == created.public.openssh.split()
    assert load_signing(private).public == created.public
    assert load_public(Path(f"{private}.pub")) == created.public
    with pytest.raises(UsageError, match="not overwritten"):
        create_key(private)


def test_a_key_with_passphrase_is_one_that_ssh_keygen_opens(tmp_path: Path) -> None:
    created = create_key(tmp_path / "key", "grüne Wörter")
    derived = subprocess.run(
        ["ssh-keygen", "-y", "-P", "grüne Wörter", "-f", tmp_path / "key"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert derived.split()[:2] == created.public.openssh.split()
    with pytest.raises(PassphraseNeededError):
        load_signing(tmp_path / "key")
    assert load_signing(tmp_path / "key", "grüne Wörter").public == created.public


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def test_keys_made_by_ssh_keygen_and_openssl_can_sign(tmp_path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret words", "-f", tmp_path / "a"],
        check=True,
    )
    _openssl("genpkey", "-algorithm", "ed25519", "-out", tmp_path / "b.pem")
    _openssl(
        "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret words",
        "-out", tmp_path / "c.pem",
    )  # fmt: skip
    for name, passphrase in (("a", "secret words"), ("b.pem", None), ("c.pem", "secret words")):
        path = tmp_path / name
        key = load_signing(path, passphrase)
        assert signers(read_envelope(seal(b"x", key))) == (key.public,)
        if passphrase is not None:
            with pytest.raises(PassphraseNeededError, match=name):
                load_signing(path)
            for wrong in ("wrong", ""):
                with pytest.raises(WrongPassphraseError, match=name):
                    load_signing(path, wrong)
    assert load_signing(tmp_path / "a", "secret words").public == load_public(tmp_path / "a.pub")


def test_what_is_no_ed25519_key_is_one_clear_line(tmp_path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", tmp_path / "rsa"],
        check=True,
    )
    with pytest.raises(UsageError, match="expected Ed25519"):
        load_signing(tmp_path / "rsa")
    with pytest.raises(UsageError, match="expected Ed25519"):
        load_public(tmp_path / "rsa.pub")
    with pytest.raises(UsageError, match="cannot be read"):
        load_signing(tmp_path / "absent")
    junk = tmp_path / "junk"
    junk.write_bytes(b"x" * (MAX_KEY_FILE + 1))
    junk.chmod(0o600)
    with pytest.raises(UsageError, match="which no key is"):
        load_signing(junk)
    junk.write_bytes(
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"
    )
    with pytest.raises(UsageError, match="no private key that can be read"):
        load_signing(junk)


@pytest.mark.parametrize(
    "content", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA", b"\0" * 10**6]
)
def test_what_is_no_key_is_one_plain_line(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "key"
    place.write_bytes(content)
    place.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        load_signing(place)
    assert str(caught.value).startswith(f"{place}: ")
    assert "https://" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_endless_file_is_no_key() -> None:
    with pytest.raises(UsageError, match="larger than"):
        load_signing(Path("/dev/zero"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_private_key_that_others_can_read_is_refused_as_ssh_does(
    tmp_path: Path, mode: int
) -> None:
    create_key(tmp_path / "key")
    os.chmod(tmp_path / "key", mode)
    with pytest.raises(UsageError, match="too open"):
        load_signing(tmp_path / "key")
    refused = subprocess.run(
        ["ssh-keygen", "-yf", tmp_path / "key"], capture_output=True, text=True, check=False
    )
    assert "too open" in refused.stderr
    os.chmod(tmp_path / "key", 0o400)
    load_signing(tmp_path / "key")
