# SPDX-License-Identifier: Apache-2.0
"""`repropack calibrate`, and the same before an export is signed."""

from __future__ import annotations

import os
from typing import TypeAlias

import click

from repropack import canonical
from repropack.cli import repetition_options
from repropack.cli.location import existing_bundle
from repropack.cli.progress import ProgressLine
from repropack.cli.run import parse_data
from repropack.cli.screen import bold, dim, plural, say
from repropack.errors import CannotDecideError, RepropackError
from repropack.escaping import show
from repropack.export.calibration import Calibration, Noise, calibrate
from repropack.model import Verdict
from repropack.signing.policy import TrustPolicy
from repropack.store import now
from repropack.verify import Mode, Observer, VerifyRequest, verify

__all__ = ["Document", "NotIntactError", "command", "measure", "show_calibrations"]


Document: TypeAlias = tuple[Calibration, ...]
"""What `--json` prints: each claim and how its number varied."""


class NotIntactError(RepropackError):
    """What should be repeated is not what was signed."""

    exit_status = 1


@click.command("calibrate")
@click.argument("bundle", metavar="FILE|DIR|URL")
@click.option(
    "--runs", metavar="N", type=click.IntRange(1, 1000), default=5, help="How often; 5 if left out."
)
@click.option("--retrain", is_flag=True, help="Repeat every run, not only the claimed one.")
@click.option("--data", metavar="NAME=DIR", multiple=True, help="Where a data set is. Repeatable.")
@repetition_options.no_sandbox
@repetition_options.offline
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def command(
    bundle: str,
    runs: int,
    retrain: bool,
    data: tuple[str, ...],
    no_sandbox: bool,
    offline: bool,
    as_json: bool,
) -> int:
    """Repeat a bundle's evaluation, and say how much each number varies.

    \b
      bit-equal     the very number each time
      metric-equal  numbers that differ by no more than rounding
      noisy         other numbers: the claim needs a tolerance that covers them
    """  # noqa: D301 - click wants the character itself, not its name
    request = VerifyRequest(
        bundle=existing_bundle(bundle),
        mode=Mode.RETRAIN if retrain else Mode.EVALUATE,
        policy=TrustPolicy(),
        runs=runs,
        allow_unknown_signer=True,
        data=parse_data(data),
        sandbox=not no_sandbox,
        offline=offline,
    )
    found = measure(request, show(bundle, limit=200), quiet=as_json)
    if as_json:
        say(canonical.encode(found).decode())
        return 0
    show_calibrations(found)
    noisy = sum(one.noise is Noise.NOISY for one in found)
    if noisy:
        say(bold(f"{noisy} of {plural(len(found), 'claim')} noisy"))
        say("next: repropack export --calibrate 5, or declare a tolerance in repropack.yaml")
    else:
        say(bold(f"{plural(len(found), 'claim')} the same in {plural(runs, 'repetition')}"))
    return 0


def measure(request: VerifyRequest, name: str, *, quiet: bool) -> Document:
    """Repeats what a bundle claims and classes each claim.

    Args:
        request: The bundle and how it is repeated.
        name: What the bundle is called in messages.
        quiet: Whether nothing is said about how it goes.

    Raises:
        NotIntactError: The bundle is damaged or altered.
        CannotDecideError: The repetitions did not come to an end, or gave no number.
        UsageError: A directory was given for a data set that the bundle does not have.
    """
    with ProgressLine(quiet=quiet) as line:
        report = verify(
            request,
            dict(os.environ),
            Observer(tell=line.tell, advance=line.advance, live=line.live),
            now=now(),
        )
    if report.verdict is Verdict.NOT_INTACT:
        raise NotIntactError(f"{name}: {report.reason}")
    if not report.claims:
        raise CannotDecideError(f"{name}: nothing could be measured: {report.reason}")
    found = []
    for result in report.claims:
        if result.fresh is None:
            raise CannotDecideError(f"{name}: nothing could be measured: {result.sentence}")
        found.append(calibrate(result.claim, result.runs or (result.fresh,)))
    return tuple(found)


def show_calibrations(found: Document) -> None:
    """Prints a line for each claim."""
    for one in found:
        low, high = min(one.values), max(one.values)
        spread = f"{low:.10g}" if low == high else f"{low:.10g} to {high:.10g}"
        if one.deviation:
            spread += f", standard deviation {one.deviation:.3g}"
        line = f"{one.claim.metric}  claimed {one.claim.expected!r}, {len(one.values)} × {spread}"
        say(f"{dim(one.noise.value.ljust(12))} {show(line)}")
