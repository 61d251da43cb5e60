# SPDX-License-Identifier: Apache-2.0
"""`index.sqlite`: which run made which content, and the digests of files that have not changed.

Not the truth, only a quicker way to it: products are taken from the records of runs that are not in
it yet, so that a deleted or damaged index, or a recorder that was killed, loses no lineage.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from repropack.errors import RepropackError
from repropack.model import Origin

__all__ = ["FileStamp", "HashedFile", "Index", "IndexedProduct", "KnownProduct"]

SCHEMA: Final = 4
"""Raised when the tables change; an index of another schema is made anew."""

WAIT: Final = 10.0
"""Seconds for another recorder to finish its write: twenty of them take less than one."""

_TOGETHER: Final = 999
"""Values in one question: older SQLite takes no more."""

_TABLES: Final = f"""
DROP TABLE IF EXISTS digests; DROP TABLE IF EXISTS products; DROP TABLE IF EXISTS runs;
CREATE TABLE digests (
  device INTEGER, inode INTEGER, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, sha256 TEXT,
  PRIMARY KEY (device, inode)) WITHOUT ROWID;
CREATE TABLE runs (id TEXT PRIMARY KEY, written INTEGER) WITHOUT ROWID;
CREATE TABLE products (
  sha256 TEXT, run TEXT, segment INTEGER, path TEXT, began INTEGER, finished INTEGER, size INTEGER,
  mtime_ns INTEGER, inode INTEGER, PRIMARY KEY (run, segment, path)) WITHOUT ROWID;
CREATE INDEX by_digest ON products (sha256);
PRAGMA user_version={SCHEMA};
"""

T = TypeVar("T")


class FileStamp(Struct, frozen=True):
    """What stat says of a file's content: if none of it changed, neither did the content."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int


class HashedFile(Struct, frozen=True, kw_only=True):
    """A file's digest and the stamp that it had then."""

    sha256: str
    size: int
    stamp: FileStamp


class KnownProduct(Struct, frozen=True, kw_only=True):
    """A product as its run left it on the disk; the stamp is (size, mtime_ns, inode)."""

    run: str
    sha256: str
    stamp: tuple[int, int, int]


class IndexedProduct(Struct, frozen=True, kw_only=True):
    """A product of a finished run.

    Attributes:
        segment: The number of the segment that wrote it.
        began: When that segment began, in nanoseconds.
        finished: When the record of the run was written, in nanoseconds.
    """

    path: str
    sha256: str
    segment: int
    began: int
    finished: int
    stamp: tuple[int, int, int]


