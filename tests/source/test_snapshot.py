# SPDX-License-Identifier: Apache-2.0
"""What is on the disk is in the tree, and nothing of the author's was touched."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from repropack.errors import RepropackError
from repropack.source.private import STALE_AFTER
from repropack.source.snapshot import (
    Taken,
    changed_since,
    converted,
    find_root,
    preserve,
    take,
)
from tests.source.conftest import Git, fingerprint


def snapshot(root: Path, store: Path, **options: object) -> Taken:
    """Takes a versioned snapshot and checks that the author's repository stayed as it was."""
    git_directory = root / ".git"
    before = fingerprint(git_directory) if git_directory.is_dir() else {}
    index = git_directory / "index"
    times = index.stat().st_mtime_ns if index.exists() else 0
    taken = take(root, store, **({"versioned": True, "products": {}} | options))  # type: ignore[arg-type]
    if git_directory.is_dir():
        assert fingerprint(git_directory) == before
        assert (index.stat().st_mtime_ns if index.exists() else 0) == times
    return taken


def listing(git: Git, root: Path, store: Path, taken: Taken) -> dict[str, tuple[str, str]]:
    """Path to mode and content-id, as the private repository has it."""
    preserve(
        root,
        store,
        taken.snapshot.tree,
        versioned=taken.snapshot.versioned,
        object_format=taken.object_format,
    )
    place = store if taken.object_format == "sha1" else store.with_name("git-sha256")
    output = git(place, "ls-tree", "-r", "-z", taken.snapshot.tree)
    result = {}
    for record in output.split(b"\0"):
        if record:
            meta, _, path = record.partition(b"\t")
            mode, _, oid = meta.decode().split(" ")
            result[path.decode("utf-8", "backslashreplace")] = (mode, oid)
    return result


def content(git: Git, store: Path, taken: Taken, path: str) -> bytes:
    return git(store, "cat-file", "blob", f"{taken.snapshot.tree}:{path}")


def test_clean_repository_is_its_own_tree(project: Path, store: Path, git: Git) -> None:
    taken = snapshot(project, store)
    assert taken.snapshot.tree == git(project, "rev-parse", "HEAD^{tree}").decode()
    assert taken.base_commit == git(project, "rev-parse", "HEAD").decode()
    assert not taken.snapshot.dirty
    assert taken.snapshot.untracked == taken.snapshot.uncommitted == ()


def test_dirty_tree_is_what_git_add_all_would_give(project: Path, store: Path, git: Git) -> None:
    (project / "train.py").write_text("print('edited')\n")
    (project / "pkg/model.py").unlink()
    (project / "run.sh").chmod(0o644)
    (project / "new.py").write_text("new\n")
    (project / "out.log").write_text("ignored\n")
    (project / "staged.py").write_text("one\n")
    git(project, "add", "staged.py")
    (project / "staged.py").write_text("two\n")
    (project / "later.py").write_text("intent\n")
    git(project, "add", "-N", "later.py")
    git(project, "mv", ".gitignore", ".gitignore2")
    git(project, "mv", ".gitignore2", ".gitignore")
    (project / "link").symlink_to("train.py")
    status = git(project, "status", "--porcelain=v2", "--untracked-files=all")
    taken = snapshot(project, store)
    assert git(project, "status", "--porcelain=v2", "--untracked-files=all") == status
    assert taken.snapshot.uncommitted == (
        "later.py", "pkg/model.py", "run.sh", "staged.py", "train.py",
    )  # fmt: skip
    assert taken.snapshot.untracked == ("link", "new.py")
    assert taken.snapshot.dirty
    assert content(git, store, taken, "staged.py") == b"two"
    git(project, "add", "-A")
    assert git(project, "write-tree").decode() == taken.snapshot.tree


def test_rename_and_revert(project: Path, store: Path, git: Git) -> None:
    git(project, "mv", "train.py", "learn.py")
    taken = snapshot(project, store)
    assert taken.snapshot.uncommitted == ("learn.py", "train.py")
    git(project, "mv", "learn.py", "train.py")
    (project / "train.py").write_text("changed\n")
    git(project, "add", "train.py")
    (project / "train.py").write_text("print('train')\n")
    # Staged one way and edited back: the tree that ran is the commit's.
    assert not snapshot(project, store).snapshot.dirty


