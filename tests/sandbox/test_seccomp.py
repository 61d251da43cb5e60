# SPDX-License-Identifier: Apache-2.0
"""The filter of system calls: its numbers, its logic, and what it does to code in a sandbox."""

from __future__ import annotations

import errno
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.sandbox import (
    Bind,
    Limits,
    Sandbox,
    SandboxSpec,
    confined,
)
from repropack.sandbox.launcher import CALLS_FD as HANDED_OVER
from repropack.sandbox.seccomp import (
    BY_ARGUMENT,
    CALLS_FD,
    REFUSED,
    UNKNOWN,
    CallFilter,
    call_filter,
    filter_for,
)

PYTHON = os.path.realpath(sys.executable)
PREFIX = os.path.realpath(sys.base_prefix)
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
ALLOWED = 0x7FFF0000


def run(sandbox: Sandbox, work: Path, code: str) -> str:
    """What code in a sandbox prints."""
    spec = SandboxSpec(
        directory="/work",
        environment={},
        limits=Limits(),
        read_only=(Bind(source=PREFIX, target=PREFIX),),
        writable=(Bind(source=str(work), target="/work"),),
    )
    with confined(sandbox, spec, [PYTHON, "-c", code]) as box:
        return printed(list(box.argv))


def printed(argv: list[str]) -> str:
    done = subprocess.run(
        argv,
        env={},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def judged(machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the kernel would answer: a reading of its own of classic BPF (bpf(4))."""
    program = filter_for(machine)
    assert program is not None
    filled = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, audit or ARCHITECTURES[machine], 0, *filled)
    accumulator = place = 0
    while True:
        code, yes, no, value = struct.unpack_from("=HBBI", program, 8 * place)
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            holds = {
                0x15: accumulator == value,
                0x35: accumulator >= value,
                0x45: bool(accumulator & value),
            }[code]
            place += yes if holds else no


def answer(code: int) -> int:
    return 0x00050000 | code


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_numbers_are_those_of_the_kernel(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("the headers of the kernel (linux-libc-dev) are not installed")
    text = HEADERS[machine].read_text()
    known = {name: int(n) for name, n in re.findall(r"#define __NR_(\w+)\s+(\d+)", text)}
    known |= {n: int(v) for n, v in re.findall(r"#define __NR3264_(\w+)\s+(\d+)", text)}
    for name, numbers in {**REFUSED, **UNKNOWN, **BY_ARGUMENT}.items():
        ours = getattr(numbers, machine)
        if name in known:
            assert ours == known[name], name
        else:
            # Newer than these headers, or the architecture has none.
            assert ours is None or ours > max(known.values()), name


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_what_is_listed_is_refused(machine: str) -> None:
    for calls, code in ((REFUSED, errno.EPERM), (UNKNOWN, errno.ENOSYS)):
        for name, numbers in calls.items():
            if getattr(numbers, machine) is not None:
                assert judged(machine, getattr(numbers, machine)) == answer(code), name


@pytest.mark.parametrize("machine", ARCHITECTURES)
@given(number=st.integers(0, 600), argument=st.integers(0, 2**64 - 1))
def test_everything_else_is_allowed(machine: str, number: int, argument: int) -> None:
    listed = {getattr(n, machine) for n in (REFUSED | UNKNOWN | BY_ARGUMENT).values()}
    if number not in listed:
        assert judged(machine, number, argument, argument) == ALLOWED


@pytest.mark.parametrize("machine", ARCHITECTURES)
@given(high=st.integers(0, 2**32 - 1), signal=st.integers(0, 255), bit=st.integers(0, 31))
def test_no_process_gets_a_namespace(machine: str, high: int, signal: int, bit: int) -> None:
    """The kernel looks at the low half alone: what stands in the high one must not matter."""
    clone, unshare = (getattr(BY_ARGUMENT[name], machine) for name in ("clone", "unshare"))
    namespaces = {17, 25, 26, 27, 28, 29, 30}
    flags = high << 32 | 1 << bit | signal
    refused = answer(errno.EPERM)
    assert judged(machine, clone, flags) == (refused if bit in namespaces else ALLOWED)
    time = 1 << bit & 0x80 or signal & 0x80
    assert judged(machine, unshare, flags) == (refused if bit in namespaces or time else ALLOWED)


@pytest.mark.parametrize("machine", ARCHITECTURES)
@given(high=st.integers(0, 2**32 - 1), family=st.integers(0, 50))
def test_sockets_are_of_four_families(machine: str, high: int, family: int) -> None:
    expected = ALLOWED if family in {1, 2, 10, 16} else answer(errno.EAFNOSUPPORT)
    for name in ("socket", "socketpair"):
        assert judged(machine, getattr(BY_ARGUMENT[name], machine), high << 32 | family) == expected


@pytest.mark.parametrize("machine", ARCHITECTURES)
@given(high=st.integers(0, 2**32 - 1))
def test_nothing_types_into_a_terminal(machine: str, high: int) -> None:
    ioctl = BY_ARGUMENT["ioctl"]
    for request, expected in ((0x5412, answer(errno.EPERM)), (0x5401, ALLOWED)):
        assert judged(machine, getattr(ioctl, machine), 0, high << 32 | request) == expected


def test_other_abis_of_the_same_machine_are_no_way_round() -> None:
    assert judged("x86_64", 101, audit=0x40000003) == answer(errno.ENOSYS), "i386"
    assert judged("aarch64", 26, audit=0x40000028) == answer(errno.ENOSYS), "arm"
    assert judged("x86_64", 0x40000000 | 521) == answer(errno.ENOSYS), "x32"
    assert judged("x86_64", 0xFFFFFFFF) == answer(errno.ENOSYS)


def test_other_machines_have_no_list() -> None:
    assert filter_for("riscv64") is None


def test_the_launcher_hands_over_where_the_sandbox_looks() -> None:
    assert HANDED_OVER == CALLS_FD


# ---------------------------------------------------------------- in force

TRIES = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    given = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    given += [ctypes.c_long(0)] * (6 - len(given))
    ctypes.set_errno(0)
    return "works" if libc.syscall(ctypes.c_long(number), *given) >= 0 else (
        errno.errorcode[ctypes.get_errno()])
at = 0 if os.uname().machine == "x86_64" else 1
text = ctypes.create_string_buffer(b"secret")
there = ctypes.create_string_buffer(8)
def piece(buffer):
    return ctypes.byref((ctypes.c_void_p * 2)(ctypes.addressof(buffer), 6))
print("process_vm_readv", call((310, 270)[at], os.getpid(), piece(there), 1, piece(text), 1, 0))
print("keyctl", call((250, 219)[at], 0, -3, 1))
print("io_uring_setup", call(425, 1, ctypes.create_string_buffer(256)))
print("unshare", call((272, 97)[at], 0x10000000))
print("clone3", call(435))
import socket
for family in (socket.AF_ALG, socket.AF_VSOCK):
    try: socket.socket(family, socket.SOCK_SEQPACKET if family == 38 else socket.SOCK_STREAM)
    except OSError as error: print("family", int(family), errno.errorcode[error.errno])
    else: print("family", int(family), "works")
print("ptrace", call((101, 117)[at], 0))
"""


def test_what_is_refused_is_refused_in_a_sandbox(sandbox: Sandbox, tmp_path: Path) -> None:
    if call_filter().program is None:
        pytest.skip(call_filter().summary)
    outside = printed([PYTHON, "-c", TRIES])
    assert "process_vm_readv works\n" in outside, "the attack works where nothing is in its way"
    assert "ptrace works\n" in outside
    assert run(sandbox, tmp_path, TRIES) == (
        "process_vm_readv EPERM\nkeyctl EPERM\nio_uring_setup ENOSYS\nunshare EPERM\n"
        "clone3 ENOSYS\nfamily 38 EAFNOSUPPORT\nfamily 40 EAFNOSUPPORT\nptrace EPERM\n"
    )


def test_it_binds_children_and_cannot_be_taken_off(sandbox: Sandbox, tmp_path: Path) -> None:
    if call_filter().program is None:
        pytest.skip(call_filter().summary)
    allow_all = struct.pack("=HBBI", 0x06, 0, 0, ALLOWED)
    code = (
        "import ctypes, struct, subprocess, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"program = ctypes.create_string_buffer({allow_all!r})\n"
        "place = struct.pack('HxxxxxxQ', 1, ctypes.addressof(program))\n"
        "print(libc.prctl(22, ctypes.c_ulong(2), place, 0, 0))\n"
        "print(libc.prctl(22, ctypes.c_ulong(0), None, 0, 0))\n"
        f"print(subprocess.run([sys.executable, '-c', {TRIES!r}], capture_output=True,\n"
        "      text=True).stdout)\n"
    )
    done = run(sandbox, tmp_path, code)
    # A second filter may be added, and can only refuse more.
    assert done.startswith("0\n-1\nprocess_vm_readv EPERM\n")
    assert "works" not in done


def test_calls_of_32_bit_programs_are_no_way_round(sandbox: Sandbox, tmp_path: Path) -> None:
    if os.uname().machine != "x86_64" or call_filter().program is None:
        pytest.skip("only x86-64 has them")
    # mov eax, 20 (getpid of i386); int 0x80; ret
    code = (
        "import ctypes, mmap\n"
        "memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
        "memory.write(bytes.fromhex('b814000000cd80c3'))\n"
        "at = ctypes.addressof(ctypes.c_char.from_buffer(memory))\n"
        "print(ctypes.CFUNCTYPE(ctypes.c_int)(at)())\n"
    )
    outside = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=False)
    if outside.returncode or int(outside.stdout) < 0:
        pytest.skip("this kernel runs no 32-bit programs")
    assert int(run(sandbox, tmp_path, code)) == -errno.ENOSYS


def test_what_trainings_do_goes_on(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORK)
    assert run(sandbox, tmp_path, "import work; work.main()") == "everything\n"


WORK = """
import asyncio, ctypes, multiprocessing, os, pty, shutil, signal, socket, sqlite3, subprocess
import sys, tempfile, threading, time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import shared_memory

def square(number):
    return number * number

async def served():
    async def answer(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"line\\n")
    assert await reader.readline() == b"line\\n"
    writer.close()
    server.close()
    one = await asyncio.create_subprocess_exec("true")
    assert await one.wait() == 0

def main():
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            assert list(pool.map(square, range(5))) == [0, 1, 4, 9, 16]
        with context.Manager() as manager:
            assert manager.list([1])[0] == 1
    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(square, range(5))) == 30
    memory = shared_memory.SharedMemory(create=True, size=1 << 20)
    memory.close()
    memory.unlink()
    asyncio.run(served())
    assert socket.if_nameindex()[0][1] == "lo"
    left, right = socket.socketpair()
    left.send(b"x")
    assert right.recv(1) == b"x"
    assert subprocess.run(["sh", "-c", "echo a | cat"], capture_output=True).stdout == b"a\\n"
    assert os.waitpid(os.posix_spawn("/usr/bin/true", ["true"], {}), 0)[1] == 0
    database = sqlite3.connect("/work/one.db")
    database.execute("pragma journal_mode=wal")
    database.execute("create table t (x)")
    signal.setitimer(signal.ITIMER_REAL, 60)
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    pty.openpty()
    # Where memory lies (set_mempolicy, mbind) is what numerics libraries on big machines choose.
    ctypes.CDLL(None).personality(0xFFFFFFFF)
    print("everything")
"""


def test_the_report_says_whether_calls_are_refused(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = SandboxSpec(directory="/", environment={}, limits=Limits())
    with confined(sandbox, spec, ["true"]) as box:
        assert f"; {call_filter().summary}; limits" in box.isolation.summary
    without = CallFilter(program=None, summary="no system call is refused: no list for riscv64")
    monkeypatch.setattr(sys.modules[confined.__module__], "call_filter", lambda: without)
    with confined(sandbox, spec, ["true"]) as box:
        assert "; no system call is refused: no list for riscv64; limits" in box.isolation.summary
        assert printed(list(box.argv)) == ""
    # What namespaces and capabilities keep out by themselves stays out.
    tried = run(sandbox, tmp_path, TRIES)
    assert "unshare works" not in tried
    assert "ptrace works" in tried, "no filter was in force"
