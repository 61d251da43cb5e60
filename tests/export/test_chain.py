# SPDX-License-Identifier: Apache-2.0
"""Which products go out, and under which member names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.errors import UsageError
from repropack.export.chain import ChainedRun, ChosenArtifact, choose_artifacts
from repropack.model import Invocation, Outcome, Product, RunRecord, Segment
from repropack.paths import check_logical_paths
from repropack.store import Started, Store, StoredRun

TIME = "2024-01-01T00:00:00Z"


def _chained(number: int, products: list[Product]) -> ChainedRun:
    run_id = f"{number:012d}"
    segment = Segment(
        invocation=Invocation(argv=("make",), directory="{project}", variables={}),
        source=None,
        environment=None,
        started=TIME,
        ended=TIME,
        outcome=Outcome(status=0),
        products=tuple(products),
    )
    record = RunRecord(version=1, id=run_id, segments=(segment,))
    started = Started(version=1, id=run_id, name=None, started=TIME, argv=("make",))
    stored = StoredRun(directory=Path("/nowhere"), started=started, record=record)
    return ChainedRun(number=number, stored=stored, record=record)


def _choose(
    place: Path, runs: list[list[str]], wanted: tuple[str, ...] = ("*",)
) -> tuple[ChosenArtifact, ...]:
    store = Store.create(place)
    sha256 = store.put(b"weights")
    chain = [
        _chained(number, [Product(path=f"{{project}}/{n}", size=7, sha256=sha256) for n in names])
        for number, names in enumerate(runs, 1)
    ]
    return choose_artifacts(store, chain, wanted)


NAMES = st.lists(
    st.sampled_from(
        ["m.pt", "M.pt", "run-1/m.pt", "m.pt/x", "aux.pt", "a:b.pt", "dot.", "e\u0301", "\u00e9",
         "\ufb01", "fi", "{{project}", "a\nb", "%3A", "x/run-1/m.pt"]
    ),
    unique=True,
)  # fmt: skip


@given(runs=st.lists(NAMES, min_size=1, max_size=3))
def test_any_names_can_stand_beside_each_other(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[str]]
) -> None:
    if not any(runs):
        return
    chosen = _choose(tmp_path_factory.mktemp("store"), runs)
    assert len(chosen) == sum(map(len, runs))
    check_logical_paths(artifact.member for artifact in chosen)


def test_the_latest_file_of_a_path_has_the_plain_name(tmp_path: Path) -> None:
    chosen = _choose(tmp_path, [["ckpt.pt"], ["ckpt.pt"], ["ckpt.pt", "CKPT.pt"]])
    assert [a.member for a in chosen] == [
        "weights/run-1/ckpt.pt",
        "weights/run-2/ckpt.pt",
        "weights/run-3/ckpt.pt",
        "weights/CKPT.pt",
    ]


@pytest.mark.parametrize(
    ("wanted", "members"),
    [
        ("out/a.pt", ["out/a.pt"]),
        ("./out/a.pt", ["out/a.pt"]),
        ("out/", ["out/a.pt", "out/b.bin"]),
        ("*.bin", ["out/b.bin"]),
        ("out/[ab].*", ["out/a.pt", "out/b.bin"]),
    ],
)
def test_what_the_author_names(tmp_path: Path, wanted: str, members: list[str]) -> None:
    chosen = _choose(tmp_path, [["out/a.pt", "out/b.bin", "log.txt"]], (wanted,))
    assert [a.member for a in chosen] == [f"weights/{m}" for m in members]


def test_what_cannot_be_packed_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--weights absent\.pt: no run"):
        _choose(tmp_path, [["m.pt"]], ("absent.pt",))
    sha256 = "0" * 64
    gone = _chained(1, [Product(path="{project}/m.pt", size=1, sha256=sha256)])
    with pytest.raises(UsageError, match=r"m\.pt of run 0+1 is missing from the store"):
        choose_artifacts(Store.create(tmp_path), [gone], ())
    large = _chained(1, [Product(path="{project}/m.pt", size=1, sha256=sha256, kept=False)])
    with pytest.raises(UsageError, match="too large to be kept"):
        choose_artifacts(Store.create(tmp_path), [large], ())
