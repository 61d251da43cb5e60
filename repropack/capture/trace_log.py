# SPDX-License-Identifier: Apache-2.0
"""What strace wrote: which files the processes of a command opened, wrote, renamed and executed.

A line is `PID call(arguments) = result`. Paths are quoted as in C; with `-y` the directory of a
relative path and the file that a descriptor stands for follow in angle brackets, in which `<` and
`>` are escaped (strace(1), "The trace format"). Only successful calls are asked for.

The parser holds what was seen, each path once, and at most one unfinished call for each thread;
what it cannot read it counts.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from repropack.capture.traced_files import TracedFiles

__all__ = ["TraceLog", "TraceReader"]

LINE_LIMIT: Final = 256 * 1024
"""Bytes: two paths of 4,096 bytes, four characters each, and 32 shortened arguments fit well."""

CHUNK: Final = 1024 * 1024
BLOCK: Final = 4096
PUNCHED_AT_ONCE: Final = 4 * CHUNK
"""Bytes that were read before their room on the disk is given back."""

PAUSE: Final = 0.05
"""Seconds between two looks at a file that does not grow."""

PATIENCE: Final = 5.0
"""Seconds after the end of the command in which strace must have told of it."""

_PUNCH_HOLE: Final = 0x03
"""FALLOC_FL_KEEP_SIZE and FALLOC_FL_PUNCH_HOLE of linux/falloc.h."""

_LINE: Final = re.compile(rb"(\d+) +(.*)", re.DOTALL)
_STRING: Final = rb'"((?:[^"\\]|\\.)*)"'
_PLACE: Final = rb"(AT_FDCWD|-?\d+)(?:<([^>]*)>)?(?:\(deleted\))?"
_RESULT: Final = rb"\) += \d+(?:<([^>]*)>)?(\(deleted\))?"
_OPEN_AT: Final = re.compile(rb"openat2?\(" + _PLACE + rb", " + _STRING + rb", (.*)" + _RESULT)
_OPEN: Final = re.compile(rb"(open|creat)\(" + _STRING + rb", (.*)" + _RESULT)
_RENAME_AT: Final = re.compile(
    rb"renameat2?\("
    + _PLACE
    + rb", "
    + _STRING
    + rb", "
    + _PLACE
    + rb", "
    + _STRING
    + rb".*\) += 0"
)
_RENAME: Final = re.compile(rb"rename\(" + _STRING + rb", " + _STRING + rb"\) += 0")
_EXECUTE: Final = re.compile(rb"execve\(" + _STRING + rb", .*\) += 0")
_EXECUTE_AT: Final = re.compile(rb"execveat\(" + _PLACE + rb", " + _STRING + rb", .*\) += 0")
_CHANGE: Final = re.compile(rb"chdir\(" + _STRING + rb"\) += 0")
_CHANGE_TO: Final = re.compile(rb"fchdir\(" + _PLACE + rb"\) += 0")
_TRUNCATE: Final = re.compile(rb"truncate\(" + _STRING + rb", .*\) += 0")
_RESUMED: Final = re.compile(rb"<\.\.\. \w+ resumed>(.*)", re.DOTALL)
_UNFINISHED: Final = b" <unfinished ...>"
_FLAG: Final = re.compile(rb"O_[A-Z_]+")
_LOOK_OF_AGENT: Final = frozenset({b"O_RDONLY", b"O_NONBLOCK", b"O_NOCTTY", b"O_DSYNC"})
"""Flags with which the agent opens what it takes a digest of, before the program replaces it."""
_ESCAPED: Final = re.compile(rb"\\(x[0-9a-f]{2}|[0-7]{1,3}|.)", re.DOTALL)
_LETTERS: Final = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}


class TraceLog:
    """Reads a trace, line by line.

    Attributes:
        ended: Whether the trace has told of the end of its first process, the command itself.
        unread: Lines that say nothing that we know.
    """

    def __init__(self, directory: str) -> None:
        self.ended = False
        self.unread = 0
        self._start = os.fsencode(directory)
        self._first = b""
        self._places: dict[bytes, bytes] = {}
        self._unfinished: dict[bytes, bytes] = {}
        self._interrupted = b""
        self._executing: dict[bytes, bytes] = {}
        self._read: dict[bytes, None] = {}
        self._written: dict[bytes, None] = {}
        self._created: dict[bytes, None] = {}
        self._programs: dict[bytes, None] = {}
        self._led: dict[bytes, bytes] = {}
        # How many files had been read when something took a place.
        self._taken: dict[bytes, int] = {}

    def add(self, line: bytes) -> None:
        """Takes one line without its line feed."""
        if line.startswith(b")") and self._interrupted in self._unfinished:
            # With `-z` strace holds a line back until the call has ended; where a thread has ended
            # meanwhile, the rest follows without its process.
            line = self._interrupted + b" " + self._unfinished.pop(self._interrupted) + line
        matched = _LINE.fullmatch(line)
        if matched is None:
            self.unread += 1
            return
        process, text = matched.groups()
        self._first = self._first or process
        resumed = _RESUMED.fullmatch(text)
        if resumed is not None:
            text = self._unfinished.pop(process, b"") + resumed[1]
        if text.startswith(b"+++ "):
            self._end(process, text)
        elif text.startswith(b"--- "):
            return
        elif text.endswith(_UNFINISHED):
            self._unfinished[process] = text.removesuffix(_UNFINISHED)
            self._interrupted = process
        elif not self._call(process, text) and not _has_failed(text):
            self.unread += 1

    def files(self) -> TracedFiles:
        """What was seen so far."""
        for process, program in list(self._executing.items()):
            self._execute(process, program, self._place(process))
        return TracedFiles(
            read=_texts(self._read),
            written=_texts(self._written),
            created=_texts(self._created),
            led={os.fsdecode(path): os.fsdecode(place) for path, place in self._led.items()},
            exchanged=_texts(dict.fromkeys(self._exchanged())),
            programs=_texts(self._programs),
            whole=self.ended and not self.unread,
        )

    def _end(self, process: bytes, text: bytes) -> None:
        if text.startswith((b"+++ exited", b"+++ killed")):
            self.ended = self.ended or process == self._first
            if process in self._executing:
                self._execute(process, self._executing[process], self._place(process))
            self._places.pop(process, None)
            self._unfinished.pop(process, None)

    def _call(self, process: bytes, text: bytes) -> bool:
        """Takes a finished call; returns whether it is one that we know."""
        if found := _OPEN_AT.match(text):
            at, place, path, flags, result, deleted = found.groups()
            place = self._learn(process, at, place)
            # Where a link leads, `..` is not what the text says.
            path = _unescape(result) if result and b".." in path else _join(place, path)
            self._open(path, flags, result, deleted)
        elif found := _OPEN.match(text):
            name, path, flags, result, deleted = found.groups()
            if name == b"creat":
                flags = b"O_WRONLY|O_TRUNC"
            self._open(_join(self._place(process), path), flags, result, deleted)
        elif found := _RENAME_AT.match(text):
            at, place, _, to_at, to_place, path = found.groups()
            self._learn(process, at, place)
            self._rename(_join(self._learn(process, to_at, to_place), path))
        elif found := _RENAME.match(text):
            self._rename(_join(self._place(process), found[2]))
        elif found := _EXECUTE.match(text):
            self._executing.pop(process, None)
            if found[1].startswith(b"/"):
                self._execute(process, found[1], b"/")
            else:
                # Where the process is it tells by what it opens next.
                self._executing[process] = found[1]
        elif found := _EXECUTE_AT.match(text):
            at, place, path = found.groups()
            place = self._learn(process, at, place)
            self._execute(process, path or b".", place)
        elif found := _CHANGE.match(text):
            self._places[process] = _join(self._place(process), found[1])
        elif found := _CHANGE_TO.match(text):
            self._places[process] = _unescape(found[2] or b"/")
        elif found := _TRUNCATE.match(text):
            path = _join(self._place(process), found[1])
            self._written[path] = None
        else:
            return False
        return True

    def _learn(self, process: bytes, at: bytes, place: bytes | None) -> bytes:
        """The directory that a call names, which may be the one that its process is in."""
        directory = _unescape(place) if place is not None else self._place(process)
        if at == b"AT_FDCWD" and place is not None:
            self._places[process] = directory
            if process in self._executing:
                self._execute(process, self._executing[process], directory)
        return directory

    def _place(self, process: bytes) -> bytes:
        return self._places.get(process, self._start)

    def _execute(self, process: bytes, program: bytes, place: bytes) -> None:
        self._executing.pop(process, None)
        path = _join(place, program)
        self._programs[path] = None
        if path not in self._created:
            self._read[path] = None

    def _open(self, path: bytes, flags: bytes, result: bytes | None, deleted: bytes | None) -> None:
        words = set(_FLAG.findall(flags))
        if words & {b"O_DIRECTORY", b"O_PATH", b"O_TMPFILE"} or deleted or words >= _LOOK_OF_AGENT:
            return
        if result is not None and not result.startswith(b"/"):
            # No file: a pipe, say, that was opened through /proc.
            return
        if path.startswith((b"/proc/", b"/dev/fd/")) and result is not None:
            # It was opened by a name that only its process can follow.
            path = _unescape(result)
        if words & {b"O_TRUNC", b"O_EXCL"} and words & {b"O_WRONLY", b"O_RDWR"}:
            self._replace(path)
            return
        if words & {b"O_WRONLY", b"O_RDWR"}:
            self._written[path] = None
        if b"O_WRONLY" not in words and path not in self._created:
            self._read[path] = None
            if result is not None and (place := _unescape(result)) != path:
                self._led.setdefault(path, place)

    def _rename(self, path: bytes) -> None:
        self._replace(path)
        self._taken[path] = len(self._read)

    def _exchanged(self) -> Iterator[bytes]:
        for number, path in enumerate(self._read if self._taken else ()):
            above = os.path.dirname(path)
            while len(above) > 1:
                if number < self._taken.get(above, 0):
                    yield path
                    break
                above = os.path.dirname(above)

    def _replace(self, path: bytes) -> None:
        self._written[path] = None
        if path not in self._read:
            self._created[path] = None


class TraceReader:
    """Follows a trace while it is written, and gives the room on the disk back behind itself.

    A file between strace and us, and no pipe: should we be killed, strace goes on. The calls of a
    command whose strace has died would all fail.

    Attributes:
        thread: Reads until the command has ended and strace has told so, or does not.
    """

    def __init__(self, path: Path, directory: str) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._path = path
        self._log = TraceLog(directory)
        self._stop = threading.Event()
        self._failure = ""

    def stop(self) -> None:
        """To be called when the command has ended."""
        self._stop.set()

    def holds_alone(self, pipe: int) -> bool:
        """Whether nobody but strace has the other end of a pipe open.

        strace inherits the outputs of the command and stays until the last process that the command
        has left in the background ends. Who waits for the end of our output need not wait for that.
        """
        name = f"pipe:[{os.fstat(pipe).st_ino}]"
        ours = str(os.getpid())
        for process in os.listdir("/proc"):
            if process.isdigit() and process != ours and self._holds(process, name):
                return False
        return True

    def _holds(self, process: str, name: str) -> bool:
        """Whether a process other than our strace has something open."""
        try:
            with open(f"/proc/{process}/cmdline", "rb") as file:
                arguments = file.read().split(b"\0")
            if b"--seccomp-bpf" in arguments and os.fsencode(self._path) in arguments:
                return False
            descriptors = os.listdir(f"/proc/{process}/fd")
        except OSError:
            # It has ended, or is somebody else's: our pipe did not get there.
            return False
        for number in descriptors:
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{process}/fd/{number}") == name:
                    return True
        return False

    def result(self) -> tuple[TracedFiles, str]:
        """To be called when the thread has ended.

        Returns:
            What was traced, and why it is not whole, or an empty string.
        """
        reason = self._failure
        if not reason and not self._log.ended:
            reason = "strace did not tell of the end of the command"
        elif not reason and self._log.unread:
            reason = f"{self._log.unread} lines of it could not be read"
        return self._log.files(), reason

    def _run(self) -> None:
        try:
            self._follow()
        except OSError as error:
            self._failure = error.strerror or str(error)

    def _follow(self) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT, 0o600)
        try:
            offset = punched = 0
            rest = b""
            waited = 0.0
            while True:
                stopping = self._stop.is_set()
                data = os.pread(descriptor, CHUNK, offset)
                offset += len(data)
                rest = self._take(rest + data)
                if offset - punched >= PUNCHED_AT_ONCE:
                    punched = _give_back(descriptor, punched, offset)
                if data:
                    continue
                if stopping and (self._log.ended or waited >= PATIENCE):
                    return
                if stopping:
                    # strace is about to tell.
                    time.sleep(PAUSE / 10)
                    waited += PAUSE / 10
                else:
                    self._stop.wait(PAUSE)
        finally:
            os.close(descriptor)

    def _take(self, data: bytes) -> bytes:
        """Parses the whole lines; returns what is left."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._log.add(line)
        if len(rest) > LINE_LIMIT:
            self._log.unread += 1
            # What comes up to the next line feed belongs to it.
            return rest[:1]
        return rest


def _give_back(descriptor: int, start: int, end: int) -> int:
    """Frees the blocks of a part of a file; returns how far they are freed or cannot be."""
    end -= end % BLOCK
    # A file system that cannot do it keeps the file until the end of the recording.
    ctypes.CDLL(None).fallocate(
        ctypes.c_int(descriptor),
        ctypes.c_int(_PUNCH_HOLE),
        ctypes.c_int64(start),
        ctypes.c_int64(end - start),
    )
    return end


def _has_failed(text: bytes) -> bool:
    """Whether it is a call that failed, or that never returned."""
    return re.search(rb"\) += (?:-\d+ |\?)", text) is not None


def _join(place: bytes, path: bytes) -> bytes:
    return os.path.normpath(os.path.join(place, _unescape(path)))


def _unescape(text: bytes) -> bytes:
    return _ESCAPED.sub(_plain, text) if b"\\" in text else text


def _plain(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[:1] == b"x" and len(code) == 3:
        return bytes.fromhex(code[1:].decode())
    if code[:1].isdigit():
        return bytes([int(code, 8) & 0xFF])
    return _LETTERS.get(code, code)


def _texts(paths: dict[bytes, None]) -> tuple[str, ...]:
    return tuple(os.fsdecode(path) for path in paths)
