# SPDX-License-Identifier: Apache-2.0
"""From a work tree to a git tree, without touching anything of the author's.

The author's index is copied, the copy is brought up to what is on the disk, and the tree is written
into the private repository (`repropack.source.private`), which borrows from the author's objects.
Her index, refs, stash, configuration and object store are only read. A directory without a
repository is taken in the same way, with an index and exclusions of our own.

Line ends and encodings are converted as by `git add`, and a file of git-lfs is its pointer; filter
programs are not run (`repropack.source.conversions`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from msgspec import Struct

from repropack.errors import RepropackError
from repropack.model import SourceSnapshot, UncapturedFile
from repropack.parallel import Alongside
from repropack.source.conversions import (
    LFS,
    converted_files,
    drivers,
    filters_of,
    lfs_pointer,
    off,
)
from repropack.source.git import EMPTY_TREES, Git, bare, own
from repropack.source.index import (
    Dirt,
    Listing,
    changed_paths,
    compare,
    list_entries,
    make_honest,
    records,
    submodules_of,
    update,
)
from repropack.source.private import (
    base_index,
    copy_index,
    new_index,
    preserve_tree,
    private_repository,
    remove_stale_indexes,
)
from repropack.source.reading import list_paths
from repropack.source.trees import recorded_name
from repropack.source.untracked import UNTRACKED_LIMIT, choose, ignored_files

__all__ = [
    "Place",
    "Taken",
    "changed_since",
    "converted",
    "files_of",
    "find_root",
    "forget_times",
    "preserve",
    "refuse_home",
    "take",
    "take_files",
]


class Place(Struct, frozen=True, kw_only=True):
    """Where the parts of an author's repository are, and its object format."""

    index: Path
    objects: Path
    object_format: str
    drivers: tuple[str, ...] = ()
    converts: bool = False


class _Head(Struct, frozen=True):
    """The commit that was checked out, and its tree; nothing before the first commit."""

    commit: str = ""
    tree: str = ""


class Taken(Struct, frozen=True, kw_only=True):
    """A snapshot, and what is needed to ask later what has changed since.

    Attributes:
        base_commit: The commit that was checked out; None without one.
        object_format: `sha1` or `sha256`.
        index: Name of the index file in the private repository that knows the files' times.
        submodules: Paths of the tree's submodules as `os.fsdecode` gives them.
        filtered: Changed files that a filter applies to. Their content on the disk is not in the
            tree, so `changed_since` cannot tell whether they have changed again.
        converts: Whether git may store files otherwise than they lie on the disk.
        place: Where the author's repository was found; None without one.
        paths: The files of the tree, where it is that of the author's index; else None.
    """

    snapshot: SourceSnapshot
    base_commit: str | None
    object_format: str
    index: str
    submodules: tuple[str, ...] = ()
    filtered: frozenset[str] = frozenset()
    converts: bool = False
    place: Place | None = None
    paths: tuple[str, ...] | None = None


def find_root(start: Path) -> tuple[Path, bool]:
    """The root of the code that a directory belongs to, and whether git tracks it.

    A directory that its repository ignores as a whole (an experiment below somebody's home
    directory under git) is a root of its own: the repository would record nothing of it.

    Args:
        start: An existing directory.

    Raises:
        RepropackError: git is missing, refuses the repository (another owner), or the repository is
            damaged or has no work tree.
    """
    git = own(start)
    done = git.call("rev-parse", "--show-toplevel", accept=(0, 128))
    if done.status != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        if "not a git repository (or any" in said:
            return start.resolve(), False
        if "must be run in a work tree" in said:
            raise RepropackError(
                f"{start} is inside a git directory or a bare repository, which has no work tree",
                advice="run from a checkout of it",
            )
        first, _, advice = said.partition("\n")
        raise RepropackError(
            f"git refuses {start}: {first.removeprefix('fatal: ')}",
            advice=" ".join(advice.split()),
        )
    root = Path(os.fsdecode(done.stdout.removesuffix(b"\n")))
    if not start.samefile(root):
        ignored = git.call("check-ignore", "--quiet", "--", ".", accept=(0, 1)).status == 0
        if ignored and not git.call("ls-files", "-z", "--", ".").stdout:
            return start.resolve(), False
    return root, True


