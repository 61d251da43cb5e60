# SPDX-License-Identifier: Apache-2.0
"""What the agent in the Python processes of a run wrote down.

The agent (`startup/sitecustomize.py`) writes one file for each process. A line is::

    CRC32 SPACE kind SPACE field [SPACE field ...] LF

where CRC32 is eight hexadecimal digits over all that follows the first space, and bytes of a field
outside printable ASCII are `%XX`. Processes are killed and disks fill up: whatever still has its
checksum is used, and what is missing is said.
"""

from __future__ import annotations

import binascii
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

__all__ = ["Content", "Identity", "ProcessObservation", "numerics_of", "read_agent_logs"]

_NAME: Final = re.compile(r"(\d{1,10})-[0-9a-f]{12}\.log")
_SHA256: Final = re.compile(rb"[0-9a-f]{64}")
_ESCAPE: Final = re.compile(rb"%([0-9a-f]{2})")

_UNKNOWN_START: Final = 2**63
"""Nanoseconds: a process that did not say when it started comes last."""


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What a file held just before the program replaced it.

    Attributes:
        mtime_ns: The time of its last change.
        is_old: Whether it is known that it was there, and the same, when the run began.
    """

    size: int
    mtime_ns: int
    sha256: str
    is_old: bool = False


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which file a path led to when it was opened."""

    size: int
    mtime_ns: int
    inode: int


class ProcessObservation(msgspec.Struct, frozen=True, kw_only=True):
    """One Python process as the agent saw it. Paths are absolute, in order of first use.

    A forked child does not repeat the paths that its family has noted already. Text holds bytes
    that are not UTF-8 as surrogates, as `os.fsdecode` gives them.

    Attributes:
        pid: Its process id; a program that replaces itself (`exec`) has one observation each.
        ppid: Process id of its parent; 0 if its first line is lost.
        executable: `sys.executable`.
        prefix: `sys.prefix`.
        base_prefix: `sys.base_prefix`.
        version: Version of Python as `X.Y.Z`.
        cache_tag: `sys.implementation.cache_tag`.
        flags: The members of `sys.flags` that are not zero.
        argv: Its command line, with the interpreter and its options.
        opened_read: Regular files that were there and were opened for reading.
        opened_as: Which files those were, just before they were opened for the first time.
        opened_written: Files that were opened for writing, or that another was renamed to.
        created: Those of them that were not there before.
        replaced: What those held that were written, renamed or removed, after the process had read
            them or another process of the run may have done so.
        listed: Directories that were listed.
        packages: Files of installed packages that were loaded as modules: the first one of each
            package, and of each direct member of a namespace package.
        programs: Programs that were started, as the process named them.
        unobserved_children: Programs started in a way that no agent can load in them, each time.
        modules: File of each imported module outside the standard library; of installed packages
            only the top-level modules and the direct members of namespace packages.
        sys_path: `sys.path` at exit.
        numerics: Settings that change numbers, by library.
        mapped: Files that were mapped as data, or open for reading, at exit.
        complete: Whether it said what it had to say at exit.
        torn: Whether its last line was cut off, and is left out.
        damaged: Whether lines before the last are missing.
    """

    pid: int
    ppid: int = 0
    executable: str = ""
    prefix: str = ""
    base_prefix: str = ""
    version: str = ""
    cache_tag: str = ""
    flags: dict[str, int] = {}
    argv: tuple[str, ...] = ()
    opened_read: tuple[str, ...] = ()
    opened_as: dict[str, Identity] = {}
    opened_written: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    replaced: dict[str, Content] = {}
    listed: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    unobserved_children: tuple[str, ...] = ()
    modules: dict[str, str] = {}
    sys_path: tuple[str, ...] = ()
    numerics: dict[str, dict[str, str]] = {}
    mapped: tuple[str, ...] = ()
    complete: bool = False
    torn: bool = False
    damaged: bool = False


def numerics_of(processes: Iterable[ProcessObservation]) -> dict[str, dict[str, str]]:
    """The settings by library of a whole run: of each library those of the first that used it."""
    found: dict[str, dict[str, str]] = {}
    for process in processes:
        for library, settings in process.numerics.items():
            told = {name: value for name, value in settings.items() if name != "sys_version"}
            if told:
                found.setdefault(library, told)
    return found


class _Start(msgspec.Struct, frozen=True, kw_only=True):
    time: int
    ppid: int
    executable: str
    prefix: str
    base_prefix: str
    version: str
    cache_tag: str
    flags: dict[str, int]
    argv: tuple[str, ...]


class _End(msgspec.Struct, frozen=True, kw_only=True):
    modules: dict[str, str]
    sys_path: tuple[str, ...]
    numerics: dict[str, dict[str, str]]
    mapped: tuple[str, ...]
    lost: int


def read_agent_logs(directory: Path) -> tuple[ProcessObservation, ...]:
    """Reads what all processes of a run wrote, in the order in which they started.

    Args:
        directory: Where the agent wrote; it may be missing. Other files in it are ignored.

    Raises:
        OSError: The directory or a file in it cannot be read.
    """
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return ()
    found = []
    for name in names:
        matched = _NAME.fullmatch(name)
        path = directory / name
        # A run may write here what it likes: a pipe would wait for ever.
        if matched and stat.S_ISREG((status := path.lstat()).st_mode) and status.st_size:
            found.append((*_read(path, int(matched[1])), name))
    found.sort(key=lambda item: (item[0], item[2]))
    return tuple(observation for _, observation, _ in found)


