# SPDX-License-Identifier: Apache-2.0
"""What every form of a report must do, and that the page is safe, true and readable."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from repropack import canonical, reports
from repropack.importers.series import series
from repropack.model import (
    Absolute,
    Cause,
    CauseKind,
    Certainty,
    Claim,
    ClaimMode,
    ClaimResult,
    Difference,
    Exact,
    FindingRecord,
    Isolation,
    LineageRun,
    Metric,
    MetricSource,
    Relative,
    Report,
    SignerReport,
    SignerStatus,
    Step,
    StepStatus,
    Tolerance,
    Verdict,
)
from repropack.reports import render
from repropack.verify.claims import judge_all
from repropack.verify.curves import compare_series

FINGERPRINT: Final = "SHA256:lp+ddcyLuGbJmNIwcY+63nk4ybFsrKD8k5YtT63Ev9M"
DIGEST: Final = "fe382e294bd5a00c199c8914dd650affbbc520c974e0050181f897ce130f2585"


def judged(
    expected: float,
    tolerance: Tolerance | None,
    fresh: float | None,
    *,
    metric: str = "accuracy",
    unit: str = "",
    fresh_unit: str | None = None,
) -> ClaimResult:
    """A claim, judged by the real comparators."""
    source = MetricSource(importer="json", path="{project}/out/metrics.json", key=f"/{metric}")
    claim = Claim(
        metric=metric,
        source=source,
        expected=expected,
        mode=ClaimMode.EVALUATE,
        tolerance=tolerance,
        unit=unit,
        note="declared by the author",
    )
    given_unit = unit if fresh_unit is None else fresh_unit
    given = Metric(name=metric, value=fresh, text=str(fresh), source=source, unit=given_unit)
    return judge_all([claim], [[given]])[0]


LOSSES: Final = [1 / (1 + step / 20) + 0.02 * math.sin(step) for step in range(120)]

CURVES: Final = (
    compare_series(
        series(list(enumerate(LOSSES))),
        series([(s, v if s < 30 else v * (1 + 0.002 * (s - 30))) for s, v in enumerate(LOSSES)]),
        metric="loss",
        run=1,
        path="{project}/out/loss.csv",
    ),
    compare_series(
        series([(step, 1000.0 / 2**step) for step in range(20)]),
        series([(step, math.nan if step == 7 else 1000.0 / 2**step) for step in range(25)]),
        metric="gradient norm",
        run=1,
        path="{project}/out/norms.csv",
    ),
    compare_series(
        series([(step, math.sin(step / 500)) for step in range(5000)]),
        series([(step, math.sin(step / 500)) for step in range(5000)]),
        metric="learning rate",
        run=1,
        path="stdout",
    ),
)
CAUSES: Final = (
    Cause(
        kind=CauseKind.KERNEL,
        subject="threads",
        recorded="",
        present="",
        weight=0.8,
        certainty=Certainty.CONFIRMED,
        why="with 2, the claimed numbers came out",
    ),
    Cause(
        kind=CauseKind.NUMERICS,
        subject="numpy",
        recorded="2.1.0",
        present="2.2.0",
        weight=0.6,
        why="another minor version",
    ),
    Cause(
        kind=CauseKind.PLATFORM,
        subject="PYTHONHASHSEED",
        recorded="",
        present="0",
        weight=0.01,
        certainty=Certainty.EXCLUDED,
    ),
)
LINEAGE: Final = (
    LineageRun(number=1, command="python prepare.py", data=("imagenet",)),
    LineageRun(number=2, command="python train.py --seed 1", reads=(1,)),
    LineageRun(number=3, command="python train.py --seed 2", reads=(1,)),
    LineageRun(number=4, command="python eval.py a.pt b.pt", reads=(1, 2, 3), repeated=True),
)


def report(**changes: object) -> Report:
    """A full report that holds, with some fields changed."""
    whole = Report(
        version=1,
        bundle="digits.rpk",
        manifest_sha256=DIGEST,
        verdict=Verdict.REPRODUCED,
        reason="all 2 claims hold",
        exit_status=0,
        signer=SignerReport(fingerprint=FINGERPRINT, status=SignerStatus.TRUSTED),
        mode="evaluate",
        steps=(
            Step(
                name="integrity", status=StepStatus.PASSED, summary="11 files, 191488 bytes are ok"
            ),
            Step(name="execution", status=StepStatus.PASSED, summary="1 run", seconds=3725.0),
            Step(name="claims", status=StepStatus.UNDECIDED, summary="nothing", seconds=75.2),
            Step(name="rest", status=StepStatus.SKIPPED, summary="not reached"),
        ),
        claims=(
            judged(0.96, Absolute(within=0.0025), 0.961),
            judged(0.238, Relative(within=1e-5), 0.238, metric="log_loss"),
        ),
        findings=(
            FindingRecord(
                code="RPK601",
                title="the interpreter's patch version differs",
                subject="python",
                found="3.11.2",
                expected="3.11.9",
            ),
        ),
        differences=(Difference(subject="cpu", recorded="EPYC 7763", present="Xeon 8481C"),),
        isolation=Isolation(kind="bubblewrap", summary="bubblewrap 0.11: no network"),
        runs=("python eval.py out/model.joblib",),
        tool="repropack 0.1.0",
        checked="2026-01-02T03:04:05Z",
    )
    return replace(whole, **changes)


def with_text(text: str) -> Report:
    """A report with the same text in every field that can hold foreign text."""
    claim = Claim(
        metric=text,
        source=MetricSource(importer=text, path=text, key=text),
        expected=0.5,
        mode=ClaimMode.EVALUATE,
        tolerance=Absolute(within=0.1),
        unit=text,
        note=text,
    )
    result = ClaimResult(
        claim=claim, verdict=Verdict.NOT_REPRODUCED, fresh=0.9, sentence=text, low=0.4, high=0.6
    )
    return report(
        bundle=text,
        manifest_sha256=text,
        reason=text,
        mode=text,
        signer=SignerReport(fingerprint=text, status=SignerStatus.UNKNOWN),
        steps=(Step(name=text, status=StepStatus.FAILED, summary=text),),
        claims=(result, replace(result, verdict=Verdict.INCONCLUSIVE)),
        findings=(FindingRecord(code=text, title=text, subject=text, found=text, expected=text),),
        differences=(Difference(subject=text, recorded=text, present=text),),
        curves=(replace(CURVES[0], metric=text, path=text),),
        causes=(
            Cause(
                kind=CauseKind.OTHER,
                subject=text,
                recorded=text,
                present=text,
                weight=1.0,
                why=text,
            ),
        ),
        lineage=(
            LineageRun(number=1, command=text, data=(text, text)),
            LineageRun(number=2, command=text, reads=(1,)),
        ),
        isolation=Isolation(kind=text, summary=text),
        runs=(text,),
        work=text,
        tool=text,
        checked=text,
    )


REPORTS: Final = {
    "reproduced": report(),
    "signer unknown": report(
        exit_status=4, signer=SignerReport(fingerprint=FINGERPRINT, status=SignerStatus.UNKNOWN)
    ),
    "not reproduced": report(
        verdict=Verdict.NOT_REPRODUCED,
        exit_status=1,
        reason="accuracy = 0.9626, claimed 0.96",
        claims=(
            judged(0.96, Absolute(within=0.0025), 0.9626),
            judged(-1.2345678901234567e-300, Relative(within=1e-9), -2.2345678901234567e100),
            judged(27.31, Exact(), 27.29),
            judged(0.12345678901234567, Exact(), -0.12345678901234568),
            judged(0.9, Absolute(within=0.05), 0.81),
            judged(12.5, None, 12.5),
            judged(5.2, None, 5.4, unit="%"),
            judged(91.0, Absolute(within=0.5), 0.91, unit="%", fresh_unit=""),
            judged(91.0, Absolute(within=0.5), None),
        ),
    ),
    "inconclusive": report(
        verdict=Verdict.INCONCLUSIVE, exit_status=3, claims=(), isolation=None, reason="no data"
    ),
    "intact": report(
        verdict=Verdict.INTACT, mode="no-run", claims=(), findings=(), isolation=None, runs=()
    ),
    "not intact": report(
        verdict=Verdict.NOT_INTACT,
        exit_status=1,
        mode="no-run",
        signer=None,
        manifest_sha256=None,
        claims=(),
        differences=(),
        isolation=None,
        runs=(),
        checked=None,
        tool="",
    ),
    "explained": report(
        verdict=Verdict.NOT_REPRODUCED,
        exit_status=1,
        reason="accuracy = 0.9626, claimed 0.96",
        claims=(judged(0.96, Absolute(within=0.0025), 0.9626),),
        curves=CURVES,
        causes=CAUSES,
        lineage=LINEAGE,
    ),
    "30 claims": report(
        claims=tuple(
            judged(0.5, Absolute(within=0.1), 0.5 + n / 100, metric=f"m{n}") for n in range(30)
        )
    ),
    "long": replace(with_text("W" * 450), checked="2026-01-02T03:04:05Z"),
}


@pytest.fixture(params=sorted(REPORTS))
def given_report(request: pytest.FixtureRequest) -> Report:
    return REPORTS[request.param]


# ---------------------------------------------------------------- every form


@pytest.mark.parametrize("form", sorted(reports.TABLE))
class TestEveryForm:
    def test_every_report_is_a_text_that_ends_with_a_newline(
        self, form: str, given_report: Report
    ) -> None:
        text = render(form, given_report)
        assert text.endswith("\n")
        assert text.encode("utf-8")

    def test_the_same_report_gives_the_same_text(self, form: str, given_report: Report) -> None:
        assert render(form, given_report) == render(form, given_report)

    def test_claims_steps_differences_and_isolation_are_shown(self, form: str) -> None:
        text = render(form, report())
        for shown in ("log_loss", "0.238", "11 files", "EPYC 7763", "Xeon 8481C", "bubblewrap"):
            assert shown in text

    @pytest.mark.parametrize("hostile", ["\x1b[2J", "\u202e", "\u200b", "\u2028", "\x9b1m", "\0"])
    def test_no_character_of_a_bundle_steers_the_reader(self, form: str, hostile: str) -> None:
        text = render(form, with_text(f"a{hostile}b"))
        # JSON is for programs: it escapes controls and keeps the other characters as they are.
        if form != "json" or hostile < " ":
            assert hostile not in text


def test_the_json_form_is_the_report() -> None:
    for whole in REPORTS.values():
        assert canonical.decode(render("json", whole).rstrip("\n").encode(), Report) == whole
        assert json.loads(render("json", whole))["verdict"] == whole.verdict.value


# ---------------------------------------------------------------- the page

VOID: Final = {"meta", "br"}
ELEMENTS: Final = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "footer", "section"),
    *("h1", "h2", "p", "div", "span", "strong", "bdi", "code", "pre", "br", "time"),
    *("dl", "dt", "dd", "ol", "ul", "li"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td"),
    *("svg", "desc", "line", "rect", "text", "path", "circle"),
    *("figure", "figcaption"),
}
ATTRIBUTES: Final = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "id", "role", "scope"),
    *("colspan", "datetime", "data-label", "aria-labelledby", "aria-hidden", "focusable"),
    *("viewbox", "width", "height", "x", "y", "x1", "x2", "y1", "y2", "d", "text-anchor"),
    *("overflow", "preserveaspectratio", "cx", "cy", "r"),
}


class Page(HTMLParser):
    """A page, read by a parser that knows nothing of how it was made."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs)
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.append((self.open[-1], data))

    def text(self, *within: str) -> str:
        return "".join(data for tag, data in self.texts if not within or tag in within)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(whole: Report) -> Page:
    return Page(render("html", whole))


