# SPDX-License-Identifier: Apache-2.0
"""The files that repeated runs left, compared by digest with those that were recorded."""

from __future__ import annotations

import os
from collections.abc import Sequence

from repropack.digest import hash_descriptor
from repropack.escaping import show
from repropack.model import OutputComparison
from repropack.paths import open_beneath
from repropack.placeholders import UnfilledError, fill
from repropack.verify.execution import HOST
from repropack.verify.repetition import Repeated

__all__ = ["compare_outputs"]

_PROJECT = "{project}/"


def compare_outputs(repetitions: Sequence[Repeated]) -> tuple[OutputComparison, ...]:
    """Compares what the last segment of each repeated run left below the project.

    Only what a repetition itself wrote counts: a file that lay there before shows nothing.

    Args:
        repetitions: Each with its work directory still in place; one at least.
    """
    chains = [(*repeated.earlier, repeated) for repeated in repetitions]
    found = []
    for same_run in zip(*chains, strict=True):
        run = same_run[0].run
        for product in run.packed.record.segments[-1].products:
            if not product.path.startswith(_PROJECT):
                continue
            fresh = [_digest(one, product.path.removeprefix(_PROJECT)) for one in same_run]
            other = [digest for digest in fresh if digest != product.sha256]
            found.append(
                OutputComparison(
                    run=run.number,
                    path=show(product.path.removeprefix(_PROJECT)),
                    recorded=product.sha256,
                    fresh=other[0] if other else product.sha256,
                )
            )
    return tuple(found)


def _digest(repeated: Repeated, recorded: str) -> str | None:
    """The digest of a file that a repetition wrote; the code may have put anything there."""
    try:
        name = fill(recorded, {"host": HOST})
        if name not in repeated.written:
            return None
        descriptor = open_beneath(repeated.project, name)
    except (OSError, UnfilledError):
        return None
    try:
        return hash_descriptor(descriptor)[0]
    except OSError:
        return None
    finally:
        os.close(descriptor)
