# SPDX-License-Identifier: Apache-2.0
"""Further facts of the platform that can change results, by name, as text.

They are read from `/proc`, `/sys` and the process itself; no program is started. No host name,
user, address, path or mount point is among them; the id of a container appears as a digest only.
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from repropack.digest import sha256_hex

__all__ = ["platform_facts"]

_CPU: Final = {
    "vendor_id": "cpu vendor",
    "cpu family": "cpu family",
    "model": "cpu model",
    "stepping": "cpu stepping",
    "microcode": "cpu microcode",
    "CPU implementer": "cpu vendor",
    "CPU part": "cpu model",
    "CPU variant": "cpu stepping",
    "cpu cores": "cpu cores a socket",
}
"""Lines of /proc/cpuinfo on x86 and ARM, and what the record calls them."""

_LIMITS: Final = {
    "address space": resource.RLIMIT_AS,
    "data": resource.RLIMIT_DATA,
    "file size": resource.RLIMIT_FSIZE,
    "locked memory": resource.RLIMIT_MEMLOCK,
    "open files": resource.RLIMIT_NOFILE,
    "processes": resource.RLIMIT_NPROC,
    "stack": resource.RLIMIT_STACK,
    "cpu seconds": resource.RLIMIT_CPU,
}

_CONTAINER_ID: Final = re.compile(r"[/-](?P<id>[0-9a-f]{64})(?:\.scope)?(?:[/\s]|$)")
_IMAGE_ID: Final = re.compile(r'^imageid="?(?:sha256:)?([0-9a-f]{64})"?$', re.MULTILINE)


def platform_facts(
    environment: Mapping[str, str], directory: Path, root: Path = Path("/")
) -> dict[str, str]:
    """The facts that this platform offers; what it does not tell is left out.

    Args:
        environment: Variables of the run.
        directory: The project, for the kind of file system.
        root: Where `proc`, `sys` and the marks of containers are.
    """
    found = {
        **_processor(root),
        **_share(root),
        **_numa(root),
        **_container(environment, root),
        **_file_system(directory, root),
        **_limits(),
    }
    return {name: value for name, value in sorted(found.items()) if value}


def _processor(root: Path) -> dict[str, str]:
    text = _read(root / "proc/cpuinfo")
    found: dict[str, str] = {}
    for line in text.split("\n\n", 1)[0].splitlines():
        name, _, value = line.partition(":")
        known = _CPU.get(name.strip())
        if known:
            found.setdefault(known, value.strip())
    sockets = set(re.findall(r"(?m)^physical id\s*:\s*(\d+)", text))
    found["cpu sockets"] = str(len(sockets)) if sockets else ""
    found["cpus in the machine"] = str(os.cpu_count() or "")
    smt = _read(root / "sys/devices/system/cpu/smt/active").strip()
    found["simultaneous multithreading"] = {"0": "off", "1": "on"}.get(smt, "")
    governor = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()
    found["cpu governor"] = governor
    return found


def _share(root: Path) -> dict[str, str]:
    """What the scheduler and the control group let this process have."""
    found = {"cpus allowed": str(len(os.sched_getaffinity(0)))}
    group = _control_group(root)
    quota, _, period = _read(group / "cpu.max").strip().partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        found["cgroup cpus"] = f"{int(quota) / int(period):g}"
    else:
        older = root / "sys/fs/cgroup/cpu"
        quota = _read(older / "cpu.cfs_quota_us").strip()
        period = _read(older / "cpu.cfs_period_us").strip()
        if quota.isdigit() and period.isdigit() and int(period):
            found["cgroup cpus"] = f"{int(quota) / int(period):g}"
    memory = _read(group / "memory.max").strip()
    found["cgroup memory"] = memory if memory.isdigit() else ""
    return found


def _control_group(root: Path) -> Path:
    """The directory of our control group (version 2); its path names users and jobs."""
    match = re.search(r"(?m)^0::(/.*)$", _read(root / "proc/self/cgroup"))
    return root / "sys/fs/cgroup" / (match[1].lstrip("/") if match else "")


def _numa(root: Path) -> dict[str, str]:
    nodes = root / "sys/devices/system/node"
    try:
        count = sum(bool(re.fullmatch(r"node\d+", entry.name)) for entry in nodes.iterdir())
    except OSError:
        return {}
    status = _read(root / "proc/self/status")
    allowed = re.search(r"(?m)^Mems_allowed_list:\s*(\S+)$", status)
    return {
        "numa nodes": str(count),
        "numa nodes allowed": allowed[1] if allowed else "",
        "numa balancing": _read(root / "proc/sys/kernel/numa_balancing").strip(),
    }


def _container(environment: Mapping[str, str], root: Path) -> dict[str, str]:
    kinds = {
        "docker": (root / ".dockerenv").exists(),
        "podman": (root / "run/.containerenv").exists(),
        "apptainer": "APPTAINER_CONTAINER" in environment or "SINGULARITY_CONTAINER" in environment,
        "kubernetes": "KUBERNETES_SERVICE_HOST" in environment,
        "wsl": "microsoft" in _read(root / "proc/sys/kernel/osrelease").lower(),
    }
    found = {"container": ", ".join(kind for kind, present in kinds.items() if present)}
    text = _read(root / "proc/self/cgroup") + _read(root / "proc/self/mountinfo")
    if match := _CONTAINER_ID.search(text):
        found["container id"] = f"sha256:{sha256_hex(match['id'].encode())}"
    if match := _IMAGE_ID.search(_read(root / "run/.containerenv")):
        found["container image"] = f"sha256:{match[1]}"
    return found


def _file_system(directory: Path, root: Path) -> dict[str, str]:
    """The kind of the project's file system: it decides the order in which names are listed."""
    best, kind = "", ""
    place = str(directory)
    for line in _read(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        mount = fields[4].encode().decode("unicode_escape", "replace")
        if f"{place}/".startswith(f"{mount.rstrip('/')}/") and len(mount) >= len(best):
            best, kind = mount, after.split()[0]
    swapped = directory / ".REPROPACK"
    sensitive = not swapped.exists() if (directory / ".repropack").exists() else None
    return {
        "file system": kind,
        "file names": "" if sensitive is None else f"case-{'' if sensitive else 'in'}sensitive",
    }


def _limits() -> dict[str, str]:
    found = {}
    for name, number in _LIMITS.items():
        soft, _ = resource.getrlimit(number)
        found[f"limit of {name}"] = "none" if soft == resource.RLIM_INFINITY else str(soft)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
