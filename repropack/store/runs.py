# SPDX-License-Identifier: Apache-2.0
"""A run in the store: the files of its directory as values."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from repropack import canonical
from repropack.errors import UsageError
from repropack.model import RECORD_VERSION, RunRecord

__all__ = [
    "Opening",
    "PrivateFacts",
    "Started",
    "StoredRun",
    "T",
    "begin",
    "read_record",
    "required",
    "segment_directory",
]


T = TypeVar("T")


class Started(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`started.json`: enough to show a run whose recorder was killed."""

    version: int
    id: str
    name: str | None
    started: str
    argv: tuple[str, ...]


class PrivateFacts(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """`private.json`: facts of the author's machine that no bundle holds.

    Attributes:
        base_commit: The commit that was checked out, or None.
        data_roots: Data set name to the directory it was read from.
        started_ns: When the command started, in nanoseconds, by the clock that files are stamped
            with; 0 where an earlier version did not note it.
        stamps: Recorded path to (size, mtime_ns, inode) of each product as the run left it.
        recorded_at: By kind (`users`, `hosts`, …), the names of who recorded it, and where.
    """

    project: str
    base_commit: str | None = None
    object_format: str = "sha1"
    prefixes: dict[str, str] = {}
    data_roots: dict[str, str] = {}
    started_ns: int = 0
    stamps: dict[str, tuple[int, int, int]] = {}
    recorded_at: dict[str, tuple[str, ...]] = {}


class Opening(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`opening.json`: what opens a release's commitment to the author's commit.

    Attributes:
        commit: The commit id.
        content: The commit object.
        salt: The salt of the commitment.
    """

    commit: str
    content: bytes
    salt: bytes


class StoredRun(Struct, frozen=True, kw_only=True):
    """A run in the store.

    Attributes:
        record: None while the run goes on, if its recorder was killed, or if it is damaged. While a
            further segment goes on, that of the segments before it.
        goes_on: Its recorder is at work. False where the file system has no locks to tell by.
        damage: What is wrong with its files, or an empty string.
        segment: The number of the segment that is being recorded, or that was recorded last.
        cut_off: Its last segment has no end, for its recorder was killed; the record has those
            before it.
    """

    directory: Path
    started: Started
    record: RunRecord | None
    goes_on: bool = False
    damage: str = ""
    segment: int = 1
    cut_off: bool = False

    @property
    def place(self) -> Path:
        """The directory with what its present segment, or else its last one, told and printed."""
        return segment_directory(self.directory, self.segment)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.started.id


def begin(directory: Path) -> tuple[Started, str] | None:
    """How a run began, and what is wrong with the file that tells it; None for no run."""
    try:
        return read_record(directory / "started.json", Started), ""
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UsageError as error:
        unknown = Started(version=RECORD_VERSION, id=directory.name, name=None, started="", argv=())
        return unknown, str(error)


def segment_directory(run: Path, number: int) -> Path:
    """Where a segment's own files are: the first in the run's directory, others below it."""
    return run if number == 1 else run / str(number)


def required(path: Path, kind: type[T]) -> T:
    """Reads a file of a run that must be there.

    Raises:
        UsageError: It is missing or damaged.
    """
    try:
        return read_record(path, kind)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(
            f"{path}: the file is missing from the store",
            advice="restore it from a copy, or record the run again",
        ) from error


def read_record(path: Path, kind: type[T]) -> T:
    """Reads a file of a run.

    Raises:
        FileNotFoundError, NotADirectoryError: It is not there.
        UsageError: It is damaged.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return canonical.decode_own(data, kind)
    except canonical.NotCanonicalError as error:
        raise UsageError(f"{path}: {error}") from error
