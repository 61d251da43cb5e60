# SPDX-License-Identifier: Apache-2.0
"""Which files a run read and wrote, as far as it was observed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from repropack.agent.log import ProcessObservation, read_agent_logs
from repropack.capture.gaps import Gaps, some
from repropack.capture.materials import Candidate, Surroundings, is_below
from repropack.capture.native_readers import natively_read
from repropack.capture.preparation import Prepared, is_inside
from repropack.capture.request import RunRequest
from repropack.capture.unobserved import declared_files, named_directories, present_files
from repropack.model import Evidence
from repropack.store import Store

__all__ = ["is_input", "with_natively_read", "with_unread", "without_others"]


def is_input(path: str, around: Surroundings) -> bool:
    """Whether a path that strace saw opened is that of a file."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        # One of a data set that was removed meanwhile was read all the same.
        return not (around.temporary and is_below(path, around.temporary))


def without_others(
    written: tuple[str, ...],
    prepared: Prepared,
    processes: tuple[ProcessObservation, ...],
    gaps: Gaps,
) -> tuple[str, ...]:
    """What changed, but for files that only another run of this project was seen writing."""
    nothing: tuple[Path, ...] = ()
    others = gaps.attempt(
        "outputs", lambda: prepared.store.overlapping(prepared.run, prepared.started_ns), nothing
    )
    if not others:
        return written
    theirs: set[str] = set()
    unread: tuple[ProcessObservation, ...] = ()
    for other in others:
        seen = gaps.attempt("outputs", partial(read_agent_logs, other / "agent"), unread)
        theirs |= {os.path.realpath(path) for process in seen for path in process.opened_written}
    ours = {os.path.realpath(path) for process in processes for path in process.opened_written}
    kept = tuple(path for path in written if str(prepared.root / path) not in theirs - ours)
    if unclear := [path for path in kept if str(prepared.root / path) not in ours]:
        gaps.add(
            "outputs",
            f"run {some(_ids(others, prepared.store))} went on at the same time, and no Python "
            f"process was seen writing {some(unclear)}: it may be the output of either",
        )
    return kept


def _ids(places: Iterable[Path], store: Store) -> list[str]:
    runs = store.directory / "runs"
    return list(dict.fromkeys(place.relative_to(runs).parts[0] for place in places))


def with_unread(
    read: tuple[Candidate, ...],
    request: RunRequest,
    directory: Path,
    prepared: Prepared,
    around: Surroundings,
    written: set[str] | None,
    gaps: Gaps,
) -> tuple[Candidate, ...]:
    """What was seen being read, and what may have been: declared data, files that lay there.

    `written` is what the run changed, relative to the project; None where all was observed.
    """
    evidence = {candidate.path: candidate.evidence for candidate in read}
    declared: list[str] = []
    code = {f"{prepared.root}/{path}" for path in around.code} if request.data else set()
    for place in request.data.values():
        if written is not None or not any(is_inside(path, place) for path in evidence):
            declared += (path for path in declared_files(place) if path not in code)
    if written is not None:
        declared += named_directories(request.argv[1:], str(directory), prepared, around, gaps)
    alone = (Evidence.DECLARED,)
    for path in declared:
        seen = evidence.setdefault(path, alone)
        if Evidence.DECLARED not in seen:
            evidence[path] = tuple(sorted((*seen, Evidence.DECLARED)))
    if written is not None:
        for path in present_files(prepared, around, gaps):
            if path not in evidence and os.path.relpath(path, prepared.root) not in written:
                evidence[path] = (Evidence.PRESENT,)
    return tuple(Candidate(path=p, evidence=e) for p, e in sorted(evidence.items()))


def with_natively_read(
    read: tuple[Candidate, ...],
    processes: tuple[ProcessObservation, ...],
    argv: tuple[str, ...],
    directory: str,
    prepared: Prepared,
    around: Surroundings,
    variables: Mapping[str, str],
    declared: Iterable[Path],
    gaps: Gaps,
) -> tuple[Candidate, ...]:
    """What was seen being read, and what libraries may have read below Python."""
    nothing: dict[str, Evidence] = {}
    seen = [
        *(candidate.path for candidate in read),
        *(path for process in processes for path in process.opened_read),
    ]
    found = gaps.attempt(
        "inputs",
        lambda: natively_read(
            processes, argv[1:], directory, seen, prepared, around, variables, declared, gaps
        ),
        nothing,
    )
    more = (Candidate(path=path, evidence=(evidence,)) for path, evidence in found.items())
    return tuple(sorted((*read, *more), key=lambda candidate: candidate.path))
