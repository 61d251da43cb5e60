# SPDX-License-Identifier: Apache-2.0
"""The third rung for environments that conda made: the same archives, linked in a sandbox.

py-rattler (the extra `conda`) unpacks and links; it follows paths of packages out of the directory,
so it runs where there is nothing else to reach. Nothing here follows a link of the result, and no
program of it is started. What pip had installed beside conda's packages is installed by uv in a
directory of its own, checked there, and copied over.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from msgspec import Struct

import repropack.environment
from repropack import process
from repropack.environment.conda import important, recipe
from repropack.environment.conda_channels import fetch_archives, load_conda_channels, refusal
from repropack.environment.installation import entries_of, site_packages
from repropack.environment.rebuilding import build_directory
from repropack.environment.uv import Uv
from repropack.errors import RepropackError
from repropack.escaping import show
from repropack.findings import Code, Finding
from repropack.model import Environment, Machine
from repropack.sandbox import Bind, Sandbox, SandboxSpec, confined, usual_limits
from repropack.verify.installed_packages import check_packages
from repropack.verify.release import ReleaseEnvironment
from repropack.verify.workspace import place_file, remove_tree

__all__ = ["CondaBuild", "build_conda"]

LINK_SECONDS: Final = 7200.0
"""Time to unpack and link: 10 GiB of packages on a network disk."""

_TOOLS: Final = "/mnt/conda"
_ARCHIVES: Final = "/mnt/archives"

_PLATFORMS: Final = {"x86_64": "linux-64"}
"""conda's names of platforms; of other processors they are `linux-` and the kernel's name."""


class CondaBuild(Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        directory: The environment; None where there is none, for which the last finding is why.
    """

    directory: Path | None
    findings: list[Finding]


def build_conda(
    uv: Uv,
    specification: ReleaseEnvironment,
    place: Path,
    variables: Mapping[str, str],
    here: Machine,
    sandbox: Sandbox | None,
    *,
    wheels: Path | None,
    offline: bool,
    tell: Callable[[str], None],
) -> CondaBuild:
    """Rebuilds an environment of conda.

    Args:
        uv: For what pip had installed beside conda's packages.
        specification: What to rebuild.
        place: A directory that is made for it.
        variables: The reader's environment variables: her channels, her network.
        here: This machine.
        sandbox: Where it is linked; None because the reader wants none.
        wheels: A directory with wheels, from the bundle.
        offline: Whether nothing may be downloaded.
        tell: Told in words what is going on.

    Raises:
        EnvironmentNotBuiltError: What pip had installed is not to be had.
        OSError: The disk is full.
        RepropackError: The reader's configuration of conda is not in order.
    """
    environment = specification.environment
    assert environment.python is not None

    count = len(environment.conda)

    def missing(found: str, expected: str) -> CondaBuild:
        by_hand = f"by hand, a like environment is made by `{recipe(environment)}`"
        finding = Finding(
            code=Code.CONDA_NOT_BUILT,
            subject=f"{count} package{'s' if count != 1 else ''}",
            found=found,
            expected=f"{expected}; {by_hand}",
        )
        return CondaBuild(directory=None, findings=[finding])

    library = _rattler()
    if library is None:
        return missing(
            "py-rattler, which links them, is not installed",
            "`pip install 'repropack[conda]'` where repropack is installed",
        )
    platform = _PLATFORMS.get(here.architecture, f"linux-{here.architecture}")
    refused = {one.name: why for one in environment.conda if (why := refusal(one, platform))}
    if refused:
        return missing(_first(refused, environment), "archives that can be fetched by their digest")
    archives, absent = fetch_archives(
        environment.conda,
        load_conda_channels(variables),
        variables,
        offline=offline,
        progress=tell,
    )
    if absent:
        return missing(
            _first(absent, environment),
            "a channel that has it: channel_alias or custom_channels in ~/.condarc name yours",
        )
    tell(f"linking {len(archives)} packages of conda")
    place.mkdir()
    prefix, cache = place / "env", place / "cache"
    try:
        _link(library, prefix, cache, list(archives.values()), sandbox)
    except process.ProcessFailedError as error:
        said = show(error.message.partition(": ")[2] or error.message)
        return missing(f"py-rattler: {said}", "archives that can be linked")
    finally:
        remove_tree(cache)
    outside = _leads_outside(prefix)
    if outside is not None:
        return missing(f"{outside} leads out of the environment", "packages without such links")
    site = site_packages(prefix, environment.python)
    if not site.is_dir():
        return missing(f"no {site.relative_to(prefix)}", f"a Python {environment.python.version}")
    if not specification.locked:
        return CondaBuild(directory=prefix, findings=[])
    stage = place / "pip"
    own = build_directory(
        uv,
        specification.locked,
        environment.python,
        stage,
        wheels=wheels,
        offline=offline,
        progress=tell,
    )
    findings, altered = check_packages(stage, stage, specification.locked, own)
    if altered:
        return CondaBuild(directory=None, findings=findings)
    _copy_over(stage, prefix, site)
    return CondaBuild(directory=prefix, findings=findings)