class Index:
    """The index of one store. Constructing it touches nothing.

    Args:
        path: The file.
        finished: The ids of the runs that have a record, and when it was written: a further segment
            writes it again.
        products: The products of one of them; empty if its record is damaged.
    """

    def __init__(
        self,
        path: Path,
        finished: Callable[[], Mapping[str, int]],
        products: Callable[[str], Sequence[IndexedProduct]],
    ) -> None:
        self._path = path
        self._finished = finished
        self._products = products

    def products(self) -> dict[str, KnownProduct]:
        """By recorded path, the latest product.

        Raises:
            RepropackError: It cannot be written, or another process keeps it locked.
        """

        def read(index: sqlite3.Connection) -> dict[str, KnownProduct]:
            self._add_missing(index)
            rows = index.execute(
                "SELECT path, run, sha256, size, mtime_ns, inode FROM products"
                " ORDER BY finished, segment"
            )
            return {
                path: KnownProduct(run=run, sha256=sha256, stamp=(size, mtime_ns, inode))
                for path, run, sha256, size, mtime_ns, inode in rows
            }

        return self._use(read)

    def makers(self, files: Collection[tuple[str, int, str]]) -> dict[tuple[str, int, str], Origin]:
        """For files, the recorded run that has such a product and can have made it.

        The latest of those that wrote it at the path where it lies, else the latest of all.

        Args:
            files: The digest of each, when it was last changed, in nanoseconds, and its recorded
                path.

        Raises:
            RepropackError: As `products`.
        """

        def read(index: sqlite3.Connection) -> dict[tuple[str, int, str], Origin]:
            self._add_missing(index)
            made = _made_by_some_run(index, {sha256 for sha256, _, _ in files})
            found = {}
            for sha256, changed, path in files:
                if sha256 not in made:
                    continue
                row = index.execute(
                    "SELECT run, path FROM products WHERE sha256=? AND began<=?"
                    " ORDER BY path=? DESC, finished DESC, segment DESC LIMIT 1",
                    (sha256, changed, path),
                ).fetchone()
                if row is not None:
                    found[sha256, changed, path] = Origin(run=row[0], path=row[1])
            return found

        return self._use(read)

    def digests(self, stamps: Sequence[FileStamp]) -> list[str | None]:
        """The digest that a file with each stamp had when it was last hashed, if that is known.

        Raises:
            RepropackError: As `products`.
        """

        def read(index: sqlite3.Connection) -> list[str | None]:
            query = (
                "SELECT sha256 FROM digests WHERE device=? AND inode=? AND size=?"
                " AND mtime_ns=? AND ctime_ns=?"
            )
            found = (
                index.execute(query, (s.device, s.inode, s.size, s.mtime_ns, s.ctime_ns)).fetchone()
                for s in stamps
            )
            return [row[0] if row is not None else None for row in found]

        return self._use(read)

    def remember(self, files: Iterable[HashedFile]) -> None:
        """Notes digests.

        Raises:
            RepropackError: As `products`.
        """
        rows = [
            (s.device, s.inode, s.size, s.mtime_ns, s.ctime_ns, f.sha256)
            for f in files
            for s in (f.stamp,)
        ]

        def write(index: sqlite3.Connection) -> None:
            index.executemany("INSERT OR REPLACE INTO digests VALUES (?,?,?,?,?,?)", rows)

        self._use(write)

    def add(self, run: str, written: int, products: Sequence[IndexedProduct]) -> None:
        """Notes a run whose record has just been written, so that nobody needs to read it again.

        Raises:
            RepropackError: As `products`.
        """
        self._use(lambda index: _insert(index, run, written, products))

    def _add_missing(self, index: sqlite3.Connection) -> None:
        present = dict(index.execute("SELECT id, written FROM runs"))
        finished = self._finished()
        for run in present.keys() - finished.keys():
            # Somebody has removed it: what it made has no maker any more.
            index.execute("DELETE FROM runs WHERE id=?", (run,))
            index.execute("DELETE FROM products WHERE run=?", (run,))
        for run, written in finished.items():
            if present.get(run) == written:
                continue
            _insert(index, run, written, self._products(run))

    def _use(self, action: Callable[[sqlite3.Connection], T]) -> T:
        try:
            try:
                with self._open() as index:
                    return action(index)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                # No database, or a damaged one.
                self._path.unlink(missing_ok=True)
                with self._open() as index:
                    return action(index)
        except sqlite3.Error as error:
            raise RepropackError(
                f"{self._path}: the index of runs cannot be used: {error}",
                advice="lineage may be missing; if no other repropack runs, delete this file",
            ) from error

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=WAIT, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("PRAGMA user_version").fetchone()[0] != SCHEMA:
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()


def _made_by_some_run(index: sqlite3.Connection, wanted: Collection[str]) -> set[str]:
    """Of digests those of products; in a few questions, for a data set may have very many files."""
    found: set[str] = set()
    listed = list(wanted)
    for start in range(0, len(listed), _TOGETHER):
        part = listed[start : start + _TOGETHER]
        marks = ",".join("?" * len(part))
        # Not `DISTINCT`, for which it would walk through all products that there are.
        query = f"SELECT sha256 FROM products WHERE sha256 IN ({marks})"  # noqa: S608  # marks alone
        found.update(row[0] for row in index.execute(query, part))
    return found


def _insert(
    index: sqlite3.Connection, run: str, written: int, products: Sequence[IndexedProduct]
) -> None:
    rows = [(p.sha256, run, p.segment, p.path, p.began, p.finished, *p.stamp) for p in products]
    index.execute("INSERT OR REPLACE INTO runs VALUES (?,?)", (run, written))
    index.executemany("INSERT OR REPLACE INTO products VALUES (?,?,?,?,?,?,?,?,?)", rows)
