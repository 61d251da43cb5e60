# SPDX-License-Identifier: Apache-2.0
"""What an author keeps to herself: history, withheld files; and what she can prove later."""

from __future__ import annotations

import base64
import json
import re

import pytest

from tests.project import Project
from tests.unfolding import everything

PLANTED = [f"planted{number:02d}q" for number in range(40)]
"""Words that are planted below in places that no release may have."""


def _plant(project: Project) -> list[str]:
    """Plants words wherever a repository has places beside the tree that runs."""
    words = iter(PLANTED)
    used = []

    def word() -> str:
        used.append(next(words))
        return used[-1]

    git = project.git
    for _ in range(5):
        git("commit", "-q", "--allow-empty", "-m", f"{word()}\n\n{word()}")
    for _ in range(3):
        git("branch", word())
        git("tag", word())
        git("tag", "-a", word(), "-m", word())
        git("notes", "add", "-f", "-m", word())
    project.write("train.py", f"# {word()}\n")
    git("stash", "push", "-q", "-m", word())
    for _ in range(2):
        project.write("later-removed.txt", word())
        git("add", ".")
        git("commit", "-q", "-m", word())
        git("rm", "-q", "later-removed.txt")
        git("commit", "-q", "-m", word())
    git("remote", "add", word(), f"https://{word()}.example/{word()}.git")
    git("config", "lfs.url", f"https://{word()}.example/lfs")
    # A replacement: git shows it instead of the commit, unless it is told not to.
    head = git("rev-parse", "HEAD").strip()
    tree = git("rev-parse", "HEAD^{tree}").strip()
    git("replace", head, git("commit-tree", tree, "-m", word()).strip())
    git("checkout", "-q", "-b", word())
    git("config", f"branch.{used[-1]}.description", word())
    return used


def test_no_byte_of_a_release_has_anything_of_the_history(project: Project) -> None:
    used = _plant(project)
    assert used == PLANTED
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    project.ok("export", "-o", "../a.rpk", "--yes")
    content = everything(project.root.parent / "a.rpk").lower()
    assert b"train.py" in content
    assert [w for w in used if w.encode() in content] == []
    for term in (b"zoe", b"private.example", b"secret message"):
        assert term not in content
    head = project.git("--no-replace-objects", "rev-parse", "HEAD").strip().encode()
    assert head not in content
    assert bytes.fromhex(head.decode()) not in content


def test_again_it_has_the_same_bytes(project: Project) -> None:
    project.ok("key", "new")
    project.write("own.pem", "not a key\n")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "more")
    project.ok("run", "--", "python", "train.py")
    for place in ("one", "two"):
        (project.root.parent / place).mkdir()
        project.ok("export", "--withhold", "*.pem", "-o", f"../{place}/a.rpk", "--yes")
        project.git("commit", "-q", "--allow-empty", "-m", "history moves on")
    first, second = (project.root.parent / p / "a.rpk" for p in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()


# ---------------------------------------------------------------- withheld files


@pytest.fixture
def with_private_files(project: Project) -> Project:
    project.write("notes/ideas.txt", "the next paper\n")
    project.write("own.pem", "hidden pem\n")
    project.write("drafts/letter.txt", "dear editor\n")
    project.write(".gitattributes", "drafts/ export-ignore\n")
    project.git("add", ".")
    project.git("commit", "-q", "-m", "more")
    project.write("notes/today.txt", "not committed\n")
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    return project


def test_withheld_files_are_declared_and_nowhere(with_private_files: Project) -> None:
    project = with_private_files
    text = project.ok(
        "export",
        "--withhold",
        "notes",
        "--withhold",
        "*.pem",
        "--export-ignore",
        "-o",
        "../a.rpk",
        "--yes",
    )
    assert re.search(
        r"stays here +code: 4 of the files of tree [0-9a-f]{12} \(notes, \*\.pem", text
    )
    bundle = project.root.parent / "a.rpk"
    content = everything(bundle)
    for hidden in (b"next paper", b"ideas.txt", b"today.txt", b"hidden pem", b"own.pem", b"letter"):
        assert hidden not in content
    record = json.loads((bundle.parent / "search-a.rpk/runs/1/run.json").read_text())
    source = record["record"]["segments"][0]["source"]
    ran = project.segment()["source"]["tree"]
    assert source["withheld"] == {
        "files": 4,
        "patterns": ["notes", "*.pem", "export-ignore"],
        "tree": ran,
    }
    assert source["tree"] != ran
    assert record["code"][0]["tree"] == source["tree"]

    done = project.repropack("verify", "../a.rpk", "--json")
    report = json.loads(done.stdout)
    assert (done.returncode, report["verdict"]) in {(3, "INCONCLUSIVE"), (0, "REPRODUCED")}
    assert all(step["status"] != "failed" for step in report["steps"])
    (finding,) = (f for f in report["findings"] if f["code"] == "RPK807")
    assert "4 files" in finding["found"]
    assert ran[:12] in finding["found"]
    assert source["tree"][:12] in finding["found"]


def test_the_author_can_name_what_she_withholds(with_private_files: Project) -> None:
    project = with_private_files
    project.write("repropack.yaml", "withhold: [own.pem]\n")
    project.ok("export", "--tell-withheld", "-o", "../a.rpk", "--yes")
    assert b'"paths":["own.pem"]' in everything(project.root.parent / "a.rpk")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--withhold", "nots"), "--withhold nots: no file of the code fits"),
        (("--withhold", "*"), "nothing would be left of the code"),
    ],
)
def test_a_slip_in_a_pattern_is_no_release(
    with_private_files: Project, options: tuple[str, ...], words: str
) -> None:
    done = with_private_files.repropack("export", *options, "-o", "../a.rpk", "--yes")
    assert done.returncode == 2
    assert words in done.stderr
    assert not (with_private_files.root.parent / "a.rpk").exists()


