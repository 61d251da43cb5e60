# SPDX-License-Identifier: Apache-2.0
"""Keys, signatures and trust as authors, co-authors and readers meet them on the command line."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from repropack.bundle import UnverifiedBundle, open_bundle
from repropack.bundle.packed import Packed
from repropack.signing.keys import SigningKey, create_key, load_public
from tests.project import Project
from tests.verify.release_builder import AUTHOR, THIEF, simple, unprintable

AUTHORS = AUTHOR.public.fingerprint
PASSPHRASE = "two words"


@pytest.fixture
def desk(bare_project: Project) -> Project:
    """An empty directory with a release in it, signed by AUTHOR."""
    simple(bare_project.root).write("release.rpk")
    return bare_project


def _release(desk: Project, name: str, key: SigningKey) -> None:
    place = desk.root / f"of-{name}"
    place.mkdir()
    simple(place).write(f"../{name}", key=key)


def _key(desk: Project, name: str) -> tuple[str, str]:
    """A new key's file and fingerprint."""
    path = desk.root / name
    return str(path), create_key(path).public.fingerprint


# ---------------------------------------------------------------- signing


def test_a_second_signature_changes_nothing_that_is_signed(desk: Project) -> None:
    bundle = desk.root / "release.rpk"
    bundle.chmod(0o600)
    before = bundle.read_bytes()
    key, fingerprint = _key(desk, "second")
    text = desk.ok("sign", "release.rpk", "--key", key)
    after = bundle.read_bytes()
    assert bundle.stat().st_mode & 0o777 == 0o600
    with open_bundle(bundle) as opened, open_bundle(_written(desk, before)) as old:
        kept = _attestation_at(opened)
        assert after[:kept] == before[:kept]
        assert opened.attestation.startswith(old.attestation[: old.attestation.index(b'"sig"')])
    assert f"sha256:{_manifest_digest(bundle)}" in text
    assert not list(desk.root.glob(".*partial"))

    next_command = text.splitlines()[-1].removeprefix("next: ").split()[1:]
    assert next_command[-2:] == ["--threshold", "2"]
    assert "--signer" in next_command
    desk.ok(*next_command, "--no-run")

    again = desk.ok("sign", "release.rpk", "--key", key)
    assert "already" in again
    assert bundle.read_bytes() == after

    done = desk.repropack("verify", "release.rpk", "--no-run", "--signer", fingerprint, "--json")
    report = json.loads(done.stdout)
    assert report["signer"] == {"fingerprint": fingerprint, "status": "trusted"}
    assert [signer["status"] for signer in report["signers"]] == ["not established", "trusted"]
    shown = desk.ok("inspect", "release.rpk")
    assert AUTHORS in shown
    assert fingerprint in shown
    screen = desk.repropack("verify", "release.rpk", "--no-run", "--report", "r.html").stdout
    page = (desk.root / "r.html").read_text()
    for text in (screen, page):
        assert AUTHORS in text
        assert fingerprint in text


def _attestation_at(bundle: UnverifiedBundle) -> int:
    """Where the last frame begins."""
    form = bundle._form
    assert isinstance(form, Packed)
    return form._container.table.offsets[-2]


def _written(desk: Project, data: bytes) -> Path:
    path = desk.root / "copy.rpk"
    path.write_bytes(data)
    return path


def _manifest_digest(bundle: Path) -> str:
    manifest = subprocess.run(
        ["tar", "--zstd", "-xOf", bundle, "manifest.json"], check=True, capture_output=True
    ).stdout
    return (
        subprocess.run(["sha256sum"], input=manifest, check=True, capture_output=True, text=False)
        .stdout[:64]
        .decode()
    )


def test_signing_to_another_file_and_through_a_link(desk: Project) -> None:
    before = (desk.root / "release.rpk").read_bytes()
    key, _ = _key(desk, "second")
    desk.ok("sign", "release.rpk", "--key", key, "-o", "signed.rpk")
    assert (desk.root / "release.rpk").read_bytes() == before
    (desk.root / "link.rpk").symlink_to("release.rpk")
    desk.ok("sign", "link.rpk", "--key", key)
    assert (desk.root / "link.rpk").is_symlink()
    assert (desk.root / "release.rpk").read_bytes() == (desk.root / "signed.rpk").read_bytes()


def test_nobody_signs_a_damaged_bundle(desk: Project) -> None:
    bundle = desk.root / "release.rpk"
    data = bytearray(bundle.read_bytes())
    data[40] ^= 1
    bundle.write_bytes(data)
    key, _ = _key(desk, "second")
    done = desk.repropack("sign", "release.rpk", "--key", key)
    assert done.returncode == 1
    assert re.search(r"^repropack: .*RPK\d", done.stderr, flags=re.MULTILINE)
    assert bundle.read_bytes() == data
    assert desk.repropack("sign", "absent.rpk", "--key", key).returncode == 2


