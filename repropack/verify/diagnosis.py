# SPDX-License-Identifier: Apache-2.0
"""Why two executions of a run gave other numbers: what differs, the likeliest cause first.

Pure. `facts_of` takes from records what can change a number; `differences` compares two such sets;
`rank` orders them by kind, by size and by how the curves part. A rank is a judgement, so a report
says "most likely"; only a rerun with one setting restored makes it "confirmed"
(`repropack.verify.counterfactuals`).

The order of the kinds and the use of the curves: identical digests leave no doubt and different
ones explain everything; a seed changes the first step by much; kernels, threads and versions change
it in the last bits, and that grows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from msgspec import Struct, structs
from packaging.version import InvalidVersion, Version

from repropack.escaping import show
from repropack.model import (
    Cause,
    CauseKind,
    CurveComparison,
    Distribution,
    Environment,
    Machine,
    RunRecord,
    Segment,
)

__all__ = ["Facts", "Signature", "diagnose", "differences", "facts_of", "rank", "signature_of"]

NUMERICS: Final = (
    "torch",
    "jax",
    "jaxlib",
    "tensorflow",
    "numpy",
    "scipy",
    "scikit-learn",
    "xgboost",
    "lightgbm",
    "catboost",
    "triton",
    "flash-attn",
    "xformers",
    "transformers",
    "tokenizers",
    "datasets",
    "torchvision",
    "torchaudio",
    "keras",
    "flax",
    "optax",
    "numba",
    "statsmodels",
    "albumentations",
    "opencv-python",
    "opencv-python-headless",
    "pillow",
    "pandas",
    "pyarrow",
    "polars",
)
"""Packages whose version changes numbers, those that change most of them first."""

PRIORS: Final = {
    CauseKind.ARTEFACT: 1.0,
    CauseKind.OUTCOME: 0.9,
    CauseKind.SETTING: 0.8,
    CauseKind.NUMERICS: 0.6,
    CauseKind.DEVICE: 0.45,
    CauseKind.KERNEL: 0.35,
    CauseKind.PLATFORM: 0.2,
    CauseKind.OTHER: 0.1,
}
"""How likely each kind is before the curves are looked at: the order is what matters."""

EARLY: Final = 1e-4
"""A first step that differs by more than this: the computation began differently."""

ROUNDING: Final = 1e-5
"""A first difference that is no larger than this comes from the order of additions."""

UNUSED: Final = 0.001
"""What is left of a package that the run never imported: it comes last, whatever it is."""

LONG: Final = 100
"""Characters of a value that is shown whole."""

MAX_CAUSES: Final = 60
"""Causes that a report holds: beyond the first few they only say that much differs."""

_KERNEL_VARIABLE: Final = re.compile(
    r"(?:OMP|OPENBLAS|MKL|BLIS|KMP|GOMP|NUMEXPR|VECLIB|ATEN|ONEDNN|DNNL|NPY)_.*"
)
_DEVICE_VARIABLE: Final = re.compile(
    r"(?:CUDA|CUBLAS|NCCL|NVIDIA|XLA|TF|JAX|PYTORCH|TORCH)_.*|WORLD_SIZE|RANK|LOCAL_RANK"
)
_PLATFORM_VARIABLE: Final = re.compile(r"LANG|LC_.*|TZ|PYTHON(?:HASHSEED|UTF8|OPTIMIZE|WARNINGS)")
_KERNEL_SETTING: Final = re.compile(
    r"threadpool .*"
    r"|.* (?:num_threads|num_interop_threads|cpu_capability|\w+_op_threads|parallel|config)"
)
_VARIABLE: Final = re.compile(r"[A-Z][A-Z0-9_]*(?: \(|$)")
_FOR_PEOPLE: Final = re.compile(
    r"/(?:LICEN[CS]E|README|CHANGELOG|CITATION|NOTICE|AUTHORS)[^/]*$|\.(?:md|rst|tex|bib)$"
    r"|/\.gitignore$|/repropack\.yaml$"
)
"""Files of the code that no training reads, and what this program is told by."""

_LOADER: Final = "torch.utils.data.DataLoader"
"""Numbers of workers, batches and their order are settings of the training, like its arguments."""

_FRAMEWORKS: Final = ("numpy", "scipy", "sklearn", "torch", "jax", "tensorflow")
"""Modules that a record has settings of; their versions stand among the packages already."""
_SEED: Final = re.compile(r"(?i).*(?:seed|random[_-]?state)")
_MEMBER: Final = re.compile(r"-{1,2}([A-Za-z][\w.-]*)=(.*)|([A-Za-z][\w./-]*)=(.*)", re.DOTALL)


_IN: Final = " in "
"""Between a package or a setting and the further environment that it is of."""

_Size: TypeAlias = Callable[[str, str, str], float]
"""Subject, recorded and present value to the share of the kind's prior; 0 for no cause."""


