# SPDX-License-Identifier: Apache-2.0
"""How git is called: always with an environment that is built here, never with an inherited one.

Two kinds of repository, two environments. `own` is a work tree of the author: her configuration
applies, because her excludes and attributes decide what is code, but nothing of hers is written,
no program of hers is run, and nothing is fetched. `bare` is a repository that repropack made: no
configuration of user or system applies. `GIT_*` variables are never passed on, for several of them
(`GIT_CONFIG_COUNT`, `GIT_TEMPLATE_DIR`, `GIT_INDEX_FILE`) redirect git or make it run programs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack.errors import RepropackError
from repropack.process import Completed, ProcessFailedError, find_program, run

__all__ = ["EMPTY_TREES", "Git", "TimedOutError", "alternate_line", "bare", "initialise", "own"]

GIT_TIMEOUT: Final = 300.0
"""Seconds for one git command: hashing a large dirty tree on a slow network disk takes minutes."""

EMPTY_TREES: Final = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""The id of the tree without entries. git knows it in every repository."""

_QUIET: Final = {
    # Replacement refs would give another tree than the id says; a lazy fetch would use the network
    # (git < 2.39.4 does not know the variable, so no transport is allowed either).
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_TERMINAL_PROMPT": "0",
}

_OPTIONS: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    # An object that a power cut leaves empty would be taken for present ever after.
    "core.fsync=committed,loose-object",
    "core.fsyncMethod=batch",
)

_OWN_OPTIONS: Final = (
    # A split index would be written as a shared file into the author's git directory, and the
    # untracked cache trusts directory times; the copy of the index does without both.
    "core.splitIndex=false",
    "core.untrackedCache=false",
    # These two would make a changed file look unchanged, or refuse to read it.
    "core.ignoreStat=false",
    "core.safecrlf=false",
)


class TimedOutError(RepropackError):
    """A git command did not end in its time."""


class Git(Struct, frozen=True, kw_only=True):
    """A repository and the way it is reached.

    Attributes:
        environment: The whole environment of each command.
        arguments: What stands between `git` and the subcommand.
        directory: Working directory, or None where it does not matter.
        timeout: Seconds for each command.
    """

    environment: dict[str, str]
    arguments: tuple[str, ...]
    directory: Path | None = None
    timeout: float = GIT_TIMEOUT

    def call(
        self,
        *arguments: str,
        stdin: bytes | int = b"",
        stdout: int | None = None,
        accept: Sequence[int] = (0,),
    ) -> Completed:
        """Runs a git command. The arguments are those of `repropack.process.run`.

        Raises:
            TimedOutError: It did not end in time, or printed too much.
            ProcessFailedError: git is missing, or ended with a status that is not in `accept`.
        """
        program = find_program("git")
        if program is None:
            raise ProcessFailedError("git was not found", advice="install git, or put it on PATH")
        try:
            return run(
                (program, *self.arguments, *arguments),
                environment=self.environment,
                directory=self.directory,
                stdin=stdin,
                stdout=stdout,
                timeout=self.timeout,
                accept=accept,
            )
        except ProcessFailedError as error:
            done = error.completed
            if done is None:
                raise TimedOutError(f"git {arguments[0]}: {error.message}") from error
            raise ProcessFailedError(
                f"git {arguments[0]} ended with status {done.status}: {_said(done.stderr)}",
                completed=done,
            ) from error


def own(
    root: Path,
    *,
    index: Path | None = None,
    objects: Path | None = None,
    alternates: Sequence[Path] = (),
    options: Sequence[str] = (),
) -> Git:
    """A work tree of the author, found from a directory of it.

    Args:
        root: The directory; git looks for the repository from here upwards.
        index: Use this index instead of hers. Without it nothing may write an index.
        objects: Write objects there instead of into her object store.
        alternates: Where else to look for objects.
        options: Further configuration, `name=value`.
    """
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "XDG_CONFIG_HOME") if name in os.environ
    }
    environment |= _QUIET
    # git's messages are compared below and shown.
    environment["LC_ALL"] = "C.UTF-8"
    if index is None:
        environment["GIT_OPTIONAL_LOCKS"] = "0"
    else:
        environment["GIT_INDEX_FILE"] = os.path.abspath(index)
    if objects is not None:
        environment["GIT_OBJECT_DIRECTORY"] = os.path.abspath(objects)
    if alternates:
        environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = _join(alternates)
    return Git(
        environment=environment,
        arguments=_configure((*_OPTIONS, *_OWN_OPTIONS, *options)),
        directory=root,
    )


def bare(
    repository: Path,
    *,
    alternates: Sequence[Path] = (),
    work_tree: Path | None = None,
    index: Path | None = None,
    timeout: float = GIT_TIMEOUT,
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> Git:
    """A repository that repropack made, reached by its path alone.

    Args:
        repository: The git directory.
        alternates: Where else to look for objects.
        work_tree: A directory to treat as its work tree.
        index: The index file to use.
        timeout: Seconds for each command.
        options: Further configuration, `name=value`.
        variables: Further environment variables.
    """
    environment = _hardened() | dict(variables or {})
    if index is not None:
        environment["GIT_INDEX_FILE"] = os.path.abspath(index)
        environment["GIT_OPTIONAL_LOCKS"] = "1"
    if alternates:
        environment["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = _join(alternates)
    arguments = [f"--git-dir={os.path.abspath(repository)}"]
    if work_tree is not None:
        arguments.append(f"--work-tree={os.path.abspath(work_tree)}")
    return Git(
        environment=environment,
        arguments=(*_configure((*_OPTIONS, *options)), *arguments),
        directory=work_tree,
        timeout=timeout,
    )


def initialise(repository: Path, object_format: str) -> None:
    """Makes an empty bare repository without hooks, from no template.

    Raises:
        ProcessFailedError: git is missing or could not make it.
    """
    Git(environment=_hardened(), arguments=_configure(_OPTIONS)).call(
        "init",
        "--quiet",
        "--bare",
        "--template=",
        "--initial-branch=main",
        f"--object-format={object_format}",
        "--",
        os.path.abspath(repository),
    )


def _hardened() -> dict[str, str]:
    return _QUIET | {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        # git before 2.32 does not know GIT_CONFIG_GLOBAL and looks below HOME: nothing is there.
        "HOME": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def _configure(options: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for option in options for word in ("-c", option))


def _join(directories: Sequence[Path]) -> str:
    """The value of GIT_ALTERNATE_OBJECT_DIRECTORIES: quoted where a name holds the separator."""
    return ":".join(map(alternate_line, directories))


def alternate_line(directory: Path) -> str:
    """A directory of objects as git reads it in a list of alternates (gitrepository-layout(5))."""
    name = os.path.abspath(directory)
    if not any(c in name for c in ':"\\\n'):
        return name
    for character, escape in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n")):
        name = name.replace(character, escape)
    return f'"{name}"'


def _said(stderr: bytes) -> str:
    """The line that says what was wrong: the first `fatal:` or `error:`; later lines are advice."""
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    for line in lines:
        if line.startswith(("fatal: ", "error: ")):
            return line
    return lines[-1] if lines else "nothing on standard error"
