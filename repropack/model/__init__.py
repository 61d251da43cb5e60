# SPDX-License-Identifier: Apache-2.0
"""The words of repropack as values: what is recorded, exported, claimed and judged.

Every struct is frozen, refuses unknown fields and knows nothing of disks, clocks or processes.
The JSON Schemas in `schemas/` are generated from this package by `repropack.schema`;
docs/concepts.md explains the words to people.

Paths inside records are *recorded paths*: text that starts with a placeholder such as
`{project}`, `{env}` or `{data:NAME}` (`repropack.placeholders`), never a path of the author's
machine.
"""

from repropack.model.claim import (
    Absolute,
    AtLeast,
    AtMost,
    Basis,
    Claim,
    ClaimMode,
    ClaimSet,
    Close,
    Equivalent,
    Exact,
    Interval,
    Relative,
    Tolerance,
)
from repropack.model.container import (
    FORMAT_VERSION,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    Manifest,
    Member,
    ReleasePredicate,
    Role,
    Statement,
    Subject,
)
from repropack.model.data import (
    DataFile,
    DataManifest,
)
from repropack.model.environment import (
    CondaPackage,
    Distribution,
    Environment,
    Machine,
    Python,
    Wheel,
)
from repropack.model.fields import (
    RECORD_VERSION,
)
from repropack.model.metric import (
    Metric,
    MetricSet,
    MetricSource,
    Series,
)
from repropack.model.packed import (
    Artifact,
    CodeMember,
    PackedRun,
)
from repropack.model.receipt import (
    RECEIPT_CONFIGURATION,
    RECEIPT_TYPE,
    Receipt,
    ReceiptConfiguration,
    ReceiptFacts,
    ReceiptResult,
)
from repropack.model.report import (
    Cause,
    CauseKind,
    Certainty,
    ClaimResult,
    CurveComparison,
    Difference,
    Divergence,
    FindingRecord,
    Isolation,
    LineageRun,
    Report,
    SignerReport,
    SignerStatus,
    Step,
    StepStatus,
    Verdict,
)
from repropack.model.reveal import (
    CommitReveal,
    OpenedCommit,
)
from repropack.model.run import (
    CodeRoot,
    Evidence,
    Gap,
    Invocation,
    Material,
    Origin,
    Outcome,
    Product,
    RunRecord,
    Segment,
    SourceSnapshot,
    UncapturedFile,
    Withheld,
)

__all__ = [
    "FORMAT_VERSION",
    "PREDICATE_TYPE",
    "RECEIPT_CONFIGURATION",
    "RECEIPT_TYPE",
    "RECORD_VERSION",
    "STATEMENT_TYPE",
    "Absolute",
    "Artifact",
    "AtLeast",
    "AtMost",
    "Basis",
    "Cause",
    "CauseKind",
    "Certainty",
    "Claim",
    "ClaimMode",
    "ClaimResult",
    "ClaimSet",
    "Close",
    "CodeMember",
    "CodeRoot",
    "CommitReveal",
    "CondaPackage",
    "CurveComparison",
    "DataFile",
    "DataManifest",
    "Difference",
    "Distribution",
    "Divergence",
    "Environment",
    "Equivalent",
    "Evidence",
    "Exact",
    "FindingRecord",
    "Gap",
    "Interval",
    "Invocation",
    "Isolation",
    "LineageRun",
    "Machine",
    "Manifest",
    "Material",
    "Member",
    "Metric",
    "MetricSet",
    "MetricSource",
    "OpenedCommit",
    "Origin",
    "Outcome",
    "PackedRun",
    "Product",
    "Python",
    "Receipt",
    "ReceiptConfiguration",
    "ReceiptFacts",
    "ReceiptResult",
    "Relative",
    "ReleasePredicate",
    "Report",
    "Role",
    "RunRecord",
    "Segment",
    "Series",
    "SignerReport",
    "SignerStatus",
    "SourceSnapshot",
    "Statement",
    "Step",
    "StepStatus",
    "Subject",
    "Tolerance",
    "UncapturedFile",
    "Verdict",
    "Wheel",
    "Withheld",
]
