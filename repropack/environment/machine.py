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
from repropack.model import Machine

__all__ = ["allowed_variables", "describe_machine"]

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

_NUMERIC_FLAGS: Final = re.compile(
    r"(?:sse4_[12]|ssse3|avx\w*|fma|f16c|amx_\w+|neon|asimd\w*|sve\w*|i8mm|bf16)"
)
"""CPU flags by which numerical libraries choose their kernels."""

NVIDIA_TIMEOUT: Final = 5.0
"""Seconds: nvidia-smi takes one or two when no driver is persistent."""


def allowed_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are recorded: on the allow-list, and with no name of a secret."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if (name in ALLOWED_NAMES or name.startswith(ALLOWED_PREFIXES)) and not _SECRET.search(name)
    }


def describe_machine(environment: Mapping[str, str]) -> Machine:
    """Reads the platform's facts; what a platform does not tell stays empty.

    Args:
        environment: Variables of the run, for locale, time zone and the way to nvidia-smi.
    """
    system = os.uname()
    info = _cpu_info()
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
        accelerators=_nvidia(environment),
        locale=environment.get("LC_ALL") or environment.get("LANG", ""),
        timezone=environment.get("TZ", ""),
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


def _nvidia(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Model, memory and driver of each GPU; never its UUID or serial number."""
    program = process.find_program("nvidia-smi", environment.get("PATH", ""))
    if program is None:
        return ()
    try:
        told = process.run(
            [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"],
            environment={"PATH": environment.get("PATH", ""), "LC_ALL": "C"},
            timeout=NVIDIA_TIMEOUT,
        )
    except process.ProcessFailedError:
        # The program is installed but there is no GPU or no driver: that is no accelerator.
        return ()
    return tuple(told.stdout.decode("utf-8", "replace").strip().splitlines())


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
