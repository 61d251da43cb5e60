# SPDX-License-Identifier: Apache-2.0
"""What `export --json` prints: what the screen says, for programs."""

from __future__ import annotations

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from repropack.cli.export_screen import ExportScreen
from repropack.export import Exported
from repropack.export.hosts import host_notes
from repropack.model import Author, Claim, Role
from repropack.model.fields import Record, RunId, Sha256, Size
from repropack.privacy.walk import Leak, Unsearched

__all__ = ["Document", "document_of", "with_written"]


class ExportedMember(Record, frozen=True, kw_only=True):
    """A file of the release.

    Attributes:
        sha256: Where it was written, as for `executable`.
    """

    path: str
    size: Size
    role: Role
    sha256: Sha256 | UnsetType = UNSET
    executable: bool | UnsetType = UNSET


class Anonymity(Record, frozen=True, kw_only=True):
    """What was done to make a release anonymous.

    Attributes:
        author: Who she is: sealed in the release.
        replaced: Where words were replaced, and how often.
        coarsened: What goes out in a coarser form.
        left_out: What stays here.
        remarks: What readers may draw conclusions from.
        own_runs: The release's id of each run to the store's.
        changed: Whether a repetition uses other code, or another command, than was recorded.
    """

    author: Author
    replaced: tuple[str, ...]
    coarsened: tuple[str, ...]
    left_out: tuple[str, ...]
    remarks: tuple[str, ...]
    own_runs: dict[RunId, RunId]
    changed: bool
    evaluated_before_signing: bool


class Document(Record, frozen=True, kw_only=True):
    """What goes out, or would.

    Attributes:
        held_back: Files that stay here, and why.
        runs: The chain of runs; the last has the claimed numbers.
        signers: Fingerprints of the keys.
        hosts: For each usual host whether the release fits.
        leaks: What was found that must not go out, or has to be looked at.
        waived: What was found and may pass.
        unsearched: What could not be looked into, and why.
        next: The next command to type; null where something stops the export.
        bundle: The file that was written, or the first of its volumes; absent where none was, as
            for all that follows.
        volumes: How many; null for one file.
        size: Bytes of what was written.
        content_size: Bytes of the members.
    """

    members: tuple[ExportedMember, ...]
    held_back: tuple[str, ...]
    warnings: tuple[str, ...]
    claims: tuple[Claim, ...]
    runs: tuple[RunId, ...]
    signers: tuple[str, ...]
    licences: tuple[str, ...]
    hosts: tuple[str, ...]
    leaks: tuple[Leak, ...]
    waived: tuple[Leak, ...]
    unsearched: tuple[Unsearched, ...]
    betterleaks: bool
    next: str | None
    anonymous: Anonymity | UnsetType = UNSET
    bundle: str | UnsetType = UNSET
    volumes: int | UnsetType | None = UNSET
    size: Size | UnsetType = UNSET
    content_size: Size | UnsetType = UNSET
    manifest_sha256: Sha256 | UnsetType = UNSET


def document_of(screen: ExportScreen, following: str | None) -> Document:
    """The document before anything is written.

    Args:
        screen: What is known of the release.
        following: The next command to type.
    """
    planned = screen.prepared.plan
    sizes = screen.prepared.sizes()
    return Document(
        members=tuple(
            ExportedMember(path=source.path, size=sizes[source.path], role=source.role)
            for source in sorted(screen.prepared.sources, key=lambda s: s.path)
        ),
        held_back=tuple(planned.held_back),
        warnings=tuple(planned.warnings),
        claims=tuple(planned.claims),
        runs=tuple(chained.record.id for chained in planned.chain),
        signers=tuple(screen.signers),
        licences=tuple(planned.licences),
        hosts=host_notes(screen.size, screen.volume_size),
        leaks=tuple(screen.leaks),
        waived=tuple(screen.waived),
        unsearched=tuple(screen.scanned.unsearched),
        betterleaks=screen.scanned.betterleaks,
        next=following,
        anonymous=_anonymity(screen),
    )


def with_written(document: Document, exported: Exported) -> Document:
    """The same after the bundle was written."""
    bundle = exported.bundle
    return replace(
        document,
        members=tuple(
            ExportedMember(
                path=member.path,
                size=member.size,
                role=member.role,
                sha256=member.sha256,
                executable=member.executable,
            )
            for member in bundle.manifest.members
        ),
        runs=tuple(chained.record.id for chained in exported.plan.chain),
        signers=tuple(exported.signers),
        bundle=str(bundle.path),
        volumes=bundle.volumes,
        size=bundle.size,
        content_size=bundle.content_size,
        manifest_sha256=bundle.manifest_sha256,
    )


def _anonymity(screen: ExportScreen) -> Anonymity | UnsetType:
    made = screen.anonymised
    if made is None:
        return UNSET
    return Anonymity(
        author=made.kept.author,
        replaced=made.replaced,
        coarsened=made.coarsened,
        left_out=made.left_out,
        remarks=made.remarks,
        own_runs=made.kept.runs,
        changed=made.changed,
        evaluated_before_signing=screen.pending or screen.calibrated,
    )
