# SPDX-License-Identifier: Apache-2.0
"""`repropack run`: records one execution of a command without getting in its way.

Before the command: code snapshot and a scan of the work tree. During it: its output, and what the
agent in its Python processes sees. After it: outputs, inputs, environment, metrics, the record.

A failure of the recorder is a warning and a gap in the record; it never changes what the command
does, prints or returns.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from repropack import canonical
from repropack.capture.agent_log import ProcessObservation, read_agent_logs
from repropack.capture.arguments import beside_project, recorded_text, without_homes
from repropack.capture.code_roots import FoundCode, find_code, take_submodules
from repropack.capture.gaps import Gaps, some
from repropack.capture.inputs import materials_inside, materials_outside, present_products
from repropack.capture.interpreter import (
    describe_environment,
    interpreter_prefixes,
    library_paths,
)
from repropack.capture.interruption import Interruption
from repropack.capture.materials import (
    Candidate,
    DataRoot,
    Surroundings,
    candidates,
    group_data,
    interpreters_of,
    is_below,
    written_outside,
)
from repropack.capture.native_readers import natively_read
from repropack.capture.outputs import KeepLimits, keep_products
from repropack.capture.preparation import (
    Prepared,
    is_inside,
    mask,
    place_on_disk,
    plain,
    recorded_path,
)
from repropack.capture.streams import CommandNotStartedError, ProcessEnd, run_command
from repropack.capture.trace_log import UNTRACED, TracedFiles, TraceReader
from repropack.capture.tracing import TraceMode, is_python, traced, why_not_traced, with_rights
from repropack.capture.unobserved import (
    behind_links,
    declared_files,
    named_directories,
    present_files,
    unseen_parts,
    unseen_pythons,
)
from repropack.environment.machine import allowed_variables
from repropack.errors import RepropackError, UsageError
from repropack.importers.run_metrics import (
    MAX_LOGGED,
    RunMetrics,
    is_searched,
    read_run_metrics,
)
from repropack.lineage import continues
from repropack.metric_log import VARIABLE as METRICS_VARIABLE
from repropack.model import (
    RECORD_VERSION,
    Evidence,
    Gap,
    Invocation,
    Material,
    MetricSet,
    Outcome,
    Product,
    RunRecord,
    Segment,
    SourceSnapshot,
    UncapturedFile,
)
from repropack.paths import read_beneath
from repropack.placeholders import Recording, data_placeholder
from repropack.source.reading import list_paths
from repropack.source.snapshot import changed_since, find_root, preserve, take
from repropack.store import KnownProduct, PrivateFacts, Store, now
from repropack.worktree import compare, scan

__all__ = ["Recorded", "RunRequest", "record"]

AGENT_DIRECTORY: Final = Path(__file__).with_name("agent")
AGENT_VARIABLE: Final = "REPROPACK_AGENT"
METRIC_LOG: Final = "metrics.log"
TRACE_LOG: Final = "trace.log"

CLOCK_OF_FILES: Final = 5
"""CLOCK_REALTIME_COARSE of linux/time.h."""


class RunRequest(Struct, frozen=True, kw_only=True):
    """What the user asked for.

    Attributes:
        data: Data set name to directory.
        trace: How the command is observed.
        resume: The id of the run that this execution goes on with, as its next segment.
        keep: Which outputs are kept.
    """

    argv: tuple[str, ...]
    name: str | None = None
    data: dict[str, Path] = {}
    trace: TraceMode = TraceMode.AUTO
    resume: str | None = None
    keep: KeepLimits = KeepLimits()


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
        UsageError: strace was asked for and cannot trace here; nothing was started.
    """
    environment = _without_agent(environment)
    gaps = Gaps()
    untraced = _why_untraced(request, directory, environment)
    if untraced and request.trace is TraceMode.STRACE:
        raise UsageError(
            f"--trace strace: {untraced}",
            advice="make it available, or leave the option out: what cannot be seen is then said",
        )
    prepared = gaps.attempt("start", lambda: _prepare(request, directory, environment, gaps), None)
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
    reader = TraceReader(trace_log, str(directory)) if untraced is None else None
    # While the command runs, `run_command` has handlers of its own.
    with Interruption() as interruption:
        try:
            end = run_command(
                traced(request.argv, trace_log) if reader else request.argv,
                environment={
                    **_with_agent(environment, agent_output),
                    METRICS_VARIABLE: str(prepared.run.place / METRIC_LOG),
                },
                directory=directory,
                stdout_log=prepared.run.place / "stdout.log",
                stderr_log=prepared.run.place / "stderr.log",
                followers=(reader,) if reader else (),
            )
        except CommandNotStartedError:
            gaps.attempt("start", lambda: prepared.store.discard(prepared.run), None)
            raise
        ended = now()
        if end.log_failed:
            gaps.add("console", "the output of the command could not be kept whole")
        finishing = _Finishing(
            gaps=gaps,
            interruption=interruption,
            tell=warn,
            traced=_read_trace(reader, untraced, gaps),
        )
        written = gaps.attempt(
            "record",
            lambda: _finish(request, prepared, end, ended, directory, environment, finishing),
            False,
        )
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


