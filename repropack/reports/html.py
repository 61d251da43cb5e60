# SPDX-License-Identifier: Apache-2.0
"""The report as one HTML file for people: no scripts, nothing loaded, readable in fifty years.

Names and sentences come from bundles that anybody may have written. Every value that the template
prints goes through `_printable` (inert, one line, bounded) and then through jinja2's escaping, and
the page forbids itself scripts and addresses by a Content-Security-Policy (CSP level 3, W3C).

The page is passed on, so it leaves out the one thing that only its first reader can use: where
the work directory was kept.
"""

from __future__ import annotations

import base64
import importlib.resources
import math
import shlex
from decimal import Decimal
from typing import Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from msgspec import Struct

from repropack.digest import new_sha256
from repropack.escaping import show
from repropack.model import (
    Absolute,
    AtLeast,
    AtMost,
    Certainty,
    Claim,
    ClaimMode,
    ClaimResult,
    Close,
    Equivalent,
    Interval,
    Relative,
    Report,
    Side,
    SignerStatus,
    StepStatus,
    Verdict,
)
from repropack.reports.drawings import Curve, draw_chain, draw_curve
from repropack.reports.number_line import NumberLine, centre_of, draw_number_line, offset_of
from repropack.reports.text import describe_curve

__all__ = ["render"]

MAX_PRINTED: Final = 2_000
"""Characters of one value on the page; what `verify` has already cut at 500 is not cut again."""

VERDICTS: Final = {
    Verdict.REPRODUCED: (
        "good",
        "Every number that was compared came out again, within its tolerance.",
    ),
    Verdict.NOT_REPRODUCED: ("bad", "A claimed number did not come out within its tolerance."),
    Verdict.INCONCLUSIVE: (
        "doubt",
        "It could not be decided. That speaks neither for the claims nor against them.",
    ),
    Verdict.INTACT: (
        "plain",
        "The bytes are those that were signed. Nothing was executed, so no number was compared.",
    ),
    Verdict.NOT_INTACT: (
        "bad",
        "The bundle failed a check of its bytes, its signature, its signer or its records. "
        "Nothing in it should be relied on.",
    ),
}

STEPS: Final = {
    StepStatus.PASSED: "good",
    StepStatus.FAILED: "bad",
    StepStatus.UNDECIDED: "doubt",
    StepStatus.SKIPPED: "none",
}

SIGNERS: Final = {
    SignerStatus.TRUSTED: ("good", "A key that the reader had decided to trust."),
    SignerStatus.EXPECTED_DIGEST: (
        "good",
        "The manifest has the digest that the reader expected, so it does not matter who signed.",
    ),
    SignerStatus.ANONYMOUS: (
        "none",
        "The author is to stay unknown, as for a double-blind review: the key was made for this "
        "bundle alone. She can reveal herself later. Whether this is the submitted bundle, the "
        "digest of its manifest tells.",
    ),
    SignerStatus.UNKNOWN: (
        "doubt",
        "Nobody has said whose key this is. Anyone can make a key and sign with it: "
        "ask the author, in another way than through this bundle, for the fingerprint.",
    ),
    SignerStatus.PINNED: (
        "good",
        "The key that the reader has known under this name since its first use.",
    ),
    SignerStatus.SUCCESSOR: (
        "good",
        "A key that the reader knows has handed over to this one, in a statement that both signed.",
    ),
    SignerStatus.REVOKED: (
        "doubt",
        "Its holder has revoked the key. Whether this signature is older, or made by somebody who "
        "found the key, only the digest or a time stamp can tell.",
    ),
    SignerStatus.FIRST_USE: (
        "doubt",
        "The reader saw this key for the first time and decided to remember it. Whose it is, "
        "nobody has compared yet.",
    ),
    SignerStatus.REJECTED: ("bad", "Not the signers that the reader asked for."),
    SignerStatus.CHANGED: (
        "bad",
        "The reader knows this name with another key. Either the author has a new key, or somebody "
        "is passing off a file as the author's.",
    ),
    SignerStatus.INVALID: ("bad", "A signature in the name of this key does not belong here."),
}

OPEN: Final = (SignerStatus.UNKNOWN, SignerStatus.REVOKED)
"""Standings that leave it open whose word the release is."""

