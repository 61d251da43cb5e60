# SPDX-License-Identifier: Apache-2.0
"""One commit, the same tree, none of the history; and what cannot travel is named before."""

from __future__ import annotations

from pathlib import Path

import pytest

from repropack.errors import RepropackError
from repropack.findings import Code
from repropack.source.snapshot import preserve, take
from repropack.source.squash import EMPTY_TREES, publishable, squash, squashed_commit
from tests.source.conftest import Git


def take_tree(root: Path, store: Path) -> str:
    taken = take(root, store, versioned=True, products={})
    preserve(root, store, taken.snapshot.tree, versioned=True, object_format=taken.object_format)
    return taken.snapshot.tree


def test_clone_has_the_tree_and_no_history(
    project: Path, store: Path, git: Git, tmp_path: Path
) -> None:
    (project / "secret.txt").write_text("a password\n")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "private words")
    git(project, "rm", "-q", "secret.txt")
    git(project, "commit", "-qm", "more private words")
    (project / "train.py").write_text("dirty\n")
    (project / "link").symlink_to("pkg/model.py")
    tree = take_tree(project, store)
    bundle = tmp_path / "code.bundle"
    commit = squash(store, tree, bundle, object_format="sha1")
    assert squashed_commit(tree) == commit
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(bundle), str(clone))
    git(clone, "fsck", "--strict")
    assert git(clone, "rev-parse", "HEAD^{tree}").decode() == tree
    assert git(clone, "rev-parse", "HEAD").decode() == commit
    assert git(clone, "log", "--format=%an %ae %at %cn %ce %ct %P|%s", "--all") == (
        b"repropack repropack@invalid 0 repropack repropack@invalid 0 |Code of a recorded run"
    )
    assert (clone / "train.py").read_text() == "dirty\n"
    stored = git(clone, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    reachable = git(clone, "rev-list", "--objects", "--no-object-names", commit)
    assert sorted(stored.split()) == sorted(reachable.split())
    content = bundle.read_bytes()
    for private in (b"Zoe", b"zoe@", b"private words", b"a password"):
        assert private not in content
    heads = git(tmp_path, "bundle", "list-heads", str(bundle)).decode().split()
    assert heads == [commit, "HEAD", commit, "refs/heads/main"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clone", "code.bundle", "home", "project"]


@pytest.mark.parametrize("kind", ["sha1", "sha256"])
def test_the_tree_without_files_has_the_id_that_git_gives(
    git: Git, tmp_path: Path, kind: str
) -> None:
    repository = tmp_path / "empty"
    git(tmp_path, "init", "-q", f"--object-format={kind}", str(repository))
    tree = git(repository, "write-tree").decode().strip()
    assert EMPTY_TREES[len(tree)] == tree


def test_bytes_depend_on_the_content_alone(
    project: Path, store: Path, git: Git, tmp_path: Path
) -> None:
    for number in range(50):
        (project / f"{number}.py").write_text(f"{number}\n" + "similar\n" * 100)
    tree = take_tree(project, store)
    first, second, third = (tmp_path / name for name in ("a", "b", "c"))
    commit = squash(store, tree, first, object_format="sha1")
    assert squash(store, tree, second, object_format="sha1") == commit
    assert second.read_bytes() == first.read_bytes()
    # Another project, another history, the objects as deltas in a pack of the author's.
    git(project, "add", "-A")
    git(project, "commit", "-qm", "now tracked")
    git(project, "gc", "-q")
    other = project / ".repropack/other"
    assert take(project, other, versioned=True, products={}).snapshot.tree == tree
    assert (
        squash(
            other,
            tree,
            third,
            object_format="sha1",
            extra_objects=(project / ".git/objects",),
        )
        == commit
    )
    assert third.read_bytes() == first.read_bytes()


def test_sha256_bundle(tmp_path: Path, git: Git) -> None:
    root = tmp_path / "modern"
    root.mkdir()
    git(root, "init", "-q", "--object-format=sha256")
    (root / "a.py").write_text("a\n")
    store = root / ".repropack/git"
    tree = take_tree(root, store)
    bundle = tmp_path / "code.bundle"
    commit = squash(store, tree, bundle, object_format="sha256")
    assert squashed_commit(tree) == commit
    git(tmp_path, "clone", "-q", str(bundle), str(tmp_path / "clone"))
    assert git(tmp_path / "clone", "rev-parse", "HEAD", "HEAD^{tree}").decode().split() == [
        commit,
        tree,
    ]


def test_empty_tree(tmp_path: Path, git: Git) -> None:
    root = tmp_path / "empty"
    root.mkdir()
    git(root, "init", "-q")
    store = root / ".repropack/git"
    tree = take_tree(root, store)
    squash(store, tree, tmp_path / "code.bundle", object_format="sha1")


def test_large_file(project: Path, store: Path, tmp_path: Path) -> None:
    (project / "table.csv").write_bytes(bytes(9_000_000) + b"end")
    tree = take_tree(project, store)
    bundle = tmp_path / "code.bundle"
    squash(store, tree, bundle, object_format="sha1")
    assert bundle.stat().st_size > 9_000_000


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "absolute path"),
        ("../outside", "leaves the tree"),
        ("pkg/../../outside", "climbs after it has descended"),
        (".git/config", "into a git directory"),
    ],
)
def test_links_that_cannot_travel(
    project: Path, store: Path, git: Git, target: str, reason: str
) -> None:
    (project / "data").symlink_to(target)
    git(project, "add", "data")
    tree = take_tree(project, store)
    (finding,) = publishable(store, tree)
    assert (finding.code, finding.subject) == (Code.CODE_TREE, "data")
    assert reason in finding.found
    bundle = project.parent / "code.bundle"
    with pytest.raises(
        RepropackError, match=f"^data cannot be in a code bundle: .*{reason}"
    ) as raised:
        squash(store, tree, bundle, object_format="sha1")
    assert raised.value.advice.endswith("export --withhold data")
    assert not bundle.exists()


def test_links_that_can(project: Path, store: Path, git: Git) -> None:
    for name, target in {
        "pkg/up": "../train.py",
        "here": ".",
        "dangling": "data/later.csv",
        "pkg/root": "..",
    }.items():
        (project / name).symlink_to(target)
    assert publishable(store, take_tree(project, store)) == ()


def test_submodule_is_named(project: Path, store: Path, git: Git, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    git(library, "init", "-q")
    git(library, "commit", "-qm", "lib", "--allow-empty")
    git(project, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library), "lib")
    tree = take_tree(project, store)
    with pytest.raises(RepropackError, match=r"^lib cannot be in a code bundle: a submodule"):
        squash(store, tree, tmp_path / "code.bundle", object_format="sha1")


def test_what_git_itself_would_refuse_to_read(
    project: Path, store: Path, git: Git, tmp_path: Path
) -> None:
    """A .gitmodules that fsck refuses: the bundle would be useless to every reader."""
    (project / ".gitmodules").write_text('[submodule "x"]\n\tpath = x\n\turl = -u./evil\n')
    tree = take_tree(project, store)
    bundle = tmp_path / "code.bundle"
    with pytest.raises(RepropackError, match="cannot be exported: RPK402"):
        squash(store, tree, bundle, object_format="sha1")
    assert not bundle.exists()


def test_missing_objects_are_an_error(project: Path, store: Path, tmp_path: Path) -> None:
    tree = take(project, store, versioned=True, products={}).snapshot.tree
    with pytest.raises(RepropackError):
        squash(store, tree, tmp_path / "code.bundle", object_format="sha1")
    assert not (tmp_path / "code.bundle").exists()
