# SPDX-License-Identifier: Apache-2.0
"""Which runs are repetitions with another seed, and what a metric was in them."""

from __future__ import annotations

import json

import pytest

from repropack.model import (
    Invocation,
    Material,
    Metric,
    MetricSource,
    Origin,
    Outcome,
    Product,
    RunRecord,
    Segment,
    SourceSnapshot,
)
from repropack.seeds import SeedGroup, seed_groups, values_over_seeds
from tests.project import Project

TREE = "a" * 40
TIME = "2026-01-02T03:04:05Z"


def run(
    number: int,
    command: str,
    *,
    tree: str = TREE,
    status: int = 0,
    variables: dict[str, str] | None = None,
    read: dict[str, str] | None = None,
    origins: dict[str, int] | None = None,
    wrote: tuple[str, ...] = (),
) -> RunRecord:
    materials = [
        Material(path=path, size=1, sha256=letter * 64, evidence=())
        for path, letter in (read or {}).items()
    ] + [
        Material(
            path=path,
            size=1,
            sha256=f"{maker:064}",
            evidence=(),
            origin=Origin(run=f"{maker:012}", path=path),
        )
        for path, maker in (origins or {}).items()
    ]
    segment = Segment(
        invocation=Invocation(
            argv=tuple(command.split()), directory="{project}", variables=variables or {}
        ),
        source=SourceSnapshot(tree=tree, versioned=True, dirty=False),
        environment=None,
        started=TIME,
        ended=TIME,
        outcome=Outcome(status=status),
        materials=tuple(materials),
        products=tuple(Product(path=path, size=1, sha256="d" * 64) for path in wrote),
    )
    return RunRecord(version=1, id=f"{number:012}", segments=(segment,))


def _groups(*records: RunRecord) -> list[list[tuple[int, str]]]:
    return [[(int(run.run), run.seed) for run in group.runs] for group in seed_groups(records)]


@pytest.mark.parametrize(
    "command",
    ["python t.py --seed {}", "python t.py --seed={}", "python t.py seed={}",
     "python t.py training.seed={} lr=1", "python t.py --random-seed {}", "t.py --random_state {}",
     "python t.py --manualSeed {}", "env SEED={} python t.py", "t.py --np-seed={} --lr 3",
     "t.py --out runs/seed_{}/m", "t.py --out runs/seed{}", "t.py --seed {} --out o/seed-{}.json"],
)  # fmt: skip
def test_seeds_of_a_command(command: str) -> None:
    records = [run(n, command.replace("{}", str(seed))) for n, seed in enumerate((1, 2, 42))]
    assert _groups(*records) == [[(0, "1"), (1, "2"), (2, "42")]]


@pytest.mark.parametrize(
    "command",
    ["python t.py --lr {}", "python t.py -s {}", "python t.py {}",
     "python t.py --seed 1 --epochs {}",
     "python t.py --num-seeds {}", "python t.py --n_seed={}", "python t.py --seeds {}",
     "python t.py --data birdseed{}", "python t.py --seed 0.{}", "python t.py --seed_size={}",
     "python t.py --seed=1 seed.py{}"],
)  # fmt: skip
def test_what_is_no_seed(command: str) -> None:
    assert _groups(*(run(n, command.replace("{}", str(n + 1))) for n in range(3))) == []


def test_another_code_variable_data_or_end_is_another_configuration() -> None:
    command = "t.py --seed "
    first = run(0, command + "0", read={"{data:d}/x": "a"}, variables={"OMP_NUM_THREADS": "2"})
    others = [
        run(1, command + "1", read={"{data:d}/x": "b"}, variables={"OMP_NUM_THREADS": "2"}),
        run(2, command + "2", read={"{data:d}/x": "a"}, variables={"OMP_NUM_THREADS": "4"}),
        run(3, command + "3", read={"{data:d}/x": "a"}, variables={"OMP_NUM_THREADS": "2"},
            tree="b" * 40),
        run(4, command + "4", read={"{data:d}/x": "a"}, variables={"OMP_NUM_THREADS": "2"},
            status=1),
    ]  # fmt: skip
    assert _groups(first, *others) == []
    same = run(5, command + "5", read={"{data:d}/x": "a"}, variables={"OMP_NUM_THREADS": "2"})
    assert _groups(first, *others, same) == [[(0, "0"), (5, "5")]]


def test_a_seed_in_a_variable() -> None:
    for name in ("SEED", "PL_GLOBAL_SEED", "PYTHONHASHSEED"):
        records = [run(n, "t.py", variables={name: str(n)}) for n in range(2)]
        assert _groups(*records) == [[(0, "0"), (1, "1")]]
    assert _groups(*(run(n, "t.py", variables={"SEED": "random"}) for n in range(2))) == []


