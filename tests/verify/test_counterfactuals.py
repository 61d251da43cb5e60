# SPDX-License-Identifier: Apache-2.0
"""Reruns with one setting changed at a time: which are made, and what follows from them."""

from __future__ import annotations

from collections.abc import Callable

from repropack.model import (
    Cause,
    CauseKind,
    Certainty,
    Environment,
    Machine,
    Metric,
    MetricSource,
    Python,
)
from repropack.verify.counterfactuals import (
    MAX_TRIALS,
    RANDOMNESS,
    Trial,
    choose_trials,
    explain,
)

FRESH, RECORDED, OTHER = 0.90, 0.91, 0.89
CAUSES = (
    Cause(kind=CauseKind.KERNEL, subject="processors", recorded="2", present="8", weight=0.5),
    Cause(kind=CauseKind.SETTING, subject=RANDOMNESS, recorded="", present="", weight=0.24),
)
UNCHANGED = Trial(kind=CauseKind.SETTING, subject=RANDOMNESS, value="nothing changed")
THREADS = Trial(
    kind=CauseKind.KERNEL, subject="threads", value="2", settings={"OMP_NUM_THREADS": "2"}
)
ONE_THREAD = Trial(
    kind=CauseKind.KERNEL, subject="threads", value="1", settings={"OMP_NUM_THREADS": "1"}
)
HASHES = Trial(
    kind=CauseKind.PLATFORM,
    subject="PYTHONHASHSEED",
    value="0",
    settings={"PYTHONHASHSEED": "0"},
)


def metrics(value: float) -> tuple[Metric, ...]:
    source = MetricSource(importer="json", path="{project}/m.json", key="/accuracy")
    return (Metric(name="accuracy", value=value, text=repr(value), source=source),)


def world(law: Callable[[dict[str, str]], float | None]) -> object:
    """A run whose number follows from its variables."""

    def repeat(trial: Trial) -> tuple[tuple[Metric, ...], bool] | None:
        value = law(trial.settings)
        return None if value is None else (metrics(value), value == RECORDED)

    return repeat


def explained(
    law: Callable[[dict[str, str]], float | None], *trials: Trial, clock: object = lambda: 0.0
) -> dict[str, Certainty]:
    causes = explain(
        CAUSES,
        trials,
        metrics(FRESH),
        world(law),  # type: ignore[arg-type]
        seconds=1.0,
        tell=lambda _: None,
        clock=clock,  # type: ignore[arg-type]
    )
    assert len({(c.kind, c.subject) for c in causes}) == len(causes)
    return {cause.subject: cause.certainty for cause in causes}


def test_a_setting_that_restores_the_numbers_is_confirmed_and_first() -> None:
    found = explained(
        lambda s: RECORDED if s.get("OMP_NUM_THREADS") == "2" else FRESH, UNCHANGED, THREADS, HASHES
    )
    assert next(iter(found.items())) == ("threads", Certainty.CONFIRMED)
    assert found[RANDOMNESS] is Certainty.EXCLUDED
    assert "PYTHONHASHSEED" not in found, "nothing more is tried once the cause is known"


def test_a_setting_that_only_changes_the_numbers_is_involved() -> None:
    found = explained(
        lambda s: OTHER if s.get("OMP_NUM_THREADS") == "1" else FRESH,
        UNCHANGED,
        THREADS,
        ONE_THREAD,
    )
    assert next(iter(found.items())) == ("threads", Certainty.INVOLVED)


def test_a_random_run_is_found_out_and_nothing_else_is_tried() -> None:
    tried: list[dict[str, str]] = []

    def law(settings: dict[str, str]) -> float:
        tried.append(settings)
        return OTHER

    assert explained(law, UNCHANGED, THREADS)[RANDOMNESS] is Certainty.INVOLVED
    assert tried == [{}]


def test_luck_of_an_unchanged_rerun_confirms_nothing() -> None:
    assert explained(lambda _: RECORDED, UNCHANGED)[RANDOMNESS] is Certainty.INVOLVED


