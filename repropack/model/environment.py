# SPDX-License-Identifier: Apache-2.0
"""The software and the machine that a run had."""

from __future__ import annotations

from repropack.model.fields import Count, Record, Sha256, Size, SparseRecord

__all__ = ["CondaPackage", "Distribution", "Environment", "Machine", "Python", "RPackage", "Wheel"]


class Wheel(Record, frozen=True, kw_only=True):
    """A built archive that an index offered for a recorded distribution."""

    filename: str
    sha256: Sha256


class Distribution(SparseRecord, frozen=True, kw_only=True):
    """An installed Python distribution.

    Attributes:
        name: Normalised name (PEP 503).
        tags: The `Tag:` lines of its WHEEL file: they give the file name of the wheel it came from.
        record_sha256: Digest of its RECORD file.
        imported: Whether the run imported something of it.
        editable: Whether it is an editable install, whose code is a code root.
        origin: `index`, `local` (a file or directory), `url` (an archive elsewhere), `vcs`, or
            `conda` (part of one of `Environment.conda`).
        archive: The wheel that was installed, where the installer wrote its name and digest down.
        entry_points: Of an install that is from no index: group to name to `module:attribute`.
    """

    name: str
    version: str
    tags: tuple[str, ...] = ()
    record_sha256: Sha256 | None = None
    imported: bool = False
    editable: bool = False
    origin: str = "index"
    requires: tuple[str, ...] = ()
    archive: Wheel | None = None
    entry_points: dict[str, dict[str, str]] = {}


class Python(SparseRecord, frozen=True, kw_only=True):
    """The interpreter of a run.

    Attributes:
        version: Full version such as `3.11.7`.
        cache_tag: For example `cpython-311`.
        flags: `sys.flags` that are not 0.
    """

    implementation: str
    version: str
    cache_tag: str
    build: str = ""
    compiler: str = ""
    flags: dict[str, int] = {}
    virtual: bool = False


class CondaPackage(SparseRecord, frozen=True, kw_only=True):
    """A package that conda installed.

    Attributes:
        build: Its build string.
        file_name: Of its archive, such as `numpy-1.26.4-py311h64a7726_0.conda`.
        channel: The name of its channel, without address.
        platform: Such as `linux-64` or `noarch`.
        sha256: Of its archive, where conda recorded it; older ones have only the MD5.
    """

    name: str
    version: str
    build: str = ""
    file_name: str = ""
    channel: str = ""
    platform: str = ""
    sha256: Sha256 | None = None
    md5: str | None = None


class RPackage(SparseRecord, frozen=True, kw_only=True):
    """A package of R that was loaded; `base` has the version of R.

    Attributes:
        built: The version of R that it was installed with.
        repository: Such as `CRAN`, where it says so.
        commit: Of what was installed from version control.
    """

    name: str
    version: str
    built: str = ""
    repository: str = ""
    commit: str = ""


class Machine(SparseRecord, frozen=True, kw_only=True):
    """Platform facts that can change results; no host, user or address among them.

    Attributes:
        facts: Further facts by name, as text: limits, NUMA, control group, container, GPUs.
    """

    system: str
    architecture: str
    kernel: str = ""
    distribution: str = ""
    libc: str = ""
    cpu: str = ""
    cpu_flags: tuple[str, ...] = ()
    cpu_count: int = 0
    memory: Size = 0
    accelerators: tuple[str, ...] = ()
    locale: str = ""
    timezone: str = ""
    facts: dict[str, str] = {}


class Environment(SparseRecord, frozen=True, kw_only=True):
    """`environment/environment.json`.

    Attributes:
        python: None where no Python process was observed.
        numerics: For each numerics library that was imported, its settings as text, for example
            `{"torch": {"num_threads": "2"}}`.
        modules: Top-level modules that were imported, of distributions or of the project.
        conda: The packages of the interpreter's conda environment, where it is one.
        r: The packages of R that were loaded, where a trace saw it.
    """

    version: Count
    machine: Machine
    python: Python | None = None
    distributions: tuple[Distribution, ...] = ()
    numerics: dict[str, dict[str, str]] = {}
    modules: tuple[str, ...] = ()
    conda: tuple[CondaPackage, ...] = ()
    r: tuple[RPackage, ...] = ()
