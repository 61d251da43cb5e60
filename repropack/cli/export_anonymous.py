# SPDX-License-Identifier: Apache-2.0
"""The part of `repropack export` that makes a release anonymous."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from repropack.cli.places import unlock_keys
from repropack.cli.progress import ProgressLine
from repropack.cli.screen import tell
from repropack.digest import sha256_hex
from repropack.errors import CannotDecideError, RepropackError, UsageError
from repropack.export import ExportPlan, Prepared, build
from repropack.export.anonymity import Anonymised, Anonymity
from repropack.export.anonymity_remarks import places_in_commands
from repropack.export.identity import anonymous_terms, author_of
from repropack.model import Author, Verdict
from repropack.privacy.replacement import ReplacementError, parse_replacements
from repropack.privacy.search import fingerprint
from repropack.privacy.terms import Term
from repropack.privacy.walk import Leak, Scanned
from repropack.project_file import read_project_file
from repropack.signing.policy import TrustPolicy
from repropack.store import Store, now
from repropack.store.authorships import SEALED_FOR, keep_authorship
from repropack.verify import Mode, Observer, VerifyRequest, verify

__all__ = [
    "asked_anonymity",
    "evaluate_again",
    "keeper",
    "places_told",
    "stricter",
    "terms_to_search",
]

TELLING: Final = frozenset({"e-mail", "internal-host", "slurm-account", "bucket"})
"""Rules whose findings tell who and where somebody is. They stop an anonymous export only."""


class NotReproducedError(RepropackError):
    """What would be signed does not give the claimed numbers (exit status 1)."""

    exit_status = 1


def asked_anonymity(
    store: Store,
    author: str | None,
    replacements: tuple[str, ...],
    key_names: tuple[str, ...],
) -> Anonymity:
    """Who the author is, and what she replaces.

    Raises:
        UsageError: It is not known, her key is not there, or a replacement is malformed.
    """
    name = author if author is not None else author_of(store.project, os.environ)
    if not name or not name.strip():
        raise UsageError(
            "--anonymous seals who you are into the release, and git does not know it",
            advice='say it with --author "Name <mail>": nobody sees it before you reveal it',
        )
    keys = unlock_keys(key_names)
    if len(keys) != 1:
        raise UsageError(
            "--anonymous seals one key into the release, with which you reveal yourself later",
            advice="give one --key; others can sign the release when it is no longer anonymous",
        )
    try:
        chosen = parse_replacements(replacements)
    except ReplacementError as error:
        raise UsageError(f"--replace {error}") from error
    ((own, passphrase),) = keys
    return Anonymity(
        author=Author(name=name.strip(), key=own.public.openssh),
        replacements=chosen,
        passphrase=passphrase,
    )


def terms_to_search(store: Store, asked: Anonymity, made: Anonymised) -> tuple[Term, ...]:
    """The terms that may stand nowhere in the release.

    Raises:
        RepropackError: git failed.
    """
    return anonymous_terms(
        store.project,
        _further_code(store, made.plan),
        read_project_file(store.project),
        asked.author.name,
        made.secret_terms(asked),
        [store.private(chained.stored) for chained in made.plan.chain],
    )


def _further_code(store: Store, planned: ExportPlan) -> list[Path]:
    """Repositories beside the project's own that the runs used."""
    found = set()
    for chained in planned.chain:
        found |= {
            store.project / root.root.removeprefix("{project}/")
            for segment in (chained.stored.record.segments if chained.stored.record else ())
            for root in segment.roots
            if root.root.startswith("{project}/")
        }
        found |= {
            Path(place)
            for place, name in store.private(chained.stored).prefixes.items()
            if name.startswith("code:") and os.path.isabs(place)
        }
    return sorted(found)


def stricter(scanned: Scanned) -> Scanned:
    """The same findings; those that tell who somebody is stop an anonymous export.

    Not in data sets and wheels: whose addresses they hold is another question. A finding that the
    author let pass under her own name is another one here, and has to be let pass anew.
    """
    return replace(scanned, leaks=tuple(_stricter(leak) for leak in scanned.leaks))


def places_told(scanned: Scanned, planned: ExportPlan) -> Scanned:
    """The same findings and the places of this machine that the commands name."""
    rule = "place in the command"
    found = []
    for number, path in places_in_commands(planned):
        member, sha256 = f"runs/{number}/run.json", fingerprint(rule, path.encode())
        found.append(
            Leak(
                id=sha256_hex(f"{member}\0{rule}\0{sha256}".encode())[:12],
                place=member,
                member=member,
                rule=rule,
                shown=path,
                sha256=sha256,
                blocks=True,
                why="no reader has it, and it tells how your disks are called: record the run with "
                "a path below the project or with --data NAME=DIR",
            )
        )
    return replace(scanned, leaks=(*found, *scanned.leaks))


def _stricter(leak: Leak) -> Leak:
    if leak.rule not in TELLING and not leak.rule.startswith("term: "):
        return leak
    sha256 = sha256_hex(b"anonymous\0" + leak.sha256.encode("ascii"))
    others = leak.member.startswith("data/") or leak.member.endswith(".whl")
    return replace(
        leak,
        id=sha256_hex(f"{leak.place}\0{leak.rule}\0{sha256}".encode())[:12],
        sha256=sha256,
        blocks=leak.blocks or not others,
    )


def keeper(store: Store, made: Anonymised) -> Callable[[str], None]:
    """Keeps what reveals the author later, once the bundle's digest is known.

    They are written before the bundle gets its name; those of a bundle that then could not be
    written do no harm.
    """

    def keep(manifest_sha256: str) -> None:
        keep_authorship(
            store.directory,
            replace(made.kept, manifest_sha256=manifest_sha256),
            made.key_file,
            made.key.secret_for(SEALED_FOR),
        )

    return keep


def evaluate_again(prepared: Prepared, variables: Mapping[str, str], *, quiet: bool) -> None:
    """Repeats what is about to be signed, for it is not what the author ran.

    Raises:
        NotReproducedError: It does not give the claimed numbers.
        CannotDecideError: It could not be repeated, or nothing is claimed.
    """
    planned = prepared.plan
    if not quiet:
        tell("repropack: what goes out is not what ran: evaluating it before it is signed")
    with tempfile.TemporaryDirectory(prefix="repropack-anonymous-") as scratch:
        # It stays here.
        trial = build(prepared, None, Path(scratch) / "trial.rpk").bundle.path
        with ProgressLine(quiet=quiet) as line:
            report = verify(
                VerifyRequest(
                    bundle=trial,
                    mode=Mode.EVALUATE,
                    policy=TrustPolicy(),
                    allow_unknown_signer=True,
                    offline=_is_complete(planned),
                    data=planned.data_at_hand(),
                ),
                variables,
                Observer(tell=line.tell, advance=line.advance, live=line.live),
                now=now(),
            )
    if report.verdict is Verdict.REPRODUCED:
        return
    if report.verdict is Verdict.INCONCLUSIVE:
        raise CannotDecideError(
            f"what would be signed could not be evaluated: {report.reason}; nothing was written",
            advice="mend that, or say --unevaluated to sign what nobody has run",
        )
    raise NotReproducedError(
        f"what would be signed does not give the claimed numbers: {report.reason}; nothing was "
        "written",
        advice="replace or withhold something else, or record the code as it is to go out",
    )


def _is_complete(planned: ExportPlan) -> bool:
    """Whether all packages are inside, so that nobody needs a network."""
    return all(
        one.environment.python is None
        or (not one.unlocked and not one.absent and len(one.wheels) == len(one.locked))
        for one in planned.environments
    )