def test_a_threshold_counts_named_keys(desk: Project) -> None:
    key, second = _key(desk, "second")
    named = ("--signer", AUTHORS, "--signer", second, "--threshold", "2")
    done = desk.repropack("verify", "release.rpk", "--no-run", *named)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("NOT INTACT: the bytes are intact, but not from")
    assert "RPK309" in done.stdout
    assert second in done.stdout
    desk.ok("sign", "release.rpk", "--key", key)
    desk.ok("verify", "release.rpk", "--no-run", *named)
    for options, words in (
        (("--threshold", "2"), "--signer"),
        (("--signer", AUTHORS, "--threshold", "2"), "only 1"),
        (("--signer", AUTHORS, "--signer", AUTHORS, "--threshold", "2"), "only 1"),
        (("--signer", AUTHORS, "--pin", "lab"), "give one"),
    ):
        refused = desk.repropack("verify", "release.rpk", "--no-run", *options)
        assert refused.returncode == 2
        assert words in refused.stderr


def test_an_exported_release_has_every_signer_and_their_recipes(
    exported: Project, tmp_path: Path
) -> None:
    keys = [_key(exported, name) for name in ("a", "b")]
    text = exported.ok(
        "export", "--run", "eval", "-o", "two.rpk", "--yes",
        "--key", keys[0][0], "--key", keys[1][0], "--key", keys[0][0],
    )  # fmt: skip
    assert text.splitlines()[-1].endswith("--threshold 2")
    third, _ = _key(exported, "c")
    exported.ok("sign", "two.rpk", "--key", third)
    place = tmp_path / "by-hand"
    place.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", exported.root / "two.rpk", "-C", place], check=True)
    readme = (place / "README.md").read_text()
    recipes = [
        recipe
        for recipe in re.findall(r"```sh\n(.*?)```", readme, flags=re.DOTALL)
        if "pkeyutl" in recipe
    ]
    assert len(recipes) == 2
    specified = (Path(__file__).parents[2] / "docs/spec/rpk-v1.md").read_text()
    block = next(b for b in re.findall(r"```sh\n(.*?)```", specified, re.DOTALL) if "pkeyutl" in b)
    of_specification = block[block.index('sed -n \'s/.*"payload"') : block.index("git clone")]
    for recipe, (_, fingerprint) in zip(recipes, keys, strict=True):
        assert fingerprint in readme
        for script in (recipe, of_specification):
            done = _shell(script, place)
            assert done.returncode == 0, done.stderr
            assert "the manifest is the signed one" in done.stdout
    # The third signer's key is in no README: a reader has it from elsewhere.
    (place / "signer.pem").write_text(load_public(Path(f"{third}.pub")).pem)
    assert _shell(of_specification, place).returncode == 0
    (place / "signer.pem").write_text(THIEF.public.pem)
    assert _shell(of_specification, place).returncode != 0


def _shell(script: str, place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-e", "-c", script], cwd=place, capture_output=True, text=True, check=False
    )


# ---------------------------------------------------------------- keys


