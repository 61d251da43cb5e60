# SPDX-License-Identifier: Apache-2.0
"""Whom the reader accepts: named signers, thresholds, allowed_signers, her own list, pins."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import threading
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from repropack import canonical
from repropack.errors import UsageError
from repropack.findings import Code
from repropack.model import SignerStatus
from repropack.signing.allowed_signers import allowed_signers, one_fingerprint
from repropack.signing.dsse import Envelope, add_signature, read_envelope, seal
from repropack.signing.keys import SigningKey
from repropack.signing.policy import Authenticated, TrustPolicy, authenticate
from repropack.signing.trusted import TrustedSigner, read_trusted, trust, untrust

A, B, C = (SigningKey(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)) for n in (1, 2, 3))
FA, FB, FC = (key.public.fingerprint for key in (A, B, C))
NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)


def signed(*keys: SigningKey) -> Envelope:
    return read_envelope(seal(b"{}", *keys))


def spoiled(envelope: Envelope, number: int) -> Envelope:
    """The envelope with one signature replaced by another key's."""
    wire = json.loads(seal(b"{}", C))
    signatures = [{"keyid": s.keyid, "sig": s.sig} for s in envelope.signatures]
    signatures[number]["sig"] = wire["signatures"][0]["sig"]
    return read_envelope(canonical.encode({**wire, "signatures": signatures}))


def statuses(found: Authenticated) -> list[SignerStatus]:
    return [signer.status for signer in found.signers]


def code(found: Authenticated) -> Code | None:
    return None if found.refusal is None else found.refusal.code


def test_without_a_policy_every_signer_is_unknown() -> None:
    found = authenticate(signed(A, B), TrustPolicy())
    assert statuses(found) == [SignerStatus.UNKNOWN] * 2
    assert found.signer.status is SignerStatus.UNKNOWN
    assert found.refusal is None


def test_a_trusted_signer_among_strangers_establishes_the_bundle() -> None:
    policy = TrustPolicy(trusted=(TrustedSigner(name="lab", fingerprint=FB),))
    found = authenticate(signed(A, B), policy)
    assert statuses(found) == [SignerStatus.UNKNOWN, SignerStatus.TRUSTED]
    assert (found.signer.fingerprint, found.signer.name) == (FB, "lab")


def test_a_signature_that_does_not_hold_earns_nothing() -> None:
    policy = TrustPolicy(trusted=(TrustedSigner(name="lab", fingerprint=FB),))
    found = authenticate(spoiled(signed(A, B), 1), policy)
    assert statuses(found) == [SignerStatus.UNKNOWN, SignerStatus.INVALID]
    assert found.signer.status is SignerStatus.UNKNOWN
    named = authenticate(spoiled(signed(A, B), 1), TrustPolicy(required=(FB,)))
    assert code(named) is Code.SIGNER_REJECTED
    assert named.signer.status is SignerStatus.REJECTED


@pytest.mark.parametrize(
    ("keys", "required", "threshold", "expected"),
    [
        ((A,), (FA,), 1, None),
        ((A,), (FB,), 1, Code.SIGNER_REJECTED),
        ((A,), (FA, FB), 1, None),
        ((A,), (FA, FB), 2, Code.TOO_FEW_SIGNERS),
        ((A, B), (FA, FB), 2, None),
        ((A, C), (FA, FB), 2, Code.TOO_FEW_SIGNERS),
        ((A, B), (FA, FB, FC), 2, None),
        ((A, A), (FA, FB), 2, Code.TOO_FEW_SIGNERS),
        ((C,), (FA, FB), 2, Code.SIGNER_REJECTED),
    ],
)
def test_at_least_n_of_the_named_keys_must_have_signed(
    keys: tuple[SigningKey, ...], required: tuple[str, ...], threshold: int, expected: Code | None
) -> None:
    found = authenticate(signed(*keys), TrustPolicy(required=required, threshold=threshold))
    assert code(found) is expected
    good = found.signer.status is SignerStatus.TRUSTED
    assert good is (expected is None)


