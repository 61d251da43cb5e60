# SPDX-License-Identifier: Apache-2.0
"""Facts of this machine that can change numerical results, and nothing that identifies it.

No host name, user, address or serial number is read here.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from repropack import process
from repropack.digest import sha256_hex
from repropack.environment.platform_facts import platform_facts
from repropack.model import Machine

__all__ = [
    "GPUS",
    "NO_ANSWER",
    "allowed_variables",
    "describe_machine",
    "is_address",
    "is_secret_name",
]

ALLOWED_NAMES: Final = frozenset(
    {
        "LANG",
        "LD_PRELOAD",
        "PYTHONHASHSEED",
        "PYTHONOPTIMIZE",
        "PYTHONPATH",
        "PYTHONUTF8",
        "PYTHONWARNINGS",
        "TZ",
        "SEED",
        "GLOBAL_SEED",
        "MANUAL_SEED",
        "NUMPY_SEED",
        "PL_GLOBAL_SEED",
        "RANDOM_SEED",
        "RNG_SEED",
        "XLA_FLAGS",
        "NVIDIA_TF32_OVERRIDE",
        "SOURCE_DATE_EPOCH",
        "WORLD_SIZE",
        "RANK",
        "LOCAL_RANK",
    }
)
"""Variables that change results and are recorded with their values."""

ALLOWED_PREFIXES: Final = (
    "ATEN_",
    "BLIS_",
    "CUBLAS_",
    "CUDA_",
    "DNNL_",
    "GOMP_",
    "HYDRA_",
    "JAX_",
    "KMP_",
    "LC_",
    "MKL_",
    "NCCL_",
    "NPY_",
    "NUMEXPR_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "PYTORCH_",
    "TF_CPP_",
    "TF_CUDNN_",
    "TF_DETERMINISTIC_",
    "TF_ENABLE_",
    "TF_FORCE_",
    "TF_GPU_",
    "TF_NUM_",
    "TF_XLA_",
    "TORCH_",
    "VECLIB_",
)

_SECRET: Final = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|COOKIE|CERT", re.IGNORECASE)

_PEER: Final = re.compile(r"(?:ADDR|ADDRESS|COMM_ID|HCA|HOST|HOSTID|HOSTS|IFNAME)$")
"""Ends of names of variables that say with whom a process talks, not how it computes."""

_ADDRESS: Final = re.compile(r"[a-z]://|(?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9.])")
"""A URL, or an address of IPv4."""

_NUMERIC_FLAGS: Final = re.compile(
    r"(?:sse4_[12]|ssse3|avx\w*|fma|f16c|amx_\w+|neon|asimd\w*|sve\w*|i8mm|bf16)"
)
"""CPU flags by which numerical libraries choose their kernels."""

_GPU: Final = ("name", "memory.total", "driver_version")
_GPU_FACTS: Final = {
    "compute_cap": "compute capability",
    "mig.mode.current": "MIG",
    "ecc.mode.current": "ECC",
    "uuid": "id",
}
"""Fields of `nvidia-smi --help-query-gpu`, and what the record calls them."""

_NOT_KNOWN: Final = ("", "[N/A]", "N/A", "[Not Supported]")
_ANSI: Final = re.compile(r"\x1b\[[0-9;]*m")

NVIDIA_TIMEOUT: Final = 5.0
"""Seconds: nvidia-smi takes one or two when no driver is persistent."""


MAX_ANSWER: Final = 1024 * 1024
"""Bytes: a line for each GPU has some hundred."""

GPUS: Final = "gpus"
NO_ANSWER: Final = "not known"
"""The fact that says why there is no GPU in a record although there is nvidia-smi, and how it
begins where there may well be some."""


def allowed_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are recorded: on the allow-list, and with no name of a secret."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if (name in ALLOWED_NAMES or name.startswith(ALLOWED_PREFIXES)) and not is_secret_name(name)
    }


def is_secret_name(name: str) -> bool:
    """Whether a variable is called as those are that hold secrets."""
    return _SECRET.search(name) is not None


def is_address(name: str, value: str) -> bool:
    """Whether a variable says where on the network something is."""
    return _PEER.search(name) is not None or _ADDRESS.search(value) is not None


def describe_machine(environment: Mapping[str, str], directory: Path = Path("/")) -> Machine:
    """Reads the platform's facts; what a platform does not tell stays empty.

    Args:
        environment: Variables of the run, for locale, time zone and the way to nvidia-smi.
        directory: The project.
    """
    system = os.uname()
    info = _cpu_info()
    accelerators, gpu_facts = _nvidia(environment)
    return Machine(
        system=system.sysname,
        architecture=system.machine,
        kernel=system.release.split("-", 1)[0],
        distribution=_os_release(),
        libc=_libc(),
        cpu=info.get("model name", ""),
        cpu_flags=tuple(
            sorted(
                flag
                for flag in (info.get("flags") or info.get("Features") or "").split()
                if _NUMERIC_FLAGS.fullmatch(flag)
            )
        ),
        cpu_count=len(os.sched_getaffinity(0)),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        accelerators=accelerators,
        locale=environment.get("LC_ALL") or environment.get("LANG", ""),
        timezone=environment.get("TZ", ""),
        facts={**platform_facts(environment, directory), **gpu_facts},
    )


def _cpu_info() -> dict[str, str]:
    """The first processor of /proc/cpuinfo."""
    found: dict[str, str] = {}
    for line in _read("/proc/cpuinfo").split("\n\n", 1)[0].splitlines():
        name, _, value = line.partition(":")
        found[name.strip()] = value.strip()
    return found


def _os_release() -> str:
    for line in _read("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip().strip('"')
    return ""


def _libc() -> str:
    with contextlib.suppress(ValueError, OSError):
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    return ""


def _nvidia(environment: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Model, memory and driver of each GPU, and further facts; of its UUID only the digest."""
    program = process.find_program("nvidia-smi", environment.get("PATH", ""))
    if program is None:
        return (), {}
    try:
        told = _ask(program, environment, f"--query-gpu={','.join((*_GPU, *_GPU_FACTS))}")
        if told is None:
            # Old drivers know fewer fields, and then answer nothing.
            plain = _ask(program, environment, f"--query-gpu={','.join(_GPU)}")
            if plain is None:
                return (), {GPUS: "none, or not known: nvidia-smi failed"}
            return tuple(", ".join(gpu) for gpu in plain), {}
    except process.ProcessFailedError:
        # A GPU that has fallen off its bus holds up everybody who asks for it, each time.
        return (), {GPUS: f"{NO_ANSWER}: nvidia-smi did not answer within {NVIDIA_TIMEOUT:g} s"}
    facts: dict[str, str] = {}
    for number, gpu in enumerate(told):
        for (name, said), value in zip(_GPU_FACTS.items(), gpu[len(_GPU) :], strict=False):
            if value not in _NOT_KNOWN:
                digested = f"sha256:{sha256_hex(value.encode())}" if name == "uuid" else value
                facts[f"gpu {number} {said}"] = digested
    if len(told) > 1:
        facts["gpu topology"] = _topology(program, environment)
    return tuple(", ".join(gpu[: len(_GPU)]) for gpu in told), {k: v for k, v in facts.items() if v}


