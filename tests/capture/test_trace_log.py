# SPDX-License-Identifier: Apache-2.0
"""What is read out of a trace: lines as strace writes them, and what strace really writes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repropack.capture.trace_log import TraceLog, TraceReader
from repropack.capture.traced_files import TracedFiles
from repropack.capture.tracing import traced

START = '7 execve("/bin/sh", ["sh", "-c", "echo \\") = 0"...], 0x7ffc /* 35 vars */) = 0'
END = "7 +++ exited with 0 +++"


def _files(*lines: str, directory: str = "/start") -> TracedFiles:
    log = TraceLog(directory)
    for line in (START, *lines, END):
        log.add(line.encode("latin-1"))
    return log.files()


@pytest.mark.parametrize(
    ("lines", "read"),
    [
        (['8 openat(AT_FDCWD</w>, "a.txt", O_RDONLY) = 3</real/a.txt>'], ["/w/a.txt"]),
        (['8 openat(3</d>, "b", O_RDONLY|O_CLOEXEC) = 4</d/b>'], ["/d/b"]),
        (['8 open("/abs", O_RDWR) = 3</abs>'], ["/abs"]),
        # A relative path without its directory: that in which the process was seen last.
        (
            [
                '8 chdir("sub") = 0',
                '8 open("x", O_RDONLY) = 3',
                "8 fchdir(4</other>) = 0",
                '8 open("y", O_RDONLY) = 3',
            ],
            ["/start/sub/x", "/other/y"],
        ),
        # `..` behind a link is not what the text says.
        (['8 openat(AT_FDCWD</w>, "link/../a", O_RDONLY) = 3</far/a>'], ["/far/a"]),
        (
            ['8 openat2(AT_FDCWD</w>, "a", {flags=O_RDONLY, resolve=0}, 24) = 3</w/a>'],
            ["/w/a"],
        ),
        # Bytes that are no text, quotes, brackets, line feeds.
        (
            ['8 openat(AT_FDCWD</w\\74x\\76>, "q\\" \\377\\n\\\\)=\\t.bin", O_RDONLY) = 3</z>'],
            ['/w<x>/q" \udcff\n\\)=\t.bin'],
        ),
        # A program named relative to where its process is; it tells by what it opens next.
        (
            [
                '8 execve("./tool", ["./tool"], 0x55 /* 3 vars */) = 0',
                '8 openat(AT_FDCWD</w>, "/etc/ld.so.cache", O_RDONLY) = 3</etc/ld.so.cache>',
            ],
            ["/w/tool", "/etc/ld.so.cache"],
        ),
        (['8 execve("./static", ["./static"], 0x55 /* 3 vars */) = 0'], ["/start/static"]),
        (['8 execveat(3</bin/x>, "", ["x"], 0x5 /* 1 var */, AT_EMPTY_PATH) = 0'], ["/bin/x"]),
        # Calls of threads that interrupt each other.
        (
            [
                '8 openat(AT_FDCWD</w>, "one", O_RDONLY <unfinished ...>',
                '9 openat(AT_FDCWD</w>, "two", O_RDONLY <unfinished ...>',
                "8 <... openat resumed>) = 3</w/one>",
                "9 <... openat resumed>) = 4</w/two>",
            ],
            ["/w/one", "/w/two"],
        ),
        # As strace 6.1 writes it where a thread ends meanwhile.
        (
            [
                '8 openat(AT_FDCWD</w>, "one", O_RDONLY <unfinished ...>',
                ")                       = 3</w/one>",
            ],
            ["/w/one"],
        ),
        # Nothing was read: a failure, a directory, another process' pipe, a file that is gone.
        (
            [
                '8 openat(AT_FDCWD</w>, "no", O_RDONLY) = -1 ENOENT (No such file or directory)',
                '8 openat(AT_FDCWD</w>, ".", O_RDONLY|O_DIRECTORY) = 3</w>',
                '8 openat(AT_FDCWD</w>, "/dev/fd/3", O_RDONLY) = 4<pipe:[77]>',
                '8 openat(AT_FDCWD</w>, "gone", O_RDONLY) = 4</w/gone>(deleted)',
                '8 openat(AT_FDCWD</w>, "out", O_WRONLY|O_CREAT, 0666) = 4</w/out>',
                "8 --- SIGCHLD {si_signo=SIGCHLD} ---",
            ],
            [],
        ),
        # The agent takes a digest of what is about to be replaced.
        (
            [
                '8 openat(AT_FDCWD</w>, "ckpt", '
                "O_RDONLY|O_NOCTTY|O_NONBLOCK|O_DSYNC|O_CLOEXEC) = 3</w/ckpt>",
                '8 openat(AT_FDCWD</w>, "ckpt", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</w/ckpt>',
                '8 openat(AT_FDCWD</w>, "ckpt", O_RDONLY) = 3</w/ckpt>',
            ],
            [],
        ),
        # What the command has made itself is no input; what it read first is.
        (
            [
                '8 openat(AT_FDCWD</w>, "log", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3</w/log>',
                '8 openat(AT_FDCWD</w>, "log", O_RDONLY) = 3</w/log>',
                '8 openat(AT_FDCWD</w>, "ckpt", O_RDONLY) = 3</w/ckpt>',
                '8 rename("tmp", "ckpt") = 0',
                '8 renameat2(AT_FDCWD</w>, "tmp", AT_FDCWD</w>, "best", RENAME_NOREPLACE) = 0',
                '8 openat(AT_FDCWD</w>, "best", O_RDONLY) = 3</w/best>',
                '8 creat("new", 0600) = 3</w/new>',
                '8 open("new", O_RDONLY) = 3</w/new>',
            ],
            ["/w/ckpt"],
        ),
    ],
)
def test_which_files_were_read(lines: list[str], read: list[str]) -> None:
    found = _files(*lines)
    assert found.whole
    assert [path for path in found.read if path != "/bin/sh"] == read


def test_what_was_written_and_made() -> None:
    found = _files(
        '8 openat(AT_FDCWD</w>, "old", O_RDONLY) = 3</w/old>',
        '8 openat(AT_FDCWD</w>, "old", O_WRONLY|O_TRUNC) = 3</w/old>',
        '8 openat(AT_FDCWD</w>, "app", O_WRONLY|O_CREAT|O_APPEND, 0666) = 3</w/app>',
        '8 openat(AT_FDCWD</w>, "new", O_RDWR|O_CREAT|O_EXCL, 0600) = 3</w/new>',
        '8 truncate("cut", 5) = 0',
    )
    assert found.written == ("/w/old", "/w/app", "/w/new", "/w/cut")
    assert found.created == ("/w/new",)


@pytest.mark.parametrize(
    "line",
    ["", "no process", "8 something(else", '8 openat(AT_FDCWD</w>, "cut o', "8 = 3", "\0"],
)
def test_a_trace_with_lines_that_say_nothing_is_not_whole(line: str) -> None:
    assert not _files(line).whole


def test_a_trace_that_breaks_off_is_not_whole(tmp_path: Path) -> None:
    log = TraceLog("/w")
    log.add(START.encode())
    log.add(b"8 +++ killed by SIGKILL +++")
    assert not log.files().whole
    log.add(b"7 +++ killed by SIGKILL (core dumped) +++")
    assert log.files().whole


@given(st.binary(max_size=300))
def test_no_line_is_too_much(line: bytes) -> None:
    log = TraceLog("/w")
    log.add(line)
    log.add(b'8 openat(AT_FDCWD</w>, "' + line + b'", O_RDONLY) = 3</w/x>')
    log.files()


def _traced(command: list[str], directory: Path) -> TracedFiles:
    trace = directory.parent / "trace.log"
    trace.unlink(missing_ok=True)
    reader = TraceReader(trace, str(directory))
    reader.thread.start()
    subprocess.run(traced(command, trace), cwd=directory, check=True, stdout=subprocess.DEVNULL)
    reader.stop()
    reader.thread.join()
    found, reason = reader.result()
    assert reason == ""
    assert found.whole
    return found


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.binary(min_size=1, max_size=40).filter(
            lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
        ),
        min_size=1,
        max_size=8,
        unique=True,
    )
)
def test_strace_tells_names_of_any_bytes(tmp_path: Path, names: list[bytes]) -> None:
    place = tmp_path / '<odd> "place"\n'
    place.mkdir(exist_ok=True)
    paths = [os.fsencode(place) + b"/" + name for name in names]
    for path in paths:
        Path(os.fsdecode(path)).write_bytes(b"1")
    found = _traced(["cat", "--", *(os.fsdecode(b"./" + name) for name in names)], place)
    assert {os.fsdecode(path) for path in paths} <= set(found.read)


def test_many_threads_and_a_trace_that_is_freed_while_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repropack.capture.trace_log.PUNCHED_AT_ONCE", 64 * 1024)
    monkeypatch.setattr("repropack.capture.trace_log.CHUNK", 16 * 1024)
    place = tmp_path / "work"
    place.mkdir()
    for number in range(40):
        (place / f"{number}.bin").write_text("1")
    script = (
        "import os, threading\n"
        "def read():\n"
        "    for n in range(2000): os.close(os.open(f'{n % 40}.bin', os.O_RDONLY))\n"
        "threads = [threading.Thread(target=read) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "if os.fork() == 0: open('0.bin').read()\n"
    )
    found = _traced(["python3", "-I", "-S", "-c", script], place)
    assert {str(place / f"{number}.bin") for number in range(40)} <= set(found.read)
    trace = tmp_path / "trace.log"
    assert trace.stat().st_size > 500_000
    assert trace.stat().st_blocks * 512 < trace.stat().st_size
