# SPDX-License-Identifier: Apache-2.0
"""What an author is told about her anonymous release: what is coarser, what stays, what may tell.

Pure: the plan under her name and the anonymous one in, lines for her screen out.
"""

from __future__ import annotations

import re
from typing import Final

from repropack.environment.coarsening import private_paths
from repropack.export.chain import code_of
from repropack.export.planned import ExportPlan

__all__ = ["coarsened", "left_out", "places_in_commands", "remarks"]

_DATED: Final = re.compile(r"(?:19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d|(?<!\d)1[67]\d{8}(?!\d)")
"""A day, or seconds since 1970, in a name."""


def coarsened(before: ExportPlan, after: ExportPlan) -> tuple[str, ...]:
    """What goes out in a coarser form, in words."""
    lines = [
        "run ids: new ones, of this release alone",
        f"times: every run starts at {after.published}; how long it took is kept",
    ]
    for old, new in zip(before.environments, after.environments, strict=True):
        was, now = old.environment.machine, new.environment.machine
        changes = [
            f"{name} {then} → {here}"
            for name, then, here in (
                ("kernel", was.kernel, now.kernel),
                ("memory", was.memory, now.memory),
                ("locale", was.locale, now.locale),
                ("accelerators", ", ".join(was.accelerators), ", ".join(now.accelerators)),
            )
            if then != here
        ]
        if changes:
            lines.append(f"machine: {'; '.join(changes)}")
    lines += [
        f"{path}: a submodule: the commit that is packed stands for its own, .gitmodules has no "
        "address, and the release has no commitment to your commit"
        for chained in after.chain
        for segment in chained.record.segments
        for _, source in code_of(segment)
        for path in source.submodules
    ]
    for one, other in zip(_variables(before), _variables(after), strict=True):
        lines += [
            f"variables: {name}={value} → {other[name]}"
            for name, value in one.items()
            if name in other and other[name] != value
        ]
    return tuple(dict.fromkeys(lines))


def _variables(planned: ExportPlan) -> list[dict[str, str]]:
    return [
        segment.invocation.variables
        for chained in planned.chain
        for segment in chained.record.segments
    ]


def left_out(before: ExportPlan, after: ExportPlan) -> tuple[str, ...]:
    """What stays here because of the anonymity, in words."""
    lines = ["names of runs, names of files that are not packed, the ids of trees that are not"]
    for old, new in zip(before.environments, after.environments, strict=True):
        facts = len(old.environment.machine.facts) - len(new.environment.machine.facts)
        packages = len(old.environment.distributions) - len(new.environment.distributions)
        lines.append(
            f"{old.directory}: {facts} facts of the machine, {packages} packages that no run "
            "needed, the build of Python, digests of installations"
        )
    gone = {
        name
        for one, other in zip(_variables(before), _variables(after), strict=True)
        for name in one.keys() - other.keys()
    }
    if gone:
        lines.append(f"variables: {', '.join(sorted(gone))}")
    paths = [d.manifest.name for d in before.data if d.manifest.recorded_path is not None]
    if paths:
        lines.append(f"where the data lay: {', '.join(paths)}")
    return tuple(lines)


def places_in_commands(plan: ExportPlan) -> tuple[tuple[int, str], ...]:
    """The places of the author's machine that the commands name, each with its run's number."""
    return tuple(
        dict.fromkeys(
            (chained.number, path)
            for chained in plan.chain
            for segment in chained.record.segments
            for argument in segment.invocation.argv
            for path in private_paths(argument)
        )
    )


def remarks(plan: ExportPlan) -> tuple[str, ...]:
    """What may tell something and cannot be taken out, in words."""
    lines = [
        f"data set {d.manifest.name}: its address goes out: {d.manifest.address}"
        for d in plan.data
        if d.manifest.address is not None
    ]
    lines += [
        f"package {one.name}: it is from no index, and its name goes out"
        for environment in plan.environments
        for one in environment.environment.distributions
        if one.origin in ("local", "url", "vcs")
    ]
    lines += [
        f"package {name}: its wheel was made on this machine; another release with it has the same"
        for environment in plan.environments
        for name in environment.built
    ]
    lines += [
        f"{one.member}: its name holds a time"
        for one in plan.artifacts
        if _DATED.search(one.member)
    ]
    if any(one.absent or one.unlocked for one in plan.environments) or any(
        one.locked and not one.wheels for one in plan.environments
    ):
        lines.append(
            "packages: not all are inside, so that a reviewer needs an index, which sees who asks"
        )
    return tuple(dict.fromkeys(lines))
