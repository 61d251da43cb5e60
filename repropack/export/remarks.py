# SPDX-License-Identifier: Apache-2.0
"""What the author should know before she publishes: what stays, and what may be missed."""

from __future__ import annotations

from repropack.environment.conda import channel_names, needs_conda
from repropack.export.chain import ChainedRun, ChosenArtifact, code_of, materials_of, products_of
from repropack.export.data import ChosenData
from repropack.export.environments import merge
from repropack.export.planned import PlannedEnvironment
from repropack.model import Claim, Distribution
from repropack.source.untracked import PRODUCT
from repropack.store import Store

__all__ = ["held_back", "warnings", "withheld"]


def withheld(chain: tuple[ChainedRun, ...]) -> tuple[str, ...]:
    """Which files of the code stay, in words."""
    found = {
        (root, source.tree): source.withheld
        for chained in chain
        for segment in chained.record.segments
        for root, source in code_of(segment)
        if source.withheld is not None
    }
    return tuple(
        f"code{'' if root == '{project}' else f' in {root}'}: "
        f"{one.files} of the files of tree {(one.tree or '')[:12]} "
        f"({', '.join(one.patterns)}); "
        f"the release says how many, and has tree {tree[:12]}"
        for (root, tree), one in found.items()
    )


def held_back(
    chain: tuple[ChainedRun, ...],
    artifacts: tuple[ChosenArtifact, ...],
    data: tuple[ChosenData, ...],
) -> tuple[str, ...]:
    """What was recorded and does not go out, in words."""
    packed = {(a.run, a.product.path) for a in artifacts}
    goes_out = {path for _, path in packed} | {
        f"{{project}}/{file.path}"
        for d in data
        if d.manifest.name == "project" and d.manifest.included is not None
        for file in d.manifest.files
    }
    lines = []
    for chained in chain:
        left = [
            p.path.removeprefix("{project}/")
            for p in products_of(chained.record).values()
            if (chained.number, p.path) not in packed
        ]
        if left:
            shown = ", ".join(left[:4]) + (f" and {len(left) - 4} more" if len(left) > 4 else "")
            lines.append(f"outputs of run {chained.number}: {shown} (--weights adds them)")
        lines += [
            f"{_in_place(root, excluded.path)}: {excluded.reason}"
            for segment in chained.record.segments
            for root, snapshot in code_of(segment)
            for excluded in snapshot.excluded
            if PRODUCT not in excluded.reason
            and f"{{project}}/{_in_place(root, excluded.path)}" not in goes_out
        ]
    lines += [
        f"data set {d.manifest.name}: its manifest goes out, its files do not (--include-data)"
        for d in data
        if d.manifest.included is None
    ]
    lines.append("commit history, console logs, host and user names, other variables")
    return tuple(dict.fromkeys(lines))


def _in_place(root: str, path: str) -> str:
    return path if root == "{project}" else f"{root.removeprefix('{project}/')}/{path}"


def warnings(
    store: Store,
    chain: tuple[ChainedRun, ...],
    claims: tuple[Claim, ...],
    environments: tuple[PlannedEnvironment, ...],
    data: tuple[ChosenData, ...],
) -> tuple[str, ...]:
    """What a reader will miss, in words."""
    lines = []
    if not claims:
        lines.append(
            "no number of the run is known as a result, so nothing is claimed: "
            "name the claims in repropack.yaml"
        )
    lines += [
        f"{metric.name} is {metric.text} and is not claimed: only finite numbers can be reproduced"
        for metric in store.metrics(chain[-1].stored).metrics
        if metric.value is None
    ]
    for chained in chain:
        for segment in chained.record.segments:
            lines += [f"run {chained.number}: {gap.message}" for gap in segment.gaps]
            if segment.outcome.status != 0:
                ended = segment.outcome.signal or f"status {segment.outcome.status}"
                lines.append(f"run {chained.number} ended with {ended}")
        lines += _other_environments(store, chained)
        lines += [
            f"run {chained.number}: {m.path} is not in the release, for its content is unknown"
            for m in materials_of(chained.record)
            if m.sha256 is None
        ]
    for environment in environments:
        if needs_conda(environment.environment):
            lines.append(
                f"{len(environment.environment.conda)} packages are conda's: they are locked by "
                "digest and not packed, so a reader needs their channels ("
                + ", ".join(channel_names(environment.environment))
                + ") and repropack[conda]"
            )
        if environment.unlocked and not environment.locked:
            lines.append(
                f"none of {len(environment.unlocked)} packages is locked: the package index was "
                "not reached, or has none of them; a reader cannot rebuild the environment"
            )
            continue
        lines += [
            f"{name}: no index has it as a wheel; one was made of what is installed, and is packed"
            for name in environment.built
        ]
        lines += [
            _unlocked_note(d)
            for d in environment.environment.distributions
            if d.name in environment.unlocked
        ]
    lines += [
        f"{name}: its wheel is not packed, so a reader needs a package index that has it: {reason}"
        for environment in environments
        for name, reason in environment.absent.items()
    ]
    lines += [
        f"data set {d.manifest.name} has no address: a reader must already have it"
        for d in data
        if d.manifest.included is None and d.manifest.address is None and not d.copied
    ]
    return tuple(dict.fromkeys(lines))


def _other_environments(store: Store, chained: ChainedRun) -> list[str]:
    """Segments that ran with other packages than the last one, whose environment is packed."""
    *earlier, last = (segment.environment for segment in chained.record.segments)
    if last is None:
        return []
    packed = store.environment(last)
    return [
        f"run {chained.number}: segment {number} ran in another environment than the last one, "
        "whose packages are those in the release"
        for number, sha256 in enumerate(earlier, 1)
        if sha256 is not None and merge(packed, store.environment(sha256)) is None
    ]


def _unlocked_note(package: Distribution) -> str:
    """What is said of a package whose wheel is not known, and what can be done."""
    note = f"{package.name}: no wheel of {package.version} in the package index; it is not locked"
    if package.imported:
        note += ", so a reader cannot rebuild the environment"
    if "+" in package.version:
        note += (
            "; name the index or the folder that it came from (UV_INDEX or PIP_EXTRA_INDEX_URL, "
            "UV_FIND_LINKS or PIP_FIND_LINKS) and export again"
        )
    return note
