# SPDX-License-Identifier: Apache-2.0
"""Vectors of section 8: git bundles of code."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from typing import Any, Final

from tests.vectors.forge import (
    ROOT,
    SCRIPT,
    Draft,
    GitObject,
    blob,
    code_bundle,
    commit,
    deflated,
    object_id,
    packed_object,
    release,
    tree,
)
from tests.vectors.vector import Vector, bad, good

FILE: Final = "100644"
LINK: Final = "120000"
FOLDER: Final = "40000"
RUN: Final = (FILE, b"run.sh", SCRIPT)
GOOD_COMMIT: Final = commit(ROOT)


def _tree(root: GitObject, *others: GitObject) -> Draft:
    """A release whose code is this tree."""
    return release(code_bundle(SCRIPT, *others, root, commit(root)), root=root)


def _entries(*entries: tuple[str, bytes, GitObject | str]) -> Draft:
    """A release whose code has entries beside its script, with one object for all of them."""
    objects = [target for _, _, target in entries if isinstance(target, tuple)]
    return _tree(tree(*sorted((RUN, *entries), key=_git_order)), *dict.fromkeys(objects))


def _git_order(entry: tuple[str, bytes, GitObject | str]) -> bytes:
    return entry[1] + (b"/" if entry[0] == FOLDER else b"")


def _header(text: str) -> Draft:
    return release(code_bundle(SCRIPT, ROOT, GOOD_COMMIT, header=text))


def _bundle(change: Callable[[bytes], bytes]) -> Draft:
    return release(change(code_bundle(SCRIPT, ROOT, GOOD_COMMIT)))


REFS: Final = "{c} HEAD\n{c} refs/heads/main\n"
INSIDE: Final = tree((FILE, b"x", SCRIPT))

HEADERS: Final = [
    bad("RPK401-not-a-bundle", release(b"hello\n"), "A code bundle that is none.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-empty", release(b""), "A code bundle without a byte.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-one-reference", _header("# v2 git bundle\n{c} HEAD\n\n"), "HEAD alone.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-further-branch", _header(f"# v2 git bundle\n{REFS}{{c}} refs/heads/private\n\n"), "A second branch.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-tag", _header(f"# v2 git bundle\n{REFS}{{c}} refs/tags/v1\n\n"), "A tag.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-notes", _header(f"# v2 git bundle\n{REFS}{{c}} refs/notes/commits\n\n"), "Notes.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-replace", _header(f"# v2 git bundle\n{REFS}{{c}} refs/replace/{{c}}\n\n"), "A replacement of an object.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-reference-that-climbs", _header("# v2 git bundle\n{c} HEAD\n{c} refs/heads/../../x\n\n"), "A reference that leads out of the repository.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-prerequisite", _header(f"# v2 git bundle\n-{'1' * 40} x\n{REFS}\n"), "A commit that the reader must have already.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-version-3", _header(f"# v3 git bundle\n{REFS}\n"), "A bundle of version 3 for SHA-1.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-filter", _header(f"# v3 git bundle\n@filter=blob:none\n{REFS}\n"), "A bundle that leaves contents out.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-carriage-returns", _header("# v2 git bundle\r\n{c} HEAD\r\n{c} refs/heads/main\r\n\r\n"), "Lines that end with two characters.", rules="8.1", step="code", rows=(28,)),
    bad("RPK401-pack-of-version-3", _bundle(lambda b: b.replace(b"PACK\0\0\0\2", b"PACK\0\0\0\3")), "A pack of version 3.", rules="8.1", step="code", rows=(28,)),
    bad("RPK405-other-commit-in-header", _header(f"# v2 git bundle\n{'1' * 40} HEAD\n{'1' * 40} refs/heads/main\n\n"), "The header names a commit that is not the run's.", rules="8.5", step="code", rows=(28,)),
    bad("RPK405-run-names-another-commit", release(commit_id="1" * 40), "The run names a commit that is not there.", rules="8.5", step="code"),
    bad("RPK405-commit-of-another-tree", release(code_bundle(SCRIPT, ROOT, INSIDE, commit(INSIDE)), commit_id=object_id(*commit(INSIDE))), "The tree is there, but the commit is of another one.", rules="8.5", step="code"),
]  # fmt: skip

# ---------------------------------------------------------------- what the pack holds

PARENT: Final = commit(ROOT, extra=b"")
CHILD: Final = commit(ROOT, extra=b"parent %s\n" % object_id(*PARENT).encode())
TAG: Final = ("tag", b"object %s\ntype commit\ntag v1\ntagger x <x@invalid> 0 +0000\n\nx\n" % object_id(*GOOD_COMMIT).encode())  # fmt: skip
PRIVATE: Final = blob(b"a draft that its author meant to leave out\n")


def _delta_bomb() -> bytes:
    """A delta that claims to make 4 GiB from a small base, by copying it again and again."""
    claimed = 2**32 - 1

    def size(number: int) -> bytes:
        out = bytearray()
        while number >= 0x80:
            out.append(number & 0x7F | 0x80)
            number >>= 7
        return bytes((*out, number))

    length = len(SCRIPT[1])
    copy = bytes((0x80 | 0x10, length))
    delta = size(length) + size(claimed) + copy * 20_000
    return packed_object(7, len(delta), bytes.fromhex(object_id(*SCRIPT)) + deflated(delta))


def _huge_claim() -> bytes:
    """A blob whose header claims 4 GiB. What follows does not matter: no reader should get there."""
    return packed_object(3, 2**32, deflated(b"x"))


OBJECTS: Final = [
    bad("RPK402-truncated-pack", _bundle(lambda b: b[:-30]), "The pack is cut off.", rules="8.2", step="code", rows=(15,)),
    bad("RPK402-bytes-after-the-pack", _bundle(lambda b: b + b"more"), "Bytes after the pack.", rules="8.2", step="code", rows=(16,)),
    bad("RPK402-wrong-pack-checksum", _bundle(lambda b: b[:-1] + bytes([b[-1] ^ 1])), "The checksum of the pack is another.", rules="8.2", step="code", rows=(17,)),
    bad("RPK402-missing-content", release(code_bundle(ROOT, GOOD_COMMIT)), "The content of a file is missing.", rules="8.2", step="code", rows=(19,)),
    bad("RPK402-object-larger-than-stated", release(code_bundle(SCRIPT, ROOT, GOOD_COMMIT, raw=[packed_object(3, 2, deflated(bytes(2**22)))])), "An object that states two bytes and inflates to 4 MiB.", rules="8.2", step="code", rows=(33,)),
    bad("RPK403-unreachable-blob", release(code_bundle(PRIVATE, SCRIPT, ROOT, GOOD_COMMIT)), "A file that no tree names: smuggled history.", rules="8.3", step="code", rows=(29,)),
    bad("RPK403-unreachable-tree", release(code_bundle(INSIDE, SCRIPT, ROOT, GOOD_COMMIT)), "A tree that no commit names.", rules="8.3", step="code", rows=(29,)),
    bad("RPK407-history", release(code_bundle(SCRIPT, ROOT, PARENT, CHILD), commit_id=object_id(*CHILD)), "A commit with its parent.", rules="8.4", step="code", rows=(29,)),
    bad("RPK407-annotated-tag", release(code_bundle(SCRIPT, ROOT, TAG, GOOD_COMMIT)), "A tag object.", rules="8.4", step="code", rows=(28,)),
]  # fmt: skip

# ---------------------------------------------------------------- trees

X: Final = blob(b"x\n")


def _named(name: str, entry: bytes, why: str, *, code: str = "RPK402", mode: str = FILE) -> Vector:
    """A vector with one more entry of that name, which git or we refuse."""
    target = INSIDE if mode == FOLDER else X
    rules = "8.2 8.8" if code == "RPK402" else "8.8"
    return bad(
        f"{code}-{name}", _entries((mode, entry, target)), why, rules=rules, step="code", rows=(30,)
    )


def _link(name: str, entry: bytes, target: bytes, why: str) -> Vector:
    draft = _entries((LINK, entry, blob(target)))
    return bad(f"RPK404-{name}", draft, why, rules="8.7", step="code", rows=(31,))


TREES: Final = [
    _named("git-directory", b".git", "A git directory, which could bring hooks.", mode=FOLDER),
    _named("git-directory-in-capitals", b".GIT", "A git directory in capitals.", mode=FOLDER),
    _named("git-short-name", b"git~1", "The short name of a git directory."),
    _named("git-with-joiner", ".g\u200cit".encode(), "A git directory with a character that HFS+ ignores."),
    _named("git-with-space", b".git ", "A git directory with a space at its end."),
    _named("parent", b"..", "An entry that is the parent directory."),
    _named("climbing-name", b"../evil", "A name with a slash."),
    _named("no-name", b"", "An entry without a name."),
    _named("windows-climb", b"..\\evil", "A name that climbs on Windows.", code="RPK404"),
    _named("windows-git-directory", b"a\\.git\\hooks", "A name that means a git directory on Windows."),
    _named("line-feed", b"a\nb", "A name with a line feed.", code="RPK404"),
    _named("terminal-escape", b"a\x1b]0;owned\x07", "A name with a terminal escape.", code="RPK404"),
    _named("c1-control", "a\u009b".encode(), "A name with a control character above ASCII.", code="RPK404"),
    _named("name-of-256-bytes", b"n" * 256, "A name of one byte more than allowed.", code="RPK404"),
    bad("RPK402-entry-twice", _tree(tree((FILE, b"a", X), (FILE, b"a", X), RUN), X), "A name twice in a tree.", rules="8.2", step="code", rows=(30,)),
    bad("RPK402-file-and-directory", _tree(tree((FILE, b"a", X), (FOLDER, b"a", INSIDE), RUN), X, INSIDE), "A file and a directory of one name.", rules="8.2", step="code", rows=(30,)),
    bad("RPK402-unsorted-tree", _tree(tree(RUN, (FILE, b"a", X)), X), "A tree that is not sorted.", rules="8.2", step="code", rows=(30,)),
    bad("RPK402-gitmodules-link", _entries((LINK, b".gitmodules", X)), "A .gitmodules that is a link.", rules="8.2 8.7", step="code", rows=(30,)),
    bad("RPK402-gitmodules-that-climbs", _entries((FILE, b".gitmodules", blob(b'[submodule "../../x"]\n\tpath = x\n\turl = ../y\n'))), "A submodule whose name climbs.", rules="8.2", step="code", rows=(30,)),
    bad("RPK402-file-that-is-a-tree", _tree(tree((FILE, b"a", INSIDE), RUN), INSIDE), "A file entry that names a tree.", rules="8.2", step="code", rows=(30,)),
    bad("RPK404-mode-of-no-file", _entries(("170000", b"a", X)), "A mode that is none.", rules="8.6", step="code", rows=(30,)),
    bad("RPK404-group-writable", _entries(("100664", b"a", X)), "A mode that git itself no longer writes.", rules="8.6", step="code", rows=(30,)),
    bad("RPK404-gitlink", _entries(("160000", b"lib", "1" * 40)), "A submodule, of which the tree has a commit id only.", rules="8.6", step="code", rows=(31,)),
    _link("link-absolute", b"a", b"/etc", "A link to /etc: git's own checks accept it."),
    _link("link-that-climbs", b"a", b"../..", "A link that leads out of the tree."),
    _link("link-that-climbs-later", b"a", b"d/../../outside", "A link that leads out after it went in."),
    _link("link-through-a-link", b"a", b"d/up/../x", "A link that climbs after it has descended."),
    _link("link-into-a-git-directory", b"a", b".git/config", "A link into a git directory."),
    _link("link-into-a-git-directory-behind-a-backslash", b"a", b"lib\\.GIT.\\hooks", "A link into what Windows takes for a git directory."),
    _link("link-to-nothing", b"a", b"", "A link without target."),
    _link("link-of-4097-bytes", b"a", b"x" * 4097, "A target of one byte more than allowed."),
    _link("gitattributes-link", b".gitattributes", b"run.sh", "A .gitattributes that is a link."),
]  # fmt: skip

# ---------------------------------------------------------------- limits


def _levels(inner: GitObject, count: int, wide: int) -> list[GitObject]:
    """Trees of `wide` directories in each other, the innermost first."""
    levels = [inner]
    for _ in range(count):
        levels.append(tree(*((FOLDER, b"%d" % n, levels[-1]) for n in range(wide))))
    return levels


def _bomb(inner: GitObject, count: int, wide: int, *others: GitObject) -> Draft:
    levels = _levels(inner, count, wide)
    root = tree((FOLDER, b"d", levels[-1]), RUN)
    return _tree(root, *others, *levels)


def _many_parents() -> Draft:
    made = commit(ROOT, extra=b"parent %s\n" % (b"1" * 40) * 1_000_000)
    return release(code_bundle(SCRIPT, ROOT, made), commit_id=object_id(*made))


def _long_commit() -> Draft:
    made = ("commit", GOOD_COMMIT[1] + b"x" * 100_000)
    return release(code_bundle(SCRIPT, ROOT, made), commit_id=object_id(*made))


LARGE: Final = blob(bytes(4_000_000))

LIMITS: Final = [
    bad("RPK406-tree-bomb", _bomb(tree(*((FILE, b"%d" % n, X) for n in range(10))), 9, 10, X), "A few hundred bytes that name 10^10 files.", rules="10.2", step="code", rows=(33,)),
    bad("RPK406-bomb-of-empty-directories", _bomb(tree(), 9, 10), "10^9 empty directories.", rules="10.2", step="code", rows=(33,)),
    bad("RPK406-deep-tree", _bomb(INSIDE, 70, 1), "Directories deeper than allowed.", rules="8.8 10.2", step="code", rows=(6, 33)),
    bad("RPK406-one-file-in-600-places", _tree(tree(*((FILE, b"%03d" % n, LARGE) for n in range(600)), RUN), LARGE), "A file of 4 MB in 600 places: 2.4 GB when it is written out.", rules="10.2", step="code", rows=(33,)),
    bad("RPK406-count-of-objects", _bundle(lambda b: b.replace(struct.pack(">4sII", b"PACK", 2, 3), struct.pack(">4sII", b"PACK", 2, 2**32 - 1))), "A pack that counts 2^32 - 1 objects.", rules="10.2 1.2", step="code", rows=(33,)),
    bad("RPK406-commit-with-a-long-message", _long_commit(), "A commit of 100 kB.", rules="10.2", step="code", rows=(33,)),
]  # fmt: skip

SIZES: Final = [
    bad("RPK406-blob-of-4-gib", release(code_bundle(SCRIPT, ROOT, GOOD_COMMIT, raw=[_huge_claim()])), "A file that states 4 GiB.", rules="10.2 1.2", step="code", rows=(33,)),
    bad("RPK406-delta-bomb", release(code_bundle(SCRIPT, ROOT, GOOD_COMMIT, raw=[_delta_bomb()])), "A delta of a few bytes that makes 4 GiB.", rules="10.2 1.2", step="code", rows=(33,)),
    bad("RPK406-commit-with-a-million-parents", _many_parents(), "A commit with a million parents.", rules="10.2", step="code", rows=(33,)),
]  # fmt: skip

LFS: Final = blob(
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 12345\n"
)
ATTRIBUTES: Final = blob(
    b"* filter=evil text eol=crlf working-tree-encoding=UTF-16 ident export-subst\n*.bin filter=lfs\n"
)

UP: Final = tree((LINK, b"up", blob(b"../run.sh")))

# ---------------------------------------------------------------- further code

LIBRARY: Final = tree((FILE, b"lib.sh", X))
LINK_COMMIT: Final = "1" * 40
WITH_SUBMODULE: Final = tree(("160000", b"lib", LINK_COMMIT), RUN)


def with_root(draft: Draft, root: str, content: GitObject = LIBRARY, **fields: object) -> Draft:
    """A release whose execution has further code, with one file or those of `content`."""
    made, tree_id = commit(content), object_id(*content)
    member = f"code/{tree_id[:12]}.bundle"
    more = {"root": root, "source": {"tree": tree_id, "versioned": True, "dirty": False}, **fields}

    def edit(run: dict[str, Any]) -> None:
        run["code"].append(
            {"root": root, "tree": tree_id, "commit": object_id(*made), "member": member}
        )
        run["record"]["segments"][0].setdefault("roots", []).append(more)

    changed = draft.with_record("runs/1/run.json", edit)
    return changed.with_file(member, code_bundle(X, content, made), role="code")


def with_submodules(*paths: str, root: GitObject = WITH_SUBMODULE) -> Draft:
    """A release whose tree has a submodule at `lib`, and whose record names these."""
    return release(code_bundle(SCRIPT, root, commit(root)), root=root).with_record(
        "runs/1/run.json",
        lambda r: r["record"]["segments"][0]["source"].update(submodules=list(paths)),
    )


ROOTS: Final = [
    bad("RPK404-submodule-at-another-place", with_submodules("other"), "The record names a submodule where the tree has none.", rules="8.6", step="code", rows=(31,), twin="code-with-submodule"),
    bad("RPK404-one-submodule-too-many", with_submodules("lib", "other"), "The record names a second submodule, which the tree does not have.", rules="8.6", step="code", rows=(31,), twin="code-with-submodule"),
    bad("RPK404-submodule-of-no-tree", with_root(release(), "{project}/lib", source={"tree": object_id(*LIBRARY), "versioned": True, "dirty": False, "submodules": ["x"]}), "Further code that should have a submodule and has none.", rules="8.6", step="code", twin="code-with-submodule"),
    bad("RPK405-further-code-of-another-tree", with_root(release(), "{project}/lib").with_file(f"code/{object_id(*LIBRARY)[:12]}.bundle", code_bundle(SCRIPT, ROOT, GOOD_COMMIT)), "The bundle of a submodule holds another tree.", rules="8.5", step="code", twin="code-with-submodule"),
    good("code-with-submodule", with_root(with_submodules("lib"), "{project}/lib"), "A submodule, and its files as a code root.", rules="8.6 6.8"),
    good("code-with-submodule-not-checked-out", with_submodules("lib"), "A submodule that was not checked out: an empty directory.", rules="8.6"),
    good("code-with-outside-code", with_root(release(), "{code:lib}", position="../lib"), "Code from beside the project.", rules="6.8"),
    good("code-with-replaced-file", with_root(_entries((FILE, b"lib.sh", blob(b"old\n"))), "{project}"), "Further code of the project that replaces a file of its tree.", rules="6.8"),
]  # fmt: skip

GOOD: Final = [
    good("code-with-attributes", _entries((FILE, b".gitattributes", ATTRIBUTES), (FILE, b"keyword", blob(b"$Id$ $Format:%H$\r\n"))), "Attributes that name filters and encodings: files come out as they are stored, and no filter runs.", rules="8.9", rows=(32,)),
    good("code-with-lfs-pointer", _entries((FILE, b".gitattributes", ATTRIBUTES), (FILE, b"w.bin", LFS)), "A pointer of git-lfs: a file like any other.", rules="8.9", rows=(32,)),
    good("code-with-links", _tree(tree((FOLDER, b"d", UP), (LINK, b"link", blob(b"run.sh")), RUN), UP, blob(b"../run.sh"), blob(b"run.sh")), "Links that stay inside, one of them by climbing first.", rules="8.7", rows=(31,)),
    good("code-with-odd-names", _entries(*((FILE, n, X) for n in (b"a:b?.txt", b"aux.py", b"back\\slash", b"caf\xe9.py", "naïve.py".encode(), b"-rf"))), "Names that are odd and the author's business.", rules="8.8", rows=(30,)),
    good("code-executable-and-empty", _entries(("100755", b"tool", X), (FILE, b"empty", blob(b"")), (FOLDER, b"d", INSIDE)), "An executable file, an empty one, and a directory.", rules="8.6"),
]  # fmt: skip


def _left_to_git(vector: Vector) -> Vector:
    """A reader may leave the sizes of objects to git, which takes longer and refuses them too."""
    return dataclasses.replace(vector, also=("RPK402",))


def _by_git(vector: Vector) -> Vector:
    """What git refuses in a tree depends on its version; what it lets through is refused by us."""
    other = {"RPK402": "RPK404", "RPK404": "RPK402"}[vector.code]
    return dataclasses.replace(vector, also=(other,))


VECTORS: Final[list[Vector]] = [
    *HEADERS, *OBJECTS, *map(_by_git, TREES), *LIMITS, *map(_left_to_git, SIZES), *ROOTS, *GOOD
]  # fmt: skip
