# SPDX-License-Identifier: Apache-2.0
"""Submodules and code beside the project: neither their history nor what is withheld goes out."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.cli.test_code_roots import add_submodule, repository
from tests.project import Project
from tests.unfolding import everything

PLANTED = [f"grafted{number:02d}w" for number in range(45)]
"""Words that are planted where no release may have them."""

RUN = """\
import json, sys
sys.path[:0] = ["ext/lib", "ext/lib/inner", "../beside"]
import deep, lib, near
json.dump({"score": lib.Y + deep.X + near.Z}, open("metrics.json", "w"))
"""


def plant(project: Project, place: str, words: list[str]) -> None:
    """Plants 15 words in a repository, wherever it has places beside the tree that runs."""
    word = iter(words).__next__

    def git(*arguments: str) -> str:
        return project.git("-C", place, *arguments)

    git("commit", "-q", "--allow-empty", "-m", word())
    name = word()
    git("-c", f"user.name={name}", "commit", "-q", "--allow-empty", "-m", word())
    git("branch", word())
    git("tag", word())
    git("tag", "-a", word(), "-m", word())
    git("notes", "add", "-f", "-m", word())
    target = Path(project.root, place, "left.txt")
    target.write_text(word())
    git("add", "left.txt")
    git("stash", "push", "-q", "-m", word())
    # A commit that only the reflog knows.
    git("commit", "-q", "--allow-empty", "-m", word())
    git("reset", "-q", "--hard", "HEAD~1")
    git("remote", "add", word(), f"ssh://git@{word()}.example/x.git")
    git("config", "lfs.url", f"https://{word()}.example/lfs")
    head = git("rev-parse", "HEAD").strip()
    tree = git("rev-parse", "HEAD^{tree}").strip()
    git("replace", head, git("commit-tree", tree, "-m", word()).strip())


@pytest.fixture
def with_submodules(project: Project, tmp_path: Path) -> Project:
    inner = repository(tmp_path / "inner", project, {"deep.py": "X = 1\n", "own.pem": "deep pem\n"})
    library = repository(
        tmp_path / "library",
        project,
        {"lib.py": "Y = 10\n", "notes/idea.txt": "library idea\n", "own.pem": "library pem\n"},
    )
    repository(
        tmp_path / "beside", project, {"near.py": "Z = 100\n", "notes/idea.txt": "beside idea\n"}
    )
    add_submodule(project, library, "ext/lib")
    add_submodule(project, inner, "inner", inside="ext/lib")
    project.git("-C", "ext/lib", "commit", "-qam", "with a submodule of its own")
    # The addresses in .gitmodules are part of the tree that ran, and its author's business.
    for place in (".", "ext/lib"):
        project.git("-C", place, "config", "-f", ".gitmodules", "--get-regexp", "url")
    for number, place in enumerate(("ext/lib", "ext/lib/inner", "../beside")):
        plant(project, place, PLANTED[number * 15 : number * 15 + 15])
    for place in ("ext/lib", "."):
        path = "inner" if place == "ext/lib" else "ext/lib"
        name = project.git("-C", place, "config", "-f", ".gitmodules", "--get-regexp", "path")
        section = name.split(".path ")[0]
        project.git("-C", place, "config", "-f", ".gitmodules", f"{section}.url", f"../{path}")
        project.git("-C", place, "add", ".")
        project.git("-C", place, "commit", "-qm", "relative addresses")
    project.write("run.py", RUN)
    project.git("add", ".")
    project.git("commit", "-qm", "submodules")
    project.ok("key", "new")
    project.ok("run", "--", "python", "run.py")
    return project


def records(bundle: Path) -> dict[str, object]:
    text = subprocess.run(
        ["tar", "--zstd", "-xOf", bundle, "runs/1/run.json"], check=True, capture_output=True
    ).stdout
    segment = json.loads(text)["record"]["segments"][0]
    found = {one["root"]: one["source"] for one in segment["roots"]}
    return {"{project}": segment["source"], **found}


def test_no_byte_of_a_release_has_anything_of_a_submodules_history(
    with_submodules: Project,
) -> None:
    project = with_submodules
    project.ok("export", "-o", "../a.rpk", "--yes")
    content = everything(project.root.parent / "a.rpk").lower()
    for present in (b"near.py", b"deep.py", b"library idea", b"beside idea"):
        assert present in content
    assert [w for w in PLANTED if w.encode() in content] == []
    for place in ("ext/lib", "ext/lib/inner", "../beside"):
        # The id of a submodule's commit is in the tree that ran; the commit is not.
        commit = project.git("-C", place, "cat-file", "commit", "HEAD").strip()
        assert commit.encode() not in content
        assert b"private words" not in content


def test_an_anonymous_release_names_no_commit_and_no_address_of_a_submodule(
    with_submodules: Project,
) -> None:
    project = with_submodules
    project.git("config", "-f", ".gitmodules", "submodule.ext/lib.url", "https://known.example/lib")
    project.git("commit", "-qam", "a public address")
    project.ok("run", "--", "python", "run.py")
    bundle = project.root.parent / "a.rpk"
    screen = project.ok("export", "--anonymous", "-o", str(bundle), "--yes")
    assert "ext/lib: a submodule: the commit that is packed stands for its own" in screen
    content = everything(bundle)
    assert b"known.example" not in content
    for place in ("ext/lib", "ext/lib/inner"):
        commit = project.git("-C", place, "rev-parse", "HEAD").strip()
        assert commit.encode() not in content
        assert bytes.fromhex(commit) not in content
    # What stands there is what is packed.
    text = subprocess.run(
        ["tar", "--zstd", "-xOf", bundle, "runs/1/run.json"], check=True, capture_output=True
    ).stdout
    packed = json.loads(text)
    replaced = packed["record"]["segments"][0]["source"]["replaced"]
    assert replaced == [".gitmodules", "ext/lib"]
    commits = {one["root"]: one["commit"] for one in packed["code"]}
    assert bytes.fromhex(commits["{project}/ext/lib"]) in content
    done = project.repropack("verify", str(bundle), "--json")
    assert json.loads(done.stdout)["verdict"] == "REPRODUCED"


@pytest.mark.parametrize(
    ("patterns", "gone", "stays", "roots"),
    [
        (
            ["ext/lib/notes"],
            [b"library idea"],
            [b"beside idea", b"library pem", b"deep pem"],
            ["{project}/ext/lib"],
        ),
        (
            ["*.pem"],
            [b"library pem", b"deep pem"],
            [b"library idea", b"beside idea"],
            ["{project}/ext/lib", "{project}/ext/lib/inner"],
        ),
        (
            ["../beside/notes/*"],
            [b"beside idea"],
            [b"library idea", b"deep pem"],
            ["{code:beside}"],
        ),
        (["{code:beside}/notes"], [b"beside idea"], [b"library idea"], ["{code:beside}"]),
        (
            ["ext/lib/inner"],
            [b"deep pem", b"deep.py"],
            [b"library idea", b"beside idea", b"library pem"],
            ["{project}/ext/lib"],
        ),
    ],
)
def test_files_of_any_code_can_be_withheld(
    with_submodules: Project,
    patterns: list[str],
    gone: list[bytes],
    stays: list[bytes],
    roots: list[str],
) -> None:
    project = with_submodules
    bundle = project.root.parent / "a.rpk"
    options = [word for pattern in patterns for word in ("--withhold", pattern)]
    text = project.ok("export", *options, "-o", str(bundle), "--yes")
    for root in roots:
        assert f"code in {root}: " in text
    content = everything(bundle)
    for words in stays:
        assert words in content
    for words in gone:
        if words != b"deep.py":
            assert words not in content
    found = records(bundle)
    declared = [
        name
        for name, source in found.items()
        if isinstance(source, dict) and source.get("withheld") is not None
    ]
    assert declared == roots
    if "ext/lib/inner" in patterns:
        assert "{project}/ext/lib/inner" not in found
    done = project.repropack("verify", str(bundle), "--json")
    report = json.loads(done.stdout)
    told = [finding["subject"] for finding in report["findings"] if finding["code"] == "RPK807"]
    assert told == [f"run 1, {root}" for root in roots]


def test_code_beside_the_project_does_not_go_as_a_whole(with_submodules: Project) -> None:
    done = with_submodules.repropack("export", "--withhold", "../beside", "-o", "a.rpk", "--yes")
    assert done.returncode == 2
    assert "nothing would be left of the code in {code:beside}" in done.stderr
