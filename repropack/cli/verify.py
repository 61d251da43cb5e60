# SPDX-License-Identifier: Apache-2.0
"""`repropack verify`."""

from __future__ import annotations

import datetime as dt
import os
import shlex
import sys
from typing import Final

import click
from msgspec.structs import replace
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from repropack.cli import repetition_options
from repropack.cli.durations import parse_duration
from repropack.cli.location import existing_bundle
from repropack.cli.places import KEY_HELP, load_keys, trust_policy, trusted_signers
from repropack.cli.progress import ProgressLine
from repropack.cli.report_files import complain_of_missing, leave, output_path, say_left
from repropack.cli.run import parse_data
from repropack.cli.screen import bold, complain, plural, say, tell
from repropack.cli.sizes import parse_size
from repropack.cli.timestamp import read_stamp
from repropack.cli.verdict import say_report, verdict_line
from repropack.environment.machine import describe_machine
from repropack.errors import CannotDecideError, UsageError
from repropack.escaping import show
from repropack.findings import Code
from repropack.model import ClaimMode, Report, SignerStatus, Verdict
from repropack.reports import render
from repropack.reports.badge import check_form
from repropack.reports.badge import render as render_badge
from repropack.sandbox import Limits, usual_limits
from repropack.signing.dsse import seal
from repropack.signing.keys import Signer
from repropack.signing.trusted import TrustedSigner, trust
from repropack.store import now
from repropack.verify import Mode, Observer, VerifyRequest, verify
from repropack.verify.receipts import is_receiptable, receipt_payload

__all__ = ["command", "parse_digest"]


_LASTING: Final = frozenset(
    {
        "signers",
        "threshold",
        "pin",
        "expect",
        "stamp",
        "authorities",
        "allow_unknown_signer",
        "data",
        "memory",
        "time_limit",
        "packages",
        "no_sandbox",
        "offline",
    }
)
"""Options about whom the reader trusts and about her machine."""

MIN_MEMORY = 64 * 1024 * 1024
"""Bytes: with less, not even an interpreter starts."""


