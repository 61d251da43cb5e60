# SPDX-License-Identifier: Apache-2.0
"""What an anonymous release tells of a machine: what a repetition needs, in common values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from repropack.environment.coarsening import (
    coarse_environment,
    coarse_machine,
    coarse_variables,
    private_paths,
    without_private_paths,
)
from repropack.model import CondaPackage, Distribution, Environment, Machine, Python, Wheel

DIGEST = "ab" * 32
RARE = Machine(
    system="Linux",
    architecture="x86_64",
    kernel="5.14.0.427.13",
    distribution="Rocky Linux 9.4 (Blue Onyx)",
    libc="glibc 2.34",
    cpu="AMD EPYC 7763 64-Core Processor",
    cpu_flags=("avx2", "fma"),
    cpu_count=24,
    memory=1081912877056,
    accelerators=("NVIDIA A100-SXM4-40GB, 40960 MiB, 550.54.15",),
    locale="de_CH.UTF-8",
    timezone="Europe/Zurich",
    facts={
        "cpu family": "25",
        "cpu microcode": "0xa0011d3",
        "container id": f"sha256:{DIGEST}",
        "container image": f"sha256:{DIGEST}",
        "file system": "wekafs",
        "gpu 0 compute capability": "8.0",
        "gpu 0 id": f"sha256:{DIGEST}",
        "gpu topology": "GPU0 X NV12 mlx5_0",
        "limit of open files": "131072",
        "numa nodes": "8",
        "cgroup memory": "137438953472",
    },
)


def test_of_a_machine_only_what_chooses_packages_and_kernels_stays() -> None:
    assert coarse_machine(RARE) == replace(
        RARE,
        kernel="5.14",
        memory=2**40,
        accelerators=("NVIDIA A100-SXM4-40GB, 40960 MiB, 550",),
        locale="C.UTF-8",
        timezone="",
        facts={"cpu family": "25", "gpu 0 compute capability": "8.0"},
    )


@given(st.integers(min_value=1, max_value=2**45))
def test_memory_is_the_nearest_power_of_two(size: int) -> None:
    found = coarse_machine(Machine(system="", architecture="", memory=size)).memory
    assert found.bit_count() == 1
    assert found / 2 < size < found * 2
    # Whoever reads the coarse value cannot tell it from that of a coarse machine.
    assert coarse_machine(Machine(system="", architecture="", memory=found)).memory == found


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        ("en_US.UTF-8", "en_US.UTF-8"),
        ("C.UTF-8", "C.UTF-8"),
        ("", ""),
        ("de_CH.utf8", "C.UTF-8"),
        ("ja_JP.eucJP", "C"),
    ],
)
def test_a_language_is_not_told(locale: str, expected: str) -> None:
    assert coarse_variables({"LC_ALL": locale}) == {"LC_ALL": expected}
    assert coarse_machine(Machine(system="", architecture="", locale=locale)).locale == expected


def test_variables_that_tell_places_and_times_are_left_out() -> None:
    kept = coarse_variables(
        {
            "TZ": "Europe/Zurich",
            "SOURCE_DATE_EPOCH": "1700000000",
            "NCCL_SOCKET_IFNAME": "ib0",
            "NCCL_IB_HCA": "mlx5_2",
            "NCCL_ALGO": "Ring",
            "OMP_NUM_THREADS": "8",
            "PYTHONPATH": "{project}/src:/cluster/lab17/tools:/usr/share/x:{home}/lib:{tmp}/x",
            "LD_PRELOAD": "/cluster/lab17/libfast.so",
            "CUDA_HOME": "/usr/local/cuda-12.4",
            "HYDRA_FULL_ERROR": "1",
        }
    )
    assert kept == {
        "NCCL_ALGO": "Ring",
        "OMP_NUM_THREADS": "8",
        "PYTHONPATH": "{project}/src:/usr/share/x",
        "CUDA_HOME": "/usr/local/cuda-12.4",
        "HYDRA_FULL_ERROR": "1",
    }
    assert coarse_variables({"TZ": "UTC"}) == {"TZ": "UTC"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("/cluster/lab17/x.yaml", ("/cluster/lab17/x.yaml",)),
        ("--cache=/mnt/lab/c", ("/mnt/lab/c",)),
        ("{data:numbers}/train/a", ()),
        ("{project}/out/x", ()),
        ("https://example.org/a/b", ()),
        ("/usr/bin/python3", ()),
        ("a/b/c", ()),
        ("{home}/tools/x.py", ("{home}/tools/x.py",)),
        ("{tmp}", ("{tmp}",)),
    ],
)
def test_paths_of_a_machine_are_told_from_others(text: str, found: tuple[str, ...]) -> None:
    assert private_paths(text) == found


def test_remarks_for_people_lose_the_places_that_they_name() -> None:
    assert without_private_paths("`{home}/bin/tool` is no Python program: /cluster/x/y has it") == (
        "`…` is no Python program: … has it"
    )
    assert without_private_paths("`{project}/run.sh` at /usr/bin/env") == (
        "`{project}/run.sh` at /usr/bin/env"
    )


def test_packages_that_no_run_needed_and_digests_of_installations_are_left_out() -> None:
    def one(name: str, **facts: object) -> Distribution:
        return Distribution(name=name, version="1.0", record_sha256=DIGEST, **facts)  # type: ignore[arg-type]

    wheel = Wheel(filename="numpy-1.0-py3-none-any.whl", sha256=DIGEST)
    environment = Environment(
        version=1,
        machine=RARE,
        python=Python(
            implementation="cpython",
            version="3.11.7",
            cache_tag="cpython-311",
            build="main, May  9 2026, 07:35:25",
            compiler="GCC 12.2.0",
        ),
        distributions=(
            one("labtools"),
            one("numpy", imported=True, requires=("sixish>=1",), archive=wheel),
            one("sixish", origin="local", archive=wheel),
            one("mine", imported=True, editable=True, origin="local"),
        ),
        modules=("numpy", "__editable___labtools_finder"),
        numerics={"python": {"sys_version": "3.11.7 (main, May  9 2026)", "gil": "True"}},
        conda=(
            CondaPackage(name="a", version="1", channel="conda-forge", sha256=DIGEST),
            CondaPackage(name="b", version="1", channel="lab17", sha256=DIGEST, md5="0" * 32),
        ),
    )
    coarse = coarse_environment(environment)
    assert [one.name for one in coarse.distributions] == ["numpy", "sixish", "mine"]
    assert all(one.record_sha256 is None for one in coarse.distributions)
    assert [one.archive for one in coarse.distributions] == [wheel, None, None]
    assert coarse.python is not None
    assert (coarse.python.build, coarse.python.compiler) == ("", "GCC 12.2.0")
    assert coarse.modules == ()
    assert coarse.numerics == {"python": {"gil": "True"}}
    assert coarse.conda[0].sha256 == DIGEST
    private = coarse.conda[1]
    assert (private.channel, private.sha256, private.md5) == ("", None, None)
