# SPDX-License-Identifier: Apache-2.0
"""Reports of every kind, as `verify` makes them, and hostile ones."""

from __future__ import annotations

import math
from typing import Final

from msgspec.structs import replace

from repropack.importers.series import series
from repropack.model import (
    Absolute,
    AtLeast,
    AtMost,
    Cause,
    CauseKind,
    Certainty,
    Claim,
    ClaimMode,
    ClaimResult,
    Close,
    Difference,
    Equivalent,
    Exact,
    FindingRecord,
    Interval,
    Isolation,
    LineageRun,
    Metric,
    MetricSource,
    OutputComparison,
    Relative,
    Report,
    SignerReport,
    SignerStatus,
    Step,
    StepStatus,
    Tolerance,
    Verdict,
)
from repropack.verify.claims import judge_all
from repropack.verify.curves import compare_series
from repropack.verify.wording import OF_A_RELEASE, OF_A_RUN, Wording

FINGERPRINT: Final = "SHA256:lp+ddcyLuGbJmNIwcY+63nk4ybFsrKD8k5YtT63Ev9M"
DIGEST: Final = "fe382e294bd5a00c199c8914dd650affbbc520c974e0050181f897ce130f2585"


def judged(
    expected: float,
    tolerance: Tolerance | None,
    fresh: float | None,
    *,
    metric: str = "accuracy",
    unit: str = "",
    fresh_unit: str | None = None,
    wording: Wording = OF_A_RELEASE,
) -> ClaimResult:
    """A claim, judged by the real comparators."""
    source = MetricSource(importer="json", path="{project}/out/metrics.json", key=f"/{metric}")
    claim = Claim(
        metric=metric,
        source=source,
        expected=expected,
        mode=ClaimMode.EVALUATE,
        tolerance=tolerance,
        unit=unit,
        note="declared by the author",
    )
    given_unit = unit if fresh_unit is None else fresh_unit
    given = Metric(name=metric, value=fresh, text=str(fresh), source=source, unit=given_unit)
    return judge_all([claim], [[given]], wording)[0]


LOSSES: Final = [1 / (1 + step / 20) + 0.02 * math.sin(step) for step in range(120)]

CURVES: Final = (
    compare_series(
        series(list(enumerate(LOSSES))),
        series([(s, v if s < 30 else v * (1 + 0.002 * (s - 30))) for s, v in enumerate(LOSSES)]),
        metric="loss",
        run=1,
        path="{project}/out/loss.csv",
    ),
    compare_series(
        series([(step, 1000.0 / 2**step) for step in range(20)]),
        series([(step, math.nan if step == 7 else 1000.0 / 2**step) for step in range(25)]),
        metric="gradient norm",
        run=1,
        path="{project}/out/norms.csv",
    ),
    compare_series(
        series([(step, math.sin(step / 500)) for step in range(5000)]),
        series([(step, math.sin(step / 500)) for step in range(5000)]),
        metric="learning rate",
        run=1,
        path="stdout",
    ),
)
CAUSES: Final = (
    Cause(
        kind=CauseKind.KERNEL,
        subject="threads",
        recorded="",
        present="",
        weight=0.8,
        certainty=Certainty.CONFIRMED,
        why="with 2, the claimed numbers came out",
    ),
    Cause(
        kind=CauseKind.NUMERICS,
        subject="numpy",
        recorded="2.1.0",
        present="2.2.0",
        weight=0.6,
        why="another minor version",
    ),
    Cause(
        kind=CauseKind.PLATFORM,
        subject="PYTHONHASHSEED",
        recorded="",
        present="0",
        weight=0.01,
        certainty=Certainty.EXCLUDED,
    ),
)
LINEAGE: Final = (
    LineageRun(number=1, command="python prepare.py", data=("imagenet",)),
    LineageRun(number=2, command="python train.py --seed 1", reads=(1,)),
    LineageRun(number=3, command="python train.py --seed 2", reads=(1,)),
    LineageRun(number=4, command="python eval.py a.pt b.pt", reads=(1, 2, 3), repeated=True),
)


def report(**changes: object) -> Report:
    """A full report that holds, with some fields changed."""
    whole = Report(
        version=1,
        bundle="digits.rpk",
        manifest_sha256=DIGEST,
        verdict=Verdict.REPRODUCED,
        reason="all 2 claims hold",
        exit_status=0,
        signer=SignerReport(fingerprint=FINGERPRINT, status=SignerStatus.TRUSTED),
        mode="evaluate",
        steps=(
            Step(
                name="integrity", status=StepStatus.PASSED, summary="11 files, 191488 bytes are ok"
            ),
            Step(name="execution", status=StepStatus.PASSED, summary="1 run", seconds=3725.0),
            Step(name="claims", status=StepStatus.UNDECIDED, summary="nothing", seconds=75.2),
            Step(name="rest", status=StepStatus.SKIPPED, summary="not reached"),
        ),
        claims=(
            judged(0.96, Absolute(within=0.0025), 0.961),
            judged(0.238, Relative(within=1e-5), 0.238, metric="log_loss"),
        ),
        findings=(
            FindingRecord(
                code="RPK601",
                title="the interpreter's patch version differs",
                subject="python",
                found="3.11.2",
                expected="3.11.9",
            ),
        ),
        differences=(Difference(subject="cpu", recorded="EPYC 7763", present="Xeon 8481C"),),
        isolation=Isolation(kind="bubblewrap", summary="bubblewrap 0.11: no network"),
        runs=("python eval.py out/model.joblib",),
        tool="repropack 0.1.0",
        checked="2026-01-02T03:04:05Z",
    )
    return replace(whole, **changes)