VECTORS: Final = (
    "<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</desc></svg><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "\"><svg/onload=alert(1) x='",
    "' onmouseover='alert(1)' x=\"",
    "x` onmouseover=alert(1)",
    "javascript:alert(1)",
    '<a href="javascript:alert(1)">x</a>',
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<meta http-equiv=refresh content='0;url=https://example.org'>",
    "<base href=https://example.org>",
    "<link rel=stylesheet href=https://example.org/x.css>",
    "<style>*{background:url(https://example.org)}</style>",
    "x;background:url(https://example.org);--a:{",
    "<!-- -->",
    "<!--",
    "<![CDATA[",
    "{{ 7*7 }}{% raw %}",
    "&lt;script&gt;",
    "\u202e<script>",
    "<scr\0ipt>alert(1)</script>",
    "\ud800",
)


@pytest.mark.parametrize("vector", VECTORS)
def test_foreign_text_becomes_no_markup(vector: str) -> None:
    whole = with_text(vector)
    hostile, tame = page(whole), page(with_text("x"))
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in tame.elements]
    assert [set(a) for _, a in hostile.elements] == [set(a) for _, a in tame.elements]
    assert hostile.text("style") == tame.text("style")


def test_foreign_text_is_shown_as_it_is() -> None:
    vector = '</title><script>alert("1")</script>&amp;\'{{ x }}'
    assert page(with_text(vector)).text().count(vector) > 20