# ---------------------------------------------------------------- before the command


def _prepare(
    request: RunRequest, directory: Path, environment: Mapping[str, str], gaps: Gaps
) -> Prepared:
    root, versioned = _root(directory, gaps)
    store = Store.create(root)
    store.share()
    nothing: dict[str, KnownProduct] = {}
    known = gaps.attempt("lineage", store.products_on_disk, nothing)
    prefixes = _prefixes(request, root, directory, environment)
    paths = Recording(prefixes=prefixes, words=_host_words())
    argv = tuple(paths.text(plain(a)) for a in request.argv)
    run = (
        store.start_run(request.name, argv)
        if request.resume is None
        else store.start_segment(store.run(request.resume), argv)
    )
    (run.place / METRIC_LOG).touch(mode=0o600)
    before = scan(root)
    console = _console(root)
    products = {
        **{
            os.path.relpath(place, root): product.stamp
            for recorded, product in known.items()
            if (place := place_on_disk(recorded, root)) is not None
        },
        **console,
    }
    taken = gaps.attempt(
        "code", lambda: take(root, store.git, versioned=versioned, products=products), None
    )
    return Prepared(
        root=root,
        store=store,
        run=run,
        started=now(),
        # The clock of file times: the usual one is up to a tick ahead of it.
        started_ns=time.clock_gettime_ns(CLOCK_OF_FILES),
        before=before,
        taken=taken,
        submodules=take_submodules(root, store.git, taken, products, gaps) if taken else {},
        known=known,
        console=frozenset(console),
        paths=paths,
    )


def _console(root: Path) -> dict[str, tuple[int, int, int]]:
    """Files of the project that our output goes to (`repropack run … > train.log`), with stamps.

    They are there before the command and change while it runs, and are its output all the same.
    """
    found = {}
    for descriptor in (1, 2):
        try:
            status = os.fstat(descriptor)
            place = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            # It is closed.
            continue
        if stat.S_ISREG(status.st_mode) and is_inside(place, root):
            stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
            found[os.path.relpath(place, root)] = stamp
    return found


def _prefixes(
    request: RunRequest, root: Path, directory: Path, environment: Mapping[str, str]
) -> dict[str, str]:
    prefixes = {}
    for variable, usual, name in (("TMPDIR", "/tmp", "tmp"), ("HOME", "", "home")):  # noqa: S108 - its name, not a file in it
        place = environment.get(variable, usual).rstrip("/")
        # A home that is the project, or in it, is part of the project.
        if place.startswith("/") and not is_inside(f"{place}/", root):
            prefixes[place] = name
    for name, chosen in request.data.items():
        prefixes[str(chosen)] = data_placeholder(name)
    logical = environment.get("PWD", "")
    if os.path.isabs(logical) and os.path.realpath(logical) == str(directory):
        # Where the shell came through a link, the command line may name the project so.
        below = os.path.relpath(directory, root)
        if below == ".":
            prefixes[logical] = "project"
        elif logical.endswith("/" + below):
            prefixes[logical.removesuffix("/" + below)] = "project"
    prefixes[str(root)] = "project"
    return prefixes


