# SPDX-License-Identifier: Apache-2.0
"""Data beside the project, named in every usual spelling: recorded, packed and found again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_code_roots import by_hand
from tests.project import Project

READ = """\
import json, os, pathlib, sys
name = sys.argv[-1].partition("=")[2] or sys.argv[-1]
top = pathlib.Path(os.path.expanduser(name))
values = [float(word) for path in sorted(top.rglob("*.txt")) for word in path.read_text().split()]
pathlib.Path("m.json").write_text(json.dumps({"accuracy": sum(values) / len(values)}))
"""

BUILT_IN = """\
import json, pathlib
pathlib.Path("m.json").write_text(json.dumps({"accuracy": float(open("../data/x.txt").read())}))
"""


@pytest.fixture
def beside(project: Project) -> Project:
    """A project with data beside it."""
    project.write("read.py", READ)
    project.write("built_in.py", BUILT_IN)
    data = project.root.parent / "data"
    data.mkdir()
    (data / "x.txt").write_text("0.5\n")
    project.ok("key", "new")
    return project


def _verified(project: Project, bundle: str, *options: str, cwd: Path) -> Any:
    """The report of a reader from whom the author's directories are gone."""
    place = project.root.parent / "reader"
    place.mkdir(exist_ok=True)
    done = project.repropack("verify", bundle, "--json", *options, cwd=place)
    return json.loads(done.stdout)


def _check_everywhere(project: Project, root: Path, data: Path, *, cwd: Path) -> None:
    """Exports with and without the data, takes them away, and verifies with and without sandbox."""
    top = project.root.parent
    for name, options in (("with", ["--include-data"]), ("without", [])):
        project.ok("export", "-o", str(top / f"{name}.rpk"), "--yes", *options, cwd=cwd)
    moved = top / "moved"
    data.rename(moved)
    root.rename(top / "gone")
    bundle, bare = str(top / "with.rpk"), str(top / "without.rpk")
    assert _verified(project, bundle, cwd=top)["verdict"] == "REPRODUCED"
    assert _verified(project, bundle, "--no-sandbox", cwd=top)["verdict"] == "REPRODUCED"
    missing = _verified(project, bare, cwd=top)
    assert missing["verdict"] == "INCONCLUSIVE"
    assert "RPK701" in json.dumps(missing)
    given = _verified(project, bare, "--data", f"{data.name}={moved}", cwd=top)
    assert given["verdict"] == "REPRODUCED"


@pytest.mark.parametrize(
    ("spelled", "recorded"),
    [
        (["../data"], "{data:data}"),
        (["../data/"], "{data:data}/"),
        (["--data=../data"], "--data={data:data}"),
        (["{root}/../data"], "{data:data}"),
        (["./sub/../../data"], "{data:data}"),
        (["{top}/data"], "{data:data}"),
    ],
)
def test_every_spelling_of_a_place_beside_the_project_is_its_data_set(
    beside: Project, spelled: Sequence[str], recorded: str
) -> None:
    beside.write("sub/kept.txt", "")
    words = [w.format(root=beside.root, top=beside.root.parent) for w in spelled]
    beside.ok("run", "--", "python", "read.py", *words)
    assert beside.segment()["invocation"]["argv"][-1] == recorded
    assert [m["path"] for m in beside.segment()["materials"]] == ["{data:data}/x.txt"]


def test_a_place_named_relatively_is_found_again(beside: Project) -> None:
    beside.ok("run", "--", "python", "read.py", "../data")
    _check_everywhere(beside, beside.root, beside.root.parent / "data", cwd=beside.root)


def test_a_path_that_is_built_into_the_code_is_found_again(beside: Project) -> None:
    beside.ok("run", "--", "python", "built_in.py")
    _check_everywhere(beside, beside.root, beside.root.parent / "data", cwd=beside.root)


def test_by_hand_the_data_is_linked_where_the_code_looks_for_it(beside: Project) -> None:
    beside.ok("run", "--", "python", "built_in.py")
    bundle = beside.root.parent / "release.rpk"
    beside.ok("export", "-o", str(bundle), "--include-data", "--yes")
    (beside.root.parent / "data").rename(beside.root.parent / "moved")
    place = by_hand(beside, bundle)
    assert json.loads((place / "work-run-1/project/m.json").read_text()) == {"accuracy": 0.5}


def test_a_path_inside_a_shell_command_is_found_again(beside: Project) -> None:
    beside.ok("run", "--", "sh", "-c", "python read.py ../data")
    assert beside.segment()["invocation"]["argv"][-1] == "python read.py ../data"
    _check_everywhere(beside, beside.root, beside.root.parent / "data", cwd=beside.root)


