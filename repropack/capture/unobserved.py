# SPDX-License-Identifier: Apache-2.0
"""What no agent saw: which parts of a run those are, and which files they may have read.

A shell, awk or a compiled program tells nobody what it opens. A file that it may have read and that
is not in the code snapshot is recorded as it lay there: one input too many does less harm than one
too few.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from repropack.agent.log import ProcessObservation
from repropack.capture.asked import unobserved_interpreters
from repropack.capture.gaps import Gaps, some
from repropack.capture.launchers import LAUNCHERS
from repropack.capture.materials import Surroundings, is_broad, is_system
from repropack.capture.preparation import Prepared, is_inside, place_on_disk
from repropack.environment.r_packages import loaded_r_packages
from repropack.process import find_program
from repropack.worktree import SKIPPED_DIRECTORIES

__all__ = [
    "behind_links",
    "declared_files",
    "head_of",
    "loads_no_agent",
    "named_directories",
    "present_files",
    "runs_python",
    "unseen_parts",
    "unseen_pythons",
]

FILE_LIMIT: Final = 10_000
"""Files that are taken for inputs without having been named: each has to be hashed."""

SIZE_LIMIT: Final = 2**30
"""Bytes of them: some seconds of hashing."""

_SHELLS: Final = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish", "csh", "tcsh", "busybox"})

_DESCRIBING: Final = frozenset({"git", "hostname", "ldconfig", "lscpu", "nvidia-smi", "uname"})
"""Programs that libraries start to learn about the machine or the code; they read no data."""

_OTHER_LANGUAGES: Final = frozenset({"R", "java", "julia", "node", "octave-cli", "octave-gui"})
"""Interpreters with packages of their own, as they are called where they are executed."""

_POLYGLOT: Final = b"'''exec'"
"""How the scripts of installers start that are run by `sh` and then at once by Python."""


def unseen_parts(
    argv: Sequence[str],
    processes: Sequence[ProcessObservation],
    *,
    directory: Path,
    search: str,
    parent: int,
) -> list[str]:
    """What was not, or not wholly, observed, in words; empty where every process was.

    Args:
        argv: The command.
        processes: What the agent saw.
        directory: Working directory of the command.
        search: Its PATH.
        parent: Process id of the parent of the command.
    """
    name = os.path.basename(argv[0])
    if not processes and name.startswith("python"):
        return [
            f"`{name}` was not observed: with -I, -E or -S, and before Python 3.8, it loads no "
            "agent; which packages it used is not known, so all of its environment count as used, "
            "and files that it read are known only from its arguments"
        ]
    if not processes:
        return [
            f"no Python process was observed in `{name}`: files that it read are known only from "
            "its arguments"
        ]
    unseen = []
    programs = {program for process in processes for program in process.programs}
    started = {program for program in programs if not _was_observed(program)}
    if not _is_observed_command(argv[0], processes, directory, search, parent):
        unseen.append(
            f"`{name}` is no Python program: files that it, or what it started, read are known "
            "only where a Python process read them"
        )
    if started:
        unseen.append(
            f"programs that are no Python were not observed: {some(sorted(started))}; files that "
            "they read are not known"
        )
    last = {process.pid: process for process in processes}
    for process in processes:
        # A process that is replaced by another program (`exec`), or a worker that is no longer
        # needed and is killed, has no end to tell of.
        ended = process.complete or process.ppid in last or last[process.pid] is not process
        if process.damaged:
            unseen.append(
                f"what process {process.pid} told is damaged: lines are missing or changed, and "
                "only the others are used"
            )
        elif process.torn or not ended:
            cut = ": its last line was cut off, and is left out" if process.torn else ""
            unseen.append(
                f"process {process.pid} was killed, became another program, or left without its "
                "exit handlers: its numerical settings, and what native libraries had open in it, "
                "are not known"
                f"{cut}"
            )
    if blind := len(_blind_pythons(processes)):
        unseen.append(
            f"{blind} child processes were not observed: Python in isolated mode, or with another "
            "PYTHONPATH than its parent's"
        )
    if silent := _silent_pythons(programs, processes, search):
        unseen.append(
            f"{some(silent)} was started and not observed: before Python 3.8 there is no agent; "
            "files that it read are not known"
        )
    return unseen


def _blind_pythons(processes: Sequence[ProcessObservation]) -> list[str]:
    """Children, one by one, in which no agent can be, although they are Python."""
    return [
        program
        for process in processes
        for program in process.unobserved_children
        if _is_called_python(program) or runs_python(head_of(program))
    ]


def _silent_pythons(
    programs: Iterable[str], processes: Sequence[ProcessObservation], search: str
) -> list[str]:
    """Interpreters that were started as usual and of which nothing was heard."""
    blind = set(_blind_pythons(processes))
    places = {
        program if "/" in program else find_program(program, search) or ""
        for program in programs
        if program not in blind
    }
    return [place for place in unobserved_interpreters(sorted(places), processes) if place]


def unseen_pythons(
    argv: Sequence[str],
    processes: Sequence[ProcessObservation],
    programs: Sequence[str],
    read: Sequence[str],
) -> list[str]:
    """What a trace does not make up for: settings of Pythons without an agent.

    Args:
        argv: The command.
        processes: What the agent saw.
        programs: What the trace saw being executed.
        read: The files that it saw being read.
    """
    found = []
    others = sorted({os.path.basename(p) for p in programs} & _OTHER_LANGUAGES)
    if "R" in others and (loaded := loaded_r_packages(read)):
        others.remove("R")
        found.append(
            f"R and the {len(loaded)} packages that it loaded are recorded by version; a "
            "repetition does not install them, so a reader must have them"
        )
    if others:
        found.append(
            f"packages of {some(others)} are not recorded, only those of Python: name their "
            "versions where a reader finds them, such as in the README of the project"
        )
    if unobserved := unobserved_interpreters((argv[0], *programs), processes):
        found.append(
            f"{some(sorted(unobserved))} ran without the agent (-I, -E, -S, or PYTHONPATH was "
            "replaced): its packages are those whose files were read; its numerical settings are "
            "not known"
        )
    if blind := len(_blind_pythons(processes)):
        found.append(f"settings of {blind} Python processes without the agent are not known")
    return found


def _is_observed_command(
    program: str,
    processes: Sequence[ProcessObservation],
    directory: Path,
    search: str,
    parent: int,
) -> bool:
    # `env` replaces itself by what it starts, and so do shells by the last of several commands;
    # `timeout` waits for it.
    if os.path.basename(program) in LAUNCHERS:
        return True
    if not any(process.ppid == parent for process in processes):
        return False
    place = str(directory / program) if "/" in program else find_program(program, search)
    if place is None or os.path.basename(program) in _SHELLS:
        return False
    head = head_of(place)
    # pyenv and asdf put scripts there that replace themselves by the chosen version of a program.
    shim = os.path.basename(os.path.dirname(place)) == "shims"
    return not head.startswith(b"#!") or runs_python(head) or shim


def _was_observed(program: str) -> bool:
    """Whether a program that a Python process started is one that has an agent, or reads no data.

    A Python that is told to load no agent counts as an unobserved child.
    """
    known = _is_called_python(program) or os.path.basename(program) in _DESCRIBING
    return known or runs_python(head_of(program))


def _is_called_python(program: str) -> bool:
    return os.path.basename(program).startswith("python")


def loads_no_agent(argv: Sequence[str]) -> bool:
    """Whether a Python is told to ignore PYTHONPATH (`-E`, `-I`) or to load no `site` (`-S`)."""
    for option in argv[1:]:
        if not option.startswith("-") or option in ("-", "--") or option[1] in "cm":
            return False
        if not option.startswith(("--", "-W", "-X")) and not {"E", "I", "S"}.isdisjoint(option):
            return True
    return False


def runs_python(head: bytes) -> bool:
    """Whether a file that starts so is a script for Python."""
    first, _, rest = head.partition(b"\n")
    return head.startswith(b"#!") and (b"python" in first or rest.startswith(_POLYGLOT))


def head_of(program: str) -> bytes:
    """The first bytes of a program; none where it cannot be read."""
    try:
        with open(program, "rb") as file:
            return file.read(512)
    except OSError:
        return b""


def declared_files(directory: Path) -> list[str]:
    """Every regular file below a directory that the user named as data."""
    found: list[str] = []
    waiting = [str(directory)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError:
            # As for `os.walk`: what cannot be listed has no files that a command could have read.
            continue
        found += [entry.path for entry in entries if _is_file(entry)]
        waiting += [e.path for e in reversed(entries) if e.is_dir(follow_symlinks=False)]
    return found


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        # A link that leads in a circle.
        return False


def named_directories(
    arguments: Iterable[str], directory: str, prepared: Prepared, around: Surroundings, gaps: Gaps
) -> list[str]:
    """The files of directories outside the project that the command line names.

    What was written since the run began is its output.
    """
    found: list[str] = []
    for argument in arguments:
        for text in {argument, argument.partition("=")[2]} - {""}:
            place = os.path.normpath(os.path.join(directory, os.path.expanduser(text)))
            if (
                text.startswith("-")
                or not os.path.isdir(place)
                or is_inside(f"{os.path.realpath(place)}/", prepared.root)
                or is_inside(str(prepared.root), Path(place))
                or is_broad(place, around)
                or is_system(place, around)
            ):
                continue
            files = [
                path
                for path, status in _files_below(place, FILE_LIMIT)
                if _is_old(status, prepared)
            ]
            if len(files) > FILE_LIMIT:
                gaps.add(
                    "inputs",
                    f"{place} has more than {FILE_LIMIT} files, so what was read from it is not "
                    f"recorded; name it with --data NAME={place}",
                )
            else:
                found += files
    return found


def present_files(prepared: Prepared, around: Surroundings, gaps: Gaps) -> list[str]:
    """Files of the project that are neither code nor made by earlier runs, and that lay there.

    Hidden ones (settings, credentials, caches of tools) are left out.
    """
    products = {
        os.path.relpath(place, prepared.root): product.stamp
        for recorded, product in prepared.known.items()
        if (place := place_on_disk(recorded, prepared.root)) is not None
    }
    sizes: dict[str, int] = {}
    for relative, stamp in prepared.before.files.items():
        if (
            relative not in around.code
            and relative not in prepared.console
            and products.get(relative) != (stamp.size, stamp.mtime_ns, stamp.inode)
            and not relative.startswith(".")
            and "/." not in relative
            and not relative.endswith(".rpk")
        ):
            sizes[str(prepared.root / relative)] = stamp.size
    for path, status in _linked_files(prepared):
        if _is_old(status, prepared):
            sizes[path] = status.st_size
    if len(sizes) > FILE_LIMIT or sum(sizes.values()) > SIZE_LIMIT:
        gaps.add(
            "inputs",
            f"{len(sizes)} files of the project that are not in its code are too many or too large "
            "to be recorded unread; name what the command reads with --data NAME=DIR",
        )
        return []
    return list(sizes)


def behind_links(prepared: Prepared) -> list[str]:
    """Files that the run wrote behind links of the project that lead out of it."""
    return [path for path, status in _linked_files(prepared) if not _is_old(status, prepared)]


def _linked_files(prepared: Prepared) -> list[tuple[str, os.stat_result]]:
    found = []
    for directory in ("", *sorted(prepared.before.directories)):
        try:
            with os.scandir(prepared.root / directory) as entries:
                links = [e for e in entries if e.is_symlink() and e.is_dir()]
        except OSError:
            # The run has removed it.
            continue
        for link in links:
            if (
                not link.name.startswith(".")
                and link.name not in SKIPPED_DIRECTORIES
                and not os.path.exists(f"{link.path}/pyvenv.cfg")
                and not is_inside(f"{os.path.realpath(link.path)}/", prepared.root)
            ):
                found += _files_below(link.path, FILE_LIMIT)
    return found


def _files_below(directory: str, limit: int | None = None) -> list[tuple[str, os.stat_result]]:
    """Regular files with their stat; one more than the limit where there are more."""
    found = []
    for place, directories, names in os.walk(directory):
        directories.sort()
        for name in sorted(names):
            path = os.path.join(place, name)
            try:
                status = os.stat(path)
            except OSError:
                # A link to nowhere.
                continue
            if stat.S_ISREG(status.st_mode):
                found.append((path, status))
                if limit is not None and len(found) > limit:
                    return found
    return found


def _is_old(status: os.stat_result, prepared: Prepared) -> bool:
    return max(status.st_mtime_ns, status.st_ctime_ns) < prepared.started_ns