def test_a_setting_without_effect_is_excluded_and_comes_last() -> None:
    found = explained(lambda _: FRESH, UNCHANGED, THREADS, HASHES)
    assert set(found.values()) == {Certainty.EXCLUDED, Certainty.LIKELY}
    assert next(iter(found)) == "processors"


def test_a_rerun_that_fails_says_nothing() -> None:
    assert explained(lambda s: None if s else FRESH, UNCHANGED, THREADS)["processors"] is (
        Certainty.LIKELY
    )


def test_no_trial_begins_after_the_time_is_over() -> None:
    times = iter((0.0, 1.0, 10_000.0))
    found = explained(lambda _: FRESH, UNCHANGED, THREADS, clock=lambda: next(times))
    assert "threads" not in found


def environment(**fields: object) -> Environment:
    machine = Machine(system="Linux", architecture="x86_64", cpu_count=4, cpu_flags=("avx2",))
    return Environment(
        version=1,
        machine=machine,
        python=Python(implementation="cpython", version="3.11.7", cache_tag="x"),
        **fields,  # type: ignore[arg-type]
    )


HERE = Machine(system="Linux", architecture="x86_64", cpu_count=8, cpu_flags=("avx2", "avx512f"))


def test_what_is_tried_follows_from_the_record() -> None:
    trials = choose_trials(
        environment(
            numerics={"threadpool libopenblas": {"num_threads": "3", "architecture": "Haswell"}}
        ),
        HERE,
        {},
    )
    assert len(trials) <= MAX_TRIALS
    assert trials[0].settings == {}
    values = [(trial.subject, trial.value) for trial in trials[1:]]
    assert values == [
        ("instruction sets", "OpenBLAS kernels Haswell"),
        ("instruction sets", "AVX2 and no AVX-512"),
        ("threads", "3"),
        ("threads", "1"),
        ("PYTHONHASHSEED", "0"),
    ]


def test_what_is_as_recorded_already_is_not_tried() -> None:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    variables = {**dict.fromkeys(names, "4"), "PYTHONHASHSEED": "0"}
    same = Machine(system="Linux", architecture="x86_64", cpu_count=4, cpu_flags=("avx2",))
    trials = choose_trials(environment(), same, variables)
    assert [trial.value for trial in trials] == ["nothing changed"]


def test_a_hostile_record_cannot_choose_what_a_variable_holds() -> None:
    trials = choose_trials(
        environment(
            numerics={
                "threadpool libopenblas": {"num_threads": "9" * 500, "architecture": "x; rm -rf /"}
            }
        ),
        HERE,
        {},
    )
    for trial in trials:
        assert all(len(value) <= 100 and ";" not in value for value in trial.settings.values())


def test_what_was_as_recorded_needs_no_rerun() -> None:
    blas = {"num_threads": "4", "architecture": "Haswell"}
    recorded = Environment(
        version=1,
        machine=Machine(system="Linux", architecture="aarch64", cpu_count=4),
        numerics={"threadpool openblas": blas},
    )

    def subjects(numerics: dict[str, dict[str, str]] | None) -> set[str]:
        return {t.subject for t in choose_trials(recorded, recorded.machine, {}, numerics)}

    assert subjects(None) == {RANDOMNESS, "threads", "instruction sets"}
    assert subjects({"threadpool openblas": blas}) == {RANDOMNESS}
    assert subjects({"threadpool openblas": {**blas, "num_threads": "2"}}) == {
        RANDOMNESS,
        "threads",
    }
    assert subjects({"threadpool openblas": {**blas, "architecture": "Zen"}}) == {
        RANDOMNESS,
        "instruction sets",
    }


def test_a_confirmed_cause_has_the_fact_behind_it() -> None:
    causes = explain(
        CAUSES,
        (UNCHANGED, THREADS),
        metrics(FRESH),
        world(lambda s: RECORDED if s else FRESH),  # type: ignore[arg-type]
        seconds=1.0,
        tell=lambda _: None,
    )
    first = causes[0]
    assert (first.subject, first.certainty) == ("threads", Certainty.CONFIRMED)
    assert (first.recorded, first.present) == ("2", "8")
