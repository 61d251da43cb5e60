# SPDX-License-Identifier: Apache-2.0
"""SQLite databases: every value, because a long one lies in parts on several pages.

The database is opened read-only and unchangeable from a private copy, without its own functions,
triggers and views.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO, Final

from repropack.privacy.containers import HEAD, Piece, UnreadableError, container_for

__all__ = ["handles", "pieces"]

MAX_FILE: Final = 1024 * 1024 * 1024
"""Bytes of a database that is opened; of larger ones only the bytes are searched."""

MAX_STEPS: Final = 2_000
"""Times 100,000 instructions of SQLite's machine, after which a table is left."""

SHORTEST: Final = 20
"""Bytes of a file of any kind that holds something: gzip has 18 of its own."""

_BATCH: Final = 256 * 1024


def handles(head: bytes, name: str) -> bool:
    """By the header string."""
    del name
    return head.startswith(b"SQLite format 3\0")


def pieces(file: BinaryIO, size: int) -> Iterator[Piece]:
    """The text of each table, and each long value that is no text.

    Raises:
        UnreadableError: It is too large, or damaged.
    """
    if size > MAX_FILE:
        raise UnreadableError(f"only its bytes were searched: more than {MAX_FILE} of them")
    with tempfile.TemporaryDirectory(prefix="repropack-scan-") as directory:
        copy = os.path.join(directory, "copy.sqlite")
        file.seek(0)
        with open(copy, "xb") as target:
            shutil.copyfileobj(file, target, 1024 * 1024)
        try:
            with closing(sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True)) as database:
                yield from _tables(database)
        except sqlite3.Error as error:
            raise UnreadableError("damaged, or beyond a limit") from error


def _tables(database: sqlite3.Connection) -> Iterator[Piece]:
    steps = iter(range(MAX_STEPS))
    database.set_progress_handler(lambda: next(steps, None) is None, 100_000)
    database.execute("PRAGMA trusted_schema = OFF")
    database.text_factory = bytes
    names = [
        name
        for (name,) in database.execute(
            "SELECT name FROM sqlite_master "
            "WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL %'"
        )
    ]
    for name in names:
        text = name.decode("utf-8", "replace")
        quoted = text.replace('"', '""')
        yield Piece(text, _values(database, quoted))
        for number, value in enumerate(_packed(database, quoted)):
            yield Piece(f"{text} » value {number}", iter((value,)), seen=True)


def _packed(database: sqlite3.Connection, table: str) -> Iterator[bytes]:
    """Values that are files of a kind that we know: artefacts of trackers, compressed records."""
    for row in database.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - quoted; no parameters
        for value in row:
            if isinstance(value, bytes) and _is_packed(value):
                yield value


def _is_packed(value: bytes) -> bool:
    return len(value) >= SHORTEST and container_for(value[:HEAD], "") is not None


def _values(database: sqlite3.Connection, table: str) -> Iterator[bytes]:
    lines: list[bytes] = []
    size = 0
    for row in database.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - quoted; no parameters
        for value in row:
            if isinstance(value, bytes) and not _is_packed(value):
                lines.append(value)
                size += len(value) + 1
        if size > _BATCH:
            yield b"\n".join(lines) + b"\n"
            lines, size = [], 0
    yield b"\n".join(lines)
