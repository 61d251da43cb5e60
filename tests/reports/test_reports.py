# SPDX-License-Identifier: Apache-2.0
"""What every form of a report must do, and that the page is safe, true and readable."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shlex
from html.parser import HTMLParser
from typing import Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from repropack import canonical, reports
from repropack.model import (
    Absolute,
    AtLeast,
    AtMost,
    ClaimResult,
    Exact,
    Isolation,
    Relative,
    Report,
    SignerReport,
    SignerStatus,
    Tolerance,
    Verdict,
)
from repropack.reports import render
from repropack.reports.html import MAX_DRAWN
from tests.reports.samples import (
    DIGEST,
    FINGERPRINT,
    REPORTS,
    VECTORS,
    judged,
    report,
    with_text,
)


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
        self.nested: list[tuple[frozenset[str], str]] = []
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
            self.nested.append((frozenset(self.open), data))

    def text(self, within: str = "html") -> str:
        """All text inside elements of a name, however deep."""
        return "".join(data for tags, data in self.nested if within in tags)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def page(whole: Report) -> Page:
    return Page(render("html", whole))


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


def test_foreign_text_cannot_reorder_the_words_around_it() -> None:
    """Text from right to left moves its neighbours unless it is isolated (UAX #9, HTML's bdi)."""
    where = {tag for tag, data in page(with_text("zqx")).texts if "zqx" in data}
    assert where == {"bdi", "title", "desc"}


@pytest.mark.parametrize(
    ("tolerance", "fresh", "reach", "mark"),
    [
        (AtLeast(bound=0.95), 0.97, (30, 100), 70),
        (AtLeast(bound=0.95), 0.951, (30, 100), 32),
        (AtLeast(bound=0.95), 5.0, (30, 100), 96),
        (AtLeast(bound=0.95), 0.945, (30, 100), 20),
        (AtMost(bound=0.97), 0.94, (0, 70), 10),
        (AtMost(bound=0.97), 0.975, (0, 70), 80),
        (AtLeast(bound=0.96), 0.97, (50, 100), 96),
        (AtMost(bound=0.96), 0.97, (0, 50), 96),
    ],
)
def test_a_bound_is_a_band_without_an_end(
    tolerance: Tolerance, fresh: float, reach: tuple[float, float], mark: float
) -> None:
    read = page(report(claims=(judged(0.96, tolerance, fresh),)))
    assert band(read) == reach
    assert fresh_mark(read) == pytest.approx(mark, abs=0.01)


def test_a_claim_without_a_drawing_is_said_in_words() -> None:
    read = page(REPORTS["100 claims"])
    assert len([a for a in read.named("svg") if a.get("role") == "img"]) == MAX_DRAWN
    assert all(result.sentence in read.text() for result in REPORTS["100 claims"].claims)


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
    if given_report.bundle == given_report.reason:
        return  # all fields are the same text
    read = page(given_report)
    text = read.text()
    assert given_report.verdict.value in read.text("span")
    assert read.elements[0] == ("html", {"lang": "en"})
    assert len(read.named("h1")) == len(read.named("main")) == 1
    assert text.index(given_report.verdict.value) < text.index(given_report.reason)
    signer = given_report.signer
    expected = [given_report.tool, f"exit status {given_report.exit_status}"]
    if given_report.run is None:
        expected += [given_report.bundle or "", given_report.manifest_sha256 or "not established"]
        expected += (
            ["no valid signature"] if signer is None else [signer.fingerprint, signer.status]
        )
    else:
        expected += [given_report.run]
    expected += [one.path for one in given_report.outputs if not one.same]
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
    drawn = min(MAX_DRAWN, len(given_report.claims))
    assert len(drawings) == drawn + len(given_report.curves) + chains
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


RELEASED: Final = re.compile(r"bundle|packed|signed|signer|claim|manifest|author|fingerprint")


@pytest.mark.parametrize("form", ["text", "html"])
@pytest.mark.parametrize("kind", [kind for kind in REPORTS if REPORTS[kind].run is not None])
def test_of_an_own_run_nothing_is_said_that_is_true_of_a_release_only(kind: str, form: str) -> None:
    text = render(form, REPORTS[kind])
    if form == "html":
        # The author is whoever wrote repropack.yaml.
        text = page(REPORTS[kind]).text("body").replace("declared by the author", "")
    assert not RELEASED.findall(text.lower())
    assert RELEASED.findall(render(form, report()).lower())


def test_an_own_run_is_repeated_by_its_id() -> None:
    for mode, options in (("evaluate", []), ("retrain", ["--retrain"])):
        text = page(replace(REPORTS["repetition"], mode=mode)).text("pre")
        words = shlex.split(text[text.index("repropack repeat") :])
        assert words == ["repropack", "repeat", "k3v9x0q2m7ab", *options]


def test_output_files_that_are_not_the_same_come_first_and_all_are_counted() -> None:
    text = page(REPORTS["1,000 output files"]).text()
    assert text.index("out/999.png") < text.index("out/0.png")
    assert "999 of 1000 with the same content" in text
    assert "900 more are in the JSON report" in text
    some = page(REPORTS["repetition"]).text()
    some = some[some.index("Output files") :]
    places = [some.index(f"out/{name}") for name in ("model.pt", "gone.log", "metrics.json")]
    assert places == sorted(places)
    for words in ("other content", "not written again", "same content", DIGEST[::-1][:12]):
        assert words in some


def test_drawn_seeds_are_said_and_in_the_command() -> None:
    words = ["--retrain", "--new-seed", "--seed", "1804289383", "--seed", "846930886"]
    assert command(REPORTS["new seeds"]) == ["repropack", "verify", "digits.rpk", *words]
    assert "1804289383, 846930886" in page(REPORTS["new seeds"]).text("dd")


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
    finite.map(lambda b: AtLeast(bound=b)),
    finite.map(lambda b: AtMost(bound=b)),
)


