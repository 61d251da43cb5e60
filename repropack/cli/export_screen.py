# SPDX-License-Identifier: Apache-2.0
"""The export screen: one look at everything that goes out, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from repropack.cli.leaks import leak_lines
from repropack.cli.screen import bold, dim, folded, human_size, plural, say
from repropack.escaping import show, show_command
from repropack.export import ExportPlan, Prepared
from repropack.export.anonymity import Anonymised
from repropack.export.hosts import host_notes
from repropack.export.members import describe_claim
from repropack.export.planned import PlannedEnvironment
from repropack.privacy.search import concealed
from repropack.privacy.walk import Leak, Scanned
from repropack.signing.keys import PublicKey

__all__ = ["ExportScreen", "show_screen"]

SHOWN = 12
"""Lines of one section; a screen holds them all."""

LABEL = 11
"""Columns before the text of a section."""

TREE = 40
"""Lines of the tree of members."""

LISTED = 6
"""Files of one directory; more are one line."""


class ExportScreen(Struct, frozen=True, kw_only=True):
    """What is known of a release before it is written.

    Attributes:
        leaks: The findings that were not waived.
        volume_size: Bytes of one volume, or None for one file.
        anonymised: What was done to make it anonymous; None if it is not.
        pending: Whether it will be evaluated before it is signed.
        calibrated: Whether that has been done already.
    """

    prepared: Prepared
    scanned: Scanned
    leaks: Sequence[Leak]
    waived: Sequence[Leak]
    destination: Path
    volume_size: int | None
    anonymised: Anonymised | None = None
    pending: bool = False
    calibrated: bool = False

    @property
    def size(self) -> int:
        """Bytes of all members before they are compressed."""
        return sum(self.prepared.sizes().values())

    @property
    def signers(self) -> list[str]:
        """The fingerprints of the keys."""
        return [key.public.fingerprint for key in self.prepared.keys]


def show_screen(screen: ExportScreen) -> None:
    """Says what goes out, what does not, what was found, what is claimed, who signs."""
    planned = screen.prepared.plan
    say(f"{bold(show(planned.title))} → {screen.destination.name}")
    for chained in planned.chain:
        argv = tuple(concealed(word) for word in chained.record.segments[-1].invocation.argv)
        command_line = concealed(show_command(argv, limit=100))
        own = f" (yours: {chained.stored.id})" if chained.stored.id != chained.record.id else ""
        say(f"{dim(f'run {chained.number}')}      {chained.record.id}{own}  {command_line}")
    _section("code", _code_lines(planned))
    _section(
        "more code",
        [
            f"{one.root}  "
            + ("the whole repository" if one.source.versioned else "the files that were loaded")
            for chained in planned.chain
            for segment in chained.record.segments
            for one in segment.roots
        ],
    )
    for chosen in planned.data:
        size = sum(file.size for file in chosen.manifest.files)
        where = "included" if chosen.manifest.included else "list only"
        _section(
            "data",
            [
                f"{chosen.manifest.name}  {plural(len(chosen.manifest.files), 'file')}, "
                f"{human_size(size)} ({where})"
            ],
        )
    for environment in planned.environments:
        if environment.environment.python is not None:
            _section(
                "packages",
                [
                    f"Python {environment.environment.python.version}, "
                    f"{len(environment.locked)} locked with digests" + _packed(environment)
                ],
            )
    variables = {
        concealed(f"{name}={value}")
        for chained in planned.chain
        for segment in chained.record.segments
        for name, value in segment.invocation.variables.items()
    }
    _section("variables", [", ".join(sorted(variables))] if variables else [])
    _section("licence", [", ".join(planned.licences) or "none found at the top of the code"])
    _section("claims", [describe_claim(claim) for claim in planned.claims])
    _section("stays here", list(planned.held_back))
    _section("note", list(planned.warnings))
    if screen.anonymised is None:
        _section("signer", screen.signers)
    else:
        _show_anonymity(screen, screen.anonymised)
    _section("goes out", list(_tree(screen.prepared.sizes())), limit=TREE)
    _section("hosts", list(host_notes(screen.size, screen.volume_size)))
    for line in leak_lines(screen.leaks, screen.scanned.unsearched, screen.waived):
        say(folded(line, 14))


def _show_anonymity(screen: ExportScreen, made: Anonymised) -> None:
    """What was done so that nobody can tell who the author is, and what nobody can do."""
    _section("replaced", list(made.replaced))
    _section("coarser", list(made.coarsened))
    _section("left out", list(made.left_out))
    _section("may tell", list(made.remarks))
    own = PublicKey.from_openssh(made.kept.author.key).fingerprint
    _section(
        "signer",
        [
            f"{screen.signers[0]}, made for this release alone",
            f"sealed to {made.kept.author.name}, {own}: only `repropack reveal` opens it",
        ],
    )
    if made.changed:
        state = "it is signed unevaluated, as you asked"
        if screen.pending or screen.calibrated:
            state = (
                "it has been evaluated" if screen.calibrated else "it is evaluated before signing"
            )
        lines = [f"what goes out is not what ran: {state}"]
        chain = screen.prepared.plan.chain
        trained = len(chain) > 1 or len(chain[-1].record.segments) > 1
        if (screen.pending or screen.calibrated) and trained:
            lines.append(
                "on the packed files only: what trained them is not repeated, and claims about "
                "training again are unchecked; before you hand it in: "
                "`repropack verify FILE --retrain --allow-unknown-signer`"
            )
        _section("evaluated", lines)


def _tree(sizes: Mapping[str, int]) -> Iterator[str]:
    """The members with their sizes; a directory with many of them is one line."""
    yield f"{plural(len(sizes), 'file')}, {human_size(sum(sizes.values()))} before compression"
    directories: dict[str, dict[str, int]] = {}
    for path, size in sizes.items():
        directories.setdefault(path.partition("/")[0] if "/" in path else "", {})[path] = size
    for directory, members in directories.items():
        if directory and len(members) > LISTED:
            total = human_size(sum(members.values()))
            yield f"{total:>10}  {directory}/  ({plural(len(members), 'file')})"
        else:
            yield from (f"{human_size(size):>10}  {path}" for path, size in members.items())


def _packed(environment: PlannedEnvironment) -> str:
    size = sum(fetched.size for fetched in environment.wheels)
    count = plural(len(environment.wheels), "wheel")
    return f"; {count} packed, {human_size(size)}" if environment.wheels else ""


def _code_lines(planned: ExportPlan) -> list[str]:
    """The code that goes out, and which of its files no commit of the author's holds."""
    sources = {
        segment.source.tree: segment.source
        for chained in planned.chain
        for segment in chained.record.segments
        if segment.source is not None
    }
    lines = []
    for tree, source in sources.items():
        loose = [
            f"{label}: {', '.join(paths[:4])}"
            + (f" and {len(paths) - 4} more" if paths[4:] else "")
            for label, paths in (("changed", source.uncommitted), ("untracked", source.untracked))
            if paths and source.versioned
        ]
        if source.replaced:
            loose.append(f"words replaced in {plural(len(source.replaced), 'file')}")
        state = "; ".join(loose) or ("as committed" if source.versioned else "no git: every file")
        lines.append(f"tree {tree[:12]}  {state}")
    return lines


def _section(label: str, lines: list[str], limit: int = SHOWN) -> None:
    for number, line in enumerate(lines[:limit]):
        head = dim((label if number == 0 else "").ljust(10))
        say(folded(f"{head} {show(line, limit=300)}", LABEL + 2))
    if len(lines) > limit:
        say(f"{' ' * 10} … and {len(lines) - limit} more")
