# SPDX-License-Identifier: Apache-2.0
"""What is said of the packages of a rebuilt environment, and whether it can be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from repropack.environment.installation import check_installation
from repropack.environment.lock import LockedPackage
from repropack.findings import Code, Finding

__all__ = ["check_packages"]

MAX_STARTUP_SHOWN: Final = 20
"""Findings about code that runs at the start: no sound environment has more of it."""


def check_packages(
    environment: Path, site: Path, locked: Sequence[LockedPackage], own: Mapping[str, str]
) -> tuple[list[Finding], bool]:
    """Whether every installed file is the one of its wheel; says which code runs unasked.

    Args:
        environment: The environment.
        site: Where its packages are.
        locked: Those that were installed.
        own: What the environment held before.

    Returns:
        What to report, and whether a file is not what it should be.

    Raises:
        OSError: The environment cannot be read.
    """
    found = check_installation(environment, site, locked, own)
    findings = [
        Finding(
            code=Code.STARTUP_CODE,
            subject=name,
            found=path,
            expected="that you know of it: it runs in the sandbox before the recorded command",
        )
        for name, path in found.startup[:MAX_STARTUP_SHOWN]
    ]
    if found.altered:
        name, path = found.altered[0]
        more = f", one of {len(found.altered)} such files" if len(found.altered) > 1 else ""
        findings.append(
            Finding(
                code=Code.PACKAGE_ALTERED,
                subject=name or "a package",
                found=f"{path}{more}",
                expected="what the RECORD of a locked wheel lists, and nothing else; remove the "
                "folder repropack/uv in your cache directory and verify again: if it is still so, "
                "the wheel itself is not in order, which is for its author to mend",
            )
        )
    return findings, bool(found.altered)
