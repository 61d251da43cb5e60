# SPDX-License-Identifier: Apache-2.0
"""After the command: outputs, inputs, environment and metrics, and the record of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct, structs

from repropack import canonical
from repropack.agent.log import ProcessObservation, read_agent_logs
from repropack.capture.arguments import beside_project
from repropack.capture.asked import (
    ask_interpreters,
    imported_files,
    is_interpreter,
    unobserved_interpreters,
)
from repropack.capture.beginning import METRIC_LOG
from repropack.capture.code_roots import FoundCode, find_code
from repropack.capture.ended import EndedCommand
from repropack.capture.gaps import Gaps, some
from repropack.capture.inputs import (
    Hashing,
    led_elsewhere,
    materials_inside,
    materials_outside,
    opened_as,
    present_products,
)
from repropack.capture.interpreter import (
    describe_environment,
    library_paths,
    main_process,
    programs_of,
    used_environments,
)
from repropack.capture.invocation import invocation_of
from repropack.capture.launchers import launched
from repropack.capture.materials import (
    Candidate,
    DataRoot,
    Surroundings,
    candidates,
    group_data,
    interpreters_of,
    written_outside,
)
from repropack.capture.observed import is_input, with_natively_read, with_unread, without_others
from repropack.capture.other_stores import said_of_other_stores
from repropack.capture.outputs import keep_products
from repropack.capture.own_code import said_of_left_out, settled_source, surroundings
from repropack.capture.patience import Patience
from repropack.capture.preparation import Prepared, is_inside, plain, recorded_path
from repropack.capture.request import RunRequest
from repropack.capture.tracing import TRACE_LOG, place_of
from repropack.capture.unobserved import behind_links, unseen_parts, unseen_pythons
from repropack.environment.machine import GPUS, NO_ANSWER
from repropack.environment.r_packages import loaded_r_packages
from repropack.environment.whereabouts import whereabouts
from repropack.errors import RepropackError
from repropack.importers.run_metrics import MAX_LOGGED, RunMetrics, is_searched, read_run_metrics
from repropack.lineage import continues
from repropack.model import (
    RECORD_VERSION,
    Evidence,
    Gap,
    Material,
    Metric,
    MetricSet,
    Outcome,
    Product,
    RunRecord,
    Segment,
    UsedEnvironment,
)
from repropack.paths import read_beneath
from repropack.placeholders import Recording, data_placeholder
from repropack.store import PrivateFacts
from repropack.worktree import Changes, compare, scan

__all__ = ["conclude"]


class _Observed(Struct, frozen=True, kw_only=True):
    """What was seen of the processes.

    Attributes:
        argv: The command, without a launcher that made its environment.
        processes: What the agent saw of it.
        told: The same, and what interpreters without an agent said when they were asked.
        unseen: Parts of the run that were not observed, in words.
    """

    argv: tuple[str, ...]
    processes: tuple[ProcessObservation, ...]
    told: tuple[ProcessObservation, ...]
    unseen: tuple[str, ...]


class _Written(Struct, frozen=True, kw_only=True):
    """What the run did to the work tree.

    Attributes:
        changes: What differs, whoever did it.
        paths: What the run wrote, relative to the project.
        products: What is recorded of it.
        stamps: By recorded path, as the run left it.
    """

    changes: Changes
    paths: tuple[str, ...]
    products: tuple[Product, ...]
    stamps: dict[str, tuple[int, int, int]]


class _Inputs(Struct, frozen=True, kw_only=True):
    """What the run read beside its code.

    Attributes:
        paths: The placeholders of this run.
        data_roots: Directories of data sets by name.
    """

    materials: tuple[Material, ...]
    paths: Recording
    data_roots: dict[str, str]


def conclude(ended: EndedCommand) -> bool:
    """Writes the record of a command that has ended.

    Returns:
        True: the record is on the disk.

    Raises:
        RepropackError: A part that no record can do without failed.
        OSError: The store cannot be written.
    """
    prepared, gaps = ended.prepared, ended.gaps
    observed = _observe(ended)
    written = _keep_outputs(ended, observed)
    around = surroundings(ended, observed.told, ended.directory / observed.argv[0])
    source = settled_source(prepared, written.changes, around.code, gaps)
    code, around = _further_code(ended, observed, written, around)
    inputs = _look_at_inputs(ended, observed, written, code, around)
    known = [*(m.path for m in inputs.materials), *(p.path for p in written.products)]
    for remark in (
        *said_of_left_out(source, known),
        *_seen_resumes(ended.request, prepared, inputs.materials),
    ):
        ended.tell(remark)
    nothing: list[str] = []
    for remark in gaps.attempt(
        "lineage",
        lambda: said_of_other_stores(inputs.materials, inputs.data_roots, prepared.root),
        nothing,
    ):
        ended.tell(remark)
    metrics = gaps.attempt(
        "metrics", lambda: _metrics(prepared, written.products, gaps), RunMetrics(metrics=())
    ).metrics
    metrics = gaps.attempt("metrics", lambda: _with_earlier(prepared, metrics, gaps), metrics)
    nowhere: tuple[UsedEnvironment, ...] = ()
    environments = gaps.attempt(
        "environment", lambda: _environments(ended, observed.told, code), nowhere
    )
    segment = Segment(
        invocation=invocation_of(ended, observed.argv, observed.told, inputs.paths),
        source=source,
        environment=environments[0].environment if environments else None,
        started=prepared.started,
        ended=ended.ended,
        outcome=Outcome(
            status=ended.end.status,
            signal=_signal_name(ended.end.signal) if ended.end.signal is not None else None,
        ),
        materials=inputs.materials,
        products=written.products,
        directories=_directories(prepared, written.paths),
        # Messages may name paths of this machine; inside the record they are placeholders.
        gaps=tuple(
            Gap(code=g.code, message=inputs.paths.text(plain(g.message))) for g in gaps.found
        ),
        roots=code.roots,
        python_path=code.python_path,
        from_code=code.from_code,
        environments=environments
        if len(environments) > 1 or any(e.place for e in environments)
        else (),
    )
    _write(prepared, segment, metrics, inputs, written.stamps)
    return True


def _observe(ended: EndedCommand) -> _Observed:
    """Reads what the agent and strace saw; what they could not see is a gap."""
    gaps, trace = ended.gaps, ended.trace
    logs = ended.prepared.run.place / "agent"
    nothing: tuple[ProcessObservation, ...] = ()
    processes = gaps.attempt("agent", lambda: read_agent_logs(logs), nothing)
    launcher = launched(ended.request.argv, processes)
    argv, parent = ended.request.argv, ended.end.parent
    if launcher is not None:
        # A reader has the environment, and not what the author makes and finds hers with.
        argv, processes = launcher
        main = main_process(processes)
        parent = main.ppid if main is not None else parent
    unseen: list[str] = []
    if trace.whole:
        for part in unseen_pythons(argv, processes, trace.programs, trace.read):
            gaps.add("environment", part)
    else:
        unseen = unseen_parts(
            argv,
            processes,
            directory=ended.directory,
            search=ended.environment.get("PATH", os.defpath),
            parent=parent,
        )
    for part in unseen:
        gaps.add("inputs", part)
    return _Observed(
        argv=argv,
        processes=processes,
        told=_told(ended, argv, processes),
        unseen=tuple(unseen),
    )


def _keep_outputs(ended: EndedCommand, observed: _Observed) -> _Written:
    prepared = ended.prepared
    with Patience(ended.tell, "looking at what the command wrote"):
        changes = compare(prepared.before, scan(prepared.root))
    paths = without_others(changes.written, prepared, observed.processes, ended.gaps)
    products, stamps = keep_products(
        paths,
        prepared,
        ended.gaps,
        limits=ended.request.keep,
        interruption=ended.interruption,
        tell=ended.tell,
    )
    return _Written(changes=changes, paths=paths, products=products, stamps=stamps)


def _further_code(
    ended: EndedCommand, observed: _Observed, written: _Written, around: Surroundings
) -> tuple[FoundCode, Surroundings]:
    """Takes code beside the project's tree; the surroundings, with that code in them."""
    gaps = ended.gaps
    code = gaps.attempt(
        "code",
        lambda: find_code(
            ended.prepared,
            observed.processes,
            around,
            written.changes.written,
            gaps,
            everything_is_read=bool(observed.unseen),
        ),
        FoundCode(),
    )
    for path in code.uncaptured:
        gaps.add("code", f"code from outside the project is not in the snapshot: {path}")
    if code.said:
        ended.tell(f"code beside the project's own is recorded too: {some(code.said)}")
    known = interpreters_of(ended.trace, around.project, around.home)
    return code, structs.replace(
        around,
        interpreters=(*around.interpreters, *known),
        code=(around.code | code.inside) - code.filtered,
        code_outside=code.outside,
    )


def _look_at_inputs(
    ended: EndedCommand,
    observed: _Observed,
    written: _Written,
    code: FoundCode,
    around: Surroundings,
) -> _Inputs:
    """Hashes what was read, and what may have been where not all was observed."""
    prepared, gaps, processes = ended.prepared, ended.gaps, observed.processes
    changed = set(written.changes.written)
    elsewhere = {
        *written_outside(processes, around, ended.trace),
        *(behind_links(prepared) if observed.unseen else ()),
    }
    if elsewhere:
        gaps.add("outputs", f"written outside the project, so not kept: {some(sorted(elsewhere))}")
    read = _candidates(ended, observed, changed, around)
    named = {name: str(place) for name, place in ended.request.data.items()}
    inside: list[Candidate] = []
    outside: dict[str, tuple[Evidence, ...]] = {}
    for candidate in read:
        if is_inside(candidate.path, prepared.root):
            inside.append(candidate)
        else:
            outside[candidate.path] = candidate.evidence
    data = group_data(
        outside,
        named,
        around,
        beside_project(observed.argv[1:], str(ended.directory), around),
    )
    paths = _with_places(prepared.paths, data, code, observed.told)
    # Several processes may have replaced it, one after the other: the oldest is of before the run.
    contents = (held for process in processes for held in process.replaced.items())
    replaced = {
        os.path.realpath(path): content
        for path, content in sorted(contents, key=lambda held: held[1].mtime_ns, reverse=True)
    }
    hashing = Hashing(
        gaps=gaps,
        interruption=ended.interruption,
        tell=ended.tell,
        opened_as=opened_as(processes, around),
        led_elsewhere=led_elsewhere(ended.trace, around),
    )
    others = changed - set(written.paths)
    materials = materials_inside(inside, prepared, changed, others, replaced, hashing)
    if observed.unseen:
        seen = {material.path for material in materials}
        materials += [m for m in present_products(prepared, gaps) if m.path not in seen]
    materials += materials_outside(data, outside, prepared, paths, replaced, hashing)
    return _Inputs(
        materials=tuple(sorted(materials, key=lambda m: m.path)),
        paths=paths,
        data_roots={**named, **{d.name: d.directory for d in data}},
    )