def _root(directory: Path, gaps: Gaps) -> tuple[Path, bool]:
    """The code root. Without git the directory itself, or the one above that has a store."""
    found = gaps.attempt("code", lambda: find_root(directory), None)
    root, versioned = found if found is not None else (directory, False)
    if not versioned:
        for candidate in (directory, *directory.parents):
            if (candidate / ".repropack" / "runs").is_dir():
                return candidate, False
    return root, versioned


def _with_agent(environment: Mapping[str, str], output: Path) -> dict[str, str]:
    inherited = environment.get("PYTHONPATH", "")
    return {
        **environment,
        "PYTHONPATH": f"{AGENT_DIRECTORY}{os.pathsep}{inherited}"
        if inherited
        else str(AGENT_DIRECTORY),
        AGENT_VARIABLE: str(output),
    }


def _without_agent(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment as the user knows it, where another recording has started this one."""
    kept = {name: value for name, value in environment.items() if name != AGENT_VARIABLE}
    if AGENT_VARIABLE in environment:
        ours = str(AGENT_DIRECTORY)
        paths = [p for p in kept.pop("PYTHONPATH", ours).split(os.pathsep) if p != ours]
        if paths:
            kept["PYTHONPATH"] = os.pathsep.join(paths)
    return kept


def _host_words() -> dict[str, str]:
    host = os.uname().nodename
    generic = len(host) < 2 or host.startswith("localhost")
    return {} if generic else {host: "host"}


# ---------------------------------------------------------------- after the command


class _Finishing(Struct, frozen=True, kw_only=True):
    """What the second half of a recording has at hand."""

    gaps: Gaps
    interruption: Interruption
    tell: Callable[[str], None]
    traced: TracedFiles


def _finish(
    request: RunRequest,
    prepared: Prepared,
    end: ProcessEnd,
    ended: str,
    directory: Path,
    environment: Mapping[str, str],
    finishing: _Finishing,
) -> bool:
    root, store, run, gaps = prepared.root, prepared.store, prepared.run, finishing.gaps
    nothing: tuple[ProcessObservation, ...] = ()
    processes = gaps.attempt("agent", lambda: read_agent_logs(run.place / "agent"), nothing)
    trace = finishing.traced
    if trace.whole:
        unseen = []
        for part in unseen_pythons(request.argv, processes, trace.programs):
            gaps.add("environment", part)
    else:
        unseen = unseen_parts(
            request.argv,
            processes,
            directory=directory,
            search=environment.get("PATH", os.defpath),
            parent=end.parent,
        )
    for part in unseen:
        gaps.add("inputs", part)
    changed = compare(prepared.before, scan(root)).written
    written = _without_others(changed, prepared, processes, gaps)
    products, stamps = keep_products(
        written,
        prepared,
        gaps,
        limits=request.keep,
        interruption=finishing.interruption,
        tell=finishing.tell,
    )
    source = _source(prepared, changed, gaps)

    around = _surroundings(prepared, processes, directory / request.argv[0], environment, gaps)
    code = gaps.attempt(
        "code",
        lambda: find_code(
            prepared, processes, around, changed, gaps, everything_is_read=bool(unseen)
        ),
        FoundCode(),
    )
    for path in code.uncaptured:
        gaps.add("code", f"code from outside the project is not in the snapshot: {path}")
    if code.said:
        finishing.tell(f"code beside the project's own is recorded too: {some(code.said)}")
    around = structs.replace(
        around,
        interpreters=(
            *around.interpreters,
            *interpreters_of(trace, around.project, around.home),
        ),
        code=(around.code | code.inside) - code.filtered,
        code_outside=code.outside,
    )
    elsewhere = {
        *written_outside(processes, around, trace),
        *(behind_links(prepared) if unseen else ()),
    }
    if elsewhere:
        gaps.add("outputs", f"written outside the project, so not kept: {some(sorted(elsewhere))}")
    read = _with_unread(
        candidates(processes, request.argv, str(directory), around, trace),
        request,
        directory,
        prepared,
        around,
        set(changed) if unseen else None,
        gaps,
    )
    if not trace.whole:
        read = _with_natively_read(
            read, processes, request.argv, str(directory), prepared, around, gaps
        )
    # Directories can be opened like files, and a temporary file that is gone was nobody's input.
    read = tuple(c for c in read if c.evidence != (Evidence.TRACE,) or _is_input(c.path, around))
    inside = [c for c in read if is_inside(c.path, root)]
    outside = [c for c in read if not is_inside(c.path, root)]
    named = {name: str(place) for name, place in request.data.items()}
    data = group_data(
        (c.path for c in outside),
        named,
        around,
        beside_project(request.argv[1:], str(directory), around),
    )
    paths = _with_places(prepared.paths, data, code, processes)

    evidence = {c.path: c.evidence for c in read}
    replaced = {
        os.path.realpath(path): content
        for process in reversed(processes)
        for path, content in process.replaced.items()
    }
    materials = materials_inside(inside, prepared, set(changed), replaced, gaps)
    if unseen:
        seen = {material.path for material in materials}
        materials += [m for m in present_products(prepared, gaps) if m.path not in seen]
    materials += materials_outside(data, evidence, prepared, paths, replaced, gaps)

    for told in _seen_resumes(request, prepared, materials):
        finishing.tell(told)

    metrics = gaps.attempt(
        "metrics", lambda: _metrics(prepared, products, gaps), RunMetrics(metrics=())
    ).metrics
    environment_id = gaps.attempt(
        "environment", lambda: _environment(store, processes, environment, code), None
    )
    segment = Segment(
        invocation=Invocation(
            argv=tuple(_arguments(request.argv, processes, directory, paths)),
            directory=paths.text(plain(str(directory))),
            variables=_variables(environment, str(directory), paths, gaps),
        ),
        source=source,
        environment=environment_id,
        started=prepared.started,
        ended=ended,
        outcome=Outcome(
            status=end.status,
            signal=_signal_name(end.signal) if end.signal is not None else None,
        ),
        materials=tuple(sorted(materials, key=lambda m: m.path)),
        products=products,
        directories=_directories(prepared, written),
        # Messages may name paths of this machine; inside the record they are placeholders.
        gaps=tuple(Gap(code=g.code, message=paths.text(plain(g.message))) for g in gaps.found),
        roots=code.roots,
        python_path=code.python_path,
        from_code=code.from_code,
    )
    store.finish_run(
        run,
        RunRecord(
            version=RECORD_VERSION,
            id=run.id,
            name=run.started.name,
            segments=(*(run.record.segments if run.record is not None else ()), segment),
        ),
        MetricSet(version=RECORD_VERSION, metrics=metrics),
        PrivateFacts(
            project=plain(str(root)),
            base_commit=prepared.taken.base_commit if prepared.taken else None,
            object_format=prepared.taken.object_format if prepared.taken else "sha1",
            prefixes={plain(k): v for k, v in paths.prefixes.items()},
            data_roots={**named, **{d.name: d.directory for d in data}},
            stamps=stamps,
        ),
    )
    (run.place / TRACE_LOG).unlink(missing_ok=True)
    return True


def _is_input(path: str, around: Surroundings) -> bool:
    """Whether a path that strace saw opened is that of a file."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:
        # One of a data set that was removed meanwhile was read all the same.
        return not (around.temporary and is_below(path, around.temporary))


def _metrics(prepared: Prepared, products: tuple[Product, ...], gaps: Gaps) -> RunMetrics:
    """What the importers find in outputs, console and log; what they cannot read is a gap."""
    directory = prepared.run.place
    kept = {p.path: prepared.store.object_path(p.sha256) for p in products if p.kept}
    logged = gaps.attempt(
        "metrics", lambda: read_beneath(directory, METRIC_LOG, limit=MAX_LOGGED), b""
    )
    found = read_run_metrics(
        [(p.path, p.size) for p in products if p.kept],
        # Objects of the store: regular files that nobody changes any more.
        lambda path: kept[path].read_bytes(),
        stdout=directory / "stdout.log",
        stderr=directory / "stderr.log",
        logged=logged,
    )
    for remark in found.remarks:
        gaps.add("metrics", remark)
    if missed := [p.path for p in products if not p.kept and is_searched(p.path)]:
        gaps.add("metrics", f"not kept, so not searched for metrics: {some(missed)}")
    return found


def _seen_resumes(
    request: RunRequest, prepared: Prepared, materials: Iterable[Material]
) -> list[str]:
    """Says where a command went on with what an earlier run of it had written."""
    origins = {m.origin.run: m.path for m in materials if m.origin is not None}
    argv = tuple(prepared.paths.text(plain(argument)) for argument in request.argv)
    told = []
    for run_id, path in origins.items():
        if run_id == prepared.run.id:
            continue
        try:
            earlier = prepared.store.run(run_id)
        except RepropackError:
            # Somebody has removed it; the link by digest stays.
            continue
        if continues(earlier.started.argv, argv):
            told.append(
                f"it read {path.removeprefix('{project}/')} of run {run_id}, which had the same "
                f"command: the runs are linked; `repropack run --resume {run_id} -- …` would make "
                "it a segment of that run"
            )
    return told


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        # Real-time signals but the first and the last have no name.
        return f"SIG{number}"


def _without_others(
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
    gaps.add(
        "outputs",
        f"run {some(_ids(others, prepared.store))} went on at the same time: a file that no "
        "Python process was seen writing may be the output of either",
    )
    theirs: set[str] = set()
    unread: tuple[ProcessObservation, ...] = ()
    for other in others:
        seen = gaps.attempt("outputs", partial(read_agent_logs, other / "agent"), unread)
        theirs |= {os.path.realpath(path) for process in seen for path in process.opened_written}
    ours = {os.path.realpath(path) for process in processes for path in process.opened_written}
    return tuple(path for path in written if str(prepared.root / path) not in theirs - ours)


def _ids(places: Iterable[Path], store: Store) -> list[str]:
    runs = store.directory / "runs"
    return list(dict.fromkeys(place.relative_to(runs).parts[0] for place in places))


def _with_unread(
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
    evidence = {candidate.path: set(candidate.evidence) for candidate in read}
    code = {str(prepared.root / path) for path in around.code}
    for place in request.data.values():
        if written is not None or not any(is_inside(path, place) for path in evidence):
            for path in declared_files(place):
                if path not in code:
                    evidence.setdefault(path, set()).add(Evidence.DECLARED)
    if written is not None:
        for path in named_directories(request.argv[1:], str(directory), prepared, around, gaps):
            evidence.setdefault(path, set()).add(Evidence.DECLARED)
        for path in present_files(prepared, around, gaps):
            if path not in evidence and os.path.relpath(path, prepared.root) not in written:
                evidence[path] = {Evidence.PRESENT}
    return tuple(Candidate(path=p, evidence=tuple(sorted(e))) for p, e in sorted(evidence.items()))


def _with_natively_read(
    read: tuple[Candidate, ...],
    processes: tuple[ProcessObservation, ...],
    argv: tuple[str, ...],
    directory: str,
    prepared: Prepared,
    around: Surroundings,
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
        lambda: natively_read(processes, argv[1:], directory, seen, prepared, around, gaps),
        nothing,
    )
    more = (Candidate(path=path, evidence=(evidence,)) for path, evidence in found.items())
    return tuple(sorted((*read, *more), key=lambda candidate: candidate.path))


def _directories(prepared: Prepared, written: tuple[str, ...]) -> tuple[str, ...]:
    """The directories that the run found and wrote in."""
    found = {os.path.dirname(path) for path in written} & prepared.before.directories
    return tuple(sorted(recorded_path(prepared.root / path, prepared.paths) for path in found))


def _source(prepared: Prepared, written: Iterable[str], gaps: Gaps) -> SourceSnapshot | None:
    if prepared.taken is None:
        return None
    taken = prepared.taken
    changed: tuple[str, ...] = gaps.attempt(
        "code", lambda: changed_since(prepared.root, prepared.store.git, taken), ()
    )
    gaps.attempt(
        "code",
        lambda: preserve(
            prepared.root,
            prepared.store.git,
            taken.snapshot.tree,
            versioned=taken.snapshot.versioned,
            object_format=taken.object_format,
        ),
        None,
    )
    # Where a filter applies, git sees a difference that is none: the scan tells better.
    unknown = prepared.console | (taken.filtered - set(written))
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


def _surroundings(
    prepared: Prepared,
    processes: tuple[ProcessObservation, ...],
    program: Path,
    environment: Mapping[str, str],
    gaps: Gaps,
) -> Surroundings:
    code: tuple[str, ...] = ()
    if prepared.taken is not None:
        tree = prepared.taken.snapshot.tree
        code = gaps.attempt("code", lambda: list_paths(prepared.store.git, tree), ())
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


def _environment(
    store: Store,
    processes: tuple[ProcessObservation, ...],
    variables: Mapping[str, str],
    code: FoundCode,
) -> str:
    described = describe_environment(processes, variables, store.project)
    return store.put(
        canonical.encode(
            structs.replace(
                described,
                distributions=tuple(
                    structs.replace(d, imported=d.imported or d.name in code.from_code)
                    for d in described.distributions
                ),
            )
        )
    )


def _arguments(
    argv: tuple[str, ...],
    processes: tuple[ProcessObservation, ...],
    directory: Path,
    paths: Recording,
) -> list[str]:
    """The command line with placeholders; an interpreter named by a path becomes `{env}/bin/…`."""
    arguments = [recorded_text(argument, str(directory), paths) for argument in argv]
    if "/" in argv[0]:
        place = os.path.normpath(directory / argv[0])
        interpreters = {p.executable for p in processes}
        if place in interpreters or os.path.dirname(place) in {
            f"{p.prefix}/bin" for p in processes
        }:
            arguments[0] = "{env}/bin/" + os.path.basename(place)
    return arguments


def _variables(
    environment: Mapping[str, str], directory: str, paths: Recording, gaps: Gaps
) -> dict[str, str]:
    """The variables that are recorded; a path in the home of somebody else is none of ours."""
    recorded = {}
    for name, value in allowed_variables(environment).items():
        kept, dropped = without_homes(recorded_text(value, directory, paths))
        if dropped:
            gaps.add(
                "environment",
                f"the variable {name} names a place in a home directory that is not yours; it is "
                "not recorded",
            )
        if kept or not dropped:
            recorded[name] = kept
    return recorded


def _with_places(
    paths: Recording,
    data: tuple[DataRoot, ...],
    code: FoundCode,
    processes: tuple[ProcessObservation, ...],
) -> Recording:
    prefixes = dict(code.places)
    prefixes |= {root.directory: data_placeholder(root.name) for root in data}
    for process in processes:
        if process.prefix != process.base_prefix:
            prefixes[process.prefix] = "env"
    return Recording(prefixes={**paths.prefixes, **prefixes}, words=paths.words)
