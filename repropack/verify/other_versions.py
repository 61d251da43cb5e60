# SPDX-License-Identifier: Apache-2.0
"""Other versions of packages than the recorded ones, because the reader asks for them.

The recorded version may no longer be had, or the question is what hangs on it. What is installed
instead is a wheel of the reader's own index, by the digest that the index states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from repropack.environment.lock import LockedPackage
from repropack.environment.rebuilding import EnvironmentNotBuiltError
from repropack.environment.uv import Uv
from repropack.environment.wheel_digests import find_wheels
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.findings import Code, Finding
from repropack.model import Difference
from repropack.verify.release import Release, ReleaseEnvironment

__all__ = ["check_versions", "said_of_versions", "with_versions"]


def check_versions(release: Release, needed: Iterable[str], versions: Mapping[str, str]) -> None:
    """Says no to a package that nothing of the repetition has.

    Raises:
        UsageError: It is not there, or conda brought it.
    """
    there = {
        one.name: one.origin
        for directory in needed
        for one in release.environments[directory].environment.distributions
    }
    for name in versions:
        if name not in there:
            raise UsageError(
                f"--package {name}: the recorded environment has no such package",
                advice="the packages of a bundle are in its environment/environment.json",
            )
        if there[name] == "conda":
            raise UsageError(
                f"--package {name}: it came from conda, of which no other version can be taken"
            )


def with_versions(
    uv: Uv, specification: ReleaseEnvironment, versions: Mapping[str, str]
) -> tuple[ReleaseEnvironment, tuple[Difference, ...]]:
    """An environment with other versions, and how it differs from the recorded one.

    Args:
        uv: The program, and the reader's index.
        specification: The recorded environment.
        versions: Package to version; one that the environment does not have changes nothing.

    Raises:
        EnvironmentNotBuiltError: The index has no wheel of a version for this Python.
    """
    python = specification.environment.python
    assert python is not None
    locked: dict[str, LockedPackage] = {one.name: one for one in specification.locked}
    distributions = list(specification.environment.distributions)
    differences = []
    for place, one in enumerate(distributions):
        version = versions.get(one.name, one.version)
        if version == one.version:
            continue
        other = replace(one, version=version, archive=None, origin="index", editable=False)
        found, _ = find_wheels(uv, [other], python)
        if not found:
            raise EnvironmentNotBuiltError(
                f"there is no {one.name} {version}",
                finding=Finding(
                    code=Code.PACKAGE_MISSING,
                    subject=f"{one.name} {version}",
                    found=f"no wheel for Python {python.version} in your package index",
                ),
                advice="name another version",
            )
        locked[one.name] = found[0]
        distributions[place] = other
        differences.append(Difference(subject=one.name, recorded=one.version, present=version))
    environment = replace(specification.environment, distributions=tuple(distributions))
    changed = replace(specification, environment=environment, locked=tuple(locked.values()))
    return changed, tuple(differences)


def said_of_versions(differences: Iterable[Difference], versions: Mapping[str, str]) -> str:
    """What a verdict has to say of them: nothing where all is as recorded."""
    parts = {
        f"{one.subject} {show(one.present)} instead of {show(one.recorded)}"
        for one in differences
        if versions.get(one.subject) == one.present
    }
    return f"; with {', '.join(sorted(parts))}" if parts else ""
