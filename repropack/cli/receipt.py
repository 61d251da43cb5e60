# SPDX-License-Identifier: Apache-2.0
"""`repropack receipt`: what several parties say who have checked a bundle."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import click

from repropack import canonical
from repropack.cli.location import existing_bundle, open_named
from repropack.cli.places import trust_policy
from repropack.cli.progress import byte_progress
from repropack.cli.screen import bold, plural, say, tell
from repropack.cli.verdict import verdict_line
from repropack.escaping import show
from repropack.findings import DefectError
from repropack.model import Claim, ClaimMode, SignerStatus, Verdict
from repropack.model.fields import Record, Sha256
from repropack.reports.text import describe_signer
from repropack.signing.dsse import MAX_ENVELOPE
from repropack.signing.keys import read_small
from repropack.signing.policy import TrustPolicy
from repropack.verify.integrity import read_signed
from repropack.verify.receipts import CheckedReceipt, Stack, read_receipt, stack
from repropack.verify.release import read_release

__all__ = ["Document", "command"]

_WAYS = {
    ClaimMode.EVALUATE: "evaluated",
    ClaimMode.RETRAIN_SAME_SEED: "trained again with the same seed",
    ClaimMode.RETRAIN_NEW_SEED: "trained again with new seeds",
}

SHOWN_SEEDS = 10

_MARKS = {Verdict.REPRODUCED: "ok  ", Verdict.NOT_REPRODUCED: "FAIL", Verdict.INCONCLUSIVE: "?   "}


class Refused(Record, frozen=True, kw_only=True):
    """A receipt that does not count."""

    name: str
    reason: str


class Document(Record, frozen=True, kw_only=True):
    """What `check --json` prints.

    Attributes:
        receipts: Those whose signatures hold and that are about this bundle.
        stack: What they come to.
    """

    manifest_sha256: Sha256
    receipts: tuple[CheckedReceipt, ...]
    refused: tuple[Refused, ...]
    stack: Stack
    exit_status: int


@click.group("receipt")
def command() -> None:
    """Check what others have signed who checked a bundle (`verify --receipt` makes one)."""


@command.command("check")
@click.argument("bundle", metavar="FILE|DIR|URL")
@click.argument("receipts", metavar="RECEIPT...", nargs=-1, required=True)
@click.option(
    "--signer",
    "signers",
    metavar="FINGERPRINT|FILE",
    multiple=True,
    help="Whose receipts count: a fingerprint, a public key, or an OpenSSH allowed_signers file. "
    "If left out: the signers of `repropack key trust`.",
)
@click.option(
    "--threshold",
    metavar="N",
    type=click.IntRange(1, 64),
    default=1,
    help="How many of those must have reproduced it (1).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document for programs.")
def check(
    bundle: str,
    receipts: tuple[str, ...],
    signers: tuple[str, ...],
    threshold: int,
    as_json: bool,
) -> int:
    """Check a bundle's bytes, and that each receipt is signed and about exactly this bundle.

    Its tests must be the bundle's claims of the kind that it says to have checked. Counted are
    keys, each once. A receipt by a key that signed the bundle too is the author's own and is not
    counted among the others. Nothing is executed.

    \b
    Exit status:
      0  reproduced by at least N signers whom you know
      1  a receipt is refused, or says that the numbers did not come out,
         or the bundle is damaged
      2  wrong usage
      3  no independent receipt says that they did
      4  some do, but fewer than N of their signers are established
    """  # noqa: D301 - click wants the character itself, not its name
    policy = trust_policy(signers)
    documents = [
        (name, read_small(Path(name).expanduser(), MAX_ENVELOPE, what="receipt"))
        for name in receipts
    ]
    sha256, own, claims = _check_bundle(bundle, quiet=as_json)
    good: list[CheckedReceipt] = []
    refused: list[tuple[str, str]] = []
    for name, data in documents:
        try:
            good.append(
                read_receipt(
                    data, name, policy, manifest_sha256=sha256, claims=claims, bundle_signers=own
                )
            )
        except DefectError as error:
            refused.append((name, error.message))
    result = stack(good)
    status = _status(result, refused=bool(refused), threshold=threshold)
    if as_json:
        document = Document(
            manifest_sha256=sha256,
            receipts=tuple(good),
            refused=tuple(Refused(name=show(name), reason=reason) for name, reason in refused),
            stack=result,
            exit_status=status,
        )
        say(canonical.encode(document).decode("utf-8"))
        return status
    for receipt in good:
        _say_receipt(receipt, claims)
    for _, reason in refused:
        say(f"FAIL {show(reason, limit=2000)}")
    say(verdict_line(result.verdict, _sentence(result, refused=len(refused))))
    unknown = [key for key in result.reproduced if key not in result.established]
    if status == 4 and unknown and not signers:
        words = shlex.join(["repropack", "key", "trust", unknown[0], "--name"])
        tell(f"compare the fingerprint with its owner's, then {bold(f'{words} NAME')}")
    return status


def _check_bundle(bundle: str, *, quiet: bool) -> tuple[str, frozenset[str], tuple[Claim, ...]]:
    """The digest of the manifest of an intact bundle, the keys that signed it, and its claims."""
    with open_named(existing_bundle(bundle), quiet=quiet) as opened:
        signed = read_signed(opened, TrustPolicy())
        with byte_progress("checking", signed.listed.content_size, quiet=quiet) as advance:
            verified = signed.listed.verify(progress=advance)
        claims = read_release(verified, signed.statement).claims.claims
    own = frozenset(
        one.fingerprint for one in signed.signers if one.status is not SignerStatus.INVALID
    )
    return verified.manifest_sha256, own, claims


def _say_receipt(receipt: CheckedReceipt, claims: tuple[Claim, ...]) -> None:
    facts = receipt.facts
    how = _WAYS[facts.mode]
    if facts.repetitions > 1:
        how += f" {facts.repetitions} times"
    if facts.seeds:
        more = len(facts.seeds) - SHOWN_SEEDS
        how += f" ({', '.join(facts.seeds[:SHOWN_SEEDS])}{f' and {more} more' * (more > 0)})"
    for signer in receipt.signers:
        own = "; signed the bundle too" if signer.fingerprint in receipt.own else ""
        say(
            f"{_MARKS.get(facts.verdict, '?   ')} {describe_signer(signer)}{own}: "
            f"{facts.verdict.value}, {how}, on {show(facts.platform)}"
        )
    count = len(receipt.result.passed_tests)
    total = count + len(receipt.result.warned_tests) + len(receipt.result.failed_tests)
    others = len(claims) - total
    unchecked = f" ({others} of another kind not checked)" if others else ""
    say(
        f"     {receipt.name}: {count} of {plural(total, 'claim')}{unchecked}, "
        f"{plural(len(facts.differences), 'difference')} of the environment, "
        f"isolation {show(facts.isolation)}, {facts.checked}, {show(facts.tool)}"
    )


def _sentence(result: Stack, *, refused: int) -> str:
    text = (
        f"by {len(result.reproduced)} of {plural(len(result.independent), 'signer')} "
        f"on {plural(len(result.platforms), 'platform')}"
    )
    if result.reproduced:
        ways = Counter(mode for modes in result.modes.values() for mode in modes)
        text += f" ({', '.join(f'{ways[m]} {_WAYS[m]}' for m in ClaimMode if ways[m])})"
        text += f", {len(result.established)} of them established"
    if result.own:
        text += f"; and by {plural(len(result.own), 'key')} that signed the bundle itself"
    if result.failed:
        text += f"; not reproduced by {plural(len(result.failed), 'key')}"
    if refused:
        text += f"; {plural(refused, 'receipt')} refused"
    return text


def _status(result: Stack, *, refused: bool, threshold: int) -> int:
    if refused or result.verdict is Verdict.NOT_REPRODUCED:
        return 1
    if result.verdict is not Verdict.REPRODUCED:
        return 3
    return 0 if len(result.established) >= threshold else 4