@settings(max_examples=40)
@given(st.text(max_size=60))
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    whole = report(
        reason=text,
        bundle=text,
        runs=(text,),
        claims=(judged(1.0, Exact(), 1.0, metric=text),),
        tool="x" + text,
    )
    tame = page(report(reason="x", bundle="x", claims=(judged(1.0, Exact(), 1.0),), tool="x"))
    assert [tag for tag, _ in page(whole).elements] == [tag for tag, _ in tame.elements]


def test_the_page_holds_no_active_content_and_loads_nothing(given_report: Report) -> None:
    read = page(given_report)
    for tag, attributes in read.elements:
        assert tag in ELEMENTS
        assert {name.lower() for name in attributes} <= ATTRIBUTES
    assert not re.search(r"url\(|@import|expression\(", read.text("style"))


def test_the_policy_forbids_everything_but_the_one_style(given_report: Report) -> None:
    source = render("html", given_report)
    read = Page(source)
    policy = next(
        str(a["content"])
        for a in read.named("meta")
        if a.get("http-equiv") == "Content-Security-Policy"
    )
    style = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert source.index("Content-Security-Policy") < source.index("<title>")


def test_the_page_says_what_people_ask(given_report: Report) -> None:
    if given_report is REPORTS["long"]:
        return
    read = page(given_report)
    text = read.text()
    assert given_report.verdict.value in read.text("span")
    assert read.elements[0] == ("html", {"lang": "en"})
    assert len(read.named("h1")) == len(read.named("main")) == 1
    assert text.index(given_report.verdict.value) < text.index(given_report.reason)
    signer = given_report.signer
    expected = [given_report.bundle, given_report.tool, f"exit status {given_report.exit_status}"]
    expected += [given_report.manifest_sha256 or "not established"]
    expected += ["no valid signature"] if signer is None else [signer.fingerprint, signer.status]
    expected += [w for s in given_report.steps for w in (s.name, s.status.value, s.summary)]
    expected += [w for f in given_report.findings for w in (f.code, f.title, f.found, f.expected)]
    expected += [w for d in given_report.differences for w in (d.subject, d.recorded, d.present)]
    expected += given_report.runs
    expected += [r.claim.metric for r in given_report.claims]
    expected += [r.sentence for r in given_report.claims]
    for words in expected:
        assert words in text


