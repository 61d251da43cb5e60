# SPDX-License-Identifier: Apache-2.0
"""What `verify` says about why: curves of the repetition, differences, reruns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from repropack import canonical
from repropack.importers.series import series
from repropack.model import (
    CauseKind,
    Certainty,
    Environment,
    Machine,
    Metric,
    MetricSet,
    MetricSource,
    Report,
    Verdict,
)
from repropack.verify import Mode
from repropack.verify.counterfactuals import RANDOMNESS
from tests.verify.release_builder import Draft, chain, check, metrics, simple

LOSSES = MetricSource(importer="table", path="{project}/loss.csv", key="loss")


def with_curve(draft: Draft, *values: float, run: int | None = None) -> Draft:
    """The release, with a curve that its last run, or another, is said to have had."""
    recorded = Metric(
        name="loss",
        value=values[-1],
        text=repr(values[-1]),
        source=LOSSES,
        series=series(list(enumerate(values))),
    )
    number = run or len(draft.runs)
    document = canonical.encode(MetricSet(version=1, metrics=(recorded,)))
    draft.edits[f"runs/{number}/metrics.json"] = lambda _: document
    return draft


def curve_script(*values: float) -> str:
    rows = "\\n".join(f"{step},{value!r}" for step, value in enumerate(values))
    return f"printf 'step,loss\\n{rows}\\n' > loss.csv\n"


def causes(report: Report) -> dict[str, Certainty]:
    return {cause.subject: cause.certainty for cause in report.causes}


@pytest.mark.parametrize("mode", [Mode.EVALUATE, Mode.RETRAIN])
def test_recorded_and_fresh_curves_are_compared(tmp_path: Path, mode: Mode) -> None:
    script = metrics("0.5") + curve_script(1.0, 0.5, 0.26)
    report = check(with_curve(simple(tmp_path, script), 1.0, 0.5, 0.25).write(), mode=mode)
    (curve,) = report.curves
    assert (curve.metric, curve.run, curve.path) == ("loss", 1, "{project}/loss.csv")
    assert curve.first is not None
    assert (curve.first.index, curve.first.step) == (2, 2.0)
    assert report.verdict is Verdict.NOT_REPRODUCED
    assert report.causes


def test_a_curve_that_lay_there_before_is_not_the_runs_own(tmp_path: Path) -> None:
    files = {"loss.csv": "step,loss\n0,1.0\n1,0.5\n"}
    draft = simple(tmp_path, metrics("0.91"), files=files)
    report = check(with_curve(draft, 1.0, 0.5).write())
    assert report.verdict is Verdict.REPRODUCED
    assert not report.curves


def test_nothing_is_explained_where_nothing_differs(tmp_path: Path) -> None:
    script = metrics("0.91") + curve_script(1.0, 0.5)
    report = check(with_curve(simple(tmp_path, script), 1.0, 0.5).write(), explain=True)
    assert report.verdict is Verdict.REPRODUCED
    assert [curve.first for curve in report.curves] == [None]
    assert not report.causes
    assert "explanation" not in {step.name for step in report.steps}


def test_the_machine_is_a_likely_cause_and_no_more(tmp_path: Path) -> None:
    draft = simple(tmp_path, metrics("0.5"))
    elsewhere = Machine(system="Linux", architecture="x86_64", cpu="i486", accelerators=("H100",))
    draft.environments["environment"] = Environment(version=1, machine=elsewhere)
    report = check(draft.write())
    assert report.causes[0].kind is CauseKind.DEVICE
    assert causes(report)["processor"] is Certainty.LIKELY
    assert causes(report)[RANDOMNESS] is Certainty.LIKELY


def test_threads_are_confirmed_by_a_rerun(tmp_path: Path) -> None:
    script = f'if [ "$OMP_NUM_THREADS" = 1 ]; then\n{metrics("0.91")}else\n{metrics("0.5")}fi\n'
    bundle = simple(tmp_path, script).write()
    report = check(bundle, explain=True)
    assert report.verdict is Verdict.NOT_REPRODUCED, "an explanation changes no verdict"
    assert (report.causes[0].subject, report.causes[0].certainty) == (
        "threads",
        Certainty.CONFIRMED,
    )
    assert causes(report)[RANDOMNESS] is Certainty.EXCLUDED
    step = next(step for step in report.steps if step.name == "explanation")
    assert step.summary == "confirmed by a rerun: threads"
    assert check(bundle).causes[0].certainty is not Certainty.CONFIRMED


def test_a_run_that_draws_at_random_is_found_out(tmp_path: Path) -> None:
    script = "n=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')\n" + metrics("0.'$n'")
    report = check(simple(tmp_path, script).write(), explain=True)
    assert report.verdict is Verdict.NOT_REPRODUCED
    assert (report.causes[0].subject, report.causes[0].certainty) == (
        RANDOMNESS,
        Certainty.INVOLVED,
    )


def test_a_number_that_is_simply_wrong_is_not_explained_away(tmp_path: Path) -> None:
    report = check(simple(tmp_path, metrics("0.5")).write(), explain=True)
    assert set(causes(report).values()) <= {Certainty.EXCLUDED, Certainty.LIKELY}
    step = next(step for step in report.steps if step.name == "explanation")
    assert step.summary == "no setting that was tried changed the numbers"


def test_a_hostile_curve_is_shown_and_nothing_more(tmp_path: Path) -> None:
    draft = simple(tmp_path, metrics("0.5") + curve_script(1.0, 2.0))
    name = "\x1b[2J<script>"
    recorded = Metric(
        name=name, value=1.0, text="1", source=LOSSES, series=series([(0, 1.0), (1, 3.0)])
    )
    document = json.loads(canonical.encode(MetricSet(version=1, metrics=(recorded,))))
    document["metrics"][0]["series"] |= {"first": 1e308, "stride": 1e308}
    draft.edits["runs/1/metrics.json"] = lambda _: document
    report = check(draft.write())
    (curve,) = report.curves
    assert "\x1b" not in curve.metric
    assert replace(curve, metric="").compared == 1


SLOW = """
printf 'step,loss\\n0,1.0\\n' > loss.csv
if [ "$OMP_NUM_THREADS" = 1 ]; then echo 1,0.5 >> loss.csv; else echo 1,0.75 >> loss.csv; fi
echo 2,0.25 >> loss.csv
sleep 3
echo at the end
"""
"""Parts from its record at the second step, and goes on for a while."""


def heard(bundle: Path, **options: Any) -> tuple[Report, str]:
    said: list[bytes] = []
    report = check(bundle, live=lambda _, data: said.append(data), **options)
    return report, b"".join(said).decode()


def test_a_rerun_ends_where_the_curves_part(tmp_path: Path) -> None:
    draft = with_curve(simple(tmp_path, SLOW + metrics("0.5")), 1.0, 0.5, 0.25)
    report, said = heard(draft.write(), explain=True)
    assert report.verdict is Verdict.NOT_REPRODUCED
    assert said.count("at the end") == 1, "only the repetition itself"
    first = report.causes[0]
    assert (first.subject, first.certainty) == ("threads", Certainty.CONFIRMED)
    assert "the first 2 values of loss came out as recorded" in first.why
    assert causes(report)[RANDOMNESS] is Certainty.EXCLUDED


def test_runs_behind_the_one_that_parts_are_not_repeated(tmp_path: Path) -> None:
    train = "mkdir -p out; echo 0.5 > out/model\n" + curve_script(1.0, 0.75, 0.5)
    draft = chain(tmp_path, made="0.5", train=train)
    with_curve(draft, 1.0, 0.5, 0.5, run=1)
    report, said = heard(draft.write(), explain=True, mode=Mode.RETRAIN)
    assert report.verdict is Verdict.NOT_REPRODUCED
    assert report.curves[0].run == 1
    assert said.count("accuracy: 0.5") == 1


def test_a_curve_that_lay_there_before_ends_no_rerun(tmp_path: Path) -> None:
    files = {"loss.csv": "step,loss\n0,1.0\n1,0.5\n2,0.25\n3,0.25\n"}
    draft = with_curve(simple(tmp_path, SLOW + metrics("0.5"), files=files), 1.0, 0.5, 0.25)
    report, said = heard(draft.write(), explain=True)
    assert causes(report)["threads"] is Certainty.CONFIRMED
    assert said.count("at the end") > 1