class Facts(Struct, frozen=True, kw_only=True):
    """What is known of one execution and can change a number; each is subject to text.

    Attributes:
        artefacts: Digests of what it read, of trees of code too.
        outcome: How it ended.
        settings: Arguments of the command and what decides which of them apply.
        packages: Installed distributions by normalised name.
        builds: By the same names, which build of its version each is: the tags of its wheel, or
            where else it is from. A version alone does not tell two wheels apart.
        wheels: By the same names, the digest of the wheel, where the installer kept it.
        imported: Those that the run imported; None where that is not known.
        devices: Accelerators, drivers, and settings of these.
        kernels: Threads, BLAS, instruction sets, and variables that choose them.
        platform: Python, libc, locale, time zone, hash seed.
        others: Anything else.
    """

    artefacts: dict[str, str] = {}
    outcome: dict[str, str] = {}
    settings: dict[str, str] = {}
    packages: dict[str, str] = {}
    builds: dict[str, str] = {}
    wheels: dict[str, str] = {}
    imported: frozenset[str] | None = None
    devices: dict[str, str] = {}
    kernels: dict[str, str] = {}
    platform: dict[str, str] = {}
    others: dict[str, str] = {}


class Signature(Struct, frozen=True, kw_only=True):
    """How the curves of a run part.

    Attributes:
        at_start: The first compared step differs.
        relative: By how much, at the first step that differs; None where no step does.
        steps_differ: The curves do not have the same steps.
        jump: They part all at once, after they had been near each other.
    """

    at_start: bool = False
    relative: float | None = None
    steps_differ: bool = False
    jump: bool = False


# ---------------------------------------------------------------- facts


def facts_of(
    record: RunRecord,
    environments: Mapping[str, Environment],
    *,
    machine: Machine | None = None,
    further: Mapping[str, Environment] = MappingProxyType({}),
) -> Facts:
    """What a record says.

    Args:
        record: The run.
        environments: By digest, as its segments name them.
        machine: Another machine than the recorded one.
        further: Other environments of the last segment, by a name: their packages and settings are
            subjects of their own.
    """
    facts = Facts()
    written = {product.path for segment in record.segments for product in segment.products}
    for number, segment in enumerate(record.segments):
        suffix = f" (execution {number + 1})" if number else ""
        _artefacts(segment, written, facts)
        _settings(segment, suffix, facts)
        facts.outcome["exit" + suffix] = (
            segment.outcome.signal or f"status {segment.outcome.status}"
        )
    environment = environments.get(record.segments[-1].environment or "")
    if environment is not None:
        facts = _with_environment(facts, environment, machine or environment.machine)
    for name, other in further.items():
        facts = _with_further(facts, name, other)
    return facts