@pytest.mark.parametrize("both", ["file", "deleted"])
def test_conflict_is_taken_as_it_lies_on_the_disk(
    project: Path, store: Path, git: Git, both: str
) -> None:
    git(project, "checkout", "-q", "-b", "side")
    (project / "train.py").write_text("side\n")
    git(project, "commit", "-qam", "side")
    git(project, "checkout", "-q", "main")
    (project / "train.py").write_text("main\n")
    git(project, "commit", "-qam", "main")
    assert git(project, "merge", "side", check=False) == b"1"
    if both == "deleted":
        (project / "train.py").unlink()
    taken = snapshot(project, store)
    files = listing(git, project, store, taken)
    if both == "deleted":
        assert "train.py" not in files
    else:
        assert b"<<<<<<<" in content(git, store, taken, "train.py")
    assert taken.snapshot.uncommitted == ("train.py",)


def test_file_becomes_directory_and_back(project: Path, store: Path, git: Git) -> None:
    (project / "train.py").unlink()
    (project / "train.py").mkdir()
    (project / "train.py/a").write_text("a")
    (project / "pkg/model.py").unlink()
    (project / "pkg").rmdir()
    (project / "pkg").write_text("now a file")
    files = listing(git, project, store, snapshot(project, store))
    assert sorted(files) == [".gitignore", "pkg", "run.sh", "train.py/a"]


def test_directory_becomes_link(project: Path, store: Path, git: Git) -> None:
    (project / "pkg").rename(project / "real")
    (project / "pkg").symlink_to("real")
    files = listing(git, project, store, snapshot(project, store))
    assert files["pkg"][0] == "120000"
    assert "real/model.py" in files
    assert "pkg/model.py" not in files


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_files_that_git_was_told_not_to_look_at(
    project: Path, store: Path, git: Git, flag: str
) -> None:
    git(project, "update-index", flag, "train.py")
    (project / "train.py").write_text("kept locally\n")
    assert git(project, "status", "--porcelain") == b""
    taken = snapshot(project, store)
    assert taken.snapshot.uncommitted == ("train.py",)
    assert content(git, store, taken, "train.py") == b"kept locally"


def test_sparse_checkout_keeps_what_is_not_there(project: Path, store: Path, git: Git) -> None:
    git(project, "sparse-checkout", "set", "--no-cone", "/*", "!/pkg/")
    assert not (project / "pkg").exists()
    taken = snapshot(project, store)
    assert taken.snapshot.tree == git(project, "rev-parse", "HEAD^{tree}").decode()


def test_edit_within_the_tick_of_git_add(project: Path, store: Path, git: Git) -> None:
    """A copied index with a later time would take the second edit for unchanged."""
    path = project / "train.py"
    while time.time() % 1 > 0.3:
        time.sleep(0.01)
    path.write_text("aaaa\n")
    git(project, "add", "train.py")
    path.write_text("bbbb\n")
    time.sleep(1.1)
    assert content(git, store, snapshot(project, store), "train.py") == b"bbbb"


@pytest.mark.parametrize(
    "settings",
    [
        {"core.splitIndex": "true"},
        {"core.untrackedCache": "true"},
        {"index.version": "4"},
        {"feature.manyFiles": "true", "core.fsmonitor": "true"},
        {"status.showUntrackedFiles": "no", "status.renames": "copies"},
        {"diff.noprefix": "true", "diff.external": "false", "diff.relative": "true"},
        {"core.ignoreStat": "true"},
        {"core.quotePath": "false", "core.safecrlf": "true", "core.autocrlf": "input"},
    ],
    ids=lambda settings: "+".join(settings),
)
def test_author_configuration(
    project: Path, store: Path, git: Git, settings: dict[str, str]
) -> None:
    for name, value in settings.items():
        if name != "core.fsmonitor":
            git(project, "config", name, value)
    (project / "staged.py").write_text("staged\n")
    git(project, "add", "staged.py")
    git(project, "update-index", "--force-write-index")
    git(project, "status")
    if "core.fsmonitor" in settings:
        git(project, "config", "core.fsmonitor", "true")
    (project / "train.py").write_text("edited\r\n")
    (project / "new.py").write_text("new\n")
    taken = snapshot(project, store)
    assert taken.snapshot.uncommitted == ("staged.py", "train.py")
    assert taken.snapshot.untracked == ("new.py",)
    assert changed_since(project, store, taken) == ()


