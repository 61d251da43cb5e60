# SPDX-License-Identifier: Apache-2.0
"""What a verification found."""

from __future__ import annotations

import enum
from typing import Annotated, Final

from msgspec import Meta

from repropack.model.claim import Claim
from repropack.model.fields import Count, Record, RunId, Seed, Sha256, SparseRecord, Timestamp
from repropack.model.metric import Series

__all__ = [
    "Cause",
    "CauseKind",
    "Certainty",
    "ClaimResult",
    "CurveComparison",
    "Difference",
    "Divergence",
    "FindingRecord",
    "Isolation",
    "LineageRun",
    "OutputComparison",
    "Report",
    "SignerReport",
    "SignerStatus",
    "Step",
    "StepStatus",
    "Verdict",
]


class Verdict(enum.StrEnum):
    """The one word at the end. Unknown never reads as good."""

    REPRODUCED = "REPRODUCED"
    NOT_REPRODUCED = "NOT REPRODUCED"
    INCONCLUSIVE = "INCONCLUSIVE"
    INTACT = "INTACT"
    NOT_INTACT = "NOT INTACT"


class SignerStatus(enum.StrEnum):
    """What the reader's trust policy says of a key that signed."""

    TRUSTED = "trusted"
    PINNED = "pinned on first use"
    SUCCESSOR = "known by rotation"
    FIRST_USE = "first use, pinned now"
    EXPECTED_DIGEST = "expected digest"
    REVOKED = "revoked"
    ANONYMOUS = "anonymous: the key was made for this bundle alone"
    UNKNOWN = "not established"
    REJECTED = "not accepted"
    CHANGED = "not the known key"
    INVALID = "signature does not hold"

    @property
    def established(self) -> bool:
        """Whether the reader knows the key, or expected these very bytes."""
        return self in _ESTABLISHED


_ESTABLISHED: Final = frozenset(
    {
        SignerStatus.TRUSTED,
        SignerStatus.PINNED,
        SignerStatus.SUCCESSOR,
        SignerStatus.FIRST_USE,
        SignerStatus.EXPECTED_DIGEST,
    }
)


class SignerReport(SparseRecord, frozen=True, kw_only=True):
    """A key that signed, as `SHA256:…`, and its standing.

    Attributes:
        name: What the reader calls the signer, from her own files.
        note: Why it has this standing, where that is not plain.
    """

    fingerprint: str
    status: SignerStatus
    name: str = ""
    note: str = ""


class StepStatus(enum.StrEnum):
    """How a rung of the ladder ended."""

    PASSED = "passed"
    FAILED = "failed"
    UNDECIDED = "undecided"
    SKIPPED = "skipped"


class Step(SparseRecord, frozen=True, kw_only=True):
    """A rung of the ladder: integrity, authenticity, environment, execution, claims."""

    name: str
    status: StepStatus
    summary: str
    seconds: float = 0.0


class Difference(Record, frozen=True, kw_only=True):
    """Something about the rebuilt environment that is not as recorded."""

    subject: str
    recorded: str
    present: str


class ClaimResult(SparseRecord, frozen=True, kw_only=True):
    """A claim and what a repetition gave.

    Attributes:
        fresh: None where the repetition gave no finite number; the mean of several repetitions.
        runs: What each repetition gave, where there were several.
        sentence: The outcome in words, with mode and evidence.
        low: The least fresh value that the tolerance accepts; None without a usable tolerance.
        high: The greatest, in the metric's unit. Both are rounded: the verdict decides at an edge.
    """

    claim: Claim
    verdict: Verdict
    fresh: float | None
    sentence: str
    runs: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None


class Divergence(Record, frozen=True, kw_only=True):
    """A step of a curve at which the fresh value is not the recorded one.

    Attributes:
        index: How many compared steps lie before it.
        step: As the source counts steps.
        relative: |fresh - recorded| / max(|fresh|, |recorded|); 2 where one of them is not finite.
    """

    index: Annotated[int, Meta(ge=0)]
    step: float
    relative: Annotated[float, Meta(ge=0, le=2)]


class CurveComparison(SparseRecord, frozen=True, kw_only=True):
    """A recorded series and the fresh one, compared step by step.

    Attributes:
        run: The place of the run in the chain, from 1.
        compared: Steps that both have.
        only_recorded: Steps that only the recorded one has.
        only_fresh: Steps that only the fresh one has.
        first: The first step with other bits; None where every compared value is equal.
        beyond: For each threshold, as text, the first step whose relative difference exceeds it.
        jump: The first step where the difference grows more than a thousandfold at once, after the
            curves had been near each other.
        final: The relative difference at the last compared step.
        recorded: What is drawn of the recorded one: the least and the greatest value of each
            stretch, where there are more values than a drawing can show.
        fresh: The same of the fresh one.
    """

    metric: str
    run: Count
    path: str
    compared: Annotated[int, Meta(ge=0)]
    only_recorded: Annotated[int, Meta(ge=0)] = 0
    only_fresh: Annotated[int, Meta(ge=0)] = 0
    first: Divergence | None = None
    beyond: dict[str, Divergence] = {}
    jump: Divergence | None = None
    final: Annotated[float, Meta(ge=0, le=2)] = 0.0
    recorded: Series | None = None
    fresh: Series | None = None


