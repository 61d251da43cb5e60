# SPDX-License-Identifier: Apache-2.0
"""The store: `.repropack/` at the project root, where recorded runs live.

    .repropack/
      git/                     private git objects of code snapshots
      objects/ab/cdef…         contents by SHA-256: kept products, environment records
      runs/<id>/started.json   written before the command starts
      runs/<id>/run.json       the record; written last, by atomic rename
      runs/<id>/private.json   what never leaves this machine
      runs/<id>/opening.json   what proves which commit ran, once a release committed to it
      runs/<id>/metrics.json, stdout.log, stderr.log, agent/
      runs/<id>/2/             the same files, but for the record, of the run's second segment
      lock                     shared by recorders and exports, held alone by `repropack gc`
      index.sqlite             an index; delete it and it is rebuilt

Files are the truth. One directory per run, so that two recorders never write the same file.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from repropack import canonical, digest, durable
from repropack.errors import RepropackError, UsageError
from repropack.model import RECORD_VERSION, Environment, MetricSet, Origin, RunRecord
from repropack.store import locks
from repropack.store.contents import Contents
from repropack.store.index import FileStamp, HashedFile, Index, IndexedProduct, KnownProduct
from repropack.store.runs import (
    Opening,
    PrivateFacts,
    Started,
    StoredRun,
    begin,
    read_record,
    required,
    segment_directory,
)

__all__ = [
    "STORE_NAME",
    "FileStamp",
    "HashedFile",
    "KnownProduct",
    "PrivateFacts",
    "Started",
    "Store",
    "StoredRun",
    "now",
    "segment_directory",
]

STORE_NAME: Final = ".repropack"


SETTLE_NANOSECONDS: Final = 20_000_000
"""A digest is cached only for a file that was last changed longer ago than this. The kernel stamps
files with a clock of at most 10 ms, so a later write within one tick would not be noticed."""


_ID_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
"""32 letters: a byte chooses each with the same chance."""

_EMPTY: Final = digest.sha256_hex(b"")


def now() -> str:
    """The present time as records hold it: UTC, whole seconds."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """The store of one project. Constructing it touches nothing; see `create` and `find`.

    Args:
        directory: Where it is.
        apart: A directory for what an export would add to it: its `git` has to have the objects of
            the store's own. None to add it to the store.
    """

    def __init__(self, directory: Path, apart: Path | None = None) -> None:
        self.directory: Final = directory
        self._apart: Final = apart
        self._contents: Final = Contents(directory / "objects")
        self._index: Final = Index(
            directory / "index.sqlite", self._finished_runs, self._indexed_products
        )

    @property
    def project(self) -> Path:
        """The project that the store belongs to, wherever it has been moved."""
        return self.directory.parent

    @property
    def git(self) -> Path:
        """The private git repository of code snapshots."""
        return (self._apart or self.directory) / "git"

    # ------------------------------------------------------------ finding and making

    @classmethod
    def find(cls, start: Path, apart: Path | None = None) -> Store:
        """The store of the project that a directory belongs to.

        Args:
            start: The directory.
            apart: As for the constructor.

        Raises:
            UsageError: No directory from `start` upwards has one.
        """
        for directory in (start, *start.parents):
            candidate = directory / STORE_NAME
            if (candidate / "runs").is_dir():
                return cls(candidate, apart)
        raise UsageError(
            f"{start}: nothing has been recorded here or in a directory above",
            advice="record a run with `repropack run -- COMMAND`",
        )

    @classmethod
    def create(cls, project: Path) -> Store:
        """The store at a project's root, made if it is not there. git is told to ignore it.

        Raises:
            OSError: The directory cannot be written.
        """
        store = cls(project / STORE_NAME)
        (store.directory / "runs").mkdir(parents=True, exist_ok=True)
        (store.directory / "objects").mkdir(exist_ok=True)
        durable.remove_abandoned(store.directory / "objects")
        ignore = store.directory / ".gitignore"
        if not ignore.exists():
            # This file comes last: where it is, the directories are on the disk for good.
            durable.sync_directory(project)
            durable.write_file(ignore, b"*\n")
        return store

    def share(self) -> None:
        """Keeps `repropack gc` away from the store until this process ends.

        Raises:
            RepropackError: It is at work, and does not end within a minute.
            OSError: The store cannot be written.
        """
        locks.share(self.directory, make=self._apart is None)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps recorders and exports away while the block lasts.

        Raises:
            RepropackError: One is at work, or the file system has no locks to tell by.
            OSError: The store cannot be written.
        """
        with locks.alone(self.directory) as held:
            if not held:
                going = [run.id for run in self.runs() if run.goes_on]
                who = f"run {going[0]} goes on" if going else "another repropack reads from it"
                raise RepropackError(
                    f"{self.directory} is in use: {who}; nothing was removed",
                    advice="try again when it has ended",
                )
            yield

    def start_run(self, name: str | None, argv: tuple[str, ...]) -> StoredRun:
        """Makes the directory of a new run and notes that it has started.

        Raises:
            OSError: The store cannot be written.
        """
        while True:
            run_id = "".join(_ID_ALPHABET[byte % 32] for byte in os.urandom(12))
            directory = self.directory / "runs" / run_id
            with contextlib.suppress(FileExistsError):
                directory.mkdir()
                break
        (directory / "agent").mkdir()
        locks.mark(directory)
        started = Started(version=RECORD_VERSION, id=run_id, name=name, started=now(), argv=argv)
        durable.write_file(directory / "started.json", canonical.encode(started))
        return StoredRun(directory=directory, started=started, record=None)

    def start_segment(self, run: StoredRun, argv: tuple[str, ...]) -> StoredRun:
        """Makes the directory of a further segment of a run and notes that it has started.

        What a killed recorder left of such a segment is kept beside it, as `N.cut-off-…`.

        Raises:
            UsageError: The run has no record, or goes on.
            OSError: The store cannot be written.
        """
        self.finished(run)
        if not locks.mark(run.directory):
            raise UsageError(f"run {run.id} still goes on", advice="wait until it has ended")
        # Another recorder may have added one before the lock was ours.
        fresh = self.run(run.id)
        if fresh.record is None:
            raise UsageError(f"run {run.id} has no record", advice="record it again")
        number = len(fresh.record.segments) + 1
        place = segment_directory(run.directory, number)
        with contextlib.suppress(FileNotFoundError):
            os.rename(place, place.with_name(f"{number}.cut-off-{os.urandom(4).hex()}"))
        (place / "agent").mkdir(parents=True)
        started = msgspec.structs.replace(run.started, started=now(), argv=argv)
        durable.write_file(place / "started.json", canonical.encode(started))
        return msgspec.structs.replace(fresh, segment=number, goes_on=True)

    def discard(self, run: StoredRun) -> None:
        """Removes a run, or a further segment of one, whose command never started.

        Raises:
            OSError: It cannot be removed.
        """
        import shutil  # with its archives some 2 ms, which hardly a run needs

        shutil.rmtree(run.place)

    def overlapping(self, run: StoredRun, since: int) -> tuple[Path, ...]:
        """The directories of segments of other runs that went on at some time since then.

        Args:
            run: The run that asks.
            since: Nanoseconds since 1970.

        Raises:
            OSError: The store cannot be read.
        """
        found = []
        for directory in sorted((self.directory / "runs").iterdir()):
            if directory == run.directory:
                continue
            try:
                began = _written(directory / "started.json")
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                went_on = _written(directory / "run.json") >= since or locks.is_marked(directory)
            except FileNotFoundError:
                went_on = began >= since or locks.is_marked(directory)
            if went_on:
                found += [directory, *sorted(e.parent for e in directory.glob("*/started.json"))]
        return tuple(found)

    def finish_run(
        self, run: StoredRun, record: RunRecord, metrics: MetricSet, private: PrivateFacts
    ) -> None:
        """Writes a run's record. When this returns, the record survives a power cut.

        Raises:
            OSError: The store cannot be written; the run is then shown as unfinished.
        """
        kept = {p.sha256 for s in record.segments for p in s.products if p.kept}
        # Others may have put it there, and may have been killed before they synced.
        kept |= {digest for s in record.segments for digest in s.environment_digests}
        self._contents.sync(kept)
        for name in ("stdout.log", "stderr.log"):
            _sync_file(run.place / name)
        # Nanoseconds exceed the integers of RFC 8785, and nobody else reads this file.
        durable.write_file(run.place / "private.json", msgspec.json.encode(private))
        durable.write_file(run.place / "metrics.json", canonical.encode(metrics))
        durable.sync_directory(run.directory)
        durable.sync_directory(self.directory / "runs")
        durable.write_file(run.directory / "run.json", canonical.encode(record))
        with contextlib.suppress(RepropackError, OSError):
            # It learns of it when it is used next, which costs reading the record.
            written = _written(run.directory / "run.json")
            self._index.add(run.id, written, _products_of(run.directory, record, written))

    # ------------------------------------------------------------ reading

    def runs(self) -> tuple[StoredRun, ...]:
        """Every run, oldest first; also those that are damaged.

        Raises:
            OSError: The store cannot be read.
        """
        found = (self._load(directory) for directory, _ in self._begun())
        return tuple(run for run in found if run is not None)

    def _begun(self) -> list[tuple[Path, Started]]:
        """The directory and the start of every run, oldest first: no record is read for it."""
        found = [
            (directory, begun[0])
            for directory in (self.directory / "runs").iterdir()
            if (begun := begin(directory)) is not None
        ]
        # Runs of one second are told apart by the time of a file that is written once.
        found.sort(key=lambda run: (run[1].started, _written(run[0] / "started.json"), run[1].id))
        return found

    def run(self, run_id: str) -> StoredRun:
        """The run with exactly this id.

        Raises:
            UsageError: It is not in the store.
        """
        found = self._load(self.directory / "runs" / run_id)
        if found is None:
            raise UsageError(
                f"run {run_id} is not in {self.directory}",
                advice="bring it back, or record again what depends on it",
            )
        return found

    def resolve(self, text: str) -> StoredRun:
        """The run that a user means: `last`, a name (its latest run), an id or a unique prefix.

        Raises:
            UsageError: None or several fit.
        """
        begun = self._begun()
        if not begun:
            raise UsageError(
                "nothing has been recorded yet", advice="record with `repropack run -- COMMAND`"
            )
        named = [run for run in begun if text in (run[1].id, run[1].name)]
        fitting = [run for run in begun if text and run[1].id.startswith(text)]
        if text == "last":
            chosen = begun[-1]
        elif named:
            chosen = named[-1]
        elif len(fitting) == 1:
            chosen = fitting[0]
        elif not fitting:
            raise UsageError(f"no run is called {text!r}", advice="`repropack list` shows the runs")
        else:
            raise UsageError(
                f"{text!r} fits {len(fitting)} runs: {', '.join(r.id for _, r in fitting[:5])}",
                advice="give more letters of the id",
            )
        return self.run(chosen[0].name)

    def finished(self, run: StoredRun) -> RunRecord:
        """The record of a run that has ended.

        Raises:
            UsageError: It has no record: it still goes on, or its recorder was killed.
        """
        if run.damage:
            raise UsageError(
                f"the record of run {run.id} is damaged: {run.damage}",
                advice="restore the file from a copy, or record the run again",
            )
        if run.record is None and run.goes_on:
            raise UsageError(f"run {run.id} still goes on", advice="wait until it has ended")
        if run.record is None:
            raise UsageError(
                f"run {run.id} has no record: its recorder was killed, or could not write it",
                advice="record it again",
            )
        return run.record

    def metrics(self, run: StoredRun) -> MetricSet:
        """The metrics of a run: those of its last segment, with the curves of all.

        Raises:
            UsageError: The file is missing or damaged.
        """
        return self.metrics_up_to(run, len(run.record.segments) if run.record is not None else 1)

    def metrics_up_to(self, run: StoredRun, segment: int) -> MetricSet:
        """The metrics that the run had when a segment of it had ended.

        Raises:
            UsageError: The file is missing or damaged.
        """
        return required(segment_directory(run.directory, segment) / "metrics.json", MetricSet)

    def private(self, run: StoredRun) -> PrivateFacts:
        """The private facts of a run, over all its segments; where they differ, of the last.

        Raises:
            UsageError: The file is missing or damaged.
        """
        number = len(run.record.segments) if run.record is not None else 1
        facts = [
            required(segment_directory(run.directory, n) / "private.json", PrivateFacts)
            for n in range(1, number + 1)
        ]
        return msgspec.structs.replace(
            facts[-1],
            prefixes={k: v for one in facts for k, v in one.prefixes.items()},
            data_roots={k: v for one in facts for k, v in one.data_roots.items()},
            stamps={k: v for one in facts for k, v in one.stamps.items()},
            recorded_at={
                kind: tuple(
                    dict.fromkeys(n for one in facts for n in one.recorded_at.get(kind, ()))
                )
                for kind in dict.fromkeys(kind for one in facts for kind in one.recorded_at)
            },
        )

    def private_of(self, run: StoredRun, segment: int) -> PrivateFacts:
        """The private facts of one segment.

        Raises:
            UsageError: The file is missing or damaged.
        """
        return required(segment_directory(run.directory, segment) / "private.json", PrivateFacts)

    def opening(self, run: StoredRun, segment: int) -> Opening | None:
        """What opens the commitment to a segment's commit; None where none was made.

        Raises:
            UsageError: The file is damaged.
        """
        path = segment_directory(run.directory, segment) / "opening.json"
        return required(path, Opening) if path.exists() else None

    def keep_opening(self, run: StoredRun, segment: int, commit: str, content: bytes) -> Opening:
        """Chooses a salt and keeps it with the commit, durably, unless that has been done before.

        Where what is added is kept apart, it is not kept at all: nobody gets to see the commitment.

        Raises:
            UsageError: The file is damaged.
            OSError: It cannot be written.
        """
        path = segment_directory(run.directory, segment) / "opening.json"
        opening = Opening(commit=commit, content=content, salt=os.urandom(32))
        if self._apart is not None:
            return opening
        temporary = path.with_name(f".opening.{os.urandom(8).hex()}")
        durable.write_file(temporary, msgspec.json.encode(opening), mode=0o600)
        try:
            # Of two exports at the same time, the first one's salt holds for both.
            os.link(temporary, path)
        except FileExistsError:
            return required(path, Opening)
        finally:
            temporary.unlink()
        durable.sync_directory(path.parent)
        return opening

    def environment(self, sha256: str) -> Environment:
        """The environment record with a digest.

        Raises:
            UsageError: It is missing or damaged.
        """
        return required(self.object_path(sha256), Environment)

    def _load(self, directory: Path) -> StoredRun | None:
        """A run's directory; None for what is none: a stray file, one whose start was cut off."""
        begun = begin(directory)
        if begun is None:
            return None
        started, damage = begun
        if damage:
            return StoredRun(directory=directory, started=started, record=None, damage=damage)
        try:
            record = read_record(directory / "run.json", RunRecord)
        except FileNotFoundError:
            return StoredRun(
                directory=directory,
                started=started,
                record=None,
                goes_on=locks.is_marked(directory),
            )
        except UsageError as error:
            return StoredRun(directory=directory, started=started, record=None, damage=str(error))
        number = len(record.segments)
        going_on = (directory / str(number + 1) / "started.json").exists()
        locked = going_on and locks.is_marked(directory)
        return StoredRun(
            directory=directory,
            started=started,
            record=record,
            goes_on=locked,
            segment=number + 1 if locked else number,
            cut_off=going_on and not locked,
        )

    # ------------------------------------------------------------ contents

    def object_path(self, sha256: str) -> Path:
        """Where content with a digest is kept."""
        return self._contents.path(sha256)

    def has(self, sha256: str) -> bool:
        """Whether content with a digest is kept."""
        return self._contents.path(sha256).is_file()

    def put(self, data: bytes) -> str:
        """Keeps bytes and returns their digest.

        Raises:
            OSError: The store cannot be written.
        """
        return self._contents.put(data)

    def keep(self, source: Path) -> HashedFile:
        """Keeps a copy of a file, so that a later run cannot overwrite it.

        Its name is on the disk for good only when `finish_run` returns: one sync of a directory
        serves all its files.

        Raises:
            OSError: It cannot be read or copied, or is no regular file.
        """
        return self._contents.keep(source)

    # ------------------------------------------------------------ the index

    def known_digests(self, stamps: Sequence[FileStamp]) -> list[str | None]:
        """The digest that a file with each stamp had when it was last hashed, if that is known.

        Raises:
            RepropackError: The index cannot be used.
        """
        return self._index.digests(stamps) if stamps else []

    def remember_digests(self, files: Iterable[HashedFile]) -> None:
        """Notes digests, so that an unchanged file costs a stat next time."""
        settled = time.time_ns() - SETTLE_NANOSECONDS
        old = [f for f in files if max(f.stamp.mtime_ns, f.stamp.ctime_ns) < settled]
        if old:
            with contextlib.suppress(RepropackError):
                # Next time it costs more than a stat.
                self._index.remember(old)

    def makers_of(
        self, files: Iterable[tuple[str, int, str]]
    ) -> dict[tuple[str, int, str], Origin]:
        """For files, the recorded run that has such a product and can have made it.

        The latest of those that wrote it at the path where it lies, else the latest of all.

        A file that was last changed before a run began is no copy of what that run wrote, whatever
        it holds: copying, moving and linking all set the time of change (`st_ctime`), and nobody
        can set it back, as the time of modification can be.

        Args:
            files: The digest of each, when it was last changed, in nanoseconds, and its recorded
                path.

        Raises:
            RepropackError: The index cannot be used.
        """
        # Every empty file has the same digest: it says nothing about lineage.
        wanted = {file for file in files if file[0] != _EMPTY}
        return self._index.makers(wanted) if wanted else {}

    def products_on_disk(self) -> dict[str, KnownProduct]:
        """By recorded path, what the latest run that wrote a file left there.

        A file that still has this stamp is that product; another stamp means that somebody else
        has changed it since.

        Raises:
            RepropackError: The index cannot be used.
        """
        return self._index.products()

    def _finished_runs(self) -> dict[str, int]:
        return {e.parent.name: _written(e) for e in (self.directory / "runs").glob("*/run.json")}

    def _indexed_products(self, run_id: str) -> list[IndexedProduct]:
        run = self.run(run_id)
        if run.record is None:
            return []
        return _products_of(run.directory, run.record, _written(run.directory / "run.json"))


def _products_of(directory: Path, record: RunRecord, finished: int) -> list[IndexedProduct]:
    found = []
    for number, segment in enumerate(record.segments, 1):
        stamps: dict[str, tuple[int, int, int]] = {}
        began = 0
        if segment.products:
            with contextlib.suppress(OSError, UsageError):
                # Without its private facts a run still has digests.
                private = required(
                    segment_directory(directory, number) / "private.json", PrivateFacts
                )
                stamps, began = private.stamps, private.started_ns
        found += [
            IndexedProduct(
                path=product.path,
                sha256=product.sha256,
                segment=number,
                began=began or _nanoseconds(segment.started),
                finished=finished,
                stamp=stamps.get(product.path, (-1, -1, -1)),
            )
            for product in segment.products
        ]
    return found


def _nanoseconds(moment: str) -> int:
    """A time of a record, in nanoseconds since 1970; 0 for a day that no calendar has."""
    try:
        return int(datetime.datetime.fromisoformat(moment).timestamp()) * 10**9
    except ValueError:
        return 0


def _sync_file(path: Path) -> None:
    """Makes what another part of us wrote survive a power cut, if it wrote anything."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        if os.fstat(descriptor).st_size:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns
