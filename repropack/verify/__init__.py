# SPDX-License-Identifier: Apache-2.0
"""`repropack verify`: integrity, authenticity, environment, execution, claims, one verdict.

`verify` does not raise for a bad bundle: what it learned is in the report. It raises only where it
could not do its own work (a disk that is full, a missing uv).
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec.structs import replace

from repropack.bundle import Access, VerifiedBundle, open_bundle
from repropack.errors import UsageError
from repropack.escaping import show, show_command
from repropack.findings import DefectError
from repropack.model import (
    Cause,
    Certainty,
    Claim,
    ClaimMode,
    LineageRun,
    Report,
    SignerReport,
    SignerStatus,
    StepStatus,
    Verdict,
)
from repropack.placeholders import PROJECT_DATA
from repropack.reports.text import describe_signer
from repropack.verify.claims import is_assumed, judge_all
from repropack.verify.code_check import check_code, replaced_code, withheld_code
from repropack.verify.conclusion import conclude, say_outputs, with_seeds
from repropack.verify.conditions import Conditions, RepetitionFailedError
from repropack.verify.explanation import causes_of, curves_of, explain_by_reruns
from repropack.verify.integrity import Signed, read_signed
from repropack.verify.ladder import Ladder
from repropack.verify.other_versions import said_of_versions
from repropack.verify.outputs import compare_outputs
from repropack.verify.preparation import Prepared, prepare
from repropack.verify.release import Release, ReleaseRun, read_release
from repropack.verify.repetition import Repeated, repeat_runs
from repropack.verify.request import Mode, Observer, VerifyRequest
from repropack.verify.reseeding import can_reseed, fresh_seeds, reseeded, used_seeds
from repropack.verify.reveal.authors import read_authorship, with_authorship
from repropack.verify.stale_numbers import say_stale
from repropack.verify.wording import OF_A_RELEASE, OF_A_RUN
from repropack.verify.workspace import remove_tree

__all__ = ["Mode", "Observer", "VerifyRequest", "verify"]

MAX_COMMAND_SHOWN = 2_000
"""Characters of a recorded command in a report."""


def verify(
    request: VerifyRequest, variables: Mapping[str, str], observer: Observer, *, now: str
) -> Report:
    """Checks a bundle as far as was asked.

    Args:
        request: What to check and how.
        variables: The reader's environment variables.
        observer: Told how it goes.
        now: The present time, for the report.

    Raises:
        UsageError: A directory was given for a data set that the bundle does not have.
        RepropackError: The file cannot be read at all, or our own work failed.
        OSError: The disk is full, a directory cannot be made.
    """
    ladder = Ladder(
        request.bundle.name or ".",
        request.mode.value,
        run=request.recorded_run,
        allow_unknown_signer=request.allow_unknown_signer,
    )
    safe = Observer(
        tell=lambda text: observer.tell(show(text)), advance=observer.advance, live=observer.live
    )
    # Named before it is made: a signal that comes between the two leaves nothing behind.
    place = (request.temporary or Path(tempfile.gettempdir())).absolute()
    work = place / f"repropack-verify-{secrets.token_hex(8)}"
    try:
        work.mkdir(mode=0o700)
        verdict, reason = _climb(request, variables, safe, ladder, work)
    except DefectError as error:
        verdict, reason = ladder.defect(error.finding)
    except BaseException:
        if request.keep_work and work.exists():
            observer.kept(work)
        raise
    finally:
        if request.keep_work:
            ladder.work = work
        else:
            remove_tree(work)
    return ladder.report(verdict, reason, now)


def _climb(
    request: VerifyRequest,
    variables: Mapping[str, str],
    observer: Observer,
    ladder: Ladder,
    work: Path,
) -> tuple[Verdict, str]:
    with open_bundle(request.bundle, _access(request, variables, observer, work)) as opened:
        signed = read_signed(
            opened,
            request.policy,
            expected_manifest=request.expected_manifest,
            stamp=request.stamp,
        )
        ladder.signer = signed.signer
        ladder.signers = signed.signers
        ladder.manifest_sha256 = signed.listed.manifest_sha256
        verified = _check_bytes(signed, observer, ladder)
        signed = with_authorship(signed, read_authorship(verified))
        ladder.signer, ladder.signers = signed.signer, signed.signers
        _check_signer(signed, ladder)
        if request.mode is Mode.NO_RUN:
            return Verdict.INTACT, _intact_reason(signed.signer)
        ladder.rung = "records"
        release = read_release(verified, signed.statement)
        _check_data_names(request, release)
        check_code(release, verified, work)
        ladder.findings += (*withheld_code(release), *replaced_code(release))
        ladder.rung = "integrity"
        return _repeat(request, variables, observer, ladder, work, verified, release)


def _access(
    request: VerifyRequest, variables: Mapping[str, str], observer: Observer, work: Path
) -> Access:
    """How an address is reached. What will be used is kept, so that it is what was checked."""
    if request.offline and not isinstance(request.bundle, Path):
        raise UsageError(
            f"--offline: {request.bundle} would have to be downloaded",
            advice="download it first, and name the file",
        )
    return Access(
        variables=variables,
        tell=observer.tell,
        advance=observer.advance,
        copies=work,
        keep=request.mode is not Mode.NO_RUN,
    )


def _check_bytes(signed: Signed, observer: Observer, ladder: Ladder) -> VerifiedBundle:
    total = signed.listed.content_size
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        observer.advance(done, total)

    observer.tell("checking every byte")
    verified = signed.listed.verify(progress=advance)
    count = len(verified.manifest.members)
    ladder.step("integrity", StepStatus.PASSED, f"{count} files, {total} bytes are what was signed")
    return verified


def _check_signer(signed: Signed, ladder: Ladder) -> None:
    refusal = signed.refusal
    if refusal is not None:
        raise DefectError.of(refusal)
    if signed.stamped is not None:
        by = show(signed.stamped.authority)
        time = f"{signed.stamped.time:%Y-%m-%d %H:%M:%S} UTC"
        ladder.step("time stamp", StepStatus.PASSED, f"signed before {time}, says {by}")
    established = signed.signer.status.established
    ladder.step(
        "authenticity",
        StepStatus.PASSED if established else StepStatus.UNDECIDED,
        f"signed by {describe_signer(signed.signer)}",
    )


def _repeat(
    request: VerifyRequest,
    variables: Mapping[str, str],
    observer: Observer,
    ladder: Ladder,
    work: Path,
    verified: VerifiedBundle,
    release: Release,
) -> tuple[Verdict, str]:
    claims, runs = _what_to_repeat(request, release)
    ladder.runs = tuple(
        show_command(segment.invocation.argv, limit=MAX_COMMAND_SHOWN)
        for run in runs
        for segment in run.packed.record.segments[0 if request.mode is Mode.RETRAIN else -1 :]
    )
    ladder.lineage = _lineage(release, runs)
    nothing = _nothing_to_repeat(request, release, claims)
    if nothing is not None:
        ladder.step("claims", StepStatus.UNDECIDED, nothing[0])
        return Verdict.INCONCLUSIVE, nothing[1]
    if request.new_seeds:
        _check_seeds(request, release)
        ladder.seeds = request.seeds or fresh_seeds(release, request.runs)
    try:
        prepared = prepare(request, variables, observer, ladder, work, verified, release, runs)
        repetitions = _repetitions(request, prepared.conditions, claims, ladder.seeds)
    except RepetitionFailedError as error:
        return ladder.undecided(error.rung, error.finding)
    _say_executed(ladder, repetitions, len(runs), isolated=request.sandbox)
    wording = OF_A_RELEASE if request.recorded_run is None else OF_A_RUN
    ladder.claims = say_stale(
        claims,
        judge_all(
            claims,
            [repeated.metrics for repeated in repetitions],
            wording,
            {path: why for repeated in repetitions for path, why in repeated.unread.items()},
        ),
        (metric for repeated in repetitions for metric in repeated.stale),
    )
    ladder.curves = curves_of(repetitions[0])
    if request.recorded_run is not None:
        ladder.outputs = compare_outputs(repetitions)
        say_outputs(ladder)
    verdict, reason = conclude(ladder, wording, others=_unchecked(request, release, claims))
    reason += said_of_versions(prepared.differences, request.versions)
    if verdict is not Verdict.REPRODUCED:
        ladder.causes = _causes(request, variables, ladder, prepared, repetitions[0], claims)
    return verdict, reason


def _say_executed(
    ladder: Ladder, repetitions: Sequence[Repeated], runs: int, *, isolated: bool
) -> None:
    """Notes how the repetitions came about."""
    ladder.isolation = repetitions[0].isolation
    ladder.repetitions = len(repetitions)
    ladder.differences += [d for repeated in repetitions for d in repeated.differences]
    how = f"in {repetitions[0].isolation.kind}" if isolated else "without isolation"
    how += with_seeds(ladder.seeds)
    times = f" {len(repetitions)} times" if len(repetitions) > 1 else ""
    ladder.step(
        "execution",
        StepStatus.PASSED,
        f"{runs} run{'s' if runs > 1 else ''} repeated{times} {how}",
    )


def _causes(
    request: VerifyRequest,
    variables: Mapping[str, str],
    ladder: Ladder,
    prepared: Prepared,
    repeated: Repeated,
    claims: tuple[Claim, ...],
) -> tuple[Cause, ...]:
    """Why the numbers may differ; by reruns too, where that was asked for."""
    causes = causes_of(
        prepared.conditions,
        repeated,
        ladder.differences,
        ladder.curves,
        variables,
        new_seeds=request.new_seeds,
        versions=request.versions,
        no_number=bool(ladder.claims)
        and all(r.fresh is None or r.verdict is Verdict.REPRODUCED for r in ladder.claims),
    )
    if request.explain and request.new_seeds:
        ladder.step(
            "explanation",
            StepStatus.UNDECIDED,
            "no reruns: with another seed no single number is expected to come out again",
        )
    elif request.explain:
        causes = explain_by_reruns(
            prepared.conditions,
            repeated,
            causes,
            claims,
            lambda metrics: judge_all(claims, [metrics]),
            variables,
            retrain=request.mode is Mode.RETRAIN,
            versions=request.versions,
            build=prepared.build,
        )
        ladder.step("explanation", StepStatus.PASSED, _explained(causes))
    return causes


def _lineage(release: Release, repeated: tuple[ReleaseRun, ...]) -> tuple[LineageRun, ...]:
    """The chain of runs, as reports draw it. Its texts are safe to print."""
    numbers = {run.packed.record.id: run.number for run in release.runs}
    chain = []
    for run in release.runs:
        segments = run.packed.record.segments
        origins = {m.origin.run for s in segments for m in s.materials if m.origin is not None}
        chain.append(
            LineageRun(
                number=run.number,
                command=show(" ".join(segments[-1].invocation.argv)),
                reads=tuple(sorted(numbers[one] for one in origins if one in numbers)),
                data=tuple(show(name) for name in run.packed.data if name != PROJECT_DATA),
                repeated=run in repeated,
            )
        )
    return tuple(chain)


def _explained(causes: tuple[Cause, ...]) -> str:
    confirmed = [cause.subject for cause in causes if cause.certainty is Certainty.CONFIRMED]
    if confirmed:
        return f"confirmed by a rerun: {', '.join(confirmed)}"
    involved = [cause.subject for cause in causes if cause.certainty is Certainty.INVOLVED]
    if involved:
        return f"the numbers depend on: {', '.join(involved)}"
    return "no setting that was tried changed the numbers"


def _repetitions(
    request: VerifyRequest,
    conditions: Conditions,
    claims: tuple[Claim, ...],
    seeds: tuple[str, ...],
) -> list[Repeated]:
    """As many repetitions as were asked for, each in a place of its own, with its seed.

    An evaluation that misses a tolerance which was only assumed is repeated once more: if it gives
    another number each time, the assumption was wrong, and nothing is decided.

    Raises:
        RepetitionFailedError: As `repeat_runs`.
    """
    repetitions: list[Repeated] = []
    wanted = request.runs
    while len(repetitions) < wanted:
        number = len(repetitions) + 1
        if wanted > 1:
            conditions.tell(f"repetition {number} of {wanted}")
        here = conditions
        if number > 1:
            here = replace(conditions, work=conditions.work / f"repetition-{number}")
            here.work.mkdir()
        if request.new_seeds:
            seed = seeds[number - 1]
            conditions.tell(f"training again with the seed {seed}")
            here = replace(here, release=reseeded(conditions.release, seed), seed=seed)
        repetitions.append(repeat_runs(here, retrain=request.mode is Mode.RETRAIN, claims=claims))
        if wanted == 1 and any(map(is_assumed, claims)):
            results = judge_all(claims, [repetitions[0].metrics])
            if any(r.verdict is Verdict.NOT_REPRODUCED and is_assumed(r.claim) for r in results):
                conditions.tell("a number differs; is it the same twice?")
                wanted = 2
    return repetitions


def _what_to_repeat(
    request: VerifyRequest, release: Release
) -> tuple[tuple[Claim, ...], tuple[ReleaseRun, ...]]:
    """The claims that this repetition can speak about, and the runs it needs.

    In a release of a single execution, which trains and reports, to evaluate is to train again.
    """
    retrain = request.mode is Mode.RETRAIN
    single = len(release.runs) == 1 and len(release.claimed.packed.record.segments) == 1
    if request.new_seeds:
        mode = ClaimMode.RETRAIN_NEW_SEED
    elif retrain or single:
        mode = ClaimMode.RETRAIN_SAME_SEED
    else:
        mode = ClaimMode.EVALUATE
    claims = tuple(claim for claim in release.claims.claims if claim.mode is mode)
    return claims, release.runs if retrain else (release.claimed,)


def _nothing_to_repeat(
    request: VerifyRequest, release: Release, claims: tuple[Claim, ...]
) -> tuple[str, str] | None:
    """Why a repetition could tell nothing, for the step and for the verdict."""
    if not claims and request.recorded_run is None:
        about = " about a training with another seed" if request.new_seeds else ""
        return (
            f"the release claims nothing{about}",
            f"the release claims no number{about}, so there is nothing to compare",
        )
    if request.new_seeds and not can_reseed(release):
        return (
            "no seed to change",
            "the recorded commands do not have one seed that could be changed",
        )
    return None


def _unchecked(request: VerifyRequest, release: Release, claims: tuple[Claim, ...]) -> int:
    """How many claims of a release this kind of repetition says nothing about.

    Of a recorded run they are the same numbers once more.
    """
    return 0 if request.recorded_run is not None else len(release.claims.claims) - len(claims)


def _check_data_names(request: VerifyRequest, release: Release) -> None:
    """Refuses a directory for a data set that the release does not have."""
    unknown = set(request.data) - set(release.data)
    if unknown:
        raise UsageError(
            f"--data {min(unknown)}: the bundle has no such data set "
            f"(it has: {', '.join(sorted(release.data)) or 'none'})"
        )


def _check_seeds(request: VerifyRequest, release: Release) -> None:
    """Refuses a seed that the author used herself."""
    known = used_seeds(release).intersection(request.seeds)
    if known:
        raise UsageError(
            f"--seed {min(known)}: the author used it, so that it says nothing of another seed",
            advice="give other seeds, or none, and they are drawn",
        )


def _intact_reason(signer: SignerReport) -> str:
    if signer.status is SignerStatus.ANONYMOUS:
        return "every byte is what the anonymous author signed"
    if signer.status is SignerStatus.UNKNOWN:
        return f"every byte is what {signer.fingerprint} signed; that signer is not established"
    return f"every byte is what {describe_signer(signer)} signed"