def test_hooks_and_inherited_variables_do_nothing(
    project: Path, store: Path, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "hook-ran"
    for name in ("post-index-change", "pre-auto-gc", "reference-transaction"):
        hook = project / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
        hook.chmod(0o755)
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", f"touch {mark}")
    (project / "train.py").write_text("edited\n")
    assert find_root(project / "pkg") == (project, True)
    taken = snapshot(project, store)
    assert taken.snapshot.uncommitted == ("train.py",)
    assert not mark.exists()


def test_no_filter_is_run_and_nothing_that_it_protects_is_taken(
    project: Path, store: Path, git: Git, tmp_path: Path
) -> None:
    """What lies on the disk may be the plain text of what git has encrypted."""
    (project / ".gitattributes").write_text("*.txt filter=crypt\n")
    git(project, "config", "filter.crypt.clean", "tr a-z A-Z")
    git(project, "config", "filter.crypt.required", "true")
    (project / "keys.txt").write_text("plain\n")
    (project / "same.txt").write_text("plain\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "encrypted")
    mark = tmp_path / "ran"
    for kind in ("clean", "process", "smudge"):
        git(project, "config", f"filter.crypt.{kind}", f"touch {mark}; false")
    os.utime(project / "same.txt", (1, 1))
    (project / "keys.txt").write_text("plain secret\n")
    (project / "new.txt").write_text("plain secret\n")
    taken = snapshot(project, store)
    assert taken.snapshot.tree == git(project, "rev-parse", "HEAD^{tree}").decode()
    assert content(git, project, taken, "keys.txt") == b"PLAIN"
    assert [(f.path, f.reason) for f in taken.snapshot.excluded] == [
        (name, "git filter crypt: its content is data")
        for name in ("keys.txt", "new.txt", "same.txt")
    ]
    assert not mark.exists()
    sizes = {name: (project / name).stat().st_size for name in ("keys.txt", "same.txt")}
    # What the filter makes of `same.txt` is as long as what it was made from.
    assert converted(project, store, taken, sizes, None) == (("keys.txt", "same.txt"), ())
    changed_since(project, store, taken)
    assert not mark.exists()


@pytest.mark.parametrize("installed", [False, True])
def test_lfs_files_are_their_pointers(
    project: Path, store: Path, git: Git, tmp_path: Path, installed: bool
) -> None:
    """With git-lfs configured (whether it can be run or not) and without."""
    (project / ".gitattributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    first = bytes(range(256)) * 10
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(first).hexdigest()}\nsize {len(first)}\n"
    )
    for name in ("a.bin", "b.bin", "fetched.bin"):
        (project / name).write_text(pointer)
    git(project, "add", "-A")
    git(project, "commit", "-qm", "pointers")
    committed = git(project, "rev-parse", "HEAD^{tree}").decode()
    if installed:
        mark = tmp_path / "ran"
        for kind in ("clean", "process", "smudge"):
            git(project, "config", f"filter.lfs.{kind}", f"touch {mark}; false")
        git(project, "config", "filter.lfs.required", "true")
        git(project, "config", "lfs.url", "https://user:secret@lfs.example.org/")
    # Fetched: the content is there, and git has the pointer.
    (project / "fetched.bin").write_bytes(first)
    taken = snapshot(project, store)
    assert taken.snapshot.tree == committed
    assert not taken.snapshot.dirty
    sizes = {p.name: p.stat().st_size for p in project.glob("*.bin")}
    assert converted(project, store, taken, sizes, ["fetched.bin", "a.bin"]) == (
        ("fetched.bin",), (),
    )  # fmt: skip
    # Changed, new, and empty.
    second = b"x" * 5000
    (project / "b.bin").write_bytes(second)
    (project / "new.bin").write_bytes(second)
    (project / "empty.bin").write_bytes(b"")
    taken = snapshot(project, store)
    assert taken.snapshot.uncommitted == ("b.bin",)
    assert taken.snapshot.untracked == ("empty.bin", "new.bin")
    text = content(git, store, taken, "b.bin").decode()
    assert text.splitlines()[1:] == [
        f"oid sha256:{hashlib.sha256(second).hexdigest()}",
        "size 5000",
    ]
    assert content(git, store, taken, "new.bin").decode() == text
    assert content(git, store, taken, "empty.bin") == b""
    assert not (tmp_path / "ran").exists()
    preserve(project, store, taken.snapshot.tree, versioned=True, object_format="sha1")
    assert not any(
        b"secret" in p.read_bytes() or second in p.read_bytes()
        for p in store.rglob("*")
        if p.is_file()
    )


def test_converted_text_is_told_apart(project: Path, store: Path, git: Git) -> None:
    (project / ".gitattributes").write_text("*.bat text eol=crlf\n*.ipynb filter=strip\n")
    (project / "run.bat").write_bytes(b"dir\r\n")
    (project / "plain.bat").write_bytes(b"")
    (project / "n.ipynb").write_text("{}")
    git(project, "config", "filter.strip.clean", "cat")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "text")
    (project / "n.ipynb").write_text('{"outputs": 1}')
    taken = snapshot(project, store)
    assert taken.snapshot.tree == git(project, "rev-parse", "HEAD^{tree}").decode()
    sizes = {name: (project / name).stat().st_size for name in ("run.bat", "plain.bat", "n.ipynb")}
    assert converted(project, store, taken, sizes, None) == ((), ("n.ipynb", "run.bat"))