def test_durations_read_like_durations() -> None:
    text = page(report()).text()
    for duration in ("0.0 s", "1 h 02 min", "1 min 15 s"):
        assert duration in text


def test_every_drawing_and_table_is_described(given_report: Report) -> None:
    read = page(given_report)
    ids = [str(a["id"]) for _, a in read.elements if "id" in a]
    assert len(set(ids)) == len(ids)
    drawings = [a for a in read.named("svg") if a.get("role") == "img"]
    chains = len(given_report.lineage) > 1
    assert len(drawings) == len(given_report.claims) + len(given_report.curves) + chains
    for _, attributes in read.elements:
        for name in str(attributes.get("aria-labelledby", "")).split():
            assert name in ids
    assert all(a.get("scope") in {"row", "col"} for a in read.named("th"))
    for drawing in (a for a in read.named("svg") if "role" not in a and "viewbox" in a):
        assert drawing["aria-hidden"] == "true"


def test_an_unknown_signer_is_pointed_out_at_the_top() -> None:
    text = page(REPORTS["signer unknown"]).text()
    assert text.index("The signer is not established.") < text.index("What was checked")
    assert "The signer is not established." not in page(report()).text()


def test_no_isolation_is_said_loudly() -> None:
    whole = report(isolation=Isolation(kind="none", summary="the code ran with all your rights"))
    assert "No isolation." in page(whole).text("strong")


def test_each_repeated_run_has_its_line() -> None:
    text = page(report(runs=("python train.py", "python eval.py"))).text("pre")
    assert text.startswith("python train.py\npython eval.py")


def command(whole: Report) -> list[str]:
    text = page(whole).text("pre")
    return shlex.split(text[text.index("repropack verify") :])


def test_the_command_checks_the_same_file_as_far() -> None:
    assert command(report(runs=())) == ["repropack", "verify", "digits.rpk"]
    for mode in ("no-run", "retrain"):
        assert command(report(mode=mode)) == ["repropack", "verify", "digits.rpk", f"--{mode}"]


@pytest.mark.parametrize("name", ["x.rpk; rm -rf ~", "$(id).rpk", "`id`", "a'b\".rpk", "x\n id"])
def test_a_bundle_name_cannot_become_a_command(name: str) -> None:
    words = command(report(bundle=name))
    assert len(words) == 3
    assert words[2].replace("\\x0a", "\n") == name


