# SPDX-License-Identifier: Apache-2.0
"""Who wrote a repository and where it is kept elsewhere: what a release must not tell unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from repropack.process import ProcessFailedError, find_program
from repropack.source.git import own

__all__ = ["committers_of", "configured_person", "people_of", "remotes_of"]


_PEOPLE: Final = "%an%x00%ae%n%cn%x00%ce%n%(trailers:key=Co-authored-by,valueonly,unfold)"
"""Trailers (git-interpret-trailers(1)) are `Name <mail>`, one a line."""


def people_of(root: Path) -> tuple[tuple[str, str], ...]:
    """Name and mail address of authors and committers of all commits, and of git's configuration.

    Empty where there is no repository or no git.

    Raises:
        RepropackError: git failed.
    """
    configured = configured_person(root)
    return tuple(dict.fromkeys((*((configured,) if configured else ()), *committers_of(root))))


def configured_person(root: Path) -> tuple[str, str] | None:
    """Name and mail address in git's configuration; None where it has neither.

    Raises:
        RepropackError: git failed.
    """
    if find_program("git") is None:
        return None
    git = own(root)
    name, mail = (
        git.call("config", "--get", key, accept=(0, 1, 128)).stdout.decode("utf-8", "replace")
        for key in ("user.name", "user.email")
    )
    return (name.strip(), mail.strip()) if name.strip() or mail.strip() else None


def committers_of(root: Path) -> tuple[tuple[str, str], ...]:
    """Name and mail address of authors, co-authors and committers of all commits, and of taggers.

    Also of commits that only a stash, a note or a tag reaches. As written, not as a mailmap has it.
    Empty where there is no repository or no git.

    Raises:
        RepropackError: git failed.
    """
    found: dict[tuple[str, str], None] = {}
    lines = (
        *_lines(root, "log", "--all", "--reflog", f"--format={_PEOPLE}", "--no-mailmap"),
        *_lines(root, "for-each-ref", "--format=%(taggername)%00%(taggeremail)"),
    )
    for line in lines:
        name, nul, mail = line.partition("\0")
        if not nul:
            name, _, mail = line.partition("<")
        found[name.strip(), mail.strip("<> ")] = None
    return tuple(one for one in found if any(one))


def remotes_of(root: Path) -> tuple[str, ...]:
    """The addresses of the remotes, for fetching and pushing; empty without a repository.

    Raises:
        RepropackError: git failed.
    """
    lines = _lines(root, "config", "--get-regexp", r"^remote\..*\.(url|pushurl)$")
    return tuple(dict.fromkeys(line.partition(" ")[2].strip() for line in lines))


def _lines(root: Path, *arguments: str) -> list[str]:
    if find_program("git") is None:
        return []
    git = own(root)
    try:
        git.call("rev-parse", "--git-dir")
    except ProcessFailedError:
        return []
    text = git.call(*arguments, accept=(0, 1)).stdout.decode("utf-8", "replace")
    return [line for line in dict.fromkeys(text.split("\n")) if line]
