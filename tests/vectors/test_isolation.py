# SPDX-License-Identifier: Apache-2.0
"""What a vector does to the reader's machine: nothing, in bounded time, and one line on the screen.

The commands run in a few long-lived processes without network, under `strace` where it is there.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.vectors.test_vectors import PLACE, VECTORS
from tests.vectors.vector import STEPS
from tests.verify.release_builder import unprintable

ROOT: Final = Path(__file__).parents[2]
SEEN_BY_INSPECT: Final = ("seek table", "attestation", "signature", "statement", "manifest")
SEEN_WITHOUT_RUN: Final = (*SEEN_BY_INSPECT, "members", "signer")
BAD: Final = [vector for vector in VECTORS if vector["expect"] != "OK"]
GOOD: Final = [vector for vector in VECTORS if vector["expect"] == "OK"]


@dataclasses.dataclass(frozen=True)
class Batch:
    """What a process did: a result for each job, and the programs that strace saw."""

    results: dict[tuple[str, ...], dict[str, Any]]
    started: tuple[str, ...] | None
    place: Path


@functools.cache
def _prefix() -> tuple[str, ...]:
    """Starts a command without network, where the system lets us."""
    for words in (("unshare", "-n"), ("unshare", "-rn")):
        if (
            shutil.which("unshare")
            and not subprocess.run([*words, "true"], capture_output=True).returncode
        ):
            return words
    return ()


def run(place: Path, jobs: list[tuple[str, ...]]) -> Batch:
    for name in ("home", "tmp", "work", "log"):
        (place / name).mkdir()
    (place / "log/jobs").write_text(json.dumps(jobs))
    before = listing(place)
    trace = place / "log/trace"
    words = [*_prefix(), sys.executable, "-m", "tests.vectors.worker"]
    if shutil.which("strace"):
        words = [
            "strace",
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-e",
            "trace=execve,connect,sendto",
            "-e",
            "signal=none",
            "-o",
            str(trace),
            *words,
        ]
    done = subprocess.run(
        [*words, str(place / "log/jobs"), str(place / "log/results")],
        cwd=place / "work",
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(place / "home"),
            "TMPDIR": str(place / "tmp"),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MALLOC_ARENA_MAX": "2",
        },
    )
    lines = (
        (place / "log/results").read_text().splitlines() if (place / "log/results").exists() else []
    )
    assert done.returncode == 0, (done.stderr, lines[-1:])
    assert len(lines) == 2 * len(jobs)
    after = {path: kind for path, kind in listing(place).items() if not path.startswith("out-")}
    assert after == before, "something was left outside of the directories that were named"
    results = dict(zip(jobs, map(json.loads, lines[1::2]), strict=True))
    started = None
    if trace.exists():
        text = trace.read_text()
        assert "AF_INET" not in text
        # The first ones are the interpreter and what starts it.
        programs = re.findall(r'execve\("([^"]*)".*\) = 0$', text, re.MULTILINE)
        started = tuple(
            p for p in programs if Path(p).name not in ("unshare", Path(sys.executable).name)
        )
    return Batch(results, started, place)


def listing(place: Path) -> dict[str, int]:
    return {
        str(path.relative_to(place)): path.lstat().st_mode
        for path in sorted(place.rglob("*"))
        if path.relative_to(place).parts[0] != "log"
    }


def command(verb: str, vector: dict[str, Any], *more: str) -> tuple[str, ...]:
    told = vector.get("arguments", []) if verb == "verify" else []
    return verb, str(PLACE / vector["file"]), *told, *more


def commands(vector: dict[str, Any], number: int, place: Path) -> dict[str, tuple[str, ...]]:
    """Everything that is tried with a vector."""
    tried = {
        "inspect": command("inspect", vector),
        "extract": command("extract", vector, str(place / f"out-{number}")),
        "no-run": command("verify", vector, "--no-run"),
    }
    if vector["expect"] != "OK":
        tried["verify"] = command("verify", vector)
    return tried


def harmless(result: dict[str, Any], place: Path, *, programs: bool) -> None:
    """What holds for every command and every vector."""
    screen = result["stdout"] + result["stderr"]
    assert not unprintable(screen), screen
    assert "Traceback" not in screen
    assert "defect of repropack" not in screen
    assert result["cpu"] < 2
    for kind, what in result["events"]:
        if kind == "write" and what.startswith("/"):
            allowed = (str(place), "/dev/null")
            assert what.startswith(allowed), what
        elif kind == "write":
            assert "/../" not in f"/{what}/", what
        elif kind == "program":
            assert programs, what
            assert Path(what).name == "git", what
        else:
            pytest.fail(f"{kind}: {what}")


def refused(result: dict[str, Any], vector: dict[str, Any]) -> None:
    """One line has a code, the right one; the status is that of its kind."""
    lines = (result["stdout"] + result["stderr"]).splitlines()
    with_code = [line for line in lines if re.search(r"RPK\d{3}", line)]
    assert len(with_code) == 1, lines
    (code,) = set(re.findall(r"RPK\d{3}", with_code[0]))
    assert code in (vector["expect"], *vector.get("also", ())), with_code
    assert result["status"] == (3 if vector["kind"] == "version" else 1)


@pytest.fixture(scope="module")
def without_code(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """All commands with all vectors but those of code, which alone need git."""
    place = tmp_path_factory.mktemp("vectors")
    jobs = [
        words
        for number, vector in enumerate(VECTORS)
        for name, words in commands(vector, number, place).items()
        if not (vector.get("step") == "code" and name == "verify")
    ]
    return run(place, jobs)


@pytest.fixture(scope="module")
def with_code(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    place = tmp_path_factory.mktemp("code")
    return run(place, [command("verify", v) for v in BAD if v["step"] == "code"])


def answered(name: str, vector: dict[str, Any], result: dict[str, Any], out: Path) -> None:
    """What a command has to say about a bad vector."""
    seen = {
        "inspect": SEEN_BY_INSPECT,
        "extract": SEEN_BY_INSPECT,
        "no-run": SEEN_WITHOUT_RUN,
        "verify": STEPS,
    }[name]
    # Only `verify` is told what to expect.
    if vector["step"] in seen and (name in ("verify", "no-run") or "arguments" not in vector):
        refused(result, vector)
    elif name == "extract" and vector["step"] == "members":
        # Headers and padding are not looked at: what comes out is what was signed.
        assert result["status"] in (0, 1)
    else:
        # A reader that stops before this step has nothing to say about it.
        assert result["status"] == (4 if name == "no-run" else 0)
    if name == "extract":
        assert out.exists() == (result["status"] == 0)


def test_bad_vectors_are_refused_and_leave_no_trace(without_code: Batch) -> None:
    place = without_code.place
    for number, vector in enumerate(VECTORS):
        if vector["expect"] == "OK":
            continue
        for name, words in commands(vector, number, place).items():
            if words in without_code.results:
                result = without_code.results[words]
                try:
                    harmless(result, place, programs=False)
                    answered(name, vector, result, place / f"out-{number}")
                except AssertionError as error:
                    raise AssertionError(f"{vector['file']}: {name}: {error}\n{result}") from error


def test_good_vectors_are_accepted(without_code: Batch) -> None:
    place = without_code.place
    for number, vector in enumerate(VECTORS):
        if vector["expect"] != "OK":
            continue
        for name, words in commands(vector, number, place).items():
            result = without_code.results[words]
            try:
                harmless(result, place, programs=False)
                told = 0 if vector.get("arguments") else 4
                assert result["status"] == (told if name == "no-run" else 0)
                assert not re.search(r"RPK\d{3}", result["stdout"] + result["stderr"])
                if name == "inspect":
                    assert f"sha256:{vector['manifest_sha256']}" in result["stdout"]
            except AssertionError as error:
                raise AssertionError(f"{vector['file']}: {name}: {error}\n{result}") from error


def test_nothing_but_git_was_started(without_code: Batch, with_code: Batch) -> None:
    if without_code.started is None or with_code.started is None:
        pytest.skip("strace is not installed: the interpreter's own events were checked alone")
    assert without_code.started == ()
    assert with_code.started
    assert {Path(program).name for program in with_code.started} == {"git"}


def test_vectors_of_code_are_refused(with_code: Batch) -> None:
    for vector in BAD:
        if vector["step"] == "code":
            result = with_code.results[command("verify", vector)]
            try:
                harmless(result, with_code.place, programs=True)
                refused(result, vector)
            except AssertionError as error:
                raise AssertionError(f"{vector['file']}: {error}\n{result}") from error


@pytest.mark.slow
@pytest.mark.parametrize("vector", GOOD, ids=lambda v: Path(v["file"]).stem)
def test_good_vectors_are_repeated(vector: dict[str, Any], tmp_path: Path) -> None:
    """A good vector is a whole release: its code runs and gives the claimed number."""
    done = subprocess.run(
        [sys.executable, "-m", "repropack", *command("verify", vector)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(tmp_path),
        },
    )
    without_claims = vector["file"] == "good/records-with-spaces.rpk"
    last = done.stdout.splitlines()[-1]
    assert last.startswith("INCONCLUSIVE" if without_claims else "REPRODUCED"), done.stdout
    assert not unprintable(done.stdout + done.stderr)
