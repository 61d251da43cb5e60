# SPDX-License-Identifier: Apache-2.0
"""The report as a few lines for a terminal: the ladder, the claims, what differs.

The verdict itself is printed by the command line, last.
"""

from __future__ import annotations

from typing import Final

from repropack.escaping import show
from repropack.model import Report, SignerReport, Step, StepStatus, Verdict

__all__ = ["describe_signer", "render"]

MARKS: Final = {
    StepStatus.PASSED: "ok  ",
    StepStatus.FAILED: "FAIL",
    StepStatus.UNDECIDED: "?   ",
    StepStatus.SKIPPED: "-   ",
}

CLAIM_MARKS: Final = {Verdict.REPRODUCED: "ok  ", Verdict.NOT_REPRODUCED: "FAIL"}

SHOWN_DIFFERENCES: Final = 12


def describe_signer(signer: SignerReport) -> str:
    """A signer in a few words that are safe to print: `SHA256:… (lab, trusted)`."""
    words = [show(word) for word in (signer.name, signer.status.value, signer.note) if word]
    return f"{show(signer.fingerprint)} ({', '.join(words)})"


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
    if report.differences:
        lines.append("differs from the recorded machine:")
        lines += [
            f"     {show(d.subject)}: {show(d.recorded)} → {show(d.present)}"
            for d in report.differences[:SHOWN_DIFFERENCES]
        ]
    if report.isolation is not None:
        lines.append(f"isolation: {show(report.isolation.kind)}: {show(report.isolation.summary)}")
    return "\n".join(lines) + "\n"


def _summary(step: Step, report: Report) -> str:
    """What a rung says; not twice what the verdict is about to say."""
    return "" if step.summary in report.reason else show(step.summary)
