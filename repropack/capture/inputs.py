# SPDX-License-Identifier: Apache-2.0
"""Inputs of a run: what it read, each file as it was when the run began."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from repropack.agent.log import Content, Identity, ProcessObservation
from repropack.capture.gaps import Gaps, some
from repropack.capture.hashing import hash_files, hash_path
from repropack.capture.interruption import Interruption
from repropack.capture.materials import Candidate, DataRoot, Surroundings, below
from repropack.capture.patience import Patience
from repropack.capture.preparation import Prepared, is_inside, place_on_disk, plain, recorded_path
from repropack.capture.traced_files import TracedFiles
from repropack.model import Evidence, Material, Origin
from repropack.placeholders import Recording, data_placeholder
from repropack.store import FileStamp, HashedFile
from repropack.store.contents import stamp_of
from repropack.worktree import Stamp

__all__ = [
    "Hashing",
    "led_elsewhere",
    "materials_inside",
    "materials_outside",
    "opened_as",
    "present_products",
]

_ANY: Final[frozenset[Identity]] = frozenset()

TELLING: Final = 8
"""Bytes from which on equal content says that one file is a copy of another: `{}` and `0.0` are
written by many programs, independently."""

COARSEST_CLOCK: Final = 2_000_000_000
"""Nanoseconds: FAT keeps every second second; NFS of version 2 and ext3 whole ones."""


class Hashing(msgspec.Struct, frozen=True, kw_only=True):
    """What the hashing of inputs has at hand.

    Attributes:
        gaps: Told what is not known.
        interruption: Once it is requested, no further file is read.
        tell: Told in one line that this takes long.
        opened_as: Which files the agent saw being opened, by the path of the candidate. Another
            one there now, by a link or directory that was exchanged, is not what was read.
        led_elsewhere: Candidates that, as strace saw it, were other files when they were opened.
    """

    gaps: Gaps
    interruption: Interruption
    tell: Callable[[str], None]
    opened_as: Mapping[str, frozenset[Identity]] = MappingProxyType({})
    led_elsewhere: frozenset[str] = frozenset()


class _Held(NamedTuple):
    """What a file held: its size, its digest if that is known, and when it was last changed."""

    size: int
    sha256: str | None
    changed_ns: int


class _Read(NamedTuple):
    """A material, and when its file was last changed."""

    material: Material
    changed_ns: int


def opened_as(
    processes: Iterable[ProcessObservation], around: Surroundings
) -> dict[str, frozenset[Identity]]:
    """By the path of the candidate, which files the agent saw there.

    Args:
        processes: What the agent saw.
        around: Where the run stood.
    """
    found: dict[str, frozenset[Identity]] = {}
    for process in processes:
        for path, identity in process.opened_as.items():
            place = around.settle(path)
            found[place] = found.get(place, _ANY) | {identity}
    return found


def led_elsewhere(traced: TracedFiles, around: Surroundings) -> frozenset[str]:
    """The candidates whose path led to another file when strace saw it being opened."""
    moved = (path for path, place in traced.led.items() if os.path.realpath(path) != place)
    return frozenset(map(around.settle, (*traced.exchanged, *moved)))


def materials_inside(
    inside: list[Candidate],
    prepared: Prepared,
    written: set[str],
    theirs: set[str],
    replaced: Mapping[str, Content],
    hashing: Hashing,
) -> list[Material]:
    """Files of the work tree that are not code: git-ignored data, outputs of earlier runs.

    Args:
        inside: What was read.
        prepared: The recording.
        written: What changed while the run went on, relative to the project.
        theirs: What of it another run wrote.
        replaced: What files held that the agent saw being replaced, by real path.
        hashing: How contents are hashed.
    """
    gaps = hashing.gaps
    before, root = prepared.before.files, str(prepared.root)
    unchanged: list[tuple[Candidate, str]] = []
    found: list[_Read] = []
    for candidate in inside:
        relative = below(candidate.path, root)
        stamp = before.get(relative)
        seen = hashing.opened_as.get(candidate.path, _ANY)
        was_new = bool(seen) and (stamp is None or _identity(stamp) not in seen)
        if relative in theirs and was_new:
            found.append(_made_meanwhile(candidate, relative, seen, prepared, gaps))
        elif stamp is not None and relative in written:
            if was_new and Evidence.TRACE not in candidate.evidence:
                # When it was opened it was no longer what had been there: the run's own output.
                continue
            found.append(_replaced(candidate, relative, stamp, prepared, replaced, gaps))
        elif stamp is not None or not is_inside(os.path.realpath(candidate.path), prepared.root):
            # A file behind a link that leaves the project is seen by no scan. What is inside and
            # was not there when the run began is the run's own output.
            unchanged.append((candidate, relative))
    hashed_files = _hash_all([c.path for c, _ in unchanged], prepared, hashing, replaced)
    found += [
        _Read(
            Material(
                path=recorded_path(f"{prepared.root}/{relative}", prepared.paths),
                size=content.size,
                sha256=content.sha256,
                evidence=candidate.evidence,
            ),
            content.changed_ns,
        )
        for (candidate, relative), content in zip(unchanged, hashed_files, strict=True)
    ]
    return _with_origins(found, prepared, gaps)


def _made_meanwhile(
    candidate: Candidate,
    relative: str,
    seen: frozenset[Identity],
    prepared: Prepared,
    gaps: Gaps,
) -> _Read:
    """A file that another run wrote while this one went on, and that this one has read."""
    hashed = gaps.attempt("inputs", lambda: hash_path(candidate.path), None)
    if hashed is None or seen != {_identity(hashed.stamp)}:
        hashed = None
        gaps.add("inputs", f"{relative} was overwritten by another run; what it held is not known")
    material = Material(
        path=recorded_path(f"{prepared.root}/{relative}", prepared.paths),
        size=hashed.size if hashed is not None else next(iter(seen)).size,
        sha256=hashed.sha256 if hashed is not None else None,
        evidence=candidate.evidence,
    )
    return _Read(material, _changed(hashed.stamp) if hashed is not None else 0)


def _with_origins(found: Iterable[_Read], prepared: Prepared, gaps: Gaps) -> list[Material]:
    """The materials, each with the earlier run whose output it is, or a copy of its output."""
    found = list(found)
    nothing: dict[tuple[str, int, str], Origin] = {}
    files = [(one.material.sha256 or "", one.changed_ns, one.material.path) for one in found]
    wanted = [file for file in files if file[0]]
    makers = gaps.attempt("lineage", lambda: prepared.store.makers_of(wanted), nothing)
    return [
        # Most files were made by nobody known, and a copy of what they are takes time.
        msgspec.structs.replace(one.material, origin=maker)
        if (maker := makers.get(file)) is not None
        and (one.material.size >= TELLING or maker.path == one.material.path)
        else one.material
        for one, file in zip(found, files, strict=True)
    ]


def _replaced(
    candidate: Candidate,
    relative: str,
    stamp: Stamp,
    prepared: Prepared,
    replaced: Mapping[str, Content],
    gaps: Gaps,
) -> _Read:
    """A file that was there, was read, and was then written: the material is what it was before."""
    recorded = recorded_path(f"{prepared.root}/{relative}", prepared.paths)
    product = prepared.known.get(recorded)
    content = replaced.get(os.path.realpath(candidate.path))
    sha256 = None
    if content is not None and (content.size, content.mtime_ns) == (stamp.size, stamp.mtime_ns):
        sha256 = content.sha256
    elif product is not None and product.stamp == (stamp.size, stamp.mtime_ns, stamp.inode):
        sha256 = product.sha256
    else:
        (sha256,) = prepared.store.known_digests(
            [FileStamp(stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.inode, stamp.device)]
        )
    if sha256 is None:
        gaps.add("inputs", f"{relative} was overwritten by the run; what it held is not known")
    material = Material(
        path=recorded,
        size=stamp.size,
        sha256=sha256,
        evidence=candidate.evidence,
    )
    return _Read(material, _changed(stamp))


def present_products(prepared: Prepared, gaps: Gaps) -> list[Material]:
    """Outputs of earlier runs that lay there for a command in which nothing could be observed."""
    found = []
    for recorded, product in prepared.known.items():
        place = place_on_disk(recorded, prepared.root)
        stamp = prepared.before.files.get(os.path.relpath(place, prepared.root)) if place else None
        if stamp and (stamp.size, stamp.mtime_ns, stamp.inode) == product.stamp:
            material = Material(
                path=recorded,
                size=stamp.size,
                sha256=product.sha256,
                evidence=(Evidence.PRESENT,),
            )
            found.append(_Read(material, _changed(stamp)))
    return _with_origins(found, prepared, gaps)


def materials_outside(
    data: tuple[DataRoot, ...],
    evidence: Mapping[str, tuple[Evidence, ...]],
    prepared: Prepared,
    paths: Recording,
    replaced: Mapping[str, Content],
    hashing: Hashing,
) -> list[Material]:
    """Files of data sets outside the project, hashed; copies of outputs with their runs."""
    places = [os.path.join(root.directory, file) for root in data for file in root.files]
    recorded = [path for root in data for path in _recorded_below(root, paths)]
    held = _hash_all(places, prepared, hashing, replaced)
    found = [
        _Read(Material(path=path, size=size, sha256=sha256, evidence=evidence[place]), changed_ns)
        for path, place, (size, sha256, changed_ns) in zip(recorded, places, held, strict=True)
    ]
    return _with_origins(found, prepared, hashing.gaps)


def _recorded_below(root: DataRoot, paths: Recording) -> list[str]:
    files = [plain(file) for file in root.files]
    if root.directory == "/":
        # Every path begins with `/`, so that no text has it replaced.
        return [f"{{{data_placeholder(root.name)}}}{paths.text(f'/{file}')}" for file in files]
    return paths.texts_below(plain(root.directory), files)


def _hash_all(
    paths: list[str],
    prepared: Prepared,
    hashing: Hashing,
    replaced: Mapping[str, Content] = MappingProxyType({}),
) -> list[_Held]:
    """What files held, in parallel; one that was hashed before costs a stat.

    The digest is None where the file is not what the run began with: gone, or written since.
    """
    if not paths:
        return []
    gaps = hashing.gaps
    with Patience(hashing.tell, f"looking at {len(paths)} inputs"):
        stamps = [_stamp(path) for path in paths]
    present = [s for s in stamps if s is not None]
    nothing: list[str | None] = [None] * len(present)
    known = dict(
        zip(
            present,
            gaps.attempt("inputs", lambda: prepared.store.known_digests(present), nothing),
            strict=True,
        )
    )

    # A file that was put in its place later may have an older time of its content.
    unchanged = [
        s
        if s is not None
        and max(s.mtime_ns, s.ctime_ns) < prepared.started_ns
        and hashing.opened_as.get(path, _ANY) <= {_identity(s)}
        and path not in hashing.led_elsewhere
        else None
        for path, s in zip(paths, stamps, strict=True)
    ]
    results = [
        HashedFile(sha256=sha256, size=s.size, stamp=s)
        if s is not None and (sha256 := known[s]) is not None
        else None
        for s in unchanged
    ]
    new = [
        (place, paths[place], s.size)
        for place, s in enumerate(unchanged)
        if s is not None and results[place] is None
    ]
    size = sum(length for _, _, length in new)
    with Patience(
        hashing.tell, f"hashing inputs: {len(new)} files, {size} bytes", size
    ) as patience:
        hashed = hash_files(
            [(path, length) for _, path, length in new],
            stopped=lambda: hashing.interruption.requested,
            advance=patience.advance,
        )
    for (place, _, _), one in zip(new, hashed, strict=True):
        # Another process may have written it since.
        results[place] = one if one is not None and one.stamp == unchanged[place] else None
    kept = {
        path: content
        for path, hashed in zip(paths, results, strict=True)
        if hashed is None
        and (content := replaced.get(os.path.realpath(path))) is not None
        and content.mtime_ns < prepared.started_ns
    }
    lost = [
        path
        for path, hashed in zip(paths, results, strict=True)
        if hashed is None and path not in kept
    ]
    if lost:
        gaps.add(
            "inputs",
            "interrupted, so what these files hold is not known: " + some(lost)
            if hashing.interruption.requested
            else "what these files held when they were read is not known, for they were written, "
            f"exchanged, removed or unreadable afterwards: {some(lost)}",
        )
    prepared.store.remember_digests(h for h in hashed if h is not None)
    return [
        _Held(h.size, h.sha256, _changed(h.stamp))
        if h is not None
        # A copy of an output has its time, or a later one.
        else _Held(kept[path].size, kept[path].sha256, kept[path].mtime_ns)
        if path in kept
        else _Held(stamp.size if stamp is not None else 0, None, 0)
        for path, h, stamp in zip(paths, results, stamps, strict=True)
    ]


def _changed(stamp: FileStamp | Stamp) -> int:
    """When a file was last changed, or put in its place, at the latest; in nanoseconds."""
    coarse = stamp.ctime_ns % 1_000_000_000 == 0
    return stamp.ctime_ns + (COARSEST_CLOCK if coarse else 0)


def _identity(stamp: FileStamp | Stamp) -> Identity:
    return Identity(size=stamp.size, mtime_ns=stamp.mtime_ns, inode=stamp.inode)


def _stamp(path: str) -> FileStamp | None:
    try:
        return stamp_of(os.stat(path))
    except OSError:
        return None
