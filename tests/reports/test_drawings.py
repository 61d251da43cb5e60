# SPDX-License-Identifier: Apache-2.0
"""Curves, the chain of runs and the badge: bounded, finite, true, and inert."""

from __future__ import annotations

import io
import re
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from repropack.errors import UsageError
from repropack.importers.series import series
from repropack.model import CurveComparison, LineageRun, Report, SignerReport, SignerStatus, Verdict
from repropack.reports.badge import COLOURS, check_form
from repropack.reports.badge import render as render_badge
from repropack.reports.drawings import HEIGHT, MAX_NODES, WIDTH, draw_chain, draw_curve
from repropack.reports.text import describe_curve
from repropack.verify.curves import compare_series
from tests.reports.samples import CURVES, DIGEST, FINGERPRINT, LINEAGE, report, with_text
from tests.reports.test_reports import contrast, page


def badge(whole: Report) -> str:
    return render_badge(whole, "x.svg").decode()


COORDINATE = re.compile(r"([ML])(-?[0-9.]+) (-?[0-9.]+)")


def comparison(then: list[float], now: list[float]) -> CurveComparison:
    return compare_series(
        series(list(enumerate(then))),
        series(list(enumerate(now))),
        metric="loss",
        run=1,
        path="loss.csv",
    )


def coordinates(path: str) -> list[tuple[str, float, float]]:
    assert COORDINATE.sub("", path) == ""
    return [(kind, float(x), float(y)) for kind, x, y in COORDINATE.findall(path)]


def test_a_curve_reaches_from_edge_to_edge_and_the_larger_value_is_higher() -> None:
    drawing = draw_curve(comparison([1.0, 2.0, 3.0], [1.0, 2.0, 2.5]))
    assert drawing is not None
    assert coordinates(drawing.recorded) == [
        ("M", 0.0, HEIGHT),
        ("L", WIDTH / 2, HEIGHT / 2),
        ("L", WIDTH, 0.0),
    ]
    assert coordinates(drawing.fresh)[-1] == ("L", WIDTH, HEIGHT / 4)
    assert drawing.parting == WIDTH
    assert (drawing.low, drawing.high, drawing.first, drawing.last) == (1.0, 3.0, 0.0, 2.0)


def test_no_line_crosses_what_was_no_number() -> None:
    drawing = draw_curve(comparison([1.0, 2.0, 3.0, 4.0], [1.0, float("nan"), 3.0, 4.0]))
    assert drawing is not None
    assert [kind for kind, _, _ in coordinates(drawing.fresh)] == ["M", "M", "L"]


def test_curves_over_orders_of_magnitude_are_drawn_by_logarithm() -> None:
    drawing = draw_curve(comparison([100.0, 1.0, 0.01], [100.0, 1.0, 0.01]))
    assert drawing is not None
    assert drawing.logarithmic
    assert coordinates(drawing.recorded)[1][2] == HEIGHT / 2


def test_what_is_left_out_is_counted() -> None:
    drawing = draw_curve(CURVES[2])
    assert drawing is not None
    assert (drawing.total, drawing.drawn <= 300) == (5000, True)


def test_the_page_has_the_whole_curve() -> None:
    shown = page(report(curves=CURVES))
    paths = [a["d"] for a in shown.named("path") if a.get("class") in ("recorded", "fresh")]
    for curve in CURVES:
        drawing = draw_curve(curve)
        assert drawing is not None
        assert drawing.recorded in paths
        assert drawing.fresh in paths
    assert max(map(len, map(str, paths))) > 3_000


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw_curve(comparison([float("nan")], [float("inf")])) is None
    # A run of one epoch: two points, one over the other.
    single = comparison([0.5], [0.5])
    assert draw_curve(single) is None
    assert describe_curve(single).endswith(": equal at the only step")


def test_steps_of_one_curve_alone_are_said_of_which() -> None:
    shorter = comparison([1.0, 0.5, 0.25], [1.0, 0.5])
    assert "1 step only in the recorded one" in describe_curve(shorter)
    assert "1 step only in the first" in describe_curve(shorter, ("first", "second"))


numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(numbers, min_size=1, max_size=30), st.lists(numbers, min_size=1, max_size=30))
def test_every_point_lies_in_the_drawing(then: list[float], now: list[float]) -> None:
    compared = comparison(then, now)
    drawing = draw_curve(compared)
    if drawing is not None:
        for path in (drawing.recorded, drawing.fresh):
            for _, x, y in coordinates(path):
                assert 0 <= x <= WIDTH
                assert 0 <= y <= HEIGHT
    assert "\n" not in describe_curve(compared)


