# SPDX-License-Identifier: Apache-2.0
"""Limits itself and becomes another program. Run as a file by `confined`, never imported.

`launcher.py LIMITS -- COMMAND…`: LIMITS are words `NAME=NUMBER` (a resource limit), or
`cgroup=PATH`. Limits set from outside on a child that has started come too late for what
it does first; a shell would have to be told of them in text. Standard library only.

The keys of the user's session (Kerberos tickets, disk and file passphrases: keyrings(7)) are
reached through a keyring that every child inherits and that no namespace hides. So the command
gets a new, empty one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import sys
from typing import Final

KEYCTL: Final = {"x86_64": 250, "aarch64": 219}
"""Numbers of the system call keyctl(2), for which the C library has no function."""
KEYCTL_JOIN_SESSION_KEYRING: Final = 1


def main() -> None:
    """Sets the limits of the command line and executes the rest of it.

    Raises:
        SystemExit: A limit cannot be set, the session's keys cannot be left behind, or the program
            cannot be executed: the command must not run with less than was asked for.
    """
    split = sys.argv.index("--")
    command = sys.argv[split + 1 :]
    # The first process that the kernel ends when memory runs out should be this one.
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    try:
        for word in sys.argv[1:split]:
            name, _, value = word.partition("=")
            if name == "cgroup":
                # Not created: in a directory that is no control group it would limit nothing.
                procs = os.open(os.path.join(value, "cgroup.procs"), os.O_WRONLY)
                os.write(procs, str(os.getpid()).encode())
                os.close(procs)
            else:
                number = getattr(resource, f"RLIMIT_{name}")
                _, hard = resource.getrlimit(number)
                wanted = int(value)
                if hard != resource.RLIM_INFINITY:
                    wanted = min(wanted, hard)
                resource.setrlimit(number, (wanted, wanted))
        leave_session_keyring()
        os.execv(command[0], command)  # noqa: S606 - a list, no shell: that is the point
    except (OSError, ValueError) as error:
        sys.exit(f"repropack: the command was not started: {error}")


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


if __name__ == "__main__":
    main()
