# SPDX-License-Identifier: Apache-2.0
"""The leak gate before an anonymous release: stricter, and it looks into wheels."""

from __future__ import annotations

import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from repropack.bundle import MemberSource
from repropack.cli.export_anonymous import stricter
from repropack.export.gate import look
from repropack.export.identity import anonymous_terms, author_of
from repropack.model import Role
from repropack.privacy.terms import Identity, terms_of
from repropack.project_file import ProjectFile

TERMS = terms_of(Identity(people=(("Zoe Pevensey", "zoe@pevensey.example"),)))


def _wheel(metadata: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("tools-1.0.dist-info/METADATA", metadata)
    return out.getvalue()


def _member(path: str, content: bytes, role: Role = Role.ENVIRONMENT) -> MemberSource:
    return MemberSource(path=path, role=role, content=content)


def test_a_wheel_of_her_own_names_her() -> None:
    name = "environment/wheels/tools-1.0-py3-none-any.whl"
    own = [_member(name, _wheel("Name: tools\nHome-page: https://git.pevensey.example/x\n"))]
    assert look(own, {}, TERMS, public={name}).leaks == ()
    blocking = [x for x in look(own, {}, TERMS, anonymous=True, public={name}).leaks if x.blocks]
    assert [leak.rule for leak in blocking] == ["term: domain"]
    assert blocking[0].place.startswith(name)
    # A family name stands in many packages; it is shown.
    named = [_member(name, _wheel("Name: tools\nAuthor: Adam Pevensey\n"))]
    (leak,) = look(named, {}, TERMS, anonymous=True, public={name}).leaks
    assert not leak.blocks
    # What others publish is full of addresses, which are theirs.
    other = [_member(name, _wheel("Name: tools\nAuthor-email: somebody@elsewhere.org\n"))]
    assert look(other, {}, TERMS, anonymous=True, public={name}).leaks == ()


def test_a_large_wheel_is_searched_too_and_what_could_not_be_is_said() -> None:
    name = "environment/wheels/tools-1.0-py3-none-any.whl"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("tools/_native.so", b"\x7fELF\0" + bytes(40 * 1024 * 1024))
        archive.writestr("tools/place.txt", "https://git.pevensey.example/x", zipfile.ZIP_DEFLATED)
    found = look([_member(name, out.getvalue())], {}, TERMS, anonymous=True, public={name})
    assert [leak.rule for leak in found.leaks if leak.blocks] == ["term: domain"]
    assert found.unsearched == ()
    broken = out.getvalue()[:-200]
    (said,) = look([_member(name, broken)], {}, TERMS, anonymous=True, public={name}).unsearched
    assert said.place == name
    assert "damaged" in said.reason


def test_what_tells_who_somebody_is_stops_it_but_not_in_data() -> None:
    text = b"mail to sam@elsewhere.org\n"
    searched = look(
        [_member("data/rows/a.txt", text, Role.DATA), _member("README.md", text, Role.DOCUMENT)],
        {},
        TERMS,
        anonymous=True,
    )
    assert [leak.blocks for leak in searched.leaks] == [False, False]
    blocking = {leak.member: leak.blocks for leak in stricter(searched).leaks}
    assert blocking == {"data/rows/a.txt": False, "README.md": True}


def _repository(place: Path, mail: str, remote: str) -> Path:
    place.mkdir()

    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=Somebody Else", "-c", f"user.email={mail}", *arguments],
            cwd=place,
            check=True,
            capture_output=True,
        )

    git("init", "-q")
    git("remote", "add", "origin", f"https://github.com/{remote}.git")
    git("commit", "-q", "--allow-empty", "-m", "x")
    return place


def test_of_other_repositories_only_those_are_hers_in_which_she_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Chatham")
    monkeypatch.setenv("SLURM_CLUSTER_NAME", "numbatcluster")
    project = _repository(tmp_path / "project", "zoe@pevensey.example", "quollteam/paper")
    own = _repository(tmp_path / "own", "zoe@pevensey.example", "bilbylab/tools")
    foreign = _repository(tmp_path / "foreign", "core@framework.example", "frameworkteam/net")
    found = anonymous_terms(
        project, [own, foreign], ProjectFile(), "Zoe Pevensey <zoe@pevensey.example>", ["secret77"]
    )
    spellings = {spelling for term in found for spelling in term.spellings}
    assert {"secret77", "numbatcluster", "Pacific/Chatham", "quollteam", "bilbylab"} <= spellings
    assert not {"frameworkteam", "core@framework.example"} & spellings


def test_who_she_is_is_what_git_would_write(tmp_path: Path) -> None:
    project = _repository(tmp_path / "project", "zoe@pevensey.example", "a/b")
    assert author_of(tmp_path, {"GIT_AUTHOR_NAME": "Zoe", "GIT_AUTHOR_EMAIL": "z@x.example"}) == (
        "Zoe <z@x.example>"
    )
    subprocess.run(["git", "config", "user.name", "Zoe Pevensey"], cwd=project, check=True)
    subprocess.run(["git", "config", "user.email", "zoe@x.example"], cwd=project, check=True)
    assert author_of(project, {}) == "Zoe Pevensey <zoe@x.example>"
