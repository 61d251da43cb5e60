# SPDX-License-Identifier: Apache-2.0
"""The words of repropack as values: what is recorded, exported, claimed and judged.

Every struct is frozen, refuses unknown fields and knows nothing of disks, clocks or processes.
The JSON Schemas in `schemas/` are generated from this module by `repropack.schema`;
docs/concepts.md explains the words to people.

Paths inside records are *recorded paths*: text that starts with a placeholder such as
`{project}`, `{env}` or `{data:NAME}` (`repropack.placeholders`), never a path of the author's
machine.
"""

from __future__ import annotations

import enum
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

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

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "urn:repropack:release:v1"
RECEIPT_TYPE: Final = "https://in-toto.io/attestation/test-result/v0.1"
"""in-toto's predicate for the result of a test: any reader of in-toto statements knows it."""
RECEIPT_CONFIGURATION: Final = "urn:repropack:verify:v1"
FORMAT_VERSION: Final = 1
"""The version of the file format: of the container, the manifest and the statement."""
RECORD_VERSION: Final = 1
"""The version of the records."""

# Python's `$` also matches before a line feed at the end; other readers of the schemas know better.
Sha256: TypeAlias = Annotated[
    str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)", description="SHA-256, hex")
]
GitOid: TypeAlias = Annotated[
    str, Meta(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$(?!\n)", description="a git object id")
]
RunId: TypeAlias = Annotated[
    str,
    Meta(pattern=r"^[0-9a-z]{12}$(?!\n)", description="12 random lower-case letters and digits"),
]
Size: TypeAlias = Annotated[int, Meta(ge=0, le=2**53 - 1, description="bytes")]
Timestamp: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$(?!\n)",
        description="UTC, RFC 3339, whole seconds",
    ),
]


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings that every word shares."""


class SparseRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A word that leaves out in JSON what has its default value."""


# ---------------------------------------------------------------- the container


class Role(enum.StrEnum):
    """What a member is for. A reader carries a role that it does not use."""

    DOCUMENT = "document"
    CODE = "code"
    WEIGHTS = "weights"
    DATA = "data"
    DATA_MANIFEST = "data-manifest"
    ENVIRONMENT = "environment"
    RUN = "run"
    CLAIMS = "claims"
    LICENSE = "license"


class Member(Record, frozen=True, kw_only=True):
    """A file in a bundle.

    Attributes:
        path: A logical path (`repropack.paths.check_logical_path`).
        executable: Whether it is extracted with mode 0755 instead of 0644.
    """

    path: str
    size: Size
    sha256: Sha256
    executable: bool
    role: Role


class Manifest(Record, frozen=True, kw_only=True):
    """`manifest.json`: every member but itself and the attestation, in archive order."""

    format: Annotated[str, Meta(description="always 'rpk'")]
    version: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    members: tuple[Member, ...]


class Subject(Record, frozen=True, kw_only=True):
    """What a statement is about (in-toto ResourceDescriptor, the part that we use)."""

    name: str
    digest: dict[str, str]


class ReleasePredicate(Record, frozen=True, kw_only=True):
    """What the signer says about the manifest (docs/spec/rpk-v1.md, section 7).

    Attributes:
        format: `rpk`.
        version: The format version; it is inside the signed bytes, so it cannot be relabelled.
        manifest_offset: Where the header of `manifest.json` starts in the uncompressed tar stream.
        manifest_size: Bytes of `manifest.json`.
        run: The id of the run whose numbers are claimed.
        claims: One line of text for each claim, for people who read the statement alone.
        tool: Name and version of the writer.
    """

    format: str
    version: Annotated[int, Meta(ge=1)]
    manifest_offset: Size
    manifest_size: Size
    run: RunId
    claims: tuple[str, ...]
    tool: str


