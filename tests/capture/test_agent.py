# SPDX-License-Identifier: Apache-2.0
"""The agent in real interpreters: what it sees, and that nobody notices it."""

from __future__ import annotations

import ast
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repropack.agent import DIRECTORY as AGENT
from repropack.agent.log import ProcessObservation, read_agent_logs

ADDRESS = re.compile("0x[0-9a-f]+")
VERSION = "import sys; print(*sys.version_info[:2]); print(sys.implementation.name)"


def _interpreters() -> Iterator[str]:
    """Every CPython from 3.8 on that this machine has on PATH, or that the developer names."""
    named = os.environ.get("REPROPACK_TEST_PYTHONS", "").split(os.pathsep)
    known = set()
    on_path = [shutil.which(f"python3.{minor}") for minor in range(8, 16)]
    of_pyenv = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))
    for python in [sys.executable, *named, "/usr/bin/python3", *on_path, *map(str, of_pyenv)]:
        if not python or not os.path.exists(python):
            continue
        asked = subprocess.run([python, "-c", VERSION], capture_output=True, text=True)
        version = asked.stdout.split()
        # A version manager's placeholder may stand on PATH for an interpreter that is not there.
        if asked.returncode == 0 and version[2] == "cpython" and int(version[1]) >= 8:
            key = (os.path.realpath(python), version[1])
            if key not in known:
                known.add(key)
                yield python


def _older_interpreters() -> Iterator[str]:
    """Interpreters without an agent: of Python 2, and of 3 before 3.8."""
    named = os.environ.get("REPROPACK_TEST_PYTHONS", "").split(os.pathsep)
    for python in (*named, *map(shutil.which, ("python2.7", "python3.6", "python3.7"))):
        asked = "import sys; print(sys.version_info < (3, 8))"
        if python and os.path.exists(python):
            told = subprocess.run([python, "-c", asked], capture_output=True, text=True)
            if told.returncode == 0 and told.stdout.strip() == "True":
                yield python


each_interpreter = pytest.mark.parametrize("python", list(_interpreters()))


class Bench:
    """A place where programs run with the agent."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.log = place / "agent log"
        self.work = place / "work"
        self.log.mkdir()
        self.work.mkdir()

    def environment(self, **variables: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        return {
            **kept,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(AGENT),
            "REPROPACK_AGENT": str(self.log),
            **variables,
        }

    def run(
        self,
        code: str,
        *options: str,
        python: str = sys.executable,
        limits: Callable[[], None] | None = None,
        **variables: str,
    ) -> subprocess.CompletedProcess[str]:
        program = self.work / "program.py"
        program.write_text(code)
        return subprocess.run(
            [python, *options, str(program)],
            env=self.environment(**variables),
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=120,
            preexec_fn=limits,
        )

    def quiet(self, code: str, *options: str, python: str = sys.executable, **more: str) -> None:
        done = self.run(code, *options, python=python, limits=None, **more)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    @property
    def seen(self) -> tuple[ProcessObservation, ...]:
        return read_agent_logs(self.log)

    def reads(self) -> list[str]:
        """Names of the files in the work directory that were read, in order, with repeats."""
        return [
            os.path.relpath(path, self.work)
            for process in self.seen
            for path in process.opened_read
            if path.startswith(str(self.work)) and not path.endswith((".py", ".pyc"))
        ]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# ------------------------------------------------------------------ what it sees


@each_interpreter
def test_main_and_child(bench: Bench, python: str) -> None:
    for name in ("a.csv", "b.csv", "c.csv", "d d.csv"):
        (bench.work / name).write_text("1\n")
    (bench.work / "images").mkdir()
    bench.quiet(
        """
import os, pathlib, subprocess, sys, sqlite3
for _ in range(3):
    open("a.csv").close()
    open(b"a.csv", "rb").close()
    pathlib.Path("./images/../a.csv").read_text()