def test_a_key_id_that_names_another_key_counts_for_nobody() -> None:
    envelope = signed(A)
    wire = json.loads(seal(b"{}", A))
    forged = [{"keyid": B.public.openssh, "sig": envelope.signatures[0].sig}]
    both = read_envelope(canonical.encode({**wire, "signatures": wire["signatures"] + forged}))
    found = authenticate(both, TrustPolicy(required=(FA, FB), threshold=2))
    assert code(found) is Code.TOO_FEW_SIGNERS
    assert statuses(found) == [SignerStatus.TRUSTED, SignerStatus.INVALID]


def test_adding_a_signature_keeps_payload_and_signatures() -> None:
    before = signed(A)
    after = read_envelope(add_signature(before, B))
    assert after.payload == before.payload
    assert after.signatures[:1] == before.signatures
    assert (
        statuses(authenticate(after, TrustPolicy(required=(FA, FB), threshold=2)))
        == [SignerStatus.TRUSTED] * 2
    )
    full = read_envelope(seal(b"{}", *[A] * 64))
    with pytest.raises(Exception, match="64 signatures"):
        add_signature(full, B)


# ---------------------------------------------------------------- pins


def test_the_first_use_is_pinned_and_a_changed_key_is_an_outcome_of_its_own() -> None:
    first = authenticate(signed(A), TrustPolicy(pin="lab"))
    assert first.signer.status is SignerStatus.FIRST_USE
    known = (TrustedSigner(name="lab", fingerprint=FA, first_use="2026-01-31"),)
    again = authenticate(signed(A), TrustPolicy(pin="lab", trusted=known))
    assert again.signer.status is SignerStatus.PINNED
    assert "2026-01-31" in again.signer.note
    changed = authenticate(signed(B), TrustPolicy(pin="lab", trusted=known))
    assert code(changed) is Code.SIGNER_CHANGED
    assert changed.signer.status is SignerStatus.CHANGED
    assert changed.refusal is not None
    assert (changed.refusal.subject, changed.refusal.expected) == ("lab", FA)
    both = authenticate(signed(B, A), TrustPolicy(pin="lab", trusted=known))
    assert both.refusal is None
    assert both.signer.fingerprint == FA


def test_a_key_trusted_under_another_name_is_not_the_pinned_one() -> None:
    trusted = (
        TrustedSigner(name="lab", fingerprint=FA),
        TrustedSigner(name="somebody", fingerprint=FB),
    )
    found = authenticate(signed(B), TrustPolicy(pin="lab", trusted=trusted))
    assert code(found) is Code.SIGNER_CHANGED


def test_of_several_unknown_signers_none_is_pinned() -> None:
    found = authenticate(signed(A, B), TrustPolicy(pin="lab"))
    assert found.signer.status is SignerStatus.UNKNOWN
    assert "none is pinned" in found.signer.note


# ---------------------------------------------------------------- the reader's list


def test_the_list_has_names_with_several_keys_and_keys_with_several_names(tmp_path: Path) -> None:
    path = tmp_path / "settings" / "trusted_signers"
    assert read_trusted(path) == ()
    lab = TrustedSigner(name="lab", fingerprint=FA)
    trust(path, lab)
    trust(path, lab)
    assert read_trusted(path) == (lab,)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    second = TrustedSigner(name="lab", fingerprint=FB)
    with pytest.raises(UsageError, match="already trusted with another key"):
        trust(path, second)
    trust(path, second, add=True)
    alias = TrustedSigner(name="alias", fingerprint=FA)
    trust(path, alias)
    assert read_trusted(path) == (lab, second, alias)
    assert untrust(path, FA) == (lab, alias)
    assert untrust(path, "lab") == (second,)
    assert read_trusted(path) == ()
    with pytest.raises(UsageError, match="no trusted signer"):
        untrust(path, "lab")