class Statement(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An in-toto Statement v1 with our predicate."""

    type_: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: ReleasePredicate


# ---------------------------------------------------------------- what a run is


class Evidence(enum.StrEnum):
    """How we know that a run read a file."""

    PYTHON_OPEN = "python-open"
    """The agent in a Python process saw it opened, or loaded as a module."""
    ARGUMENT = "argument"
    """It stands on the command line."""
    MAPPED = "mapped"
    """A Python process had it mapped as data, or open for reading, when it ended."""
    CONFIGURATION = "configuration"
    """A configuration file that was read names it, or a directory above it of which nothing shows
    which files were read."""
    LISTED = "listed"
    """Its directory was listed by a Python process and nothing shows which files were read."""
    DECLARED = "declared"
    """It lies in a directory that the user named as data, and nothing shows that it was read."""
    PRESENT = "present"
    """It lay in the project, and nothing could observe whether it was read."""
    TRACE = "trace"
    """strace saw it opened."""


class Origin(Record, frozen=True, kw_only=True):
    """Lineage: the run that made a file, and where in that run."""

    run: RunId
    path: str


class Material(SparseRecord, frozen=True, kw_only=True):
    """A file that a run read, as it was when the run began.

    Attributes:
        sha256: None where the content was replaced before it could be hashed; `Gap` says so.
        origin: The earlier run whose product has this digest.
    """

    path: str
    size: Size
    sha256: Sha256 | None
    evidence: tuple[Evidence, ...]
    origin: Origin | None = None


class Product(SparseRecord, frozen=True, kw_only=True):
    """A file that a run wrote.

    Attributes:
        kept: Whether its content is in the store, so that a later run cannot overwrite it.
    """

    path: str
    size: Size
    sha256: Sha256
    executable: bool = False
    kept: bool = True


class UncapturedFile(Record, frozen=True, kw_only=True):
    """A file in the work tree that is not part of the code snapshot, and why."""

    path: str
    size: Size
    reason: str


class Withheld(SparseRecord, frozen=True, kw_only=True):
    """Files of the code that ran and that the author left out of a release.

    Attributes:
        tree: The id of the tree that ran, with them.
        files: How many they are.
        patterns: What the author named them by; `export-ignore` for git's attribute.
        paths: Their paths, where she agreed to tell them.
    """

    tree: GitOid
    files: Annotated[int, Meta(ge=1)]
    patterns: tuple[str, ...]
    paths: tuple[str, ...] = ()


class SourceSnapshot(SparseRecord, frozen=True, kw_only=True):
    """The exact tree that ran (for SHA-1 repositories its id is the SWHID `swh:1:dir:<tree>`).

    Attributes:
        tree: Git tree id, taken before the command started.
        versioned: Whether a git repository was there; otherwise the directory was snapshotted.
        dirty: Whether the tree differs from the commit that was checked out.
        uncommitted: Tracked files that differed from the commit.
        untracked: Files that git did not track.
        excluded: Files left out of the tree, each with its reason.
        changed_during_run: Files of the tree that had changed when the command ended.
        submodules: Where the tree has a commit of another repository instead of files (mode
            160000). Those that were checked out are code roots of their own.
        withheld: In a release whose author left files out: `tree` is what is packed then, and this
            tells the tree that ran.
        commitment: In a release: a salted commitment to the author's own commit that has the tree
            that ran (specification section 16). The author can open it later.
    """

    tree: GitOid
    versioned: bool
    dirty: bool
    uncommitted: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    excluded: tuple[UncapturedFile, ...] = ()
    changed_during_run: tuple[str, ...] = ()
    submodules: tuple[str, ...] = ()
    withheld: Withheld | None = None
    commitment: Sha256 | None = None


class CodeRoot(SparseRecord, frozen=True, kw_only=True):
    """A further tree of code that a run used beside that of the project.

    Attributes:
        root: Where it belongs. `{project}/PATH`: a submodule, or another repository inside the
            project. `{project}`: files that the project's tree does not have as they were on the
            disk, such as ignored modules; they replace what is there. `{code:NAME}`: code from
            outside the project; `{code:NAME}/PATH`: a submodule of that.
        source: Its snapshot.
        position: Where it stood as seen from the project's root, such as `../lib`, for code that
            finds it so; None where that would say more of the author's machine.
    """

    root: str
    source: SourceSnapshot
    position: str | None = None


class Invocation(Record, frozen=True, kw_only=True):
    """What was executed: arguments, directory, allow-listed variables; with placeholders."""

    argv: Annotated[tuple[str, ...], Meta(min_length=1)]
    directory: str
    variables: dict[str, str]


class Outcome(SparseRecord, frozen=True, kw_only=True):
    """How the command ended: an exit status or the name of a signal such as `SIGKILL`."""

    status: int | None = None
    signal: str | None = None


class Gap(Record, frozen=True, kw_only=True):
    """Something that the recorder could not see or keep. A partial capture is never silent."""

    code: str
    message: str


class Segment(SparseRecord, frozen=True, kw_only=True):
    """One execution of a run's command; a resume adds another.

    Attributes:
        directories: Directories that were there before the run and that it wrote in: git keeps no
            empty ones, and a command may expect its `out/`.
        roots: Further code: submodules, and code from outside the project.
        python_path: Directories of the code from which Python loaded modules because of an
            installation (a `.pth` file, an editable install), or from outside the project.
        from_code: The distributions that the code holds, by normalised name: editable installs, and
            those that came from a directory or from version control. No index is asked for them.
    """

    invocation: Invocation
    source: SourceSnapshot | None
    environment: Sha256 | None
    started: Timestamp
    ended: Timestamp
    outcome: Outcome
    materials: tuple[Material, ...] = ()
    products: tuple[Product, ...] = ()
    directories: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = ()
    roots: tuple[CodeRoot, ...] = ()
    python_path: tuple[str, ...] = ()
    from_code: tuple[str, ...] = ()


class RunRecord(SparseRecord, frozen=True, kw_only=True):
    """One recorded execution of a command."""

    version: Annotated[int, Meta(ge=1)]
    id: RunId
    name: str | None = None
    segments: Annotated[tuple[Segment, ...], Meta(min_length=1)]


# ---------------------------------------------------------------- metrics and claims


class MetricSource(SparseRecord, frozen=True, kw_only=True):
    """Where a metric was read: which importer, in which file, under which key.

    Attributes:
        importer: A row of `repropack.importers.TABLE`.
        path: The recorded path of the file, or `stdout`, `stderr` or `log_metric`.
        key: JSON path, column name or label.
        line: Line number from 1 where the format has lines.
        place: The path with `*` for the parts that are new in each run: a time, a process id, a
            running number. Empty where it has no such part.
        ordinal: With a place: how many files of the run at this place, with this key, come before.
    """

    importer: str
    path: str
    key: str
    line: int | None = None
    place: str = ""
    ordinal: Annotated[int, Meta(ge=0)] = 0

    @property
    def identity(self) -> tuple[str, str, int, str]:
        """What is the same for this metric in every repetition of the run."""
        return self.importer, self.place or self.path, self.ordinal, self.key


class Series(SparseRecord, frozen=True, kw_only=True):
    """The values of a metric over the steps of a run, column by column.

    Attributes:
        values: Each with the precision of its source.
        steps: As many; None where the source does not say. Empty where they are evenly spaced.
        first: Then the first of them,
        stride: and the distance between them.
        length: How many values the source has, where it has more than are held here.
    """

    values: tuple[float | Literal["NaN", "Infinity", "-Infinity"], ...]
    steps: tuple[float | None, ...] = ()
    first: float = 0.0
    stride: float = 1.0
    length: Annotated[int, Meta(ge=0)] = 0


class Metric(SparseRecord, frozen=True, kw_only=True):
    """A named number, or a series whose last value is the number.

    Attributes:
        value: The final value; None where it is not finite (NaN never passes).
        text: The value as its source spells it.
        unit: Empty, or `%` where the source says so; values are never rescaled.
        precision: The type in which the source stores it, where that is less than a double:
            `float32`, `float16` or `bfloat16`. The value is then exactly what is stored.
        series: All values, where there are several.
    """

    name: str
    value: float | None
    text: str
    source: MetricSource
    unit: str = ""
    precision: str = ""
    split: str | None = None
    series: Series | None = None


class MetricSet(Record, frozen=True, kw_only=True):
    """`runs/<n>/metrics.json`."""

    version: Annotated[int, Meta(ge=1)]
    metrics: tuple[Metric, ...]


class Exact(Record, frozen=True, kw_only=True, tag_field="kind", tag="exact"):
    """Fresh equals recorded (-0.0 equals 0.0)."""


class Absolute(Record, frozen=True, kw_only=True, tag_field="kind", tag="absolute"):
    """|fresh - recorded| <= within."""

    within: Annotated[float, Meta(ge=0)]


class Relative(Record, frozen=True, kw_only=True, tag_field="kind", tag="relative"):
    """|fresh - recorded| <= within * |recorded|; refused where recorded is 0."""

    within: Annotated[float, Meta(ge=0)]


class Close(Record, frozen=True, kw_only=True, tag_field="kind", tag="close"):
    """|fresh - recorded| <= absolute + relative * |recorded|, as numpy's and torch's isclose."""

    absolute: Annotated[float, Meta(ge=0)]
    relative: Annotated[float, Meta(ge=0)]


class AtLeast(Record, frozen=True, kw_only=True, tag_field="kind", tag="at_least"):
    """fresh >= bound: for a metric of which more is better."""

    bound: float


class AtMost(Record, frozen=True, kw_only=True, tag_field="kind", tag="at_most"):
    """fresh <= bound: for a metric of which less is better."""

    bound: float


class Interval(SparseRecord, frozen=True, kw_only=True, tag_field="kind", tag="interval"):
    """The mean of the fresh runs lies in the prediction interval of recorded runs.

    The interval is mean ± t(1 - (1 - confidence)/2; k - 1) * s * sqrt(1/k + 1/m), for k recorded
    and m fresh runs (Hahn and Meeker, Statistical Intervals, section 4.3), and never narrower than
    the floor.

    Attributes:
        values: What the recorded runs gave, one for each seed.
        confidence: Share of honest repetitions that lie inside.
        floor: The least half width: the resolution of the metric.
        max_half_width: Above this half width the interval says too little to decide by.
    """

    values: Annotated[tuple[float, ...], Meta(min_length=1, max_length=10_000)]
    confidence: Annotated[float, Meta(gt=0.5, lt=1)] = 0.95
    floor: Annotated[float, Meta(ge=0)] = 0.0
    max_half_width: Annotated[float, Meta(gt=0)] | None = None


class Equivalent(SparseRecord, frozen=True, kw_only=True, tag_field="kind", tag="equivalent"):
    """The means of recorded and fresh runs differ by less than a margin (Welch's TOST).

    Two one-sided tests with Welch's standard error and Satterthwaite's degrees of freedom
    (Schuirmann 1987).

    Attributes:
        values: What the recorded runs gave, one for each seed.
        margin: The least difference that would matter.
        alpha: The chance of calling runs equivalent that differ by the margin.
    """

    values: Annotated[tuple[float, ...], Meta(min_length=1, max_length=10_000)]
    margin: Annotated[float, Meta(gt=0)]
    alpha: Annotated[float, Meta(gt=0, lt=0.5)] = 0.05


Tolerance: TypeAlias = (
    Exact | Absolute | Relative | Close | AtLeast | AtMost | Interval | Equivalent
)
"""A closed family: an unknown kind is refused when the record is read."""


class ClaimMode(enum.StrEnum):
    """Which repetition a claim speaks about: each has its own noise."""

    EVALUATE = "evaluate"
    RETRAIN_SAME_SEED = "retrain_same_seed"
    RETRAIN_NEW_SEED = "retrain_new_seed"


class Basis(enum.StrEnum):
    """Where a claim's tolerance comes from."""

    DECLARED = "declared"
    """The author wrote it down."""
    DEFAULT = "default"
    """Nobody did; it is what such a repetition usually needs."""
    SEEDS = "seeds"
    """Recorded runs with several seeds."""
    REPEATS = "repeats"
    """Repetitions before the release was made."""


class Claim(SparseRecord, frozen=True, kw_only=True):
    """A metric, its expected value, and how near a repetition must come.

    Attributes:
        tolerance: None where the author declared none; then only equality can show that
            the claim was reproduced, and anything else is inconclusive.
        note: Where the tolerance comes from, for people.
        basis: The same for programs. What was only assumed cannot refute an evaluation that gives
            another number each time.
    """

    metric: str
    source: MetricSource
    expected: float
    mode: ClaimMode
    tolerance: Tolerance | None
    unit: str = ""
    note: str = ""
    basis: Basis = Basis.DECLARED


class ClaimSet(SparseRecord, frozen=True, kw_only=True):
    """`claims.json`. `run` is the run whose numbers are claimed.

    Attributes:
        seeds: Of all recorded runs whose numbers stand in an interval: a fresh one is another.
    """

    version: Annotated[int, Meta(ge=1)]
    run: RunId
    claims: tuple[Claim, ...]
    seeds: tuple[str, ...] = ()


# ---------------------------------------------------------------- environment


class Wheel(Record, frozen=True, kw_only=True):
    """A built archive that an index offered for a recorded distribution."""

    filename: str
    sha256: Sha256


class Distribution(SparseRecord, frozen=True, kw_only=True):
    """An installed Python distribution.

    Attributes:
        name: Normalised name (PEP 503).
        tags: The `Tag:` lines of its WHEEL file: they give the file name of the wheel it came from.
        record_sha256: Digest of its RECORD file.
        imported: Whether the run imported something of it.
        editable: Whether it is an editable install, whose code is a code root.
        origin: `index`, `local` (a file or directory), `url` (an archive elsewhere), or `vcs`.
        archive: The wheel that was installed, where the installer wrote its name and digest down.
        entry_points: Of an install that is from no index: group to name to `module:attribute`.
    """

    name: str
    version: str
    tags: tuple[str, ...] = ()
    record_sha256: Sha256 | None = None
    imported: bool = False
    editable: bool = False
    origin: str = "index"
    requires: tuple[str, ...] = ()
    archive: Wheel | None = None
    entry_points: dict[str, dict[str, str]] = {}


class Python(SparseRecord, frozen=True, kw_only=True):
    """The interpreter of a run.

    Attributes:
        version: Full version such as `3.11.7`.
        cache_tag: For example `cpython-311`.
        flags: `sys.flags` that are not 0.
    """

    implementation: str
    version: str
    cache_tag: str
    build: str = ""
    compiler: str = ""
    flags: dict[str, int] = {}
    virtual: bool = False


class CondaPackage(SparseRecord, frozen=True, kw_only=True):
    """A package that conda installed.

    Attributes:
        build: Its build string.
        channel: The name of its channel, without address.
        platform: Such as `linux-64` or `noarch`.
        sha256: Of its archive, where conda recorded it; older ones have only the MD5.
    """

    name: str
    version: str
    build: str = ""
    channel: str = ""
    platform: str = ""
    sha256: Sha256 | None = None
    md5: str | None = None


class Machine(SparseRecord, frozen=True, kw_only=True):
    """Platform facts that can change results; no host, user or address among them.

    Attributes:
        facts: Further facts by name, as text: limits, NUMA, control group, container, GPUs.
    """

    system: str
    architecture: str
    kernel: str = ""
    distribution: str = ""
    libc: str = ""
    cpu: str = ""
    cpu_flags: tuple[str, ...] = ()
    cpu_count: int = 0
    memory: Size = 0
    accelerators: tuple[str, ...] = ()
    locale: str = ""
    timezone: str = ""
    facts: dict[str, str] = {}


class Environment(SparseRecord, frozen=True, kw_only=True):
    """`environment/environment.json`.

    Attributes:
        python: None where no Python process was observed.
        numerics: For each numerics library that was imported, its settings as text, for example
            `{"torch": {"num_threads": "2"}}`.
        modules: Top-level modules that were imported, of distributions or of the project.
        conda: The packages of the interpreter's conda environment, where it is one.
    """

    version: Annotated[int, Meta(ge=1)]
    machine: Machine
    python: Python | None = None
    distributions: tuple[Distribution, ...] = ()
    numerics: dict[str, dict[str, str]] = {}
    modules: tuple[str, ...] = ()
    conda: tuple[CondaPackage, ...] = ()


# ---------------------------------------------------------------- data


class DataFile(Record, frozen=True, kw_only=True):
    """A file of a data set, by its path below the data set's root."""

    path: str
    size: Size
    sha256: Sha256


class DataManifest(SparseRecord, frozen=True, kw_only=True):
    """`data/<name>.json`: the files a run read from outside its code.

    Attributes:
        name: The name in `{data:NAME}`.
        recorded_path: The author's path, only where it holds none of her terms.
        position: Where it stood as seen from the project's root, such as `../data`, for code that
            names it so.
        address: An https address of the files, where the author declared one.
        licence: Free text or an SPDX expression, where declared.
        included: The member directory that holds the files, where they are in the bundle.
    """

    version: Annotated[int, Meta(ge=1)]
    name: str
    files: tuple[DataFile, ...]
    recorded_path: str | None = None
    position: str | None = None
    address: str | None = None
    licence: str | None = None
    included: str | None = None


# ---------------------------------------------------------------- what a bundle holds of a run


class CodeMember(Record, frozen=True, kw_only=True):
    """A squashed code snapshot in a bundle: the tree ran, the commit has no parents.

    Attributes:
        root: `{project}` for the project's own tree and what replaces files in it, or the `root`
            of the `CodeRoot` whose tree it is.
    """

    root: str
    tree: GitOid
    commit: GitOid
    member: str


class Artifact(Record, frozen=True, kw_only=True):
    """A product of a run that is in the bundle."""

    path: str
    member: str
    sha256: Sha256


class PackedRun(SparseRecord, frozen=True, kw_only=True):
    """`runs/<n>/run.json`: the record of a run, and where the bundle has what it needs.

    Attributes:
        environment: The member directory with its `environment.json` and `pylock.toml`.
        code: The code of all segments: each tree at each place once.
        artifacts: Files of this run that the bundle holds: weights, and what a later run read.
    """

    version: Annotated[int, Meta(ge=1)]
    record: RunRecord
    code: tuple[CodeMember, ...]
    environment: str
    artifacts: tuple[Artifact, ...] = ()
    data: tuple[str, ...] = ()


# ---------------------------------------------------------------- what an author reveals


class OpenedCommit(Record, frozen=True, kw_only=True):
    """The opening of one commitment to a commit.

    Attributes:
        run: The run, and
        segment: its segment, from 1, whose code it was.
        commit: The commit object, base64.
        salt: 32 bytes, base64.
    """

    run: RunId
    segment: Annotated[int, Meta(ge=1)]
    commit: str
    salt: str


class CommitReveal(Record, frozen=True, kw_only=True):
    """What `repropack reveal --commit` writes (specification section 16).

    Attributes:
        kind: `urn:repropack:reveal-commit:v1`.
        manifest_sha256: The bundle it is about.
    """

    kind: str
    manifest_sha256: Sha256
    commits: tuple[OpenedCommit, ...]


# ---------------------------------------------------------------- verification


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
    FIRST_USE = "first use, pinned now"
    EXPECTED_DIGEST = "expected digest"
    UNKNOWN = "not established"
    REJECTED = "not accepted"
    CHANGED = "not the known key"
    INVALID = "signature does not hold"


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
    run: Annotated[int, Meta(ge=1)]
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

    number: Annotated[int, Meta(ge=1)]
    command: str
    reads: tuple[int, ...] = ()
    data: tuple[str, ...] = ()
    repeated: bool = False


class Isolation(Record, frozen=True, kw_only=True):
    """What kept the executed code apart, and what it did not isolate."""

    kind: str
    summary: str


class Report(SparseRecord, frozen=True, kw_only=True):
    """The result of `repropack verify`: everything the text, JSON and HTML reports show.

    Attributes:
        signer: The signer who stands best with the reader. Its status is that of the whole bundle
            and decides: it is `not accepted` too where too few of the named signers have signed.
        signers: Every key that the attestation names, each with its own status.
        causes: Why the numbers may differ, the likeliest first; empty where they do not.
    """

    version: Annotated[int, Meta(ge=1)]
    bundle: str
    manifest_sha256: str | None
    verdict: Verdict
    reason: str
    exit_status: int
    signer: SignerReport | None
    mode: str
    steps: tuple[Step, ...]
    signers: tuple[SignerReport, ...] = ()
    claims: tuple[ClaimResult, ...] = ()
    findings: tuple[FindingRecord, ...] = ()
    differences: tuple[Difference, ...] = ()
    curves: tuple[CurveComparison, ...] = ()
    causes: tuple[Cause, ...] = ()
    lineage: tuple[LineageRun, ...] = ()
    isolation: Isolation | None = None
    runs: tuple[str, ...] = ()
    work: str | None = None
    tool: str = ""
    checked: Timestamp | None = None


class ReceiptFacts(SparseRecord, frozen=True, kw_only=True):
    """How a bundle was checked.

    Attributes:
        mode: `evaluate` or `retrain`.
        platform: The class of the machine: system, architecture, accelerators.
        isolation: What kept the executed code apart.
        differences: What was not as recorded.
        tool: Name and version of the checker.
        checked: When, as the signer says.
    """

    version: Annotated[int, Meta(ge=1, le=2**53 - 1)]
    verdict: Verdict
    mode: str
    platform: str
    isolation: str
    tool: str
    checked: Timestamp
    differences: tuple[Difference, ...] = ()


class ReceiptConfiguration(Record, frozen=True, kw_only=True):
    """An in-toto ResourceDescriptor whose annotations say how it was checked."""

    name: str
    uri: str
    annotations: ReceiptFacts


class ReceiptResult(SparseRecord, frozen=True, kw_only=True, rename="camel"):
    """in-toto's test-result predicate, version 0.1.

    Attributes:
        result: PASSED for REPRODUCED, FAILED for NOT REPRODUCED, WARNED for INCONCLUSIVE.
        configuration: Exactly one.
        passed_tests: The claims that came out again, each by metric, file and key.
    """

    result: Literal["PASSED", "WARNED", "FAILED"]
    configuration: tuple[ReceiptConfiguration, ...]
    passed_tests: tuple[str, ...] = ()
    warned_tests: tuple[str, ...] = ()
    failed_tests: tuple[str, ...] = ()


class Receipt(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A statement of somebody who checked a bundle, about the digest of its manifest."""

    type_: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: ReceiptResult


class FindingRecord(SparseRecord, frozen=True, kw_only=True):
    """A finding as a report shows it (`repropack.findings.Finding` is its source)."""

    code: str
    title: str
    subject: str = ""
    found: str = ""
    expected: str = ""