def fresh_mark(read: Page) -> float | None:
    marks = [a for a in read.named("line") if a.get("class") == "stem"]
    return float(str(marks[0]["x1"]).rstrip("%")) if marks else None


def band(read: Page) -> tuple[float, float] | None:
    """From where to where the band reaches; one of no width is drawn 10 px wide."""
    drawn = [a for a in read.named("rect") if a.get("class") == "band" and "%" in str(a["width"])]
    numbers = [[float(str(a[name]).rstrip("%")) for name in ("x", "width")] for a in drawn]
    return (numbers[0][0], sum(numbers[0])) if numbers else None


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
    low, high = band(read) or (30, 70)
    if result.verdict is Verdict.REPRODUCED:
        assert low + 1 <= mark <= high - 1 or mark == 50
    elif band(read):
        assert mark <= low - 1 or mark >= high + 1
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
    assert band(read) is None
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


def test_a_difference_that_no_number_holds_is_said_in_words() -> None:
    page = render("html", report(claims=(judged(1e308, Absolute(within=1e300), -1e308),)))
    assert "inf" not in re.sub("<style.*</style>", "", page, flags=re.DOTALL).lower().replace(
        "information", ""
    )
    assert "more than a number can hold" in page


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


# ---------------------------------------------------------------- the guard of the guards


def test_every_text_field_of_a_report_is_attacked() -> None:
    """`with_text` must learn of a field that is added to the report later."""
    marker = "zqx"
    for path, value in leaves(msgspec.to_builtins(with_text(marker))):
        closed = {"verdict", "status", "kind", "mode"}
        if isinstance(value, str) and not re.fullmatch("[0-9a-f]{64}", value):
            assert marker in value or path in closed, path


def leaves(value: object, name: str = "") -> list[tuple[str, object]]:
    """Every value in nested dicts and lists, with the key it stands under."""
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in leaves(item, key)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item, name)]
    return [(name, value)]