@contextlib.contextmanager
def _agent(desk: Project) -> Iterator[dict[str, str]]:
    """A running ssh-agent, as variables for the program."""
    address = str(desk.root / "agent.sock")
    with subprocess.Popen(
        ["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not os.path.exists(address):
                time.sleep(0.01)
            yield {"SSH_AUTH_SOCK": address}
        finally:
            process.terminate()


def test_a_key_in_the_agent_signs_by_fingerprint_by_pub_file_and_for_a_locked_file(
    desk: Project,
) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", PASSPHRASE, "-C", "x\x1b[31m",
         "-f", desk.root / "locked"],
        check=True,
    )  # fmt: skip
    askpass = desk.write("askpass", f"#!/bin/sh\necho '{PASSPHRASE}'\n")
    askpass.chmod(0o755)
    fingerprint = load_public(desk.root / "locked.pub").fingerprint
    with _agent(desk) as variables:
        subprocess.run(
            ["ssh-add", "-q", desk.root / "locked"],
            env={
                **desk.environment,
                **variables,
                "SSH_ASKPASS": str(askpass),
                "SSH_ASKPASS_REQUIRE": "force",
            },
            check=True,
            stdin=subprocess.DEVNULL,
        )
        for number, named in enumerate(
            (f"agent:{fingerprint}", "agent:", "locked.pub", "locked"), 1
        ):
            output = f"signed-{number}.rpk"
            desk.ok("sign", "release.rpk", "--key", named, "-o", output, variables=variables)
            desk.ok("verify", output, "--no-run", "--signer", "locked.pub")
        desk.ok(
            "sign", "release.rpk", "-o", "by-variable.rpk",
            variables={**variables, "REPROPACK_KEY": "agent:"},
        )  # fmt: skip
        shown = desk.ok("key", "show", "--key", "agent:", variables=variables)
        assert shown.splitlines()[0] == fingerprint
        listed = desk.ok("key", "list", variables=variables)
        assert fingerprint in listed
        assert unprintable(listed) == []
        other = desk.repropack(
            "sign", "release.rpk", "--key", f"agent:{AUTHORS}", variables=variables
        )
        assert other.returncode == 2
        assert fingerprint in other.stderr
    for named, words in (("agent:", "no ssh-agent"), ("locked.pub", "public key")):
        (desk.root / "locked").rename(desk.root / "elsewhere")
        done = desk.repropack("sign", "release.rpk", "--key", named)
        assert done.returncode == 2
        assert words in done.stderr
        (desk.root / "elsewhere").rename(desk.root / "locked")


def test_a_passphrase_comes_from_the_variable_or_not_at_all_without_a_terminal(
    desk: Project,
) -> None:
    protected = {"REPROPACK_PASSPHRASE": PASSPHRASE}
    fingerprint = desk.ok("key", "new", "--passphrase", variables=protected).splitlines()[-1]
    private = Path(desk.environment["REPROPACK_HOME"]) / "key"
    opened = subprocess.run(
        ["ssh-keygen", "-y", "-P", PASSPHRASE, "-f", private], check=True, capture_output=True
    ).stdout.decode()
    assert opened.split()[1] in private.with_name("key.pub").read_text()
    desk.ok("sign", "release.rpk", variables=protected)
    desk.ok("verify", "release.rpk", "--no-run", "--signer", fingerprint)
    for variables, words in (({}, "no terminal"), ({"REPROPACK_PASSPHRASE": "x"}, "passphrase")):
        done = subprocess.run(
            [sys.executable, "-m", "repropack", "sign", "release.rpk"],
            cwd=desk.root,
            env={**desk.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        assert done.returncode == 2
        assert words in done.stderr
        assert "REPROPACK_PASSPHRASE" in done.stderr or variables


def _on_a_terminal(
    desk: Project, arguments: list[str], answers: Mapping[str, str]
) -> tuple[int, str]:
    """Runs the program on a pseudo-terminal and types an answer after each prompt."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(desk.root)
        os.execve(sys.executable, [sys.executable, "-m", "repropack", *arguments], desk.environment)
    screen = ""
    waiting = list(answers.items())
    deadline = time.monotonic() + 60
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            if not select.select([terminal], [], [], 1)[0]:
                continue
            piece = os.read(terminal, 4096)
            if not piece:
                break
            screen += piece.decode("utf-8", "replace")
            if waiting and waiting[0][0] in screen:
                # The prompt stands before the echo is off: a person is slower.
                time.sleep(0.3)
                os.write(terminal, waiting.pop(0)[1].encode() + b"\n")
    os.close(terminal)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGHUP)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), screen


def test_a_passphrase_is_asked_for_without_echo(desk: Project) -> None:
    create_key(desk.root / "key", PASSPHRASE)
    status, screen = _on_a_terminal(
        desk,
        ["sign", "release.rpk", "--key", "key"],
        {"Passphrase for key": PASSPHRASE, "Sign it?": "y"},
    )
    assert status == 0, screen
    assert PASSPHRASE not in screen
    assert "next: repropack verify" in re.sub(r"\x1b\[[0-9;]*m", "", screen)
    desk.ok("verify", "release.rpk", "--no-run", "--signer", "key.pub")


def test_keys_are_listed_trusted_and_forgotten(desk: Project) -> None:
    own = desk.ok("key", "new").splitlines()[-1]
    desk.ok("key", "trust", AUTHORS, "--name", "lab")
    (desk.root / "thief.pub").write_text(THIEF.public.openssh + "\n")
    refused = desk.repropack("key", "trust", "thief.pub", "--name", "lab")
    assert refused.returncode == 2
    assert "--add" in refused.stderr
    desk.ok("key", "trust", "thief.pub", "--name", "lab", "--add")
    listed = desk.ok("key", "list").splitlines()
    assert listed[:3] == [
        f"{own}  me",
        f"{AUTHORS}  lab",
        f"{THIEF.public.fingerprint}  lab",
    ]
    assert listed[3].startswith(f"{own}  signs: ")
    assert "(lab, trusted)" in desk.ok("verify", "release.rpk", "--no-run")
    assert len(desk.ok("key", "untrust", "lab").splitlines()) == 2
    assert desk.repropack("verify", "release.rpk", "--no-run").returncode == 4
    trusted = Path(desk.environment["REPROPACK_HOME"]) / "trusted_signers"
    trusted.chmod(0o666)
    open_to_all = desk.repropack("verify", "release.rpk", "--no-run")
    assert open_to_all.returncode == 2
    assert "chmod go-w" in open_to_all.stderr


# ---------------------------------------------------------------- trust


def test_a_pin_is_made_once_and_another_key_is_loud(desk: Project) -> None:
    first = desk.repropack("verify", "release.rpk", "--no-run", "--pin", "lab")
    assert first.returncode == 0
    assert "first use" in first.stdout
    assert AUTHORS in first.stderr
    again = desk.repropack("verify", "release.rpk", "--no-run", "--pin", "lab")
    assert again.returncode == 0
    assert "from now on" not in again.stderr
    assert "pinned on first use" in again.stdout
    assert "pinned on first use" in desk.ok("verify", "release.rpk", "--no-run")

    _release(desk, "other.rpk", THIEF)
    changed = desk.repropack("verify", "other.rpk", "--no-run", "--pin", "lab")
    assert changed.returncode == 1
    assert "ANOTHER KEY" in changed.stdout.splitlines()[-1]
    assert "RPK308" in changed.stdout
    assert "WARNING: ANOTHER KEY THAN lab'S HAS SIGNED THIS FILE" in changed.stderr
    assert THIEF.public.fingerprint in changed.stderr
    report = json.loads(
        desk.repropack("verify", "other.rpk", "--no-run", "--pin", "lab", "--json").stdout
    )
    assert report["signer"]["status"] == "not the known key"
    assert report["findings"][0]["code"] == "RPK308"
    # Without the name it is one more unknown signer, and nothing was learned from the attempt.
    assert desk.repropack("verify", "other.rpk", "--no-run").returncode == 4

    desk.ok("key", "untrust", "lab")
    desk.ok("key", "trust", THIEF.public.fingerprint, "--name", "lab")
    desk.ok("verify", "other.rpk", "--no-run", "--pin", "lab")
    assert desk.repropack("verify", "release.rpk", "--no-run", "--pin", "lab").returncode == 1
    assert desk.repropack("verify", "release.rpk", "--no-run", "--pin", "a b").returncode == 2


def test_nothing_is_pinned_without_the_readers_word_or_from_a_bad_bundle(desk: Project) -> None:
    trusted = Path(desk.environment["REPROPACK_HOME"]) / "trusted_signers"
    desk.repropack("verify", "release.rpk", "--no-run")
    desk.repropack("verify", "release.rpk", "--no-run", "--allow-unknown-signer")
    assert not trusted.exists()
    key, _ = _key(desk, "second")
    desk.ok("sign", "release.rpk", "--key", key, "-o", "two.rpk")
    two = desk.repropack("verify", "two.rpk", "--no-run", "--pin", "lab")
    assert two.returncode == 4
    assert "several keys" in two.stdout
    data = bytearray((desk.root / "release.rpk").read_bytes())
    data[40] ^= 1
    (desk.root / "bad.rpk").write_bytes(data)
    assert desk.repropack("verify", "bad.rpk", "--no-run", "--pin", "lab").returncode == 1
    assert not trusted.exists()


def test_allowed_signers_of_openssh_are_signers(desk: Project) -> None:
    desk.write(
        "allowed",
        f'zoe@lab.example namespaces="repropack" {AUTHOR.public.openssh}\n'
        f'old@lab.example valid-before="20200101" {THIEF.public.openssh}\n',
    )
    shown = desk.ok("verify", "release.rpk", "--no-run", "--signer", "allowed")
    assert "zoe@lab.example, trusted" in shown
    _release(desk, "old.rpk", THIEF)
    old = desk.repropack("verify", "old.rpk", "--no-run", "--signer", "allowed")
    assert old.returncode == 1
    assert "RPK306" in old.stdout
    assert "valid only before" in old.stdout
    desk.write("allowed", f"* cert-authority {AUTHOR.public.openssh}\n")
    refused = desk.repropack("verify", "release.rpk", "--no-run", "--signer", "allowed")
    assert refused.returncode == 2
    assert "cert-authority" in refused.stderr