class CauseKind(enum.StrEnum):
    """Where a difference lies that may explain other numbers; the likeliest first."""

    ARTEFACT = "weights, data or code"
    OUTCOME = "how far the run came"
    SETTING = "seed or setting"
    NUMERICS = "numerical package"
    DEVICE = "device"
    KERNEL = "threads, BLAS or instruction set"
    PLATFORM = "Python or system"
    OTHER = "other package or variable"


class Certainty(enum.StrEnum):
    """What is known of a cause."""

    CONFIRMED = "confirmed"
    """With this setting as recorded, a rerun gave the recorded numbers."""
    INVOLVED = "involved"
    """A rerun with another value of this setting gave other numbers."""
    LIKELY = "likely"
    """It differs; nothing was tried."""
    EXCLUDED = "excluded"
    """A rerun with another value of this setting gave the same bits."""


class Cause(SparseRecord, frozen=True, kw_only=True):
    """A difference, as a candidate for why numbers differ.

    Attributes:
        subject: The file, option, package or setting.
        recorded: Its value in the recorded (for `diff`: the first) run; empty where it has none.
        present: Its value now (for `diff`: in the second run).
        weight: By which causes are ordered: larger is likelier. It is no probability.
        why: What speaks for or against it, in a few words.
    """

    kind: CauseKind
    subject: str
    recorded: str
    present: str
    weight: Annotated[float, Meta(ge=0)]
    certainty: Certainty = Certainty.LIKELY
    why: str = ""


class LineageRun(SparseRecord, frozen=True, kw_only=True):
    """A run of the release, in the chain of runs that leads to the claimed numbers.

    Attributes:
        number: Its place in the chain, from 1.
        command: What it executed.
        reads: The earlier runs whose files it read.
        data: The data sets that it read.
        repeated: Whether it was repeated in this check.
    """

    number: Count
    command: str
    reads: tuple[int, ...] = ()
    data: tuple[str, ...] = ()
    repeated: bool = False


class OutputComparison(SparseRecord, frozen=True, kw_only=True):
    """A file that a run left, and what its repetitions left in its place.

    Attributes:
        run: The place of the run in the chain, from 1.
        path: As recorded; safe to print.
        recorded: Its digest then.
        fresh: Its digest now: of several repetitions, that of the first which left another file.
            None where one of them wrote no such file.
    """

    run: Count
    path: str
    recorded: Sha256
    fresh: Sha256 | None = None

    @property
    def same(self) -> bool:
        """Whether every repetition left the very content."""
        return self.fresh == self.recorded


class Isolation(Record, frozen=True, kw_only=True):
    """What kept the executed code apart, and what it did not isolate."""

    kind: str
    summary: str


class Report(SparseRecord, frozen=True, kw_only=True):
    """The result of `verify` or `repeat`: everything the text, JSON and HTML reports show.

    Attributes:
        bundle: Its name; None where a recorded run was repeated. Then there is no manifest and no
            signer either.
        run: The recorded run that was repeated (`repropack repeat`).
        signer: The signer who stands best with the reader. Its status is that of the whole bundle
            and decides: it is `not accepted` too where too few of the named signers have signed.
        signers: Every key that the attestation names, each with its own status.
        outputs: Files compared by digest, where that was asked for (`repropack repeat`).
        causes: Why the numbers may differ, the likeliest first; empty where they do not.
        runs: The commands that were to be executed.
        repetitions: How often they were.
        seeds: Of trainings with new seeds, that of each repetition: who gives them to
            `verify --seed` trains the same again.
    """

    version: Count
    bundle: str | None
    manifest_sha256: str | None
    verdict: Verdict
    reason: str
    exit_status: int
    signer: SignerReport | None
    mode: str
    steps: tuple[Step, ...]
    run: RunId | None = None
    signers: tuple[SignerReport, ...] = ()
    claims: tuple[ClaimResult, ...] = ()
    outputs: tuple[OutputComparison, ...] = ()
    findings: tuple[FindingRecord, ...] = ()
    differences: tuple[Difference, ...] = ()
    curves: tuple[CurveComparison, ...] = ()
    causes: tuple[Cause, ...] = ()
    lineage: tuple[LineageRun, ...] = ()
    isolation: Isolation | None = None
    runs: tuple[str, ...] = ()
    repetitions: Annotated[int, Meta(ge=0)] = 0
    seeds: tuple[Seed, ...] = ()
    work: str | None = None
    tool: str = ""
    checked: Timestamp | None = None


class FindingRecord(SparseRecord, frozen=True, kw_only=True):
    """A finding as a report shows it (`repropack.findings.Finding` is its source)."""

    code: str
    title: str
    subject: str = ""
    found: str = ""
    expected: str = ""