@click.command("verify")
@click.argument("bundle", metavar="FILE|DIR|URL")
@click.option("--no-run", is_flag=True, help="Check bytes and signer only.")
@click.option(
    "--evaluate", is_flag=True, help="Repeat the claimed run on the packed weights (the default)."
)
@click.option("--retrain", is_flag=True, help="Repeat every run, in order.")
@click.option(
    "--new-seed",
    is_flag=True,
    help="With --retrain: train with seeds that the author did not use, and compare with hers. "
    "They are drawn at random and said.",
)
@click.option(
    "--seed",
    "seeds",
    metavar="N",
    multiple=True,
    type=click.IntRange(0, 2**32 - 1),
    help="With --new-seed: the seed instead of a drawn one, such as to repeat what somebody else "
    "did. Repeatable: one for each run.",
)
@click.option(
    "--runs",
    metavar="N",
    type=click.IntRange(1, 1000),
    default=1,
    help="Repeat N times; what is claimed of a mean needs several.",
)
@click.option(
    "--signer",
    "signers",
    metavar="FINGERPRINT|FILE",
    multiple=True,
    help="Accept this signer and no other: a fingerprint, a public key, or an OpenSSH "
    "allowed_signers file. Repeatable; one of them must have signed.",
)
@click.option(
    "--threshold",
    metavar="N",
    type=click.IntRange(1, 64),
    help="At least N of the named signers must have signed.",
)
@click.option(
    "--pin",
    metavar="NAME",
    help="The signer must be the one whom you know as NAME; if there is none yet, remember this "
    "one, unseen.",
)
@click.option("--expect", metavar="sha256:…", help="The manifest digest that the paper states.")
@click.option(
    "--timestamp",
    "stamp",
    metavar="FILE.tsr",
    help="The time stamp of the bundle (`repropack timestamp`). What is older than the revocation "
    "of its key still counts.",
)
@click.option(
    "--tsa-ca",
    "authorities",
    metavar="FILE.pem",
    help="The certificates of the time-stamping authority that you accept.",
)
@click.option("--allow-unknown-signer", is_flag=True, help="Exit with 0 instead of 4.")
@click.option("--data", metavar="NAME=DIR", multiple=True, help="Where a data set is. Repeatable.")
@click.option(
    "--memory",
    metavar="SIZE",
    help="What the code may use of memory, such as 16G; 90 % of this machine's if left out.",
)
@repetition_options.time_limit
@click.option(
    "--package",
    "packages",
    metavar="NAME==VERSION",
    multiple=True,
    help="Install this version instead of the recorded one, from your package index, to see what "
    "hangs on it. Repeatable.",
)
@repetition_options.no_sandbox
@repetition_options.offline
@click.option(
    "--explain",
    is_flag=True,
    help="If a number differs, repeat with one setting changed at a time (threads, instruction "
    "sets, hash seed, versions of --package) to see which of them it depends on.",
)
@repetition_options.report
@click.option("--badge", metavar="FILE.svg|FILE.png", help="Write the verdict as a small picture.")
@click.option(
    "--receipt", metavar="FILE", help="Write and sign what came of it, for others to count."
)
@click.option(
    "--key",
    "key_names",
    metavar="KEY",
    multiple=True,
    help="For --receipt. " + KEY_HELP + " Repeatable.",
)
@repetition_options.as_json
@repetition_options.keep_work
def command(
    bundle: str,
    no_run: bool,
    evaluate: bool,
    retrain: bool,
    new_seed: bool,
    seeds: tuple[int, ...],
    runs: int,
    signers: tuple[str, ...],
    threshold: int | None,
    pin: str | None,
    expect: str | None,
    stamp: str | None,
    authorities: str | None,
    allow_unknown_signer: bool,
    data: tuple[str, ...],
    memory: str | None,
    time_limit: str | None,
    packages: tuple[str, ...],
    no_sandbox: bool,
    offline: bool,
    explain: bool,
    report: str | None,
    badge: str | None,
    receipt: str | None,
    key_names: tuple[str, ...],
    as_json: bool,
    keep_work: bool,
) -> int:
    """Check a bundle's bytes and signer, rebuild its environment, repeat its runs, compare.

    The bundle is an .rpk file, the first of its volumes (.rpk.001), a directory into which it was
    extracted, or an https address.

    \b
    Exit status:
      0  what was asked for holds
      1  it was checked and does not hold
      2  wrong usage
      3  it could not be decided
      4  it holds, but the signer is not established
    """  # noqa: D301 - click wants the character itself, not its name
    request = VerifyRequest(
        bundle=existing_bundle(bundle),
        mode=_mode(no_run=no_run, evaluate=evaluate, retrain=retrain),
        runs=_runs(runs, seeds, no_run=no_run),
        new_seeds=_new_seeds(new_seed, seeds, retrain=retrain),
        seeds=tuple(map(str, seeds)),
        policy=trust_policy(signers, threshold=threshold, pin=pin),
        expected_manifest=parse_digest(expect),
        stamp=read_stamp(stamp, authorities),
        allow_unknown_signer=allow_unknown_signer,
        data=parse_data(data),
        sandbox=not no_sandbox,
        limits=_limits(memory, no_sandbox=no_sandbox),
        wall_seconds=parse_duration("--time", time_limit) if time_limit is not None else None,
        offline=offline,
        keep_work=keep_work,
        explain=explain,
        versions=_versions(packages, no_run=no_run, offline=offline),
    )
    if explain and request.mode is Mode.NO_RUN:
        raise UsageError(
            "--explain repeats runs, and --no-run repeats none", advice="leave one out"
        )
    report_path = output_path("--report", report)
    badge_path = output_path("--badge", badge)
    if badge is not None:
        check_form(badge)
    receipt_path = output_path("--receipt", receipt)
    if receipt_path is not None and request.mode is Mode.NO_RUN:
        raise UsageError(
            "--receipt says what a repetition gave, and --no-run repeats nothing",
            advice="leave one out",
        )
    if receipt_path is not None and packages:
        raise UsageError(
            "--receipt is about the recorded environment, and --package changes it",
            advice="leave one out",
        )
    if key_names and receipt_path is None:
        raise UsageError("--key signs a receipt", advice="give --receipt FILE as well")
    keys = load_keys(key_names) if receipt_path is not None else ()
    with ProgressLine(quiet=as_json) as line:
        result = verify(
            request,
            dict(os.environ),
            Observer(tell=line.tell, advance=line.advance, live=line.live, kept=line.kept),
            now=now(),
        )
    left = (
        *leave("report", report_path, lambda: render("html", result).encode()),
        *leave("badge", badge_path, lambda: render_badge(result, badge or "")),
        *leave("receipt", receipt_path, lambda: _receipt(result, keys)),
    )
    if as_json:
        say(render("json", result).rstrip("\n"))
    else:
        say_report(result)
        say_left(left)
        if result.work is not None:
            say(f"work directory: {result.work}")
        say(verdict_line(result.verdict, result.reason))
        _say_next(result, bundle, _lasting_words())
    missing = complain_of_missing(left)
    remembered = _remember_pin(pin, result)
    return result.exit_status or (3 if missing or not remembered else 0)


