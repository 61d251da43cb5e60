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
    ClaimResult,
    Close,
    Equivalent,
    Interval,
    OutputComparison,
    Relative,
    Report,
    Side,
    SignerStatus,
    Verdict,
)
from repropack.reports.drawings import Curve, draw_chain, draw_curve
from repropack.reports.number_line import NumberLine, centre_of, draw_number_line, offset_of
from repropack.reports.page_words import (
    OPEN,
    OUTPUTS,
    SIGNERS,
    STEPS,
    VERDICTS,
    PageWords,
    meaning_of,
    outcome_of,
    words_for,
)
from repropack.reports.text import describe_curve

__all__ = ["render"]

MAX_PRINTED: Final = 2_000
"""Characters of one value on the page; what `verify` has already cut at 500 is not cut again."""

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

MAX_OUTPUTS: Final = 100
"""Output files that the page lists; those that are not the same come first."""

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


class OutputView(Struct, frozen=True, kw_only=True):
    """An output file as the page shows it."""

    output: OutputComparison
    outcome: str
    tone: str
    recorded: str
    fresh: str


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
    words = words_for(report)
    return template.render(
        report=report,
        words=words,
        subject=report.run or report.bundle,
        tone=VERDICTS[report.verdict][0],
        meaning=meaning_of(report),
        signer=None if report.signer is None else SIGNERS[report.signer.status],
        signers=SIGNERS,
        signer_open=report.signer is not None and report.signer.status in OPEN,
        depth=words.depths.get(report.mode, report.mode),
        step_tones=STEPS,
        claims=[
            _claim(r, words) for r in sorted(report.claims, key=lambda r: GRAVITY.index(r.verdict))
        ],
        reproduced=sum(r.verdict is Verdict.REPRODUCED for r in report.claims),
        command=_command(report, words),
        outputs=_outputs(report)[:MAX_OUTPUTS],
        unlisted=max(0, len(report.outputs) - MAX_OUTPUTS),
        same=sum(one.same for one in report.outputs),
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


def _outputs(report: Report) -> list[OutputView]:
    views = [
        OutputView(
            output=one,
            outcome=outcome_of(one),
            tone=OUTPUTS[outcome_of(one)],
            recorded=f"{one.recorded[:12]}…",
            fresh="none" if one.fresh is None else f"{one.fresh[:12]}…",
        )
        for one in report.outputs
    ]
    return sorted(views, key=lambda view: list(OUTPUTS).index(view.outcome))


def _command(report: Report, words: PageWords) -> tuple[str, str, str]:
    """What to type to check or repeat the same once more: command, file or run, options.

    It names no signer, no digest and no `--no-sandbox`: a page that came from a stranger must not
    talk its next reader into accepting the stranger's key or running without isolation.
    """
    asked = report.mode in words.depths and report.mode != "evaluate"
    options = [f"--{report.mode}"] if asked else []
    if report.seeds:
        options += ["--new-seed", *(f"--seed {seed}" for seed in report.seeds)]
    if report.run is not None:
        return "repropack repeat", report.run, " ".join(options)
    name = report.bundle or ""
    name = f"./{name}" if name.startswith("-") else name
    return "repropack verify", shlex.quote(show(name)), " ".join(options)


def _claim(result: ClaimResult, words: PageWords) -> ClaimView:
    claim = result.claim
    return ClaimView(
        result=result,
        tone=VERDICTS[result.verdict][0],
        tolerance=_tolerance(claim, words),
        mode=words.modes[claim.mode],
        claimed=_number(claim.expected, claim.unit),
        fresh=_fresh(result),
        low="" if result.low is None else f"{result.low:.10g}",
        high="" if result.high is None else f"{result.high:.10g}",
        distance=_distance(result, words),
        centre=f"mean of runs {centre_of(result):.10g}"
        if isinstance(claim.tolerance, Interval) and claim.tolerance.side is Side.BOTH
        else f"{words.expected} {_number(claim.expected, claim.unit)}",
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


def _tolerance(claim: Claim, words: PageWords) -> tuple[str, str]:
    """The tolerance, and what it is a part of."""
    match claim.tolerance:
        case None:
            return "none declared", ""
        case Absolute(within=within):
            return f"±{GAP}{within:g}", ""
        case Relative(within=within):
            return f"±{GAP}{100 * within:g}{GAP}%", f"of the {words.expected} value"
        case Close(absolute=absolute, relative=relative):
            return (
                f"±{GAP}{absolute:g} ±{GAP}{100 * relative:g}{GAP}%",
                f"of the {words.expected} value",
            )
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
            how = "lower" if side is Side.LOWER else "higher"
            return (
                f"mean less than {margin:g} {how}",
                f"than that of {len(values)} recorded seeds",
            )
        case _:
            return "exactly equal", ""


def _distance(result: ClaimResult, words: PageWords) -> str:
    """How far the fresh value is from the expected one, in words."""
    if result.fresh is None:
        return "no fresh value"
    if result.verdict is Verdict.INCONCLUSIVE:
        return "could not be compared"
    expected = result.claim.expected
    if result.fresh == expected:
        return "equal"
    if result.low is None or result.high is None or centre_of(result) != expected:
        return f"{result.fresh - expected:+.3g} from the {words.expected} value"
    # Subtracted as the decimals that people read: 0.92 - 0.91 is 0.01.
    difference = (Decimal(repr(result.fresh)) - Decimal(repr(expected))).normalize()
    text = _apart(float(difference))
    share = abs(offset_of(result, result.fresh))
    if not math.isfinite(share):
        return text
    if result.verdict is Verdict.REPRODUCED:
        return f"{text}, {min(100 * share, 100):.3g} % of the tolerance"
    if share < 1.005:
        return f"{text}, just outside the tolerance"
    times = f"{share:.3g}" if share < 1_000 else "over 1000"
    return f"{text}, {times} times the tolerance"


def _apart(difference: float) -> str:
    """A difference of two finite numbers, which may be none itself."""
    if math.isfinite(difference):
        return f"{difference:+.3g}"
    return "more than a number can hold"
