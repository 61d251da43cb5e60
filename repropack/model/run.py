# SPDX-License-Identifier: Apache-2.0
"""What a run is: its segments, and the code, inputs and outputs of each."""

from __future__ import annotations

import enum
from typing import Annotated

from msgspec import Meta

from repropack.model.fields import (
    Count,
    GitOid,
    Record,
    RunId,
    Sha256,
    Size,
    SparseRecord,
    Timestamp,
)

__all__ = [
    "CodeRoot",
    "Evidence",
    "Gap",
    "Invocation",
    "Material",
    "Origin",
    "Outcome",
    "Product",
    "RunRecord",
    "Segment",
    "SourceSnapshot",
    "UncapturedFile",
    "UsedEnvironment",
    "Withheld",
]


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
    CODE = "code"
    """The code that ran names it, or such a directory, and uses a library that reads natively."""
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
        origin: The earlier run whose product has this digest, and that began before the file was
            last changed. At another path than its own it may be a copy, or have come otherwise.
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
        tree: The id of the tree that ran, with them; None in an anonymous release, where readers
            could test their guesses of a name by it.
        files: How many they are.
        patterns: What the author named them by; `export-ignore` for git's attribute.
        paths: Their paths, where she agreed to tell them.
    """

    tree: GitOid | None = None
    files: Count
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
        replaced: In an anonymous release: the files in which the author replaced words that tell
            who she is, and submodules for whose commit another one stands. `tree` is what is packed
            then, not what ran.
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
    replaced: tuple[str, ...] = ()


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

    status: Annotated[int, Meta(ge=0, le=255)] | None = None
    signal: str | None = None


class Gap(Record, frozen=True, kw_only=True):
    """Something that the recorder could not see or keep. A partial capture is never silent."""

    code: str
    message: str


class UsedEnvironment(SparseRecord, frozen=True, kw_only=True):
    """A Python environment that processes of a run used, where it has to be said which did.

    Attributes:
        environment: Digest of its record.
        place: Where it stood in the project, for commands that name it so (`.venv/bin/python`).
        programs: What ran in it: scripts, and `-m MODULE`.
    """

    environment: Sha256
    place: str = ""
    programs: tuple[str, ...] = ()


class Segment(SparseRecord, frozen=True, kw_only=True):
    """One execution of a run's command; a resume adds another.

    Attributes:
        directories: Directories that were there before the run and that it wrote in: git keeps no
            empty ones, and a command may expect its `out/`.
        roots: Further code: submodules, and code from outside the project.
        python_path: Directories of the code from which Python loaded modules because of an
            installation (a `.pth` file, an editable install), or from outside the project.
        environments: Of a run that used several environments, or one inside the project: each, that
            of the main process, `environment`, first.
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
    environments: tuple[UsedEnvironment, ...] = ()

    @property
    def environment_digests(self) -> frozenset[str]:
        """The digests of all environment records that it names."""
        named = {one.environment for one in self.environments}
        return frozenset(named | ({self.environment} if self.environment is not None else set()))


class RunRecord(SparseRecord, frozen=True, kw_only=True):
    """One recorded execution of a command."""

    version: Count
    id: RunId
    name: str | None = None
    segments: Annotated[tuple[Segment, ...], Meta(min_length=1)]