def take(
    root: Path,
    store: Path,
    *,
    versioned: bool,
    products: Mapping[str, tuple[int, int, int]],
    untracked_limit: int = UNTRACKED_LIMIT,
    before_ns: int | None = None,
) -> Taken:
    """Records the files of a work tree as a git tree in the private repository.

    Args:
        root: What `find_root` returned, with `versioned`.
        store: The directory of the private repository; it is made on first use.
        versioned: Whether git tracks the root.
        products: Outputs of earlier runs: path below the root to size, `st_mtime_ns` and `st_ino`.
            An untracked file that is still exactly that is data, not code, and is left out.
        untracked_limit: Bytes; larger untracked files are left out.
        before_ns: Nanoseconds since 1970; untracked files that were changed then or later are left
            out. Modified ones are taken as they are: what they were is not known any more.

    Raises:
        RepropackError: git failed, a file cannot be read, or the root is no project.
        OSError: The private repository cannot be written.
    """
    place, head = _locate(root) if versioned else (None, _Head())
    if place is None:
        refuse_home(root)
    object_format = place.object_format if place else "sha1"
    private = private_repository(store, object_format)
    remove_stale_indexes(private)
    index = new_index(private)
    try:
        copy_index(place.index if place else base_index(private, root), index)
        git = _session(root, private, index, place)
        excluded: list[UncapturedFile] = []
        listing, dirt = _look(git, root) if place else (None, compare(git, versioned=False))
        removals = list(listing.removals) if listing else []
        candidates = dirt.untracked if versioned else dirt.untracked + dirt.modified
        included, refused = choose(root, candidates, products, untracked_limit, before_ns)
        excluded += refused
        held = set(_hold_back_filtered(git, root, dirt, included, excluded)) if place else set()
        modified = [path for path in dirt.modified if path not in held]
        if not versioned:
            # Here the index is our own: a file of it that is now too large, or a product, goes.
            modified = [path for path in dirt.modified if path in included]
            removals += [path for path in dirt.modified if path not in included]
            excluded += ignored_files(root, dirt.ignored)
        removals += dirt.removed
        empty_tree = EMPTY_TREES[object_format]
        new = (path for path in dirt.untracked if path in included and path not in held)
        additions = [*modified, *new]
        update(git, removals, additions, len(empty_tree))
        tree = (
            head.tree
            if head.commit == dirt.base_commit and not (dirt.staged or removals or additions)
            else git.call("write-tree").stdout.decode("ascii").strip()
        )
        submodules = submodules_of(git) if listing and listing.gitlinks else []
        excluded += _not_checked_out(root, submodules)
        changed: list[bytes] = []
        if versioned and (dirt.staged or modified or removals or included):
            changed = changed_paths(git, dirt.base_commit or empty_tree, tree)
        if not versioned:
            copy_index(index, base_index(private, root))
    except BaseException:
        index.unlink(missing_ok=True)
        raise
    snapshot = SourceSnapshot(
        tree=tree,
        versioned=versioned,
        dirty=dirt.base_commit is None or bool(changed),
        uncommitted=tuple(recorded_name(path) for path in changed if path not in included),
        untracked=tuple(map(recorded_name, sorted(included))) if versioned else (),
        excluded=tuple(sorted(excluded, key=lambda file: file.path)),
        submodules=tuple(map(recorded_name, submodules)),
    )
    return Taken(
        snapshot=snapshot,
        base_commit=dirt.base_commit,
        object_format=object_format,
        index=index.name,
        submodules=tuple(os.fsdecode(path) for path in submodules),
        filtered=frozenset(recorded_name(path) for path in held),
        converts=bool(place and listing and (place.converts or listing.attributes)),
        place=place,
        # Spares `files_of` a call of git.
        paths=tuple(map(recorded_name, listing.paths))
        if listing and not (removals or additions or dirt.unmerged)
        else None,
    )