def test_the_same_seed_twice_is_no_group_and_no_further_sample() -> None:
    assert _groups(run(0, "t.py --seed 1"), run(1, "t.py --seed 1")) == []
    (group,) = seed_groups([run(n, f"t.py --seed {s}") for n, s in enumerate((1, 2, 1))])
    assert [r.run for r in group.latest] == [f"{2:012}", f"{1:012}"]


def test_an_evaluation_has_the_seed_of_its_training() -> None:
    records = []
    for seed in range(3):
        records.append(run(2 * seed, f"train.py --seed {seed}", wrote=("out/m.pt",)))
        records.append(run(2 * seed + 1, "eval.py out/m.pt", origins={"out/m.pt": 2 * seed}))
    assert _groups(*records) == [
        [(0, "0"), (2, "1"), (4, "2")],
        [(1, "0"), (3, "1"), (5, "2")],
    ]
    # Weights of another training: not of this group.
    other = [
        run(6, "train.py --lr 3 --seed 9"),
        run(7, "eval.py out/m.pt", origins={"out/m.pt": 6}),
    ]
    assert _groups(*records, *other)[1] == [(1, "0"), (3, "1"), (5, "2")]


def test_a_cache_or_a_log_that_siblings_leave_does_not_part_them() -> None:
    records = [
        run(0, "t.py --seed 0", wrote=("cache.bin", "all.csv")),
        run(1, "t.py --seed 1", origins={"cache.bin": 0, "all.csv": 0}, wrote=("all.csv",)),
        run(2, "t.py --seed 2", origins={"cache.bin": 0, "all.csv": 1}, wrote=("all.csv",)),
    ]
    # The first had to make the cache: it read none. It is the same configuration all the same.
    assert _groups(*records) == [[(0, "0"), (1, "1"), (2, "2")]]


def test_a_chain_that_leads_to_itself_is_of_no_group() -> None:
    loop = [run(0, "a.py --seed 0", origins={"x": 1}), run(1, "b.py --seed 1", origins={"y": 0})]
    assert _groups(*loop) == []


def _metric(value: float | None, path: str) -> Metric:
    source = MetricSource(importer="json", path=path, key="/acc")
    return Metric(name="acc", value=value, text=str(value), source=source)


def test_the_values_of_a_metric_over_its_seeds() -> None:
    records = [run(n, f"t.py --seed {s}") for n, s in enumerate((1, 2, 3, 4, 1))]
    (group,) = seed_groups(records)
    assert isinstance(group, SeedGroup)
    assert group.command == "t.py --seed *"
    metrics = {
        r.run: (_metric(0.1 * n, "m.json"), _metric(n if n != 2 else None, f"seed_{r.seed}/m.json"))
        for n, r in enumerate(group.runs)
        if n != 3
    }
    values = values_over_seeds(group, _metric(0, "seed_7/m.json").source, metrics)
    # Run 2 has no finite value, run 3 has no metrics, run 0 was repeated by run 4.
    assert [(v.seed, int(v.run), v.value) for v in values] == [("1", 4, 4), ("2", 1, 1)]
    assert values_over_seeds(group, _metric(0, "other.json").source, metrics) == ()


def test_list_and_show_say_which_runs_differ_only_in_the_seed(project: Project) -> None:
    for seed in (1, 2, 3):
        project.ok("run", "--", "python", "train.py", "--seed", str(seed))
        project.ok("run", "--", "python", "eval.py", "out/model.bin")
    project.ok("run", "--", "python", "-c", "print(1)")
    shown = project.ok("list").splitlines()
    assert "seeds  3 of python train.py --seed *: 1, 2, 3" in shown
    assert "seeds  3 of python eval.py out/model.bin: 1, 2, 3" in shown
    runs = json.loads(project.ok("list", "--json"))
    trainings = [r for r in runs if "train.py" in r["argv"]]
    assert [r["seed"] for r in trainings] == ["1", "2", "3"]
    assert trainings[0]["siblings"] == [r["id"] for r in trainings[1:]]
    assert "siblings" not in runs[-1]
    text = project.ok("show", trainings[1]["id"])
    assert f"run {trainings[0]['id']} has seed 1" in text
    assert f"run {trainings[2]['id']} has seed 3" in text
    assert project.show(trainings[1]["id"])["siblings"][0]["seed"] == "1"
    assert project.show()["siblings"] == []
