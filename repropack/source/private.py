# SPDX-License-Identifier: Apache-2.0
"""The private repository below `.repropack`: the object store and indexes that belong to repropack.

Everything in it is safe against a second recorder and against kill -9: objects are written by git
under temporary names, each call has an index file of its own, and the list of preserved trees is
only a memory of work that need not be done again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from repropack.digest import sha256_hex
from repropack.durable import append_line, sync_directory, sync_tree
from repropack.errors import RepropackError
from repropack.source.git import Git, alternate_line, bare, initialise

__all__ = [
    "base_index",
    "changed_files",
    "copy_index",
    "extend",
    "new_index",
    "preserve_tree",
    "private_repository",
    "remove_stale_indexes",
]

STALE_AFTER: Final = 30 * 24 * 3600
"""Seconds after which an index file is litter: no training that is still going started earlier."""

LOOSE_LIMIT: Final = 500
"""Objects that are copied one by one. More become a pack; a pack a run would slow lookups."""

_INDEX: Final = "index."
_BASE: Final = "base-"
_PRESERVED: Final = "preserved"

_EXCLUDES: Final = b""".repropack/
__pycache__/
*.pyc
.venv/
venv/
node_modules/
.ipynb_checkpoints/
"""

# A directory without a repository is taken byte for byte: its .gitattributes ask for nothing.
_ATTRIBUTES: Final = b"* -text -filter -ident -working-tree-encoding\n"


def private_repository(store: Path, object_format: str) -> Path:
    """The private repository for an object format; it is made on first use.

    Args:
        store: The directory of the SHA-1 repository. The SHA-256 one stands beside it.
        object_format: `sha1` or `sha256`.

    Raises:
        RepropackError: git is missing, or the directory cannot be written.
    """
    repository = store if object_format == "sha1" else store.with_name(f"{store.name}-sha256")
    if (repository / "HEAD").exists():
        return repository
    import shutil  # with its archives some 2 ms, which only the first run needs

    temporary = repository.with_name(f".{repository.name}.{os.urandom(6).hex()}")
    try:
        repository.parent.mkdir(parents=True, exist_ok=True)
        initialise(temporary, object_format)
        (temporary / "info").mkdir()
        (temporary / "info/exclude").write_bytes(_EXCLUDES)
        (temporary / "info/attributes").write_bytes(_ATTRIBUTES)
        # git does not sync what `init` writes, and a repository with an empty HEAD is none.
        sync_tree(temporary)
        try:
            os.rename(temporary, repository)
        except OSError:
            # Another recorder was first. Whatever else it was, the next line tells.
            if not (repository / "HEAD").exists():
                raise
        sync_directory(repository.parent)
    except OSError as error:
        raise RepropackError(f"{repository} could not be made: {error.strerror}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return repository


def extend(store: Path, place: Path) -> None:
    """Makes repositories that have the objects of private ones, and take further objects apart.

    Args:
        store: The directory of the private SHA-1 repository.
        place: That of the new one.

    Raises:
        OSError: They cannot be made.
    """
    for suffix in ("", "-sha256"):
        own, new = (one.with_name(f"{one.name}{suffix}") for one in (store, place))
        if not (own / "HEAD").exists():
            continue
        (new / "objects/info").mkdir(parents=True)
        (new / "refs").mkdir()
        for name in ("HEAD", "config"):
            (new / name).write_bytes((own / name).read_bytes())
        listed = os.fsencode(alternate_line(own / "objects"))
        (new / "objects/info/alternates").write_bytes(listed + b"\n")


def new_index(repository: Path) -> Path:
    """A name for an index file that no other call uses."""
    return repository / f"{_INDEX}{os.urandom(8).hex()}"


def base_index(repository: Path, root: Path) -> Path:
    """Where the last index of an unversioned directory is kept, so that only changes are hashed."""
    return repository / f"{_BASE}{sha256_hex(os.fsencode(os.path.realpath(root)))[:16]}"


def copy_index(source: Path, destination: Path) -> bool:
    """Copies an index with its time; whether there was one.

    git takes a file whose time is not before the index's for possibly changed ("racy git") and
    compares its content. A copy with a later time would lose just those changes.

    Raises:
        OSError: It could not be copied.
    """
    try:
        with source.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read()
    except FileNotFoundError:
        return False
    temporary = destination.with_name(f"{_INDEX}{os.urandom(8).hex()}")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.utime(file.fileno(), ns=(status.st_mtime_ns, status.st_mtime_ns))
        if destination.name.startswith(_BASE):
            # Later runs read it. One that a power cut left empty would fail them all.
            os.fsync(file.fileno())
    os.rename(temporary, destination)
    return True


def remove_stale_indexes(repository: Path) -> None:
    """Removes index files that killed calls left, by inode change time: copies keep old times."""
    before = time.time() - STALE_AFTER
    with os.scandir(repository) as entries:
        for entry in entries:
            if entry.name.startswith(_INDEX):
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_ctime < before:
                        os.unlink(entry.path)


def preserve_tree(repository: Path, tree: str, alternates: Iterable[Path]) -> None:
    """Copies what a tree reaches from other object stores into the private one.

    Raises:
        RepropackError: Objects are missing everywhere (a partial clone), or git failed.
    """
    memory = repository / _PRESERVED
    if memory.exists() and tree.encode() in memory.read_bytes().split(b"\n"):
        return
    everywhere = bare(repository, alternates=tuple(alternates))
    listed = everywhere.call(
        "rev-list", "--objects", "--no-object-names", "--missing=print", tree
    ).stdout.split()
    there = [oid for oid in listed if not oid.startswith(b"?")]
    missing = len(listed) - len(there)
    here = bare(repository)
    checked = here.call(
        "cat-file", "--batch-check=%(objectname)", stdin=b"\n".join(there) + b"\n"
    ).stdout
    wanted = [
        line[: -len(b" missing")] for line in checked.split(b"\n") if line.endswith(b"missing")
    ]
    if wanted:
        _copy(everywhere, here, repository, wanted)
    if missing:
        # What is there is safe all the same: the names of the files, above all.
        raise RepropackError(
            f"{missing} of the objects of the code snapshot {tree} are not on this machine",
            advice="the repository is a partial clone: fetch them, for example with "
            "git fetch --refetch --no-filter",
        )
    append_line(memory, tree.encode())


def _copy(everywhere: Git, here: Git, repository: Path, wanted: list[bytes]) -> None:
    pack = ("pack-objects", "--quiet", "--window=0", "--threads=1")
    ids = b"\n".join(wanted) + b"\n"
    if len(wanted) > LOOSE_LIMIT:
        everywhere.call(*pack, str(repository.absolute() / "objects/pack/pack"), stdin=ids)
        return
    transfer = new_index(repository)
    try:
        with transfer.open("x+b") as file:
            everywhere.call(*pack, "--stdout", stdin=ids, stdout=file.fileno())
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            here.call("unpack-objects", "-q", stdin=file.fileno())
    finally:
        transfer.unlink(missing_ok=True)


def changed_files(
    repository: Path, before: str, after: str
) -> tuple[tuple[str, str | None, str | None], ...]:
    """The files that two kept trees do not have in common, in order of their paths.

    Args:
        repository: The private repository that holds both trees.
        before: A tree id.
        after: Another tree id.

    Returns:
        Path, and the blob ids in the two trees; None where a tree does not have the file.

    Raises:
        ProcessFailedError: git is missing, or a tree is not there any more.
    """
    told = bare(repository).call("diff-tree", "-r", "-z", "--no-renames", before, after).stdout
    parts = told.split(b"\0")
    found = []
    for facts, path in zip(parts[::2], parts[1::2], strict=False):
        _, _, old, new, _ = facts.decode("ascii").split()
        # Nothing but zeros stands for no file.
        found.append(
            (os.fsdecode(path), old if old.strip("0") else None, new if new.strip("0") else None)
        )
    return tuple(found)