def test_what_is_left_out_and_why(project: Path, store: Path, git: Git) -> None:
    (project / ".gitignore").write_text("")
    (project / "big.bin").write_bytes(bytes(2000))
    (project / "model.pt").write_bytes(b"weights")
    (project / "edited.pt").write_bytes(b"weights")
    stamps = {
        name: (s.st_size, s.st_mtime_ns, s.st_ino)
        for name in ("model.pt", "edited.pt")
        for s in [(project / name).stat()]
    }
    (project / "edited.pt").write_bytes(b"changed by hand")
    (project / "data").symlink_to("/somewhere/data")
    (project / "bell\a.py").write_text("x")
    git(project, "init", "-q", "nested")
    (project / "nested/a.py").write_text("x")
    (project / "env/lib").mkdir(parents=True)
    (project / "env/pyvenv.cfg").write_text("")
    (project / "env/lib/site.py").write_text("")
    (project / "images").mkdir()
    for number in range(30):
        (project / f"images/{number}.png").write_bytes(bytes(2000))
    taken = snapshot(project, store, products=stamps, untracked_limit=1000)
    assert taken.snapshot.untracked == ("edited.pt",)
    assert {file.path: file.reason for file in taken.snapshot.excluded} == {
        "bell\a.py": "a name with a control character",
        "big.bin": "untracked and larger than 1000 bytes",
        "data": "a symbolic link to an absolute path",
        "env/": "an installed environment",
        "images/": "30 files: untracked and larger than 1000 bytes",
        "model.pt": "product of this run or an earlier one",
        "nested/": "a nested git repository",
    }
    assert not any(".repropack" in path for path in listing(git, project, store, taken))


def test_tracked_store_is_left_out(project: Path, store: Path, git: Git) -> None:
    (project / ".repropack").mkdir()
    (project / ".repropack/run.json").write_text("{}")
    git(project, "add", "-f", ".repropack")
    git(project, "commit", "-qm", "oops")
    files = listing(git, project, store, snapshot(project, store))
    assert not any(path.startswith(".repropack") for path in files)
    assert "train.py" in files


def test_names_that_are_not_utf8(project: Path, store: Path, git: Git) -> None:
    for name in (b"caf\xe9.py", b"back\\slash.py", "naïve\u200d.py".encode(), b"new\tline.py"):
        with open(os.path.join(os.fsencode(project), name), "wb") as file:
            file.write(b"x\n")
    taken = snapshot(project, store)
    assert taken.snapshot.untracked == ("back\\\\slash.py", "caf\\xe9.py", "naïve\u200d.py")
    assert [file.path for file in taken.snapshot.excluded] == ["new\tline.py"]