MODES: Final = {
    ClaimMode.EVALUATE: "evaluated again with the packed weights",
    ClaimMode.RETRAIN_SAME_SEED: "trained again with the same seed",
    ClaimMode.RETRAIN_NEW_SEED: "trained again with another seed",
}

DEPTHS: Final = {
    "no-run": "bytes and signer only; nothing was executed",
    "evaluate": "the claimed run, repeated on the packed weights",
    "retrain": "every run, repeated in order",
}

CERTAINTIES: Final = {
    Certainty.CONFIRMED: "good",
    Certainty.INVOLVED: "doubt",
    Certainty.LIKELY: "plain",
    Certainty.EXCLUDED: "none",
}

MAX_CURVES: Final = 8
"""Curves that the page draws; those that part come first."""

GRAVITY: Final = (Verdict.NOT_REPRODUCED, Verdict.INCONCLUSIVE, Verdict.REPRODUCED)
"""Claims that need attention come first."""

MAX_DRAWN: Final = 24
"""Claims that have a drawing: those that need attention come first, and a page is for people."""

GAP: Final = "\N{NO-BREAK SPACE}"
"""Between a number and its sign."""


class CurveView(Struct, frozen=True, kw_only=True):
    """A comparison of curves as the page shows it."""

    name: str
    path: str
    run: int
    sentence: str
    drawing: Curve
    recorded: Markup
    fresh: Markup


class ClaimView(Struct, frozen=True, kw_only=True):
    """A claim as the page shows it."""

    result: ClaimResult
    tone: str
    tolerance: tuple[str, str]
    mode: str
    claimed: str
    fresh: str
    low: str
    high: str
    distance: str
    centre: str
    line: NumberLine


def render(report: Report) -> str:
    """The report as a page that stands alone."""
    folder = importlib.resources.files("repropack.reports")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["csp_hash"] = _csp_hash
    environment.filters["duration"] = _duration
    template = environment.from_string(folder.joinpath("report.html").read_text("utf-8"))
    tone, meaning = VERDICTS[report.verdict]
    return template.render(
        report=report,
        tone=tone,
        meaning=meaning,
        signer=None if report.signer is None else SIGNERS[report.signer.status],
        signers=SIGNERS,
        signer_open=report.signer is not None and report.signer.status in OPEN,
        depth=DEPTHS.get(report.mode, report.mode),
        step_tones=STEPS,
        claims=[_claim(r) for r in sorted(report.claims, key=lambda r: GRAVITY.index(r.verdict))],
        reproduced=sum(r.verdict is Verdict.REPRODUCED for r in report.claims),
        command=_command(report),
        curves=_curves(report),
        max_drawn=MAX_DRAWN,
        undrawn=max(0, len(report.curves) - MAX_CURVES),
        chain=draw_chain(report.lineage) if len(report.lineage) > 1 else None,
        certainties=CERTAINTIES,
        signed_by=_signed_by(report),
    )


def _printable(value: object) -> object:
    """The door that every printed value passes; markup of the template itself passes unchanged."""
    return value if isinstance(value, Markup) else show(value, limit=MAX_PRINTED)


def _csp_hash(style: str) -> str:
    """The source expression that allows exactly this style element (CSP level 3, section 2.3.1)."""
    running = new_sha256()
    running.update(style.encode("utf-8"))
    return "sha256-" + base64.b64encode(running.digest()).decode("ascii")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _curves(report: Report) -> list[CurveView]:
    views = []
    for curve in report.curves[:MAX_CURVES]:
        drawing = draw_curve(curve)
        if drawing is not None:
            sentence = describe_curve(curve).removeprefix(
                f"{show(curve.metric)} (run {curve.run}, {show(curve.path)}): "
            )
            views.append(
                CurveView(
                    name=curve.metric,
                    path=curve.path,
                    run=curve.run,
                    sentence=sentence,
                    drawing=drawing,
                    # Digits of ours and no text of the report; a cut path would be another curve.
                    recorded=Markup(drawing.recorded),  # noqa: S704
                    fresh=Markup(drawing.fresh),  # noqa: S704
                )
            )
    return views


def _signed_by(report: Report) -> str:
    """The keys whose signatures hold, for a citation."""
    holding = [s.fingerprint for s in report.signers if s.status is not SignerStatus.INVALID]
    return ", ".join(holding) or (report.signer.fingerprint if report.signer else "nobody")