# ---------------------------------------------------------------- which commit it was


def test_the_author_proves_which_commit_it_was(exported: Project) -> None:
    bundle = str(exported.root.parent / "release.rpk")
    head = exported.git("rev-parse", "HEAD").strip()
    # The commit may be gone from her repository by then.
    exported.git("commit", "-q", "--amend", "-m", "rewritten")
    exported.git("reflog", "expire", "--expire=now", "--all")
    exported.git("gc", "-q", "--prune=now")
    exported.ok("reveal", "--commit", bundle, "-o", "../proof.json")
    proof = exported.root.parent / "proof.json"
    text = exported.ok("reveal", "check", bundle, str(proof), cwd=exported.root.parent)
    assert head in text
    assert text.splitlines()[-1].startswith("PROVEN")

    stated = json.loads(proof.read_text())
    for change, words in (
        ({"salt": base64.b64encode(b"x" * 32).decode()}, "is not to the commit"),
        ({"commit": base64.b64encode(b"tree " + b"0" * 40 + b"\n\nx").decode()}, "is not to"),
        ({"salt": "=x"}, "not base64"),
        ({"segment": 2}, "no commitment"),
    ):
        forged = json.loads(proof.read_text())
        forged["commits"][0].update(change)
        exported.write("forged.json", json.dumps(forged))
        done = exported.repropack("reveal", "check", bundle, "forged.json")
        assert done.returncode == 1
        assert words in done.stderr
    for replaced, words in (
        ({"manifest_sha256": "0" * 64}, "is about the bundle"),
        ({"commits": []}, "opens no commitment"),
        ({"kind": "other"}, "found the kind"),
    ):
        exported.write("forged.json", json.dumps(stated | replaced))
        done = exported.repropack("reveal", "check", bundle, "forged.json")
        assert done.returncode == 1
        assert words in done.stderr


def test_a_proof_of_one_bundle_is_none_of_another(exported: Project) -> None:
    first = str(exported.root.parent / "release.rpk")
    exported.ok("reveal", "--commit", first, "-o", "proof.json")
    exported.ok("export", "--run", "train", "-o", "other.rpk", "--yes")
    done = exported.repropack("reveal", "check", "other.rpk", "proof.json")
    assert done.returncode == 1
    assert "is about the bundle" in done.stderr


def test_code_that_no_commit_holds_is_committed_to_nothing(project: Project) -> None:
    project.ok("key", "new")
    project.write("train.py", (project.root / "train.py").read_text() + "# changed\n")
    project.ok("run", "--", "python", "train.py")
    project.ok("export", "-o", "a.rpk", "--yes")
    done = project.repropack("reveal", "--commit", "a.rpk")
    assert done.returncode == 2
    assert "no commitment" in done.stderr


def test_withheld_files_do_not_hinder_the_proof(with_private_files: Project) -> None:
    project = with_private_files
    (project.root / "notes/today.txt").unlink()
    project.ok("run", "--", "python", "train.py")
    project.ok("export", "--withhold", "notes", "-o", "a.rpk", "--yes")
    project.ok("reveal", "--commit", "a.rpk")
    text = project.ok("reveal", "check", "a.rpk", "a.rpk.commit.json")
    assert project.git("rev-parse", "HEAD").strip() in text