def with_text(text: str) -> Report:
    """A report with the same text in every field that can hold foreign text."""
    claim = Claim(
        metric=text,
        source=MetricSource(importer=text, path=text, key=text),
        expected=0.5,
        mode=ClaimMode.EVALUATE,
        tolerance=Absolute(within=0.1),
        unit=text,
        note=text,
    )
    result = ClaimResult(
        claim=claim, verdict=Verdict.NOT_REPRODUCED, fresh=0.9, sentence=text, low=0.4, high=0.6
    )
    return report(
        bundle=text,
        manifest_sha256=text,
        reason=text,
        mode=text,
        signer=SignerReport(fingerprint=text, status=SignerStatus.UNKNOWN),
        steps=(Step(name=text, status=StepStatus.FAILED, summary=text),),
        claims=(result, replace(result, verdict=Verdict.INCONCLUSIVE)),
        findings=(FindingRecord(code=text, title=text, subject=text, found=text, expected=text),),
        differences=(Difference(subject=text, recorded=text, present=text),),
        curves=(replace(CURVES[0], metric=text, path=text),),
        causes=(
            Cause(
                kind=CauseKind.OTHER,
                subject=text,
                recorded=text,
                present=text,
                weight=1.0,
                why=text,
            ),
        ),
        outputs=(OutputComparison(run=1, path=text, recorded=DIGEST, fresh=DIGEST[::-1]),),
        lineage=(
            LineageRun(number=1, command=text, data=(text, text)),
            LineageRun(number=2, command=text, reads=(1,)),
        ),
        isolation=Isolation(kind=text, summary=text),
        runs=(text,),
        work=text,
        tool=text,
        checked=text,
    )


def repetition(**changes: object) -> Report:
    """A report of a recorded run that was repeated, with some fields changed."""
    whole = report(
        bundle=None,
        manifest_sha256=None,
        signer=None,
        run="k3v9x0q2m7ab",
        reason="all 2 numbers came out again",
        steps=(
            Step(name="environment", status=StepStatus.PASSED, summary="12 packages rebuilt"),
            Step(name="execution", status=StepStatus.PASSED, summary="1 run", seconds=37.0),
            Step(name="outputs", status=StepStatus.UNDECIDED, summary="2 of 4"),
        ),
        claims=(
            judged(0.96, Exact(), 0.96, wording=OF_A_RUN),
            judged(0.238, Relative(within=1e-5), 0.238, metric="log_loss", wording=OF_A_RUN),
        ),
        outputs=(
            OutputComparison(run=1, path="out/metrics.json", recorded=DIGEST, fresh=DIGEST),
            OutputComparison(run=1, path="out/model.pt", recorded=DIGEST, fresh=DIGEST[::-1]),
            OutputComparison(run=1, path="out/gone.log", recorded=DIGEST),
            OutputComparison(run=2, path=f"out/{'long/' * 30}name.txt", recorded=DIGEST),
        ),
        curves=CURVES[:1],
        lineage=LINEAGE,
    )
    return replace(whole, **changes)


SEEDS: Final = (0.955, 0.96, 0.962, 0.963)

RIGHT_TO_LEFT: Final = "\u05d3\u05d9\u05d5\u05e7 (1) \u0639\u0644\u0649 \u0628\u064a\u0627\u0646"
"""Hebrew and Arabic words, with a bracket and a digit, which mirror and wander where they may."""

WIDE: Final = "\u691c\u8a3c\u30c7\u30fc\u30bf\u306e\u7cbe\u5ea6" * 4
"""Characters as wide as they are high, without a space."""

