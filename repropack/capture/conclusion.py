# SPDX-License-Identifier: Apache-2.0
"""After the command: outputs, inputs, environment and metrics, and the record of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from repropack import canonical
from repropack.agent.log import ProcessObservation, read_agent_logs
from repropack.capture.arguments import beside_project, recorded_text, without_homes
from repropack.capture.asked import (
    ask_interpreters,
    imported_files,
    is_interpreter,
    unobserved_interpreters,
)
from repropack.capture.beginning import METRIC_LOG
from repropack.capture.code_roots import FoundCode, find_code
from repropack.capture.gaps import Gaps, some
from repropack.capture.inputs import (
    Hashing,
    materials_inside,
    materials_outside,
    opened_as,
    present_products,
)
from repropack.capture.interpreter import (
    describe_environment,
    interpreter_prefixes,
    library_paths,
    main_process,
    other_environments,
)
from repropack.capture.interruption import Interruption
from repropack.capture.launchers import launched
from repropack.capture.materials import (
    DataRoot,
    Surroundings,
    candidates,
    group_data,
    interpreters_of,
    written_outside,
)
from repropack.capture.observed import is_input, with_natively_read, with_unread, without_others
from repropack.capture.outputs import keep_products
from repropack.capture.patience import Patience
from repropack.capture.preparation import Prepared, is_inside, mask, plain, recorded_path
from repropack.capture.request import RunRequest
from repropack.capture.streams import ProcessEnd
from repropack.capture.traced_files import TracedFiles
from repropack.capture.tracing import TRACE_LOG, place_of
from repropack.capture.unobserved import behind_links, unseen_parts, unseen_pythons
from repropack.environment.machine import allowed_variables, is_address, is_secret_name
from repropack.environment.whereabouts import whereabouts
from repropack.errors import RepropackError
from repropack.importers.run_metrics import MAX_LOGGED, RunMetrics, is_searched, read_run_metrics
from repropack.lineage import continues
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
from repropack.source.snapshot import Taken, changed_since, files_of, forget_times, preserve
from repropack.store import PrivateFacts, Store
from repropack.worktree import Changes, compare, scan

__all__ = ["Finishing", "conclude"]


COARSEST_TICK: Final = 2_000_000_000
"""Nanoseconds: FAT keeps even seconds."""


class Finishing(Struct, frozen=True, kw_only=True):
    """What the second half of a recording has at hand."""

    gaps: Gaps
    interruption: Interruption
    tell: Callable[[str], None]
    traced: TracedFiles


def conclude(
    request: RunRequest,
    prepared: Prepared,
    end: ProcessEnd,
    ended: str,
    directory: Path,
    environment: Mapping[str, str],
    finishing: Finishing,
) -> bool:
    """Writes the record of a command that has ended.

    Returns:
        True: the record is on the disk.

    Raises:
        RepropackError: A part that no record can do without failed.
        OSError: The store cannot be written.
    """
    root, store, run, gaps = prepared.root, prepared.store, prepared.run, finishing.gaps
    nothing: tuple[ProcessObservation, ...] = ()
    processes = gaps.attempt("agent", lambda: read_agent_logs(run.place / "agent"), nothing)
    trace = finishing.traced
    launcher = launched(request.argv, processes)
    argv, parent = request.argv, end.parent
    if launcher is not None:
        # A reader has the environment, and not what the author makes and finds hers with.
        argv, processes = launcher
        main = main_process(processes)
        parent = main.ppid if main is not None else parent
    if trace.whole:
        unseen = []
        for part in unseen_pythons(argv, processes, trace.programs):
            gaps.add("environment", part)
    else:
        unseen = unseen_parts(
            argv,
            processes,
            directory=directory,
            search=environment.get("PATH", os.defpath),
            parent=parent,
        )
    for part in unseen:
        gaps.add("inputs", part)
    told = _told(argv, processes, trace, directory, environment)
    with Patience(finishing.tell, "looking at what the command wrote"):
        changes = compare(prepared.before, scan(root))
    changed = changes.written
    written = without_others(changed, prepared, processes, gaps)
    products, stamps = keep_products(
        written,
        prepared,
        gaps,
        limits=request.keep,
        interruption=finishing.interruption,
        tell=finishing.tell,
    )
    around = _surroundings(prepared, told, directory / argv[0], environment, gaps)
    source = _source(prepared, changes, around.code, gaps)
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
    read = with_unread(
        candidates(processes, argv, str(directory), around, trace),
        request,
        directory,
        prepared,
        around,
        set(changed) if unseen else None,
        gaps,
    )
    if not trace.whole:
        read = with_natively_read(
            read, processes, argv, str(directory), prepared, around, environment, gaps
        )
    # Directories can be opened like files, and a temporary file that is gone was nobody's input.
    read = tuple(c for c in read if c.evidence != (Evidence.TRACE,) or is_input(c.path, around))
    inside = [c for c in read if is_inside(c.path, root)]
    outside = [c for c in read if not is_inside(c.path, root)]
    named = {name: str(place) for name, place in request.data.items()}
    data = group_data(
        (c.path for c in outside),
        named,
        around,
        beside_project(argv[1:], str(directory), around),
    )
    paths = _with_places(prepared.paths, data, code, told)

    evidence = {c.path: c.evidence for c in read}
    replaced = {
        os.path.realpath(path): content
        for process in reversed(processes)
        for path, content in process.replaced.items()
    }
    hashing = Hashing(
        gaps=gaps,
        interruption=finishing.interruption,
        tell=finishing.tell,
        opened_as=opened_as(processes, str(root)),
    )
    materials = materials_inside(
        inside, prepared, set(changed), set(changed) - set(written), replaced, hashing
    )
    if unseen:
        seen = {material.path for material in materials}
        materials += [m for m in present_products(prepared, gaps) if m.path not in seen]
    materials += materials_outside(data, evidence, prepared, paths, replaced, hashing)

    for remark in _seen_resumes(request, prepared, materials):
        finishing.tell(remark)

    metrics = gaps.attempt(
        "metrics", lambda: _metrics(prepared, products, gaps), RunMetrics(metrics=())
    ).metrics
    environment_id = gaps.attempt(
        "environment", lambda: _environment(store, told, environment, code, trace, gaps), None
    )
    segment = Segment(
        invocation=Invocation(
            argv=(
                *_assigned(request.assigned, directory, paths, gaps),
                *_arguments(argv, told, directory, paths),
            ),
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
            recorded_at={
                kind: tuple(plain(name) for name in names)
                for kind, names in structs.asdict(whereabouts()).items()
            },
        ),
    )
    (run.place / TRACE_LOG).unlink(missing_ok=True)
    return True


def _told(
    argv: tuple[str, ...],
    processes: tuple[ProcessObservation, ...],
    trace: TracedFiles,
    directory: Path,
    environment: Mapping[str, str],
) -> tuple[ProcessObservation, ...]:
    """What Python processes told, and interpreters without an agent when they were asked."""
    place = place_of(argv[0], directory, environment.get("PATH", os.defpath)) or ""
    blind = unobserved_interpreters(trace.programs, processes) if trace.whole else []
    if not processes and not blind and is_interpreter(place):
        blind = [place]
    imported = (
        structs.replace(
            p,
            modules={
                **p.modules,
                **(imported_files(trace.read, p.sys_path) if trace.whole else {}),
                # One that was killed did not tell its modules.
                **({} if p.complete else imported_files(p.packages, library_paths((p,)))),
            },
        )
        for p in processes
    )
    return (*imported, *ask_interpreters(blind, trace.read, environment))


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


def _directories(prepared: Prepared, written: tuple[str, ...]) -> tuple[str, ...]:
    """The directories that the run found and wrote in."""
    found = {os.path.dirname(path) for path in written} & prepared.before.directories
    return tuple(sorted(recorded_path(prepared.root / path, prepared.paths) for path in found))


def _source(
    prepared: Prepared, changes: Changes, code: frozenset[str], gaps: Gaps
) -> SourceSnapshot | None:
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


def _surroundings(
    prepared: Prepared,
    processes: tuple[ProcessObservation, ...],
    program: Path,
    environment: Mapping[str, str],
    gaps: Gaps,
) -> Surroundings:
    code: tuple[str, ...] = ()
    if prepared.taken is not None:
        taken = prepared.taken
        code = gaps.attempt("code", lambda: files_of(prepared.store.git, taken), ())
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
    trace: TracedFiles,
    gaps: Gaps,
) -> str:
    described = describe_environment(processes, variables, store.project)
    if several := other_environments(processes):
        gaps.add("environment", several)
    main = main_process(processes)
    # One that was only asked, without a trace, does not say what it imported.
    unknown = main is not None and main.pid == 0 and not trace.whole
    virtual = described.python is not None and described.python.virtual
    return store.put(
        canonical.encode(
            structs.replace(
                described,
                distributions=tuple(
                    structs.replace(
                        d,
                        imported=d.imported or d.name in code.from_code or (unknown and virtual),
                    )
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


def _assigned(
    assigned: Mapping[str, str], directory: Path, paths: Recording, gaps: Gaps
) -> list[str]:
    """Variables that the user named before the command and that are on no list, as env(1) words."""
    allowed = allowed_variables(assigned)
    secret = [name for name in assigned if name not in allowed and is_secret_name(name)]
    if secret:
        gaps.add("environment", f"named like secrets, so not recorded: {some(sorted(secret))}")
    words = [
        f"{name}={recorded_text(value, str(directory), paths)}"
        for name, value in assigned.items()
        if name not in allowed and name not in secret
    ]
    return ["env", *words] if words else []


def _variables(
    environment: Mapping[str, str], directory: str, paths: Recording, gaps: Gaps
) -> dict[str, str]:
    """The variables that are recorded: no addresses, and no paths in the home of somebody else."""
    recorded = {}
    for name, value in allowed_variables(environment).items():
        if is_address(name, value):
            gaps.add("environment", f"the variable {name} is an address; it is not recorded")
            continue
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
