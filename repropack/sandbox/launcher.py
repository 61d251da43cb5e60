# SPDX-License-Identifier: Apache-2.0
"""Limits itself and becomes another program. Run by `starting`, never imported.

`launcher LIMITS -- COMMAND…`: LIMITS are words `NAME=NUMBER` (a resource limit), `cgroup=PATH`, or
`calls=HEX` (a filter of system calls for the sandbox to put into force). Limits set from outside on
a child that has started come too late for what it does first; a shell would have to be told of them
in text.

Standard library only, and little of it: every command in a sandbox waits for these imports.

The keys of the user's session (Kerberos tickets, disk and file passphrases: keyrings(7)) are
reached through a keyring that every child inherits and that no namespace hides. So the command
gets a new, empty one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import sys

TYPE_CHECKING = False  # What `typing` imports would cost more than all else here.
if TYPE_CHECKING:
    from typing import Final

START: Final = 6
"""Words of a command line of `starting` before the name of the program."""

CALLS_FD: Final = 100
"""The same as in `seccomp`, which is not imported here."""

KEYCTL: Final = {"x86_64": 250, "aarch64": 219}
"""Numbers of the system call keyctl(2), for which the C library has no function."""
KEYCTL_JOIN_SESSION_KEYRING: Final = 1


def main(words: list[str]) -> None:
    """Sets the limits that the words say and executes the rest of them.

    Raises:
        SystemExit: A limit cannot be set, the session's keys cannot be left behind, or the program
            cannot be executed: the command must not run with less than was asked for.
    """
    split = words.index("--")
    command = words[split + 1 :]
    end_first()
    try:
        for word in words[:split]:
            name, _, value = word.partition("=")
            if name == "cgroup":
                join(value)
            elif name == "calls":
                hand_over(bytes.fromhex(value))
            else:
                number = getattr(resource, f"RLIMIT_{name}")
                _, hard = resource.getrlimit(number)
                wanted = int(value)
                if hard != resource.RLIM_INFINITY:
                    wanted = min(wanted, hard)
                resource.setrlimit(number, (wanted, wanted))
        leave_session_keyring()
        same_start = len(command) > START and command[:START] == sys.orig_argv[:START]
        if not same_start:
            os.execv(command[0], command)  # noqa: S606 - a list, no shell: that is the point
    except (OSError, ValueError) as error:
        sys.exit(f"repropack: the command was not started: {error}")
    # Another program of this directory: a second interpreter would only take longer.
    __import__(command[START]).main(command[START + 1 :])


def end_first() -> None:
    """Asks the kernel to end this process before others when memory runs out."""
    try:
        file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    except OSError:
        return  # A wish: the limits do not depend on it.
    try:
        os.write(file, b"1000")
    except OSError:
        return
    finally:
        os.close(file)


def join(group: str) -> None:
    """Moves this process, which has one thread, into a control group.

    Raises:
        OSError: It is no control group, or does not take us.
    """
    # Version 1 takes a thread, and the one that writes needs no lock of the whole machine for it:
    # for a process the kernel waits 5 to 20 ms until every processor has seen it
    # (cgroup_procs_write_start in kernel/cgroup/cgroup.c).
    tasks, procs = os.path.join(group, "tasks"), os.path.join(group, "cgroup.procs")
    # Not created: in a directory that is no control group it would limit nothing.
    file = os.open(tasks if os.path.exists(tasks) else procs, os.O_WRONLY)
    try:
        os.write(file, b"0")
    finally:
        os.close(file)


def hand_over(calls: bytes) -> None:
    """Puts a filter of system calls where the program that makes the sandbox reads it.

    Here it would bind that program too, which has to mount and to make namespaces.
    """
    file = os.memfd_create("calls", 0)
    os.write(file, calls)
    os.lseek(file, 0, os.SEEK_SET)
    os.dup2(file, CALLS_FD)
    os.close(file)


def leave_session_keyring() -> None:
    """Joins a new anonymous session keyring, which goes with this process through `execve`.

    Raises:
        OSError: The kernel refuses, or has a keyctl whose number we do not know.
    """
    machine = os.uname().machine
    if machine not in KEYCTL or sys.maxsize < 2**32:
        raise OSError(f"the keys of the session cannot be hidden on {machine}")
    libc = ctypes.CDLL(None, use_errno=True)
    number, operation = ctypes.c_long(KEYCTL[machine]), ctypes.c_long(KEYCTL_JOIN_SESSION_KEYRING)
    if libc.syscall(number, operation, ctypes.c_void_p(None)) == -1:
        code = ctypes.get_errno()
        # A kernel without keyctl has no keys to hide; a filter that refuses it (a container's)
        # binds the executed code as well.
        if code not in (errno.ENOSYS, errno.EPERM):
            raise OSError(code, f"no new session keyring: {os.strerror(code)}")
