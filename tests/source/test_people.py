# SPDX-License-Identifier: Apache-2.0
"""Everybody whom a repository names is somebody whom a release must not name unasked."""

from __future__ import annotations

import subprocess
from pathlib import Path

from repropack.privacy.terms import Identity, terms_of
from repropack.source.people import committers_of, people_of


def test_authors_committers_co_authors_and_taggers(tmp_path: Path) -> None:
    def git(*arguments: str, **names: str) -> None:
        person = {
            "GIT_AUTHOR_NAME": "Ann Author",
            "GIT_AUTHOR_EMAIL": "ann@a.example.net",
            "GIT_COMMITTER_NAME": "Cid Committer",
            "GIT_COMMITTER_EMAIL": "cid@c.example.net",
            "HOME": str(tmp_path),
            "GIT_CONFIG_GLOBAL": str(tmp_path / "none"),
        }
        subprocess.run(
            ["git", *arguments], cwd=tmp_path, env={**person, **names}, check=True, timeout=60
        )

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "x\n\nCo-authored-by: Cora Co <cora@co.example.net>")
    git("tag", "-a", "v1", "-m", "x", GIT_COMMITTER_NAME="Tom Tagger")
    git("stash", "list")
    found = committers_of(tmp_path)
    assert set(found) == {
        ("Ann Author", "ann@a.example.net"),
        ("Cid Committer", "cid@c.example.net"),
        ("Cora Co", "cora@co.example.net"),
        ("Tom Tagger", "cid@c.example.net"),
    }
    assert set(found) <= set(people_of(tmp_path))


def test_programs_that_write_with_her_are_nobody() -> None:
    people = (("Quokka", "noreply@assistant.example.net"), ("x[bot]", "1+x[bot]@users.example.net"))
    assert terms_of(Identity(people=people)) == ()