def test_a_part_of_a_repository_has_data_inside_and_beside_it(beside: Project) -> None:
    inside = beside.write("corpus/y.txt", "0.25\n")
    beside.write(".gitignore", "out/\ncorpus/\n")
    below = beside.root / "pkg"
    below.mkdir()
    shutil.copy(beside.root / "read.py", below)
    beside.ok("run", "--", "python", "read.py", "../corpus", cwd=below)
    assert beside.segment()["invocation"]["argv"][-1] == "../corpus"
    assert [m["path"] for m in beside.segment()["materials"]] == ["{project}/corpus/y.txt"]
    beside.ok("export", "-o", "a.rpk", "--include-data", "--yes")
    assert _verified(beside, str(beside.root / "a.rpk"), cwd=below)["verdict"] == "REPRODUCED"
    assert inside.exists()
    (below / "built_in.py").write_text(BUILT_IN.replace("../data", "../../data"))
    beside.ok("run", "--", "python", "read.py", "../../data", cwd=below)
    assert beside.segment()["invocation"]["argv"][-1] == "{data:data}"
    beside.ok("run", "--", "python", "built_in.py", cwd=below)
    _check_everywhere(beside, beside.root, beside.root.parent / "data", cwd=below)


def test_what_an_argument_names_is_one_data_set_whatever_was_read_of_it(beside: Project) -> None:
    data = beside.root.parent / "data"
    (data / "x.txt").unlink()
    for part in ("train", "more/deep"):
        (data / part).mkdir(parents=True)
        (data / part / "n.txt").write_text("1\n")
    beside.ok("run", "--", "python", "read.py", "../data")
    assert [m["path"] for m in beside.segment()["materials"]] == [
        "{data:data}/more/deep/n.txt",
        "{data:data}/train/n.txt",
    ]
    _check_everywhere(beside, beside.root, data, cwd=beside.root)


def test_data_that_is_a_link_is_found_by_its_name_and_behind_it(beside: Project) -> None:
    top = beside.root.parent
    (top / "data").rename(top / "store")
    (top / "data").symlink_to("store")
    beside.ok("run", "--", "python", "read.py", "../data")
    assert beside.segment()["invocation"]["argv"][-1] == "{data:data}"
    beside.ok("run", "--", "python", "built_in.py")
    _check_everywhere(beside, beside.root, top / "data", cwd=beside.root)


def test_a_path_with_dots_in_the_project_stays_in_it(beside: Project) -> None:
    beside.write("corpus/y.txt", "0.25\n")
    beside.write("sub/kept.txt", "")
    beside.ok("run", "--", "python", "read.py", f"{beside.root}/sub/../corpus")
    assert beside.segment()["invocation"]["argv"][-1] == "{project}/corpus"


def test_a_variable_names_the_data_set_too(beside: Project) -> None:
    code = "import os, sys; sys.argv[1:] = [os.environ['TORCH_DATA']]; exec(open('read.py').read())"
    beside.ok("run", "--", "python", "-c", code, variables={"TORCH_DATA": "../data"})
    assert beside.segment()["invocation"]["variables"]["TORCH_DATA"] == "{data:data}"


def test_homes_of_others_are_not_recorded_as_values_of_variables(beside: Project) -> None:
    variables = {"TORCH_HOME": "/home/someone/cache", "TORCH_MIXED": "/opt/x:/Users/Zoe/y:/srv/z"}
    done = beside.repropack("run", "--", "python", "built_in.py", variables=variables)
    recorded = beside.segment()["invocation"]["variables"]
    assert "TORCH_HOME" not in recorded
    assert recorded["TORCH_MIXED"] == "/opt/x:/srv/z"
    assert "TORCH_HOME" in done.stderr
    assert "someone" not in json.dumps(beside.show()["run"])


@pytest.mark.root
def test_a_file_directly_below_the_top_of_the_system_is_data(beside: Project) -> None:
    place = Path(f"/repropack-test-{os.urandom(6).hex()}.txt")
    place.write_text("0.5\n")
    try:
        beside.ok("run", "--", "python", "-c", f"print('accuracy:', open('{place}').read())")
        assert [m["path"] for m in beside.segment()["materials"]] == [f"{{data:root}}{place}"]
        beside.ok("export", "--run", "last", "-o", "r.rpk", "--yes", "--include-data")
        assert f"data/root{place}" in beside.ok("inspect", "r.rpk")
    finally:
        place.unlink()


def test_addresses_are_not_recorded_as_values_of_variables(beside: Project) -> None:
    variables = {
        "JAX_COORDINATOR_ADDRESS": "planted-node:1234",
        "NCCL_COMM_ID": "planted-head:29500",
        "NCCL_SOCKET_IFNAME": "planted-ib0",
        "JAX_COMPILATION_CACHE_DIR": "gs://planted-bucket/cache",
        "TORCH_PEERS": "10.23.45.67",
        "XLA_FLAGS": "--xla_cpu_enable_fast_math=false --xla_dump_to=/home/planted-user/dump",
        "NCCL_ALGO": "Ring",
    }
    beside.ok("run", "--", "python", "-c", "pass", variables=variables)
    segment = beside.segment()
    recorded = segment["invocation"]["variables"]
    assert recorded["NCCL_ALGO"] == "Ring"
    assert recorded["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false"
    assert "planted" not in str(segment)
    assert "10.23.45.67" not in str(segment)
    assert any("JAX_COORDINATOR_ADDRESS names a host" in gap["message"] for gap in segment["gaps"])
