# SPDX-License-Identifier: Apache-2.0
"""Shuts itself in and becomes another program. Run by `starting`, never imported.

`landlock_launcher WORDS… -- COMMAND…` with the words of `_ARITY`. Three processes: the one that
was started waits outside; the first process of the new pid namespace ends with it and reaps; its
child becomes the command. Standard library only. Each step has to succeed, or nothing is run.

Sources: namespaces(7), user_namespaces(7), pivot_root(2), mount_setattr(2), landlock(7).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

TYPE_CHECKING = False  # What `typing` imports would cost as much as the mounts.
if TYPE_CHECKING:
    from typing import Final

_ARITY: Final = {
    "abi": 1,  # version of Landlock
    "link": 2,  # TARGET PATH
    "ro": 2,  # SOURCE TARGET
    "rw": 2,
    "tmp": 2,  # PATH SIZE; 0 for the kernel's default, half of the memory
    "dir": 1,
    "dev": 1,  # a device file, at its own path
    "part": 1,  # of /proc, to be made read-only; without any all of it is
    "env": 2,
    "calls": 1,  # descriptor of a filter of system calls
    "start": 1,  # working directory
}

_NAMESPACES: Final = 0x10000000 | 0x20000 | 0x20000000 | 0x40000000 | 0x8000000 | 0x4000000
"""CLONE_NEWUSER, NEWNS, NEWPID, NEWNET, NEWIPC, NEWUTS."""

_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_MNT_DETACH: Final = 2
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_SIGKILL: Final = 9
_AF_INET, _SOCK_DGRAM = 2, 2
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41

_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR, _CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 442, 444, 445, 446

_FILES: Final = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}
"""What each version of Landlock can forbid about files."""
_READ: Final = 0b1101  # EXECUTE, READ_FILE, READ_DIR
_WRITE: Final = 0b10 | 1 << 14  # WRITE_FILE, TRUNCATE
_DEVICE: Final = 0b110 | 1 << 14 | 1 << 15  # WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV
_NO_NODES: Final = ~(1 << 6 | 1 << 11)  # MAKE_CHAR, MAKE_BLOCK
_SCOPES: Final = 0b11  # abstract unix sockets, signals

_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_FAILED: Final = 125
_UID: Final = 1000

_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> None:
    """Does what the words say and executes the command.

    Raises:
        SystemExit: How the command ended: its status, or 128 and the number of a signal.
    """
    split = arguments.index("--")
    words, command = _read(arguments[:split]), arguments[split + 1 :]
    try:
        uid, gid = os.getuid(), os.getgid()
        _check("unshare", _libc.unshare(_NAMESPACES))
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{_UID} {uid} 1")
        _write("/proc/self/gid_map", f"{_UID} {gid} 1")
        alive, mine = os.pipe()
        first = os.fork()
        if first:
            os.close(alive)
            sys.exit(_ended(os.waitpid(first, 0)[1]))
        os.close(mine)
        _end_with(alive)
        _enter(words)
        # The code inside runs as the same user: it may not look into this process.
        _check("prctl", _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
        worker = os.fork()
        if worker:
            while True:
                pid, status = os.wait()
                if pid == worker:
                    os._exit(_ended(status))
        os.setsid()
        _restrict(words)
        environment = dict(words["env"])
        os.chdir(words["start"][0][0])
        calls = [os.read(int(descriptor), 1 << 16) for (descriptor,) in words["calls"]]
        os.closerange(3, 1 << 16)
        for program in calls:
            _filter(program)
        _execute(command, environment)
    except OSError as error:
        os.write(2, f"repropack: the command was not started: {error}\n".encode())
        os._exit(_FAILED)


def _read(arguments: list[str]) -> dict[str, list[list[str]]]:
    words: dict[str, list[list[str]]] = {word: [] for word in _ARITY}
    while arguments:
        end = 1 + _ARITY[arguments[0]]
        words[arguments[0]].append(arguments[1:end])
        arguments = arguments[end:]
    return words


def _ended(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _end_with(alive: int) -> None:
    """Dies with the process outside, and with it everything in the pid namespace."""
    _check("prctl", _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
    os.set_blocking(alive, False)
    try:
        if os.read(alive, 1) == b"":
            os._exit(_FAILED)
    except BlockingIOError:
        pass  # It lives: nobody has closed the other end.


def _enter(words: dict[str, list[list[str]]]) -> None:
    """Builds the new root and goes there. Nothing of the old one stays reachable."""
    sources = {s: os.path.realpath(s) for word in ("ro", "rw") for s, _ in words[word]}
    _check("sethostname", _libc.sethostname(b"sandbox", 7))
    any_socket = _check("socket", _libc.socket(_AF_INET, _SOCK_DGRAM, 0))
    up = struct.pack("16sh22x", b"lo", _IFF_UP_RUNNING)
    _check("ioctl", _libc.ioctl(any_socket, ctypes.c_ulong(_SIOCSIFFLAGS), up))
    os.close(any_socket)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", "/tmp", "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755")  # noqa: S108
    os.mkdir("/tmp/old")  # noqa: S108
    os.mkdir("/tmp/new")  # noqa: S108
    _pivot("/tmp", "/tmp/old")  # noqa: S108
    os.chdir("/")
    _mount("/new", "/new", None, _MS_BIND)
    for target, path in words["link"]:
        os.symlink(target, "/new" + path)
    _mount_new("proc", "/new/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    # No user namespace below this one: it would give back capabilities.
    _write("/new/proc/sys/user/max_user_namespaces", "0")
    for (path,) in words["part"]:
        _mount("/new" + path, "/new" + path, None, _MS_BIND)
        _attributes("/new" + path, _ATTR_RDONLY)
    if not words["part"]:
        _attributes("/new/proc", _ATTR_RDONLY)
    _make_dev([device for (device,) in words["dev"]])
    for path, size in words["tmp"]:
        options = f"mode=0755,size={size}" if int(size) else "mode=0755"
        _mount_new("tmpfs", "/new" + path, "tmpfs", _MS_NOSUID | _MS_NODEV, options)
    for (path,) in words["dir"]:
        os.makedirs("/new" + path)
    for word, attributes in (("ro", _ATTR_RDONLY), ("rw", 0)):
        for source, target in words[word]:
            _bind("/old" + sources[source], "/new" + target)
            _attributes("/new" + target, attributes | _ATTR_NOSUID | _ATTR_NODEV)
    _attributes("/new/dev", _ATTR_RDONLY, recursive=False)
    _attributes("/new", _ATTR_RDONLY, recursive=False)
    _mount(None, "/old", None, _MS_REC | _MS_PRIVATE)
    _check("umount2", _libc.umount2(b"/old", _MNT_DETACH))
    os.chdir("/new")
    _pivot(".", ".")
    _check("umount2", _libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def _make_dev(devices: list[str]) -> None:
    _mount_new("tmpfs", "/new/dev", "tmpfs", _MS_NOSUID | _MS_NOEXEC, "mode=0755")
    for path in (*_DEVICES, *devices):
        _bind("/old" + path, "/new" + path)
    _mount_new(
        "devpts", "/new/dev/pts", "devpts", _MS_NOSUID | _MS_NOEXEC, "newinstance,ptmxmode=0666"
    )
    for name, target in (
        *(("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0")),
        *(("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx")),
    ):
        os.symlink(target, "/new/dev/" + name)


def _restrict(words: dict[str, list[list[str]]]) -> None:
    """No capability, no new privileges, and Landlock around the places that are mounted."""
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    _check("prctl", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    abi = int(words["abi"][0][0])
    files = _FILES[min(abi, max(_FILES))]
    # The size says how much of the structure this kernel knows: files, network, scopes.
    attributes = struct.pack("QQQ", files, 0, _SCOPES) if abi >= 6 else struct.pack("Q", files)
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    rules = [("/", _READ)]
    rules += [(path, _DEVICE) for path in (*_DEVICES, *(d for (d,) in words["dev"]))]
    rules += [(target, files & _NO_NODES) for _, target in words["rw"]]
    rules += [(path, files & _NO_NODES) for path, _ in words["tmp"]]
    if words["part"]:
        rules.append(("/proc", _READ | _WRITE))
    rules.append(("/dev/pts", _READ | _DEVICE))
    for path, allowed in rules:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        _call(_ADD_RULE, ruleset, 1, struct.pack("=Qi", allowed & files, place), 0)
        os.close(place)
    _call(_RESTRICT_SELF, ruleset, 0)


def _execute(command: list[str], environment: dict[str, str]) -> None:
    """Looks the program up as execvp(3) does. Python's own would import a module that is away."""
    name = command[0]
    places = [""] if "/" in name else environment["PATH"].split(":")
    last: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    for place in places:
        try:
            os.execve(os.path.join(place, name), command, environment)  # noqa: S606 - no shell
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            last = error
    raise last


