# SPDX-License-Identifier: Apache-2.0
"""Who is at work on which machine: what a release must not tell, wherever it is exported from.

A run is often recorded on a node of a cluster and exported on a laptop, where user, home and host
have other names. So they are kept with the run, in the store alone.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from typing import Final

from msgspec import Struct

__all__ = ["Whereabouts", "whereabouts"]

_CLUSTERS: Final = (
    "SLURM_CLUSTER_NAME",
    "SLURM_SUBMIT_HOST",
    "PBS_O_HOST",
    "LSB_SUB_HOST",
    "SGE_O_HOST",
)
"""Variables of schedulers that name a cluster or its login host."""


class Whereabouts(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Names of a person and of a machine.

    Attributes:
        names: The full name that the system has of the user.
        users: Her user names,
        homes: and home directories.
        hosts: Names of the machine.
        clusters: Names that a scheduler gives to the cluster and its login host.
    """

    names: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()


def whereabouts() -> Whereabouts:
    """Those of this process."""
    names = []
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME")}
    homes = {os.path.expanduser("~")}
    with contextlib.suppress(KeyError):
        entry = pwd.getpwuid(os.getuid())
        users.add(entry.pw_name)
        homes.add(entry.pw_dir)
        # The full name, before the office and the telephone number (passwd(5), GECOS).
        names.append(entry.pw_gecos.partition(",")[0].strip())
    clusters = {os.environ.get(variable, "") for variable in _CLUSTERS}
    return Whereabouts(
        names=tuple(name for name in names if " " in name),
        users=tuple(sorted(users - {""})),
        homes=tuple(sorted(homes - {""})),
        hosts=(os.uname().nodename,),
        clusters=tuple(sorted(clusters - {""})),
    )
