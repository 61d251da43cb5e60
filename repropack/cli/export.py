# SPDX-License-Identifier: Apache-2.0
"""`repropack export`."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

import click
from msgspec.structs import replace

from repropack import canonical
from repropack.bundle import existing_volumes
from repropack.cli.export_anonymous import (
    asked_anonymity,
    evaluate_again,
    keeper,
    places_told,
    stricter,
    terms_to_search,
)
from repropack.cli.export_document import document_of, with_written
from repropack.cli.export_screen import ExportScreen, show_screen
from repropack.cli.leaks import waive
from repropack.cli.places import KEY_HELP, frame_notes, load_keys
from repropack.cli.progress import byte_progress
from repropack.cli.screen import bold, dim, human_size, plural, say, tell
from repropack.cli.sizes import parse_size
from repropack.environment.cache import apart
from repropack.errors import UsageError
from repropack.export import (
    Exported,
    ExportPlan,
    ExportRequest,
    build,
    plan,
    prepare,
)
from repropack.export.anonymity import Anonymity, anonymise
from repropack.export.environments import public_wheels
from repropack.export.gate import clear, look
from repropack.export.identity import own_terms
from repropack.export.private_code import Withholding
from repropack.project_file import read_project_file
from repropack.signing.keys import Signer
from repropack.source.private import extend
from repropack.store import STORE_NAME, Store

__all__ = ["command"]


@click.command("export")
@click.option("--run", "run", metavar="ID", default="last", help="Which run; `last` if left out.")
@click.option("-o", "--output", metavar="FILE", help="The file to write; NAME-ID.rpk if left out.")
@click.option(
    "--weights",
    metavar="PATH",
    multiple=True,
    help="An output to pack, or a pattern; instead of the usual choice. Repeatable.",
)
@click.option("--include-data", is_flag=True, help="Pack the data sets too, not only their lists.")
@click.option(
    "--wheels/--no-wheels",
    default=None,
    help="Pack the packages too (wheels), so that a reader needs no package index. Done for "
    "--anonymous, left for others, unless you say otherwise.",
)
@click.option(
    "--anonymous",
    is_flag=True,
    help="For double-blind review: a key of its own, nothing that tells who you are. You can "
    "prove later that it is yours (`repropack reveal`).",
)
@click.option(
    "--author",
    metavar="TEXT",
    help="With --anonymous: who you are, as `Name <mail>`; sealed until you reveal it. What git "
    "knows if left out.",
)
@click.option(
    "--replace",
    "replacements",
    metavar="TERM=TEXT",
    multiple=True,
    help="With --anonymous: write TEXT for TERM in the code and the records. What goes out is "
    "then evaluated before it is signed. Repeatable.",
)
@click.option(
    "--unevaluated",
    is_flag=True,
    help="With --anonymous: sign changed code that has not been evaluated.",
)
@click.option(
    "--withhold",
    "withheld",
    metavar="GLOB",
    multiple=True,
    help="Leave files of the code out; the release says how many and by which patterns. "
    "Repeatable.",
)
@click.option(
    "--export-ignore",
    is_flag=True,
    help="Leave out what .gitattributes mark with export-ignore, as git archive does.",
)
@click.option(
    "--tell-withheld", is_flag=True, help="Name in the release the files that are left out."
)
@click.option(
    "--key", "key_names", metavar="KEY", multiple=True, help=KEY_HELP + " Repeatable: each signs."
)
@click.option(
    "--volumes",
    metavar="SIZE",
    help="Write FILE.001, FILE.002, … of at most this size, such as 500M or 2G.",
)
@click.option(
    "--calibrate",
    metavar="N",
    type=click.IntRange(1, 1000),
    help="Evaluate the packed files N times before signing: claims that are not met are refused, "
    "noisy ones get a tolerance that covers their noise.",
)
@click.option(
    "--waive",
    "waived",
    metavar="ID",
    multiple=True,
    help="Let this finding of the leak gate pass, now and later. Repeatable.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show all of it, search it, write nothing; what has to be downloaded is not kept.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def command(
    run: str,
    output: str | None,
    weights: tuple[str, ...],
    include_data: bool,
    wheels: bool | None,
    anonymous: bool,
    author: str | None,
    replacements: tuple[str, ...],
    unevaluated: bool,
    withheld: tuple[str, ...],
    export_ignore: bool,
    tell_withheld: bool,
    key_names: tuple[str, ...],
    volumes: str | None,
    calibrate: int | None,
    waived: tuple[str, ...],
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> int:
    r"""Build one signed file from a recorded run and the runs it was made from.

    All of it is searched first, for secrets and for what tells who you are. What is found stops the
    export until you remove it, or let it pass with --waive.

    \b
    Exit status:
      0  the file is written (or could be: --dry-run)
      1  something was found that must not go out, or what would be signed does
         not give the claimed numbers; nothing is written
      2  wrong usage
      3  it could not be done, or not be evaluated
    """
    if dry_run and calibrate is not None:
        raise UsageError(
            "--calibrate repeats the run, which installs packages; --dry-run writes nothing",
            advice="leave one of them out",
        )
    place = _temporary() if dry_run else None
    store = _find_store(place)
    store.share()
    # What can be refused at once is refused before the package index is asked.
    store.finished(store.resolve(run))
    volume_size = parse_size("--volumes", volumes) if volumes is not None else None
    named = _checked_destination(output) if output is not None else None
    if named is not None and volume_size is not None:
        _refuse_present(named)
    asked = None
    if anonymous:
        asked = asked_anonymity(store, author, replacements, key_names)
    elif author is not None or replacements or unevaluated:
        raise UsageError("--author, --replace and --unevaluated are about --anonymous")
    keys: tuple[Signer, ...] = () if asked is not None else load_keys(key_names)
    if not as_json:
        tell("repropack: looking up the packages' digests")
    planned = plan(
        ExportRequest(
            run=run,
            weights=weights,
            include_data=include_data,
            wheels=anonymous if wheels is None else wheels,
            withholding=Withholding(
                patterns=withheld, export_ignore=export_ignore, tell_paths=tell_withheld
            ),
        ),
        store,
        dict(os.environ) if place is None else apart(os.environ, place / "cache"),
        _silent if as_json else lambda text: tell(f"repropack: {text}"),
    )
    made = None
    if asked is not None:
        made = anonymise(planned, asked)
        planned, keys = made.plan, (made.key,)
    if calibrate is not None:
        planned = _calibrated(planned, keys, calibrate, quiet=as_json)
    destination = named or _usual_destination(planned)
    if named is None and volume_size is not None:
        _refuse_present(destination)
    with prepare(planned, keys, destination.name) as prepared:
        if not as_json:
            tell("repropack: searching what goes out for secrets and for your names")
        scanned = look(
            prepared.sources,
            prepared.places,
            own_terms(
                [store.project],
                read_project_file(store.project),
                [store.private(chained.stored) for chained in planned.chain],
            )
            if asked is None or made is None
            else terms_to_search(store, asked, made),
            anonymous=anonymous,
            public=public_wheels(planned.environments),
        )
        if made is not None:
            scanned = places_told(stricter(scanned), planned)
        pending = made is not None and made.changed and not unevaluated and calibrate is None
        leaks, passed, waivers = waive(store, scanned.leaks, waived, keep=not dry_run)
        stopped = any(leak.blocks for leak in leaks)
        screen = ExportScreen(
            prepared=prepared,
            scanned=scanned,
            leaks=leaks,
            waived=passed,
            destination=destination,
            volume_size=volume_size,
            anonymised=made,
            pending=pending,
            calibrated=calibrate is not None,
        )
        if not as_json:
            show_screen(screen)
        if as_json and (dry_run or stopped):
            document = document_of(screen, None if stopped else _without_dry_run())
            say(canonical.encode(document).decode())
        if stopped and as_json:
            return 1
        cleared = clear(scanned, waivers)
        if dry_run:
            if not as_json:
                say(f"nothing was written (--dry-run); next: {bold(_without_dry_run())}")
            return 0
        if pending:
            evaluate_again(prepared, dict(os.environ), quiet=as_json)
        if not (yes or as_json) and sys.stdin.isatty():
            click.confirm("Write and sign it?", default=True, abort=True, err=True)
        total = sum(prepared.sizes().values())
        with byte_progress("packing", total, quiet=as_json) as advance:
            exported = build(
                prepared,
                cleared,
                destination,
                advance,
                volume_size=volume_size,
                keep=None if made is None else keeper(store, made),
                # How an earlier bundle was compressed is nothing that this one should show.
                frame_notes=None if anonymous else frame_notes(),
            )
        if as_json:
            document = document_of(screen, _verifying(exported, anonymous=anonymous))
            say(canonical.encode(with_written(document, exported)).decode())
            return 0
    _show_result(exported, asked)
    return 0


def _temporary() -> Path:
    """A directory for what a dry run makes, until the command ends."""
    context = click.get_current_context()
    return Path(context.with_resource(tempfile.TemporaryDirectory(prefix="repropack-dry-run-")))


def _find_store(place: Path | None) -> Store:
    """The store; where there is a place for what would be added to it, one that takes nothing."""
    store = Store.find(Path.cwd())
    if place is None:
        return store
    extend(store.git, place / "git")
    return Store.find(Path.cwd(), place)


def _calibrated(
    planned: ExportPlan, keys: tuple[Signer, ...], runs: int, *, quiet: bool
) -> ExportPlan:
    """The plan with claims that repetitions of the packed files meet.

    Raises:
        CannotDecideError: The packed files could not be evaluated here.
        UsageError: A claim is not met.
    """
    from repropack.cli.calibrate import measure, show_calibrations
    from repropack.export.calibration import apply
    from repropack.signing.policy import TrustPolicy
    from repropack.verify import Mode, VerifyRequest

    with tempfile.TemporaryDirectory(prefix="repropack-calibrate-") as scratch:
        with prepare(planned, keys, "trial.rpk") as prepared:
            # It stays here.
            trial = build(prepared, None, Path(scratch) / "trial.rpk").bundle.path
        found = measure(
            VerifyRequest(
                bundle=trial,
                mode=Mode.EVALUATE,
                policy=TrustPolicy(),
                runs=runs,
                allow_unknown_signer=True,
                data=planned.data_at_hand(),
            ),
            "what would be signed",
            quiet=quiet,
        )
    if not quiet:
        show_calibrations(found)
    # The report's claims are made printable; the plan's own go into the release.
    repeated = {(c.mode, c.source.identity): c for c in planned.claims}
    changed = {}
    for one in found:
        key = (one.claim.mode, one.claim.source.identity)
        changed[key] = apply(replace(one, claim=repeated.get(key, one.claim)))
    return replace(
        planned,
        claims=tuple(changed.get((c.mode, c.source.identity), c) for c in planned.claims),
    )


def _refuse_present(destination: Path) -> None:
    present = existing_volumes(destination)
    if present:
        raise UsageError(
            f"{present[0]} is there already", advice="remove the old volumes, or choose another -o"
        )


def _usual_destination(planned: ExportPlan) -> Path:
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", planned.title).strip("-.") or "release"
    return Path.cwd() / f"{stem}-{planned.chain[-1].record.id}.rpk"


def _checked_destination(output: str) -> Path:
    path = Path(os.path.normpath(Path(output).expanduser().absolute()))
    if path.is_symlink():
        # The file that it leads to is meant; a rename would replace the link.
        path = Path(os.path.realpath(path))
    if path.is_dir():
        raise UsageError(f"{path} is a directory", advice="give the name of a file with -o")
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is no regular file", advice="give another name with -o")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is not a directory", advice="make it first")
    return path


def _silent(_: str) -> None:
    """For `--json`, where only the document is printed."""


def _show_result(exported: Exported, asked: Anonymity | None) -> None:
    bundle = exported.bundle
    volumes = f" and its further volumes, {bundle.volumes} together" if bundle.volumes else ""
    say(
        f"{dim('written')}    {bundle.path}{volumes}  {human_size(bundle.size)}, "
        f"{plural(len(bundle.manifest.members), 'file')} ({human_size(bundle.content_size)})"
    )
    say(f"{dim('digest')}     sha256:{bundle.manifest_sha256}  (of its manifest: for the paper)")
    if asked is not None:
        say(
            f"{dim('kept')}       {STORE_NAME}/anonymous/{bundle.manifest_sha256}.json  without it "
            "nobody can prove that the release is yours: keep a copy of the store"
        )
        say(
            "           the release's key in it is protected by the passphrase of your own"
            if asked.passphrase
            else "           the release's key in it is in clear text: you typed no passphrase for "
            "your own"
        )
    say(f"next: {bold(_verifying(exported, anonymous=asked is not None))}")


def _verifying(exported: Exported, *, anonymous: bool) -> str:
    """The command that a reader types, as the author types it here."""
    bundle = exported.bundle
    shortest = min(str(bundle.path), os.path.relpath(bundle.path), key=len)
    if anonymous:
        named = ["--expect", f"sha256:{bundle.manifest_sha256}"]
    else:
        named = [word for signer in exported.signers for word in ("--signer", signer)]
        if len(exported.signers) > 1:
            named += ["--threshold", str(len(exported.signers))]
    return shlex.join(["repropack", "verify", shortest, *named])


def _without_dry_run() -> str:
    return shlex.join(["repropack", "export", *(w for w in sys.argv[2:] if w != "--dry-run")])