def _filter(program: bytes) -> None:
    """Refuses system calls from here on (`struct sock_fprog` of linux/filter.h)."""
    instructions = ctypes.create_string_buffer(program, len(program))
    place = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(instructions))
    _check("seccomp", _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), place, 0, 0))


def _mount_new(source: str, path: str, kind: str, flags: int, options: str = "") -> None:
    os.makedirs(path, exist_ok=True)
    _mount(source, path, kind, flags, options)


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    _mount(source, target, None, _MS_BIND | _MS_REC)


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str = ""
) -> None:
    done = _libc.mount(
        os.fsencode(source) if source else None,
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(f"mount {target}", done)


def _attributes(path: str, attributes: int, *, recursive: bool = True) -> None:
    """mount_setattr(2): also for mounts below, whose other restrictions stay."""
    wanted = struct.pack("QQQQ", attributes, 0, 0, 0)
    _call(_MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE if recursive else 0, wanted, len(wanted))


def _pivot(new: str, old: str) -> None:
    _call(_PIVOT_ROOT[os.uname().machine], new, old)


def _call(number: int, *arguments: int | str | bytes) -> int:
    """A system call for which the C library may have no function."""
    given = [
        ctypes.c_long(one) if isinstance(one, int) else ctypes.c_char_p(os.fsencode(one))
        for one in arguments
    ]
    return _check(f"system call {number}", int(_libc.syscall(ctypes.c_long(number), *given)))


def _check(what: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
