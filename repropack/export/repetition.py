# SPDX-License-Identifier: Apache-2.0
"""A bundle that stays here: everything that repeats a recorded run on the machine that has it.

Unlike a release it is made for nobody else: nothing is withheld or replaced, no commitment is kept,
data stays where it is, and what the run itself left is not packed but compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from repropack.export.chain import choose_artifacts, require_code, trace_chain
from repropack.export.claims import claim_metrics
from repropack.export.data import choose_data
from repropack.export.environments import plan_environments
from repropack.export.planned import ExportPlan
from repropack.model import Basis, Claim, ClaimMode, Exact, Metric
from repropack.project_file import DeclaredClaim, ProjectFile, read_project_file
from repropack.store import Store, StoredRun

__all__ = ["plan_repetition"]


def plan_repetition(
    store: Store, target: StoredRun, variables: Mapping[str, str], *, offline: bool = False
) -> ExportPlan:
    """Decides what a repetition of a recorded run needs. Nothing is written.

    Args:
        store: The project's store.
        target: The run.
        variables: The user's environment variables: they say which package index is hers.
        offline: Whether no package index is asked.

    Raises:
        UsageError: The run, or one whose files it read, has no record, code or environment, or a
            file of it was not kept; or `repropack.yaml` is not in order.
        RepropackError: uv or git failed.
    """
    chain = trace_chain(store, target)
    require_code(chain)
    segments = chain[-1].record.segments
    environments, environments_of = plan_environments(
        store, chain, variables, None, offline=offline
    )
    return ExportPlan(
        store=store,
        chain=chain,
        artifacts=choose_artifacts(store, chain, (), weights=len(segments) > 1),
        data=choose_data(store, chain, ProjectFile(), include=False),
        claims=_claims(
            store.metrics(target).metrics,
            read_project_file(store.project).claims or (),
            retraining_only=len(chain) == 1 and len(segments) == 1,
            resumed=len(segments) > 1,
        ),
        seeds=(),
        environments=environments,
        environments_of=environments_of,
        licences={},
        title=store.project.name,
        published=segments[-1].ended,
        held_back=(),
        warnings=(),
    )


def _claims(
    metrics: Sequence[Metric],
    declared: Sequence[DeclaredClaim],
    *,
    retraining_only: bool,
    resumed: bool,
) -> tuple[Claim, ...]:
    """What is compared: the declared claims that this run has, else its final metrics.

    A tolerance that the author declared counts; without one, the very number has to come out.
    """
    names = {metric.name for metric in metrics}
    # The file may speak of another run of the project: an evaluation, where this is a training.
    own = tuple(choice for choice in declared if choice.metric in names)
    claims = claim_metrics(
        metrics,
        own or None,
        retraining_only=retraining_only,
        resumed=resumed,
        limit=len(metrics),
    )
    return tuple(
        claim
        if claim.basis is Basis.DECLARED
        else replace(claim, tolerance=Exact(), note="the very number")
        for claim in claims
        if claim.mode is not ClaimMode.RETRAIN_NEW_SEED
    )