def _ask(program: str, environment: Mapping[str, str], query: str) -> list[list[str]] | None:
    """Fields of each GPU; None where the program failed: without a GPU, or without a driver.

    Raises:
        ProcessFailedError: It gave no answer at all.
    """
    try:
        told = process.run(
            [program, query, "--format=csv,noheader"],
            environment={"PATH": environment.get("PATH", ""), "LC_ALL": "C"},
            timeout=NVIDIA_TIMEOUT,
        )
    except process.ProcessFailedError as error:
        if error.completed is None:
            raise
        return None
    if len(told.stdout) > MAX_ANSWER:
        return None
    lines = told.stdout.decode("utf-8", "replace").strip().splitlines()
    return [[field.strip() for field in line.split(",")] for line in lines]


def _topology(program: str, environment: Mapping[str, str]) -> str:
    """How the GPUs are connected: the rows `GPU0`, `GPU1`, … of the matrix."""
    try:
        told = process.run(
            [program, "topo", "-m"],
            environment={"PATH": environment.get("PATH", ""), "LC_ALL": "C"},
            timeout=NVIDIA_TIMEOUT,
        )
    except process.ProcessFailedError:
        return ""
    text = _ANSI.sub("", told.stdout.decode("utf-8", "replace"))
    rows = [line.split() for line in text.splitlines() if line.startswith("GPU")]
    return "; ".join(" ".join(row) for row in rows)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