def _lasting_words() -> list[str]:
    """The options of this call that hold for the next one of the same bundle too."""
    context = click.get_current_context()
    words: list[str] = []
    for option in context.command.params:
        value = context.params.get(option.name or "")
        if option.name not in _LASTING or not value:
            continue
        if isinstance(option, click.Option) and option.is_flag:
            words.append(option.opts[0])
        else:
            for one in value if isinstance(value, tuple) else (value,):
                words += [option.opts[0], str(one)]
    return words


def _limits(memory: str | None, *, no_sandbox: bool) -> Limits | None:
    if memory is None:
        return None
    if no_sandbox:
        raise UsageError("--memory is a limit of the sandbox: leave it or --no-sandbox out")
    size = parse_size("--memory", memory)
    if size < MIN_MEMORY:
        raise UsageError(f"--memory {memory}: expected at least 64M, such as 16G")
    return replace(usual_limits(), memory=size, address_space=size)


def _versions(packages: tuple[str, ...], *, no_run: bool, offline: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in packages:
        name, _, version = text.partition("==")
        name, version = canonicalize_name(name.strip()), version.strip()
        try:
            Version(version)
        except InvalidVersion:
            raise UsageError(f"--package {text}: expected such as numpy==1.26.4") from None
        if found.setdefault(name, version) != version:
            raise UsageError(f"--package names two versions of {name}: give one of them")
    if found and (no_run or offline):
        other = "--no-run" if no_run else "--offline"
        raise UsageError(f"--package installs from your package index: leave it or {other} out")
    return found


def _runs(runs: int, seeds: tuple[int, ...], *, no_run: bool) -> int:
    if runs > 1 and no_run:
        raise UsageError("--runs repeats what --no-run does not run: give one of them")
    if len(set(seeds)) != len(seeds):
        raise UsageError("--seed names one seed twice, which gives the same run twice")
    if seeds and runs not in (1, len(seeds)):
        raise UsageError(
            f"--runs {runs} and {plural(len(seeds), 'seed')}: each run has one",
            advice="give as many --seed, or leave --runs out",
        )
    return len(seeds) or runs


def _new_seeds(new_seed: bool, seeds: tuple[int, ...], *, retrain: bool) -> bool:
    if seeds and not new_seed:
        raise UsageError("--seed is a new seed: say --retrain --new-seed with it")
    if new_seed and not retrain:
        raise UsageError(
            "--new-seed is about a training", advice="say --retrain --new-seed to train again"
        )
    return new_seed


def _mode(*, no_run: bool, evaluate: bool, retrain: bool) -> Mode:
    if no_run + evaluate + retrain > 1:
        raise UsageError("give one of --no-run, --evaluate and --retrain, not several")
    return Mode.NO_RUN if no_run else Mode.RETRAIN if retrain else Mode.EVALUATE


def _receipt(result: Report, keys: tuple[Signer, ...]) -> bytes:
    """The signed receipt.

    Raises:
        CannotDecideError: There is nothing to sign.
        RepropackError: A key does not sign.
    """
    if not is_receiptable(result):
        raise CannotDecideError("no number was compared, so there is nothing to sign")
    return seal(receipt_payload(result, describe_machine(dict(os.environ)), now()), *keys)


def parse_digest(text: str | None) -> str | None:
    """The hexadecimal part of `sha256:…`.

    Raises:
        UsageError: It has another form.
    """
    if text is None:
        return None
    kind, _, value = text.partition(":")
    value = value.lower()
    if kind != "sha256" or len(value) != 64 or not set(value) <= set("0123456789abcdef"):
        raise UsageError(f"--expect {text}: expected `sha256:` and 64 hexadecimal digits")
    return value


def _remember_pin(pin: str | None, result: Report) -> bool:
    """Keeps a signer whom the reader pinned, or says loudly that another key signed.

    Returns:
        False where a signer could not be kept; why was said, and the verdict stands.
    """
    signer = result.signer
    if pin is None or signer is None:
        return True
    if signer.status is SignerStatus.FIRST_USE and result.verdict is not Verdict.NOT_INTACT:
        day = dt.datetime.now(dt.UTC).date().isoformat()
        chosen = TrustedSigner(name=pin, fingerprint=signer.fingerprint, first_use=day)
        try:
            trust(trusted_signers(), chosen)
        except (OSError, UsageError) as error:
            complain(f"--pin {pin}: the signer could not be remembered: {error}")
            return False
        tell(
            f"{show(pin)} is {signer.fingerprint} from now on; nobody has compared it yet: "
            "ask the author for the fingerprint"
        )
    elif signer.status is SignerStatus.ANONYMOUS:
        tell(
            f"{show(pin)} is not remembered: the key of an anonymous bundle is made for it alone, "
            "and would tell nothing of another"
        )
    elif signer.status is SignerStatus.CHANGED:
        tell(
            bold(f"WARNING: ANOTHER KEY THAN {show(pin)}'S HAS SIGNED THIS FILE.", sys.stderr)
            + "\nSomebody may be passing off a file as theirs. If the author says, in another way "
            "than through\nthis file, that the key has changed:\n"
            f"  repropack key untrust {shlex.quote(show(pin))}\n"
            f"  repropack key trust {signer.fingerprint} --name {shlex.quote(show(pin))}\n"
            "If the old key itself says so, in a statement: repropack key import FILE"
        )
    return True


def _say_next(report: Report, bundle: str, again: list[str]) -> None:
    """The next command to type, where there is one, with the options of this one."""
    if report.signer is None:
        return
    if report.signer.status is SignerStatus.REVOKED:
        if any(finding.code == Code.KEY_REVOKED.code for finding in report.findings):
            tell(
                bold("WARNING: THE KEY THAT SIGNED THIS FILE IS REVOKED.", sys.stderr)
                + f" {report.signer.note[:1].upper()}{report.signer.note[1:]}.\n"
                "Anybody may have signed it."
            )
        tell(
            "what is older than the revocation can still be told by its digest: "
            + bold(f"repropack verify {shlex.quote(bundle)} --expect sha256:…", sys.stderr)
        )
    elif report.signer.status is SignerStatus.UNKNOWN and report.exit_status == 4:
        tell(
            "the signer is not established: compare the fingerprint with the author's, then "
            + bold(f"repropack key trust {report.signer.fingerprint} --name NAME", sys.stderr)
        )
    elif report.signer.status is SignerStatus.ANONYMOUS and report.exit_status == 4:
        tell(
            "the author is anonymous, as the bundle says itself; whether it is the submitted one, "
            + bold("--expect sha256:…", sys.stderr)
            + " decides, or --allow-unknown-signer where you need not know"
        )
    elif report.verdict is Verdict.REPRODUCED and report.mode == "evaluate" and _evaluated(report):
        words = shlex.join(["repropack", "verify", bundle, "--retrain", *again])
        tell(f"to train again as well: {bold(words)}")


def _evaluated(report: Report) -> bool:
    """Whether weights were evaluated; a release of a single run has been trained again."""
    return any(result.claim.mode is ClaimMode.EVALUATE for result in report.claims)
