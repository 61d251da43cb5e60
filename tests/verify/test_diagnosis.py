# SPDX-License-Identifier: Apache-2.0
"""Which difference is named first, by kind, by size, and by how the curves part."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from repropack import canonical
from repropack.importers.series import series
from repropack.model import (
    Cause,
    CauseKind,
    CurveComparison,
    Distribution,
    Environment,
    Evidence,
    Invocation,
    Machine,
    Material,
    Outcome,
    Product,
    Python,
    RunRecord,
    Segment,
    SourceSnapshot,
    Wheel,
)
from repropack.verify.curves import compare_series
from repropack.verify.diagnosis import Facts, Signature, diagnose, facts_of, rank

ENVIRONMENT = Environment(
    version=1,
    machine=Machine(
        system="Linux",
        architecture="x86_64",
        libc="glibc 2.36",
        cpu="EPYC 7763",
        cpu_flags=("avx", "avx2"),
        cpu_count=4,
        locale="C.UTF-8",
    ),
    python=Python(implementation="cpython", version="3.11.7", cache_tag="cpython-311"),
    distributions=(
        Distribution(name="numpy", version="2.1.0", imported=True),
        Distribution(name="scikit-learn", version="1.5.1", imported=True),
        Distribution(name="black", version="24.1.0"),
        Distribution(name="click", version="8.1.0", imported=True),
        Distribution(name="jax", version="0.4.0"),
    ),
    numerics={"threadpool libopenblas": {"num_threads": "4", "architecture": "Haswell"}},
)
SEGMENT = Segment(
    invocation=Invocation(
        argv=("python", "train.py", "--seed", "1", "--lr=0.1", "model.depth=3"),
        directory="{project}",
        variables={"OMP_NUM_THREADS": "4", "LANG": "C.UTF-8"},
    ),
    source=SourceSnapshot(tree="1" * 40, versioned=True, dirty=False),
    environment="0" * 64,
    started="2026-01-01T00:00:00Z",
    ended="2026-01-01T00:00:01Z",
    outcome=Outcome(status=0),
    materials=(
        Material(
            path="{project}/data/a.csv",
            size=1,
            sha256="a" * 64,
            evidence=(Evidence.PYTHON_OPEN,),
        ),
        Material(
            path="{project}/log.txt", size=1, sha256="b" * 64, evidence=(Evidence.PYTHON_OPEN,)
        ),
    ),
    products=(Product(path="{project}/log.txt", size=1, sha256="c" * 64),),
)


def facts(segment: Segment = SEGMENT, environment: Environment = ENVIRONMENT) -> Facts:
    record = RunRecord(version=1, id="0" * 12, segments=(segment,))
    return facts_of(record, {"0" * 64: environment})


def command(*argv: str, **variables: str) -> Segment:
    invocation = replace(
        SEGMENT.invocation,
        argv=argv or SEGMENT.invocation.argv,
        variables={**SEGMENT.invocation.variables, **variables},
    )
    return replace(SEGMENT, invocation=invocation)


def packages(**versions: str) -> Environment:
    changed = tuple(
        replace(one, version=versions.get(one.name.replace("-", "_"), one.version))
        for one in ENVIRONMENT.distributions
    )
    return replace(ENVIRONMENT, distributions=changed)


def machine(**fields: object) -> Environment:
    return replace(ENVIRONMENT, machine=replace(ENVIRONMENT.machine, **fields))


def materials(**digests: str) -> Segment:
    changed = tuple(
        replace(one, sha256=digests.get(one.path.rpartition("/")[2].partition(".")[0], one.sha256))
        for one in SEGMENT.materials
    )
    return replace(SEGMENT, materials=changed)


def curves(*fresh: float) -> tuple[CurveComparison, ...]:
    """The comparison of a flat curve with this one."""
    then = series([(i, 1.0) for i in range(len(fresh))])
    now = series(list(enumerate(fresh)))
    return (compare_series(then, now, metric="loss", run=1, path="loss.csv"),)


ROUNDING = curves(1.0, 1 + 1e-7, 1 + 1e-6, 1 + 1e-4)
EARLY = curves(1.05, 1.2, 1.3)


def subjects(causes: Iterable[Cause]) -> list[str]:
    return [cause.subject for cause in causes]


def test_the_same_run_has_no_cause() -> None:
    assert diagnose(facts(), facts()) == ()


@pytest.mark.parametrize(
    ("segment", "environment", "kind", "subject"),
    [
        (materials(a="d" * 64), ENVIRONMENT, CauseKind.ARTEFACT, "{project}/data/a.csv"),
        (
            replace(SEGMENT, source=SourceSnapshot(tree="2" * 40, versioned=True, dirty=False)),
            ENVIRONMENT,
            CauseKind.ARTEFACT,
            "the project's code",
        ),
        (
            replace(SEGMENT, outcome=Outcome(signal="SIGKILL")),
            ENVIRONMENT,
            CauseKind.OUTCOME,
            "exit",
        ),
        (
            command("python", "train.py", "--seed", "2", "--lr=0.1", "model.depth=3"),
            ENVIRONMENT,
            CauseKind.SETTING,
            "--seed",
        ),
        (
            command("python", "train.py", "--seed", "1", "--lr=0.2", "model.depth=3"),
            ENVIRONMENT,
            CauseKind.SETTING,
            "--lr",
        ),
        (
            command("python", "train.py", "--seed", "1", "--lr=0.1", "model.depth=4"),
            ENVIRONMENT,
            CauseKind.SETTING,
            "model.depth",
        ),
        (
            command("python", "train.py", "--fast", "--seed", "1", "--lr=0.1", "model.depth=3"),
            ENVIRONMENT,
            CauseKind.SETTING,
            "--fast",
        ),
        (command(SEED="7"), ENVIRONMENT, CauseKind.SETTING, "SEED"),
        (SEGMENT, packages(numpy="2.1.1"), CauseKind.NUMERICS, "numpy"),
        (SEGMENT, packages(click="9.0.0"), CauseKind.OTHER, "click"),
        (SEGMENT, machine(accelerators=("H100",)), CauseKind.DEVICE, "accelerators"),
        (command(CUBLAS_WORKSPACE_CONFIG=":4096:8"), ENVIRONMENT, CauseKind.DEVICE, None),
        (command(OMP_NUM_THREADS="2"), ENVIRONMENT, CauseKind.KERNEL, "OMP_NUM_THREADS"),
        (command(NPY_DISABLE_CPU_FEATURES="AVX2"), ENVIRONMENT, CauseKind.KERNEL, None),
        (SEGMENT, machine(cpu="Xeon"), CauseKind.KERNEL, "processor"),
        (SEGMENT, machine(cpu_flags=("avx",)), CauseKind.KERNEL, "instruction sets"),
        (command(PYTHONHASHSEED="1"), ENVIRONMENT, CauseKind.PLATFORM, "PYTHONHASHSEED"),
        (SEGMENT, machine(libc="musl 1.2"), CauseKind.PLATFORM, "libc"),
        (SEGMENT, machine(kernel="6.1.0"), None, None),
        (SEGMENT, machine(cpu=""), None, None),
        (materials(log="d" * 64), ENVIRONMENT, None, None),
    ],
)
def test_each_difference_has_its_kind(
    segment: Segment, environment: Environment, kind: CauseKind | None, subject: str | None
) -> None:
    causes = diagnose(facts(), facts(segment, environment))
    assert [cause.kind for cause in causes] == ([] if kind is None else [kind])
    assert subject is None or subjects(causes) == [subject]


def everything(*without: str) -> tuple[Segment, Environment]:
    """Every kind of difference at once, but for some."""
    segment = command(
        "python",
        "train.py",
        "--seed",
        "1" if "seed" in without else "2",
        "--lr=0.1",
        "model.depth=3",
        OMP_NUM_THREADS="2",
        PYTHONHASHSEED="3",
        CUDA_VISIBLE_DEVICES="0",
    )
    if "data" not in without:
        segment = replace(segment, materials=materials(a="d" * 64).materials)
    environment = packages(numpy="2.2.0", scikit_learn="1.5.2", black="25.0.0", jax="1.0.0")
    return segment, replace(environment, machine=machine(cpu="Xeon", libc="musl 1.2").machine)


def test_the_order_of_the_kinds() -> None:
    causes = diagnose(facts(), facts(*everything()))
    assert subjects(causes) == [
        "{project}/data/a.csv",
        "--seed",
        "numpy",
        "scikit-learn",
        "CUDA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
        "processor",
        "PYTHONHASHSEED",
        "libc",
        "jax",
        "black",
    ]


def test_a_curve_that_begins_differently_speaks_for_seed_and_data() -> None:
    causes = diagnose(facts(), facts(*everything("data")), EARLY)
    assert causes[0].subject == "--seed"
    assert causes[0].weight > 2 * causes[1].weight
    assert "from the first step on" in causes[0].why


def test_a_curve_that_parts_as_rounding_does_speaks_against_the_seed() -> None:
    causes = diagnose(facts(), facts(*everything("data")), ROUNDING)
    assert causes[0].subject == "numpy"
    kinds = [cause.kind for cause in causes]
    assert kinds.index(CauseKind.KERNEL) < kinds.index(CauseKind.SETTING)


def test_other_data_stays_first_however_the_curves_part() -> None:
    for shape in (EARLY, (), curves(1.0, 1 + 1e-9, 1.2)):
        assert diagnose(facts(), facts(*everything()), shape)[0].kind is CauseKind.ARTEFACT


@pytest.mark.parametrize("path", ["repropack.yaml", "README.md", "notes/LICENSE", "new.py", "err"])
def test_a_file_that_came_to_the_code_is_not_before_what_the_curves_speak_for(path: str) -> None:
    kernel = {"ATEN_CPU_CAPABILITY": "default"}
    present = Facts(artefacts={f"code {{project}}/{path}": "blob 1"}, kernels=kernel)
    causes = diagnose(Facts(), present, ROUNDING)
    assert [cause.subject.partition(" ")[0] for cause in causes] == ["ATEN_CPU_CAPABILITY", "code"]


def test_a_document_is_behind_what_can_change_a_number() -> None:
    name = "code {project}/README.md"
    present = Facts(artefacts={name: "blob 2"}, platform={"libc": "glibc 2.41"})
    causes = diagnose(Facts(artefacts={name: "blob 1"}, platform={"libc": "glibc 2.36"}), present)
    assert [cause.subject for cause in causes] == ["libc", name]


def test_code_that_was_changed_stays_first_however_the_curves_part() -> None:
    name = "code {project}/train.py"
    present = Facts(artefacts={name: "blob 2"}, kernels={"ATEN_CPU_CAPABILITY": "default"})
    causes = diagnose(Facts(artefacts={name: "blob 1"}), present, ROUNDING)
    assert causes[0].subject == name


def test_steps_that_only_one_side_has_are_a_cause_of_their_own() -> None:
    causes = diagnose(facts(), facts(), curves_of_lengths(3, 5))
    assert subjects(causes) == ["steps of the curves"]


def curves_of_lengths(one: int, other: int) -> tuple[CurveComparison, ...]:
    then = series([(i, 1.0) for i in range(one)])
    now = series([(i, 1.0) for i in range(other)])
    return (compare_series(then, now, metric="loss", run=1, path="loss.csv"),)


def test_larger_steps_of_a_version_weigh_more() -> None:
    weights = [
        diagnose(facts(), facts(SEGMENT, packages(numpy=version)))[0].weight
        for version in ("2.1.0+local", "2.1.1", "2.2.0", "3.0.0")
    ]
    assert weights == sorted(set(weights))


def test_what_was_never_imported_comes_last() -> None:
    causes = diagnose(facts(), facts(SEGMENT, packages(black="99", jax="99", click="8.1.1")))
    assert subjects(causes) == ["click", "jax", "black"]
    assert causes[-1].why == "never imported"


def test_a_library_that_is_named_by_its_file_is_one_of_kernels() -> None:
    def with_core(core: str) -> Environment:
        numerics = {"numpy.libs/libopenblas64.so": {"architecture": core, "num_threads": "2"}}
        return replace(ENVIRONMENT, numerics=numerics)

    (cause,) = diagnose(facts(SEGMENT, with_core("Haswell")), facts(SEGMENT, with_core("Zen")))
    assert cause.kind is CauseKind.KERNEL


words = st.text(max_size=12)
maps = st.dictionaries(words, words, max_size=4)
sides = st.builds(
    Facts,
    artefacts=maps,
    outcome=maps,
    settings=maps,
    packages=maps,
    imported=st.none() | st.frozensets(words),
    devices=maps,
    kernels=maps,
    platform=maps,
    others=maps,
)


@given(sides, sides, st.floats(0, 2), st.booleans(), st.booleans())
def test_any_facts_can_be_ranked_and_reported(
    one: Facts, other: Facts, relative: float, start: bool, jump: bool
) -> None:
    causes = diagnose(one, other)
    assert diagnose(one, one) == ()
    assert {c.subject for c in causes} == {c.subject for c in diagnose(other, one)}
    shape = Signature(at_start=start, relative=relative, jump=jump)
    ranked = rank(causes, shape)
    assert len(ranked) == len(causes)
    assert [c.weight for c in ranked] == sorted((c.weight for c in ranked), reverse=True)
    assert canonical.encode(ranked)


def built(*tags: str, **fields: object) -> Environment:
    numpy, *others = ENVIRONMENT.distributions
    changed = replace(numpy, tags=tags, **fields)
    return replace(ENVIRONMENT, distributions=(changed, *others))


def test_another_wheel_of_the_same_version_is_named() -> None:
    then = built("cp311-cp311-manylinux_2_17_x86_64")
    now = built("cp311-cp311-manylinux_2_28_x86_64")
    (cause,) = diagnose(facts(environment=then), facts(environment=now))
    assert (cause.kind, cause.subject) == (CauseKind.NUMERICS, "numpy")
    assert cause.recorded == "2.1.0 (cp311-cp311-manylinux_2_17_x86_64)"
    assert "another build of the same version" in cause.why
    assert not diagnose(facts(environment=then), facts(environment=then))
    # Where one of the two does not say it, nothing is known.
    assert not diagnose(facts(environment=then), facts(environment=built()))


def test_wheels_with_the_same_tags_are_told_apart_by_their_digests() -> None:
    one, other = (Wheel(filename="numpy-2.1.0-py3-none-any.whl", sha256=c * 64) for c in "ab")
    then = built("py3-none-any", archive=one, origin="local")
    now = built("py3-none-any", archive=other, origin="local")
    (cause,) = diagnose(facts(environment=then), facts(environment=now))
    assert cause.present == "2.1.0 (sha256:bbbbbbbbbbbb)"
    # An index keeps no digest: the tags are the same, and no more is known.
    assert not diagnose(facts(environment=then), facts(environment=built("py3-none-any")))


def test_a_package_of_conda_is_another_build_than_a_wheel() -> None:
    (cause,) = diagnose(
        facts(environment=built("py3-none-any")), facts(environment=built(origin="conda"))
    )
    assert cause.present == "2.1.0 (conda)"


def test_a_framework_that_nobody_seeded_is_named() -> None:
    def seeded(seed: str) -> Environment:
        return replace(ENVIRONMENT, numerics={"torch": {"initial_seed": seed}})

    (cause,) = diagnose(facts(environment=seeded("1")), facts(environment=seeded("2")))
    assert (cause.kind, cause.subject) == (CauseKind.SETTING, "torch initial_seed")
    other = command("python", "train.py", "--seed", "2", "--lr=0.1", "model.depth=3")
    first, *_ = diagnose(facts(environment=seeded("1")), facts(other, seeded("2")))
    assert first.subject == "--seed"


def test_of_a_long_text_only_the_parts_that_differ_are_shown() -> None:
    def told(threads: str) -> Environment:
        parts = [f"at::get_num_threads() : {threads}", *(f"library {n} : 1" for n in range(40))]
        return replace(ENVIRONMENT, numerics={"torch": {"parallel": "; ".join(parts)}})

    (cause,) = diagnose(facts(environment=told("2")), facts(environment=told("1")))
    assert (cause.kind, cause.recorded, cause.present) == (
        CauseKind.KERNEL,
        "at::get_num_threads() : 2",
        "at::get_num_threads() : 1",
    )
