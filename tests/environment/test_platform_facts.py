# SPDX-License-Identifier: Apache-2.0
"""Facts of the platform: what is read, and that nothing of them names the machine or its user."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from repropack.digest import sha256_hex
from repropack.environment.conda import conda_packages
from repropack.environment.machine import describe_machine
from repropack.environment.platform_facts import platform_facts

CONTAINER = "ab" * 32
GROUP = f"user.slice/user-zoe.slice/docker-{CONTAINER}.scope"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with a control group, two NUMA nodes and a container."""
    files = {
        "proc/cpuinfo": "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\nstepping\t: 1\n"
        "physical id\t: 0\n\nvendor_id\t: AuthenticAMD\nphysical id\t: 1\n",
        "proc/self/cgroup": f"0::/{GROUP}\n",
        "proc/self/mountinfo": "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "2 1 0:5 / /zoe-lab/work rw,relatime shared:1 - nfs4 filer.zoe.example:/export rw\n",
        "proc/self/status": "Name:\tx\nMems_allowed_list:\t0-1\n",
        "run/.containerenv": f'engine="podman-4"\nname="zoe-box"\nimageid="{"cd" * 32}"\n',
        "sys/devices/system/node/node0/x": "",
        "sys/devices/system/node/node1/x": "",
        "sys/devices/system/cpu/smt/active": "1\n",
        f"sys/fs/cgroup/{GROUP}/cpu.max": "150000 100000\n",
        f"sys/fs/cgroup/{GROUP}/memory.max": "1048576\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_what_the_platform_offers(root: Path) -> None:
    facts = platform_facts({}, Path("/zoe-lab/work/project"), root)
    expected = {
        "cpu vendor": "AuthenticAMD",
        "cpu family": "25",
        "cpu model": "1",
        "cpu stepping": "1",
        "cpu sockets": "2",
        "cgroup cpus": "1.5",
        "cgroup memory": "1048576",
        "numa nodes": "2",
        "numa nodes allowed": "0-1",
        "simultaneous multithreading": "on",
        "container": "podman",
        "container id": f"sha256:{sha256_hex(CONTAINER.encode())}",
        "container image": f"sha256:{'cd' * 32}",
        "file system": "nfs4",
    }
    assert {name: facts.get(name) for name in expected} == expected
    assert {"limit of stack", "limit of open files", "cpus allowed"} <= facts.keys()
    assert "zoe" not in json.dumps(facts)
    assert CONTAINER not in json.dumps(facts)


def test_a_platform_that_tells_nothing(tmp_path: Path) -> None:
    facts = platform_facts({}, tmp_path, tmp_path / "nothing")
    assert "cpu vendor" not in facts
    assert "container" not in facts


SMI = """#!/bin/sh
case "$*" in
*topo*) printf '\\t\\033[4mGPU0 GPU1\\033[0m\\nGPU0 X NV12\\nGPU1 NV12 X\\n' ;;
*compute_cap*) {new} ;;
*) printf 'NVIDIA A100, 81920 MiB, 550.54\\nNVIDIA A100, 81920 MiB, 550.54\\n' ;;
esac
"""
NEW = (
    "printf 'NVIDIA A100, 81920 MiB, 550.54, 8.0, Disabled, Enabled, GPU-1234\\n"
    "NVIDIA A100, 81920 MiB, 550.54, 8.0, [N/A], Enabled, GPU-5678\\n'"
)


def _smi(place: Path, text: str) -> dict[str, str]:
    program = place / "nvidia-smi"
    program.write_text(text)
    program.chmod(0o755)
    return {"PATH": f"{place}:/usr/bin:/bin"}


def test_gpus_with_all_that_nvidia_smi_says(tmp_path: Path) -> None:
    machine = describe_machine(_smi(tmp_path, SMI.format(new=NEW)), tmp_path)
    assert machine.accelerators == ("NVIDIA A100, 81920 MiB, 550.54",) * 2
    assert machine.facts["gpu 0 compute capability"] == "8.0"
    assert machine.facts["gpu 0 MIG"] == "Disabled"
    assert "gpu 1 MIG" not in machine.facts
    assert machine.facts["gpu 1 ECC"] == "Enabled"
    assert machine.facts["gpu 0 id"] == f"sha256:{sha256_hex(b'GPU-1234')}"
    assert machine.facts["gpu topology"] == "GPU0 X NV12; GPU1 NV12 X"
    assert "GPU-1234" not in str(machine)


def test_an_old_driver_and_no_driver(tmp_path: Path) -> None:
    old = describe_machine(_smi(tmp_path, SMI.format(new="exit 2")), tmp_path)
    assert len(old.accelerators) == 2
    none = describe_machine(_smi(tmp_path, "#!/bin/sh\nexit 9\n"), tmp_path)
    assert none.accelerators == ()
    assert none.facts["gpus"] == "none, or not known: nvidia-smi failed"
    odd = describe_machine(_smi(tmp_path, "#!/bin/sh\nhead -c 2000000 /dev/zero\n"), tmp_path)
    assert odd.accelerators == ()


def test_a_gpu_that_answers_no_more_is_said_and_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repropack.environment.machine.NVIDIA_TIMEOUT", 0.3)
    hangs = f"#!/bin/sh\necho asked >> {tmp_path}/asked\nexec sleep 1000\n"
    machine = describe_machine(_smi(tmp_path, hangs), tmp_path)
    assert machine.accelerators == ()
    assert machine.facts["gpus"] == "not known: nvidia-smi did not answer within 0.3 s"
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_conda_packages_are_read_from_their_records(tmp_path: Path) -> None:
    place = tmp_path / "conda-meta"
    place.mkdir()
    (place / "history").write_text("==> zoe's history <==")
    (place / "broken.json").write_text("{")
    (place / "numpy-1.json").write_text(
        json.dumps(
            {
                "name": "numpy",
                "version": "1.26.4",
                "build": "py311_0",
                "channel": "https://conda.zoe.example/t/tk-secret/conda-forge/linux-64",
                "subdir": "linux-64",
                "sha256": "a" * 64,
                "link": {"source": "/home/zoe/pkgs/numpy"},
            }
        )
    )
    (place / "a.json").write_text(
        json.dumps({"name": "a", "version": "1", "channel": "https://conda.zoe.example/noarch"})
    )
    first, second = conda_packages(tmp_path)
    assert (first.name, first.channel) == ("a", "")
    assert (second.name, second.version, second.build) == ("numpy", "1.26.4", "py311_0")
    assert (second.channel, second.platform, second.sha256) == ("conda-forge", "linux-64", "a" * 64)
    assert "zoe" not in str((first, second))
    assert "tk-secret" not in str((first, second))
    assert conda_packages(tmp_path / "elsewhere") == ()
