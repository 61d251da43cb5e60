# SPDX-License-Identifier: Apache-2.0
"""Rotation and revocation of keys as authors make them and readers meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repropack.signing.keys import create_key
from tests.project import Project
from tests.verify.release_builder import simple, unprintable


@pytest.fixture
def desk(bare_project: Project) -> Project:
    """An empty directory with two keys, and a release of each."""
    for name in ("old", "new"):
        key = create_key(bare_project.root / name)
        place = bare_project.root / f"of-{name}"
        place.mkdir()
        simple(place).write(f"../{name}.rpk", key=key)
    return bare_project


def fingerprint(desk: Project, name: str) -> str:
    return desk.ok("key", "show", "--key", f"{name}.pub").splitlines()[0]


def author(desk: Project) -> dict[str, str]:
    """The author has a home of her own; the project's is the reader's."""
    return {"REPROPACK_HOME": str(desk.root / "author")}


def check(desk: Project, bundle: str, *options: str) -> tuple[int, str, str]:
    done = desk.repropack("verify", bundle, "--no-run", *options)
    assert unprintable(done.stdout + done.stderr) == []
    return done.returncode, done.stdout, done.stderr


def test_a_key_is_handed_over_and_its_readers_follow(desk: Project) -> None:
    old, new = fingerprint(desk, "old"), fingerprint(desk, "new")
    desk.ok("key", "trust", "old.pub", "--name", "lab")
    assert check(desk, "new.rpk")[0] == 4
    assert check(desk, "new.rpk", "--pin", "lab")[0] == 1

    made = desk.ok("key", "rotate", "--key", "old", "--to", "new", variables=author(desk))
    assert made.splitlines()[-1].endswith("repropack key import key-rotation.json")
    told = desk.repropack("key", "import", "key-rotation.json")
    assert told.returncode == 0
    assert f"{old} (lab) hands over to {new}" in told.stdout
    assert f"compare {new}" in told.stderr

    for options in ((), ("--pin", "lab"), ("--signer", old)):
        status, screen, _ = check(desk, "new.rpk", *options)
        assert status == 0, screen
        assert "known by rotation" in screen
        assert f"follows {old}" in screen
    assert check(desk, "old.rpk")[0] == 0
    listed = desk.ok("key", "list")
    assert f"{new}  follows {old}" in listed

    assert "known already" in desk.ok("key", "import", "key-rotation.json")
    assert "follows no key any more" in desk.ok("key", "untrust", new)
    assert check(desk, "new.rpk")[0] == 4


def test_a_compromised_key_is_refused_loudly_but_its_known_digest_is_not(desk: Project) -> None:
    desk.ok("key", "trust", "old.pub", "--name", "lab")
    made = desk.ok(
        "key", "revoke", "--key", "old", "--reason", "compromised", "--since", "2026-03-01",
        variables=author(desk),
    )  # fmt: skip
    assert "compromised since 2026-03-01T00:00:00Z" in made
    assert "(lab) is revoked: compromised" in desk.ok("key", "import", "key-revocation.json")
    for options in ((), ("--allow-unknown-signer",), ("--signer", "old.pub"), ("--pin", "lab")):
        status, screen, told = check(desk, "old.rpk", *options)
        assert status == 1
        assert screen.splitlines()[-1].startswith("NOT INTACT")
        assert "THE KEY IS REVOKED" in screen.splitlines()[-1]
        assert "RPK312" in screen
        assert "WARNING: THE KEY THAT SIGNED THIS FILE IS REVOKED" in told
    report = json.loads(desk.repropack("verify", "old.rpk", "--no-run", "--json").stdout)
    assert report["signer"]["status"] == "revoked"
    assert report["findings"][0]["code"] == "RPK312"
    digest = f"sha256:{report['manifest_sha256']}"
    status, screen, _ = check(desk, "old.rpk", "--expect", digest)
    assert status == 0
    assert "expected digest" in screen
    assert "revoked: compromised" in desk.ok("key", "list")
    # The author is kept from signing with it by mistake.
    signing = desk.repropack("sign", "new.rpk", "--key", "old", variables=author(desk))
    assert signing.returncode == 2
    assert "is revoked (compromised)" in signing.stderr
    again = desk.repropack("key", "trust", "old.pub", "--name", "again")
    assert "does not count" in again.stderr
    assert check(desk, "old.rpk")[0] == 1


def test_a_retired_key_is_not_established_and_a_new_signature_mends_it(desk: Project) -> None:
    desk.ok("key", "trust", "old.pub", "--name", "lab")
    desk.ok("key", "rotate", "--key", "old", "--to", "new", variables=author(desk))
    desk.ok(
        "key", "revoke", "--key", "old.pub", "--by", "new", "--reason", "retired",
        "--successor", "new.pub", variables=author(desk),
    )  # fmt: skip
    alone = desk.repropack("key", "import", "key-revocation.json")
    assert alone.returncode == 1
    assert "RPK314" in alone.stderr
    # Whatever the order on the command line, the rotation says who may revoke.
    desk.ok("key", "import", "key-revocation.json", "key-rotation.json")
    status, screen, told = check(desk, "old.rpk")
    assert status == 4
    assert "retired" in screen
    assert "--expect" in told
    assert check(desk, "old.rpk", "--allow-unknown-signer")[0] == 0
    assert check(desk, "new.rpk")[0] == 0
    desk.ok("sign", "old.rpk", "--key", "new")
    assert check(desk, "old.rpk")[0] == 0


def test_a_lost_key_is_revoked_by_what_was_prepared_with_it(desk: Project) -> None:
    desk.ok("key", "new", "--key", "mine", "--revocation", "safe.json")
    assert (desk.root / "safe.json").stat().st_mode & 0o777 == 0o600
    desk.ok("key", "revoke", "--prepare", "--key", "old", "-o", "later.json")
    # Preparing is no revoking.
    desk.ok("key", "trust", "old.pub", "--name", "lab")
    assert check(desk, "old.rpk")[0] == 0
    (desk.root / "old").unlink()
    assert "lost for all that it ever signed" in desk.ok("key", "import", "later.json")
    assert check(desk, "old.rpk")[0] == 4
    hint = desk.repropack("key", "new", "--key", "other")
    assert "key revoke --prepare" in hint.stderr
    taken = desk.repropack("key", "new", "--key", "third", "--revocation", "safe.json")
    assert taken.returncode == 2
    assert not (desk.root / "third").exists()


def test_a_thiefs_statements_change_nothing(desk: Project) -> None:
    desk.ok("key", "trust", "old.pub", "--name", "lab")
    create_key(desk.root / "thief")
    create_key(desk.root / "dummy")
    desk.ok("key", "rotate", "--key", "thief", "--to", "dummy", variables=author(desk))
    wire = json.loads((desk.root / "key-rotation.json").read_text())
    desk.write("broken.json", json.dumps({**wire, "payload": "e30="}))
    unrelated = desk.repropack("key", "import", "key-rotation.json", "broken.json", "old.rpk")
    assert unrelated.returncode == 1
    assert "do not know" in unrelated.stderr
    assert "RPK3" in unrelated.stderr
    assert "Traceback" not in unrelated.stderr
    assert check(desk, "new.rpk")[0] == 4
    by_other = desk.repropack(
        "key", "revoke", "--key", "old.pub", "--by", "thief", "--reason", "lost", "-o", "x.json",
        variables=author(desk),
    )  # fmt: skip
    assert by_other.returncode == 1
    assert "RPK314" in by_other.stderr
    assert not (desk.root / "x.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rotate", "--key", "old", "--to", "old"), "the same"),
        (("rotate", "--key", "old", "--to", "absent"), "key new --key absent"),
        (("rotate", "--key", "old", "--to", "new", "-o", "old.pub"), "not overwritten"),
        (("rotate", "--key", "old", "--to", "new", "-o", "no/x"), "not a directory"),
        (("revoke", "--key", "old"), "--reason"),
        (("revoke", "--key", "old", "--reason", "bored"), "bored"),
        (("revoke", "--key", "old", "--reason", "lost", "--since", "May"), "--since May"),
        (("revoke", "--key", "old", "--reason", "lost", "--since", "2999-01-01"), "future"),
        (("revoke", "--key", "old", "--reason", "compromised", "--successor", "new.pub"), "thief"),
        (("revoke", "--key", "old", "--prepare", "--since", "2026-01-01"), "--prepare"),
        (("import", "absent.json"), "absent.json"),
        (("import",), "FILE"),
    ],
)
def test_wrong_usage_is_one_clear_line_and_writes_nothing(
    desk: Project, arguments: tuple[str, ...], words: str
) -> None:
    before = sorted(path.name for path in desk.root.iterdir())
    done = desk.repropack("key", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in desk.root.iterdir()) == before
    assert not (Path(desk.environment["REPROPACK_HOME"]) / "key_statements").exists()