REPORTS: Final = {
    "reproduced": report(),
    "signer unknown": report(
        exit_status=4, signer=SignerReport(fingerprint=FINGERPRINT, status=SignerStatus.UNKNOWN)
    ),
    "not reproduced": report(
        verdict=Verdict.NOT_REPRODUCED,
        exit_status=1,
        reason="accuracy = 0.9626, claimed 0.96",
        claims=(
            judged(0.96, Absolute(within=0.0025), 0.9626),
            judged(-1.2345678901234567e-300, Relative(within=1e-9), -2.2345678901234567e100),
            judged(27.31, Exact(), 27.29),
            judged(0.12345678901234567, Exact(), -0.12345678901234568),
            judged(0.9, Absolute(within=0.05), 0.81),
            judged(12.5, None, 12.5),
            judged(5.2, None, 5.4, unit="%"),
            judged(91.0, Absolute(within=0.5), 0.91, unit="%", fresh_unit=""),
            judged(91.0, Absolute(within=0.5), None),
        ),
    ),
    "inconclusive": report(
        verdict=Verdict.INCONCLUSIVE, exit_status=3, claims=(), isolation=None, reason="no data"
    ),
    "intact": report(
        verdict=Verdict.INTACT, mode="no-run", claims=(), findings=(), isolation=None, runs=()
    ),
    "not intact": report(
        verdict=Verdict.NOT_INTACT,
        exit_status=1,
        mode="no-run",
        signer=None,
        manifest_sha256=None,
        claims=(),
        differences=(),
        isolation=None,
        runs=(),
        checked=None,
        tool="",
    ),
    "explained": report(
        verdict=Verdict.NOT_REPRODUCED,
        exit_status=1,
        reason="accuracy = 0.9626, claimed 0.96",
        claims=(judged(0.96, Absolute(within=0.0025), 0.9626),),
        curves=CURVES,
        causes=CAUSES,
        lineage=LINEAGE,
    ),
    "every tolerance": report(
        verdict=Verdict.NOT_REPRODUCED,
        exit_status=1,
        reason="14 claims did not come out",
        claims=tuple(
            judged(0.96, tolerance, fresh, metric=f"{type(tolerance).__name__} {fresh}")
            for tolerance in (
                Exact(),
                Absolute(within=0.01),
                Relative(within=0.01),
                Close(absolute=0.005, relative=0.005),
                AtLeast(bound=0.95),
                AtMost(bound=0.97),
                AtLeast(bound=0.96),
                AtMost(bound=0.96),
                Interval(values=SEEDS),
                Equivalent(values=SEEDS, margin=0.02),
            )
            for fresh in (0.96, 0.965, 0.94, 0.98, None)
        ),
    ),
    "100 claims": report(
        verdict=Verdict.NOT_REPRODUCED,
        exit_status=1,
        reason="49 of 100 claims did not come out",
        claims=tuple(
            judged(0.5, Absolute(within=0.1), 0.5 + n / 500, metric=f"accuracy of class {n}")
            for n in range(100)
        ),
    ),
    "many signers": report(
        signers=tuple(
            SignerReport(fingerprint=FINGERPRINT, status=status, name="lab", note="a note")
            for status in SignerStatus
        ),
    ),
    "signer refused": report(
        verdict=Verdict.NOT_INTACT,
        exit_status=1,
        reason="signed by another key than the one that is known under this name",
        signer=SignerReport(fingerprint=FINGERPRINT, status=SignerStatus.CHANGED, name="lab"),
        claims=(),
        differences=(),
        isolation=None,
        runs=(),
    ),
    "new seeds": report(mode="retrain", repetitions=2, seeds=("1804289383", "846930886")),
    "anonymous": report(
        bundle="submission-4711.rpk",
        signer=SignerReport(fingerprint=FINGERPRINT, status=SignerStatus.EXPECTED_DIGEST),
        differences=(),
    ),
    "repetition": repetition(),
    "repetition failed": repetition(
        verdict=Verdict.NOT_REPRODUCED,
        exit_status=1,
        reason="accuracy = 0.97, recorded 0.96",
        claims=(
            judged(0.96, Exact(), 0.97, wording=OF_A_RUN),
            judged(0.5, Absolute(within=0.1), None, metric="f1", wording=OF_A_RUN),
        ),
        causes=CAUSES[1:2],
    ),
    "repetition without numbers": repetition(
        claims=(),
        curves=(),
        lineage=LINEAGE[:1],
        outputs=(OutputComparison(run=1, path="out/model.pt", recorded=DIGEST, fresh=DIGEST),),
    ),
    "1,000 output files": repetition(
        outputs=tuple(
            OutputComparison(
                run=1, path=f"out/{n}.png", recorded=DIGEST, fresh=None if n == 999 else DIGEST
            )
            for n in range(1000)
        )
    ),
    "no isolation": report(isolation=Isolation(kind="none", summary="it ran with all your rights")),
    "right to left": replace(with_text(RIGHT_TO_LEFT), checked="2026-01-02T03:04:05Z"),
    "wide": replace(with_text(WIDE), checked="2026-01-02T03:04:05Z"),
    "long": replace(with_text("W" * 450), checked="2026-01-02T03:04:05Z"),
}


VECTORS: Final = (
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</desc></svg><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "\"><svg/onload=alert(1) x='",
    "' onmouseover='alert(1)' x=\"",
    "x` onmouseover=alert(1)",
    "javascript:alert(1)",
    '<a href="javascript:alert(1)">x</a>',
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "<base href=https://example.org>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<style>*{background:url(https://example.org)}</style>",
    "x;background:url(https://example.org);--a:{",
    "<!-- -->",
    "<!--",
    "<![CDATA[",
    "{{ 7*7 }}{% raw %}",
    "&lt;script&gt;",
    "\u202e<script>",
    "<scr\0ipt>alert(1)</script>",
    "\ud800",
)
