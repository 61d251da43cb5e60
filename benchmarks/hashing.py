# SPDX-License-Identifier: Apache-2.0
"""Hashing a data set: repropack beside openssl on all processors, dvc add, model-signing and bagit.

One file of 4 GiB, 20,000 of 100 KiB, 200,000 of 4 KiB, cached; the first time, and once more while
nothing has changed. repropack records a command that reads nothing, with the data set declared: the
cost of an empty recording is in its figures. `repropack data check` looks whether the files are
still what that run read, as `git status` and `dvc status` do. The limit is SHA-256 of as many bytes
in one file, on all processors, with nothing else done.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.measuring import make_weights, table
from benchmarks.peers import install

SETS = (("1 x 4 GiB", 1, 4 * 2**30), ("20,000 x 100 KiB", 20_000, 100 * 1024),
        ("200,000 x 4 KiB", 200_000, 4096))  # fmt: skip

SUM = "find data -type f -print0 | xargs -0 -P{cores} -n{batch} openssl dgst -sha256 >/dev/null"


def measure(scratch: Path) -> str:
    """The section `Hashing` of docs/performance.md."""
    lines = ["## Hashing", ""]
    rows = []
    missing: dict[str, str] = {}
    dvc = install({"dvc add": "dvc"}, scratch, missing).get("dvc add")
    for title, count, size in SETS:
        place = scratch / title.replace(" ", "")
        _make(place / "data", count, size)
        found, trouble = _times(place, count, dvc)
        best = found.get("openssl", (None, None))[0]
        for name, (first, again) in found.items():
            rows.append(
                [
                    title,
                    f"**{name}**" if name == "repropack" else name,
                    "–" if first is None else f"{first:.2f} s",
                    "" if best is None or first is None else f"{first / best:.2f}",
                    "–" if again is None else f"{again:.2f} s",
                ]
            )
        rows += [[title, name, why, "", ""] for name, why in {**missing, **trouble}.items()]
        shutil.rmtree(place)
    lines += table(("data", "tool", "first time", "of openssl", "unchanged"), rows)
    return "\n".join(lines) + "\n"


def _make(data: Path, count: int, size: int) -> None:
    if count == 1:
        make_weights(data / "one.bin", size)
        return
    block = os.urandom(size)
    for number in range(count):
        place = data / f"{number % 100:02d}"
        if number < 100:
            place.mkdir(parents=True)
        (place / str(number)).write_bytes(number.to_bytes(8, "big") + block[8:])
    # A file as young as the look at it could change unseen; so old it must be for every tool.
    time.sleep(1.1)


def _times(
    place: Path, count: int, dvc: Path | None
) -> tuple[dict[str, tuple[float | None, float | None]], dict[str, str]]:
    tools = Path(sys.executable).parent
    own = f"{sys.executable} -m repropack run --data set=../data -- true"
    check = f"{sys.executable} -m repropack data check set"
    limit = f"{sys.executable} -m benchmarks.limits"
    cores = len(os.sched_getaffinity(0))
    # What is still being written to the disk would slow down whoever comes first.
    whole = "find data -type f -exec cat {} + >limit.bin && sync"
    subprocess.run(["bash", "-ec", whole], cwd=place, check=True)
    commands = {
        "repropack": (f"mkdir -p own && cd own && git init -q . && {own}", f"cd own && {own}"),
        "repropack data check": ("", f"cd own && {check} >/dev/null"),
        "limit: SHA-256": (f"PYTHONPATH={Path(__file__).parents[1]} {limit} sha256 limit.bin", ""),
        "openssl": (SUM.format(cores=cores, batch=max(1, min(500, count // cores))), ""),
        "git add, git status": (
            "git init -q data && cd data && git add -A",
            "cd data && git status --porcelain >/dev/null",
        ),
        "model_signing sign": (
            "openssl ecparam -name prime256v1 -genkey -noout -out key.pem && "
            f"{tools}/model_signing sign key data --private_key key.pem --signature x.sig",
            "",
        ),
        "bagit": (f"{sys.executable} -W ignore -m bagit --quiet --sha256 data", ""),
    }
    if count == 1:
        # It compresses all of it on one processor.
        del commands["git add, git status"]
    if dvc is not None:
        call = f"{dvc}/bin/dvc"
        commands["dvc add"] = (
            f"mkdir -p dvc && mv data dvc && cd dvc && git init -q . && {call} init -q && "
            f"{call} add -q data",
            f"cd dvc && {call} status",
        )
    found: dict[str, tuple[float | None, float | None]] = {}
    trouble: dict[str, str] = {}
    for name, lines in commands.items():
        spent: list[float | None] = []
        for line in lines:
            if not line:
                spent.append(None)
                continue
            started = time.perf_counter()
            done = subprocess.run(
                ["bash", "-ec", line],
                cwd=place,
                capture_output=True,
                text=True,
                check=False,
            )
            spent.append(time.perf_counter() - started)
            if done.returncode:
                said = (done.stderr or done.stdout).strip().splitlines()
                trouble[name] = f"failed: {said[-1][:120] if said else done.returncode}"
                break
        else:
            found[name] = (spent[0], spent[1])
        if name.startswith("git"):
            shutil.rmtree(place / "data/.git")
    return found, trouble
