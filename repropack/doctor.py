# SPDX-License-Identifier: Apache-2.0
"""`repropack doctor`: what this machine has of what repropack needs, and how to get the rest.

Nothing is changed and no network is used. Each check says what it is for; only what recording,
exporting and verifying cannot do without is *needed*.
"""

from __future__ import annotations

import enum
import importlib.util
import os
import platform
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import canonical, process
from repropack.environment.cache import cache_directory, contents
from repropack.environment.index import load_index_settings
from repropack.environment.machine import describe_machine
from repropack.environment.uv import Uv, find_uv
from repropack.errors import RepropackError
from repropack.sandbox import (
    NoSandbox,
    bounded_together,
    call_filter,
    find_bubblewrap,
    find_sandbox,
    gpu_devices,
    probe,
    why_not_shown,
)

__all__ = ["Check", "Place", "State", "diagnose"]

MIN_GIT: Final = (2, 30)
"""The git of the oldest systems that are tested (Debian 11)."""

MIN_ROOM: Final = 10 * 1024**3
"""Bytes: an environment with CUDA has about 8 GiB, and is there once packed and once unpacked."""

MUCH_CACHED: Final = 20 * 1024**3
"""Bytes: the packages of two or three environments with CUDA."""

_SECONDS: Final = 30.0


class State(enum.StrEnum):
    """How a check ended."""

    GOOD = "good"
    MISSING = "missing"  # and needed
    OPTIONAL = "optional"  # missing, and some things work without it


class Check(Struct, frozen=True, kw_only=True):
    """One thing that was looked for.

    Attributes:
        found: What is there, or why it does not work.
        purpose: What needs it.
        advice: How to get it, one way a line; empty where it is there.
    """

    name: str
    state: State
    found: str
    purpose: str
    advice: str = ""


class Place(Struct, frozen=True, kw_only=True):
    """A directory that repropack writes to.

    Attributes:
        purpose: What for.
        advice: What to do where it has no room, cannot be written or not be shown.
        shown: Whether executed code sees what is below it.
    """

    directory: Path
    purpose: str
    advice: str
    shown: bool = False


def diagnose(
    variables: Mapping[str, str], *, key: Callable[[], str], places: Iterable[Place]
) -> Iterator[Check]:
    """Looks at this machine, one thing after another.

    Args:
        variables: The user's environment variables.
        key: Says which key would sign.
        places: Directories that repropack writes to.

    Raises:
        UsageError: A configuration file of uv or pip cannot be read.
    """
    yield _git(variables)
    yield _sandbox()
    yield _limits()
    try:
        uv = find_uv(variables, load_index_settings(variables))
    except RepropackError as error:
        yield Check(
            name="uv",
            state=State.MISSING,
            found=error.message,
            purpose="rebuilding environments",
            advice=error.advice,
        )
    else:
        yield _uv(uv)
        yield _pythons(uv)
        yield _index(uv)
    yield _conda()
    yield _time_stamps()
    yield _second_search()
    yield _badges()
    yield _strace(variables)
    yield _gpu(variables)
    yield _key(key)
    yield _cache(variables)
    for place in places:
        yield _room(place)


def _git(variables: Mapping[str, str]) -> Check:
    purpose = "recording code; verify"
    version = _version("git", variables)
    if version is None:
        return Check(
            name="git",
            state=State.MISSING,
            found="not on PATH",
            purpose=purpose,
            advice="apt install git",
        )
    numbers = tuple(int(part) for part in version.split(".")[:2])
    return Check(
        name="git",
        state=State.GOOD if numbers >= MIN_GIT else State.MISSING,
        found=version,
        purpose=purpose,
        advice=""
        if numbers >= MIN_GIT
        else f"git {'.'.join(map(str, MIN_GIT))} or newer is needed",
    )


def _sandbox() -> Check:
    purpose = "executing code of others (verify)"
    found = find_sandbox()
    if isinstance(found, NoSandbox):
        return Check(
            name="sandbox",
            state=State.MISSING,
            found="; ".join(found.reasons),
            purpose=purpose,
            advice="\n".join(_sandbox_advice()),
        )
    text, advice = f"{found.kind}; {call_filter().summary}", ""
    if found.kind != "bubblewrap":
        bubblewrap = find_bubblewrap()
        reason = "not installed" if bubblewrap is None else probe(bubblewrap)
        text += f"; bubblewrap is the better one: {reason}"
        advice = "apt install bubblewrap, or pip install 'repropack[sandbox]'"
    return Check(name="sandbox", state=State.GOOD, found=text, purpose=purpose, advice=advice)


