# SPDX-License-Identifier: Apache-2.0
"""An environment as an anonymous release tells it: what a repetition needs, and no more.

Two releases from one machine must not be linked by what is rare about it. Kept is what selects
packages and kernels (docs/adr/0013-anonymous-releases.md says why, fact by fact); the rest is
rounded or left out. Pure: a record in, a record out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec.structs import replace

from repropack.environment.lock import select
from repropack.model import CondaPackage, Distribution, Environment, Machine, Python

__all__ = [
    "coarse_environment",
    "coarse_machine",
    "coarse_variables",
    "private_paths",
    "without_private_paths",
]

KEPT_FACTS: Final = frozenset({"cpu vendor", "cpu family", "cpu model"})
"""Facts of the platform by which libraries choose kernels and of which millions of machines have
the same."""

KEPT_GPU_FACTS: Final = re.compile(r"gpu \d+ (?:compute capability|MIG)")

PUBLIC_CHANNELS: Final = frozenset(
    {"anaconda", "bioconda", "conda-forge", "defaults", "main", "msys2", "nvidia", "pytorch", "r"}
)
"""Channels of conda that anybody uses."""

COMMON_LOCALES: Final = frozenset({"", "C", "POSIX", "C.UTF-8", "C.utf8", "en_US.UTF-8"})
"""Locales that say nothing of where somebody lives."""

_SYSTEM: Final = ("/usr/", "/bin/", "/sbin/", "/lib", "/dev/", "/proc/", "/etc/", "/tmp/")  # noqa: S108
"""Where paths begin that are the same on every machine."""

_PLACE_NAMED: Final = re.compile(
    r"(?<![\w.})\]/:-])/[\w.-]+/[\w./-]+|\{(?:home|tmp)\}(?:/[\w./-]*)?"
)

_LOCALE: Final = re.compile(r"LANG|LC_[A-Z]+")
_UTC: Final = frozenset({"", "UTC", "UTC0", "Etc/UTC", "GMT"})
_PLACES: Final = re.compile(
    r"NCCL_(?:SOCKET_\w+|IB_\w+|NET\w*|TOPO\w*|COMM_ID|HOSTID|DEBUG_FILE|GRAPH_\w+)"
    r"|SOURCE_DATE_EPOCH"
)
"""Variables about the network of a cluster, or the time: they move no number of one machine."""


def coarse_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables of a run without time zone, language and the network of a cluster."""
    kept = {}
    for name, value in variables.items():
        if _PLACES.fullmatch(name) or (name == "TZ" and value not in _UTC):
            continue
        if _LOCALE.fullmatch(name):
            kept[name] = _coarse_locale(value)
            continue
        entries = value.split(":") if name.endswith("PATH") or name == "LD_PRELOAD" else [value]
        public = [entry for entry in entries if not private_paths(entry)]
        if public:
            kept[name] = ":".join(public)
    return kept


def private_paths(text: str) -> tuple[str, ...]:
    """The places of a machine that a text names, but for those of the system and of the project."""
    return tuple(
        path for path in _PLACE_NAMED.findall(text) if not path.startswith((*_SYSTEM, "//"))
    )


def without_private_paths(text: str) -> str:
    """A text for people without the places of a machine that it names."""
    for path in private_paths(text):
        text = text.replace(path, "…")
    return text


def coarse_environment(environment: Environment) -> Environment:
    """An environment without what is rare about a machine or an installation."""
    distributions = environment.distributions
    if environment.python is not None:
        needed = {
            one.name for one in select(distributions, environment.python, environment.machine)
        }
        distributions = tuple(
            _coarse_distribution(one)
            for one in distributions
            if one.imported or one.name in needed or one.editable
        )
    return replace(
        environment,
        machine=coarse_machine(environment.machine),
        python=None if environment.python is None else _coarse_python(environment.python),
        distributions=distributions,
        conda=tuple(_coarse_conda(package) for package in environment.conda),
        r=tuple(replace(package, commit="") for package in environment.r),
        # Of packages and code in the bundle they say nothing new; of others, the names.
        modules=(),
        numerics={
            # `sys.version` has the second in which an interpreter was built.
            library: {k: v for k, v in settings.items() if k != "sys_version"}
            for library, settings in environment.numerics.items()
        },
    )


def coarse_machine(machine: Machine) -> Machine:
    """A machine as an anonymous release tells it; a reader compares hers in the same form."""
    return Machine(
        system=machine.system,
        architecture=machine.architecture,
        kernel=".".join(machine.kernel.split(".")[:2]),
        distribution=machine.distribution,
        libc=machine.libc,
        cpu=machine.cpu,
        cpu_flags=machine.cpu_flags,
        cpu_count=machine.cpu_count,
        memory=_power_of_two(machine.memory),
        accelerators=tuple(_coarse_accelerator(one) for one in machine.accelerators),
        locale=_coarse_locale(machine.locale),
        facts={
            name: value
            for name, value in machine.facts.items()
            if name in KEPT_FACTS or KEPT_GPU_FACTS.fullmatch(name)
        },
    )


def _coarse_locale(locale: str) -> str:
    if locale in COMMON_LOCALES:
        return locale
    return "C.UTF-8" if re.search(r"utf-?8", locale, re.IGNORECASE) else "C"


def _power_of_two(size: int) -> int:
    """The nearest power of two: of 24 or 25 GiB it is 32 GiB, as of many machines."""
    if size <= 0:
        return 0
    below = 1 << (size.bit_length() - 1)
    return below if size * size <= 2 * below * below else 2 * below


def _coarse_accelerator(told: str) -> str:
    """`NVIDIA A100-SXM4-40GB, 40960 MiB, 535.54.03`: of the driver its branch only."""
    name, comma, driver = told.rpartition(", ")
    return f"{name}, {driver.partition('.')[0]}" if comma else told


def _coarse_python(python: Python) -> Python:
    # The build has the second in which this interpreter was compiled.
    return replace(python, build="")


def _coarse_distribution(one: Distribution) -> Distribution:
    """Without the digest of RECORD, which depends on the path of the environment (scripts)."""
    return replace(one, record_sha256=None, archive=one.archive if one.origin == "index" else None)


def _coarse_conda(package: CondaPackage) -> CondaPackage:
    if package.channel in PUBLIC_CHANNELS:
        return package
    return replace(package, channel="", sha256=None, md5=None)
