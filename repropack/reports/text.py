# SPDX-License-Identifier: Apache-2.0
"""The report as a few lines for a terminal: the ladder, the claims, what differs.

The verdict itself is printed by the command line, last.
"""

from __future__ import annotations

from typing import Final

from repropack.escaping import show
from repropack.model import (
    Cause,
    Certainty,
    CurveComparison,
    OutputComparison,
    Report,
    SignerReport,
    Step,
    StepStatus,
    Verdict,
)

__all__ = ["describe_cause", "describe_curve", "describe_signer", "render"]

MARKS: Final = {
    StepStatus.PASSED: "ok  ",
    StepStatus.FAILED: "FAIL",
    StepStatus.UNDECIDED: "?   ",
    StepStatus.SKIPPED: "-   ",
}

CLAIM_MARKS: Final = {Verdict.REPRODUCED: "ok  ", Verdict.NOT_REPRODUCED: "FAIL"}

SHOWN_DIFFERENCES: Final = 12
SHOWN_CAUSES: Final = 5
SHOWN_CURVES: Final = 5
SHOWN_OUTPUTS: Final = 20


def describe_signer(signer: SignerReport) -> str:
    """A signer in a few words that are safe to print: `SHA256:… (lab, trusted)`."""
    words = [show(word) for word in (signer.name, signer.status.value, signer.note) if word]
    return f"{show(signer.fingerprint)} ({', '.join(words)})"


def describe_cause(cause: Cause) -> str:
    """A cause in one line that is safe to print."""
    known = "" if cause.certainty is Certainty.LIKELY else f"{cause.certainty.value}: "
    why = f" ({show(cause.why)})" if cause.why else ""
    change = f": {show(cause.recorded) or 'nothing'} → {show(cause.present) or 'nothing'}"
    if not (cause.recorded or cause.present):
        # Only a rerun speaks of it.
        change = ""
    return f"{known}{cause.kind.value}: {show(cause.subject)}{change}{why}"


def describe_curve(
    curve: CurveComparison, of: tuple[str, str] = ("recorded one", "fresh one")
) -> str:
    """How two curves part, in one line that is safe to print; `of` says which they are."""
    name = f"{show(curve.metric)} (run {curve.run}, {show(curve.path)})"
    parts = []
    if curve.first is None:
        steps = "the only step" if curve.compared == 1 else f"all {curve.compared} steps"
        parts.append(f"equal at {steps}" if curve.compared else "no common step")
    else:
        step, by = f"{curve.first.step:g}", f"{curve.first.relative:.1e}"
        parts.append(f"equal for {curve.first.index} of {curve.compared} steps, then apart by {by}")
        parts[0] += f" at step {step}"
        parts += [
            f"over {name} from step {beyond.step:g}"
            for name, beyond in curve.beyond.items()
            if beyond.index != curve.first.index
        ]
        parts.append(f"{curve.final:.1e} at the last")
    for count, which in ((curve.only_recorded, of[0]), (curve.only_fresh, of[1])):
        if count:
            parts.append(f"{count} step{'s' if count > 1 else ''} only in the {which}")
    return f"{name}: {', '.join(parts)}"


def render(report: Report) -> str:
    """The report as text, with a newline at its end."""
    lines = [
        f"{MARKS[step.status]} {show(step.name):<13} {_summary(step, report)}".rstrip()
        + (f"  ({step.seconds:.1f} s)" if step.seconds >= 1 else "")
        for step in report.steps
    ]
    if len(report.signers) > 1:
        lines.append("signatures:")
        lines += [f"     {describe_signer(signer)}" for signer in report.signers]
    lines += [
        f"{CLAIM_MARKS.get(result.verdict, '?   ')} {show(result.sentence)}"
        for result in report.claims
    ]
    # What is not the same is what one looks for.
    ordered = sorted(report.outputs, key=lambda one: one.same)
    lines += [_output(one) for one in ordered[:SHOWN_OUTPUTS]]
    if len(ordered) > SHOWN_OUTPUTS:
        lines.append(f"     … and {len(ordered) - SHOWN_OUTPUTS} more files (--json has all)")
    if report.differences:
        lines.append("differs from the recorded machine:")
        lines += [
            f"     {show(d.subject)}: {show(d.recorded)} → {show(d.present)}"
            for d in report.differences[:SHOWN_DIFFERENCES]
        ]
    lines += [f"curve {describe_curve(curve)}" for curve in report.curves[:SHOWN_CURVES]]
    if report.causes:
        confirmed = report.causes[0].certainty is Certainty.CONFIRMED
        lines.append("why, confirmed by a rerun:" if confirmed else "most likely why:")
        lines += [
            f"  {number}. {describe_cause(cause)}"
            for number, cause in enumerate(report.causes[:SHOWN_CAUSES], 1)
        ]
    if report.isolation is not None:
        kind, summary = show(report.isolation.kind), show(report.isolation.summary)
        # A summary begins with the kind and its version.
        lines.append(f"isolation: {summary if summary.startswith(kind) else f'{kind}: {summary}'}")
    return "\n".join(lines) + "\n"


def _output(one: OutputComparison) -> str:
    if one.same:
        how = "the same content"
    elif one.fresh is None:
        how = "not written again"
    else:
        how = f"another content (sha256 {one.recorded[:12]}… → {one.fresh[:12]}…)"
    return f"{'same' if one.same else 'diff'} {show(one.path)} (run {one.run}): {how}"


def _summary(step: Step, report: Report) -> str:
    """What a rung says; not twice what the verdict is about to say."""
    return "" if step.summary in report.reason else show(step.summary)