def _sandbox_advice() -> Iterator[str]:
    """What stands in the way, as far as the kernel says so."""
    if find_bubblewrap() is None:
        yield "apt install bubblewrap, or pip install 'repropack[sandbox]'"
    else:
        yield "a system that lets this user make namespaces (user_namespaces(7))"
    for setting, wrong, advice in (
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "AppArmor keeps ordinary users from making namespaces; the administrator allows it "
            "with `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or a profile for "
            "bwrap (package apparmor-profiles)",
        ),
        (
            "kernel/unprivileged_userns_clone",
            "0",
            "user namespaces are switched off: `sysctl -w kernel.unprivileged_userns_clone=1`",
        ),
        (
            "user/max_user_namespaces",
            "0",
            "user namespaces are switched off: `sysctl -w user.max_user_namespaces=10000`",
        ),
    ):
        if _setting(setting) == wrong:
            yield advice
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        yield (
            "this is a container: start it with `--security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined`, or verify "
            "outside of it"
        )


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text("ascii").strip()
    except OSError:
        # A kernel without this setting does not restrict it either.
        return ""


def _limits() -> Check:
    bounded = bounded_together()
    lacking = [name for name in ("memory", "processes") if name not in bounded]
    return Check(
        name="limits",
        state=State.OPTIONAL if lacking else State.GOOD,
        found="all"
        if not lacking
        else f"{' and '.join(lacking)} of a run cannot be bounded together",
        purpose="bounding what executed code uses",
        advice="a control group that this user may divide (systemd: Delegate=yes)"
        if lacking
        else "",
    )


def _uv(uv: Uv) -> Check:
    done = _say([uv.program, "--version"], uv.environment)
    version = re.search(r"\d+(\.\d+)+", done or "")
    return Check(
        name="uv",
        state=State.GOOD if version else State.MISSING,
        found=version[0] if version else f"{uv.program} does not start",
        purpose="rebuilding environments",
        advice="" if version else "pip install --force-reinstall uv",
    )


def _pythons(uv: Uv) -> Check:
    done = _say(
        [uv.program, "python", "list", "--only-installed", "--output-format", "json"],
        uv.environment,
    )
    try:
        listed = canonical.decode((done or "[]").encode(), list)
        found = {
            f"{'' if one['implementation'] == 'cpython' else one['implementation'] + ' '}"
            f"{one['version']}"
            for one in listed
        }
    except (canonical.NotCanonicalError, KeyError, TypeError):
        found = set()
    found.add(platform.python_version())
    return Check(
        name="Python",
        state=State.GOOD,
        found=", ".join(sorted(found, key=_by_number)),
        purpose="bundles of the same X.Y; others: uv python install X.Y.Z",
    )


def _by_number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def _index(uv: Uv) -> Check:
    settings = uv.settings
    named = [] if settings.no_index else [settings.index_url or "the usual index"]
    named += [] if settings.no_index else settings.extra_index_urls
    return Check(
        name="packages",
        state=State.GOOD,
        found=settings.conceal(", ".join([*named, *settings.find_links])) or "none",
        purpose="where packages come from (uv's configuration, else pip's); not asked now",
    )


def _conda() -> Check:
    purpose = "rebuilding environments of conda (verify)"
    return _of_an_extra("conda", "py-rattler", "rattler", "conda", purpose)


def _time_stamps() -> Check:
    purpose = "dating signatures (timestamp, verify --timestamp)"
    return _of_an_extra("time stamps", "rfc3161-client", "rfc3161_client", "timestamp", purpose)


def _second_search() -> Check:
    purpose = "a second search for secrets (export, scan)"
    return _of_an_extra("betterleaks", "pybetterleaks", "pybetterleaks", "scan", purpose)


def _badges() -> Check:
    return _of_an_extra("badges", "pillow", "PIL", "badge", "badges as PNG (verify --badge)")


def _of_an_extra(name: str, distribution: str, module: str, extra: str, purpose: str) -> Check:
    """Whether what an extra brings is installed."""
    there = importlib.util.find_spec(module) is not None
    return Check(
        name=name,
        state=State.GOOD if there else State.OPTIONAL,
        found=distribution if there else f"no {distribution}",
        purpose=purpose,
        advice="" if there else f"pip install 'repropack[{extra}]'",
    )