os.close(os.open("b.csv", os.O_RDWR))
open("out.txt", "w").close()
open("log.txt", "a").close()
os.scandir("images").close()
os.listdir(os.getcwd())
sqlite3.connect(pathlib.Path("c.csv")).close()
sqlite3.connect("file:" + os.getcwd() + "/d%20d.csv?mode=ro", uri=True).close()
subprocess.run([sys.executable, "-c", "open('c.csv')"], check=True)
assert not any("agent" in entry for entry in sys.path), sys.path
assert "json" not in sys.modules
""",
        python=python,
        LANG="C.UTF-8",
    )
    main, child = bench.seen
    work = str(bench.work)
    assert main.opened_read == tuple(
        f"{work}/{n}" for n in ("program.py", "a.csv", "b.csv", "c.csv", "d d.csv")
    )
    assert main.opened_written == tuple(f"{work}/{n}" for n in ("b.csv", "out.txt", "log.txt"))
    assert {f"{work}/images", work} <= set(main.listed)
    assert main.modules["__main__"] == f"{work}/program.py"
    assert main.complete
    assert not main.torn
    assert not main.damaged
    assert child.ppid == main.pid
    assert f"{work}/c.csv" in child.opened_read
    said = subprocess.run(
        [python, "-c", "import sys; print(sys.prefix, sys.base_prefix, sys.executable,"
         " '%d.%d.%d' % sys.version_info[:3], sys.implementation.cache_tag, sep='\\n')"],
        capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert [main.prefix, main.base_prefix, main.executable, main.version, main.cache_tag] == said
    assert main.executable in main.programs
    assert main.unobserved_children == ()


@each_interpreter
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(bench: Bench, python: str, method: str) -> None:
    for number in range(4):
        (bench.work / f"{number}.bin").write_bytes(b"x")
    bench.quiet(
        f"""
