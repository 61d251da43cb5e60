# SPDX-License-Identifier: Apache-2.0
"""The author's own terms: what is searched for, and what would be found everywhere and is not."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from repropack.export.identity import identity_of
from repropack.privacy.search import Searcher
from repropack.privacy.terms import Identity, TermKind, is_distinctive, terms_of
from repropack.project_file import ProjectFile


def spellings(identity: Identity) -> set[str]:
    return {spelling for term in terms_of(identity) for spelling in term.spellings}


def test_a_name_is_searched_in_the_forms_that_people_write() -> None:
    found = spellings(Identity(people=(("Zoë Marshmont", ""),)))
    assert {"Zoë Marshmont", "Zoe Marshmont", "Marshmont, Zoe", "Marshmont", "ZMarshmont"} <= found
    assert "Zoe" not in found


@pytest.mark.parametrize("name", ["Mark Will", "Kim Wu"])
def test_common_and_short_names_are_searched_whole_only(name: str) -> None:
    first, last = name.split()
    found = spellings(Identity(people=((name, ""),)))
    assert name in found
    assert not {first, last} & found


def test_a_mail_address_gives_the_domain_of_an_organisation_but_of_no_provider() -> None:
    found = spellings(
        Identity(people=(("", "zoe.marshmont@gpu.cs.lab-x.edu"), ("", "zmx77@gmail.com")))
    )
    assert {"zoe.marshmont@gpu.cs.lab-x.edu", "gpu.cs.lab-x.edu", "lab-x.edu", "zmx77"} <= found
    assert not {"gmail.com", "edu"} & found


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("git@git.lab-x.edu:marsh-group/nets.git", {"git.lab-x.edu", "marsh-group"}),
        ("https://github.com/zmarshmont/nets", {"zmarshmont", "zmarshmont/nets"}),
        ("ssh://git@github.com/zmarshmont/nets.git", {"zmarshmont"}),
        ("/mnt/backup/nets.git", set()),
        ("https://[broken", set()),
    ],
)
def test_remotes(address: str, expected: set[str]) -> None:
    found = spellings(Identity(remotes=(address,)))
    assert expected <= found
    assert "github.com" not in found
    assert bool(found) == bool(expected)


def test_a_short_user_name_needs_surroundings() -> None:
    found = spellings(Identity(users=("kim",)))
    assert "/home/kim" in found
    assert "kim" not in found
    assert spellings(Identity(users=("root", "ubuntu"))) == set()
    assert spellings(Identity(users=("kmarshmont",))) == {"kmarshmont"}


def test_nobody_is_no_author() -> None:
    people = (
        ("dependabot[bot]", "49699333+dependabot[bot]@users.noreply.github.com"),
        ("GitHub", "noreply@github.com"),
        ("repropack", "repropack@invalid"),
    )
    assert terms_of(Identity(people=people)) == ()


def test_homes_and_affiliations() -> None:
    terms = terms_of(Identity(homes=("/home/zoe", "/root"), affiliations=("Example University",)))
    assert [(t.kind, t.text) for t in terms] == [
        (TermKind.HOME, "/home/zoe"),
        (TermKind.AFFILIATION, "Example University"),
    ]


def test_distinctive() -> None:
    assert is_distinctive("marshmont")
    assert not is_distinctive("model")
    assert not is_distinctive("xyz")
    assert not is_distinctive("12345")


def test_every_commit_and_remote_of_a_repository_counts(tmp_path: Path) -> None:
    def git(*arguments: str, author: str = "Zoe Marshmont <zoe@lab-x.edu>") -> None:
        name, _, mail = author.rstrip(">").partition(" <")
        subprocess.run(
            ["git", "-c", f"user.name={name}", "-c", f"user.email={mail}", *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    (tmp_path / "a").write_text("a")
    git("add", "a")
    git("commit", "-qm", "one")
    git("commit", "-qm", "two", "--allow-empty", author="Ivo Quillfeather <ivo@quill.example.edu>")
    # A commit that no branch reaches any more is still hers.
    git("reset", "-q", "--hard", "HEAD~1")
    git("remote", "add", "origin", "git@git.lab-x.edu:marsh-group/nets.git")
    identity = identity_of([tmp_path, tmp_path / "absent"], ProjectFile(affiliations=("Lab X",)))
    assert {("Zoe Marshmont", "zoe@lab-x.edu"), ("Ivo Quillfeather", "ivo@quill.example.edu")} <= (
        set(identity.people)
    )
    assert identity.remotes == ("git@git.lab-x.edu:marsh-group/nets.git",)
    assert identity.affiliations == ("Lab X",)
    assert identity.hosts
    assert identity.homes


def test_a_directory_without_git_tells_the_machine_only(tmp_path: Path) -> None:
    identity = identity_of([tmp_path], ProjectFile())
    assert identity.remotes == ()


def test_a_tiny_address_is_not_found_in_every_weight() -> None:
    searcher = Searcher(terms_of(Identity(people=(("x", "a@b"),))))
    noise = random.Random(7).randbytes(1000)
    assert not list(searcher.search(noise + b"a@b" + noise))
    assert list(searcher.search(noise + b"written by a@b today" + noise))
    assert list(searcher.search(b"text of a@b in a file\n"))