def _strace(variables: Mapping[str, str]) -> Check:
    purpose = "seeing what commands that are not Python read"
    program = process.find_program("strace", variables.get("PATH", ""))
    if program is None:
        return Check(
            name="strace",
            state=State.OPTIONAL,
            found="not on PATH",
            purpose=purpose,
            advice="apt install strace",
        )
    try:
        process.run(
            [program, "-f", "-e", "trace=none", "-o", os.devnull, "true"],
            environment={"PATH": variables.get("PATH", "")},
            timeout=_SECONDS,
        )
    except process.ProcessFailedError as error:
        return Check(
            name="strace",
            state=State.OPTIONAL,
            found=error.message,
            purpose=purpose,
            advice="a system that lets processes be traced (kernel.yama.ptrace_scope below 3)",
        )
    return Check(
        name="strace",
        state=State.GOOD,
        found=_version("strace", variables) or "works",
        purpose=purpose,
    )


def _gpu(variables: Mapping[str, str]) -> Check:
    accelerators = describe_machine(variables).accelerators
    nodes = gpu_devices()
    if "/dev/nvidiactl" in nodes and "/dev/nvidia-uvm" not in nodes:
        # The driver makes it when CUDA first asks for it, which nothing in a sandbox can.
        return Check(
            name="GPU",
            state=State.OPTIONAL,
            found=f"{', '.join(accelerators) or nodes[0]}; CUDA needs /dev/nvidia-uvm too",
            purpose="bundles whose runs used one",
            advice="nvidia-modprobe -c0 -u",
        )
    if accelerators or not nodes:
        return Check(
            name="GPU",
            state=State.GOOD if accelerators else State.OPTIONAL,
            found=", ".join(accelerators) or "none",
            purpose="bundles whose runs used one",
            advice="" if accelerators else "without one, such runs may give other numbers or fail",
        )
    return Check(
        name="GPU",
        state=State.OPTIONAL,
        found=f"{', '.join(nodes[:3])}, but nvidia-smi tells of none",
        purpose="bundles whose runs used one",
        advice="install the driver's tools, so that nvidia-smi works",
    )


def _key(key: Callable[[], str]) -> Check:
    try:
        return Check(name="key", state=State.GOOD, found=key(), purpose="signing (export)")
    except RepropackError as error:
        return Check(
            name="key",
            state=State.OPTIONAL,
            found=error.message,
            purpose="signing (export)",
            advice=error.advice or "repropack key new",
        )


def _cache(variables: Mapping[str, str]) -> Check:
    try:
        size = sum(one.size for one in contents(variables))
    except OSError as error:
        return Check(
            name="cache",
            state=State.OPTIONAL,
            found=f"{error.filename}: {error.strerror}",
            purpose="packages that were downloaded (verify)",
            advice="name another place by XDG_CACHE_HOME",
        )
    return Check(
        name="cache",
        state=State.GOOD,
        found=f"{size / 1024**3:.1f} GiB in {cache_directory(variables)}",
        purpose="packages that were downloaded; they can be again",
        advice="`repropack gc --cache` empties it" if size > MUCH_CACHED else "",
    )


def _room(place: Place) -> Check:
    asked = place.directory
    there = next((p for p in (asked, *asked.parents) if p.is_dir()), Path("/"))
    free = shutil.disk_usage(there).free
    writable = os.access(there, os.W_OK)
    hidden = why_not_shown(str(asked)) if place.shown else None
    good = free >= MIN_ROOM and writable and hidden is None
    return Check(
        name="room",
        state=State.GOOD if good else State.OPTIONAL,
        found=f"{free / 1024**3:.1f} GiB free in {there}"
        + ("" if writable else ", not writable")
        + ("" if hidden is None else f", not to be shown in a sandbox: {hidden}"),
        purpose=place.purpose,
        advice="" if good else place.advice,
    )


def _version(name: str, variables: Mapping[str, str]) -> str | None:
    program = process.find_program(name, variables.get("PATH", ""))
    said = _say([program, "--version"], {"LC_ALL": "C"}) if program else None
    found = re.search(r"\d+\.\d+(\.\d+)*", said or "")
    return found[0] if found else None


def _say(argv: list[str], environment: Mapping[str, str]) -> str | None:
    try:
        done = process.run(argv, environment=environment, directory=Path("/"), timeout=_SECONDS)
    except process.ProcessFailedError:
        # A program that cannot be asked is as good as none; the check says so.
        return None
    return done.stdout.decode("utf-8", "replace")