import multiprocessing
def load(number):
    import colorsys
    open(f"{{number}}.bin", "rb").read()
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    workers = [context.Process(target=load, args=(n,)) for n in range(4)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    assert all(worker.exitcode == 0 for worker in workers)
""",
        python=python,
    )
    assert {f"{n}.bin" for n in range(4)} == set(bench.reads())
    workers = [p for p in bench.seen if any(path.endswith(".bin") for path in p.opened_read)]
    assert len(workers) == 4
    # Forked workers leave by os._exit, where no exit handler runs.
    assert all(worker.complete for worker in workers)
    assert len({worker.pid for worker in workers}) == 4


def test_workers_forked_for_each_epoch_do_not_repeat_the_data_set(bench: Bench) -> None:
    for number in range(50):
        (bench.work / f"{number}.png").write_bytes(b"x")
    bench.quiet("""
import os
for epoch in range(5):
    if os.fork() == 0:
        for n in range(50): open(f"{n}.png", "rb").close()
        os._exit(0)
    os.wait()
""")
    assert sorted(bench.reads()) == sorted(f"{n}.png" for n in range(50))
    main, first, *rest = bench.seen
    assert len(first.opened_read) == 50
    assert len(rest) == 4
    assert main.complete
    assert not first.complete


def test_however_much_is_noted_nothing_is_noted_twice(bench: Bench) -> None:
    bench.quiet(
        "import os\n"
        "for number in [*range(20000), *range(20000)]:\n"
        "    try: os.listdir('/nowhere/%d' % number)\n"
        "    except OSError: pass\n"
    )
    (log,) = bench.log.iterdir()
    assert log.read_bytes().count(b" list /nowhere/") == 20000


def test_failed_opens_pipes_and_directories_are_no_inputs(bench: Bench) -> None:
    (bench.work / "later.csv.txt").write_text("x")
    bench.quiet("""
import os
for _ in range(2):
    try: open("missing.csv")
    except FileNotFoundError: pass
os.mkfifo("pipe"); os.close(os.open("pipe", os.O_RDWR))
os.close(os.open(".", os.O_RDONLY))
try: open("later.csv")
except FileNotFoundError: pass
os.rename("later.csv.txt", "later.csv")
open("later.csv")
open(0, closefd=False)
""", "-W", "ignore")  # fmt: skip
    assert bench.reads() == ["later.csv"]


def test_names_of_any_bytes(bench: Bench) -> None:
    names = [b"plain", b"a b", b"100%", b"new\nline", b"\xff\xfe", "é".encode(), b'q"\\', b"%41"]
    for name in names:
        (bench.work / os.fsdecode(name)).write_bytes(b"x")
    bench.quiet(
        f"""
import mmap
for name in {names!r}: open(name, "rb").read()
kept = [open(name, "rb") for name in {names!r}]
"""
    )
    assert [os.fsencode(name) for name in bench.reads()] == names
    mapped = {os.fsencode(path) for path in bench.seen[0].mapped}
    assert {os.fsencode(bench.work) + b"/" + name for name in names} <= mapped


def test_files_that_native_code_has_open_or_mapped_at_exit(bench: Bench) -> None:
    for name in ("mapped.bin", "open.bin", "stdin.bin", "gone.bin"):
        (bench.work / name).write_bytes(b"x" * 4096)
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
descriptor = libc.open(b"mapped.bin", 0)
libc.mmap(None, ctypes.c_size_t(4096), 1, 2, descriptor, ctypes.c_long(0))
libc.close(descriptor)
libc.open(b"open.bin", 0)
libc.open(b"written.bin", os.O_WRONLY | os.O_CREAT, 0o600)
libc.open(b"gone.bin", 0); os.unlink("gone.bin")
"""
    (bench.work / "program.py").write_text(code)
    with (bench.work / "stdin.bin").open() as stdin:
        subprocess.run(
            [sys.executable, "program.py"],
            stdin=stdin, cwd=bench.work, env=bench.environment(), check=True,
        )  # fmt: skip
    (process,) = bench.seen
    inside = {os.path.basename(p) for p in process.mapped if p.startswith(str(bench.work))}
    assert inside == {"mapped.bin", "open.bin", "stdin.bin"}
    assert bench.reads() == []


def test_children_that_cannot_be_seen_are_counted(bench: Bench) -> None:
    bench.quiet("""
import os, subprocess, sys
true = "/bin/true"
run = lambda *a, **k: subprocess.run(*a, check=True, **k)
run([true]); run([true], env=dict(os.environ)); run([true], env=os.environ)
run([true], env={os.fsencode(k): os.fsencode(v) for k, v in os.environ.items()})
run([sys.executable, "-W", "error", "-c", "pass", "-I"])
os.system("true")
os.waitpid(os.posix_spawn(true, [true], os.environ), 0)
# Five that no agent can be in:
run([true], env={})
run([true], env={**os.environ, "PYTHONPATH": "/elsewhere"})
run([sys.executable, "-I", "-c", "pass"])
run([sys.executable, "-uS", "-c", "pass"])
del os.environ["REPROPACK_AGENT"]
run([true])
""")
    main, *children = bench.seen
    assert len(main.unobserved_children) == 5
    assert {"/bin/true", "/bin/sh"} <= set(main.programs)
    assert len(children) == 1


def test_a_program_that_replaces_itself(bench: Bench) -> None:
    (bench.work / "a.csv").write_text("x")
    bench.quiet("""
import os, sys
os.execvp(sys.executable, [sys.executable, "-c", "open('a.csv').close()"])
""")
    first, second = bench.seen
    assert first.pid == second.pid
    assert (first.complete, second.complete) == (False, True)
    assert bench.reads() == ["a.csv"]


def test_modules_and_numerics_only_of_what_was_imported(bench: Bench) -> None:
    packages = bench.place / "packages"
    (packages / "spread" / "part").mkdir(parents=True)
    (packages / "spread" / "part" / "__init__.py").write_text("")
    (packages / "numpy.py").write_text("__version__ = '2.1.0'\n")
    (packages / "torch.py").write_text(
        "import warnings\n"
        "__version__ = '2.9.0'\n"
        "def get_num_threads(): return 7\n"
        "def get_float32_matmul_precision():\n"
        "    warnings.warn('deprecated setting')\n"
        "    return 'very high'\n"
        "def get_default_dtype(): raise SystemError('broken')\n"
    )
    (packages / "jax.py").write_text("raise AssertionError('nobody asked for this')\n")
    bench.quiet(
        """
import numpy, torch, spread.part, csv, importlib.util, sys
spec = importlib.util.find_spec("jax")
loader = importlib.util.LazyLoader(spec.loader)
spec.loader = loader
module = importlib.util.module_from_spec(spec)
sys.modules["jax"] = module
loader.exec_module(module)
""",
        PYTHONPATH=f"{AGENT}:{packages}",
        PYTHONWARNINGS="error",
    )
    (process,) = bench.seen
    assert process.numerics == {
        "python": process.numerics["python"],
        "numpy": {"version": "2.1.0"},
        "torch": {
            "version": "2.9.0",
            "num_threads": "7",
            "float32_matmul_precision": "very high",
        },
    }
    assert process.modules["numpy"] == f"{packages}/numpy.py"
    assert process.modules["spread.part"] == f"{packages}/spread/part/__init__.py"
    assert "csv" not in process.modules
    assert str(packages) in process.sys_path
    assert str(AGENT) not in process.sys_path


# ------------------------------------------------------------------ that nobody notices it


def _without(bench: Bench, code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a program as it would run without us."""
    path = os.pathsep.join(
        entry for entry in variables.pop("PYTHONPATH", "").split(os.pathsep) if entry != str(AGENT)
    )
    python = variables.pop("python", sys.executable)
    return bench.run(
        code, python=python, limits=None, REPROPACK_AGENT="", PYTHONPATH=path, **variables
    )


@pytest.mark.parametrize(
    "customisation",
    [
        "print('customised')",
        "raise ValueError('broken')",
        "import no_such_module",
        None,
    ],
)
@each_interpreter
def test_another_sitecustomize_works_as_before(
    bench: Bench, python: str, customisation: str | None
) -> None:
    other = bench.place / "other"
    other.mkdir()
    if customisation is not None:
        (other / "sitecustomize.py").write_text(customisation + "\nmark = 5\n")
    code = """
import sys
found = sys.modules.get("sitecustomize")
print(getattr(found, "mark", None), getattr(found, "__file__", None), "agent" in str(sys.path))
"""
    path = f"{AGENT}:{other}"
    with_us = bench.run(code, python=python, PYTHONPATH=path)
    seen = bench.seen
    without = _without(bench, code, python=python, PYTHONPATH=path)
    assert (with_us.returncode, with_us.stdout, with_us.stderr) == (
        without.returncode,
        without.stdout,
        without.stderr,
    )
    assert len(seen) == 1


def test_inactive_without_its_variable(bench: Bench) -> None:
    bench.quiet("import sys; assert 'binascii' not in sys.modules", REPROPACK_AGENT="")
    assert bench.seen == ()


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(3)",
        "1 / 0",
        "import os; os._exit(4)",
        "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
        "import os; os.abort()",
        "open('missing')",
        "import os; os.listdir('missing')",
        "open('nul' + chr(0))",
        "import os; os.open('x' * 300, os.O_RDONLY)",
        "import subprocess; subprocess.run(['no such program'])",
        "import os; os.execv('/no/such/program', ['x'])",
        "import subprocess; subprocess.run(['true'], env={'A': 1})",
        "def f(): return open('program.py').close() or f()\n"
        "try: f()\nexcept RecursionError: print('deep')",
        "import sys; sys.modules['odd'] = None; sys.modules['odder'] = 3; sys.path.append(4)",
        "import sys; sys.modules.clear()",
        "import os; os.environ.clear(); os.system('exit 3')",
        "import atexit; atexit.register(lambda: open('missing'))",
        "class A:\n  def __del__(s): print(open('program.py').read(5))\na = A()",
    ],
)
def test_same_output_and_exit_status(bench: Bench, code: str) -> None:
    with_us = bench.run(code)
    without = _without(bench, code)
    assert with_us.returncode == without.returncode
    assert with_us.stdout == without.stdout
    assert ADDRESS.sub("", with_us.stderr) == ADDRESS.sub("", without.stderr)


@pytest.mark.parametrize("option", ["-I", "-S", "-E"])
def test_options_that_keep_it_out(bench: Bench, option: str) -> None:
    bench.quiet("open('program.py').close()", option)
    assert bench.seen == ()


@each_interpreter
def test_what_a_signal_handler_raises_gets_through(bench: Bench, python: str) -> None:
    # TimeoutError is an OSError, which the agent also meets in its own system calls.
    bench.quiet(
        """
import signal
fired = caught = 0
def on_alarm(*_):
    global fired
    fired += 1
    raise TimeoutError
signal.signal(signal.SIGALRM, on_alarm)
while fired < 300:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0003)
        n = 0
        while True:
            n += 1
            try: open(f"/no-such-directory/{fired}/{n}", "w")
            except FileNotFoundError: pass
    except TimeoutError: caught += 1
assert fired == caught, (fired, caught)
""",
        python=python,
    )


@pytest.mark.parametrize("count", [20, 300])
def test_never_writes_into_a_descriptor_of_the_program(bench: Bench, count: int) -> None:
    for name in ("before", "after"):
        (bench.work / name).write_text("x")
    bench.quiet(f"""
import os
open("before")
os.closerange(3, 4096)
mine = os.open("mine.txt", os.O_RDWR | os.O_CREAT)
for number in range(3, {count}):
    if number != mine: os.dup2(mine, number)
open("after")
os.closerange(3, 4096)
assert os.path.getsize("mine.txt") == 0
""", "-W", "ignore")  # fmt: skip
    assert bench.reads() == ["before", "after"]
    (process,) = bench.seen
    assert process.complete
    assert not process.damaged


def test_does_not_take_the_lowest_descriptor(bench: Bench) -> None:
    bench.quiet("""
import os
assert os.open("program.py", os.O_RDONLY) == 3, os.listdir("/proc/self/fd")
""")


def test_threads(bench: Bench) -> None:
    bench.quiet("""
import threading
def work(k):
    for n in range(200): open(f"{k}-{n}", "w").close()
threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
for t in threads: t.start()
for t in threads: t.join()
""")
    (process,) = bench.seen
    assert len(process.opened_written) == 1600
    assert not process.damaged


def test_killed(bench: Bench) -> None:
    (bench.work / "a.csv").write_text("x")
    done = bench.run("import os; open('a.csv'); os.kill(os.getpid(), 9)")
    assert done.returncode == -signal.SIGKILL
    assert bench.reads() == ["a.csv"]
    (process,) = bench.seen
    assert (process.complete, process.torn, process.damaged) == (False, False, False)


def test_directory_missing_from_the_start(bench: Bench) -> None:
    bench.log.rmdir()
    bench.quiet("open('program.py').close()")


def test_directory_is_no_directory(bench: Bench) -> None:
    bench.log.rmdir()
    bench.log.write_text("in the way")
    bench.quiet("open('program.py').close()")
    assert bench.log.read_text() == "in the way"


def test_directory_removed_on_the_way(bench: Bench) -> None:
    bench.quiet(f"""
import os, shutil
shutil.rmtree({str(bench.log)!r})
open("program.py").close()
if os.fork() == 0:
    open("x", "w").close()
    os._exit(0)
assert os.wait()[1] == 0
""")
    assert bench.seen == ()


def test_working_directory_vanishes(bench: Bench) -> None:
    (bench.work / "a.csv").write_text("x")
    bench.quiet(f"""
import os
os.mkdir("gone"); os.chdir("gone"); os.rmdir("../gone")
try: open("relative")
except FileNotFoundError: pass
open({str(bench.work / "a.csv")!r}).close()
""")
    assert bench.reads() == ["a.csv"]
    (process,) = bench.seen
    assert process.complete


def test_full_disk_from_the_start(bench: Bench) -> None:
    done = bench.run(
        "open('program.py').close(); print('fine')",
        limits=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")
    assert bench.seen == ()


def test_full_disk_for_a_while_is_said(bench: Bench) -> None:
    for name in ("a", "b"):
        (bench.work / name).write_text("x")
    bench.quiet("""
import resource
open("a").close()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
open("b").close()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
""")
    (process,) = bench.seen
    assert process.complete
    assert process.damaged
    assert bench.reads() == ["a"]


@pytest.mark.parametrize("file", sorted(AGENT.glob("*.py")), ids=lambda file: file.name)
def test_python_2_can_parse_the_agent(file: Path) -> None:
    # Else it prints that it cannot load its `sitecustomize`. What is new since then, by its node.
    text = file.read_text("ascii")
    newer = (ast.JoinedStr, ast.Nonlocal, ast.AnnAssign, ast.NamedExpr, ast.YieldFrom, ast.Await)
    for node in ast.walk(ast.parse(text)):
        where = f"{file.name}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, (*newer, ast.AsyncFunctionDef, ast.Match)), where
        if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
            assert not any(isinstance(item, ast.Starred) for item in node.elts), where
        if isinstance(node, ast.Dict):
            assert None not in node.keys, where
        if isinstance(node, ast.Call):
            stars = [isinstance(argument, ast.Starred) for argument in node.args]
            assert stars.count(True) <= 1, where
            assert True not in stars[:-1], where
        if isinstance(node, ast.arguments):
            assert not node.kwonlyargs, where
            assert not node.posonlyargs, where
        if isinstance(node, ast.arg):
            assert node.annotation is None, where
        if isinstance(node, ast.Raise):
            assert node.cause is None, where
        if isinstance(node, ast.ClassDef):
            assert not node.keywords, where


@pytest.mark.parametrize("python", list(_older_interpreters()))
def test_an_older_python_runs_as_without_the_agent(bench: Bench, python: str) -> None:
    own = bench.place / "own"
    own.mkdir()
    path = f"{AGENT}{os.pathsep}{own}"
    code = "import sys; sys.stdout.write(' '.join(sys.path[1:2]))"
    for _ in range(2):
        done = bench.run(code, python=python, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="")
        assert (done.returncode, done.stdout, done.stderr) == (0, str(own), "")
    (own / "sitecustomize.py").write_text("import sys; sys.stdout.write('mine ')")
    done = bench.run(code, python=python, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="")
    assert (done.stdout, done.stderr) == (f"mine {own}", "")
    (own / "sitecustomize.py").write_text("1/0")
    done = bench.run(code, python=python, PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="")
    bare = bench.run(code, python=python, PYTHONPATH=str(own), REPROPACK_AGENT="")
    assert done.stderr == bare.stderr
    assert not bench.seen
    assert not list(AGENT.glob("*.pyc"))


def test_the_folder_shadows_no_package() -> None:
    names = {p.name for p in AGENT.iterdir()} - {"__pycache__"}
    assert names == {"sitecustomize.py", "_repropack_numerics.py"}


def test_each_library_that_computes_is_told_by_its_file(bench: Bench) -> None:
    pytest.importorskip("numpy")
    pytest.importorskip("scipy")
    bench.quiet("import numpy, scipy.linalg")
    (process,) = bench.seen
    libraries = {k: v for k, v in process.numerics.items() if k.startswith("library ")}
    blas = {k: v for k, v in libraries.items() if "openblas" in k}
    # Each of the two wheels has a copy of its own.
    assert len(blas) == 2
    for name, told in blas.items():
        assert name.startswith(("library numpy.libs/", "library scipy.libs/"))
        assert told["version"].startswith("OpenBLAS ")
        assert int(told["num_threads"]) >= 1
    assert process.numerics["python"]["sys_version"] == sys.version


LOADING = """
import torch
from torch.utils.data import DataLoader
data = list(range(8))
def begin(worker):
    pass
def train():
    generator = torch.Generator()
    generator.manual_seed(77)
    for _ in range(3):
        loader = DataLoader(data, batch_size=4, shuffle=True, num_workers=2, generator=generator,
                            worker_init_fn=begin)
        assert len(list(loader)) == 2
train()
validation = DataLoader(data, batch_size=8)
"""

# What torch has of this, by the same names, for machines without it.
LOADER = """
import multiprocessing, os
class Generator:
    def manual_seed(self, seed): self.seed = seed
    def initial_seed(self): return self.seed
class RandomSampler:
    def __init__(self, generator): self.generator = generator
class SequentialSampler: pass
class BatchSampler: pass
class DataLoader:
    def __init__(self, data, batch_size=1, shuffle=False, num_workers=0, generator=None,
                 worker_init_fn=None, multiprocessing_context=None):
        self.batch_size, self.num_workers, self.generator = batch_size, num_workers, generator
        self.drop_last = self.persistent_workers = False
        self.prefetch_factor = 2 if num_workers else None
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context and multiprocessing.get_context(
            multiprocessing_context
        )
        self.sampler = RandomSampler(generator) if shuffle else SequentialSampler()
        self.batch_sampler = BatchSampler()
    def __iter__(self):
        return start(self)
def start(loader):
    for _ in range(loader.num_workers):
        if loader.multiprocessing_context:
            child = loader.multiprocessing_context.Process(target=os.getpid)
            child.start()
            child.join()
            continue
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    return iter([1, 2])
"""


def _have_torch(bench: Bench, python: str, *, real: bool) -> None:
    if real:
        found = subprocess.run([python, "-c", "import torch"], capture_output=True)
        if found.returncode:
            pytest.skip("no torch there")
        return
    place = bench.work / "torch/utils/data"
    place.mkdir(parents=True)
    (place / "dataloader.py").write_text(LOADER)
    (place / "__init__.py").write_text("from torch.utils.data.dataloader import DataLoader")
    (place.parent / "__init__.py").write_text("")
    (place.parents[1] / "__init__.py").write_text(
        "from torch.utils.data.dataloader import Generator"
    )


real_or_not = pytest.mark.parametrize("real", [True, False], ids=["torch", "its names"])


@real_or_not
@each_interpreter
def test_data_loaders_are_told_as_they_were(bench: Bench, python: str, real: bool) -> None:
    _have_torch(bench, python, real=real)
    done = bench.run(LOADING, python=python)
    assert (done.returncode, done.stderr) == (0, "")
    main = next(p for p in bench.seen if "python" in p.numerics)
    training, validation = (main.numerics[f"torch.utils.data.DataLoader{n}"] for n in ("", " 2"))
    assert training == {
        "batch_size": "4",
        "num_workers": "2",
        "drop_last": "False",
        "prefetch_factor": "2",
        "persistent_workers": "False",
        "sampler": "RandomSampler",
        "batch_sampler": "BatchSampler",
        "sampler_seed": "77",
        "generator_seed": "77",
        "worker_init_fn": "given",
    }
    assert (validation["batch_size"], validation["num_workers"]) == ("8", "0")
    assert validation["sampler"] == "SequentialSampler"
    assert "generator_seed" not in validation


WITHIN = """
from torch.utils.data import DataLoader
def train(**how):
    for _ in range(2):
        assert len(list(DataLoader(list(range(8)), batch_size=4, **how))) == 2
if __name__ == "__main__":
    train(**({"num_workers": 2, "multiprocessing_context": METHOD} if METHOD else {}))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver", None])
@real_or_not
@each_interpreter
def test_a_data_loader_of_a_function_that_has_returned(
    bench: Bench, python: str, real: bool, method: str | None
) -> None:
    _have_torch(bench, python, real=real)
    done = bench.run(WITHIN.replace("METHOD", repr(method)), python=python)
    assert (done.returncode, done.stderr) == (0, "")
    main = next(p for p in bench.seen if p.ppid == os.getpid())
    loaders = [v for k, v in main.numerics.items() if k.startswith("torch.utils.data.DataLoader")]
    if method is None and tuple(map(int, main.version.split(".")[:2])) < (3, 12):
        # It starts nothing that could be seen.
        assert loaders == []
        return
    (told,) = loaders
    assert (told["batch_size"], told["sampler"]) == ("4", "SequentialSampler")
    assert (told["num_workers"], told.get("start_method")) == (
        ("2", method) if method else ("0", None)
    )


SEEDING = """
import sys
import random
random.seed(7)
drawn = random.random()
random.Random(11).shuffle([1, 2])
random.seed("/home/ann/secret")
class Own(random.Random):
    def seed(self, a=None, version=2): super().seed(5)
Own(12)
for seed in (7, 1.5, None): random.seed(seed)
import pickle
assert pickle.loads(pickle.dumps(random.Random.seed)) is random.Random.seed
assert random.seed.__func__ is random.Random.seed
print(drawn, random.Random.seed.__code__.co_code.hex(), sys.gettrace(), sys.getprofile())
def deep(): random.seed(deep)
try: random.seed([1])
except TypeError as error: print(error, error.__traceback__.tb_next.tb_lineno)
except Exception: raise
else: print("hashed")
"""


@each_interpreter
def test_seeds_of_the_random_module(bench: Bench, python: str) -> None:
    seeded = bench.run(SEEDING, python=python)
    bare = bench.run(SEEDING, python=python, REPROPACK_AGENT="")
    assert (seeded.stdout, seeded.returncode, seeded.stderr) == (bare.stdout, 0, bare.stderr)
    (process,) = bench.seen
    told = process.numerics["python"]
    if tuple(map(int, process.version.split(".")[:2])) < (3, 12):
        # Before `sys.monitoring` nothing could tell it unseen.
        assert not any("seed" in name for name in told)
        return
    assert told["random_seed"] == "7, a str, 1.5, a list"
    assert told["random_generator_seed"] == "11, 5"


@each_interpreter
def test_many_seeds_are_not_all_told(bench: Bench, python: str) -> None:
    script = "import random\nfor n in range(100): random.seed(n); random.Random(n)"
    bench.quiet(script, python=python)
    (process,) = bench.seen
    if tuple(map(int, process.version.split(".")[:2])) >= (3, 12):
        for name in ("random_seed", "random_generator_seed"):
            assert process.numerics["python"][name] == "0, 1, 2, 3, 4, 5, 6, 7 and more"


@each_interpreter
def test_tools_that_watch_functions_have_their_places(bench: Bench, python: str) -> None:
    take = "if hasattr(sys, 'monitoring'): [sys.monitoring.use_tool_id(n, 'x') for n in %r]"
    # With a callback of its own for the same function, which is called too.
    watch = """
if hasattr(sys, "monitoring"):
    called = []
    event = sys.monitoring.events.PY_START
    sys.monitoring.register_callback(0, event, lambda *given: called.append(1))
    sys.monitoring.set_local_events(0, random.Random.seed.__code__, event)
    random.seed(4)
    assert called
"""
    for script in (
        f"import sys, random\n{take % [0, 1, 2, 3, 5]}\n{watch}",
        f"import sys\n{take % [0, 1, 2, 3, 4, 5]}\nimport random; random.seed(3)\n{watch}",
    ):
        bench.quiet(script, python=python)


def test_whether_the_global_generator_of_numpy_was_seeded(bench: Bench) -> None:
    pytest.importorskip("numpy")
    for script, told in (
        ("import numpy; numpy.random.default_rng(0).random()", None),
        ("import numpy; numpy.random.seed(3); numpy.random.random()", "seeded"),
        ("import numpy; numpy.random.random()", "used without a seed"),
    ):
        bench.quiet(script)
        assert bench.seen[-1].numerics["numpy"].get("global_generator") == told