def test_a_bundle_name_cannot_become_an_option() -> None:
    assert command(report(bundle="--no-sandbox"))[2] == "./--no-sandbox"


def test_the_page_talks_nobody_into_trust_or_into_running_without_isolation() -> None:
    whole = report(
        isolation=Isolation(kind="none", summary="none"),
        signer=SignerReport(fingerprint=FINGERPRINT, status=SignerStatus.EXPECTED_DIGEST),
    )
    assert command(whole) == ["repropack", "verify", "digits.rpk"]


# ---------------------------------------------------------------- the drawing

finite = st.floats(allow_nan=False, allow_infinity=False)
widths = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
tolerances: st.SearchStrategy[Tolerance | None] = st.one_of(
    st.none(),
    st.just(Exact()),
    widths.map(lambda w: Absolute(within=w)),
    widths.map(lambda w: Relative(within=w)),
)


def fresh_mark(read: Page) -> float | None:
    marks = [a for a in read.named("line") if a.get("class") == "stem"]
    return float(str(marks[0]["x1"]).rstrip("%")) if marks else None


def has_band(read: Page) -> bool:
    return any(a.get("class") == "band" and a["x"] == "30%" for a in read.named("rect"))


@given(finite, tolerances, st.one_of(st.none(), finite), st.floats(-3, 3))
def test_the_mark_stands_on_the_side_of_the_verdict(
    expected: float, tolerance: Tolerance | None, fresh: float | None, near: float
) -> None:
    """Whatever the numbers are, also at the end of the number range."""
    if isinstance(tolerance, Absolute) and tolerance.within < 1e300 and abs(expected) < 1e300:
        fresh = expected + near * tolerance.within
    result = judged(expected, tolerance, fresh)
    read = page(report(claims=(result,)))
    mark = fresh_mark(read)
    if result.verdict is Verdict.INCONCLUSIVE:
        assert mark is None
        return
    assert mark is not None
    assert 3 <= mark <= 97
    if result.verdict is Verdict.REPRODUCED:
        assert 31 <= mark <= 69
    elif has_band(read):
        assert mark <= 29 or mark >= 71
    if fresh is not None and fresh == expected:
        assert mark == 50


@pytest.mark.parametrize(
    ("fresh", "mark"),
    [(0.9, 50), (0.925, 60), (0.95, 68.6), (0.9501, 71.4), (1.0, 90), (1.01, 96), (-5.0, 4)],
)
def test_distances_are_in_units_of_the_tolerance(fresh: float, mark: float) -> None:
    read = page(report(claims=(judged(0.9, Absolute(within=0.05), fresh),)))
    assert fresh_mark(read) == pytest.approx(mark, abs=0.01)
    cut = [a for a in read.named("path") if a.get("class") == "cut"]
    assert bool(cut) == (mark in (4, 96))


def test_equality_has_no_band_and_a_miss_is_not_to_scale() -> None:
    read = page(report(claims=(judged(27.31, Exact(), 27.29),)))
    assert not has_band(read)
    assert fresh_mark(read) == 4
    assert "exactly equal" in read.text()


def test_a_number_in_another_unit_is_neither_drawn_nor_given_the_claims_unit() -> None:
    result = judged(91.0, Absolute(within=0.5), 0.91, unit="%", fresh_unit="")
    read = page(report(verdict=Verdict.INCONCLUSIVE, claims=(result,)))
    assert fresh_mark(read) is None
    assert "0.91%" not in read.text()
    assert "could not be compared" in read.text()


@pytest.mark.parametrize(
    ("fresh", "words"),
    [
        (0.96, "equal"),
        (0.961, "+0.001, 40 % of the tolerance"),
        (0.9625, "+0.0025, 100 % of the tolerance"),
        (0.96250001, "+0.0025, just outside the tolerance"),
        (0.955, "-0.005, 2 times the tolerance"),
        (96.0, "+95, over 1000 times the tolerance"),
    ],
)
def test_the_distance_is_said_in_words(fresh: float, words: str) -> None:
    read = page(report(claims=(judged(0.96, Absolute(within=0.0025), fresh),)))
    assert words in [data for _, data in read.texts]


def test_claims_that_need_attention_come_first() -> None:
    whole = report(
        claims=(
            judged(1.0, Exact(), 1.0, metric="holds"),
            judged(1.0, Exact(), None, metric="doubt"),
            judged(1.0, Exact(), 2.0, metric="fails"),
        )
    )
    names = [data for tag, data in page(whole).texts if tag == "bdi"]
    assert names.index("fails") < names.index("doubt") < names.index("holds")


