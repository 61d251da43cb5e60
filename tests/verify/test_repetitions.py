# SPDX-License-Identifier: Apache-2.0
"""Several repetitions, fresh seeds, and evaluations that are random."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from repropack.bundle import Access, open_bundle
from repropack.errors import UsageError
from repropack.model import (
    Basis,
    ClaimMode,
    Equivalent,
    Exact,
    Interval,
    MetricSource,
    Relative,
    StepStatus,
    Verdict,
)
from repropack.signing.policy import TrustPolicy
from repropack.verify import Mode
from repropack.verify.explanation import SPREAD
from repropack.verify.integrity import read_signed
from repropack.verify.release import read_release
from repropack.verify.reseeding import fresh_seeds
from tests.verify.release_builder import Draft, chain, check, simple

ANYWHERE = Access(variables={}, tell=lambda _: None, advance=lambda _, __: None)

SEEDS = (0.912, 0.908, 0.915, 0.910, 0.911)

TRAIN = """mkdir -p out/seed_$2
case $2 in 3) a=0.911;; 8) a=0.909;; 9) a=0.913;; *) a=0.910;; esac
printf '{"accuracy": %s, "seed": %s}' $a $2 > out/seed_$2/metrics.json
"""
"""A training whose result and whose directory depend on the seed."""


def seeded(place: Path, *, values: tuple[float, ...] = SEEDS) -> Draft:
    draft = Draft(place=place)
    draft.add_run({"train.sh": TRAIN}, "sh", "train.sh", "--seed", "3")
    draft.add_claim(
        values[-1],
        source=MetricSource(
            importer="json", path="{project}/out/seed_3/metrics.json", key="/accuracy"
        ),
        mode=ClaimMode.RETRAIN_NEW_SEED,
        tolerance=Interval(values=values),
    )
    draft.seeds = ("3", "4", "5", "6", "7")
    return draft


def test_a_training_with_seeds_that_the_author_did_not_use(tmp_path: Path) -> None:
    bundle = seeded(tmp_path).write()
    given = ("8", "9")
    report = check(bundle, mode=Mode.RETRAIN, new_seeds=True, runs=2, seeds=given)
    assert report.verdict is Verdict.REPRODUCED
    assert report.claims[0].runs == (0.909, 0.913)
    assert "2 fresh runs" in report.reason
    assert report.seeds == given
    drawn = [check(bundle, mode=Mode.RETRAIN, new_seeds=True, runs=2) for _ in range(2)]
    seeds = [seed for one in drawn for seed in one.seeds]
    assert len(set(seeds) - {"3", "4", "5", "6", "7"}) == 4
    steps = {step.name: step.summary for step in drawn[0].steps}
    assert steps["execution"].endswith(f", with the seeds {', '.join(drawn[0].seeds)}")


def test_a_seed_of_the_authors_is_no_new_one(tmp_path: Path) -> None:
    bundle = seeded(tmp_path).write()
    with pytest.raises(UsageError, match="--seed 5: the author used it"):
        check(bundle, mode=Mode.RETRAIN, new_seeds=True, runs=2, seeds=("8", "5"))


def test_drawn_seeds_are_different_and_none_of_the_authors(tmp_path: Path) -> None:
    """Whatever is drawn: here each number thrice, hers among them."""
    draft = seeded(tmp_path)
    draft.seeds = ("3", "04", "5")
    with open_bundle(draft.write(), ANYWHERE) as opened:
        signed = read_signed(opened, TrustPolicy())
        release = read_release(signed.listed.verify(), signed.statement)
    numbers = iter([n for n in range(9) for _ in range(3)])
    assert fresh_seeds(release, 4, lambda _: next(numbers)) == ("0", "1", "2", "6")
    assert fresh_seeds(release, 1, lambda below: below - 1) == (str(2**31 - 1),)


def test_another_distribution_is_not_reproduced(tmp_path: Path) -> None:
    bundle = seeded(tmp_path, values=tuple(v + 0.05 for v in SEEDS)).write()
    report = check(bundle, mode=Mode.RETRAIN, new_seeds=True)
    assert report.verdict is Verdict.NOT_REPRODUCED
    # The seed differs on purpose, and is no cause.
    assert report.causes[0].subject == SPREAD
    assert "--seed" not in {cause.subject for cause in report.causes}
    explained = check(bundle, mode=Mode.RETRAIN, new_seeds=True, explain=True)
    assert {s.name: s.status for s in explained.steps}["explanation"] is StepStatus.UNDECIDED


def test_the_same_seed_says_nothing_about_others(tmp_path: Path) -> None:
    report = check(seeded(tmp_path).write(), mode=Mode.RETRAIN)
    assert report.verdict is Verdict.INCONCLUSIVE


def test_a_command_without_a_seed_cannot_have_another(tmp_path: Path) -> None:
    draft = simple(tmp_path)
    draft.add_claim(0.91, mode=ClaimMode.RETRAIN_NEW_SEED, tolerance=Interval(values=SEEDS))
    report = check(draft.write(), mode=Mode.RETRAIN, new_seeds=True)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert "do not have one seed" in report.reason


def test_equivalence_needs_several_runs(tmp_path: Path) -> None:
    draft = seeded(tmp_path)
    draft.claims[0] = replace(draft.claims[0], tolerance=Equivalent(values=SEEDS, margin=0.02))
    bundle = draft.write()
    one = check(bundle, mode=Mode.RETRAIN, new_seeds=True)
    assert one.verdict is Verdict.INCONCLUSIVE
    assert "--runs" in one.reason
    three = check(bundle, mode=Mode.RETRAIN, new_seeds=True, runs=3)
    assert three.verdict is Verdict.REPRODUCED


def test_a_random_evaluation_is_no_false_alarm(tmp_path: Path) -> None:
    random = 'printf \'{"accuracy": 0.9%s}\' "$(od -An -N4 -tu4 /dev/urandom | tr -d " ")"'
    draft = Draft(place=tmp_path / "random")
    draft.place.mkdir()
    draft.add_run({"t.sh": "true"}, "sh", "t.sh")
    draft.add_run({"e.sh": f"{random} > metrics.json"}, "sh", "e.sh")
    draft.add_claim(0.91, mode=ClaimMode.EVALUATE, tolerance=Relative(within=1e-5))
    draft.claims[0] = replace(draft.claims[0], basis=Basis.DEFAULT)
    assumed = check(draft.write())
    assert assumed.verdict is Verdict.INCONCLUSIVE
    assert "the same weights gave another number each time" in assumed.reason
    draft.claims[0] = replace(draft.claims[0], basis=Basis.DECLARED)
    declared = check(draft.write())
    assert declared.verdict is Verdict.NOT_REPRODUCED


def test_a_wrong_number_is_wrong_twice(tmp_path: Path) -> None:
    draft = chain(tmp_path, packed="0.5")
    draft.claims[0] = replace(draft.claims[0], basis=Basis.DEFAULT, tolerance=Relative(within=1e-5))
    report = check(draft.write())
    assert report.verdict is Verdict.NOT_REPRODUCED
    assert report.claims[0].runs == (0.5, 0.5)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("true", "metrics.json: the run did not write it"),
        ("ln -s other.json metrics.json", "metrics.json: it is a link"),
        ("mkfifo metrics.json", "metrics.json: it is no file with content"),
        ("echo '{\"accuracy\":' > metrics.json", "metrics.json: not read for metrics: not JSON"),
        (
            'echo \'{"accuracy": 0.91, "accuracy": 0.91}\' > metrics.json',
            "metrics.json: not read for metrics: not JSON",
        ),
        ("echo '{}' > metrics.json", "the run gave no such number"),
    ],
)
def test_a_missing_number_is_said_with_its_reason(
    tmp_path: Path, command: str, reason: str
) -> None:
    draft = Draft(place=tmp_path)
    draft.add_run({"t.sh": command}, "sh", "t.sh")
    draft.add_claim(0.91, mode=ClaimMode.RETRAIN_SAME_SEED, tolerance=Exact())
    report = check(draft.write())
    assert report.verdict is Verdict.INCONCLUSIVE
    assert reason in report.reason