def _command(report: Report) -> tuple[str, str, str]:
    """What to type to check the same file again: the command, the file, the options.

    It names no signer, no digest and no `--no-sandbox`: a page that came from a stranger must not
    talk its next reader into accepting the stranger's key or running without isolation.
    """
    name = f"./{report.bundle}" if report.bundle.startswith("-") else report.bundle
    options = f"--{report.mode}" if report.mode in DEPTHS and report.mode != "evaluate" else ""
    return "repropack verify", shlex.quote(show(name)), options


def _claim(result: ClaimResult) -> ClaimView:
    claim = result.claim
    return ClaimView(
        result=result,
        tone=VERDICTS[result.verdict][0],
        tolerance=_tolerance(claim),
        mode=MODES[claim.mode],
        claimed=_number(claim.expected, claim.unit),
        fresh=_fresh(result),
        low="" if result.low is None else f"{result.low:.10g}",
        high="" if result.high is None else f"{result.high:.10g}",
        distance=_distance(result),
        centre=f"mean of runs {centre_of(result):.10g}"
        if isinstance(claim.tolerance, Interval) and claim.tolerance.side is Side.BOTH
        else f"claimed {_number(claim.expected, claim.unit)}",
        line=draw_number_line(result, f"fresh {_fresh(result)}"),
    )


def _number(value: float, unit: str) -> str:
    """A number as exact as it was recorded; a longer unit stands beside the claim's name."""
    return f"{value!r}{unit}" if len(unit) <= 2 else repr(value)


def _fresh(result: ClaimResult) -> str:
    """The fresh number; without the claim's unit where it may have come in another one."""
    if result.fresh is None:
        return "none"
    decided = result.verdict is not Verdict.INCONCLUSIVE
    return _number(result.fresh, result.claim.unit if decided else "")


def _tolerance(claim: Claim) -> tuple[str, str]:
    """The tolerance, and what it is a part of."""
    match claim.tolerance:
        case None:
            return "none declared", ""
        case Absolute(within=within):
            return f"±{GAP}{within:g}", ""
        case Relative(within=within):
            return f"±{GAP}{100 * within:g}{GAP}%", "of the claimed value"
        case Close(absolute=absolute, relative=relative):
            return f"±{GAP}{absolute:g} ±{GAP}{100 * relative:g}{GAP}%", "of the claimed value"
        case AtLeast(bound=bound):
            return f"at least {bound:g}", ""
        case AtMost(bound=bound):
            return f"at most {bound:g}", ""
        case Interval(values=values, confidence=confidence, side=side):
            one = "" if side is Side.BOTH else "one-sided "
            return (
                f"{one}{100 * confidence:g}{GAP}% prediction interval",
                f"of {len(values)} recorded runs",
            )
        case Equivalent(values=values, margin=margin, side=Side.BOTH):
            return f"mean within ±{GAP}{margin:g}", f"of {len(values)} recorded seeds, by TOST"
        case Equivalent(values=values, margin=margin, side=side):
            words = "lower" if side is Side.LOWER else "higher"
            return (
                f"mean less than {margin:g} {words}",
                f"than that of {len(values)} recorded seeds",
            )
        case _:
            return "exactly equal", ""


def _distance(result: ClaimResult) -> str:
    """How far the fresh value is from the claimed one, in words."""
    if result.fresh is None:
        return "no fresh value"
    if result.verdict is Verdict.INCONCLUSIVE:
        return "could not be compared"
    expected = result.claim.expected
    if result.fresh == expected:
        return "equal"
    if result.low is None or result.high is None or centre_of(result) != expected:
        return f"{result.fresh - expected:+.3g} from the claimed value"
    # Subtracted as the decimals that people read: 0.92 - 0.91 is 0.01.
    difference = (Decimal(repr(result.fresh)) - Decimal(repr(expected))).normalize()
    text = f"{float(difference):+.3g}"
    share = abs(offset_of(result, result.fresh))
    if not math.isfinite(share):
        return text
    if result.verdict is Verdict.REPRODUCED:
        return f"{text}, {min(100 * share, 100):.3g} % of the tolerance"
    if share < 1.005:
        return f"{text}, just outside the tolerance"
    times = f"{share:.3g}" if share < 1_000 else "over 1000"
    return f"{text}, {times} times the tolerance"
