# SPDX-License-Identifier: Apache-2.0
"""The leak gate and the export screen, as a user meets them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.project import Project

TOKEN = "ghp_Zk3Rw9QxLm2VtY7bNc5Hd8Jf4Gs6Pa1Ku0Ei"


@pytest.fixture
def leaky(project: Project) -> Project:
    """A project whose code holds a token and whose weights hold the author's home."""
    train = project.root / "train.py"
    train.write_text(train.read_text() + f"\nTOKEN = '{TOKEN}'\n")
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    return project


def test_an_export_stops_and_a_waiver_lets_it_pass(leaky: Project) -> None:
    stopped = leaky.repropack("export", "-o", "x.rpk", "--yes")
    assert stopped.returncode == 1
    (line,) = [x for x in stopped.stdout.splitlines() if "github-token" in x]
    assert "train.py" in line
    assert TOKEN[6:] not in stopped.stdout + stopped.stderr
    assert len(stopped.stderr.strip().splitlines()[-1]) < 400
    assert not (leaky.root / "x.rpk").exists()
    leaky.ok("export", "-o", "x.rpk", "--yes", "--waive", line.split()[0])
    assert (leaky.root / "x.rpk").exists()
    # It is remembered, and does not go out.
    (leaky.root / "x.rpk").unlink()
    leaky.ok("export", "-o", "x.rpk", "--yes")
    assert "waivers" not in leaky.ok("inspect", "x.rpk", "--all")
    # Whoever opens the bundle finds the token by the same means.
    assert leaky.repropack("scan", "x.rpk").returncode == 1


def own_files(project: Project) -> dict[str, tuple[int, int, bytes]]:
    """Mode, time and content of all below and beside the project, the user's home among it."""
    top = project.root.parent
    found = {}
    for path in sorted(top.rglob("*")):
        name = path.relative_to(top)
        status = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(name)] = status.st_mode, status.st_mtime_ns, content
    return found


def test_a_dry_run_shows_everything_and_writes_nothing(leaky: Project) -> None:
    before = own_files(leaky)
    done = leaky.repropack("export", "-o", "x.rpk", "--dry-run", "--json")
    assert done.returncode == 1
    facts = json.loads(done.stdout)
    assert {m["path"] for m in facts["members"]} >= {"README.md", "claims.json"}
    assert [leak["rule"] for leak in facts["leaks"] if leak["blocks"]] == ["github-token"]
    assert facts["signers"]
    assert facts["licences"] == []
    assert facts["hosts"] == ["GitHub releases: fits", "Zenodo: fits"]
    assert TOKEN[6:] not in done.stdout
    (found,) = (leak["id"] for leak in facts["leaks"] if leak["blocks"])
    assert facts["next"] is None
    clean = leaky.ok("export", "-o", "x.rpk", "--dry-run", "--json", "--waive", found)
    assert json.loads(clean)["next"] == f"repropack export -o x.rpk --json --waive {found}"
    text = leaky.ok("export", "-o", "x.rpk", "--dry-run", "--waive", found)
    assert "before compression" in text
    last = text.splitlines()[-1]
    assert last == (
        f"nothing was written (--dry-run); next: repropack export -o x.rpk --waive {found}"
    )
    assert own_files(leaky) == before
    # What was let pass then is not let pass for ever.
    assert leaky.repropack("export", "-o", "x.rpk", "--yes").returncode == 1


@pytest.mark.parametrize(
    "options",
    [["--withhold", "eval.py"], ["--wheels"], ["--anonymous", "--replace", "score=figure"]],
)
def test_nor_does_it_write_the_code_that_would_go_out(project: Project, options: list[str]) -> None:
    """A smaller tree, a commitment, a replaced word: each makes objects of git."""
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    before = own_files(project)
    facts = json.loads(project.repropack("export", *options, "--dry-run", "--json").stdout)
    assert any(m["path"].startswith("code") for m in facts["members"])
    assert own_files(project) == before


def test_a_dry_run_takes_no_options_that_install(leaky: Project) -> None:
    before = own_files(leaky)
    done = leaky.repropack("export", "--dry-run", "--calibrate", "2")
    assert done.returncode == 2
    assert "--dry-run writes nothing" in done.stderr
    assert own_files(leaky) == before


