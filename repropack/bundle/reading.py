# SPDX-License-Identifier: Apache-2.0
"""Reads a bundle that anybody may have made, in three steps that are three types.

`UnverifiedBundle`: it has the form of a bundle; its attestation can be read, nothing else.
`ListedBundle`: `manifest.json` is what the caller's signed statement says; members are not checked.
`VerifiedBundle`: every byte is what the manifest says.

Tar headers are never parsed: they are made again from the manifest and compared. Whether the
attestation is to be believed is not this package's question (`repropack.signing`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from msgspec import Struct

from repropack import canonical
from repropack.bundle.checking import check_members
from repropack.bundle.container import Container, Frames
from repropack.bundle.directory import open_directory
from repropack.bundle.extraction import extract_members, read_member
from repropack.bundle.limits import (
    ATTESTATION,
    FORMAT,
    MANIFEST,
    MAX_CONTENT,
    MAX_MANIFEST,
    VERSION,
)
from repropack.bundle.members import member_list_defect
from repropack.bundle.packed import open_packed
from repropack.bundle.resealing import write_resealed
from repropack.bundle.sources import Access, Location
from repropack.bundle.tar_layer import Layout, lay_out
from repropack.digest import sha256_hex
from repropack.errors import UsageError
from repropack.findings import Code, DefectError
from repropack.model import Manifest, Member

__all__ = ["ListedBundle", "UnverifiedBundle", "VerifiedBundle", "open_bundle"]


class Form(Protocol):
    """How a bundle lies there: packed, or extracted into a directory.

    Attributes:
        attestation: The bytes of `attestation.dsse.json`.
        size: Bytes of all of it.
    """

    attestation: bytes
    size: int

    def manifest(self, offset: int, size: int) -> bytes:
        """The bytes of `manifest.json`, whose place the caller has checked against the limits.

        Raises:
            DefectError: It is not there.
            RepropackError: It cannot be read.
        """

    def frames(self, manifest: Manifest, layout: Layout) -> Frames:
        """The tar stream with the members.

        Raises:
            DefectError: There is something that the manifest does not list.
            RepropackError: It cannot be read.
        """

    def close(self) -> None:
        """Gives back what is open; closing twice does nothing."""


class UnverifiedBundle:
    """Something with the form of a bundle. A context manager that closes it.

    Made by `open_bundle` only.

    Attributes:
        attestation: The bytes of `attestation.dsse.json`, from whomever.
    """

    def __init__(self, form: Form) -> None:
        self._form = form
        self.attestation = form.attestation

    @property
    def size(self) -> int:
        """Bytes of the file; of a directory, those of all listed files, once they are known."""
        return self._form.size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes it, also for the bundles that were made from this one."""
        self._form.close()

    def read_manifest(self, *, offset: int, size: int, sha256: str) -> ListedBundle:
        """Reads `manifest.json`, and nothing else, where a signed statement says it is.

        Args:
            offset: Where its header begins in the tar stream.
            size: Its bytes.
            sha256: Its digest.

        Raises:
            DefectError: It is not there, is another file, is not canonical, has an unknown version,
                lists members that are not allowed, or the frames are not cut as they should be.
            RepropackError: The file cannot be read.
        """
        if not (0 < size <= MAX_MANIFEST and offset <= MAX_CONTENT):
            raise DefectError(
                Code.TOO_LARGE,
                MANIFEST,
                found=f"{size} bytes at {offset}",
                expected=f"at most {MAX_MANIFEST} at most at {MAX_CONTENT}",
            )
        manifest_bytes = self._form.manifest(offset, size)
        found = sha256_hex(manifest_bytes)
        if found != sha256:
            raise DefectError(
                Code.MANIFEST_DIGEST,
                MANIFEST,
                found=f"sha256:{found}",
                expected=f"sha256:{sha256}",
            )
        manifest = _decode_manifest(manifest_bytes)
        defect = member_list_defect([member.path for member in manifest.members])
        if defect is not None:
            raise DefectError(
                defect.code, defect.subject, found=defect.found, expected=defect.expected
            )
        layout = lay_out(manifest.members)
        if layout.end != offset:
            raise DefectError(
                Code.FRAME_LAYOUT,
                MANIFEST,
                found=f"offset {offset}",
                expected=f"offset {layout.end}",
            )
        frames = self._form.frames(manifest, layout)
        return ListedBundle(frames, manifest, layout, manifest_bytes, self.attestation)


