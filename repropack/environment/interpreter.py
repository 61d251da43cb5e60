# SPDX-License-Identifier: Apache-2.0
"""Which interpreter on this machine can stand for the recorded one.

Wheels are bound to X.Y and the ABI, results rarely to more: the same X.Y.Z is taken where it is
here, else another patch version of X.Y, which the report then names. Only interpreters of this
machine's owner are started, never the one of a rebuilt environment.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from repropack import canonical, process
from repropack.environment.lock import python_series
from repropack.environment.uv import Uv
from repropack.model import Python

__all__ = ["FoundInterpreter", "find_interpreter", "places_of"]

_SECONDS: Final = 20.0
"""Time for an interpreter to say its version: one on a cold network disk takes several seconds."""

_SCRIPT: Final = (
    "import json, os, sys\n"
    "base = getattr(sys, '_base_executable', None) or sys.executable\n"
    "print(json.dumps({'implementation': sys.implementation.name,"
    " 'version': '%d.%d.%d' % sys.version_info[:3],"
    " 'path': os.path.realpath(base),"
    " 'prefix': os.path.realpath(sys.base_prefix)}))\n"
)


class FoundInterpreter(Struct, frozen=True, kw_only=True):
    """An interpreter of this machine.

    Attributes:
        path: Absolute path of the real executable: no shim, no link, no virtual environment.
        version: Its X.Y.Z.
        prefix: The directory that holds its standard library.
        implementation: `cpython`, `pypy`, ….
    """

    path: str
    version: str
    prefix: str
    implementation: str


def find_interpreter(uv: Uv, python: Python, environ: Mapping[str, str]) -> FoundInterpreter | None:
    """Finds an interpreter of the recorded implementation and version.

    Returns:
        The same X.Y.Z, else the newest of the same X.Y, else None.

    Raises:
        RepropackError: The recorded version has no form that we know.
    """
    series = python_series(python)
    seen: set[str] = set()
    best: FoundInterpreter | None = None
    for candidate in _candidates(uv, series, environ):
        if candidate in seen:
            continue
        seen.add(candidate)
        found = _ask(candidate, environ)
        if found is not None and found.path not in seen | {candidate}:
            # What a shim or a virtual environment leads to may see itself differently.
            seen.add(found.path)
            found = _ask(found.path, environ)
        if (
            found is None
            or found.implementation != python.implementation.lower()
            or not found.version.startswith(series + ".")
        ):
            continue
        if found.version == python.version:
            return found
        if best is None or _patch(found) > _patch(best):
            best = found
    return best


def places_of(interpreter: FoundInterpreter, home: str | None) -> tuple[str, ...]:
    """What a sandbox has to show of an interpreter, and nothing of the user's beside it.

    That is its directory; but who builds Python with `--prefix=$HOME` or `$HOME/.local` has it
    among her own files, keys and keyrings. Then it is the program, its library and its modules.

    Args:
        interpreter: Of this machine.
        home: What the reader's variables call her home; the one of her account counts as well.
    """
    homes = {os.path.realpath(one) for one in (home, _home_of_account()) if one}
    prefix = interpreter.prefix
    if not any(
        prefix in (one, os.path.join(one, ".local")) or one.startswith(prefix.rstrip("/") + "/")
        for one in homes
    ):
        return (prefix,)
    series = ".".join(interpreter.version.split(".")[:2])
    programs = os.path.dirname(interpreter.path)
    patterns = [(programs, "libpypy*.so*")]
    for folder in ("lib", "lib64"):
        place = os.path.join(prefix, folder)
        if not os.path.islink(place):
            patterns += [(place, pattern) for pattern in ("libpython*.so*", "libpypy*.so*")]
            patterns += [(place, f"{kind}{series}") for kind in ("python", "pypy")]
    found = [str(one) for place, pattern in patterns for one in sorted(Path(place).glob(pattern))]
    return (interpreter.path, *found)


def _home_of_account() -> str | None:
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        # A number for a user, as in containers.
        return None


def _candidates(uv: Uv, series: str, environ: Mapping[str, str]) -> Iterator[str]:
    """Executables to ask, the cheapest first."""
    yield os.path.realpath(sys.executable)
    folders = [f for f in environ.get("PATH", "").split(os.pathsep) if os.path.isabs(f)]
    for name in (f"python{series}", "python3", "python"):
        for folder in folders:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.access(path, os.X_OK):
                yield path
    pyenv = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/")) / ".pyenv")
    yield from sorted(map(str, pyenv.glob(f"versions/{series}.*/bin/python{series}")))
    listed = process.run(
        [uv.program, "python", "list", "--only-installed", "--output-format", "json", series],
        environment=uv.environment,
        directory=Path("/"),
        timeout=_SECONDS * 10,
        accept=range(256),
    )
    if listed.status == 0:
        for entry in canonical.decode(listed.stdout or b"[]", list):
            yield str(entry["path"])


def _ask(executable: str, environ: Mapping[str, str]) -> FoundInterpreter | None:
    """Asks an interpreter who it is; None where it is broken, as a shim without a version is."""
    kept = {name: environ[name] for name in ("PATH", "HOME", "PYENV_ROOT") if name in environ}
    try:
        done = process.run(
            [executable, "-I", "-S", "-c", _SCRIPT],
            environment=kept,
            directory=Path("/"),
            timeout=_SECONDS,
        )
        return canonical.decode(done.stdout, FoundInterpreter)
    except (process.ProcessFailedError, canonical.NotCanonicalError, msgspec.MsgspecError):
        return None


def _patch(found: FoundInterpreter) -> int:
    return int(found.version.split(".")[2])
