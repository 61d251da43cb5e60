# SPDX-License-Identifier: Apache-2.0
"""Finds out who the author is, as far as her machine and her repositories tell."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterable
from pathlib import Path

from repropack.privacy.terms import Identity, Term, terms_of
from repropack.project_file import ProjectFile
from repropack.source.people import people_of, remotes_of

__all__ = ["identity_of", "own_terms"]


def own_terms(roots: Iterable[Path], declared: ProjectFile) -> tuple[Term, ...]:
    """The author's terms.

    Args:
        roots: Directories of her code: the project, and repositories that it uses.
        declared: What `repropack.yaml` says.

    Raises:
        RepropackError: git failed.
    """
    return terms_of(identity_of(roots, declared))


def identity_of(roots: Iterable[Path], declared: ProjectFile) -> Identity:
    """Collects names, addresses and places from git, the system and `repropack.yaml`.

    Raises:
        RepropackError: git failed.
    """
    present = [root for root in dict.fromkeys(roots) if root.is_dir()]
    users = {os.environ.get(name, "") for name in ("USER", "LOGNAME")}
    homes = {os.path.expanduser("~")}
    names = []
    with contextlib.suppress(KeyError):
        entry = pwd.getpwuid(os.getuid())
        users.add(entry.pw_name)
        homes.add(entry.pw_dir)
        # The full name, before the office and the telephone number (passwd(5), GECOS).
        names.append(entry.pw_gecos.partition(",")[0].strip())
    return Identity(
        people=tuple(
            dict.fromkeys(
                [(name, "") for name in names if " " in name]
                + [person for root in present for person in people_of(root)]
            )
        ),
        users=tuple(sorted(users - {""})),
        hosts=(os.uname().nodename,),
        homes=tuple(sorted(homes - {""})),
        remotes=tuple(dict.fromkeys(a for root in present for a in remotes_of(root))),
        affiliations=declared.affiliations,
    )