class ListedBundle:
    """A bundle whose members are known and were not checked yet.

    Made by `UnverifiedBundle.read_manifest` only. What `read` and `extract` hand over has its
    digest checked; that the rest of the file is in order is known only after `verify`.

    Attributes:
        manifest: The members, in archive order.
        manifest_sha256: The digest of `manifest.json`.
        content_size: Bytes that `verify` checks.
    """

    def __init__(
        self,
        frames: Frames,
        manifest: Manifest,
        layout: Layout,
        manifest_bytes: bytes,
        attestation: bytes,
    ) -> None:
        self._frames = frames
        self._manifest_bytes = manifest_bytes
        self._attestation = attestation
        self._layout = layout
        self._numbers = {member.path: i for i, member in enumerate(manifest.members)}
        self.manifest = manifest
        self.manifest_sha256 = sha256_hex(manifest_bytes)
        self.content_size = self._layout.end

    def verify(
        self, *, workers: int | None = None, progress: Callable[[int], None] | None = None
    ) -> VerifiedBundle:
        """Checks every byte.

        Args:
            workers: Threads that decode; None for one a processor.
            progress: Called with the number of content bytes that were checked since the last call.

        Raises:
            DefectError: The first defect, with the member where it is.
            RepropackError: The file cannot be read.
        """
        check_members(
            self._frames,
            self.manifest.members,
            self._layout,
            workers=workers,
            progress=progress,
        )
        return VerifiedBundle(
            self._frames, self.manifest, self._layout, self._manifest_bytes, self._attestation
        )

    def read(self, path: str, *, limit: int) -> bytes:
        """The content of a member, with its digest checked.

        Args:
            path: A member's path.
            limit: The most bytes that are accepted.

        Raises:
            DefectError: There is no such member, it has more than `limit` bytes, or it is not what
                the manifest says.
            RepropackError: The file cannot be read.
        """
        number = self._numbers.get(path)
        if number is None:
            raise DefectError(Code.MEMBER_MISSING, path)
        member = self.manifest.members[number]
        return read_member(self._frames, member, self._layout.contents[number], limit)

    def extract(
        self,
        destination: Path,
        select: Callable[[Member], bool] | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Writes members below a directory, with their digests checked while they are written.

        Args:
            destination: A directory that does not exist yet, or is empty.
            select: Which members; None for all, and then `manifest.json` and
                `attestation.dsse.json` too, as `tar` would.
            progress: Called with the number of bytes that were written since the last call.

        Raises:
            DefectError: A member is not what the manifest says. Nothing is left behind.
            UsageError: The destination is not an empty directory.
            RepropackError: Something cannot be written or read.
        """
        chosen = [
            (member, content_at)
            for member, content_at in zip(self.manifest.members, self._layout.contents, strict=True)
            if select is None or select(member)
        ]
        extra = (
            () if select else ((MANIFEST, self._manifest_bytes), (ATTESTATION, self._attestation))
        )
        extract_members(self._frames, chosen, destination, extra=extra, progress=progress)


class VerifiedBundle(ListedBundle):
    """A bundle whose every byte is what its manifest says. Made by `ListedBundle.verify` only."""

    def reseal(
        self,
        attestation: bytes,
        destination: Path,
        *,
        mode: int = 0o644,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Writes a packed bundle with another attestation; all else stays, byte for byte.

        Args:
            attestation: The bytes of the new `attestation.dsse.json`.
            destination: The file to make or to replace; it may be this bundle's own.
            mode: Permission bits of the new file, before the umask.
            progress: Called with the number of bytes that were copied since the last call.

        Raises:
            UsageError: The bundle is an extracted directory.
            RepropackError: Something cannot be read or written; an existing file is as it was.
        """
        if not isinstance(self._frames, Container):
            raise UsageError(
                "an extracted directory cannot be signed", advice="name the .rpk file itself"
            )
        write_resealed(self._frames, attestation, destination, mode=mode, progress=progress)


class _Versioned(Struct, frozen=True):
    """What can be read of a manifest of any version."""

    format: str
    version: int


def open_bundle(location: Location, access: Access | None = None) -> UnverifiedBundle:
    """Opens a bundle and reads its end: the seek table and the attestation.

    It is opened once; what is swapped in under its name later is never read.

    Args:
        location: A file, the first of several volumes, a directory into which a bundle was
            extracted, or an address.
        access: How far-away bytes are reached; None for the usual way.

    Raises:
        UsageError: There is nothing like that.
        DefectError: It does not have the form of a bundle.
        RepropackError: It cannot be reached or read.
    """
    if isinstance(location, Path) and location.is_dir():
        return UnverifiedBundle(open_directory(location))
    return UnverifiedBundle(open_packed(location, access or Access()))


def _decode_manifest(data: bytes) -> Manifest:
    try:
        manifest = canonical.decode_canonical(data, Manifest, limit=MAX_MANIFEST)
    except canonical.NotCanonicalError as error:
        # A later version may have other fields: its reader is what is missing then.
        try:
            versioned = canonical.peek(data, _Versioned, limit=MAX_MANIFEST)
        except canonical.NotCanonicalError:
            versioned = None
        if versioned is None or versioned.version == VERSION:
            raise DefectError(Code.MANIFEST_JSON, MANIFEST, found=str(error)) from error
        version, kind = versioned.version, versioned.format
    else:
        version, kind = manifest.version, manifest.format
    if (kind, version) != (FORMAT, VERSION):
        raise DefectError(
            Code.MANIFEST_VERSION,
            MANIFEST,
            found=f"{kind} {version}",
            expected=f"{FORMAT} {VERSION}",
        )
    return manifest
