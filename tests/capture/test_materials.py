# SPDX-License-Identifier: Apache-2.0
"""Which of the files that were seen are data, and how they group into data sets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repropack.agent.log import ProcessObservation
from repropack.capture.materials import (
    Surroundings,
    candidates,
    group_data,
    outside_code,
    written_outside,
)

AROUND = Surroundings(
    project="/home/zoe/lab",
    home="/home/zoe",
    interpreters=("/opt/venv", "/usr"),
    library_paths=("/opt/venv/lib/python3.11/site-packages",),
    code=frozenset({"train.py", "config/base.json"}),
)


@pytest.mark.parametrize(
    ("files", "named", "groups"),
    [
        # One directory for each class is one data set.
        (
            ["/data/birds/cat/1.jpg", "/data/birds/dog/1.jpg"],
            {},
            {"birds": ("/data/birds", ["cat/1.jpg", "dog/1.jpg"])},
        ),
        # Two roots of one name.
        (
            ["/a/x/data/1", "/b/y/data/1"],
            {},
            {"x-data": ("/a/x/data", ["1"]), "y-data": ("/b/y/data", ["1"])},
        ),
        (
            ["/a/x/data/1", "/b/x/data/1"],
            {},
            {"x-data": ("/a/x/data", ["1"]), "x-data-2": ("/b/x/data", ["1"])},
        ),
        # Parts of a data set, however many classes were read of each; one name whichever part.
        (
            ["/data/imagenet/train/n01/a.jpg", "/data/imagenet/val/n07/deep/b.jpg"],
            {},
            {"imagenet": ("/data/imagenet", ["train/n01/a.jpg", "val/n07/deep/b.jpg"])},
        ),
        (["/data/imagenet/val/b.jpg"], {}, {"imagenet": ("/data/imagenet", ["val/b.jpg"])}),
        (["/data/train/a.csv"], {}, {"train": ("/data/train", ["a.csv"])}),
        (
            ["/data/voc/Images/n01/a.jpg", "/data/voc/Labels/n07/a.xml"],
            {},
            {"voc": ("/data/voc", ["Images/n01/a.jpg", "Labels/n07/a.xml"])},
        ),
        (
            ["/lab/x/a/b/c/d/1", "/lab/x/e/f/g/h/2"],
            {},
            {"d": ("/lab/x/a/b/c/d", ["1"]), "h": ("/lab/x/e/f/g/h", ["2"])},
        ),
        # A data set is not inside another one.
        (
            ["/data/set/README", "/data/set/very/deep/a.bin"],
            {},
            {"set": ("/data/set", ["README", "very/deep/a.bin"])},
        ),
        # Neighbours that have nothing to do with each other.
        (
            ["/home/zoe/datasets/a/1", "/home/zoe/datasets/b/1", "/mnt/disk/c/1", "/mnt/disk/d/1"],
            {},
            {
                "a": ("/home/zoe/datasets/a", ["1"]),
                "b": ("/home/zoe/datasets/b", ["1"]),
                "c": ("/mnt/disk/c", ["1"]),
                "d": ("/mnt/disk/d", ["1"]),
            },
        ),
        # Neither the root nor the home is made one.
        (
            ["/home/zoe/a/1", "/home/zoe/b/1", "/x/1", "/y/1"],
            {},
            {
                "a": ("/home/zoe/a", ["1"]),
                "b": ("/home/zoe/b", ["1"]),
                "x": ("/x", ["1"]),
                "y": ("/y", ["1"]),
            },
        ),
        # What holds them is as broad as a mount point.
        (["/data/a/1", "/data/b/1"], {}, {"a": ("/data/a", ["1"]), "b": ("/data/b", ["1"])}),
        # What the user names, the nearest first.
        (
            ["/d/m/x", "/d/m/n/y"],
            {"all": "/d/m", "inner": "/d/m/n"},
            {"all": ("/d/m", ["x"]), "inner": ("/d/m/n", ["y"])},
        ),
        # The user's name is the name of no data set.
        (["/home/zoe/a.txt"], {}, {"home": ("/home/zoe", ["a.txt"])}),
        (["/scratch/x/zoe/a.txt"], {}, {"data": ("/scratch/x/zoe", ["a.txt"])}),
        # `project` is the name of the ignored files of the project.
        (["/x/y/project/a"], {}, {"project-data": ("/x/y/project", ["a"])}),
        (["/x/y/a b\n{c}/a"], {}, {"a-b-c": ("/x/y/a b\n{c}", ["a"])}),
    ],
)
def test_how_files_group(
    files: list[str], named: dict[str, str], groups: dict[str, tuple[str, list[str]]]
) -> None:
    found = group_data(files, named, AROUND)
    assert {r.name: (r.directory, list(r.files)) for r in found} == groups


def test_many_directories_group_in_linear_time() -> None:
    files = [f"/data/set{n % 50}/class{n}/video{n}/frame" for n in range(20_000)]
    found = group_data(files, {}, AROUND)
    assert [len(root.files) for root in found] == [400] * 50
    assert {root.name for root in found} == {f"set{n}" for n in range(50)}


@given(
    st.lists(
        st.lists(
            st.sampled_from(["a", "b", "data", "project", "home", "zoe", "train"]), min_size=1
        ).map(lambda parts: "/" + "/".join(parts) + "/file"),
        unique=True,
        max_size=12,
    )
)
def test_every_file_is_in_exactly_one_data_set_with_a_name_of_its_own(files: list[str]) -> None:
    roots = group_data(files, {}, AROUND)
    assert sorted(os.path.join(r.directory, f) for r in roots for f in r.files) == sorted(files)
    assert len({r.name for r in roots}) == len(roots)
    assert "project" not in {r.name for r in roots}


def test_what_is_no_data() -> None:
    process = ProcessObservation(
        pid=1,
        opened_read=(
            "/home/zoe/lab/train.py",
            "/home/zoe/lab/config/base.json",
            "/home/zoe/lab/.git/HEAD",
            "/home/zoe/lab/.repropack/runs/x/run.json",
            "/opt/venv/lib/python3.11/site-packages/sklearn/iris.csv",
            "/usr/share/zoneinfo/UTC",
            "/proc/cpuinfo",
            "/home/zoe/.ssh/config",
            "/home/zoe/.netrc",
            "/home/zoe/lab/ignored.bin",
            "/data/set/a.bin",
        ),
    )
    found = candidates([process], (), "/home/zoe/lab", AROUND)
    assert [c.path for c in found] == ["/data/set/a.bin", "/home/zoe/lab/ignored.bin"]


def test_links_to_the_project_and_out_of_it(tmp_path: Path) -> None:
    project, data = tmp_path / "real", tmp_path / "mnt"
    project.mkdir()
    data.mkdir()
    (tmp_path / "link").symlink_to(project)
    (project / "data").symlink_to(data)
    (project / "latest.pt").symlink_to("ckpt.pt")
    for place in (project / "ckpt.pt", project / "m.py", data / "a.txt", tmp_path / "out.txt"):
        place.write_text("x")
    around = Surroundings(
        project=str(project),
        home="",
        interpreters=(),
        library_paths=(),
        code=frozenset({"m.py"}),
    )
    process = ProcessObservation(
        pid=1,
        opened_read=tuple(
            str(tmp_path / p)
            for p in ("link/latest.pt", "real/data/a.txt", "mnt/a.txt", "link/m.py")
        ),
        opened_written=(str(tmp_path / "link/ckpt.pt"), str(tmp_path / "out.txt"), "/gone"),
        modules={"m": str(tmp_path / "link/m.py")},
    )
    found = candidates([process], (), str(project), around)
    assert [c.path for c in found] == [
        str(data / "a.txt"),
        str(project / "ckpt.pt"),
        str(project / "data" / "a.txt"),
    ]
    assert outside_code([process], around) == ()
    assert written_outside([process], around) == (str(tmp_path / "out.txt"),)
