# SPDX-License-Identifier: Apache-2.0
"""Why a repetition gave other numbers: what verify observed, brought to the diagnosis.

A repetition restores code, data, packages, arguments and variables, or does not run at all. What
can still differ is the machine, what the environment could not restore, and whatever the run draws
at random without a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from repropack.environment.coarsening import coarse_machine
from repropack.environment.machine import allowed_variables, describe_machine
from repropack.escaping import show
from repropack.model import (
    Cause,
    CauseKind,
    Claim,
    ClaimResult,
    CurveComparison,
    Difference,
    Environment,
    Machine,
    Metric,
    Verdict,
)
from repropack.verify.conditions import Conditions, RepetitionFailedError
from repropack.verify.counterfactuals import (
    RANDOMNESS,
    Trial,
    choose_trials,
    explain,
    same_numbers,
)
from repropack.verify.curves import MAX_CURVES, compare_curves
from repropack.verify.diagnosis import (
    PRIORS,
    UNUSED,
    Facts,
    Signature,
    differences,
    facts_of,
    rank,
    signature_of,
)
from repropack.verify.early_end import Parting, find_parting, up_to
from repropack.verify.environments import NOT_INSTALLED, BuiltEnvironment, EnvironmentsOutcome
from repropack.verify.repetition import Repeated, repeat_runs
from repropack.verify.workspace import remove_tree

__all__ = ["causes_of", "curves_of", "explain_by_reruns"]

UNSEEDED: Final = 0.24
"""The weight of randomness that nothing recorded fixes: all seeds that are known are restored, so
it is likelier than another processor, and less likely than another BLAS."""

TRIAL_FACTOR: Final = 3.0
TRIAL_MINIMUM: Final = 60.0
"""Seconds: a rerun that takes three times as long as the repetition says nothing; one minute it
always has."""

SPREAD: Final = "the spread of the seeds"
"""The likeliest cause where each run has a seed of its own: too narrow an interval."""

Build = Callable[[Path, Mapping[str, str]], EnvironmentsOutcome]
"""Makes the environments below a directory, with other versions of some packages."""

Judge = Callable[[tuple[Metric, ...]], Sequence[ClaimResult]]


def curves_of(repeated: Repeated) -> tuple[CurveComparison, ...]:
    """The recorded and the fresh curves of all repeated runs; those that part come first."""
    found = [
        curve
        for one in (*repeated.earlier, repeated)
        for curve in compare_curves(one.run.number, one.recorded, one.metrics)
    ]
    found.sort(key=lambda curve: curve.first is None)
    return tuple(found[:MAX_CURVES])


def causes_of(
    conditions: Conditions,
    repeated: Repeated,
    observed: Sequence[Difference],
    curves: Sequence[CurveComparison],
    variables: Mapping[str, str],
    *,
    new_seeds: bool = False,
    versions: Collection[str] = (),
    no_number: bool = False,
) -> tuple[Cause, ...]:
    """What may explain other numbers, the likeliest first.

    Args:
        conditions: What the repetition worked with.
        repeated: What it gave.
        observed: What could not be restored.
        curves: From `curves_of`.
        variables: The reader's environment variables.
        new_seeds: Whether it had another seed on purpose: then the seed is no cause, and where the
            curves part says nothing.
        versions: The packages of which the reader took another version: what she changed on purpose
            is likelier than what is there anyway, if the run used it.
        no_number: Whether what is wrong is only that numbers are missing: no chance explains that.
    """
    here = describe_machine(variables)
    if conditions.release.anonymous:
        here = coarse_machine(here)
    signature = Signature() if new_seeds else signature_of(curves)
    found: dict[tuple[str, str, str], Cause] = {}
    for one in (*repeated.earlier, repeated):
        environment = _recorded(conditions, one)
        then = _facts(one, environment, environment.machine)
        now = environment
        if one.numerics is not None:
            # By fact: what this repetition said of its threads, kernels and frameworks.
            now = replace(environment, numerics=one.numerics)
        for cause in differences(then, _present(one, now, here, observed)):
            if not (new_seeds and cause.kind is CauseKind.SETTING):
                found.setdefault((cause.subject, cause.recorded, cause.present), cause)
    for place, cause in found.items():
        if cause.subject in versions and cause.weight > UNUSED:
            changed = max(cause.weight, PRIORS[CauseKind.SETTING] + cause.weight / 10)
            found[place] = replace(cause, weight=round(changed, 6))
    if no_number:
        return rank(found.values(), signature)
    unseeded = Cause(
        kind=CauseKind.SETTING,
        subject=RANDOMNESS,
        recorded="",
        present="",
        weight=UNSEEDED,
        why="every recorded seed, argument and variable was restored",
    )
    if new_seeds:
        unseeded = replace(
            unseeded,
            subject=SPREAD,
            weight=PRIORS[CauseKind.SETTING],
            why="the recorded seeds may be too few, or chosen, to show how much others differ",
        )
    # A difference in the last bits is no other draw.
    return rank([*found.values(), unseeded], signature)


def explain_by_reruns(
    conditions: Conditions,
    repeated: Repeated,
    causes: Sequence[Cause],
    claims: tuple[Claim, ...],
    judge: Judge,
    variables: Mapping[str, str],
    *,
    retrain: bool,
    versions: Mapping[str, str],
    build: Build,
) -> tuple[Cause, ...]:
    """Sorts the causes by reruns with one setting changed at a time.

    Args:
        conditions: What the repetition worked with.
        repeated: What it gave.
        causes: From `causes_of`.
        claims: What was compared.
        judge: Judges them by the metrics of one repetition.
        variables: The reader's environment variables.
        retrain: Whether the whole chain is repeated.
        versions: The packages of which the reader took another version than the recorded one.
        build: Makes the environments again.

    Raises:
        RepropackError: The work directory cannot be used, or has no room.
    """
    number = 0
    whole = (*repeated.earlier, repeated)
    seconds = sum(one.seconds for one in whole)
    parting = find_parting((o.run.number, o.recorded, o.metrics) for o in whole)

    def repeat(trial: Trial) -> tuple[tuple[Metric, ...], bool] | None:
        nonlocal number
        number += 1
        work = conditions.work / f"explain-{number}"
        work.mkdir()
        environments: dict[str, BuiltEnvironment] | None = conditions.environments
        if trial.package:
            environments = _with_recorded(trial.package, versions, build, work, conditions.tell)
        if environments is None:
            remove_tree(work)
            return None
        usual = max(TRIAL_MINIMUM, TRIAL_FACTOR * seconds)
        changed = replace(
            conditions,
            work=work,
            environments=environments,
            settings=trial.settings,
            parting=parting,
            wall_seconds=min(conditions.wall_seconds or usual, usual),
        )
        try:
            again = repeat_runs(changed, retrain=retrain, claims=claims)
        except RepetitionFailedError:
            return None
        finally:
            remove_tree(work)
        if parting is None:
            hold = all(result.verdict is Verdict.REPRODUCED for result in judge(again.metrics))
            return _all_metrics(again), hold
        now = _curve_of(again, parting)
        return None if now is None else ((now,), same_numbers((now,), (parting.metric,)))

    trials = choose_trials(
        _recorded(conditions, repeated),
        describe_machine(variables),
        repeated.variables,
        repeated.numerics,
        [cause for cause in causes if cause.subject in versions],
    )
    return explain(
        causes,
        trials,
        _all_metrics(repeated) if parting is None else (parting.fresh,),
        repeat,
        seconds=seconds,
        tell=conditions.tell,
        restored="the claimed numbers came out"
        if parting is None
        else f"{show(parting.what)} came out as recorded",
    )


def _with_recorded(
    package: str,
    versions: Mapping[str, str],
    build: Build,
    place: Path,
    tell: Callable[[str], None],
) -> dict[str, BuiltEnvironment] | None:
    """The environments with one package as it was recorded; None where it is not to be had."""
    target = place / "environments"
    target.mkdir()
    outcome = build(target, {name: one for name, one in versions.items() if name != package})
    if outcome.built is None:
        tell(f"no rerun with the recorded {package}: {outcome.findings[-1].found}")
    return outcome.built


def _curve_of(again: Repeated, parting: Parting) -> Metric | None:
    """The curve of a rerun up to the step where the first repetition parted."""
    wanted = parting.metric.source.identity
    found = next((m for m in again.metrics if m.source.identity == wanted), None)
    return None if found is None else up_to(found, parting.length)


def _all_metrics(repeated: Repeated) -> tuple[Metric, ...]:
    return tuple(m for one in (*repeated.earlier, repeated) for m in one.metrics)


def _recorded(conditions: Conditions, repeated: Repeated) -> Environment:
    return conditions.environments[repeated.run.packed.environment].recorded


def _facts(repeated: Repeated, environment: Environment, machine: Machine) -> Facts:
    record = repeated.run.packed.record
    digests = {segment.environment for segment in record.segments} - {None}
    return facts_of(record, {each: environment for each in digests if each}, machine=machine)


def _present(
    repeated: Repeated, environment: Environment, here: Machine, observed: Sequence[Difference]
) -> Facts:
    """The facts of the repetition: as recorded, but for the machine and what was not restored."""
    then = environment.machine
    # These two come from variables, and the recorded variables were set.
    present = _facts(
        repeated, environment, replace(here, locale=then.locale, timezone=then.timezone)
    )
    for segment in repeated.run.packed.record.segments:
        for name in segment.invocation.variables:
            if name not in allowed_variables(repeated.variables):
                for facts in (present.kernels, present.devices, present.platform, present.others):
                    facts.pop(name, None)
    for difference in observed:
        if difference.subject == "Python" and environment.python is not None:
            implementation = environment.python.implementation
            present.platform["Python"] = f"{implementation} {difference.present}"
        elif present.packages.get(difference.subject) == difference.recorded:
            if difference.present == NOT_INSTALLED:
                del present.packages[difference.subject]
            else:
                present.packages[difference.subject] = difference.present
    return present
