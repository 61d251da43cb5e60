# SPDX-License-Identifier: Apache-2.0
"""A filter of system calls (seccomp(2)) for what runs in a sandbox, written without a compiler.

The kernel is what a sandbox shares with the machine, so what no training needs of it is refused:
with an error that programs know from older or stricter systems, never by ending the process, so
that what merely tries goes on another way. The list starts from those of Flatpak (flatpak-run.c,
setup_seccomp) and of Docker's default profile.

Everything else is allowed. A list of what is allowed would break the next libc.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
import sys
from typing import Final, NamedTuple

from msgspec import Struct

__all__ = ["CALLS_FD", "CallFilter", "call_filter", "filter_for"]

CALLS_FD: Final = 100
"""The descriptor by which a sandbox gets the filter; beyond what a new process has open."""


class CallFilter(Struct, frozen=True, kw_only=True):
    """A filter, or why there is none.

    Attributes:
        program: Instructions for the kernel (`struct sock_filter`), or None.
        summary: What it does, or why there is none, in a report's words.
    """

    program: bytes | None
    summary: str


class _Numbers(NamedTuple):
    """The number of a system call (syscalls(2)); None where the architecture has none."""

    x86_64: int | None
    aarch64: int | None


class _Machine(NamedTuple):
    """An architecture as the kernel names it to a filter."""

    audit: int
    """AUDIT_ARCH_* of linux/audit.h."""

    foreign: int | None
    """Numbers from here on are those of another ABI (x32), whose calls would pass unseen."""


_MACHINES: Final = {
    "x86_64": _Machine(0xC000003E, 0x40000000),
    "aarch64": _Machine(0xC00000B7, None),
}

REFUSED: Final = {
    # Other processes, their memory and what they may do.
    "ptrace": _Numbers(101, 117),
    "process_vm_readv": _Numbers(310, 270),
    "process_vm_writev": _Numbers(311, 271),
    # Keys of the user: no namespace hides them.
    "add_key": _Numbers(248, 217),
    "request_key": _Numbers(249, 218),
    "keyctl": _Numbers(250, 219),
    # Programs inside the kernel, and what is measured of it.
    "bpf": _Numbers(321, 280),
    "perf_event_open": _Numbers(298, 241),
    "userfaultfd": _Numbers(323, 282),
    "lookup_dcookie": _Numbers(212, 18),
    "syslog": _Numbers(103, 116),
    # Mounts and other namespaces.
    "mount": _Numbers(165, 40),
    "umount2": _Numbers(166, 39),
    "pivot_root": _Numbers(155, 41),
    "chroot": _Numbers(161, 51),
    "setns": _Numbers(308, 268),
    "open_by_handle_at": _Numbers(304, 265),
    "fanotify_init": _Numbers(300, 262),
    "quotactl": _Numbers(179, 60),
    "quotactl_fd": _Numbers(443, 443),
    # The machine itself.
    "kexec_load": _Numbers(246, 104),
    "kexec_file_load": _Numbers(320, 294),
    "init_module": _Numbers(175, 105),
    "finit_module": _Numbers(313, 273),
    "delete_module": _Numbers(176, 106),
    "reboot": _Numbers(169, 142),
    "swapon": _Numbers(167, 224),
    "swapoff": _Numbers(168, 225),
    "acct": _Numbers(163, 89),
    "settimeofday": _Numbers(164, 170),
    "clock_settime": _Numbers(227, 112),
    "vhangup": _Numbers(153, 58),
    "iopl": _Numbers(172, None),
    "ioperm": _Numbers(173, None),
    "modify_ldt": _Numbers(154, None),
    "uselib": _Numbers(134, None),
    "nfsservctl": _Numbers(180, 42),
}
"""Refused with EPERM, as without the capability for it."""

UNKNOWN: Final = {
    # Its flags lie in memory, where a filter cannot look; the C library takes clone(2) instead.
    "clone3": _Numbers(435, 435),
    # Work in the kernel's name that no filter sees; whoever uses it can do without.
    "io_uring_setup": _Numbers(425, 425),
    "io_uring_enter": _Numbers(426, 426),
    "io_uring_register": _Numbers(427, 427),
    "open_tree": _Numbers(428, 428),
    "move_mount": _Numbers(429, 429),
    "fsopen": _Numbers(430, 430),
    "fsconfig": _Numbers(431, 431),
    "fsmount": _Numbers(432, 432),
    "fspick": _Numbers(433, 433),
    "mount_setattr": _Numbers(442, 442),
    "open_tree_attr": _Numbers(467, 467),
}
"""Refused with ENOSYS, as by a kernel that is older than they are."""

BY_ARGUMENT: Final = {
    "clone": _Numbers(56, 220),
    "unshare": _Numbers(272, 97),
    "ioctl": _Numbers(16, 29),
    "socket": _Numbers(41, 198),
    "socketpair": _Numbers(53, 199),
}
"""Refused for some arguments."""

_NAMESPACES: Final = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h)."""
_NEWTIME: Final = 0x80
"""CLONE_NEWTIME: to clone(2) the same bit is a part of a signal's number."""
_TYPED: Final = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX: what types into a terminal."""
_FAMILIES: Final = (1, 2, 10, 16)
"""AF_UNIX, INET, INET6 and NETLINK (which lists interfaces). Others are not all cut off by a
namespace (AF_VSOCK reaches the host of a virtual machine), or are much kernel for nothing."""

# Offsets in `struct seccomp_data`; of an argument its low half: the kernel takes no more of these.
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


class _Instruction(NamedTuple):
    """Of classic BPF; a jump goes to a label if it holds, else to the next instruction."""

    code: int
    value: int
    target: str | None = None
    label: str | None = None


@functools.cache
def call_filter() -> CallFilter:
    """The filter for this machine, where its kernel takes one."""
    program = filter_for(os.uname().machine) if sys.maxsize > 2**32 else None
    if program is None:
        reason = f"there is no list for {os.uname().machine}"
    else:
        # Without a program the kernel answers EFAULT if it knows filters (seccomp(2)), and does
        # nothing.
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.c_void_p(None))
        code = ctypes.get_errno()
        if code == errno.EFAULT:
            return CallFilter(
                program=program, summary="system calls that no training needs are refused"
            )
        reason = f"this kernel takes none ({os.strerror(code)})"
    return CallFilter(program=None, summary=f"no system call is refused: {reason}")


def filter_for(machine: str) -> bytes | None:
    """The filter for an architecture as `uname -m` names it; None if we have no numbers of it."""
    if machine not in _MACHINES:
        return None
    audit, foreign = _MACHINES[machine]

    def number_of(numbers: _Numbers) -> int | None:
        return numbers.x86_64 if machine == "x86_64" else numbers.aarch64

    program = [
        _Instruction(_LOAD, _ARCHITECTURE),
        _Instruction(_EQUAL, audit, "ours"),
        _Instruction(_RETURN, _ERRNO | errno.ENOSYS),
        _Instruction(_LOAD, _NUMBER, label="ours"),
    ]
    if foreign is not None:
        program.append(_Instruction(_AT_LEAST, foreign, "unknown"))
    for calls, target in ((REFUSED, "refused"), (UNKNOWN, "unknown")):
        for numbers in calls.values():
            number = number_of(numbers)
            if number is not None:
                program.append(_Instruction(_EQUAL, number, target))
    for name, numbers in BY_ARGUMENT.items():
        number = number_of(numbers)
        if number is not None:
            program.append(_Instruction(_EQUAL, number, name))
    program.append(_Instruction(_RETURN, _ALLOW))
    program += [
        _Instruction(_LOAD, _FIRST, label="clone"),
        _Instruction(_ANY_BIT, _NAMESPACES, "refused"),
        _Instruction(_RETURN, _ALLOW),
        _Instruction(_LOAD, _FIRST, label="unshare"),
        _Instruction(_ANY_BIT, _NAMESPACES | _NEWTIME, "refused"),
        _Instruction(_RETURN, _ALLOW),
        _Instruction(_LOAD, _SECOND, label="ioctl"),
        *(_Instruction(_EQUAL, request, "refused") for request in _TYPED),
        _Instruction(_RETURN, _ALLOW),
        _Instruction(_LOAD, _FIRST, label="socket"),
        *(_Instruction(_EQUAL, family, "allowed") for family in _FAMILIES),
        _Instruction(_RETURN, _ERRNO | errno.EAFNOSUPPORT),
        _Instruction(_RETURN, _ALLOW, label="allowed"),
        _Instruction(_RETURN, _ERRNO | errno.EPERM, label="refused"),
        _Instruction(_RETURN, _ERRNO | errno.ENOSYS, label="unknown"),
    ]
    return _assembled(program, same={"socketpair": "socket"})


def _assembled(program: list[_Instruction], *, same: dict[str, str]) -> bytes:
    """Writes jumps as distances (`struct sock_filter` of linux/filter.h)."""
    places = {one.label: place for place, one in enumerate(program) if one.label is not None}
    found = []
    for place, one in enumerate(program):
        jump = 0
        if one.target is not None:
            # A byte in the instruction: struct refuses a distance of more than 255.
            jump = places[same.get(one.target, one.target)] - place - 1
        found.append(struct.pack("=HBBI", one.code, jump, 0, one.value))
    return b"".join(found)
