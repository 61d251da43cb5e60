# SPDX-License-Identifier: Apache-2.0
"""Hostile code bundles, each with its code, beside good twins that differ in one thing."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repropack.findings import Code, DefectError
from repropack.source import unpack as unpack_module
from repropack.source.snapshot import take
from repropack.source.squash import squash
from repropack.source.trees import recorded_name
from repropack.source.unpack import CodeTree, unpack
from tests.source.conftest import Git, Hostile

Object = tuple[str, bytes]

FILE = b"100644"
LINK = b"120000"
DIRECTORY = b"40000"


@functools.cache
def oid(kind: str, data: bytes) -> str:
    done = subprocess.run(
        ["git", "hash-object", "--literally", "-t", kind, "--stdin"],
        input=data,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


def blob(data: bytes) -> Object:
    return ("blob", data)


def tree(*entries: tuple[bytes, bytes, Object]) -> Object:
    return ("tree", b"".join(m + b" " + n + b"\0" + bytes.fromhex(oid(*o)) for m, n, o in entries))


def commit(root: Object, *, extra: bytes = b"") -> Object:
    who = b"repropack <repropack@invalid> 0 +0000\n"
    return (
        "commit",
        b"tree %s\n%sauthor %scommitter %s\nx\n" % (oid(*root).encode(), extra, who, who),
    )


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    place = tmp_path / "scratch"
    place.mkdir()
    return place


def read(
    hostile: Hostile, scratch: Path, root: Object, *others: Object, extra: bytes = b""
) -> CodeTree:
    """Packs a tree with what it needs and reads it back under its own ids."""
    bundle, name = hostile([*others, root, commit(root, extra=extra)])
    return unpack(bundle, scratch, tree=oid(*root), commit=name)


def refusal(scratch: Path, bundle: Path, root: str, name: str) -> Code:
    with pytest.raises(DefectError) as caught:
        unpack(bundle, scratch, tree=root, commit=name)
    # Nothing stays behind.
    assert list(scratch.iterdir()) == []
    return caught.value.finding.code


PRINT = blob(b"print('train')\n")
GOOD = tree((FILE, b"train.py", PRINT))


def test_good_twin(hostile: Hostile, scratch: Path, tmp_path: Path) -> None:
    code = read(hostile, scratch, GOOD, PRINT)
    assert [(f.path, f.size, f.executable) for f in code.files] == [("train.py", 15, False)]
    out = tmp_path / "out"
    code.write_to(out)
    assert (out / "train.py").read_text() == "print('train')\n"
    with pytest.raises(FileExistsError):
        code.write_to(out)


def test_round_trip_of_a_project(
    project: Path, store: Path, git: Git, tmp_path: Path, scratch: Path
) -> None:
    odd = [b"caf\xe9.py", b"a:b?.txt", "naïve.py".encode(), b"back\\slash", b"aux.py", b" space "]
    for raw in odd:
        with open(os.path.join(os.fsencode(project), raw), "wb") as file:
            file.write(raw)
    (project / "same").write_text("x = 1\n")
    (project / "empty").write_text("")
    (project / "pkg/up").symlink_to("../train.py")
    (project / ".gitattributes").write_text("*.txt text eol=crlf filter=evil\n*.py export-ignore\n")
    taken = take(project, store, versioned=True, products={})
    bundle = tmp_path / "code.bundle"
    name = squash(
        store,
        taken.snapshot.tree,
        bundle,
        object_format="sha1",
        extra_objects=(project / ".git/objects",),
    )
    code = unpack(bundle, scratch, tree=taken.snapshot.tree, commit=name)
    out = tmp_path / "out"
    code.write_to(out)
    git(out, "init", "-q")
    git(out, "add", "-A", "-f")
    assert git(out, "write-tree").decode() == taken.snapshot.tree
    assert (out / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (out / "train.py").stat().st_mode & 0o777 == 0o644


def test_sha256_round_trip(tmp_path: Path, git: Git, scratch: Path) -> None:
    root = tmp_path / "modern"
    root.mkdir()
    git(root, "init", "-q", "--object-format=sha256")
    (root / "a.py").write_text("a\n")
    store = root / ".repropack/git"
    made = take(root, store, versioned=True, products={}).snapshot.tree
    bundle = tmp_path / "code.bundle"
    name = squash(store, made, bundle, object_format="sha256")
    unpack(bundle, scratch, tree=made, commit=name).write_to(tmp_path / "out")
    assert (tmp_path / "out/a.py").read_text() == "a\n"


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([(DIRECTORY, b".git")], id="git-directory"),
        pytest.param([(DIRECTORY, b".GIT")], id="git-directory-in-capitals"),
        pytest.param([(FILE, b"git~1")], id="ntfs-short-name"),
        pytest.param([(FILE, b".git ")], id="ntfs-trailing-space"),
        pytest.param([(FILE, ".g\u200cit".encode())], id="hfs-invisible-character"),
        pytest.param([(FILE, b".git::$INDEX_ALLOCATION")], id="ntfs-stream"),
        pytest.param([(FILE, b"a\\.git\\hooks")], id="windows-git-directory"),
        pytest.param([(FILE, b"..")], id="parent"),
        pytest.param([(FILE, b".")], id="itself"),
        pytest.param([(FILE, b"../evil")], id="climbing-name"),
        pytest.param([(FILE, b"/etc/evil")], id="absolute-name"),
        pytest.param([(FILE, b"")], id="no-name"),
        pytest.param([(FILE, b"a"), (FILE, b"a")], id="twice"),
        pytest.param([(FILE, b"a"), (DIRECTORY, b"a")], id="file-and-directory"),
        pytest.param([(FILE, b"b"), (FILE, b"a")], id="unsorted"),
        pytest.param([(LINK, b".gitmodules")], id="gitmodules-link"),
        pytest.param([(b"170000", b"a")], id="mode-of-no-file"),
    ],
)
def test_trees_that_git_refuses(
    hostile: Hostile, scratch: Path, entries: list[tuple[bytes, bytes]]
) -> None:
    inner = tree((FILE, b"x", PRINT))
    root = tree(*((mode, name, inner if mode == DIRECTORY else PRINT) for mode, name in entries))
    bundle, name = hostile([PRINT, inner, root, commit(root)])
    assert refusal(scratch, bundle, oid(*root), name) in (Code.CODE_OBJECTS, Code.CODE_TREE)


@pytest.mark.parametrize(
    ("mode", "name", "content"),
    [
        pytest.param(LINK, b"a", b"/etc/passwd", id="link-absolute"),
        pytest.param(LINK, b"a", b"../outside", id="link-climbs"),
        pytest.param(LINK, b"a", b"d/../../outside", id="link-climbs-later"),
        pytest.param(LINK, b"a", b"d/e/up/../x", id="link-climbs-through-link"),
        pytest.param(LINK, b"a", b"", id="link-to-nothing"),
        pytest.param(LINK, b"a", b"x" * 5000, id="link-too-long"),
        pytest.param(LINK, b".gitattributes", b"a", id="gitattributes-link"),
        pytest.param(FILE, b"a\nb", b"x", id="newline"),
        pytest.param(FILE, b"a\x1b[2J", b"x", id="terminal-escape"),
        pytest.param(FILE, "a\u009b".encode(), b"x", id="c1-control"),
        pytest.param(FILE, b"..\\evil", b"x", id="windows-climb"),
        pytest.param(b"100664", b"a", b"x", id="group-writable"),
        pytest.param(FILE, b"a" * 256, b"x", id="name-too-long"),
    ],
)
def test_trees_that_git_accepts(
    hostile: Hostile, scratch: Path, mode: bytes, name: bytes, content: bytes
) -> None:
    data = blob(content)
    root = tree((mode, name, data))
    bundle, made = hostile([data, root, commit(root)])
    assert refusal(scratch, bundle, oid(*root), made) is Code.CODE_TREE


def test_gitlink(hostile: Hostile, scratch: Path) -> None:
    root = tree((b"160000", b"lib", commit(GOOD)))
    bundle, made = hostile([root, commit(root)])
    assert refusal(scratch, bundle, oid(*root), made) is Code.CODE_TREE
    for named in ({"other"}, {"lib", "other"}):
        with pytest.raises(DefectError) as caught:
            unpack(bundle, scratch, tree=oid(*root), commit=made, submodules=named)
        assert caught.value.finding.code is Code.CODE_TREE
    code = unpack(bundle, scratch, tree=oid(*root), commit=made, submodules={"lib"})
    assert code.submodules == ("lib",)
    code.write_to(scratch / "out")
    assert list((scratch / "out/lib").iterdir()) == []


def test_a_submodule_entry_reaches_nothing_in_the_pack(hostile: Hostile, scratch: Path) -> None:
    """What a submodule's commit id names here is history that the author meant to leave out."""
    for hidden in (blob(b"a private draft"), tree((FILE, b"draft", PRINT))):
        root = tree((b"160000", b"lib", hidden))
        bundle, made = hostile([PRINT, hidden, root, commit(root)])
        with pytest.raises(DefectError) as caught:
            unpack(bundle, scratch, tree=oid(*root), commit=made, submodules={"lib"})
        assert caught.value.finding.code is Code.CODE_UNREACHABLE