def converted(
    root: Path,
    store: Path,
    taken: Taken,
    sizes: Mapping[str, int],
    chosen: Iterable[str] | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Files of a snapshot whose bytes on the disk are not those of its tree.

    Args:
        root: Its work tree.
        store: The directory of the private repository.
        taken: The snapshot.
        sizes: Bytes of the files on the disk, by path below the root.
        chosen: The paths to look at; None for all.

    Returns:
        Those that are data, because a filter makes them, and those that are code.

    Raises:
        RepropackError: git failed.
    """
    if not taken.converts:
        return (), ()
    private = private_repository(store, taken.object_format)
    place = taken.place or _locate(root)[0]
    git = own(root, alternates=(private / "objects",), options=off(place.drivers))
    return converted_files(git, taken.snapshot.tree, sizes, chosen)


def take_files(root: Path, store: Path, names: Iterable[str]) -> SourceSnapshot:
    """Records some files of a directory as a git tree in the private repository, byte for byte.

    Args:
        root: A directory, whether git tracks it or not.
        store: The directory of the private repository; it is made on first use.
        names: Paths below the root, as `os.fsdecode` gives them. What cannot be in a tree is left
            out, with the reason.

    Raises:
        RepropackError: git failed, or a file cannot be read.
        OSError: The private repository cannot be written.
    """
    private = private_repository(store, "sha1")
    index = new_index(private)
    try:
        included, excluded = choose(
            root, {os.fsencode(name) for name in names}, {}, UNTRACKED_LIMIT, None
        )
        git = bare(private, work_tree=root, index=index)
        git.call("read-tree", "--empty")
        update(git, [], sorted(included), 40)
        tree = git.call("write-tree").stdout.decode("ascii").strip()
    finally:
        index.unlink(missing_ok=True)
    return SourceSnapshot(
        tree=tree,
        versioned=False,
        dirty=True,
        excluded=tuple(sorted(excluded, key=lambda file: file.path)),
    )


def forget_times(store: Path, taken: Taken) -> None:
    """Gives up the index of a snapshot for which `changed_since` will not be asked.

    Raises:
        OSError: The private repository cannot be written.
    """
    (private_repository(store, taken.object_format) / taken.index).unlink(missing_ok=True)


def changed_since(root: Path, store: Path, taken: Taken) -> tuple[str, ...]:
    """The files of a snapshot that are no longer on the disk as they were.

    A file that is new is not among them: what a run creates is its product. The index of the
    snapshot is used up, so that asking again has to read every file.

    Raises:
        RepropackError: git failed.
    """
    place = taken.place
    private = private_repository(store, taken.object_format)
    kept = private / taken.index
    index = kept if kept.exists() else new_index(private)
    git = _session(root, private, index, place)
    try:
        if index is not kept:
            git.call("read-tree", taken.snapshot.tree)
        output = git.call(
            "-c",
            "diff.autoRefreshIndex=true",
            "diff",
            "--name-only",
            "--no-renames",
            "--no-ext-diff",
            "--ignore-submodules=dirty",
            "-z",
        ).stdout
    finally:
        index.unlink(missing_ok=True)
    return tuple(recorded_name(path) for path in sorted(records(output)))


def preserve(
    root: Path,
    store: Path,
    tree: str,
    *,
    versioned: bool,
    object_format: str,
    place: Place | None = None,
) -> None:
    """Copies all objects of a snapshot into the private repository.

    Until then it borrows the unchanged ones from the author's repository, whose `git gc` or rebase
    may drop them. A tree that was preserved before costs nothing.

    Args:
        root: The work tree.
        store: The directory of the private repository.
        tree: The tree's id.
        versioned: Whether git tracks the root.
        object_format: Of the tree.
        place: Where the author's repository was found, if that is known.

    Raises:
        RepropackError: Objects are missing (a partial clone), or git failed.
        OSError: The private repository cannot be written.
    """
    if versioned:
        private = private_repository(store, object_format)
        preserve_tree(private, tree, ((place or _locate(root)[0]).objects,))


def files_of(store: Path, taken: Taken) -> tuple[str, ...]:
    """The files of a snapshot, by path below its root.

    Raises:
        RepropackError: git failed.
    """
    if taken.paths is not None:
        return taken.paths
    # A tree that the author's repository has (of her stash, say) is not written once more.
    borrowed = (taken.place.objects,) if taken.place else ()
    return list_paths(store, taken.snapshot.tree, borrowed)


def _locate(root: Path) -> tuple[Place, _Head]:
    git = own(root)
    with Alongside(partial(drivers, git)) as settings:
        output = git.call(
            "rev-parse",
            "--show-object-format",
            *("--git-path", "index"),
            *("--git-path", "objects"),
            *("--git-path", "info/attributes"),
            *("HEAD", "HEAD^{tree}"),
            # Before the first commit there is no HEAD; what stands before it is printed all the
            # same.
            accept=(0, 128),
        )
    names, converts = settings.result()
    lines = output.stdout.removesuffix(b"\n").split(b"\n")
    if len(lines) < 4:
        raise RepropackError(f"git does not say where the parts of {root} are")
    object_format, index, objects, attributes, *head = lines
    place = Place(
        index=root / os.fsdecode(index),
        objects=root / os.fsdecode(objects),
        object_format=object_format.decode("ascii"),
        drivers=names,
        converts=converts or (root / os.fsdecode(attributes)).exists(),
    )
    if output.status != 0:
        return place, _Head()
    return place, _Head(*(line.decode("ascii") for line in head))


def _look(git: Git, root: Path) -> tuple[Listing, Dirt]:
    """What the copy of an author's index holds, made honest, and what differs from it."""
    with Alongside(partial(list_entries, git, root)) as listing:
        dirt = compare(git, versioned=True)
        found = listing.result()
    if not found.dishonest:
        return found, dirt
    make_honest(git, found.dishonest)
    return found, compare(git, versioned=True)


def _session(root: Path, private: Path, index: Path, place: Place | None) -> Git:
    """Runs git on the work tree, with our index, writing into the private object store."""
    if place is None:
        return bare(private, work_tree=root, index=index)
    return own(
        root,
        index=index,
        objects=private / "objects",
        alternates=(place.objects,),
        options=off(place.drivers),
    )


def _not_checked_out(root: Path, submodules: Iterable[bytes]) -> list[UncapturedFile]:
    return [
        UncapturedFile(
            path=recorded_name(path), size=0, reason="a submodule that is not checked out"
        )
        for path in submodules
        if not os.path.lexists(os.path.join(os.fsencode(root), path, b".git"))
    ]


def _hold_back_filtered(
    git: Git, root: Path, dirt: Dirt, included: set[bytes], excluded: list[UncapturedFile]
) -> list[bytes]:
    """Sees to changed files that a filter applies to; returns them, not to be added as they are.

    A file of git-lfs becomes its pointer. Of any other the tree keeps what git has: it may be
    encrypted there, and what lies on the disk is not for others.
    """
    filters = filters_of(git, [*dirt.modified, *sorted(included)])
    entries: list[bytes] = []
    held = []
    for path, name in sorted(filters.items()):
        place = root / os.fsdecode(path)
        try:
            status = place.lstat()
        except OSError:
            continue  # It has gone since git listed it.
        if not stat.S_ISREG(status.st_mode):
            continue
        held.append(path)
        if name == LFS:
            pointer = lfs_pointer(place)
            oid = git.call("hash-object", "-w", "--no-filters", "--stdin", stdin=pointer).stdout
            mode = b"100755" if status.st_mode & 0o100 else b"100644"
            entries.append(b"%s %s 0\t%s\0" % (mode, oid.strip(), path))
            continue
        included.discard(path)
        if path in dirt.unmerged:
            dirt.removed.append(path)
        excluded.append(
            UncapturedFile(
                path=recorded_name(path),
                size=status.st_size,
                reason=f"git filter {recorded_name(name.encode())}: its content is data",
            )
        )
    if entries:
        git.call("update-index", "-z", "--index-info", stdin=b"".join(entries))
        dirt.staged = True
    return held


def refuse_home(root: Path) -> None:
    """Refuses a directory without a repository that is no project.

    Raises:
        RepropackError: It is the home directory, or holds it.
    """
    told = os.path.expanduser("~")
    # An account may have none, and no name by which one could be looked up.
    home = Path(told).resolve() if os.path.isabs(told) else Path(root.anchor)
    if root in (home, *home.parents):
        raise RepropackError(
            f"{root} is not a project: recording it would read everything in it",
            advice="run from the project's directory",
        )
