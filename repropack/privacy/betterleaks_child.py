# SPDX-License-Identifier: Apache-2.0
"""The process in which betterleaks works: `python -I betterleaks_child.py LOCATION DIRECTORY`.

It gives up the network before it loads anything: its first act is to move into a network namespace
that has no way out, and where that is not permitted it ends. So no defect and no rule of
betterleaks, some of which can ask a provider whether a secret is valid, can send what it was
given. It imports nothing of repropack. What it finds is printed as one JSON document.
"""

from __future__ import annotations

import ctypes
import json
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

NO_NAMESPACE = 70
"""Exit status: the network could not be given up."""


def leave_network() -> bool:
    """Moves this process into an empty network namespace (unshare(2)).

    With privileges this is enough; without, a user namespace comes first.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    return any(libc.unshare(flags) == 0 for flags in (CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET))


def main(location: str, directory: str) -> int:
    """Searches a directory, with betterleaks' own rules and none that the directory brings."""
    if not leave_network():
        return NO_NAMESPACE
    sys.path.insert(0, location)
    from pybetterleaks import BetterleaksConfig, Extend, scan_dir

    # An explicit configuration: without one, it would look for files that bring their own.
    config = BetterleaksConfig(extend=Extend(use_default=True))
    result = scan_dir(directory, config=config, validation=False, redact=False)
    json.dump(
        {
            "version": result.betterleaks_version,
            "errors": [f"{one.code}: {one.message}" for one in result.errors],
            "findings": [
                {
                    "file": one.file or "",
                    "rule": one.rule_id,
                    "why": one.description or "",
                    "secret": one.secret or "",
                }
                for one in result.findings
            ],
        },
        sys.stdout,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
