# SPDX-License-Identifier: Apache-2.0
"""A tree with words replaced: real git reads it, and what is no text stays byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from repropack.errors import UsageError
from repropack.source.private import private_repository
from repropack.source.replacing import rewritten_tree
from tests.source.conftest import Git


def _stored(project: Path, store: Path, git: Git) -> str:
    """The tree of the project's last commit, in a private repository."""
    repository = private_repository(store, "sha1")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "x")
    git(repository, "fetch", "-q", str(project), "HEAD")
    return git(project, "rev-parse", "HEAD^{tree}").decode()


def _marsh(_: str, text: str) -> str:
    return text.replace("marsh", "team")


@pytest.fixture
def told(project: Path) -> Path:
    (project / "marsh").mkdir()
    (project / "marsh/model.py").write_text("# marsh\n")
    (project / "marsh/run.sh").write_text("#!/bin/sh\necho marsh\n")
    (project / "marsh/run.sh").chmod(0o755)
    (project / "table.bin").write_bytes(b"\0marsh\xff")
    (project / "latin.txt").write_bytes(b"marsh \xe9\n")
    (project / "crlf.txt").write_bytes(b"marsh\r\nx\r\n")
    (project / ".gitattributes").write_text("*.txt text eol=lf\n*.py filter=lfs\n")
    os.symlink("marsh/model.py", project / "link")
    return project


def test_text_names_and_links_change_and_nothing_else(told: Path, tmp_path: Path, git: Git) -> None:
    tree = _stored(told, tmp_path / "store/git", git)
    store = tmp_path / "store/git"
    before = git(store, "ls-tree", "-r", tree)
    changed = rewritten_tree(store, tree, _marsh)
    assert git(store, "ls-tree", "-r", tree) == before
    listed = {
        line.split(b"\t")[1].decode(): line.split()[0].decode()
        for line in git(store, "ls-tree", "-r", changed.tree).split(b"\n")
    }
    assert listed["team/run.sh"] == "100755"
    assert listed["link"] == "120000"
    assert not any("marsh" in name for name in listed)

    def content(path: str) -> bytes:
        return git(store, "cat-file", "blob", f"{changed.tree}:{path}")

    assert content("team/model.py") == b"# team"
    assert content("link") == b"team/model.py"
    assert content("table.bin") == b"\0marsh\xff"
    assert content("latin.txt").startswith(b"marsh \xe9")
    # No filter and no conversion of line ends is in the way: what changed is the word.
    stored = git(store, "cat-file", "blob", f"{tree}:crlf.txt")
    assert content("crlf.txt") == stored.replace(b"marsh", b"team")
    assert changed.files == ("crlf.txt", "link", "team/model.py", "team/run.sh")
    assert git(store, "fsck", "--strict", "--no-dangling", changed.tree) == b""
    # The same words give the same tree.
    assert rewritten_tree(store, tree, _marsh).tree == changed.tree


def test_a_tree_without_the_word_is_the_same_tree(project: Path, tmp_path: Path, git: Git) -> None:
    (project / "more.txt").write_text("more\n")
    tree = _stored(project, tmp_path / "store/git", git)
    same = rewritten_tree(tmp_path / "store/git", tree, _marsh)
    assert (same.tree, same.files) == (tree, ())


def test_two_files_of_one_name_are_refused(told: Path, tmp_path: Path, git: Git) -> None:
    (told / "team").mkdir()
    (told / "team/model.py").write_text("other\n")
    tree = _stored(told, tmp_path / "store/git", git)
    with pytest.raises(UsageError, match=r"would both be called team/model\.py"):
        rewritten_tree(tmp_path / "store/git", tree, _marsh)


def test_commits_of_submodules_stay(told: Path, tmp_path: Path, git: Git) -> None:
    commit = git(told, "rev-parse", "HEAD").decode()
    git(told, "update-index", "--add", "--cacheinfo", f"160000,{commit},vendored")
    tree = git(told, "write-tree").decode()
    store = tmp_path / "store/git"
    repository = private_repository(store, "sha1")
    git(told, "update-ref", "refs/heads/x", git(told, "commit-tree", tree, "-m", "x").decode())
    git(repository, "fetch", "-q", str(told), "refs/heads/x")
    (told / "note.txt").write_text("marsh\n")
    changed = rewritten_tree(store, tree, lambda _, text: text.replace("model", "net"))
    assert f"160000 commit {commit}\tvendored".encode() in git(store, "ls-tree", changed.tree)