def _candidates(
    ended: EndedCommand, observed: _Observed, changed: set[str], around: Surroundings
) -> tuple[Candidate, ...]:
    """The files that were read, or may have been."""
    directory = str(ended.directory)
    read = with_unread(
        candidates(observed.processes, observed.argv, directory, around, ended.trace),
        ended.request,
        ended.directory,
        ended.prepared,
        around,
        changed if observed.unseen else None,
        ended.gaps,
    )
    if not ended.trace.whole:
        read = with_natively_read(
            read,
            observed.processes,
            observed.argv,
            directory,
            ended.prepared,
            around,
            ended.environment,
            ended.request.data.values(),
            ended.gaps,
        )
    # Directories can be opened like files, and a temporary file that is gone was nobody's input.
    return tuple(c for c in read if c.evidence != (Evidence.TRACE,) or is_input(c.path, around))


def _write(
    prepared: Prepared,
    segment: Segment,
    metrics: tuple[Metric, ...],
    inputs: _Inputs,
    stamps: dict[str, tuple[int, int, int]],
) -> None:
    run, taken = prepared.run, prepared.taken
    prepared.store.finish_run(
        run,
        RunRecord(
            version=RECORD_VERSION,
            id=run.id,
            name=run.started.name,
            segments=(*(run.record.segments if run.record is not None else ()), segment),
        ),
        MetricSet(version=RECORD_VERSION, metrics=metrics),
        PrivateFacts(
            project=plain(str(prepared.root)),
            base_commit=taken.base_commit if taken else None,
            object_format=taken.object_format if taken else "sha1",
            prefixes={plain(k): v for k, v in inputs.paths.prefixes.items()},
            data_roots=inputs.data_roots,
            started_ns=prepared.started_ns,
            stamps=stamps,
            recorded_at={
                kind: tuple(plain(name) for name in names)
                for kind, names in structs.asdict(whereabouts()).items()
            },
        ),
    )
    (run.place / TRACE_LOG).unlink(missing_ok=True)


