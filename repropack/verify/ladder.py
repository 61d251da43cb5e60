# SPDX-License-Identifier: Apache-2.0
"""What a check has learned so far, rung by rung, and the report that it becomes.

Everything that came from a bundle is made printable here, once, so that no form of the report and
no program that reads its JSON meets a terminal escape or a lone surrogate.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from repropack import __version__
from repropack.escaping import show
from repropack.findings import Code, Finding
from repropack.model import (
    RECORD_VERSION,
    Cause,
    ClaimResult,
    CurveComparison,
    Difference,
    FindingRecord,
    Isolation,
    LineageRun,
    OutputComparison,
    Report,
    SignerReport,
    Step,
    StepStatus,
    Verdict,
)

__all__ = ["Ladder", "sentence"]


_OF_BYTES: Final = frozenset(
    {
        *(Code.TRUNCATED, Code.SEEK_TABLE, Code.FRAME_HEADER, Code.FRAME_CONTENT),
        *(Code.FRAME_LAYOUT, Code.TAR_HEADER, Code.TAR_PADDING, Code.MEMBER_DIGEST),
    }
)
"""What a check of all bytes would have found, had it been so then."""

_RUNGS: Final = {"3": "authenticity", "4": "code", "5": "records"}
"""The hundreds of a code say which rung its defect belongs to, whenever it was found."""


class Ladder:
    """Collects rungs, findings and everything else that the report shows.

    Attributes:
        rung: What is being checked now: where a defect of the container belongs.
    """

    def __init__(
        self, bundle: str, mode: str, *, allow_unknown_signer: bool, run: str | None = None
    ) -> None:
        self._bundle = bundle
        self._run = run
        self._mode = mode
        self._allow_unknown_signer = allow_unknown_signer
        self._since = time.monotonic()
        self.rung = "integrity"
        self.steps: list[Step] = []
        self.findings: list[Finding] = []
        self.differences: list[Difference] = []
        self.claims: tuple[ClaimResult, ...] = ()
        self.outputs: tuple[OutputComparison, ...] = ()
        self.curves: tuple[CurveComparison, ...] = ()
        self.causes: tuple[Cause, ...] = ()
        self.lineage: tuple[LineageRun, ...] = ()
        self.signer: SignerReport | None = None
        self.signers: tuple[SignerReport, ...] = ()
        self.manifest_sha256: str | None = None
        self.isolation: Isolation | None = None
        self.runs: tuple[str, ...] = ()
        self.repetitions = 0
        self.seeds: tuple[str, ...] = ()
        self.work: Path | None = None

    def step(self, name: str, status: StepStatus, summary: str) -> None:
        """Notes how a rung ended."""
        now = time.monotonic()
        self.steps.append(
            Step(name=name, status=status, summary=summary, seconds=round(now - self._since, 3))
        )
        self._since = now

    def undecided(self, rung: str, finding: Finding) -> tuple[Verdict, str]:
        """Ends the climb at something that could not be done here."""
        if finding not in self.findings:
            self.findings.append(finding)
        self.step(rung, StepStatus.UNDECIDED, sentence(finding))
        return Verdict.INCONCLUSIVE, sentence(finding)

    def defect(self, finding: Finding) -> tuple[Verdict, str]:
        """Ends the climb at something that is wrong with the bundle.

        A bundle of a later version is not broken, it is only not for this reader. Records that
        contradict each other are what the author signed: the reason says so, because nobody
        changed a byte. What was made of a recorded run here was signed by nobody else.
        """
        if self._run is not None:
            return self.undecided("records", finding)
        if finding.code is Code.MANIFEST_VERSION:
            return self.undecided(self.rung, finding)
        self.findings.append(finding)
        rung = _RUNGS.get(finding.code.code[3], self.rung)
        self.step(rung, StepStatus.FAILED, sentence(finding))
        signed = any(s.name == "integrity" and s.status is StepStatus.PASSED for s in self.steps)
        reason = sentence(finding)
        if finding.code in (Code.SIGNER_REJECTED, Code.TOO_FEW_SIGNERS):
            reason = f"the bytes are intact, but not from a signer that you accept: {reason}"
        elif finding.code is Code.SIGNER_CHANGED:
            reason = f"the bytes are intact, but ANOTHER KEY signed them: {reason}"
        elif finding.code is Code.TIMESTAMP:
            reason = f"the bytes are intact, but they are not dated: {reason}"
        elif finding.code is Code.KEY_REVOKED:
            reason = f"the bytes are intact, but THE KEY IS REVOKED: {reason}"
        elif signed and finding.code in _OF_BYTES:
            reason = f"the file has changed since its bytes were checked: {reason}"
        elif signed and rung in ("code", "records", "environment"):
            reason = f"the bytes are what was signed, but the release is malformed: {reason}"
        return Verdict.NOT_INTACT, reason

    def report(self, verdict: Verdict, reason: str, checked: str | None) -> Report:
        """The report of everything so far."""
        return Report(
            version=RECORD_VERSION,
            bundle=show(self._bundle) if self._run is None else None,
            run=self._run,
            manifest_sha256=self.manifest_sha256,
            verdict=verdict,
            reason=reason,
            exit_status=self._exit_status(verdict),
            signer=None if self.signer is None else _printable_signer(self.signer),
            signers=tuple(_printable_signer(signer) for signer in self.signers),
            mode=self._mode,
            steps=tuple(self.steps),
            claims=self.claims,
            outputs=self.outputs,
            findings=tuple(_record(finding) for finding in dict.fromkeys(self.findings)),
            differences=tuple(_printable(d) for d in dict.fromkeys(self.differences)),
            curves=self.curves,
            causes=self.causes,
            lineage=self.lineage,
            isolation=self.isolation,
            runs=self.runs,
            repetitions=self.repetitions,
            seeds=self.seeds if self.repetitions else (),
            work=None if self.work is None else show(self.work),
            tool=f"repropack {__version__}",
            checked=checked,
        )

    def _exit_status(self, verdict: Verdict) -> int:
        """0 holds, 1 does not hold, 3 undecided, 4 holds but the signer is not established."""
        if verdict in (Verdict.NOT_REPRODUCED, Verdict.NOT_INTACT):
            return 1
        if verdict is Verdict.INCONCLUSIVE:
            return 3
        established = self.signer is not None and self.signer.status.established
        return 4 if not established and not self._allow_unknown_signer else 0


def sentence(finding: Finding) -> str:
    """A finding in one line that is safe to print."""
    text = f"{finding.code.code} {finding.code.title}"
    if finding.subject:
        text = f"{show(finding.subject)}: {text}"
    if finding.found:
        text += f": found {show(finding.found)}"
    if finding.expected:
        text += f", expected {show(finding.expected)}"
    return text


def _record(finding: Finding) -> FindingRecord:
    return FindingRecord(
        code=finding.code.code,
        title=finding.code.title,
        subject=show(finding.subject),
        found=show(finding.found),
        expected=show(finding.expected),
    )


def _printable_signer(signer: SignerReport) -> SignerReport:
    return SignerReport(
        fingerprint=signer.fingerprint,
        status=signer.status,
        name=show(signer.name),
        note=show(signer.note),
    )


def _printable(difference: Difference) -> Difference:
    return Difference(
        subject=show(difference.subject),
        recorded=show(difference.recorded),
        present=show(difference.present),
    )