def test_a_pinned_key_becomes_trusted_when_the_reader_says_so(tmp_path: Path) -> None:
    path = tmp_path / "trusted_signers"
    pinned = TrustedSigner(name="lab", fingerprint=FA, first_use="2026-01-31")
    trust(path, pinned)
    assert read_trusted(path) == (pinned,)
    trust(path, TrustedSigner(name="lab", fingerprint=FA))
    assert read_trusted(path) == (TrustedSigner(name="lab", fingerprint=FA),)
    trust(path, pinned)
    assert read_trusted(path)[0].first_use == ""


@pytest.mark.parametrize(
    "line",
    [
        "lab not-a-fingerprint",
        f"lab {FA} first-use=yesterday",
        f"lab {FA} cert-authority",
        f"{FA}",
        f"lab {FA}x",
    ],
)
def test_a_line_of_another_form_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "trusted_signers"
    path.write_text(f"# mine\n\n{line}\n")
    with pytest.raises(UsageError, match="line 3"):
        read_trusted(path)


@pytest.mark.parametrize("name", ["", "two words", "#lab", 'q"', "x" * 201, "a\nb"])
def test_names_that_would_break_the_list_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a name"):
        trust(tmp_path / "trusted_signers", TrustedSigner(name=name, fingerprint=FA))


def test_a_list_that_others_can_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings" / "trusted_signers"
    trust(path, TrustedSigner(name="lab", fingerprint=FA))
    path.chmod(0o620)
    with pytest.raises(UsageError, match="others change"):
        read_trusted(path)
    path.chmod(0o600)
    path.parent.chmod(0o777)
    with pytest.raises(UsageError, match="chmod go-w"):
        read_trusted(path)


def test_two_writers_lose_no_line_and_a_link_stays_one(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("")
    path = tmp_path / "trusted_signers"
    path.symlink_to(kept)
    threads = [
        threading.Thread(
            target=trust, args=(path, TrustedSigner(name=f"n{number}", fingerprint=FA))
        )
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {signer.name for signer in read_trusted(path)} == {f"n{n}" for n in range(20)}
    assert path.is_symlink()


# ---------------------------------------------------------------- named signers


def test_signers_are_named_by_fingerprint_or_file(tmp_path: Path) -> None:
    public = tmp_path / "key.pub"
    public.write_text(A.public.openssh + " someone@somewhere\n")
    (tmp_path / "key.pem").write_text(A.public.pem)
    for text in (str(public), FA, str(tmp_path / "key.pem")):
        assert one_fingerprint(text) == FA
        assert [signer.fingerprint for signer in allowed_signers(text, NOW)] == [FA]
    for text in ("SHA256:abc", FA + "x"):
        with pytest.raises(UsageError, match="not a fingerprint"):
            one_fingerprint(text)
        with pytest.raises(UsageError, match="not a fingerprint"):
            allowed_signers(text, NOW)


def _file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "allowed_signers"
    path.write_text(text)
    return str(path)


def test_a_file_of_keys_names_each_of_them(tmp_path: Path) -> None:
    text = f"{A.public.openssh}\nssh-rsa AAAAB3NzaC1yc2E= old\n\n{B.public.openssh} b\n"
    assert [s.fingerprint for s in allowed_signers(_file(tmp_path, text), NOW)] == [FA, FB]


@pytest.mark.parametrize("end", ["\f", "\v", "\x1c", "\x85", "\u2028", "\r"])
def test_a_comment_is_no_second_line(tmp_path: Path, end: str) -> None:
    """ssh-keygen knows one end of a line; what it takes for a comment must not be a key here."""
    text = f"zoe@lab.example {A.public.openssh} laptop{end}eve {B.public.openssh}\n# x{end}{FB}\n"
    path = tmp_path / "allowed"
    path.write_bytes(text.encode())
    assert [signer.fingerprint for signer in allowed_signers(str(path), NOW)] == [FA]


def test_an_allowed_signers_file_gives_names_and_times(tmp_path: Path) -> None:
    text = "\n".join(
        (
            "# lab members",
            f"zoe@lab.example {A.public.openssh} laptop",
            f'"zoe@lab.example,*@old.example" namespaces="git,repropack" {B.public.openssh}',
            f'past@lab.example VALID-BEFORE="20260101Z" {C.public.openssh}',
        )
    )
    first, second, third = allowed_signers(_file(tmp_path, text), NOW)
    assert (first.name, first.unusable) == ("zoe@lab.example", "")
    assert (second.name, second.unusable) == ("zoe@lab.example,*@old.example", "")
    assert "valid only before 2026-01-01" in third.unusable
    assert "line 4" in third.unusable


@pytest.mark.parametrize(
    ("option", "usable"),
    [
        ('namespaces="repropack"', True),
        ('namespaces="git"', False),
        ('namespaces="repro*"', True),
        ('namespaces="r?propack"', True),
        ('namespaces="*,!repropack"', False),
        ('namespaces="!git"', False),
        ('namespaces=""', False),
        ('namespaces="repropack2"', False),
        ('namespaces="repro.ack"', False),
        ('valid-after="20260601Z"', True),
        ('valid-after="202606011200Z"', True),
        ('valid-after="20260601120001Z"', False),
        ('valid-before="202606011200Z"', True),
        ('valid-before="20260601115959Z"', False),
        ('valid-after="20260101Z",valid-before="20270101Z",namespaces="repropack"', True),
    ],
)
def test_options_narrow_and_ssh_keygen_agrees(tmp_path: Path, option: str, usable: bool) -> None:
    path = _file(tmp_path, f"zoe {option} {A.public.openssh}\n")
    (signer,) = allowed_signers(path, NOW)
    assert (signer.unusable == "") is usable
    key = tmp_path / "key"
    _write_private(key)
    message = tmp_path / "message"
    message.write_text("x")
    subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "repropack", message],
        check=True,
        capture_output=True,
    )
    judged = subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-f", path, "-I", "zoe", "-n", "repropack",
         "-s", f"{message}.sig", "-Overify-time=20260601120000Z"],
        input=message.read_bytes(), capture_output=True, check=False,
    )  # fmt: skip
    assert (judged.returncode == 0) is usable, judged.stderr


