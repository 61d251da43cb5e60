# SPDX-License-Identifier: Apache-2.0
"""Writes a bundle in one pass: each source is read once, hashed and compressed while it is read.

The calling thread plans which bytes belong to which frame. A few threads read, hash, compress and
write a frame each; hashing and writing wait for the frame before. In memory is a fixed number of
frames, whatever the size of the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from repropack import canonical
from repropack.bundle.frames import encode_seek_table
from repropack.bundle.limits import (
    FORMAT,
    MANIFEST,
    MAX_ATTESTATION,
    MAX_CONTENT,
    MAX_FRAMES,
    MAX_MANIFEST,
    VERSION,
)
from repropack.bundle.members import archive_order, member_list_defect
from repropack.bundle.packing import FramesDifferError, MemberSource, Packer, StoredFrame
from repropack.bundle.pipeline import in_order, worker_count
from repropack.bundle.reuse import EarlierBundles
from repropack.bundle.sink import Sink
from repropack.bundle.sources.volumes import volume_name
from repropack.bundle.tar_layer import ZEROS, attestation_tail, member_header, padding
from repropack.bundle.volume_writing import new_volumes
from repropack.digest import sha256_hex
from repropack.durable import UnconfirmedError, remove_abandoned, replacing
from repropack.errors import RepropackError
from repropack.model import Manifest

__all__ = ["MemberSource", "WrittenBundle", "bundle_file", "write_bundle"]


class WrittenBundle(Struct, frozen=True, kw_only=True):
    """A bundle that is complete and on the disk.

    Attributes:
        path: The file, or the first of several volumes.
        volumes: How many, or None for one file.
        size: Bytes of the file, or of all volumes together.
        content_size: Bytes of the tar stream in it.
    """

    path: Path
    manifest: Manifest
    manifest_sha256: str
    size: int
    content_size: int
    volumes: int | None = None


def write_bundle(
    destination: Path,
    sources: Iterable[MemberSource],
    *,
    seal: Callable[[bytes, int], bytes],
    volume_size: int | None = None,
    frame_notes: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> WrittenBundle:
    """Writes a bundle; it gets its name only when it is whole and on the disk.

    Args:
        destination: The file to make or to replace; of volumes the name without their numbers.
        sources: The members, in any order; `README.md` must be among them.
        seal: Gets the bytes of `manifest.json` and the offset of its header in the tar stream, and
            returns the bytes of `attestation.dsse.json`.
        volume_size: Bytes of a volume; None for one file. Volumes are never replaced.
        frame_notes: The user's own directory with notes about earlier bundles, whose frames are
            copied where they hold a content whose digest is known beforehand. The bytes do not
            depend on it. None to make every frame.
        workers: Threads that compress; None for one a processor. The bytes do not depend on it.
        progress: Called with the number of content bytes that were written since the last call.

    Raises:
        RepropackError: A path is not allowed, a source cannot be read, changes while it is read or
            has another digest, a limit of the format is exceeded, or the file cannot be written.
            An existing file is then as it was.
    """
    ordered = sorted(sources, key=lambda source: archive_order(source.path))
    defect = member_list_defect([source.path for source in ordered])
    if defect is not None:
        reason = defect.found or defect.code.title
        raise RepropackError(f"no bundle can have these members: {defect.subject}: {reason}")
    done = 0

    def advance(size: int) -> None:
        nonlocal done
        done += size
        if progress is not None:
            progress(size)

    def write(earlier: EarlierBundles | None) -> WrittenBundle:
        return _write(destination, ordered, seal, volume_size, earlier, workers, advance)

    if frame_notes is not None:
        with EarlierBundles(frame_notes) as earlier:
            try:
                return write(earlier)
            except FramesDifferError:
                # A damaged note, or a library that says it is another: then nothing is copied, and
                # the note about the new bundle comes before the damaged one.
                advance(-done)
        return write(EarlierBundles(frame_notes))
    return write(None)


def _write(
    destination: Path,
    ordered: list[MemberSource],
    seal: Callable[[bytes, int], bytes],
    volume_size: int | None,
    earlier: EarlierBundles | None,
    workers: int | None,
    advance: Callable[[int], None],
) -> WrittenBundle:
    entries: list[StoredFrame] = []
    with bundle_file(destination, volume_size=volume_size) as sink:
        packing = _Packing(ordered, seal, sink, earlier, worker_count(workers))
        with closing(packing.frames()) as frames:
            for entry in frames:
                entries.append(entry)
                if len(entries) > MAX_FRAMES:
                    raise RepropackError(
                        f"these members need more than {MAX_FRAMES} frames",
                        advice="put them into fewer and larger files",
                    )
                advance(entry.content_size)
        sink.write(encode_seek_table(entries))
    path, volumes = destination, None
    if volume_size is not None:
        path = destination.with_name(volume_name(destination.name, 1))
        volumes = -(-sink.size // volume_size)
    known = packing.known_bundle(path, entries)
    if earlier is not None and known is not None:
        earlier.remember(known)
    return WrittenBundle(
        path=path,
        volumes=volumes,
        manifest=packing.manifest,
        manifest_sha256=packing.manifest_sha256,
        size=sink.size,
        content_size=sum(entry.content_size for entry in entries),
    )


@contextmanager
def bundle_file(
    destination: Path, *, mode: int = 0o644, volume_size: int | None = None
) -> Iterator[Sink]:
    """A file that becomes a bundle: under its name it is whole, or it is what was there before.

    Raises:
        RepropackError: It cannot be written.
    """
    # What killed exports to this name have left would fill the disk, one after the other.
    remove_abandoned(destination.parent, destination.name)
    try:
        with _new_file(destination, volume_size, mode) as file:
            yield Sink(file)
    except UnconfirmedError as error:
        raise RepropackError(
            f"{destination} is whole and in place, but it is unknown whether it survives a power "
            f"cut: {os.strerror(error.errno or 0)}",
            advice="check the disk and export again",
        ) from error
    except OSError as error:
        raise RepropackError(
            f"cannot write {destination}: {error.strerror or error}",
            advice="nothing was changed there",
        ) from error


def _new_file(
    destination: Path, volume_size: int | None, mode: int
) -> AbstractContextManager[BinaryIO]:
    if volume_size is None:
        return replacing(destination, mode=mode)
    return new_volumes(destination, volume_size)


class _Packing:
    """All frames of a bundle.

    Attributes:
        manifest: Complete when `frames` has ended.
    """

    def __init__(
        self,
        sources: list[MemberSource],
        seal: Callable[[bytes, int], bytes],
        sink: Sink,
        earlier: EarlierBundles | None,
        workers: int,
    ) -> None:
        self._packer = Packer(sources, sink.write, earlier)
        self.known_bundle = self._packer.known_bundle
        self._seal = seal
        self._workers = workers
        self.manifest = Manifest(format=FORMAT, version=VERSION, members=())
        self.manifest_sha256 = ""

    def frames(self) -> Generator[StoredFrame, None, None]:
        """Packs and stores the frames in order.

        Raises:
            RepropackError: As `write_bundle`.
        """
        packer = self._packer
        with closing(in_order(packer.plan(), packer.pack, workers=self._workers)) as packed:
            yield from packed
        offset = packer.content_size
        if offset > MAX_CONTENT:
            raise RepropackError(f"the members have {offset} bytes; {MAX_CONTENT} are allowed")
        self.manifest = Manifest(format=FORMAT, version=VERSION, members=packer.members())
        manifest = canonical.encode(self.manifest)
        if len(manifest) > MAX_MANIFEST:
            raise RepropackError(
                f"{MANIFEST} has {len(manifest)} bytes; {MAX_MANIFEST} are allowed"
            )
        self.manifest_sha256 = sha256_hex(manifest)
        header = member_header(MANIFEST, len(manifest))
        yield from packer.pack_section(header + manifest + ZEROS[: padding(len(manifest))])
        yield from packer.pack_section(attestation_tail(self._attestation(manifest, offset)))

    def _attestation(self, manifest: bytes, offset: int) -> bytes:
        try:
            attestation = self._seal(manifest, offset)
        except OSError as error:
            raise RepropackError(f"the manifest cannot be signed: {error}") from error
        if not 0 < len(attestation) <= MAX_ATTESTATION or b"\0" in attestation:
            raise RepropackError(
                f"an attestation is JSON text of at most {MAX_ATTESTATION} bytes, "
                f"not {len(attestation)} bytes"
            )
        return attestation