def test_programs_and_people_are_told_the_same_before_and_when_it_is_written(
    leaky: Project,
) -> None:
    found = json.loads(leaky.repropack("export", "--dry-run", "--json").stdout)["leaks"][0]["id"]
    options = ("export", "-o", "x.rpk", "--waive", found)
    shown = json.loads(leaky.ok(*options, "--dry-run", "--json"))
    written = json.loads(leaky.ok(*options, "--json"))
    # What is written has digests too.
    written["members"] = [
        {key: member[key] for key in ("path", "size", "role")} for member in written["members"]
    ]
    assert written.pop("next").startswith("repropack verify x.rpk --signer SHA256:")
    assert shown.pop("next").startswith("repropack export -o x.rpk --waive ")
    assert {key: written[key] for key in shown} == shown
    text = leaky.ok("export", "-o", "y.rpk", "--dry-run")
    listed = [*(m["path"] for m in shown["members"]), *shown["held_back"], *shown["hosts"]]
    for words in (*listed, *shown["signers"], *(u["reason"] for u in shown["unsearched"])):
        assert words in text
    assert "1 more may pass: you waived them" in text


def test_on_a_terminal_lines_are_broken_between_words(leaky: Project) -> None:
    controller, terminal = pty.openpty()
    with os.fdopen(controller, "rb", buffering=0) as screen:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        process = subprocess.Popen(
            [sys.executable, "-m", "repropack", "export", "--dry-run"],
            cwd=leaky.root,
            env={**leaky.environment, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.DEVNULL,
        )
        os.close(terminal)
        text = b""
        with contextlib.suppress(OSError):  # the end of a terminal that nobody has open
            while data := screen.read(65536):
                text += data
        assert process.wait() == 1
    lines = text.decode().replace("\r\n", "\n").split("\n")
    assert any(line.startswith("stays here ") for line in lines)
    for line in lines:
        assert len(line) <= 80 or " " not in line.strip(), line


def test_scan_of_a_run_a_directory_and_a_file(leaky: Project, tmp_path: Path) -> None:
    for what in ("last", ".", "train.py"):
        done = leaky.repropack("scan", what, "--json")
        assert done.returncode == 1
        rules = {leak["rule"] for leak in json.loads(done.stdout)["leaks"] if leak["blocks"]}
        assert "github-token" in rules
    clean = tmp_path / "clean.txt"
    clean.write_text("nothing\n")
    assert leaky.ok("scan", str(clean)).startswith("NOTHING FOUND")
    assert leaky.repropack("scan", "no-such-thing").returncode == 2
    assert leaky.repropack("scan", str(clean), "--waive", "0" * 12).returncode == 2


def test_the_authors_own_name_in_code_stops_an_export(project: Project) -> None:
    project.write("notes.txt", "ask Zoe Private about it\n")
    project.write("LICENSE", "Copyright Zoe Private\n")
    project.git("add", "-A")
    project.git("commit", "-qm", "x")
    project.ok("key", "new")
    project.ok("run", "--", "python", "train.py")
    done = project.repropack("export", "-o", "x.rpk", "--dry-run", "--json")
    assert done.returncode == 1
    found = {(x["place"], x["blocks"]) for x in json.loads(done.stdout)["leaks"]}
    assert ("notes.txt", True) in found
    assert ("LICENSE", False) in found


def test_checklists_are_filled_from_the_record_and_blank_elsewhere(leaky: Project) -> None:
    # A training that gives no number is no evaluation, and one without packages depends on none.
    alone = leaky.ok("checklist", "--kind", "ml-code")
    assert "- [ ] **Evaluation code**: ____" in alone
    assert "- [x] **Specification of dependencies**" in alone
    leaky.ok("run", "--", "python", "eval.py", "out/model.bin")
    code = leaky.ok("checklist", "--kind", "ml-code")
    assert "- [x] **Training code**: `python train.py`" in code
    assert "- [x] **Evaluation code**: `python eval.py out/model.bin`" in code
    assert "weights/out/model.bin" in code
    answers = leaky.ok("checklist", "last", "--kind", "neurips")
    # An answer is about the paper, which no record knows.
    assert answers.count("   Answer: ____\n") == 16
    assert "8. **Experiments compute resources**\n   Answer: ____\n   Justification: " in answers
    assert "score = " in answers
    appendix = leaky.ok("checklist", "--kind", "acm")
    assert "- **Archived (provide DOI)?**: ____" in appendix
    assert TOKEN not in code + answers + appendix
    assert _titles(code, r"- \[[ x]\] \*\*(.+?)\*\*: ") == ML_CODE
    assert _titles(answers, r"[0-9]+\. \*\*(.+?)\*\*$") == NEURIPS
    assert "[Yes], [No] or [NA]" in answers
    assert answers.count("Answer: ") == answers.count("Justification: ") == len(NEURIPS)
    assert _titles(appendix, r"- \*\*(.+?)\*\*: ") == ARTIFACT
    assert _titles(appendix, r"##+ (A\..+)$") == APPENDIX
    assert leaky.repropack("checklist", "--kind", "other").returncode == 2


def _titles(text: str, pattern: str) -> list[str]:
    return [found[1] for line in text.splitlines() if (found := re.match(pattern, line))]


ML_CODE = [
    "Specification of dependencies",
    "Training code",
    "Evaluation code",
    "Pre-trained models",
    "README file including table of results accompanied by precise commands to run/produce those "
    "results",
]
"""paperswithcode/releasing-research-code, README.md, commit a5b2c854 (NeurIPS 2021)."""

NEURIPS = [
    "Claims",
    "Limitations",
    "Theory assumptions and proofs",
    "Experimental result reproducibility",
    "Open access to data and code",
    "Experimental setting/details",
    "Experiment statistical significance",
    "Experiments compute resources",
    "Code of ethics",
    "Broader impacts",
    "Safeguards",
    "Licenses for existing assets",
    "New assets",
    "Crowdsourcing and research with human subjects",
    "Institutional review board (IRB) approvals or equivalent for research with human subjects",
    "Declaration of LLM usage",
]
"""The checklist in the NeurIPS style file of 2025."""

ARTIFACT = [
    *("Algorithm", "Program", "Compilation", "Transformations", "Binary", "Model", "Data set"),
    *("Run-time environment", "Hardware", "Run-time state", "Execution", "Metrics", "Output"),
    "Experiments",
    "How much disk space required (approximately)?",
    "How much time is needed to prepare workflow (approximately)?",
    "How much time is needed to complete experiments (approximately)?",
    "Publicly available?",
    "Code licenses (if publicly available)?",
    "Data licenses (if publicly available)?",
    "Workflow framework used?",
    "Archived (provide DOI)?",
]
APPENDIX = [
    "A.1 Abstract",
    "A.2 Artifact check-list (meta-information)",
    "A.3 Description",
    "A.3.1 How to access",
    "A.3.2 Hardware dependencies",
    "A.3.3 Software dependencies",
    "A.3.4 Data sets",
    "A.3.5 Models",
    "A.4 Installation",
    "A.5 Experiment workflow",
    "A.6 Evaluation and expected results",
    "A.7 Experiment customization",
    "A.8 Notes",
    "A.9 Methodology",
]
"""ctuning/artifact-evaluation, docs/template/ae-20240722.tex."""


@pytest.mark.parametrize("anonymous", [False, True])
def test_names_of_the_machine_that_recorded_are_searched_on_every_other(
    project: Project, anonymous: bool
) -> None:
    """Recorded on a cluster, exported on a laptop."""
    there = project.root.parent / "clusterhome" / "privzoe77"
    there.mkdir(parents=True)
    variables = {"USER": "privzoe77", "LOGNAME": "privzoe77", "HOME": str(there)}
    if anonymous:
        variables["SLURM_CLUSTER_NAME"] = "quuxcluster"
    train = project.root / "train.py"
    train.write_text(
        train.read_text() + "\nimport os\nwith open('out/notes.txt', 'w') as notes:\n"
        "    print(os.environ['USER'], os.environ.get('SLURM_CLUSTER_NAME'), file=notes)\n"
    )
    project.ok("key", "new")
    done = project.repropack("run", "--", "python", "train.py", variables=variables)
    assert done.returncode == 0, done.stderr
    options = ["--anonymous"] if anonymous else []
    export = ["export", "--run", "last", "--weights", "out/notes.txt", "--dry-run", "--json"]
    done = project.repropack(*export, *options)
    assert done.returncode == 1, done.stderr
    rules = {x["rule"] for x in json.loads(done.stdout)["leaks"] if x["place"] == "out/notes.txt"}
    assert rules == {"term: user name", *(["term: host name"] if anonymous else [])}
    assert project.repropack("scan", "last").returncode == 1


def test_a_secret_on_the_command_line_is_masked_where_it_is_shown(project: Project) -> None:
    project.write("other.py", "import json\njson.dump({'score': 1}, open('metrics.json', 'w'))\n")
    project.ok("key", "new")
    project.ok("run", "--", "python", "other.py", "--api-key", TOKEN, f"--token={TOKEN}")
    done = project.repropack("export", "--dry-run")
    assert done.returncode == 1
    assert "--api-key 'ghp_… (40 characters)'" in done.stdout
    forms = [project.ok("checklist", "--kind", kind) for kind in ("ml-code", "neurips", "acm")]
    for text in (done.stdout, done.stderr, *forms):
        assert TOKEN[6:] not in text