@given(finite, tolerances, finite)
def test_the_band_is_in_the_report_and_survives_json(
    expected: float, tolerance: Tolerance | None, fresh: float
) -> None:
    result = judged(expected, tolerance, fresh)
    if tolerance is None:
        assert result.low is None
    if result.low is not None and result.high is not None:
        assert result.low <= expected <= result.high
    encoded = canonical.encode(result)
    assert canonical.decode(encoded, ClaimResult) == result


# ---------------------------------------------------------------- colours


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_sufficient_in_light_dark_and_print() -> None:
    """WCAG 2.2 level AA: 4.5 for text, 3 for the lines of a drawing."""
    schemes = re.findall(r":root \{(.*?)\}", page(report()).text("style"), re.DOTALL)
    assert len(schemes) == 3
    for scheme in schemes:
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", scheme))
        for text in ("ink", "soft", "good", "bad", "doubt", "plain"):
            for ground in ("paper", "wash"):
                assert contrast(colours[text], colours[ground]) >= 4.5
        for text in ("good", "bad", "ink"):
            assert contrast(colours[text], colours["band"]) >= 3
        assert contrast(colours["band-edge"], colours["paper"]) >= 3


# ---------------------------------------------------------------- a real browser

PROBE: Final = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0"><script>
const wrong = [];
async function look(page, width) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 800; frame.src = page;
  const loaded = new Promise(done => frame.onload = done);
  document.body.append(frame);
  await loaded;
  const inside = frame.contentDocument, root = inside.documentElement;
  const say = what => wrong.push(page + " at " + width + ": " + what);
  if (inside.defaultView.getComputedStyle(inside.body).marginTop !== "0px") say("no style");
  if (root.scrollWidth > width) say("overflows by " + (root.scrollWidth - width));
  for (const cell of inside.querySelectorAll("p:not(.eyebrow), h1, dd, dt, li, th, td, pre"))
    if (cell.scrollWidth > cell.clientWidth + 3 && cell.clientWidth > 1)
      say("cut: " + cell.textContent.slice(0, 50));
  for (const number of inside.querySelectorAll("td .number"))
    if (width >= 1200 && number.textContent.length <= 22 && number.getClientRects().length > 1)
      say("broken: " + number.textContent);
  for (const drawing of inside.querySelectorAll("svg.line")) {
    const frame = drawing.getBoundingClientRect();
    const boxes = [...drawing.querySelectorAll("text")].map(t => t.getBoundingClientRect());
    for (const [i, a] of boxes.entries()) {
      if (a.left < frame.left - 1 || a.right > frame.right + 1) say("label leaves the drawing");
      for (const b of boxes.slice(i + 1))
        if (a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
          say("labels overlap");
    }
  }
  frame.remove();
}
(async () => {
  for (const page of PAGES) for (const width of [360, 700, 1200]) await look(page, width);
  document.body.innerHTML = "<pre></pre>";
  document.body.firstChild.textContent = wrong.length ? wrong.join("\\n") : "all is well";
})();
</script>"""


@pytest.mark.slow
def test_a_browser_shows_the_page_whole_from_telephone_to_desk(tmp_path: Path) -> None:
    """Style applied under the policy, no horizontal overflow, no label over another or cut off."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs chromium, which is not installed")
    names = []
    for number, whole in enumerate([*REPORTS.values(), *map(with_text, VECTORS)]):
        name = f"{number}.html"
        (tmp_path / name).write_text(render("html", whole), encoding="utf-8")
        names.append(name)
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.replace("PAGES", json.dumps(names)), encoding="utf-8")
    seen = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--allow-file-access-from-files",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=60000",
            "--dump-dom",
            probe.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    assert "<pre>all is well</pre>" in seen.stdout, seen.stdout


def test_every_text_field_of_a_report_is_attacked() -> None:
    """`with_text` must learn of a field that is added to the report later."""
    marker = "zqx"
    for path, value in leaves(msgspec.to_builtins(with_text(marker))):
        closed = {"verdict", "status", "kind", "mode"}
        assert marker in str(value) or not isinstance(value, str) or path in closed, path


def leaves(value: object, name: str = "") -> list[tuple[str, object]]:
    """Every value in nested dicts and lists, with the key it stands under."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, key)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item, name)]
    return [(name, value)]
