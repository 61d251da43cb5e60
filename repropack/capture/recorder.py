# SPDX-License-Identifier: Apache-2.0
"""`repropack run`: records one execution of a command without getting in its way.

Before the command: code snapshot and a scan of the work tree. During it: its output, and what the
agent in its Python processes sees. After it: outputs, inputs, environment, metrics, the record.

A failure of the recorder is a warning and a gap in the record; it never changes what the command
does, prints or returns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from repropack.agent import BEGAN, with_agent, without_agent
from repropack.capture.beginning import METRIC_LOG, prepare
from repropack.capture.command import CommandNotStartedError
from repropack.capture.gaps import Gaps, some
from repropack.capture.interruption import Interruption
from repropack.capture.patience import Patience
from repropack.capture.preloading import Preloading
from repropack.capture.preparation import Prepared
from repropack.capture.relay import CommandNotWatchedError
from repropack.capture.request import RunRequest
from repropack.capture.standard_input import StandardInput
from repropack.capture.streams import ProcessEnd, run_command
from repropack.capture.traced_files import UNTRACED, TracedFiles
from repropack.capture.tracing import (
    TRACE_LOG,
    TraceMode,
    is_python,
    traced,
    why_not_traced,
    with_rights,
)
from repropack.errors import RepropackError, UsageError
from repropack.metric_log import VARIABLE as METRICS_VARIABLE
from repropack.model import Gap
from repropack.store import now

if TYPE_CHECKING:
    from repropack.capture.trace_log import TraceReader

__all__ = ["Recorded", "RunRequest", "record"]


class Recorded(Struct, frozen=True, kw_only=True):
    """What came of it. `run_id` is None where nothing could be recorded.

    Attributes:
        gaps: What the record does not hold.
        segment: Which segment of the run it is, from 1.
    """

    end: ProcessEnd
    run_id: str | None
    segment: int = 1
    gaps: tuple[Gap, ...] = ()


def record(
    request: RunRequest,
    *,
    directory: Path,
    environment: Mapping[str, str],
    warn: Callable[[str], None],
) -> Recorded:
    """Runs a command and records it.

    Args:
        request: The command and its options.
        directory: The working directory.
        environment: The environment that the command gets.
        warn: Told in one line about anything that cannot be recorded.

    Raises:
        CommandNotStartedError: The command does not exist or cannot be executed.
        CommandNotWatchedError: Descriptors, threads or processes are exhausted; it was not started.
        UsageError: strace was asked for and cannot trace here; nothing was started.
    """
    environment = without_agent(environment)
    gaps = Gaps()
    untraced = _why_untraced(request, directory, environment)
    if untraced and request.trace is TraceMode.STRACE:
        raise UsageError(
            f"--trace strace: {untraced}",
            advice="make it available, or leave the option out: what cannot be seen is then said",
        )
    with Patience(warn, "taking the code and looking at the project's files"):
        prepared = gaps.attempt(
            "start", lambda: prepare(request, directory, environment, gaps), None
        )
    if prepared is None:
        for gap in gaps.found:
            warn(f"this run is not recorded: {gap.message}")
        end = run_command(
            request.argv,
            environment=environment,
            directory=directory,
            stdout_log=Path(os.devnull),
            stderr_log=Path(os.devnull),
        )
        return Recorded(end=end, run_id=None)
    agent_output = prepared.run.place / "agent"
    trace_log = prepared.run.place / TRACE_LOG
    reader = _reader(trace_log, str(directory)) if untraced is None else None
    if reader is not None:
        gaps.attempt("inputs", lambda: (agent_output / BEGAN).write_text("traced\n"), 0)
    standard_input = StandardInput()
    # While the command runs, `run_command` has handlers of its own.
    with Interruption() as interruption:
        try:
            end = run_command(
                traced(request.argv, trace_log) if reader else request.argv,
                environment={
                    **with_agent(environment, str(agent_output)),
                    METRICS_VARIABLE: str(prepared.run.place / METRIC_LOG),
                },
                directory=directory,
                stdout_log=prepared.run.place / "stdout.log",
                stderr_log=prepared.run.place / "stderr.log",
                followers=(Preloading(), *((reader,) if reader else ())),
            )
        except (CommandNotStartedError, CommandNotWatchedError):
            gaps.attempt("start", lambda: prepared.store.discard(prepared.run), None)
            raise
        ended = now()
        if standard_input.was_read():
            held = "its file is recorded" if standard_input.is_file else "what came is not kept"
            gaps.add(
                "inputs",
                f"the command read its standard input: {held}, and a repetition has none; name a "
                "file in the command instead",
            )
        if end.goes_on:
            gaps.add(
                "outputs",
                "something that the command started still ran when it had ended: what that reads "
                "and writes later is not recorded; `wait` for it in the command",
            )
        if end.log_failed:
            gaps.add("console", "the output of the command could not be kept whole")
        trace = _read_trace(reader, untraced, gaps)

        def finish() -> bool:
            from repropack.capture.conclusion import conclude
            from repropack.capture.ended import EndedCommand

            return conclude(
                EndedCommand(
                    request=request,
                    prepared=prepared,
                    end=end,
                    ended=ended,
                    directory=directory,
                    environment=environment,
                    trace=trace,
                    gaps=gaps,
                    interruption=interruption,
                    tell=warn,
                )
            )

        written = gaps.attempt("record", finish, False)
    for gap in gaps.found:
        warn(gap.message)
    if not written:
        state = (
            "is in place, but it is unknown whether it survives a power cut"
            if _is_in_place(prepared)
            else "could not be written"
        )
        warn(f"the record of run {prepared.run.id} {state}")
    return Recorded(
        end=end,
        run_id=prepared.run.id if written else None,
        segment=prepared.run.segment,
        gaps=tuple(gaps.found),
    )


def _is_in_place(prepared: Prepared) -> bool:
    """Whether the record has the segment that could not be confirmed."""
    try:
        record = prepared.store.run(prepared.run.id).record
    except (OSError, RepropackError):
        return False
    return record is not None and len(record.segments) == prepared.run.segment


def _why_untraced(
    request: RunRequest, directory: Path, environment: Mapping[str, str]
) -> str | None:
    """Why a command is not traced by strace: empty where it need not be, None where it is."""
    search = environment.get("PATH", os.defpath)
    if request.trace is TraceMode.PYTHON or (
        request.trace is TraceMode.AUTO and is_python(request.argv, directory, search)
    ):
        return ""
    return why_not_traced(request.argv, directory, environment) or None


def _reader(log: Path, directory: str) -> TraceReader:
    # With ctypes some 10 ms, which a Python command does without.
    from repropack.capture.trace_log import TraceReader

    return TraceReader(log, directory)


def _read_trace(reader: TraceReader | None, untraced: str | None, gaps: Gaps) -> TracedFiles:
    """What strace saw; it is said where that is not all."""
    if reader is None:
        if untraced:
            gaps.add("trace", f"the command was not traced: {untraced}")
        return UNTRACED
    files, reason = reader.result()
    if reason:
        gaps.add("trace", f"the trace is not whole: {reason}")
    if weakened := with_rights(files.programs):
        gaps.add(
            "trace",
            f"under strace these programs do not get the rights of their owner: {some(weakened)}; "
            "if one failed for that, record with --trace python",
        )
    return files
