# SPDX-License-Identifier: Apache-2.0
"""What of this machine's GPUs executed code is shown, if its author had one.

Sources: the device nodes of NVIDIA's driver (nvidia-container-toolkit, discovery of devices), what
NCCL reads of the PCI tree (src/misc/topo), what ROCm reads (libhsakmt, topology). NVIDIA's driver
from 570 on writes the names of its threads to /proc/self/task/*/comm, and cuInit fails with
error 304 where it cannot; nor may /sys be away.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from repropack import process
from repropack.sandbox.spec import SYSTEM

__all__ = [
    "DriverLibraries",
    "driver_libraries",
    "gpu_devices",
    "libraries_in",
    "open_proc",
]

NVIDIA: Final = "/dev/nvidia"
"""What their device files start with."""

SYS_OF_GPUS: Final = (
    *("/sys/devices", "/sys/bus/pci", "/sys/class/drm", "/sys/class/kfd", "/sys/class/pci_bus"),
    *("/sys/dev/char", "/sys/module/amdgpu"),
    *(f"/sys/module/nvidia{name}" for name in ("", "_drm", "_modeset", "_uvm")),
)
"""Where the libraries of NVIDIA and AMD find out which GPUs there are."""

_NODES: Final = (
    *("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/nvidia-caps-imex-channels/*"),
    *("/dev/kfd", "/dev/dri/*", "/dev/accel/*", "/dev/dxg"),
)

_DRIVER: Final = re.compile(
    r"(?:libcuda|libnvidia-[a-z0-9-]+|libnvcuvid|libamdhip64|libhsa-runtime64|libze_loader)\.so[.0-9]*"
)
"""Libraries that come with the driver, not with a framework: the environment cannot bring them."""

_LISTING_SECONDS: Final = 30.0


class DriverLibraries(Struct, frozen=True, kw_only=True):
    """Directories with the driver's libraries.

    Attributes:
        shown: Those outside of the system's own, which are not seen anyway.
        searched: Those that the loader finds only by LD_LIBRARY_PATH.
    """

    shown: tuple[str, ...]
    searched: tuple[str, ...]


def gpu_devices() -> tuple[str, ...]:
    """The device files of the GPUs of this machine."""
    found = {path for pattern in _NODES for path in glob.glob(pattern)}
    return tuple(sorted(path for path in found if not os.path.isdir(path)))


def driver_libraries(library_path: str) -> DriverLibraries:
    """Where the driver's libraries are, by the loader's cache and the reader's own search path.

    Args:
        library_path: The reader's LD_LIBRARY_PATH: containers and clusters name the place of the
            driver there.
    """
    cached = list(libraries_in(_loader_cache()))
    named = {os.path.basename(path) for path in cached}
    searched = [
        place
        for place in library_path.split(":")
        if place.startswith("/")
        and any(_DRIVER.fullmatch(name) and name not in named for name in _names(place))
    ]
    places = [*(os.path.dirname(path) for path in cached), *searched]
    # What a link leads to has to be there as well.
    places += [os.path.dirname(os.path.realpath(path)) for path in cached]
    places += [os.path.realpath(place) for place in searched]
    shown = dict.fromkeys(os.path.normpath(place) for place in places if not _in_system(place))
    return DriverLibraries(shown=tuple(shown), searched=tuple(dict.fromkeys(searched)))


def libraries_in(listing: str) -> Iterator[str]:
    """Paths of the driver's libraries in what `ldconfig -p` prints."""
    for line in listing.splitlines():
        name, arrow, path = line.partition(" => ")
        if arrow and path.startswith("/") and _DRIVER.fullmatch(name.split()[0]):
            yield path


def open_proc(devices: Iterable[str]) -> list[str]:
    """What of /proc has to be read-only by itself, where processes have to write to their own part.

    Whoever may do that may also write to the memory of other processes inside, the first one among
    them, which bubblewrap does not keep from it. It is as confined as the others are, but it is the
    one that ends with us: what it could leave behind, `confined` ends by its control group.

    Args:
        devices: What the code may use.

    Returns:
        What lies in /proc beside processes and can be written, or may hold what can be; nothing
        where all of it can be read-only.
    """
    if not any(device.startswith(NVIDIA) for device in devices):
        return []
    found = []
    for entry in sorted(os.scandir("/proc"), key=lambda entry: entry.name):
        of_machine = not entry.name.isdigit() and not entry.is_symlink()
        if of_machine and (entry.is_dir() or entry.stat().st_mode & 0o222):
            found.append(entry.path)
    return found


def _loader_cache() -> str:
    program = process.find_program("ldconfig", "/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return ""
    try:
        done = process.run(
            [program, "-p"], environment={}, directory=Path("/"), timeout=_LISTING_SECONDS
        )
    except process.ProcessFailedError:
        # musl has no such cache, and no driver of NVIDIA.
        return ""
    return done.stdout.decode("utf-8", "replace")


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def _in_system(path: str) -> bool:
    return any((os.path.normpath(path) + "/").startswith(top + "/") for top in SYSTEM)
