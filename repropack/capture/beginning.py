# SPDX-License-Identifier: Apache-2.0
"""Before the command: the code as it is, and the work tree to compare with."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from repropack.agent import BEGAN
from repropack.capture.gaps import Gaps
from repropack.capture.preparation import Prepared, is_inside, place_on_disk, plain
from repropack.capture.request import RunRequest
from repropack.capture.root_taking import take_submodules
from repropack.parallel import Alongside
from repropack.placeholders import Recording, data_placeholder
from repropack.source.snapshot import find_root, refuse_home, take
from repropack.store import KnownProduct, Store, now
from repropack.worktree import scan

__all__ = ["CLOCK_OF_FILES", "METRIC_LOG", "prepare"]


METRIC_LOG: Final = "metrics.log"


CLOCK_OF_FILES: Final = 5
"""CLOCK_REALTIME_COARSE of linux/time.h."""


def prepare(
    request: RunRequest, directory: Path, environment: Mapping[str, str], gaps: Gaps
) -> Prepared:
    """Opens the run in the store, and takes the code and a look at the work tree.

    Raises:
        RepropackError: The store cannot be used, or the directory is no project.
        OSError: It cannot be written.
    """
    root, versioned = _root(directory, environment.get("HOME", ""), gaps)
    store = Store.create(root)
    store.share()
    nothing: dict[str, KnownProduct] = {}
    known = gaps.attempt("lineage", store.products_on_disk, nothing)
    prefixes = _prefixes(request, root, directory, environment)
    paths = Recording(prefixes=prefixes, words=_host_words())
    argv = tuple(paths.text(plain(a)) for a in request.argv)
    run = (
        store.start_run(request.name, argv)
        if request.resume is None
        else store.start_segment(store.run(request.resume), argv)
    )
    log = run.place / METRIC_LOG
    log.touch(mode=0o600)
    scanned_ns = log.stat().st_mtime_ns
    console = _console(root)
    products = {
        **{
            os.path.relpath(place, root): product.stamp
            for recorded, product in known.items()
            if (place := place_on_disk(recorded, root)) is not None
        },
        **console,
    }
    # A file that changes meanwhile is younger than `scanned_ns`, so that git is asked at the end.
    with Alongside(partial(scan, root)) as scanning:
        taken = gaps.attempt(
            "code", lambda: take(root, store.git, versioned=versioned, products=products), None
        )
        before = scanning.result()
    (run.place / "agent" / BEGAN).touch(mode=0o600)
    return Prepared(
        root=root,
        store=store,
        run=run,
        started=now(),
        # The clock of file times: the usual one is up to a tick ahead of it.
        started_ns=time.clock_gettime_ns(CLOCK_OF_FILES),
        before=before,
        scanned_ns=scanned_ns,
        taken=taken,
        submodules=take_submodules(root, store.git, taken, products, gaps) if taken else {},
        known=known,
        console=frozenset(console),
        paths=paths,
    )


def _console(root: Path) -> dict[str, tuple[int, int, int]]:
    """Files of the project that our output goes to (`repropack run … > train.log`), with stamps.

    They are there before the command and change while it runs, and are its output all the same.
    """
    found = {}
    for descriptor in (1, 2):
        try:
            status = os.fstat(descriptor)
            place = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            # It is closed.
            continue
        if stat.S_ISREG(status.st_mode) and is_inside(place, root):
            stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
            found[os.path.relpath(place, root)] = stamp
    return found


def _prefixes(
    request: RunRequest, root: Path, directory: Path, environment: Mapping[str, str]
) -> dict[str, str]:
    prefixes = {}
    for variable, usual, name in (("TMPDIR", "/tmp", "tmp"), ("HOME", "", "home")):  # noqa: S108 - its name, not a file in it
        place = environment.get(variable, usual).rstrip("/")
        # A home that is the project, or in it, is part of the project.
        if place.startswith("/") and not is_inside(f"{place}/", root):
            prefixes[place] = name
    for name, chosen in request.data.items():
        prefixes[str(chosen)] = data_placeholder(name)
    logical = environment.get("PWD", "")
    if os.path.isabs(logical) and os.path.realpath(logical) == str(directory):
        # Where the shell came through a link, the command line may name the project so.
        below = os.path.relpath(directory, root)
        if below == ".":
            prefixes[logical] = "project"
        elif logical.endswith("/" + below):
            prefixes[logical.removesuffix("/" + below)] = "project"
    prefixes[str(root)] = "project"
    return prefixes


def _root(directory: Path, home: str, gaps: Gaps) -> tuple[Path, bool]:
    """The code root. Without git the directory itself, or the one above that has a store.

    Raises:
        RepropackError: It is the home directory, or holds it.
    """
    found = gaps.attempt("code", lambda: find_root(directory), None)
    root, versioned = found if found is not None else (directory, False)
    if not versioned:
        refuse_home(root)
        for candidate in (directory, *directory.parents):
            broad = candidate in (Path(candidate.anchor), Path(home))
            # A run from the home directory makes no project of all that is below it.
            if (candidate == directory or not broad) and (candidate / ".repropack/runs").is_dir():
                return candidate, False
    return root, versioned


def _host_words() -> dict[str, str]:
    host = os.uname().nodename
    generic = len(host) < 2 or host.startswith("localhost")
    return {} if generic else {host: "host"}
