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
    SignerStatus,
    StepStatus,
    Verdict,
)
from repropack.reports.drawings import Curve, draw_chain, draw_curve
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


CENTRE: Final = 50.0
HALF_BAND: Final = 20.0
"""The band reaches from 30 % to 70 % of the drawing."""

CLEARANCE: Final = 0.07
"""How far, in tolerances, a mark keeps from the edge of the band, so that its side is seen."""

DRAWN_TO_SCALE: Final = 2.0
"""Tolerances from the claimed value up to which a distance is drawn to scale."""

FAR: Final = 46.0
"""Where a mark stands that lies further away, beyond the break in the line."""

CHARACTER: Final = 7.7 / 296 * 100
"""Per cent of the narrowest drawing (296 px, on a telephone) that a character may take."""


class NumberLine(Struct, frozen=True, kw_only=True):
    """Where the marks of a drawing stand, in per cent of its width.

    The band always fills the same part of the drawing, so that the eye compares distances in
    units of the tolerance from one claim to the next.

    Attributes:
        band: `wide`, `point` (only equality is accepted) or `none` (no tolerance is known).
        fresh: None where no fresh number can be compared.
        broken: The fresh value lies too far away to be drawn to scale: -1 left, 1 right, 0 not.
        label: Where the fresh value's label is anchored.
        anchor: Which part of the label stands there: `start`, `middle` or `end`.
    """

    band: str
    fresh: float | None
    broken: int
    label: float
    anchor: str


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
        undrawn=max(0, len(report.curves) - MAX_CURVES),
        chain=draw_chain(report.lineage) if len(report.lineage) > 1 else None,
        certainties=CERTAINTIES,
        citation=_citation(report),
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


def _citation(report: Report) -> str:
    """What to write where this check is relied on: the bundle by its digest, and what was done."""
    if report.manifest_sha256 is None:
        return ""
    signers = ", ".join(
        one.fingerprint for one in report.signers if one.status is not SignerStatus.INVALID
    ) or (report.signer.fingerprint if report.signer else "nobody")
    day = (report.checked or "")[:10]
    return (
        f"{show(report.bundle)}, manifest sha256:{report.manifest_sha256}, signed by {signers}; "
        f"checked{f' on {show(day)}' if day else ''} with {show(report.tool) or 'repropack'} "
        f"({show(report.mode)}): {report.verdict.value}."
    )


def _command(report: Report) -> str:
    """What to type to check the same file again.

    It names no signer, no digest and no `--no-sandbox`: a page that came from a stranger must not
    talk its next reader into accepting the stranger's key or running without isolation.
    """
    name = f"./{report.bundle}" if report.bundle.startswith("-") else report.bundle
    words = ["repropack", "verify", shlex.quote(show(name))]
    if report.mode in DEPTHS and report.mode != "evaluate":
        words.append(f"--{report.mode}")
    return " ".join(words)


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
        centre=f"mean of runs {_centre(result):.10g}"
        if isinstance(claim.tolerance, Interval)
        else f"claimed {_number(claim.expected, claim.unit)}",
        line=_number_line(result),
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
            return f"± {within:g}", ""
        case Relative(within=within):
            return f"± {100 * within:g} %", "of the claimed value"
        case Close(absolute=absolute, relative=relative):
            return f"± {absolute:g} ± {100 * relative:g} %", "of the claimed value"
        case AtLeast(bound=bound):
            return f"at least {bound:g}", ""
        case AtMost(bound=bound):
            return f"at most {bound:g}", ""
        case Interval(values=values, confidence=confidence):
            return f"{100 * confidence:g} % prediction interval", f"of {len(values)} recorded runs"
        case Equivalent(values=values, margin=margin):
            return f"mean within ± {margin:g}", f"of {len(values)} recorded seeds, by TOST"
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
    if result.low is None or result.high is None or _centre(result) != expected:
        return f"{result.fresh - expected:+.3g} from the claimed value"
    # Subtracted as the decimals that people read: 0.92 - 0.91 is 0.01.
    difference = (Decimal(repr(result.fresh)) - Decimal(repr(expected))).normalize()
    text = f"{float(difference):+.3g}"
    share = abs(_offset(result, result.fresh))
    if not math.isfinite(share):
        return text
    if result.verdict is Verdict.REPRODUCED:
        return f"{text}, {min(100 * share, 100):.3g} % of the tolerance"
    if share < 1.005:
        return f"{text}, just outside the tolerance"
    times = f"{share:.3g}" if share < 1_000 else "over 1000"
    return f"{text}, {times} times the tolerance"


def _offset(result: ClaimResult, fresh: float) -> float:
    """Signed distance of the fresh value from the middle of the band, in units of the tolerance.

    Infinite where the tolerance is zero or not known.
    """
    centre = _centre(result)
    if fresh == centre:
        return 0.0
    # A hostile claim may lie at the end of the number range; in quarters, nothing overflows.
    distance = fresh / 4 - centre / 4
    half = 0.0 if result.high is None else result.high / 4 - centre / 4
    return distance / half if half > 0 else math.copysign(math.inf, fresh - centre)


def _centre(result: ClaimResult) -> float:
    """The middle of the band: the claimed value, or the mean of recorded seeds."""
    around_mean = isinstance(result.claim.tolerance, Interval)
    if not around_mean or result.low is None or result.high is None:
        return result.claim.expected
    return result.low / 2 + result.high / 2


def _number_line(result: ClaimResult) -> NumberLine:
    if result.low is None or result.high is None:
        band = "none"
    else:
        band = "wide" if result.low < _centre(result) < result.high else "point"
    if result.fresh is None or result.verdict is Verdict.INCONCLUSIVE:
        return NumberLine(band=band, fresh=None, broken=0, label=CENTRE, anchor="middle")
    offset = _offset(result, result.fresh)
    # The verdict was decided on exact decimals, so it has the last word at an edge.
    if result.verdict is Verdict.REPRODUCED:
        size = 0.0 if band == "point" else min(abs(offset), 1 - CLEARANCE)
    else:
        size = max(abs(offset), 1 + CLEARANCE)
    side = math.copysign(1, offset)
    far = size > DRAWN_TO_SCALE
    fresh = CENTRE + side * (FAR if far else size * HALF_BAND)
    label, anchor = _place_label(fresh, len(f"fresh {_fresh(result)}") * CHARACTER)
    return NumberLine(
        band=band,
        fresh=round(fresh, 2),
        broken=int(side) if far else 0,
        label=round(label, 2),
        anchor=anchor,
    )


def _place_label(mark: float, width: float) -> tuple[float, str]:
    """Over the mark where it fits, else beside it and always inside the drawing."""
    if width / 2 <= mark <= 100 - width / 2:
        return mark, "middle"
    if mark < CENTRE:
        return max(0.0, min(mark - 1, 100 - width)), "start"
    return min(100.0, max(mark + 1, width)), "end"