def test_submodule(project: Path, store: Path, git: Git, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "-q")
    (library / "lib.py").write_text("1\n")
    git(library, "add", "-A")
    git(library, "commit", "-qm", "lib")
    git(project, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib")
    git(project, "commit", "-qm", "sub")
    (project / "lib/lib.py").write_text("2\n")
    module = fingerprint(project / ".git/modules")
    taken = snapshot(project, store)
    assert fingerprint(project / ".git/modules") == module
    assert taken.snapshot.tree == git(project, "rev-parse", "HEAD^{tree}").decode()
    assert taken.snapshot.excluded == ()
    assert taken.snapshot.submodules == taken.submodules == ("lib",)
    git(project / "lib", "commit", "-qam", "two")
    taken = snapshot(project, store)
    assert taken.snapshot.uncommitted == ("lib",)
    assert listing(git, project, store, taken)["lib"] == (
        "160000",
        git(project / "lib", "rev-parse", "HEAD").decode(),
    )
    assert find_root(project / "lib") == (project / "lib", True)
    git(project, "submodule", "deinit", "-q", "-f", "lib")
    taken = snapshot(project, store)
    assert taken.snapshot.submodules == ("lib",)
    assert [(f.path, f.reason) for f in taken.snapshot.excluded] == [
        ("lib", "a submodule that is not checked out")
    ]


def test_repository_without_commits(tmp_path: Path, git: Git) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    git(root, "init", "-q")
    store = root / ".repropack/git"
    taken = snapshot(root, store)
    assert taken.base_commit is None
    assert taken.snapshot.tree == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    (root / "a.py").write_text("a\n")
    (root / "b.py").write_text("b\n")
    git(root, "add", "b.py")
    taken = snapshot(root, store)
    assert taken.snapshot.dirty
    assert taken.snapshot.uncommitted == ("b.py",)
    assert taken.snapshot.untracked == ("a.py",)


def test_detached_head_and_linked_worktree(
    project: Path, store: Path, git: Git, tmp_path: Path
) -> None:
    git(project, "checkout", "-q", "--detach")
    assert snapshot(project, store).base_commit == git(project, "rev-parse", "HEAD").decode()
    other = tmp_path / "other: worktree"
    git(project, "worktree", "add", "-q", "-b", "wt", str(other))
    (other / "train.py").write_text("in the worktree\n")
    before = fingerprint(project / ".git")
    assert find_root(other / "pkg") == (other, True)
    taken = take(other, other / ".repropack/git", versioned=True, products={})
    assert fingerprint(project / ".git") == before
    assert taken.snapshot.uncommitted == ("train.py",)
    files = listing(git, other, other / ".repropack/git", taken)
    assert "pkg/model.py" in files


def test_repository_whose_path_needs_quoting(project: Path, git: Git, tmp_path: Path) -> None:
    odd = tmp_path / 'a:"b\\c\nd'
    project.rename(odd)
    (odd / "train.py").write_text("edited\n")
    taken = snapshot(odd, odd / ".repropack/git")
    assert "pkg/model.py" in listing(git, odd, odd / ".repropack/git", taken)
    assert find_root(odd / "pkg") == (odd, True)


def test_sha256_repository(tmp_path: Path, git: Git) -> None:
    root = tmp_path / "modern"
    root.mkdir()
    git(root, "init", "-q", "--object-format=sha256")
    (root / "a.py").write_text("a\n")
    (root / "gone.py").write_text("a\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "a")
    (root / "gone.py").unlink()
    (root / "b.py").write_text("b\n")
    store = root / ".repropack/git"
    # The project was not versioned once: its SHA-1 store is already there.
    take(root, store, versioned=False, products={})
    taken = snapshot(root, store)
    assert taken.object_format == "sha256"
    assert len(taken.snapshot.tree) == 64
    assert sorted(listing(git, root, store, taken)) == ["a.py", "b.py"]
    assert changed_since(root, store, taken) == ()


def test_roots(project: Path, git: Git, tmp_path: Path) -> None:
    assert find_root(project / "pkg") == (project, True)
    plain = tmp_path / "plain"
    plain.mkdir()
    assert find_root(plain) == (plain, False)
    ignored = project / "scratch"
    ignored.mkdir()
    (project / ".gitignore").write_text("scratch/\n")
    assert find_root(ignored) == (ignored, False)
    (ignored / "forced.py").write_text("x")
    git(project, "add", "-f", "scratch/forced.py")
    assert find_root(ignored) == (project, True)
    bare = tmp_path / "bare.git"
    git(tmp_path, "init", "-q", "--bare", str(bare))
    with pytest.raises(RepropackError, match="no work tree"):
        find_root(bare)
    with pytest.raises(RepropackError, match="no work tree"):
        find_root(project / ".git")
    git(project, "config", "core.bare", "true")
    with pytest.raises(RepropackError, match="no work tree"):
        find_root(project)
    dangling = tmp_path / "dangling"
    dangling.mkdir()
    (dangling / ".git").write_text("gitdir: /nonexistent/worktrees/x\n")
    with pytest.raises(RepropackError, match="git refuses"):
        find_root(dangling)


def test_without_git(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RepropackError, match=r"git was not found; install git"):
        find_root(project)


def test_home_is_no_project(home: Path) -> None:
    with pytest.raises(RepropackError, match="not a project"):
        take(home, home / ".repropack/git", versioned=False, products={})


def test_directory_without_repository(tmp_path: Path, git: Git) -> None:
    root = tmp_path / "plain"
    (root / "pkg/__pycache__").mkdir(parents=True)
    (root / "pkg/__pycache__/a.cpython-311.pyc").write_bytes(b"x")
    (root / "pkg/a.py").write_bytes(b"crlf\r\n")
    (root / ".gitattributes").write_text("*.py text eol=lf\n")
    (root / "node_modules/x").mkdir(parents=True)
    (root / "node_modules/x/y.js").write_text("x")
    (root / "myenv/lib").mkdir(parents=True)
    (root / "myenv/pyvenv.cfg").write_text("")
    (root / "myenv/lib/x.py").write_text("")
    (root / "grows.csv").write_text("1\n")
    (root / "out.json").write_text("{}")
    store = root / ".repropack/git"
    first = take(root, store, versioned=False, products={})
    assert sorted(listing(git, root, store, first)) == [
        ".gitattributes", "grows.csv", "out.json", "pkg/a.py",
    ]  # fmt: skip
    assert content(git, store, first, "pkg/a.py") == b"crlf"
    assert git(store, "cat-file", "-s", f"{first.snapshot.tree}:pkg/a.py") == b"6"
    assert {file.path for file in first.snapshot.excluded} == {
        "myenv/", "node_modules/", "pkg/__pycache__/",
    }  # fmt: skip
    assert first.base_commit is None
    assert not first.snapshot.versioned
    assert first.snapshot.dirty
    # A file of the first snapshot that has grown too large, and one that a run has overwritten.
    (root / "grows.csv").write_bytes(bytes(5000))
    (root / "out.json").write_text('{"accuracy": 1}')
    status = (root / "out.json").stat()
    stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
    assert changed_since(root, store, first) == ("grows.csv", "out.json")
    second = take(root, store, versioned=False, products={"out.json": stamp}, untracked_limit=1000)
    assert sorted(listing(git, root, store, second)) == [".gitattributes", "pkg/a.py"]
    (root / "pkg/a.py").unlink()
    third = take(root, store, versioned=False, products={}, untracked_limit=1000)
    assert sorted(listing(git, root, store, third)) == [".gitattributes", "out.json"]


def test_changes_during_a_run(project: Path, store: Path, git: Git) -> None:
    (project / "new.py").write_text("new\n")
    taken = snapshot(project, store)
    for name in ("train.py", "new.py"):
        os.utime(project / name, (1, 1))  # Touched, not changed.
    (project / "product.txt").write_text("made by the run")
    before = fingerprint(project / ".git")
    assert changed_since(project, store, taken) == ()
    assert fingerprint(project / ".git") == before
    (project / "new.py").write_text("edited while it ran\n")
    (project / "pkg/model.py").unlink()
    (project / "run.sh").chmod(0o644)
    # The remembered times are used up by now: this reads the files.
    assert changed_since(project, store, taken) == ("new.py", "pkg/model.py", "run.sh")
    assert not list(store.glob("index.*"))


def test_snapshot_survives_the_author(project: Path, store: Path, git: Git) -> None:
    (project / "train.py").write_text("edited\n")
    (project / "big.py").write_text("tracked\n" * 1000)
    git(project, "add", "-A")
    git(project, "commit", "-qm", "to be forgotten")
    taken = snapshot(project, store)
    tree = taken.snapshot.tree
    preserve(project, store, tree, versioned=True, object_format="sha1")
    git(project, "reset", "-q", "--hard", "HEAD~1")
    git(project, "reflog", "expire", "--expire=now", "--all")
    git(project, "gc", "-q", "--prune=now")
    assert git(project, "cat-file", "-e", tree, check=False) != b"0"
    assert len(git(store, "rev-list", "--objects", tree).splitlines()) == 7
    git(store, "fsck", "--strict")


def test_preserving_many_objects_makes_one_pack(tmp_path: Path, git: Git) -> None:
    root = tmp_path / "many"
    root.mkdir()
    git(root, "init", "-q")
    for number in range(600):
        (root / f"{number}.py").write_text(f"{number}\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "many")
    store = root / ".repropack/git"
    taken = snapshot(root, store)
    for _ in range(2):
        preserve(root, store, taken.snapshot.tree, versioned=True, object_format="sha1")
    assert len(list((store / "objects/pack").glob("*.pack"))) == 1
    assert len(git(store, "rev-list", "--objects", taken.snapshot.tree).splitlines()) == 601


def test_partial_clone_is_named_and_nothing_is_fetched(
    project: Path, git: Git, tmp_path: Path
) -> None:
    git(project, "config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "partial"
    git(
        tmp_path, "clone", "-q", "--filter=blob:none", "--no-checkout",
        f"file://{project}", str(clone),
    )  # fmt: skip
    git(clone, "sparse-checkout", "set", "--no-cone", "/*", "!/pkg/")
    git(clone, "checkout", "-q", "main")
    store = clone / ".repropack/git"
    taken = snapshot(clone, store)
    before = fingerprint(clone / ".git")
    with pytest.raises(RepropackError, match=r"1 of the objects .* partial clone"):
        preserve(clone, store, taken.snapshot.tree, versioned=True, object_format="sha1")
    assert fingerprint(clone / ".git") == before


def test_shallow_clone(project: Path, git: Git, tmp_path: Path) -> None:
    (project / "train.py").write_text("second\n")
    git(project, "commit", "-qam", "second")
    clone = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{project}", str(clone))
    store = clone / ".repropack/git"
    taken = snapshot(clone, store)
    assert content(git, clone, taken, "train.py") == b"second"
    assert "pkg/model.py" in listing(git, clone, store, taken)


def test_unreadable_object_store_is_an_error(project: Path, store: Path, git: Git) -> None:
    (project / ".git/index").write_bytes(b"garbage")
    with pytest.raises(RepropackError, match=r"git (status|ls-files) ended with status 128"):
        snapshot(project, store)
    assert not list(store.glob("index.*"))


def test_recorders_at_once(project: Path, store: Path, git: Git) -> None:
    for number in range(20):
        (project / f"new{number}.py").write_text(f"{number}\n")
    with ThreadPoolExecutor(6) as pool:
        taken = list(
            pool.map(lambda _: take(project, store, versioned=True, products={}), range(12))
        )
    assert len({t.snapshot.tree for t in taken}) == 1
    assert len({t.index for t in taken}) == 12
    assert all(changed_since(project, store, t) == () for t in taken)
    assert not list(store.parent.glob(".git.*"))


def test_killed_at_any_moment(project: Path, store: Path, git: Git) -> None:
    for number in range(50):
        (project / f"new{number}.py").write_text(f"{number}\n")
    before = fingerprint(project / ".git")
    program = (
        "import sys; from pathlib import Path; from repropack.source.snapshot import take\n"
        "print(flush=True)\n"
        "take(Path(sys.argv[1]), Path(sys.argv[2]), versioned=True, products={})"
    )
    for attempt in range(8):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(project), str(store)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(attempt * 0.006)
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()
    assert fingerprint(project / ".git") == before
    taken = snapshot(project, store)
    assert len(taken.snapshot.untracked) == 50
    assert len(listing(git, project, store, taken)) == 54


def test_litter_of_killed_calls_is_removed_by_age(
    project: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = snapshot(project, store)
    litter = store / "index.0123456789abcdef.lock"
    litter.write_bytes(b"")
    os.utime(store / kept.index, (1, 1))  # Copies keep the old time of the author's index.
    snapshot(project, store)
    assert litter.exists()
    assert (store / kept.index).exists()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + STALE_AFTER + 60)
    snapshot(project, store)
    assert not litter.exists()


def test_alternates_and_a_separate_git_directory(project: Path, git: Git, tmp_path: Path) -> None:
    clone = tmp_path / "shared"
    git(tmp_path, "clone", "-q", "--shared", str(project), str(clone))
    moved = tmp_path / "elsewhere.git"
    git(clone, "init", "-q", "--separate-git-dir", str(moved))
    assert (clone / ".git").is_file()
    before = fingerprint(moved)
    (clone / "train.py").write_text("changed\n")
    assert find_root(clone / "pkg") == (clone, True)
    store = clone / ".repropack/git"
    taken = snapshot(clone, store)
    assert fingerprint(moved) == before
    assert taken.snapshot.uncommitted == ("train.py",)
    assert sorted(listing(git, clone, store, taken)) == [
        ".gitignore", "pkg/model.py", "run.sh", "train.py",
    ]  # fmt: skip
    # Nothing of it depends on where the objects came from.
    (project / ".git").rename(tmp_path / "gone")
    git(store, "fsck", "--strict")
    assert content(git, store, taken, "pkg/model.py") == b"x = 1"


@pytest.mark.parametrize("state", ["merge", "rebase", "cherry-pick", "bisect"])
def test_in_the_middle_of_something(project: Path, store: Path, git: Git, state: str) -> None:
    git(project, "checkout", "-q", "-b", "side")
    (project / "train.py").write_text("side\n")
    git(project, "commit", "-qam", "side")
    git(project, "checkout", "-q", "main")
    (project / "train.py").write_text("main\n")
    git(project, "commit", "-qam", "main")
    if state == "bisect":
        git(project, "bisect", "start", "HEAD", "HEAD~1")
    else:
        git(project, state, "side", check=False)
    (project / "new.py").write_text("new\n")
    taken = snapshot(project, store)
    assert taken.snapshot.untracked == ("new.py",)
    files = listing(git, project, store, taken)
    assert sorted(files) == [".gitignore", "new.py", "pkg/model.py", "run.sh", "train.py"]
    assert content(git, store, taken, "train.py") == (project / "train.py").read_bytes().strip()


def test_a_bare_repository_is_named(project: Path, git: Git, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "-q", "--bare", str(project), str(bare))
    with pytest.raises(RepropackError, match="has no work tree"):
        find_root(bare)


def test_many_files_are_taken_within_the_limits_of_a_tree(tmp_path: Path, git: Git) -> None:
    """50,000 files in 500 directories, one of them changed."""
    root = tmp_path / "large"
    blob = b"x = 1\n"
    stream = [b"commit refs/heads/main\ncommitter z <z@x> 0 +0000\ndata 1\nx\n"]
    stream += [
        b"M 100644 inline d%03d/f%05d.py\ndata %d\n%s\n" % (n % 500, n, len(blob), blob)
        for n in range(50_000)
    ]
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "fast-import", "--quiet", stdin=b"".join(stream))
    git(root, "sparse-checkout", "set", "--no-cone", "/d000/")
    git(root, "checkout", "-q", "main")
    (root / "d000/f00000.py").write_text("changed\n")
    store = root / ".repropack/git"
    taken = snapshot(root, store)
    assert taken.snapshot.uncommitted == ("d000/f00000.py",)
    assert len(git(root, "ls-tree", "-r", "main").splitlines()) == 50_000
    preserve(root, store, taken.snapshot.tree, versioned=True, object_format="sha1")
    assert len(git(store, "ls-tree", "-r", taken.snapshot.tree).splitlines()) == 50_000


def test_nothing_of_the_author_changes_with_stash_reflog_and_hooks(
    project: Path, store: Path, git: Git
) -> None:
    (project / "train.py").write_text("stashed\n")
    git(project, "stash")
    git(project, "tag", "-a", "v1", "-m", "v1")
    git(project, "notes", "add", "-m", "note")
    git(project, "pack-refs", "--all")
    (project / ".git/hooks").mkdir(exist_ok=True)
    (project / ".git/hooks/pre-commit").write_text("#!/bin/sh\nexit 1\n")
    (project / "train.py").write_text("dirty\n")
    (project / "new.py").write_text("new\n")
    git(project, "add", "new.py")
    taken = snapshot(project, store)  # It compares every file of the git directory.
    assert changed_since(project, store, taken) == ()
    preserve(project, store, taken.snapshot.tree, versioned=True, object_format="sha1")
    assert git(project, "stash", "list") != b""
    assert git(project, "reflog") != b""