def _told(
    ended: EndedCommand, argv: tuple[str, ...], processes: tuple[ProcessObservation, ...]
) -> tuple[ProcessObservation, ...]:
    """What Python processes told, and interpreters without an agent when they were asked."""
    trace = ended.trace
    place = place_of(argv[0], ended.directory, ended.environment.get("PATH", os.defpath)) or ""
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
    return (*imported, *ask_interpreters(blind, trace.read, ended.environment))


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


def _with_earlier(
    prepared: Prepared, metrics: tuple[Metric, ...], gaps: Gaps
) -> tuple[Metric, ...]:
    """The metrics of this segment, their curves behind those of the segments before it."""
    run = prepared.run
    if run.record is None:
        return metrics
    from repropack.importers.segments import joined, uncounted  # only a resumed run needs them

    before = range(1, len(run.record.segments) + 1)
    segments = [*(prepared.store.metrics_up_to(run, n).metrics for n in before), metrics]
    if alone := uncounted(segments):
        gaps.add(
            "metrics",
            "curves of this segment alone, for nothing says which steps of the segments before it "
            f"were repeated: {some(alone)}; print the step (`step 7 loss: 0.5`)",
        )
    return joined(segments)


def _seen_resumes(
    request: RunRequest, prepared: Prepared, materials: Iterable[Material]
) -> list[str]:
    """Says where a command went on with what an earlier run of it had written."""
    origins = {m.origin.run: m for m in materials if m.origin is not None}
    argv = tuple(prepared.paths.text(plain(argument)) for argument in request.argv)
    told = []
    for run_id, material in origins.items():
        if run_id == prepared.run.id:
            continue
        try:
            earlier = prepared.store.run(run_id)
        except RepropackError:
            # Somebody has removed it; the link by digest stays.
            continue
        if continues(earlier.started.argv, argv):
            # Of what nobody saw being read it is known only that it was there.
            seen = not {Evidence.PRESENT, Evidence.LISTED, Evidence.DECLARED}.issuperset(
                material.evidence
            )
            told.append(
                f"it {'read' if seen else 'may have read'} "
                f"{material.path.removeprefix('{project}/')} of run {run_id}, which had the same "
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


def _environments(
    ended: EndedCommand, processes: tuple[ProcessObservation, ...], code: FoundCode
) -> tuple[UsedEnvironment, ...]:
    """Keeps the record of each environment that the run used; that of the main process first."""
    found = []
    groups = used_environments(processes) or ((),)
    elsewhere = []
    for number, group in enumerate(groups):
        place = _place_of_environment(group, ended.prepared)
        programs = tuple(ended.prepared.paths.text(plain(one)) for one in programs_of(group))
        if number > 0 and not place:
            elsewhere.append(f"Python {group[0].version} of {some(programs) or 'a command'}")
        found.append(
            UsedEnvironment(
                environment=_keep_environment(ended, group, code, main=number == 0),
                place=place,
                programs=programs if len(groups) > 1 else (),
            )
        )
    if elsewhere:
        ended.gaps.add(
            "environment",
            f"the run used {len(groups)} Python environments, and all are recorded; but "
            f"{some(elsewhere)} lies outside the project, where a repetition cannot put it. Have "
            "it in the project, or record the steps as runs of their own: they are linked by what "
            "they write and read",
        )
    return tuple(found)


def _place_of_environment(group: Sequence[ProcessObservation], prepared: Prepared) -> str:
    """Where an environment stands in the project; empty for elsewhere."""
    main = main_process(group)
    if main is None or main.prefix == main.base_prefix or not is_inside(main.prefix, prepared.root):
        return ""
    return recorded_path(Path(main.prefix), prepared.paths)


def _keep_environment(
    ended: EndedCommand,
    processes: Sequence[ProcessObservation],
    code: FoundCode,
    *,
    main: bool,
) -> str:
    """Keeps the record of one environment; its digest. What R loaded stands in the main one."""
    store = ended.prepared.store
    described = describe_environment(processes, ended.environment, store.project)
    gpus = described.machine.facts.get(GPUS, "")
    if gpus.startswith(NO_ANSWER):
        ended.gaps.add("environment", f"the GPUs are {gpus}")
    speaker = main_process(processes)
    # One that was only asked, without a trace, does not say what it imported.
    unknown = speaker is not None and speaker.pid == 0 and not ended.trace.whole
    virtual = described.python is not None and described.python.virtual
    return store.put(
        canonical.encode(
            structs.replace(
                described,
                r=loaded_r_packages(ended.trace.read) if main else (),
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
