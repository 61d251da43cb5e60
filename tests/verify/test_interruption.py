# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C while a bundle is verified: nothing goes on and nothing stays, wherever it comes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repropack.environment.lock import LockedPackage, write_lock
from repropack.model import Distribution, Python, Role, Wheel
from tests.verify.release_builder import Draft, metrics, python_environment, simple

HERE = Python(
    implementation="cpython",
    version="{}.{}.{}".format(*sys.version_info),
    cache_tag=sys.implementation.cache_tag or "",
)
LONG = "61.0417"
"""Seconds of a sleep that no other test sleeps: by it a process is known."""


def sleeping() -> bool:
    return any(f"sleep\0{LONG}\0".encode() in line for line in command_lines())


def command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()


def until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def interrupted(
    bundle: Path, begun: Callable[[], object], *options: str, **variables: str
) -> tuple[int, str, list[Path]]:
    """Verifies, and presses Ctrl-C once it has come so far.

    Returns:
        How it ended, what it said, and what it left of its work.
    """
    temporary = bundle.parent / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "repropack", "verify", bundle, "--allow-unknown-signer", *options],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(bundle.parent),
            "TMPDIR": str(temporary),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            **variables,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A terminal sends it to the whole group.
        start_new_session=True,
    )
    try:
        until(lambda: begun() or process.poll() is not None, "it never came so far")
        assert process.poll() is None, process.communicate()[0]
        os.killpg(process.pid, signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, said, sorted(temporary.iterdir())


def check_end(status: int, said: str) -> None:
    assert status in (-signal.SIGINT, 130), said
    assert "Traceback" not in said
    assert "REPRODUCED" not in said
    until(lambda: not sleeping(), "the executed code goes on")


@pytest.mark.parametrize("isolation", [(), ("--no-sandbox",)])
def test_during_a_repetition(tmp_path: Path, isolation: tuple[str, ...]) -> None:
    # Also what has left its group and ignores the signal.
    script = f"trap '' INT TERM\nsetsid sleep {LONG} &\nsleep {LONG}\n"
    bundle = simple(tmp_path, script if not isolation else f"sleep {LONG}\n").write()
    status, said, left = interrupted(bundle, sleeping, *isolation)
    check_end(status, said)
    assert not left


def test_during_an_explanation(tmp_path: Path) -> None:
    script = f'if [ "$OMP_NUM_THREADS" = 1 ]; then sleep {LONG}; fi\n' + metrics("0.5")
    bundle = simple(tmp_path, script).write()
    status, said, left = interrupted(bundle, sleeping, "--explain")
    check_end(status, said)
    assert not left


def with_a_package(tmp_path: Path) -> Draft:
    wheel = Wheel(filename="thing-1.0-py3-none-any.whl", sha256="1" * 64)
    draft = simple(tmp_path, metrics("0.91"))
    environment = python_environment(HERE.version)
    environment = type(environment)(
        version=1,
        machine=environment.machine,
        python=HERE,
        distributions=(Distribution(name="thing", version="1.0", imported=True),),
    )
    draft.environments["environment"] = environment
    lock = write_lock(HERE, [LockedPackage(name="thing", version="1.0", wheels=(wheel,))])
    draft.members["environment/pylock.toml"] = (Role.ENVIRONMENT, lock)
    return draft


def test_while_the_environment_is_rebuilt(tmp_path: Path) -> None:
    bundle = with_a_package(tmp_path).write()
    asked: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as index:
        # An index that listens and never answers.
        index.setblocking(False)

        def begun() -> bool:
            with contextlib.suppress(BlockingIOError):
                asked.append(index.accept()[0])
            return bool(asked)

        port = index.getsockname()[1]
        status, said, left = interrupted(
            bundle, begun, UV_INDEX_URL=f"http://127.0.0.1:{port}/simple"
        )
    for one in asked:
        one.close()
    check_end(status, said)
    assert not left
    assert not any(f"127.0.0.1:{port}".encode() in line for line in command_lines())


def test_the_work_that_is_to_be_kept_is_kept_and_named(tmp_path: Path) -> None:
    bundle = simple(tmp_path, f"echo here > seen\nsleep {LONG}\n").write()
    status, said, left = interrupted(bundle, sleeping, "--keep-work")
    check_end(status, said)
    (work,) = left
    assert list(work.rglob("seen"))
    assert str(work) in "".join(said.split())
