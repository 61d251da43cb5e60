# SPDX-License-Identifier: Apache-2.0
"""The graph of runs: what belongs to it, and that nothing in a record can break the drawing."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.escaping import show
from repropack.lineage import Graph, continues, svg, text, trace
from repropack.model import Invocation, Material, Origin, Outcome, RunRecord, Segment
from tests.project import Project

TIME = "2024-01-01T00:00:00Z"
SVG = "{http://www.w3.org/2000/svg}"


def _segment(*origins: str, command: str = "make", path: str = "{project}/m.pt") -> Segment:
    return Segment(
        invocation=Invocation(argv=(command,), directory="{project}", variables={}),
        source=None,
        environment=None,
        started=TIME,
        ended=TIME,
        outcome=Outcome(status=0),
        materials=tuple(
            Material(
                path=path, size=1, sha256="0" * 64, evidence=(), origin=Origin(run=one, path=path)
            )
            for one in origins
        ),
    )


def _record(run_id: str, *segments: Segment) -> RunRecord:
    return RunRecord(version=1, id=run_id, segments=segments)


def _graph(links: dict[str, tuple[str, ...]], target: str) -> Graph:
    return trace({one: _record(one, _segment(*made)) for one, made in links.items()}, target)


def test_what_it_descends_from_and_what_descends_from_it() -> None:
    graph = _graph({"a": (), "b": ("a",), "c": ("b",), "d": ("b", "a"), "other": ()}, "b")
    assert {node.run: node.depth for node in graph.nodes} == {"a": 0, "b": 1, "c": 2, "d": 2}
    side = _graph({"a": (), "b": ("a",), "c": ("a",)}, "b")
    assert [node.run for node in side.nodes] == ["a", "b"]


def test_a_run_that_was_removed_is_shown_as_such() -> None:
    graph = _graph({"b": ("gone",)}, "b")
    assert [node.run for node in graph.nodes] == ["gone", "b"]
    assert any("not in the store any more" in line for line in text.draw(graph))
    assert "not in the store any more" in svg.draw(graph)


def test_runs_that_fed_each_other_are_drawn_too() -> None:
    records = {"a": _record("a", _segment(), _segment("b", "a")), "b": _record("b", _segment("a"))}
    graph = trace(records, "b")
    assert {node.run for node in graph.nodes} == {"a", "b"}
    ET.fromstring(svg.draw(graph))


def test_a_long_chain_is_no_recursion() -> None:
    links: dict[str, tuple[str, ...]] = {"0": ()} | {str(n): (str(n - 1),) for n in range(1, 3000)}
    assert _graph(links, "2999").nodes[-1].depth == 2999


@pytest.mark.parametrize(
    ("later", "same"),
    [
        ("python t.py --resume", True),
        ("python t.py --resume out/ckpt.pt", True),
        ("python t.py --resume_from_checkpoint=out/3", True),
        ("python t.py trainer.ckpt_path=out/3", True),
        ("python t.py --init_from=resume", True),
        ("python t.py", True),
        ("python t.py --lr 0.2", False),
        ("python eval.py out/ckpt.pt", False),
        ("python t.py --resume --lr 0.2", False),
    ],
)
def test_the_same_command_but_for_going_on(later: str, same: bool) -> None:
    assert continues(["python", "t.py"], later.split()) is same


@given(command=st.text(max_size=200), path=st.text(max_size=100))
def test_no_text_of_a_record_breaks_the_document(command: str, path: str) -> None:
    records = {
        "a": _record("a", _segment()),
        "b": _record("b", _segment("a", command=command, path="{project}/" + path)),
    }
    graph = trace(records, "b")
    root = ET.fromstring(svg.draw(graph))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "style", "defs", "marker", "path", "rect", "text"),
    }
    for line in text.draw(graph):
        assert show(line, limit=10_000) == line


def test_boxes_do_not_overlap() -> None:
    graph = _graph({"a": (), "b": (), "c": ("a", "b"), "d": ("c",), "e": ("c", "a")}, "c")
    root = ET.fromstring(svg.draw(graph))
    boxes = [
        tuple(float(box.get(key, "0")) for key in ("x", "y", "width", "height"))
        for box in root.iter(f"{SVG}rect")
        if "run" in box.get("class", "")
    ]
    assert len(boxes) == 5
    for number, (x, y, width, height) in enumerate(boxes):
        for u, v, across, down in boxes[number + 1 :]:
            assert x + width <= u or u + across <= x or y + height <= v or v + down <= y


def test_no_text_hangs_over_the_edge() -> None:
    records = {"a": _record("a", _segment()), "b": _record("b", _segment("a", path="w" * 60))}
    root = ET.fromstring(svg.draw(trace(records, "b")))
    width = float(root.get("width", "0"))
    for element in root.iter(f"{SVG}text"):
        said = "".join(element.itertext()).removeprefix(element[0].text or "")
        assert float(element.get("x", "0")) + 7.2 * len(said) <= width


def test_show_draws_a_chain_as_text_and_as_svg(project: Project) -> None:
    project.ok("run", "--name", "one", "--", "python", "train.py")
    project.ok("run", "--name", "two", "--", "python", "eval.py", "out/model.bin")
    drawn = project.ok("show", "two", "--graph")
    first, second = (json.loads(project.ok("list", "--json"))[n]["id"] for n in (0, 1))
    assert f"o run {first} [one]" in drawn
    assert f"* run {second} [two]" in drawn
    assert f"reads out/model.bin of run {first}" in drawn
    assert "drew 2 runs in chain.svg" in project.ok("show", "two", "--graph", "chain.svg")
    ET.fromstring((project.root / "chain.svg").read_bytes())
    done = project.repropack("show", "--graph", "two")
    assert done.returncode == 2
    assert "the run comes before the option" in done.stderr


def test_a_run_that_goes_on_with_its_own_checkpoint_is_said(project: Project) -> None:
    code = "import os; p = 'out/c.bin'; old = open(p).read() if os.path.exists(p) else ''\n"
    code += "os.makedirs('out', exist_ok=True); open(p, 'w').write(old + 'x')"
    project.write("loop.py", code)
    project.ok("run", "--name", "one", "--", "python", "loop.py")
    done = project.repropack("run", "--", "python", "loop.py", "--resume")
    first = json.loads(project.ok("list", "--json"))[0]["id"]
    assert f"`repropack run --resume {first} -- …`" in done.stderr
    assert project.segment()["materials"][0]["origin"]["run"] == first