def _rattler() -> str | None:
    found = importlib.util.find_spec("rattler")
    return os.path.dirname(found.origin) if found is not None and found.origin else None


def _first(reasons: Mapping[str, str], environment: Environment) -> str:
    """The most important package of those that are not to be had, and why."""
    name, why = min(reasons.items(), key=lambda item: (not important(item[0]), item[0]))
    package = next(one for one in environment.conda if one.name == name)
    what = package.file_name or f"{name} {package.version}"
    more = f" (one of {len(reasons)} such packages)" if len(reasons) > 1 else ""
    return f"{what} of the channel {package.channel or 'without a name'}: {why}{more}"


def _link(
    library: str, prefix: Path, cache: Path, archives: Sequence[Path], sandbox: Sandbox | None
) -> None:
    # The library does not start without authorities, though it reaches nothing; pip's are here.
    authorities = str(files("pip._vendor.certifi") / "cacert.pem")
    script = str(Path(repropack.environment.__file__).with_name("conda_link.py"))
    python = [os.path.realpath(sys.executable), "-I", "-S"]
    parent = prefix.parent
    if sandbox is None:
        words = [script, os.path.dirname(library), str(prefix), str(cache), *map(str, archives)]
        _run([*python, *words], parent, {"SSL_CERT_FILE": authorities})
        return
    base = os.path.realpath(sys.base_prefix)
    shown = {
        f"{_TOOLS}/rattler": library,
        f"{_TOOLS}-link.py": script,
        f"{_TOOLS}-authorities.pem": authorities,
        base: base,
        **{f"{_ARCHIVES}/{one.name}": str(one) for one in archives},
    }
    spec = SandboxSpec(
        directory=str(parent),
        environment={"SSL_CERT_FILE": f"{_TOOLS}-authorities.pem"},
        limits=usual_limits(),
        read_only=tuple(Bind(source=source, target=target) for target, source in shown.items()),
        writable=(Bind(source=str(parent), target=str(parent)),),
    )
    words = [f"{_TOOLS}-link.py", _TOOLS, str(prefix), str(cache)]
    words += [f"{_ARCHIVES}/{one.name}" for one in archives]
    with confined(sandbox, spec, [*python, *words]) as ready:
        _run(ready.argv, parent, {})


def _run(argv: Sequence[str], directory: Path, variables: Mapping[str, str]) -> None:
    process.run(
        argv,
        environment={"PATH": "/usr/bin:/bin", **variables},
        directory=directory,
        timeout=LINK_SECONDS,
    )


def _leads_outside(prefix: Path) -> str | None:
    """A link in a tree that a stranger made and that leads out of it."""
    top = f"{os.path.realpath(prefix.parent)}/{prefix.name}"
    if os.path.realpath(prefix) != top:
        return prefix.name
    for directory, folders, names in os.walk(prefix):
        for name in (*folders, *names):
            path = os.path.join(directory, name)
            if os.path.islink(path) and not os.path.realpath(path).startswith(f"{top}/"):
                return os.path.relpath(path, prefix)
    return None


def _copy_over(stage: Path, prefix: Path, site: Path) -> None:
    """Puts what pip had installed where it was; its programs start the environment's Python."""
    below = str(site.relative_to(prefix))
    for name in entries_of(stage):
        place, is_program = stage / name, name.startswith("bin/")
        executable = bool(place.stat().st_mode & 0o100)
        if is_program:
            _start_by(place, prefix / "bin" / "python")
        source = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            target = name if is_program else f"{below}/{name}"
            place_file(prefix, target, source, executable=executable)
        except OSError as error:
            raise RepropackError(f"{target} cannot be put into the environment: {error}") from error
        finally:
            os.close(source)


def _start_by(script: Path, python: Path) -> None:
    """Lets a program start by another interpreter than the one that uv wrote down."""
    data = script.read_bytes()
    match = re.match(rb"#!/bin/sh\n'''exec' .*\n' '''\n|#!.*python.*\n", data)
    if match is not None:
        # By way of a shell, because a first line may not have spaces or 128 characters.
        start = f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n"
        script.write_bytes(start.encode() + data[match.end() :])