def _write_private(path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    private = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("zoe cert-authority {key}", "option cert-authority"),
        ('zoe namespaces="repropack",cert-authority {key}', "option cert-authority"),
        ('zoe no-such="x" {key}', "option no-such"),
        ("zoe namespaces {key}", "option namespaces"),
        ("zoe namespaces=repropack {key}", "options or a key"),
        ('zoe namespaces="a",namespaces="b" {key}', "twice"),
        ('zoe valid-after="soon" {key}', "the time 'soon'"),
        ('zoe valid-after="20261399Z" {key}', "the time"),
        ('zoe valid-after="20270101Z",valid-before="20260101Z" {key}', "not after"),
        ('"zoe {key}', "not closed"),
        ("zoe", "no key"),
        ("zoe ssh-ed25519", "not an ssh-ed25519"),
        ("zoe ssh-ed25519 AAAA", "not an ssh-ed25519"),
        ('zoe namespaces="x" nonsense AAAA', "expected `ssh-ed25519"),
        ("# nobody", "no Ed25519 key"),
        ("", "no Ed25519 key"),
    ],
)
def test_what_is_not_understood_is_refused_not_ignored(
    tmp_path: Path, line: str, words: str
) -> None:
    path = _file(tmp_path, line.format(key=A.public.openssh) + "\n")
    with pytest.raises(UsageError) as caught:
        allowed_signers(path, NOW)
    assert words in str(caught.value)
    assert "allowed_signers" in str(caught.value)


def test_a_key_whose_line_does_not_count_is_refused_with_the_reason() -> None:
    policy = TrustPolicy(unusable={FA: "line 4: it was valid only before 2026"})
    found = authenticate(signed(A), policy)
    assert code(found) is Code.SIGNER_REJECTED
    assert found.refusal is not None
    assert "valid only before" in found.refusal.found
