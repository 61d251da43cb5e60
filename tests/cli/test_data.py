# SPDX-License-Identifier: Apache-2.0
"""`repropack data`: somebody removed 37 images that were no JPEGs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.project import Project

READ = (
    "import pathlib, sys\n"
    "print(sum(len(p.read_bytes()) for p in pathlib.Path(sys.argv[1]).rglob('*') if p.is_file()))\n"
)


@pytest.fixture
def images(project: Project, tmp_path: Path) -> Path:
    project.write("read.py", READ)
    place = tmp_path / "sets" / "imagenet"
    for split in ("train", "val"):
        (place / split).mkdir(parents=True)
        for number in range(30):
            (place / split / f"{number}.jpg").write_text(f"{split} {number}")
    for number in range(37):
        (place / "train" / f"odd{number}.png").write_text(f"{number}")
    return place


def _list(tool: str, place: Path, directory: Path, name: str) -> str:
    files = sorted(str(p.relative_to(directory)) for p in place.rglob("*") if p.is_file())
    made = subprocess.run([tool, *files], cwd=directory, check=True, capture_output=True).stdout
    path = place.parent.parent / name
    path.write_bytes(made)
    return str(path)


def test_37_images_that_were_no_jpegs(project: Project, images: Path) -> None:
    project.ok("run", "--name", "before", "--", "python", "read.py", str(images))
    for path in (images / "train").glob("*.png"):
        path.unlink()
    project.ok("run", "--name", "after", "--", "python", "read.py", str(images))
    done = project.repropack("data", "diff", "before", "after")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "37 removed, 60 the same"
    assert "by suffix  .png 37" in done.stdout
    assert "by directory  train 37" in done.stdout
    assert "… and 17 more (--all)" in done.stdout
    assert lines[-1] == "the data differs: 37 removed"
    every = project.repropack("data", "diff", "before", "after", "--all").stdout
    assert all(f"train/odd{number}.png" in every for number in range(37))
    document = json.loads(project.repropack("data", "diff", "after", "before", "--json").stdout)
    assert len(document["added"]) == 37
    assert document["same"] == 60
    same = project.repropack("data", "diff", "after", "after")
    assert (same.returncode, same.stdout.splitlines()[-1]) == (0, "the data is the same: 60 files")


@pytest.mark.parametrize("tool", ["sha256sum", "md5sum"])
def test_a_published_list(project: Project, images: Path, tool: str) -> None:
    published = _list(tool, images, images.parent, "published.txt")
    (images / "train" / "odd1.png").unlink()
    (images / "val" / "0.jpg").write_text("cleaned by hand")
    (images / "val" / "new.jpg").write_text("added")
    project.ok("run", "--", "python", "read.py", str(images))
    done = project.repropack("data", "check", "imagenet", "--against", published)
    assert done.returncode == 1
    assert done.stdout.splitlines()[0] == "1 removed, 1 added, 1 changed, 95 the same"
    assert done.stdout.splitlines()[-1] == "the data differs: 1 removed, 1 added, 1 changed"


def test_files_that_the_run_did_not_read_are_not_said_to_be_removed(
    project: Project, images: Path
) -> None:
    published = _list("sha256sum", images, images.parent.parent, "published.txt")
    (images / "val" / "3.jpg").unlink()
    project.ok("run", "--", "python", "read.py", str(images / "train"))
    done = project.repropack("data", "check", "imagenet", "--against", published)
    first = "1 removed, 67 the same; 29 on the disk that the run did not read"
    assert done.stdout.splitlines()[0] == first
    project.ok("run", "--data", f"all={images}", "--", "python", "read.py", str(images / "train"))
    done = project.repropack("data", "check", "all", "--against", published, "--json")
    document = json.loads(done.stdout)
    assert document["removed"] == ["sets/imagenet/val/3.jpg"]
    assert len(document["unread"]) == 29


def test_what_is_not_known_is_never_good(project: Project, images: Path) -> None:
    md5 = _list("md5sum", images, images, "md5.txt")
    project.ok("run", "--", "python", "read.py", str(images))
    assert project.repropack("data", "check", "imagenet", "--against", md5).returncode == 0
    (images / "val" / "1.jpg").write_text("changed after the run")
    done = project.repropack("data", "check", "imagenet", "--against", md5)
    assert done.returncode == 3
    assert "1 unknown" in done.stdout
    refused = project.repropack("data", "diff", "last", md5)
    assert refused.returncode == 2
    assert "data check NAME" in refused.stderr


def test_bundles_and_their_manifests(project: Project, images: Path) -> None:
    project.ok("key", "new")
    project.ok("run", "--name", "one", "--", "python", "read.py", str(images))
    project.ok("export", "--run", "one", "-o", "one.rpk", "--yes")
    assert project.repropack("data", "diff", "one.rpk", "one").returncode == 0
    project.ok("extract", "one.rpk", "out/x", "data")
    assert project.repropack("data", "diff", "out/x/data/imagenet.json", "one.rpk").returncode == 0
    (images / "train" / "odd1.png").unlink()
    project.ok("run", "--name", "two", "--", "python", "read.py", str(images))
    done = project.repropack("data", "diff", "one.rpk", "two")
    assert (done.returncode, done.stdout.splitlines()[0]) == (1, "1 removed, 96 the same")


def test_wrong_names_are_one_line(project: Project, images: Path) -> None:
    project.write("x.txt", "nonsense\n")
    project.ok("run", "--", "python", "read.py", str(images))
    for arguments, said in (
        (("check", "nope", "--against", "x.txt"), "line 1"),
        (("check", "imagenet", "--against", "no-file"), "no-file"),
        (("diff", "last", "no-such"), "no-such"),
        (("diff", "last", "last", "--data", "nope"), "it has imagenet"),
        (("diff", "x.txt", "last"), "line 1"),
    ):
        done = project.repropack("data", *arguments)
        assert done.returncode == 2, arguments
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_what_lies_on_the_disk_now_is_compared_with_the_run(project: Project, images: Path) -> None:
    link = images / "linked"
    link.symlink_to(images / "val")
    (images / "train" / "{user}.jpg").write_text("a name like a placeholder")
    (images / "train" / "caf\udce9.jpg").write_text("a name that is not UTF-8")
    project.ok("run", "--data", f"imagenet={images}", "--", "python", "read.py", str(images))
    same = project.repropack("data", "check", "imagenet")
    assert (same.returncode, same.stdout) == (0, "99 the same\nthe data is the same: 99 files\n")

    kept = (images / "val" / "0.jpg").stat()
    (images / "val" / "0.jpg").write_text("VAL 0")
    os.utime(images / "val" / "0.jpg", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    for path in (images / "train").glob("*.png"):
        path.unlink()
    (images / "train" / "new.jpg").write_text("new")
    done = project.repropack("data", "check", "imagenet", "--json")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert document["changed"] == ["val/0.jpg"]
    assert document["added"] == ["train/new.jpg"]
    assert len(document["removed"]) == 37
    assert document["same"] == 61


def test_files_that_a_run_had_no_reason_to_read_are_not_said_to_be_new(
    project: Project, images: Path
) -> None:
    project.ok("run", "--", "python", "read.py", str(images / "val"))
    project.write("also.py", f"print(open({str(images / 'train' / '1.jpg')!r}).read())\n")
    project.ok("run", "--", "python", "also.py")
    done = project.repropack("data", "check", "imagenet")
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "1 the same; 96 on the disk that the run did not read"


def test_an_unreadable_file_is_not_known_to_be_the_same(project: Project, images: Path) -> None:
    project.ok("run", "--data", f"imagenet={images}", "--", "python", "read.py", str(images))
    (images / "val" / "0.jpg").unlink()
    (images / "val" / "0.jpg").symlink_to("/proc/self/mem")
    done = project.repropack("data", "check", "imagenet")
    assert done.returncode == 3
    assert done.stdout.splitlines()[0] == "1 unknown, 96 the same"


def test_ignored_files_of_the_project_are_a_data_set_too(project: Project) -> None:
    project.write(".gitignore", "train.bin\n")
    project.write("train.bin", "weights")
    project.write("read.py", "print(len(open('train.bin').read()))\n")
    project.ok("run", "--", "python", "read.py")
    assert project.repropack("data", "check", "project").returncode == 0
    project.write("train.bin", "cleaned by hand")
    done = project.repropack("data", "check", "project")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "the data differs: 1 changed")


def test_a_data_set_that_is_gone_is_one_line(project: Project, images: Path) -> None:
    project.ok("run", "--data", f"imagenet={images}", "--", "python", "read.py", str(images))
    images.rename(images.parent / "elsewhere")
    done = project.repropack("data", "check", "imagenet")
    assert done.returncode == 2
    assert f"{images}: data set 'imagenet' of run" in done.stderr
    assert "--against FILE" in done.stderr


def test_the_only_data_set_needs_no_name(project: Project, images: Path) -> None:
    project.ok("run", "--data", f"imagenet={images}", "--", "python", "read.py", str(images))
    assert project.repropack("data", "check").returncode == 0
    project.write("none.py", "print(1)\n")
    project.ok("run", "--", "python", "none.py")
    done = project.repropack("data", "check")
    assert done.returncode == 2
    assert "read no data" in done.stderr
