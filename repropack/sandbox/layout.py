# SPDX-License-Identifier: Apache-2.0
"""What of this machine executed code sees, the same in every kind of sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from repropack.sandbox.gpu import SYS_OF_GPUS
from repropack.sandbox.spec import SandboxSpec

__all__ = ["ETC_FILES", "HOME", "etc_binds", "system_facts", "variables"]

HOME: Final = "/home/user"
"""The home of the executed code: an empty directory in memory."""

ETC_FILES: Final = {
    "passwd": f"user:x:1000:1000:user:{HOME}:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "group": "user:x:1000:\nnogroup:x:65534:\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    # gloo and other transports look their own name up, even for one machine.
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
}
"""Files of /etc that are made up: the machine's own tell of people and hosts."""

_ETC_SHOWN: Final = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "os-release", "debian_version"),
    *("localtime", "timezone", "locale.alias", "fonts", "mime.types", "magic", "perl", "R"),
)
"""Files of /etc that programs need and that say nothing about people."""

_SYS_SHOWN: Final = ("/sys/devices/system/cpu", "/sys/devices/system/node")
"""What numerics libraries count processors by; without it they choose other thread counts."""


def variables(spec: SandboxSpec) -> dict[str, str]:
    """All variables of the executed code."""
    return {"PATH": "/usr/bin:/bin", "HOME": HOME, "TMPDIR": "/tmp", **spec.environment}  # noqa: S108


def system_facts(spec: SandboxSpec) -> tuple[str, ...]:
    """Directories of /sys that are shown, read-only, where they are there."""
    return SYS_OF_GPUS if spec.devices else _SYS_SHOWN


def etc_binds(made: str | None) -> Iterator[tuple[str, str]]:
    """What is mounted, read-only, in /etc, as source and target; a source may be absent.

    Args:
        made: A directory with the files of `ETC_FILES`, or None for no such files.
    """
    for name in _ETC_SHOWN:
        path = f"/etc/{name}"
        # What a link leads to may not be visible inside, so the content is mounted in its place.
        yield os.path.realpath(path), path
    if made is not None:
        for name in ETC_FILES:
            yield os.path.join(made, name), f"/etc/{name}"
