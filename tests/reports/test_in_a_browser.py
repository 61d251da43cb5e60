# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: accessible, whole on every screen and on paper, and inert."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from repropack.reports import render
from tests.reports.browser import Tab, axe_source, browser
from tests.reports.samples import REPORTS, VECTORS, with_text

SCREENS: Final[dict[str, dict[str, Any]]] = {
    "desk, light": {"width": 1200},
    "desk, dark": {"width": 1200, "scheme": "dark"},
    "tablet, light": {"width": 700},
    "telephone, dark": {"width": 360, "scheme": "dark"},
    "paper": {"width": 794, "media": "print"},
}

DEFECTS: Final = """(() => {
  const wrong = [], root = document.documentElement, width = innerWidth;
  if (getComputedStyle(document.body).marginTop !== "0px") wrong.push("no style");
  if (root.scrollWidth > width) wrong.push("overflows by " + (root.scrollWidth - width));
  const seen = node => node.textContent.trim().slice(0, 50);
  for (const cell of document.querySelectorAll("p:not(.eyebrow), h1, dd, dt, li, th, td, pre"))
    if (cell.scrollWidth > cell.clientWidth + 3 && cell.clientWidth > 1)
      wrong.push("cut: " + seen(cell));
  for (const number of document.querySelectorAll("td .number"))
    if (width >= 1200 && number.textContent.length <= 22 && number.getClientRects().length > 1)
      wrong.push("broken: " + seen(number));
  for (const list of document.querySelectorAll("dl.facts")) {
    const lefts = kind => new Set([...list.querySelectorAll(kind)].map(e => e.offsetLeft));
    if (lefts("dt").size > 1 || lefts("dd").size > 1) wrong.push("facts out of their columns");
  }
  for (const drawing of document.querySelectorAll("svg.line")) {
    const frame = drawing.getBoundingClientRect();
    const boxes = [...drawing.querySelectorAll("text")].map(t => t.getBoundingClientRect());
    for (const [i, a] of boxes.entries()) {
      if (a.left < frame.left - 1 || a.right > frame.right + 1)
        wrong.push("label leaves the drawing");
      for (const b of boxes.slice(i + 1))
        if (a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
          wrong.push("labels overlap");
    }
  }
  return wrong;
})()"""
"""What a person would see at once: nothing styled, text cut off or over other text."""

INERT: Final = """({
  scripts: document.scripts.length,
  listeners: [...document.querySelectorAll("*")].flatMap(e => [...e.attributes])
    .filter(a => a.name.startsWith("on")).length,
  addresses: [...document.querySelectorAll("*")].flatMap(e => [...e.attributes])
    .filter(a => ["href", "src", "srcset", "action", "data", "xlink:href"].includes(a.name)).length,
  frames: frames.length,
  title: document.title,
})"""

VIOLATIONS: Final = """axe.run({resultTypes: ["violations"]}).then(found => found.violations.map(
  one => one.id + ": " + one.help + ": " + one.nodes.map(n => n.html).join(" ").slice(0, 300)))"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def shown(tab: Tab, page: str, place: Path, **screen: Any) -> None:
    file = place / "page.html"
    file.write_text(page, encoding="utf-8")
    tab.open(file, **screen)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(REPORTS))
def test_no_defect_that_a_person_or_a_screen_reader_would_meet(
    tab: Tab, kind: str, tmp_path: Path
) -> None:
    page = render("html", REPORTS[kind])
    axe = axe_source()
    for screen in SCREENS.values():
        shown(tab, page, tmp_path, **screen)
        assert tab.evaluate(DEFECTS) == [], screen
        tab.evaluate(f"{axe};0")
        assert tab.evaluate(VIOLATIONS) == [], screen
        assert tab.complaints == []


@pytest.mark.slow
def test_the_checks_see_defects(tab: Tab, tmp_path: Path) -> None:
    """A check that cannot fail is none: both find what is wrong with this page."""
    page = """<!DOCTYPE html><title>x</title><style>body { margin: 0 }</style>
        <p style="color: #bbb">pale</p><img src="data:,"><p style="white-space: nowrap">wide """
    shown(tab, page + "words " * 100, tmp_path, width=360)
    assert [one.partition(" ")[0] for one in tab.evaluate(DEFECTS)] == ["overflows", "cut:"]
    tab.evaluate(f"{axe_source()};0")
    found = {one.partition(":")[0] for one in tab.evaluate(VIOLATIONS)}
    assert {"color-contrast", "image-alt", "html-has-lang"} <= found


@pytest.mark.slow
@pytest.mark.parametrize("vector", VECTORS)
def test_foreign_text_does_nothing(tab: Tab, vector: str, tmp_path: Path) -> None:
    shown(tab, render("html", with_text(vector)), tmp_path, width=700)
    facts = tab.evaluate(INERT)
    assert facts.pop("title").startswith("REPRODUCED: ")
    assert set(facts.values()) == {0}
    assert tab.evaluate(DEFECTS) == []
    assert [one for one in tab.requests if not one.endswith("/page.html")] == []
    assert tab.complaints == []


@pytest.mark.slow
def test_the_policy_stops_a_script_that_got_in_all_the_same(tab: Tab, tmp_path: Path) -> None:
    """The second wall: were the escaping ever to fail, the browser would refuse."""
    page = render("html", REPORTS["reproduced"]).replace(
        "<main>",
        "<main><script>document.title = 'taken'</script><img src='page2.html' "
        "onerror=\"document.title = 'taken'\" style='color: red'>",
    )
    shown(tab, page, tmp_path, width=700)
    assert tab.evaluate("document.title") == "REPRODUCED: digits.rpk"
    assert tab.complaints


@pytest.mark.slow
def test_it_prints_whole(tab: Tab, tmp_path: Path) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("needs pdftotext, which is not installed")
    shown(tab, render("html", REPORTS["explained"]), tmp_path, width=1200, scheme="dark")
    paper = tmp_path / "page.pdf"
    paper.write_bytes(tab.paper())
    text = subprocess.run(
        ["pdftotext", "-layout", paper, "-"], capture_output=True, text=True, check=True
    ).stdout
    pages = text.rstrip("\f").split("\f")
    assert 3 <= len(pages) <= 5
    assert re.match(r"\s*repropack check of digits.rpk\s+NOT REPRODUCED", pages[0])
    assert "This file holds no scripts" in pages[-1]
    for heading in ("Curves", "Chain of runs", "How to cite this check"):
        # A heading is never left behind at the foot of a page.
        lines = next(page for page in pages if heading in page).strip().splitlines()
        assert not lines[-1].strip().startswith((heading, "recorded, ")), lines[-1]
