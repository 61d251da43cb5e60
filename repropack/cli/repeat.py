# SPDX-License-Identifier: Apache-2.0
"""`repropack repeat`."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

import click
from msgspec.structs import replace

from repropack.cli import repetition_options
from repropack.cli.durations import parse_duration
from repropack.cli.progress import ProgressLine
from repropack.cli.report_files import complain_of_missing, leave, output_path, say_left
from repropack.cli.run import parse_data
from repropack.cli.screen import say, tell
from repropack.cli.verdict import say_report, verdict_line
from repropack.errors import CannotDecideError, UsageError
from repropack.escaping import show
from repropack.export import ExportPlan, build, prepare
from repropack.export.repetition import plan_repetition
from repropack.model import Report
from repropack.placeholders import PROJECT_DATA
from repropack.reports import render
from repropack.signing.keys import SigningKey
from repropack.signing.policy import TrustPolicy
from repropack.store import Store, now
from repropack.verify import Mode, Observer, VerifyRequest, verify

__all__ = ["command"]

_OF_A_BUNDLE = ("integrity", "authenticity")
"""Rungs that say something only of a bundle that came from somebody."""


@click.command("repeat")
@click.argument("run", metavar="ID")
@click.option(
    "--retrain",
    "--chain",
    "retrain",
    is_flag=True,
    help="Repeat the runs too whose files this one read, in order; of a resumed run all segments.",
)
@click.option(
    "--runs", metavar="N", type=click.IntRange(1, 1000), default=1, help="Repeat N times."
)
@click.option(
    "--data",
    metavar="NAME=DIR",
    multiple=True,
    help="Where a data set is now, if it was moved since. Repeatable.",
)
@repetition_options.time_limit
@repetition_options.no_sandbox
@repetition_options.offline
@repetition_options.report
@repetition_options.as_json
@repetition_options.keep_work
def command(
    run: str,
    retrain: bool,
    runs: int,
    data: tuple[str, ...],
    time_limit: str | None,
    no_sandbox: bool,
    offline: bool,
    report: str | None,
    as_json: bool,
    keep_work: bool,
) -> int:
    r"""Repeat a recorded run from its snapshot, in its environment, and compare.

    ID is a run's id or the beginning of it, a name, or `last`. The code is what was recorded, the
    files of earlier runs come from the store, data from where it is. All of it happens in a
    directory of its own: the project and the store stay as they are.

    Numbers have to come out within the tolerances of repropack.yaml; without one, exactly. Of each
    file that the run left it is said whether it has the same content again.

    \b
    Exit status:
      0  the numbers came out again
      1  they did not
      2  wrong usage: no such run, or one without its code or environment
      3  it could not be decided: data is gone or changed, or the run failed
    """
    store = Store.find(Path.cwd())
    store.share()
    target = store.resolve(run)
    record = store.finished(target)
    given = parse_data(data)
    wall_seconds = parse_duration("--time", time_limit) if time_limit is not None else None
    report_path = output_path("--report", report)
    if not as_json:
        tell(f"repropack: looking up what run {target.id} needs")
    planned = plan_repetition(store, target, dict(os.environ), offline=offline)
    if target.goes_on and not as_json:
        tell("repropack: a further segment of this run goes on; those before it are repeated")
    request = VerifyRequest(
        bundle=Path(f"{record.id}.rpk"),
        recorded_run=record.id,
        mode=Mode.RETRAIN if retrain else Mode.EVALUATE,
        policy=TrustPolicy(),
        runs=runs,
        data=_data(planned, given, retrain=retrain),
        sandbox=not no_sandbox,
        wall_seconds=wall_seconds,
        offline=offline,
        keep_work=keep_work,
    )
    result = _repeat(planned, request, quiet=as_json)
    left = leave("report", report_path, lambda: render("html", result).encode())
    if as_json:
        say(render("json", result).rstrip("\n"))
    else:
        say_report(result)
        say_left(left)
        if result.work is not None:
            say(f"work directory: {result.work}")
        say(verdict_line(result.verdict, result.reason))
    missing = complain_of_missing(left)
    return result.exit_status or (3 if missing else 0)


def _repeat(planned: ExportPlan, request: VerifyRequest, *, quiet: bool) -> Report:
    """Repeats what is planned by way of a bundle that nobody else sees."""
    key = SigningKey.from_seed(secrets.token_bytes(32))
    name = request.bundle.name
    with tempfile.TemporaryDirectory(prefix="repropack-repeat-") as scratch:
        with prepare(planned, (key,), name) as prepared:
            # It stays here.
            made = build(prepared, None, Path(scratch) / name).bundle.path
        with ProgressLine(quiet=quiet) as line:
            report = verify(
                replace(
                    request,
                    bundle=made,
                    policy=TrustPolicy(required=(key.public.fingerprint,)),
                ),
                dict(os.environ),
                Observer(tell=line.tell, advance=line.advance, live=line.live, kept=line.kept),
                now=now(),
            )
    # Whoever looks for the bundle or its key would find neither.
    return replace(
        report,
        manifest_sha256=None,
        signer=None,
        signers=(),
        steps=tuple(step for step in report.steps if step.name not in _OF_A_BUNDLE),
    )


def _data(planned: ExportPlan, given: dict[str, Path], *, retrain: bool) -> dict[str, Path]:
    """Where every data set is that will be read.

    Raises:
        CannotDecideError: One is no longer where it was.
        UsageError: None has a name that was given.
    """
    own = planned.chain[-1].record.id
    places = {one.manifest.name: one.directory for one in planned.data}
    unknown = set(given) - (set(places) - {PROJECT_DATA})
    if unknown:
        raise UsageError(
            f"--data {min(unknown)}: the run read no such data set "
            f"(it read: {', '.join(sorted(set(places) - {PROJECT_DATA})) or 'none'})"
        )
    places |= given
    for one in planned.data:
        name, place = one.manifest.name, places[one.manifest.name]
        if (retrain or own in one.runs) and not place.is_dir():
            raise CannotDecideError(
                f"the data set {show(name)} is no longer at {show(str(one.directory))}",
                advice=f"say where it is now: --data {show(name)}=DIR",
            )
    return {name: place for name, place in places.items() if place.is_dir()}