def _with_further(facts: Facts, place: str, environment: Environment) -> Facts:
    """Adds what a further environment has; the machine is that of the first."""
    nowhere = Machine(system="", architecture="")
    alone = _with_environment(Facts(), environment, nowhere)
    bare = _with_environment(Facts(), structs.replace(environment, numerics={}), nowhere)

    def placed(values: Mapping[str, str]) -> dict[str, str]:
        return {f"{subject}{_IN}{place}": value for subject, value in values.items()}

    def settings(values: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
        return placed({name: value for name, value in values.items() if name not in others})

    imported = frozenset(f"{name}{_IN}{place}" for name in alone.imported or ())
    return structs.replace(
        facts,
        settings={**facts.settings, **placed(alone.settings)},
        packages={**facts.packages, **placed(alone.packages)},
        builds={**facts.builds, **placed(alone.builds)},
        wheels={**facts.wheels, **placed(alone.wheels)},
        imported=None if facts.imported is None else facts.imported | imported,
        devices={**facts.devices, **settings(alone.devices, bare.devices)},
        kernels={**facts.kernels, **settings(alone.kernels, bare.kernels)},
        platform={**facts.platform, **placed({"Python": alone.platform["Python"]})},
    )


def _artefacts(segment: Segment, written: set[str], facts: Facts) -> None:
    if segment.source is not None:
        facts.artefacts["the project's code"] = f"tree {segment.source.tree}"
    for root in segment.roots:
        facts.artefacts[f"code {root.root}"] = f"tree {root.source.tree}"
    for material in segment.materials:
        # A log or checkpoint that the run itself goes on with is a result, and no cause.
        if material.path not in written:
            digest = material.sha256
            facts.artefacts[material.path] = (
                "unknown" if digest is None else f"sha256:{digest[:12]}"
            )


def _settings(segment: Segment, suffix: str, facts: Facts) -> None:
    for name, value in _options(segment.invocation.argv):
        facts.settings[name + suffix] = value
    facts.settings["directory" + suffix] = segment.invocation.directory
    for name, value in segment.invocation.variables.items():
        _place_variable(name, value, suffix, facts)


def _place_variable(name: str, value: str, suffix: str, facts: Facts) -> None:
    if _PLATFORM_VARIABLE.fullmatch(name):
        place = facts.platform
    elif _SEED.fullmatch(name):
        place = facts.settings
    elif _KERNEL_VARIABLE.fullmatch(name):
        place = facts.kernels
    elif _DEVICE_VARIABLE.fullmatch(name):
        place = facts.devices
    else:
        place = facts.others
    place[name + suffix] = value


def _options(argv: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Arguments by name where they have one, so that one more of them shifts no other."""
    position = 0
    seen: dict[str, int] = {}

    def numbered(name: str) -> str:
        seen[name] = seen.get(name, 0) + 1
        return name if seen[name] == 1 else f"{name} ({seen[name]})"

    waiting: str | None = None
    for argument in argv:
        match = _MEMBER.fullmatch(argument)
        option = argument.startswith("-") and len(argument) > 1 and not _is_number(argument)
        if waiting is not None:
            if match or option:
                yield numbered(waiting), "given"
            else:
                yield numbered(waiting), argument
                waiting = None
                continue
            waiting = None
        if match:
            dashes = argument[: len(argument) - len(argument.lstrip("-"))]
            yield numbered(dashes + (match[1] or match[3])), match[2] or match[4] or ""
        elif option:
            waiting = argument
        else:
            yield f"argument {position}" if position else "program", argument
            position += 1
    if waiting is not None:
        yield numbered(waiting), "given"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _with_environment(facts: Facts, environment: Environment, machine: Machine) -> Facts:
    python = environment.python
    facts.platform.update(
        {
            "Python": f"{python.implementation} {python.version}" if python else "",
            "libc": machine.libc,
            "distribution": machine.distribution,
            "locale": machine.locale,
            "time zone": machine.timezone,
        }
    )
    facts.others["kernel"] = machine.kernel
    facts.devices["accelerators"] = ", ".join(machine.accelerators) or "none"
    facts.kernels.update(
        {
            "architecture": machine.architecture,
            "processor": machine.cpu,
            "processors": str(machine.cpu_count or ""),
            "instruction sets": " ".join(machine.cpu_flags),
        }
    )
    for library, settings in environment.numerics.items():
        for name, value in settings.items():
            if name == "version" and library in _FRAMEWORKS:
                # Stands among the packages already.
                continue
            subject = f"{library} {name}"
            if _SEED.fullmatch(name) or library.startswith(_LOADER):
                # Of a framework that nobody seeded it is another one each time.
                facts.settings[subject] = value
                continue
            # Other names are those of libraries: BLAS, OpenMP and the like, each by its file.
            kernel = library not in _FRAMEWORKS or _KERNEL_SETTING.fullmatch(subject)
            (facts.kernels if kernel else facts.devices)[subject] = value
    return Facts(
        artefacts=facts.artefacts,
        outcome=facts.outcome,
        settings=facts.settings,
        packages={
            **{one.name: one.version for one in environment.distributions},
            **{f"{one.name} (R)": one.version for one in environment.r},
        },
        builds={one.name: _build_of(one) for one in environment.distributions},
        wheels={
            one.name: f"sha256:{one.archive.sha256[:12]}"
            for one in environment.distributions
            if one.archive is not None
        },
        imported=frozenset(_imported(environment)),
        devices=facts.devices,
        kernels=facts.kernels,
        platform=facts.platform,
        others=facts.others,
    )


def _imported(environment: Environment) -> Iterable[str]:
    yield from (one.name for one in environment.distributions if one.imported)
    # Of R only those are recorded that were loaded.
    yield from (f"{one.name} (R)" for one in environment.r)


# ---------------------------------------------------------------- differences and their order


def differences(recorded: Facts, present: Facts) -> tuple[Cause, ...]:
    """Everything that differs, each with the weight that it has before the curves are looked at.

    What only one side knows counts as a difference of settings and packages, and as nothing where
    it only means that nobody looked: an unknown processor is no other processor.
    """
    imported = None
    if recorded.imported is not None and present.imported is not None:
        imported = recorded.imported | present.imported
    return (
        *_changes(CauseKind.ARTEFACT, recorded.artefacts, present.artefacts, _artefact_size),
        *_changes(CauseKind.OUTCOME, recorded.outcome, present.outcome, _if_known),
        *_changes(CauseKind.SETTING, recorded.settings, present.settings, _setting_size),
        *_packages(recorded, present, imported),
        *_changes(CauseKind.DEVICE, recorded.devices, present.devices, _if_known),
        *_changes(CauseKind.KERNEL, recorded.kernels, present.kernels, _kernel_size),
        *_changes(CauseKind.PLATFORM, recorded.platform, present.platform, _platform_size),
        *_changes(CauseKind.OTHER, recorded.others, present.others, _if_known),
    )


def _changes(
    kind: CauseKind,
    recorded: Mapping[str, str],
    present: Mapping[str, str],
    size: _Size,
) -> Iterable[Cause]:
    for subject in dict.fromkeys((*recorded, *present)):
        then, now = recorded.get(subject, ""), present.get(subject, "")
        if then != now:
            yield _cause(kind, subject, then, now, PRIORS[kind] * size(subject, then, now))


def _cause(
    kind: CauseKind, subject: str, then: str, now: str, weight: float, why: str = ""
) -> Cause:
    then, now = _differing(then, now)
    return Cause(
        kind=kind,
        subject=show(subject),
        recorded=show(then),
        present=show(now),
        weight=weight,
        why=why,
    )


def _differing(then: str, now: str) -> tuple[str, str]:
    """Of two long texts of many parts, those parts that differ."""
    if max(len(then), len(now)) <= LONG or not (then and now):
        return then, now
    parts, others = then.split("; "), now.split("; ")
    return (
        "; ".join(part for part in parts if part not in others) or "more",
        "; ".join(part for part in others if part not in parts) or "more",
    )


def _if_known(subject: str, then: str, now: str) -> float:
    """Nothing where only nobody looked; a variable that only one side sets is another setting."""
    return 1.0 if (then and now) or _VARIABLE.match(subject) else 0.0


def _platform_size(subject: str, then: str, now: str) -> float:
    """What was set on purpose says more than what came with the system."""
    if _VARIABLE.match(subject):
        return 1.0
    return _if_known(subject, then, now) * (0.5 if subject == "distribution" else 0.9)


def _artefact_size(subject: str, then: str, now: str) -> float:
    """Other data or weights certainly count; other code may be another comment.

    A file that only one side read is weaker evidence than one with other content; one that only one
    side has in its code may never have been used, and what is written for people is not executed.
    """
    both = 1.0 if then and now else 0.8
    if subject.startswith("code {project}/"):
        if _FOR_PEOPLE.search(subject):
            return 0.05
        return 0.98 if then and now else 0.6
    return both * (0.98 if subject.startswith(("the project's code", "code ")) else 1.0)


def _setting_size(subject: str, then: str, now: str) -> float:
    subject = subject.partition(_IN)[0]
    if subject.endswith(" initial_seed"):
        # What came of the seed that was given, if one was.
        return 0.98 if then and now else 0.0
    if _SEED.fullmatch(subject.partition(" (")[0]):
        return 1.0
    # Where results are written to changes none of them, mostly.
    return 0.5 if re.search(r"out|log|name|dir|verbose", subject, re.IGNORECASE) else 0.95


def _kernel_size(subject: str, then: str, now: str) -> float:
    """What the run itself used says more than what the machine has."""
    if _VARIABLE.match(subject):
        return 1.0
    if not (then and now):
        return 0.0
    if subject.endswith((" version", " parallel", " config")):
        # What a framework tells of itself at length has what matters by name as well.
        return 0.7
    return {"processor": 0.6, "processors": 0.65, "instruction sets": 0.8}.get(subject, 0.9)


def _build_of(package: Distribution) -> str:
    """Which build of its version a package is, as far as the record says; else nothing."""
    from_wheel = package.origin == "index" or package.archive is not None
    return " ".join(sorted(package.tags)) if from_wheel else package.origin


def _packages(recorded: Facts, present: Facts, imported: frozenset[str] | None) -> Iterable[Cause]:
    for name in dict.fromkeys((*recorded.packages, *present.packages)):
        then, now = recorded.packages.get(name, ""), present.packages.get(name, "")
        if then == now:
            pairs = (
                (recorded.builds.get(name), present.builds.get(name)),
                (recorded.wheels.get(name), present.wheels.get(name)),
            )
            other = next(((a, b) for a, b in pairs if a and b and a != b), None)
            if other is None:
                continue
            then, now = f"{then} ({other[0]})", f"{now} ({other[1]})"
        package = name.partition(_IN)[0]
        numeric = package in NUMERICS
        kind = CauseKind.NUMERICS if numeric else CauseKind.OTHER
        part, size = _version_size(then, now)
        weight = PRIORS[kind] * size
        if numeric:
            weight *= 1 - 0.1 * NUMERICS.index(package) / len(NUMERICS)
        if imported is not None and name not in imported:
            weight *= UNUSED
            part = "never imported"
        yield _cause(kind, name, then, now, weight, part)


def _version_size(then: str, now: str) -> tuple[str, float]:
    """Which part of a version differs, and how much that is."""
    if not then or not now:
        return "only one of the two has it", 1.0
    if then.partition(" ")[0] == now.partition(" ")[0]:
        return "another build of the same version", 0.91
    try:
        old, new = Version(then), Version(now)
    except InvalidVersion:
        return "another version", 0.97
    if old.major != new.major:
        return "another major version", 1.0
    if old.minor != new.minor:
        return "another minor version", 0.97
    if old.base_version != new.base_version:
        return "another patch version", 0.94
    return "another build", 0.91


def signature_of(curves: Iterable[CurveComparison]) -> Signature:
    """The earliest and largest parting of any curve: that is where the runs part."""
    relevant = [one for one in curves if one.compared]
    parted = [(one.first.index, -one.first.relative, one) for one in relevant if one.first]
    steps_differ = any(one.only_recorded or one.only_fresh for one in relevant)
    if not parted:
        return Signature(steps_differ=steps_differ)
    index, relative, curve = min(parted, key=lambda each: each[:2])
    return Signature(
        at_start=index == 0,
        relative=-relative,
        steps_differ=steps_differ,
        jump=curve.jump is not None,
    )


def rank(found: Iterable[Cause], signature: Signature) -> tuple[Cause, ...]:
    """Orders causes, the likeliest first; how the curves part moves them.

    Args:
        found: From `differences`.
        signature: From `signature_of`.
    """
    weighted = []
    for cause in found:
        factor, why = _factor(cause, signature)
        if cause.weight * factor > 0:
            weighted.append(
                Cause(
                    kind=cause.kind,
                    subject=cause.subject,
                    recorded=cause.recorded,
                    present=cause.present,
                    weight=round(cause.weight * factor, 6),
                    why="; ".join(filter(None, (cause.why, why))),
                )
            )
    if signature.steps_differ:
        weighted.append(
            Cause(
                kind=CauseKind.OUTCOME,
                subject="steps of the curves",
                recorded="as recorded",
                present="others",
                weight=PRIORS[CauseKind.OUTCOME],
                why="one of the two trained longer, or logged at other steps",
            )
        )
    weighted.sort(key=lambda cause: -cause.weight)
    return tuple(weighted[:MAX_CAUSES])


def _factor(cause: Cause, signature: Signature) -> tuple[float, str]:
    """How the curves speak for or against a cause."""
    relative = signature.relative
    if relative is None:
        return 1.0, ""
    numeric = cause.kind in (CauseKind.NUMERICS, CauseKind.DEVICE, CauseKind.KERNEL)
    began = cause.kind in (CauseKind.ARTEFACT, CauseKind.SETTING)
    if signature.at_start and relative > EARLY:
        if began:
            return 2.0, f"the curves differ by {relative:.1e} from the first step on"
        if cause.kind in (CauseKind.DEVICE, CauseKind.KERNEL):
            return 0.5, ""
    elif relative <= ROUNDING and not signature.jump:
        if numeric:
            return 2.0, f"the curves part by {relative:.1e}, as rounding does"
        if cause.kind is CauseKind.SETTING:
            return 0.25, ""
    elif signature.jump and began:
        return 1.5, "the curves are near each other and then part all at once"
    return 1.0, ""


def diagnose(
    recorded: Facts, present: Facts, curves: Iterable[CurveComparison] = ()
) -> tuple[Cause, ...]:
    """What differs between two executions, the likeliest cause of other numbers first."""
    return rank(differences(recorded, present), signature_of(curves))
