# SPDX-License-Identifier: Apache-2.0
"""`verify --explain`: repeats a run with one setting changed at a time, and sees what changes.

A ranking of differences is a judgement; a rerun is evidence. If the numbers come out as recorded
once a setting is put back, that setting is *confirmed*; if they only change, it is *involved*; if
every bit stays, it is *excluded*. Settings are environment variables: threads, the instruction
sets that numerical libraries choose from, the seed of hashes; and the version of a package, where
the reader took another. Code, data and seeds are those of the record already, in every repetition.

The choice of trials and what follows from them are pure; `explain` is given the function that
repeats.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from repropack.model import Cause, CauseKind, Certainty, Environment, Machine, Metric

__all__ = ["RANDOMNESS", "Repeat", "Trial", "choose_trials", "explain", "same_numbers"]

MAX_TRIALS: Final = 6
"""Reruns of one explanation, the unchanged one included: each may take as long as the run."""

TIME_FACTOR: Final = 6
TIME_MINIMUM: Final = 600.0
"""Seconds: no new trial starts after six times as long as the first repetition took, and not
before ten minutes."""

RANDOMNESS: Final = "randomness that no recorded seed fixes"

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_AVX512: Final = "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
"""What numpy calls them; it warns about and ignores what it does not have."""

_WITHOUT_AVX512: Final = {
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": _AVX512,
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
_WITHOUT_AVX: Final = {
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": f"AVX2 FMA3 {_AVX512}",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
}


class Trial(Struct, frozen=True, kw_only=True):
    """A setting to change.

    Attributes:
        subject: The cause that it speaks for.
        value: What it is changed to, in a few words.
        settings: The variables that change it.
        package: The package that has its recorded version again. Without both the run is repeated
            as it was.
    """

    kind: CauseKind
    subject: str
    value: str
    settings: dict[str, str] = {}
    package: str = ""

    @property
    def unchanged(self) -> bool:
        """Whether the run is repeated as it was."""
        return not self.settings and not self.package


Repeat = Callable[[Trial], tuple[tuple[Metric, ...], bool] | None]
"""Repeats with one setting changed. Returns the metrics, and whether the claims hold; None where
that could not be done, or did not come to its end."""


_UNCHANGED: Final = Trial(kind=CauseKind.SETTING, subject=RANDOMNESS, value="nothing changed")


def choose_trials(
    recorded: Environment,
    here: Machine,
    variables: dict[str, str],
    numerics: Mapping[str, Mapping[str, str]] | None = None,
    packages: Iterable[Cause] = (),
) -> tuple[Trial, ...]:
    """What is worth a rerun: an unchanged one first, then what the record says was different.

    Args:
        recorded: The environment as it was recorded.
        here: This machine.
        variables: Those of the repetition that is to be explained.
        numerics: The numerical settings of that repetition, where they are known: what was as
            recorded needs no rerun.
        packages: Those of which the reader took another version.
    """
    fresh = numerics or {}
    restored = (
        Trial(kind=one.kind, subject=one.subject, value=one.recorded, package=one.subject)
        for one in packages
    )
    trials = [_UNCHANGED, *restored, *_kernel_trials(recorded, here, variables, _cores(fresh))]
    then = _threads_by_library(recorded.numerics)
    counts = set(then.values())
    threads = min(counts)[:4] if len(counts) == 1 else str(recorded.machine.cpu_count or "")
    as_recorded = bool(then) and then == _threads_by_library(fresh)
    if not as_recorded and any(variables.get(name) != threads for name in _THREADS):
        if threads and threads not in ("0", "1"):
            trials.append(_threads(threads))
        if all(variables.get(name) != "1" for name in _THREADS):
            trials.append(_threads("1"))
    if recorded.python is not None and variables.get("PYTHONHASHSEED", "random") == "random":
        trials.append(
            Trial(
                kind=CauseKind.PLATFORM,
                subject="PYTHONHASHSEED",
                value="0",
                settings={"PYTHONHASHSEED": "0"},
            )
        )
    return tuple(trials[:MAX_TRIALS])


def _threads(count: str) -> Trial:
    return Trial(
        kind=CauseKind.KERNEL,
        subject="threads",
        value=count,
        settings=dict.fromkeys(_THREADS, count),
    )


def _kernel_trials(
    recorded: Environment, here: Machine, variables: dict[str, str], fresh: Set[str]
) -> Iterable[Trial]:
    """The recorded kernels where the record names them, else the next smaller instruction sets."""
    cores = _cores(recorded.numerics)
    # Two copies that chose other kernels cannot both be restored by one variable.
    core = next(iter(cores)) if len(cores) == 1 else ""
    if core.isalnum() and cores != fresh and variables.get("OPENBLAS_CORETYPE") != core:
        yield _instructions(f"OpenBLAS kernels {core}", {"OPENBLAS_CORETYPE": core})
    if recorded.machine.architecture != "x86_64" or here.architecture != "x86_64":
        return
    then, now = set(recorded.machine.cpu_flags), set(here.cpu_flags)
    for flag, name, settings in (
        ("avx512f", "AVX2 and no AVX-512", _WITHOUT_AVX512),
        ("avx2", "no AVX2", _WITHOUT_AVX),
    ):
        unchanged = all(variables.get(key) == value for key, value in settings.items())
        # An unknown processor had whatever this one has.
        if flag in now and not unchanged and (flag not in then or not then):
            yield _instructions(name, settings)


def _instructions(value: str, settings: dict[str, str]) -> Trial:
    return Trial(kind=CauseKind.KERNEL, subject="instruction sets", value=value, settings=settings)


def _cores(numerics: Mapping[str, Mapping[str, str]]) -> frozenset[str]:
    """The kernels that the copies of OpenBLAS chose."""
    return frozenset(
        settings.get("architecture", "")
        for library, settings in numerics.items()
        if "openblas" in library
    )


def _threads_by_library(numerics: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    return {
        library: settings["num_threads"]
        for library, settings in numerics.items()
        if settings.get("num_threads", "").isdecimal()
        and library.startswith(("torch", "threadpool ", "library "))
    }


def explain(
    causes: Sequence[Cause],
    trials: Iterable[Trial],
    fresh: tuple[Metric, ...],
    repeat: Repeat,
    *,
    seconds: float,
    tell: Callable[[str], None],
    restored: str = "the claimed numbers came out",
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Cause, ...]:
    """Repeats with one setting changed at a time, and sorts the causes by what came of it.

    Args:
        causes: The ranking so far.
        trials: From `choose_trials`; the first changes nothing.
        fresh: What the repetition gave that is to be explained.
        repeat: Repeats the run.
        seconds: How long that repetition took.
        tell: Told in words what is going on.
        restored: What it means that the repeated numbers hold, in words.
        clock: Monotonic seconds.

    Raises:
        RepropackError: As `repeat`.
    """
    until = clock() + max(TIME_MINIMUM, TIME_FACTOR * seconds)
    known = list(causes)
    for trial in trials:
        if clock() > until:
            tell("no time for another rerun")
            break
        what = (
            "once more, nothing changed" if trial.unchanged else f"{trial.subject}: {trial.value}"
        )
        tell(f"explaining by a rerun: {what}")
        outcome = repeat(trial)
        if outcome is None:
            continue
        metrics, hold = outcome
        changed = not same_numbers(fresh, metrics)
        if trial.unchanged and changed:
            # Where the same gives something else each time, no other rerun could be read.
            return _with(known, trial, Certainty.INVOLVED, "two reruns of the same differ")
        if hold and changed:
            why = f"with {trial.value}, {restored}"
            return _with(known, trial, Certainty.CONFIRMED, why)
        known = list(
            _with(
                known,
                trial,
                Certainty.INVOLVED if changed else Certainty.EXCLUDED,
                f"with {trial.value}, {'other numbers' if changed else 'the same bits'} came out",
            )
        )
    return tuple(known)


def same_numbers(one: Iterable[Metric], other: Iterable[Metric]) -> bool:
    """Whether two repetitions gave the same values, steps of curves included."""
    return {(m.source.identity, m.text, m.series) for m in one} == {
        (m.source.identity, m.text, m.series) for m in other
    }


_ORDER: Final = (
    Certainty.CONFIRMED,
    Certainty.INVOLVED,
    Certainty.LIKELY,
    Certainty.EXCLUDED,
)

_RELATED: Final = {
    "threads": ("processors", "num_threads", *_THREADS),
    "instruction sets": (
        "instruction sets",
        "processor",
        "architecture",
        "cpu_capability",
        *_WITHOUT_AVX512,
    ),
    RANDOMNESS: (RANDOMNESS,),
    "PYTHONHASHSEED": ("PYTHONHASHSEED",),
}
"""Which differences a trial speaks about: the last words of their subjects."""


def _related(trial: Trial) -> tuple[str, ...]:
    return _RELATED.get(trial.subject, (trial.subject,))


def _with(
    causes: Sequence[Cause], trial: Trial, certainty: Certainty, why: str
) -> tuple[Cause, ...]:
    """The causes after a trial. What it tried becomes a cause of its own."""
    known = next((c for c in causes if (c.kind, c.subject) == (trial.kind, trial.subject)), None)
    excluded = certainty is Certainty.EXCLUDED
    if excluded and known is not None and known.certainty is Certainty.INVOLVED:
        # Another value of the same setting did change the numbers.
        return tuple(causes)
    related = [c for c in causes if c.subject.endswith(_related(trial))]
    weight = max((cause.weight for cause in related), default=0.1)
    # The fact behind it, where one is known.
    fact = max(
        (c for c in related if c.recorded and c.present), key=lambda c: c.weight, default=None
    )
    kept = [
        replace(cause, weight=round(cause.weight / 2, 6))
        if excluded and cause in related
        else cause
        for cause in causes
        if cause is not known
    ]
    kept.append(
        Cause(
            kind=trial.kind,
            subject=trial.subject,
            recorded=fact.recorded if fact is not None else "",
            present=fact.present if fact is not None else "",
            weight=round(weight, 6),
            certainty=certainty,
            why=why,
        )
    )
    return tuple(sorted(kept, key=lambda c: (_ORDER.index(c.certainty), -c.weight)))
