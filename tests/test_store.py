# SPDX-License-Identifier: Apache-2.0
"""The store loses no run and no lineage, whatever happens to its files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from repropack.errors import RepropackError, UsageError
from repropack.model import Invocation, MetricSet, Outcome, Product, RunRecord, Segment
from repropack.store import PrivateFacts, Store, StoredRun
from repropack.store.contents import stamp_of

TIME = "2024-01-01T00:00:00Z"
# Some time after it, in nanoseconds.
NOW = 1_800_000_000 * 10**9


def _run(store: Store, contents: dict[str, bytes], name: str | None = None) -> StoredRun:
    """A finished run that wrote files; all of them end within the same second."""
    run = store.start_run(name, ("make",))
    products = tuple(
        Product(path=f"{{project}}/{path}", size=len(data), sha256=store.put(data))
        for path, data in contents.items()
    )
    segment = Segment(
        invocation=Invocation(argv=("make",), directory="{project}", variables={}),
        source=None,
        environment=None,
        started=TIME,
        ended=TIME,
        outcome=Outcome(status=0),
        products=products,
    )
    store.finish_run(
        run,
        RunRecord(version=1, id=run.id, name=name, segments=(segment,)),
        MetricSet(version=1, metrics=()),
        PrivateFacts(project="/p", stamps={p.path: (p.size, 1, 2) for p in products}),
    )
    return run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path)


def _remove(path: Path) -> None:
    path.unlink()


def _overwrite(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


def _maker(store: Store, sha256: str) -> str:
    (maker,) = store.makers_of([(sha256, NOW, "{data:x}/y")]).values()
    return maker.run


def _truncate(path: Path) -> None:
    os.truncate(path, 0)


def _make_old(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as index:
        index.execute("CREATE TABLE products (sha256 TEXT)")
    index.close()


@pytest.mark.parametrize("damage", [_remove, _overwrite, _truncate, _make_old])
def test_lineage_survives_what_happens_to_the_index(
    store: Store, damage: Callable[[Path], None]
) -> None:
    maker = _run(store, {"m.pt": b"weights"})
    store.products_on_disk()
    damage(store.directory / "index.sqlite")
    sha256 = store.put(b"weights")
    assert _maker(store, sha256) == maker.id
    assert store.products_on_disk()["{project}/m.pt"].run == maker.id


def test_a_run_that_was_never_indexed_is_found(store: Store) -> None:
    # As after a kill between the record and the index.
    _run(store, {"a": b"1"})
    store.products_on_disk()
    index = (store.directory / "index.sqlite").read_bytes()
    late = _run(store, {"b": b"2"})
    store.products_on_disk()
    (store.directory / "index.sqlite").write_bytes(index)
    sha256 = store.put(b"2")
    assert _maker(store, sha256) == late.id


def test_a_locked_index_is_an_error_and_not_an_empty_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repropack.store.index.WAIT", 0.1)
    _run(store, {"a": b"1"})
    store.products_on_disk()
    holder = sqlite3.connect(store.directory / "index.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(RepropackError, match="locked"):
            store.products_on_disk()
        # A run is recorded all the same, and indexed by whoever comes next.
        run = _run(store, {"c": b"3"})
    finally:
        holder.close()
    assert store.products_on_disk()["{project}/c"].run == run.id


def test_of_two_runs_in_one_second_the_later_one_made_the_file(store: Store) -> None:
    runs = [_run(store, {"ckpt": bytes([i])}) for i in range(8)]
    assert store.products_on_disk()["{project}/ckpt"].run == runs[-1].id
    (store.directory / "index.sqlite").unlink()
    assert store.products_on_disk()["{project}/ckpt"].run == runs[-1].id
    assert [run.id for run in store.runs()] == [run.id for run in runs]
    assert store.resolve("last").id == runs[-1].id


def test_recorders_at_once_in_a_new_store_are_all_indexed(tmp_path: Path) -> None:
    def one(number: int) -> str:
        return _run(Store.create(tmp_path), {f"f{number}": bytes([number])}).id

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(one, range(16)))
    assert {p.run for p in Store.create(tmp_path).products_on_disk().values()} == ids


@pytest.mark.parametrize("file", ["run.json", "started.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_run_hides_no_other(store: Store, file: str, content: bytes) -> None:
    sound, broken = _run(store, {"a": b"1"}), _run(store, {"b": b"2"})
    (store.directory / "runs" / broken.id / file).write_bytes(content)
    (store.directory / "runs" / "stray").mkdir()
    (store.directory / "runs" / "file").write_text("x")
    assert {run.id for run in store.runs()} == {sound.id, broken.id}
    assert store.products_on_disk()["{project}/a"].run == sound.id
    with pytest.raises(UsageError, match=rf"damaged: .*{file}"):
        store.finished(store.run(broken.id))


def test_what_a_user_calls_a_run(store: Store) -> None:
    with pytest.raises(UsageError, match="nothing has been recorded"):
        store.resolve("last")
    first, second = _run(store, {}, "baseline"), _run(store, {}, "baseline")
    assert store.resolve("baseline").id == second.id
    assert store.resolve(first.id).id == first.id
    assert store.resolve(first.id[:11]).id == first.id
    with pytest.raises(UsageError, match="no run is called"):
        store.resolve("")
    with pytest.raises(UsageError, match="no run is called 'absent'"):
        store.resolve("absent")
    ids = [_run(store, {}).id for _ in range(40)]
    letter = max("0123456789abcdefghjkmnpqrstvwxyz", key=lambda c: sum(i[0] == c for i in ids))
    with pytest.raises(UsageError, match=r"fits \d+ runs"):
        store.resolve(letter)


def test_a_missing_file_of_a_run_is_named(store: Store) -> None:
    run = _run(store, {})
    (run.directory / "metrics.json").unlink()
    with pytest.raises(UsageError, match=r"metrics\.json: the file is missing"):
        store.metrics(run)


def test_kept_content_is_read_only_once_and_whole(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "big.bin"
    source.write_bytes(os.urandom(3_000_000))
    kept = store.keep(source)
    assert store.object_path(kept.sha256).read_bytes() == source.read_bytes()
    assert store.keep(source).sha256 == kept.sha256
    assert not list((store.directory / "objects").glob(".*"))
    source.unlink()
    os.mkfifo(source)
    with pytest.raises(OSError, match=r"."):
        store.keep(source)
    assert not list((store.directory / "objects").glob(".*"))


def test_a_digest_is_remembered_only_for_the_same_stamp(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "data.bin"
    source.write_bytes(b"1")
    os.utime(source, (1, 1))
    while True:
        # ctime cannot be set: wait until it has settled.
        store.remember_digests([store.keep(source)])
        stamp = stamp_of(source.stat())
        if store.known_digests([stamp]) != [None]:
            break
    source.write_bytes(b"2")
    os.utime(source, (1, 1))
    assert store.known_digests([stamp, stamp_of(source.stat())])[1] is None