def test_submodules_where_they_must_not_be(hostile: Hostile, scratch: Path) -> None:
    other = commit(GOOD)
    for name in (b".git", b"..", b"GIT~1", b"a\nb"):
        root = tree((b"160000", name, other))
        bundle, made = hostile([root, commit(root)])
        with pytest.raises(DefectError) as caught:
            unpack(bundle, scratch, tree=oid(*root), commit=made, submodules={recorded_name(name)})
        assert caught.value.finding.code in (Code.CODE_TREE, Code.CODE_OBJECTS)


def test_links_that_are_fine(hostile: Hostile, scratch: Path, tmp_path: Path) -> None:
    up = blob(b"../train.py")
    inner = tree((LINK, b"up", up))
    root = tree((DIRECTORY, b"d", inner), (FILE, b"train.py", PRINT))
    code = read(hostile, scratch, root, PRINT, up, inner)
    code.write_to(tmp_path / "out")
    assert (tmp_path / "out/d/up").read_text() == "print('train')\n"


def one_line(name: str) -> bytes:
    return f"# v2 git bundle\n{name} HEAD\n\n".encode()


HEADERS = {
    "one-ref": one_line,
    "more-refs": lambda c: (
        f"# v2 git bundle\n{c} HEAD\n{c} refs/heads/main\n{c} refs/x\n\n".encode()
    ),
    "tag": lambda c: f"# v2 git bundle\n{c} HEAD\n{c} refs/tags/v1\n\n".encode(),
    "replace": lambda c: f"# v2 git bundle\n{c} HEAD\n{c} refs/replace/{c}\n\n".encode(),
    "prerequisite": lambda c: (
        f"# v2 git bundle\n-{'1' * 40} x\n{c} HEAD\n{c} refs/heads/main\n\n".encode()
    ),
    "version-3": lambda c: f"# v3 git bundle\n{c} HEAD\n{c} refs/heads/main\n\n".encode(),
    "filter": lambda c: (
        f"# v3 git bundle\n@filter=blob:none\n{c} HEAD\n{c} refs/heads/main\n\n".encode()
    ),
    "carriage-returns": lambda c: (
        f"# v2 git bundle\r\n{c} HEAD\r\n{c} refs/heads/main\r\n\r\n".encode()
    ),
    "nothing": lambda c: b"",
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers(hostile: Hostile, scratch: Path, kind: str) -> None:
    bundle, name = hostile([PRINT, GOOD, commit(GOOD)], header=HEADERS[kind])
    assert refusal(scratch, bundle, oid(*GOOD), name) is Code.CODE_HEADER


def test_another_commit_or_tree(hostile: Hostile, scratch: Path) -> None:
    bundle, name = hostile([PRINT, GOOD, commit(GOOD)])
    assert refusal(scratch, bundle, oid(*GOOD), "1" * 40) is Code.CODE_IDENTITY
    assert refusal(scratch, bundle, "1" * 40, name) is Code.CODE_IDENTITY

    def lying(_: str) -> bytes:
        return f"# v2 git bundle\n{'1' * 40} HEAD\n{'1' * 40} refs/heads/main\n\n".encode()

    bundle, _ = hostile([PRINT, GOOD, commit(GOOD)], header=lying)
    assert refusal(scratch, bundle, oid(*GOOD), "1" * 40) is Code.CODE_IDENTITY
    # The tree is there, but the commit is of another one.
    other = tree((FILE, b"other.py", PRINT))
    bundle, name = hostile([PRINT, GOOD, other, commit(other)])
    assert refusal(scratch, bundle, oid(*GOOD), name) is Code.CODE_IDENTITY


def test_history(hostile: Hostile, scratch: Path) -> None:
    parent = commit(GOOD, extra=b"")
    child = commit(GOOD, extra=b"parent %s\n" % oid(*parent).encode())
    bundle, name = hostile([PRINT, GOOD, parent, child])
    assert refusal(scratch, bundle, oid(*GOOD), name) is Code.CODE_HISTORY
    bundle, name = hostile([PRINT, GOOD, child])
    assert refusal(scratch, bundle, oid(*GOOD), name) in (Code.CODE_HISTORY, Code.CODE_OBJECTS)
    tag = (
        "tag",
        b"object %s\ntype commit\ntag v1\ntagger x <x@y> 0 +0000\n\nx\n" % oid(*parent).encode(),
    )
    bundle, name = hostile([PRINT, GOOD, tag, parent])
    assert refusal(scratch, bundle, oid(*GOOD), name) is Code.CODE_HISTORY


@pytest.mark.parametrize("stowaway", [blob(b"a private draft"), tree((FILE, b"draft", PRINT))])
def test_stowaways(hostile: Hostile, scratch: Path, stowaway: Object) -> None:
    bundle, name = hostile([stowaway, PRINT, GOOD, commit(GOOD)])
    assert refusal(scratch, bundle, oid(*GOOD), name) is Code.CODE_UNREACHABLE


def test_missing_content(hostile: Hostile, scratch: Path) -> None:
    bundle, name = hostile([GOOD, commit(GOOD)])
    assert refusal(scratch, bundle, oid(*GOOD), name) is Code.CODE_OBJECTS


def test_entry_of_another_kind(hostile: Hostile, scratch: Path) -> None:
    root = tree((FILE, b"a", GOOD))
    bundle, name = hostile([PRINT, GOOD, root, commit(root)])
    assert refusal(scratch, bundle, oid(*root), name) is Code.CODE_OBJECTS


def test_tree_bomb(hostile: Hostile, scratch: Path) -> None:
    level = tree(*((FILE, b"%d" % n, PRINT) for n in range(10)))
    objects = [PRINT, level]
    for _ in range(9):
        level = tree(*((DIRECTORY, b"%d" % n, level) for n in range(10)))
        objects.append(level)
    bundle, name = hostile([*objects, commit(level)])
    assert bundle.stat().st_size < 2000
    assert refusal(scratch, bundle, oid(*level), name) is Code.CODE_LIMIT


def test_bomb_of_empty_directories(hostile: Hostile, scratch: Path) -> None:
    level = tree()
    objects = [level]
    for _ in range(9):
        level = tree(*((DIRECTORY, b"%d" % n, level) for n in range(10)))
        objects.append(level)
    bundle, name = hostile([*objects, commit(level)])
    assert refusal(scratch, bundle, oid(*level), name) is Code.CODE_LIMIT


def test_one_large_file_in_many_places(hostile: Hostile, scratch: Path) -> None:
    zeros = blob(bytes(4_000_000))
    root = tree(*((FILE, b"%03d" % n, zeros) for n in range(600)))
    bundle, name = hostile([zeros, root, commit(root)])
    assert bundle.stat().st_size < 100_000
    assert refusal(scratch, bundle, oid(*root), name) is Code.CODE_LIMIT


def test_deep_tree(hostile: Hostile, scratch: Path) -> None:
    level = tree((FILE, b"x", PRINT))
    objects = [PRINT, level]
    for _ in range(70):
        level = tree((DIRECTORY, b"d", level))
        objects.append(level)
    bundle, name = hostile([*objects, commit(level)])
    assert refusal(scratch, bundle, oid(*level), name) is Code.CODE_LIMIT


def test_commit_with_a_long_header(hostile: Hostile, scratch: Path) -> None:
    made = commit(GOOD)
    long = (made[0], made[1] + b"x" * 100_000)
    bundle, name = hostile([PRINT, GOOD, long])
    assert refusal(scratch, bundle, oid(*GOOD), name) is Code.CODE_LIMIT


def test_count_in_the_pack_is_bounded_before_git_reads_it(hostile: Hostile, scratch: Path) -> None:
    bundle, name = hostile([PRINT, GOOD, commit(GOOD)])
    data = bytearray(bundle.read_bytes())
    at = data.index(b"PACK") + 8
    data[at : at + 4] = b"\xff\xff\xff\xff"
    bundle.write_bytes(data)
    assert refusal(scratch, bundle, oid(*GOOD), name) is Code.CODE_LIMIT


def test_allocation_is_bounded(
    hostile: Hostile, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit, made small, stops git where it has to hold an object in memory."""
    zeros = blob(bytes(12_000_000))
    root = tree((FILE, b"zeros", zeros))
    bundle, name = hostile([zeros, root, commit(root)])
    assert unpack(bundle, scratch, tree=oid(*root), commit=name).files[0].size == 12_000_000
    for left in scratch.iterdir():
        subprocess.run(["rm", "-r", str(left)], check=True)
    monkeypatch.setattr(unpack_module, "MAX_ALLOCATION", 1_000_000)
    assert refusal(scratch, bundle, oid(*root), name) is Code.CODE_OBJECTS


def test_slow_objects_are_a_limit(
    hostile: Hostile, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, name = hostile([PRINT, GOOD, commit(GOOD)])
    monkeypatch.setattr(unpack_module, "UNPACK_TIMEOUT", 1e-6)
    assert refusal(scratch, bundle, oid(*GOOD), name) is Code.CODE_LIMIT


def test_bytes_after_the_pack(hostile: Hostile, scratch: Path) -> None:
    bundle, name = hostile([PRINT, GOOD, commit(GOOD)], tail=b"more")
    assert refusal(scratch, bundle, oid(*GOOD), name) is Code.CODE_OBJECTS


def test_every_truncation(hostile: Hostile, scratch: Path) -> None:
    bundle, name = hostile([PRINT, GOOD, commit(GOOD)])
    data = bundle.read_bytes()
    for length in range(0, len(data), 7):
        bundle.write_bytes(data[:length])
        assert refusal(scratch, bundle, oid(*GOOD), name) in (
            Code.CODE_HEADER,
            Code.CODE_OBJECTS,
            Code.CODE_IDENTITY,
        )


def test_hooks_and_settings_of_the_reader_do_nothing(
    hostile: Hostile, scratch: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "ran"
    (home / ".gitconfig").write_text(
        f'[filter "evil"]\n\tsmudge = touch {mark}\n\tclean = touch {mark}\n'
        f"[core]\n\thooksPath = {home}\n\tfsmonitor = touch {mark}\n"
        f"[init]\n\ttemplateDir = {home}\n"
    )
    for hook in (
        home / "post-checkout",
        home / "hooks/post-checkout",
        home / "reference-transaction",
    ):
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {mark}\n")
        hook.chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(home))
    attributes = blob(b"* filter=evil text eol=crlf working-tree-encoding=UTF-16 ident\n")
    keyword = blob(b"$Id$\n")
    root = tree((FILE, b".gitattributes", attributes), (FILE, b"a", keyword))
    code = read(hostile, scratch, root, attributes, keyword)
    code.write_to(tmp_path / "out")
    assert (tmp_path / "out/a").read_bytes() == b"$Id$\n"
    assert not mark.exists()
    assert not (code.repository / "hooks").exists()


def test_nothing_is_written_through_a_planted_link(
    hostile: Hostile, scratch: Path, tmp_path: Path
) -> None:
    code = read(hostile, scratch, GOOD, PRINT)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to("elsewhere")
    with pytest.raises(OSError, match="out"):
        code.write_to(tmp_path / "out")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_flipped_bits_are_never_accepted(
    data: st.DataObject, hostile: Hostile, scratch: Path
) -> None:
    bundle, name = hostile([PRINT, GOOD, commit(GOOD)])
    content = bytearray(bundle.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= 1 << data.draw(st.integers(0, 7))
    bundle.write_bytes(content)
    with pytest.raises(DefectError):
        unpack(bundle, scratch, tree=oid(*GOOD), commit=name)
