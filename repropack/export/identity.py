# SPDX-License-Identifier: Apache-2.0
"""Finds out who the author is, as far as her machine and her repositories tell."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from repropack.environment.whereabouts import Whereabouts, whereabouts
from repropack.privacy.terms import Identity, Term, terms_of
from repropack.project_file import ProjectFile
from repropack.source.people import (
    committers_of,
    configured_person,
    people_of,
    remotes_of,
)
from repropack.store.runs import PrivateFacts

__all__ = ["anonymous_terms", "author_of", "identity_of", "own_terms"]


def own_terms(
    roots: Iterable[Path], declared: ProjectFile, recorded: Sequence[PrivateFacts] = ()
) -> tuple[Term, ...]:
    """The author's terms.

    Args:
        roots: Directories of her code: the project, and repositories that it uses.
        declared: What `repropack.yaml` says.
        recorded: Facts of the runs: who recorded them, and where.

    Raises:
        RepropackError: git failed.
    """
    return terms_of(identity_of(roots, declared, recorded))


def anonymous_terms(
    project: Path,
    further: Iterable[Path],
    declared: ProjectFile,
    author: str,
    secrets: Iterable[str],
    recorded: Sequence[PrivateFacts] = (),
) -> tuple[Term, ...]:
    """The author's terms where nothing may tell who she is: also where she is.

    Args:
        project: Her project.
        further: Other repositories that it uses. Of those in which she has committed, the owners
            of the remotes are terms; their other authors are not she.
        declared: What `repropack.yaml` says.
        author: What she calls herself, such as `Name <mail>`.
        secrets: Further texts that must stand nowhere.
        recorded: Facts of the runs: who recorded them, and where.

    Raises:
        RepropackError: git failed.
    """
    known = identity_of([project], declared, recorded)
    name, _, mail = (part.strip(" >") for part in author.partition("<"))
    mails = {mail, *(other for _, other in known.people)} - {""}
    hers = [
        root
        for root in further
        if root.is_dir() and mails & {other for _, other in committers_of(root)}
    ]
    clusters = (name for at in _present_and(recorded) for name in at.clusters)
    return terms_of(
        msgspec.structs.replace(
            known,
            people=((name, mail), *known.people),
            remotes=(*known.remotes, *(each for root in hers for each in remotes_of(root))),
            hosts=(*known.hosts, *dict.fromkeys(clusters)),
            declared=tuple(dict.fromkeys((*secrets, *_time_zones()))),
        )
    )


def _time_zones() -> tuple[str, ...]:
    """The place that names the time zone of this machine, such as `Europe/Zurich`."""
    found = {os.environ.get("TZ", "").lstrip(":")}
    with contextlib.suppress(OSError):
        found.add(Path("/etc/timezone").read_text(encoding="utf-8", errors="replace").strip())
    with contextlib.suppress(OSError):
        found.add(os.readlink("/etc/localtime").rpartition("/zoneinfo/")[2])
    return tuple(
        sorted(zone for zone in found if "/" in zone and not zone.startswith(("Etc/", "/")))
    )


def author_of(project: Path, variables: Mapping[str, str]) -> str | None:
    """What git would write as the author: `Name <mail>`; None where it does not know.

    Raises:
        RepropackError: git failed.
    """
    name, mail = configured_person(project) or ("", "")
    name = variables.get("GIT_AUTHOR_NAME") or name
    mail = variables.get("GIT_AUTHOR_EMAIL") or mail
    return (f"{name} <{mail}>" if mail else name) if name else None


def identity_of(
    roots: Iterable[Path], declared: ProjectFile, recorded: Sequence[PrivateFacts] = ()
) -> Identity:
    """Collects names, addresses and places from git, the system, runs and `repropack.yaml`.

    Raises:
        RepropackError: git failed.
    """
    present = [root for root in dict.fromkeys(roots) if root.is_dir()]
    places = _present_and(recorded)
    return Identity(
        people=tuple(
            dict.fromkeys(
                [(name, "") for at in places for name in at.names]
                + [person for root in present for person in people_of(root)]
            )
        ),
        users=tuple(dict.fromkeys(name for at in places for name in at.users)),
        hosts=tuple(dict.fromkeys(name for at in places for name in at.hosts)),
        homes=tuple(dict.fromkeys(place for at in places for place in at.homes)),
        remotes=tuple(dict.fromkeys(a for root in present for a in remotes_of(root))),
        affiliations=declared.affiliations,
    )


def _present_and(recorded: Sequence[PrivateFacts]) -> list[Whereabouts]:
    """Where the author is, and where she was when she recorded."""
    known = {field.name for field in msgspec.structs.fields(Whereabouts)}
    return [
        whereabouts(),
        *(
            Whereabouts(**{k: v for k, v in facts.recorded_at.items() if k in known})
            for facts in recorded
        ),
    ]
