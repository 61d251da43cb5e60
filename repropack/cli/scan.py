# SPDX-License-Identifier: Apache-2.0
"""`repropack scan`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from repropack import canonical
from repropack.cli.leaks import leak_lines, waive
from repropack.cli.screen import bold, folded, human_size, plural, say, tell
from repropack.errors import UsageError
from repropack.escaping import show
from repropack.export.identity import own_terms
from repropack.export.recorded_files import recorded_files
from repropack.model.fields import Record, Size
from repropack.privacy.walk import Leak, Target, Unsearched, scan
from repropack.project_file import read_project_file
from repropack.store import STORE_NAME, PrivateFacts, Store

__all__ = ["Document", "command"]

_SKIPPED: Final = frozenset({STORE_NAME, ".git"})
"""Directories of a project that never go out."""


class Document(Record, frozen=True, kw_only=True):
    """What `--json` prints.

    Attributes:
        files: How many were looked into,
        size: and their bytes.
        leaks: What was found.
        waived: What was found and may pass.
        unsearched: What could not be looked into, and why.
        betterleaks: Whether betterleaks was asked too.
    """

    files: int
    size: Size
    leaks: tuple[Leak, ...]
    waived: tuple[Leak, ...]
    unsearched: tuple[Unsearched, ...]
    betterleaks: bool


@click.command("scan")
@click.argument("what", metavar="PATH|RUN|FILE.rpk", default=".")
@click.option(
    "--waive", "waived", metavar="ID", multiple=True, help="Let this finding pass. Repeatable."
)
@click.option(
    "--anonymous",
    is_flag=True,
    help="Your name must not stand in LICENSE, README and the like too.",
)
@click.option("--no-own-terms", is_flag=True, help="Search for secrets only, not for your names.")
@click.option("--all", "show_all", is_flag=True, help="Show every finding and file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def command(
    what: str,
    waived: tuple[str, ...],
    anonymous: bool,
    no_own_terms: bool,
    show_all: bool,
    as_json: bool,
) -> int:
    r"""Search files for secrets and for what tells who you are.

    A directory or a file, what is recorded of a run, or a bundle. Archives, checkpoints, pickles,
    databases, images and git objects are looked into; nothing is executed or unpickled. With the
    extra `scan` (pip install 'repropack[scan]'), betterleaks searches too, without network.

    \b
    Exit status:
      0  nothing that would stop an export
      1  something was found
      2  wrong usage
      3  a file could not be read
    """
    store = _store()
    project = store.project if store is not None else Path.cwd()
    targets, recorded = _targets(what, store)
    terms = (
        ()
        if no_own_terms
        else own_terms([project, Path.cwd()], read_project_file(project), recorded)
    )
    if not as_json:
        tell(f"repropack: searching {plural(len(targets), 'file')}")
    scanned = scan(targets, terms, anonymous=anonymous)
    leaks, let_pass, _ = waive(store, scanned.leaks, waived)
    blocking = [leak for leak in leaks if leak.blocks]
    if as_json:
        document = Document(
            files=scanned.files,
            size=scanned.size,
            leaks=leaks,
            waived=let_pass,
            unsearched=scanned.unsearched,
            betterleaks=scanned.betterleaks,
        )
        say(canonical.encode(document).decode())
        return 1 if blocking else 0
    for line in leak_lines(leaks, scanned.unsearched, let_pass, show_all=show_all):
        say(folded(line, 14))
    searched = f"{plural(scanned.files, 'file')}, {human_size(scanned.size)}"
    if scanned.betterleaks:
        searched += ", by betterleaks too"
    if blocking:
        say(
            f"{bold('FOUND')}: {plural(len(blocking), 'finding')} in {searched}; remove them, or "
            "let them pass with --waive ID"
        )
        return 1
    if scanned.unsearched:
        searched += f"; {plural(len(scanned.unsearched), 'file')} could not be looked into"
    say(f"{bold('NOTHING FOUND')} that would stop an export: {searched}")
    return 0


def _store() -> Store | None:
    try:
        return Store.find(Path.cwd())
    except UsageError:
        return None


def _targets(what: str, store: Store | None) -> tuple[list[Target], list[PrivateFacts]]:
    path = Path(what).expanduser()
    if path.is_file():
        return [Target(place=path.name, content=path)], []
    if path.is_dir():
        return list(_files_below(path)), []
    if store is None:
        raise UsageError(
            f"{what}: no such file or directory",
            advice="name a file, a directory, a bundle, or a recorded run of this project",
        )
    run = store.resolve(what)
    return recorded_files(store, run), [store.private(run)] if run.record is not None else []


def _files_below(root: Path) -> Iterator[Target]:
    for directory, names, files in os.walk(root):
        names[:] = sorted(set(names) - _SKIPPED)
        for name in sorted(files):
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                yield Target(place=show(path.relative_to(root), limit=4096), content=path)
            elif path.is_symlink():
                # What it points to says as much as a content does.
                yield Target(
                    place=show(path.relative_to(root), limit=4096),
                    content=os.fsencode(os.readlink(path)),
                )