def test_a_run_stands_right_of_those_whose_files_it_reads() -> None:
    chain = draw_chain(LINEAGE)
    places = {node.number: (node.x, node.y) for node in chain.nodes}
    assert places[1][0] < places[2][0] == places[3][0] < places[4][0]
    assert places[2][1] != places[3][1]
    assert len(chain.edges) == 5
    assert [node.number for node in chain.nodes if node.claimed] == [4]


graphs = st.lists(st.lists(st.integers(-5, 300), max_size=5), min_size=1, max_size=200)


@given(graphs)
def test_any_graph_gives_a_drawing_of_bounded_size(graph: list[list[int]]) -> None:
    runs = [
        LineageRun(number=number, command="x", reads=tuple(reads))
        for number, reads in enumerate(graph, 1)
    ]
    chain = draw_chain(runs)
    assert len(chain.nodes) <= MAX_NODES
    for node in chain.nodes:
        assert 0 < node.x < chain.width
        assert 0 < node.y < chain.height


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_badge_says_the_verdict_to_eyes_and_to_screen_readers(verdict: Verdict) -> None:
    tree = ET.fromstring(badge(report(verdict=verdict)))
    texts = [element.text or "" for element in tree.iter() if element.tag.endswith("}text")]
    assert texts == ["repropack", verdict.value.lower()]
    assert tree.attrib["aria-label"] == f"repropack: {verdict.value.lower()}"
    assert contrast("#ffffff", COLOURS[verdict]) >= 4.5


def test_the_badge_does_not_hide_that_nobody_knows_the_signer() -> None:
    unknown = SignerReport(fingerprint=FINGERPRINT, status=SignerStatus.UNKNOWN)
    assert "reproduced, signer unknown" in badge(report(signer=unknown))
    assert "signer unknown" in badge(report(signer=None))


def test_no_text_of_a_bundle_gets_into_the_badge() -> None:
    for text in ("<script>", 'zqx" onload="x', "&amp;"):
        drawn = badge(with_text(text))
        assert text not in drawn
        names = {element.tag.rpartition("}")[2] for element in ET.fromstring(drawn).iter()}
        assert names == {"svg", "title", "rect", "path", "g", "text"}


def attributes(svg: str) -> dict[str, Any]:
    return {k: v for element in ET.fromstring(svg).iter() for k, v in element.attrib.items()}


def test_the_badge_loads_and_does_nothing() -> None:
    assert not {
        name for name in attributes(badge(report())) if name.startswith("on") or "href" in name
    }


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_badge_for_places_without_svg_is_the_same_picture(verdict: Verdict) -> None:
    """Pixels, read by an independent decoder: both grounds, white words on each, round corners."""
    drawn = render_badge(report(verdict=verdict), "x.PNG")
    with Image.open(io.BytesIO(drawn)) as picture:
        assert picture.format == "PNG"
        assert picture.height == 80
        title = f"repropack: {verdict.value.lower()} (sha256:{DIGEST})"
        assert picture.info["Description"] == title
        pixels = picture.convert("RGBA")
    half = pixels.height // 2
    colours = [
        {
            f"#{''.join(f'{part:02x}' for part in colour[:3])}"
            for _, colour in found
            if isinstance(colour, tuple)
        }
        for left, right in ((20, 160), (pixels.width - 160, pixels.width - 20))
        if (found := pixels.crop((left, 0, right, pixels.height)).getcolors(100_000))
    ]
    assert {"#3b424a", "#ffffff"} <= colours[0]
    assert {COLOURS[verdict], "#ffffff"} <= colours[1]
    assert pixels.getpixel((0, 0)) == (0, 0, 0, 0)
    # Words stand between margins, in the middle.
    assert pixels.getpixel((10, half)) == (0x3B, 0x42, 0x4A, 255)
    assert render_badge(report(verdict=verdict), "x.png") == drawn


@pytest.mark.parametrize("name", ["badge.jpg", "badge", "png"])
def test_another_kind_of_picture_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"an \.svg or a \.png"):
        check_form(name)


def test_a_missing_pillow_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    check_form("x.svg")
    with pytest.raises(UsageError) as caught:
        check_form("x.png")
    assert "repropack[badge]" in caught.value.advice
