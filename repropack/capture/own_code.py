# SPDX-License-Identifier: Apache-2.0
"""The project's own code when the command has ended: is it still what was taken?"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from msgspec import structs

from repropack.agent.log import ProcessObservation
from repropack.capture.ended import EndedCommand
from repropack.capture.gaps import Gaps, some
from repropack.capture.interpreter import interpreter_prefixes, library_paths
from repropack.capture.materials import Surroundings
from repropack.capture.preparation import Prepared, mask
from repropack.model import SourceSnapshot, UncapturedFile
from repropack.source.snapshot import Taken, changed_since, files_of, forget_times, preserve
from repropack.source.untracked import over_limit
from repropack.worktree import Changes

__all__ = ["said_of_left_out", "settled_source", "surroundings"]

COARSEST_TICK: Final = 2_000_000_000
"""Nanoseconds: FAT keeps even seconds."""


def settled_source(
    prepared: Prepared, changes: Changes, code: frozenset[str], gaps: Gaps
) -> SourceSnapshot | None:
    """The snapshot of the project, with its objects made safe and with what has changed since.

    Args:
        prepared: The recording.
        changes: What happened in the work tree while the command ran.
        code: The files of the snapshot.
        gaps: Told what changed, and what failed.

    Returns:
        None where no snapshot could be taken.
    """
    if prepared.taken is None:
        return None
    taken, git = prepared.taken, prepared.store.git
    changed: tuple[str, ...] = ()
    if _is_untouched(prepared, taken, changes, code):
        gaps.attempt("code", lambda: forget_times(git, taken), None)
    else:
        changed = gaps.attempt("code", lambda: changed_since(prepared.root, git, taken), ())
    gaps.attempt(
        "code",
        lambda: preserve(
            prepared.root,
            git,
            taken.snapshot.tree,
            versioned=taken.snapshot.versioned,
            object_format=taken.object_format,
            place=taken.place,
        ),
        None,
    )
    # Where a filter applies, git sees a difference that is none: the scan tells better.
    unknown = prepared.console | (taken.filtered - set(changes.written))
    changed = tuple(path for path in changed if path not in unknown)
    if changed:
        gaps.add(
            "code", f"code changed while the run went on; recorded as it began: {some(changed)}"
        )
    snapshot = taken.snapshot
    return structs.replace(
        snapshot,
        excluded=tuple(
            UncapturedFile(path=mask(e.path, prepared.paths), size=e.size, reason=e.reason)
            for e in snapshot.excluded
        ),
        changed_during_run=changed,
    )


def said_of_left_out(source: SourceSnapshot | None, known: Collection[str]) -> tuple[str, ...]:
    """A line about files that are too large for code, if they are recorded nowhere else.

    Args:
        source: The snapshot of the project.
        known: Recorded paths of what the run was seen reading or writing.
    """
    left = [
        file.path
        for file in (source.excluded if source is not None else ())
        if over_limit(file)
        and not any(
            path == f"{{project}}/{file.path}"
            or (file.path.endswith("/") and path.startswith(f"{{project}}/{file.path}"))
            for path in known
        )
    ]
    if not left:
        return ()
    return (
        "untracked and too large for code, and not seen being read, so not recorded: "
        f"{some(left)}; track it, or have it ignored",
    )


def _is_untouched(prepared: Prepared, taken: Taken, changes: Changes, code: frozenset[str]) -> bool:
    """Whether the scans alone prove that no file of the code has changed: that spares a git.

    The first scan came before the snapshot. A stamp tells every later change but one within the
    same tick of the file system's clock, so all files must have been older then.
    """
    before = prepared.before.files
    settled = prepared.scanned_ns - COARSEST_TICK
    return (
        # None at all: they could not be listed.
        bool(code)
        and not taken.submodules
        and code.isdisjoint(changes.written)
        and code.isdisjoint(changes.deleted)
        and all(
            (stamp := before.get(path)) is not None
            and max(stamp.mtime_ns, stamp.ctime_ns) < settled
            for path in code
        )
    )


def surroundings(
    ended: EndedCommand, processes: tuple[ProcessObservation, ...], program: Path
) -> Surroundings:
    """Where the run stood, as far as it tells code from data.

    Args:
        ended: The command.
        processes: What Python processes told.
        program: What was started.
    """
    prepared, environment = ended.prepared, ended.environment
    code: tuple[str, ...] = ()
    if prepared.taken is not None:
        taken = prepared.taken
        code = ended.gaps.attempt("code", lambda: files_of(prepared.store.git, taken), ())
    return Surroundings(
        project=str(prepared.root),
        home=environment.get("HOME", ""),
        interpreters=tuple(
            dict.fromkeys(
                p
                for p in (
                    *(p for o in processes for p in (o.prefix, o.base_prefix)),
                    # With -I no agent says where it is installed.
                    *interpreter_prefixes(program),
                )
                if p
            )
        ),
        library_paths=library_paths(processes),
        code=frozenset(code),
        temporary=environment.get("TMPDIR", "/tmp"),  # noqa: S108 - its name, not a file in it
    )