def _read(path: Path, pid: int) -> tuple[int, ProcessObservation]:
    """The start time in nanoseconds and the observation of one file."""
    start: _Start | None = None
    end: _End | None = None
    kinds = (b"read", b"write", b"create", b"list", b"package", b"program")
    seen: dict[bytes, dict[str, None]] = {kind: {} for kind in kinds}
    opened_as: dict[str, Identity] = {}
    replaced: dict[str, Content] = {}
    blind: list[str] = []
    bad_line = False
    damaged = False
    for body in _lines(path):
        # A bad line is torn while it is the last, and damage once another follows.
        damaged = damaged or bad_line
        bad_line = False
        if body is None:
            bad_line = True
            continue
        kind, *fields = body.split(b" ")
        try:
            if kind == b"read" and len(fields) == 4:
                size, mtime_ns, inode = map(int, fields[1:])
                place = _unescape(fields[0])
                seen[kind][place] = None
                opened_as.setdefault(place, Identity(size=size, mtime_ns=mtime_ns, inode=inode))
            elif kind == b"start" and start is None:
                start = _parse_start(fields)
            elif kind == b"end":
                end = _parse_end(fields)
            elif kind in seen and len(fields) == 1:
                seen[kind][_unescape(fields[0])] = None
                if kind == b"create":
                    seen[b"write"][_unescape(fields[0])] = None
            elif kind in (b"was", b"old"):
                place, content = _parse_content(fields, is_old=kind == b"old")
                replaced.setdefault(place, content)
            elif kind == b"blind" and len(fields) == 1:
                program = _unescape(fields[0])
                seen[b"program"][program] = None
                blind.append(program)
            else:
                damaged = True
        except (ValueError, msgspec.MsgspecError):
            damaged = True
    observation = ProcessObservation(
        pid=pid,
        ppid=start.ppid if start else 0,
        executable=start.executable if start else "",
        prefix=start.prefix if start else "",
        base_prefix=start.base_prefix if start else "",
        version=start.version if start else "",
        cache_tag=start.cache_tag if start else "",
        flags=start.flags if start else {},
        argv=start.argv if start else (),
        opened_read=tuple(seen[b"read"]),
        opened_as=opened_as,
        opened_written=tuple(seen[b"write"]),
        created=tuple(seen[b"create"]),
        replaced=replaced,
        listed=tuple(seen[b"list"]),
        packages=tuple(seen[b"package"]),
        programs=tuple(seen[b"program"]),
        unobserved_children=tuple(blind),
        modules=end.modules if end else {},
        sys_path=end.sys_path if end else (),
        numerics=end.numerics if end else {},
        mapped=end.mapped if end else (),
        complete=end is not None,
        torn=bad_line,
        damaged=damaged or (start is None and not bad_line) or bool(end and end.lost),
    )
    return start.time if start else _UNKNOWN_START, observation


def _lines(path: Path) -> Iterator[bytes | None]:
    """What each line says, or None where its checksum is wrong."""
    with path.open("rb") as file:
        for line in file:
            body = line[9:-1]
            yield body if line == b"%08x %s\n" % (binascii.crc32(body), body) else None


def _parse_start(fields: list[bytes]) -> _Start:
    """Parses the first line of a process.

    Raises:
        ValueError: A field is missing, or is no number where one belongs.
        msgspec.MsgspecError: The flags are no JSON object of numbers, or the command line no list.
    """
    time, _pid, ppid, executable, prefix, base_prefix, version, cache_tag, flags, argv = fields
    return _Start(
        time=int(time),
        ppid=int(ppid),
        executable=_unescape(executable),
        prefix=_unescape(prefix),
        base_prefix=_unescape(base_prefix),
        version=_unescape(version),
        cache_tag=_unescape(cache_tag),
        flags=msgspec.json.decode(flags, type=dict[str, int]),
        argv=tuple(map(_text, msgspec.json.decode(argv, type=tuple[str, ...]))),
    )


def _parse_content(fields: list[bytes], *, is_old: bool) -> tuple[str, Content]:
    """Parses what a file held.

    Raises:
        ValueError: A field is missing, or of another form.
    """
    path, size, mtime_ns, sha256 = fields
    if not _SHA256.fullmatch(sha256):
        raise ValueError("no SHA-256")
    held = Content(
        size=int(size), mtime_ns=int(mtime_ns), sha256=sha256.decode("ascii"), is_old=is_old
    )
    return _unescape(path), held


def _parse_end(fields: list[bytes]) -> _End:
    """Parses what a process said at exit.

    Raises:
        ValueError: There is not exactly one field.
        msgspec.MsgspecError: It is not the JSON that the agent writes.
    """
    (document,) = fields
    end = msgspec.json.decode(document, type=_End)
    return _End(
        modules=_unescape_all(end.modules),
        sys_path=tuple(_text(path) for path in end.sys_path),
        numerics={_text(name): _unescape_all(values) for name, values in end.numerics.items()},
        mapped=tuple(_text(path) for path in end.mapped),
        lost=end.lost,
    )


def _unescape_all(values: dict[str, str]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in values.items()}


def _text(escaped: str) -> str:
    return _unescape(escaped.encode())


def _unescape(field: bytes) -> str:
    if b"%" in field:
        field = _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), field)
    return field.decode("utf-8", "surrogateescape")
