# SPDX-License-Identifier: Apache-2.0
"""Code beside the project's own tree: recorded, packed, and there again at the reader's side."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import uv

from tests.project import Project
from tests.source.conftest import fingerprint

REPORT = "import json; json.dump({'score': %s}, open('metrics.json', 'w'))\n"


def repository(place: Path, project: Project, files: dict[str, str]) -> Path:
    """A git repository with one commit."""
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    for arguments in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "private words")):
        subprocess.run(["git", *arguments], cwd=place, env=project.environment, check=True)
    return place


def add_submodule(project: Project, source: Path, path: str, *, inside: str = ".") -> None:
    subprocess.run(
        ["git", "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(source), path],
        cwd=project.root / inside,
        env=project.environment,
        check=True,
        capture_output=True,
    )


def roots(project: Project) -> dict[str, Any]:
    return {one["root"]: one for one in project.segment().get("roots", [])}


def released(project: Project) -> Path:
    if not (Path(project.environment["REPROPACK_HOME"]) / "key").exists():
        project.ok("key", "new")
    bundle = project.root.parent / "release.rpk"
    project.ok("export", "-o", str(bundle), "--yes")
    return bundle


def check(project: Project, bundle: Path, *options: str) -> str:
    """Verifies where none of the author's directories is."""
    away = bundle.parent / "away"
    away.mkdir()
    moved = []
    for place in sorted(bundle.parent.iterdir()):
        if place.is_dir() and place != away and place.name not in ("home", "venv"):
            place.rename(away / place.name)
            moved.append(place)
    try:
        return project.ok("verify", str(bundle), *options, cwd=bundle.parent)
    finally:
        for place in moved:
            (away / place.name).rename(place)
        away.rmdir()


def by_hand(project: Project, bundle: Path) -> Path:
    """Follows the text in the bundle; the directory in which that was done."""
    place = bundle.parent / "by-hand"
    place.mkdir()
    subprocess.run(["tar", "--zstd", "-xf", bundle, "-C", place], check=True)
    blocks = re.finditer(
        r"^(`{3,})sh\n(.*?)^\1$",
        (place / "REPRODUCING.md").read_text("utf-8"),
        flags=re.DOTALL | re.MULTILINE,
    )
    programs = f"{Path(uv.find_uv_bin()).parent}:{Path(sys.executable).parent}"
    subprocess.run(
        ["sh", "-e", "-c", "".join(block[2] for block in blocks)],
        cwd=place,
        env={
            **{k: v for k, v in project.environment.items() if k != "PYTHONPATH"},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "UV_PYTHON_DOWNLOADS": "never",
        },
        check=True,
        capture_output=True,
    )
    return place


def test_dirty_and_nested_submodules_reproduce(project: Project, tmp_path: Path) -> None:
    inner = repository(tmp_path / "inner", project, {"deep.py": "X = 1\n"})
    library = repository(tmp_path / "library", project, {"lib.py": "Y = 10\n"})
    absent = repository(tmp_path / "absent", project, {"no.py": ""})
    add_submodule(project, library, "ext/lib")
    add_submodule(project, inner, "inner", inside="ext/lib")
    project.git("-C", "ext/lib", "commit", "-qam", "with a submodule of its own")
    add_submodule(project, absent, "ext/absent")
    project.write(
        "run.py",
        "import sys; sys.path[:0] = ['ext/lib', 'ext/lib/inner']\nimport deep, lib, new\n"
        + REPORT % "deep.X + lib.Y + new.Z",
    )
    project.git("add", ".")
    project.git("commit", "-qm", "submodules")
    project.git("submodule", "deinit", "-q", "-f", "ext/absent")
    # What ran is what lay there, not what any commit says.
    project.write("ext/lib/lib.py", "Y = 20\n")
    project.write("ext/lib/inner/deep.py", "X = 3\n")
    project.write("ext/lib/inner/new.py", "Z = 100\n")
    status = project.git("status", "--porcelain=v2")
    before = fingerprint(project.root / ".git")
    project.ok("run", "--", "python", "run.py")
    assert fingerprint(project.root / ".git") == before
    assert project.git("status", "--porcelain=v2") == status + "? metrics.json\n"
    segment = project.segment()
    assert segment["source"]["tree"] == project.git("rev-parse", "HEAD^{tree}").strip()
    assert segment["source"]["submodules"] == ["ext/absent", "ext/lib"]
    found = roots(project)
    assert list(found) == ["{project}/ext/lib", "{project}/ext/lib/inner"]
    assert found["{project}/ext/lib/inner"]["source"]["untracked"] == ["new.py"]
    assert segment.get("materials", []) == []

    bundle = released(project)
    assert "REPRODUCED: score = 123.0" in check(project, bundle)
    place = by_hand(project, bundle) / "work-run-1"
    assert json.loads((place / "metrics.json").read_text()) == {"score": 123}
    text = subprocess.run(["tar", "--zstd", "-xOf", bundle], check=True, capture_output=True).stdout
    assert b"private words" not in text


def test_git_refuses_nothing_that_a_submodule_needs(project: Project, tmp_path: Path) -> None:
    """A submodule whose commits are private: its id stays in the tree, its history nowhere."""
    library = repository(tmp_path / "library", project, {"lib.py": "Y = 10\n"})
    add_submodule(project, library, "lib")
    project.write("run.py", "from lib import lib\n" + REPORT % "lib.Y")
    project.git("add", ".")
    project.git("commit", "-qm", "submodule")
    commit = project.git("-C", "lib", "rev-parse", "HEAD").strip()
    project.ok("run", "--", "python", "run.py")
    bundle = released(project)
    place = tmp_path / "out"
    project.ok("extract", str(bundle), str(place))
    for member in sorted((place / "code").iterdir()):
        clone = tmp_path / member.stem
        subprocess.run(["git", "clone", "-q", member, clone], check=True)
        listed = subprocess.run(
            ["git", "rev-list", "--all"], cwd=clone, check=True, capture_output=True, text=True
        ).stdout.split()
        assert len(listed) == 1
        assert commit not in listed


def test_modules_that_git_ignores_and_repositories_inside(project: Project) -> None:
    project.write(".gitignore", "out/\ngen.py\npkg/_version.py\nvendored/\nmetrics.json\n")
    project.write("pkg/__init__.py", "")
    project.write("gen.py", "A = 1\n")
    project.write("pkg/_version.py", "V = 20\n")
    repository(project.root / "vendored", project, {"vend.py": "W = 300\n", "more/data.txt": "x"})
    project.write("vendored/vend.py", "W = 400\n")
    project.write(
        "run.py",
        "import sys; sys.path.insert(0, 'vendored')\nimport gen, vend, pkg._version\n"
        + REPORT % "gen.A + vend.W + pkg._version.V",
    )
    project.git("add", ".")
    project.git("commit", "-qm", "all")
    for _ in range(2):
        # The second time all modules come from bytecode.
        said = project.repropack("run", "--", "python", "run.py").stderr
        assert "vendored (another repository)" in said
        assert "gen.py, pkg/_version.py (ignored by git)" in said
        segment = project.segment()
        assert segment.get("materials", []) == []
        assert not segment["source"]["dirty"]
        found = roots(project)
        assert list(found) == ["{project}/vendored", "{project}"]
        assert found["{project}/vendored"]["source"]["uncommitted"] == ["vend.py"]
    bundle = released(project)
    assert "REPRODUCED: score = 421.0" in check(project, bundle)
    place = by_hand(project, bundle) / "work-run-1"
    assert json.loads((place / "metrics.json").read_text()) == {"score": 421}


def test_code_beside_the_project_found_by_a_relative_path(project: Project, tmp_path: Path) -> None:
    repository(tmp_path / "mylib", project, {"src/mylib/__init__.py": "A = 1\n", "t.csv": "5"})
    (tmp_path / "mylib/src/mylib/__init__.py").write_text("A = 2\n")
    for name, text in {
        "util/__init__.py": "",
        "util/deep.py": "B = 10\n",
        "util/t.txt": "7",
    }.items():
        (tmp_path / "loose" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "loose" / name).write_text(text)
    (tmp_path / "loose/private.txt").write_text("not code of the run")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/extra.py").write_text("C = 100\n")
    project.write(
        "run.py",
        "import sys; sys.path[:0] = ['../mylib/src', '../loose']\n"
        "import mylib; from util import deep; exec(open('../scripts/extra.py').read())\n"
        "D = int(open('../mylib/t.csv').read()) + int(open('../loose/util/t.txt').read())\n"
        + REPORT
        % "mylib.A + deep.B + C + D",
    )
    before = fingerprint(tmp_path / "mylib/.git")
    said = project.repropack("run", "--", "python", "run.py").stderr
    assert fingerprint(tmp_path / "mylib/.git") == before
    assert f"{tmp_path}/mylib" in said
    segment = project.segment()
    found = roots(project)
    assert {name: one["position"] for name, one in found.items()} == {
        "{code:mylib}": "../mylib",
        "{code:loose}": "../loose",
        "{code:scripts}": "../scripts",
    }
    assert segment["python_path"] == ["{code:loose}", "{code:mylib}/src"]
    assert "materials" not in segment
    assert "gaps" not in segment
    bundle = released(project)
    content = subprocess.run(
        ["tar", "--zstd", "-xOf", bundle], check=True, capture_output=True
    ).stdout
    assert b"not code of the run" not in content
    assert str(tmp_path).encode() not in content
    assert "REPRODUCED: score = 124.0" in check(project, bundle)
    assert "REPRODUCED" in check(project, bundle, "--no-sandbox")
    place = by_hand(project, bundle) / "work-run-1/project"
    assert json.loads((place / "metrics.json").read_text()) == {"score": 124}


def editable(project: Project, tmp_path: Path, name: str, source: Path, *, hook: bool) -> None:
    """What `pip install --editable` leaves: metadata, and a path file or an import hook."""
    venv = tmp_path / "venv"
    if not venv.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        project.environment["PATH"] = f"{venv}/bin:{project.environment['PATH']}"
    (site,) = venv.glob("lib/python*/site-packages")
    if hook:
        (site / f"__editable___{name}_finder.py").write_text(
            "import sys\nfrom importlib.util import spec_from_file_location\n"
            "class Finder:\n"
            "    @classmethod\n"
            "    def find_spec(cls, fullname, path=None, target=None):\n"
            f"        if fullname == {name!r}:\n"
            f"            here = {f'{source}/{name}'!r}\n"
            "            return spec_from_file_location(\n"
            "                fullname, here + '/__init__.py', submodule_search_locations=[here])\n"
            "def install(): sys.meta_path.append(Finder)\n"
        )
        line = f"import __editable___{name}_finder; __editable___{name}_finder.install()\n"
    else:
        line = f"{source}\n"
    (site / f"__editable__.{name}-0.5.pth").write_text(line)
    info = site / f"{name}-0.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.5\n")
    (info / "RECORD").write_text(f"__editable__.{name}-0.5.pth,,\n{name}-0.5.dist-info/RECORD,,\n")
    (info / "entry_points.txt").write_text(f"[console_scripts]\n{name}-score = {name}.cli:main\n")
    (info / "direct_url.json").write_text(
        json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}})
    )
    script = venv / "bin" / f"{name}-score"
    script.write_text(
        f"#!{venv}/bin/python\nimport sys\nfrom {name}.cli import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)


CLI = (
    "def main():\n"
    "    import json, importlib.metadata, NAME\n"
    "    version = float(importlib.metadata.version('NAME'))\n"
    "    json.dump({'score': NAME.A + version}, open('metrics.json', 'w'))\n"
)


@pytest.mark.parametrize("hook", [False, True])
def test_an_editable_install_of_another_project(
    project: Project, tmp_path: Path, hook: bool
) -> None:
    source = repository(
        tmp_path / "other lib",
        project,
        {"tool/__init__.py": "A = 1\n", "tool/cli.py": CLI.replace("NAME", "tool"),
         "setup.py": "open('/tmp/repropack-must-not-run', 'w')\n"},
    )  # fmt: skip
    editable(project, tmp_path, "tool", source, hook=hook)
    project.ok("run", "--", "tool-score")
    segment = project.segment()
    assert segment["from_code"] == ["tool"]
    assert segment["python_path"] == ["{code:other-lib}"]
    bundle = released(project)
    said = check(project, bundle)
    assert "REPRODUCED: score = 1.5" in said
    assert "not installed" not in said
    place = by_hand(project, bundle) / "work-run-1/project"
    assert json.loads((place / "metrics.json").read_text()) == {"score": 1.5}
    assert not Path("/tmp/repropack-must-not-run").exists()


def test_an_editable_install_of_the_project_itself(project: Project, tmp_path: Path) -> None:
    project.write("src/tool/__init__.py", "A = 3\n")
    project.write("src/tool/cli.py", CLI.replace("NAME", "tool"))
    editable(project, tmp_path, "tool", project.root / "src", hook=False)
    project.ok("run", "--", "tool-score")
    segment = project.segment()
    assert "roots" not in segment
    assert segment["from_code"] == ["tool"]
    assert segment["python_path"] == ["{project}/src"]
    assert "REPRODUCED: score = 3.5" in check(project, released(project))


def test_a_package_that_was_installed_from_version_control(
    project: Project, tmp_path: Path
) -> None:
    editable(project, tmp_path, "tool", tmp_path / "gone", hook=False)
    (site,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (site / "__editable__.tool-0.5.pth").unlink()
    (site / "tool").mkdir()
    (site / "tool/__init__.py").write_text("A = 1\n")
    (site / "tool/cli.py").write_text(CLI.replace("NAME", "tool"))
    (site / "other.py").write_text("secret = 'of another package'\n")
    info = site / "tool-0.5.dist-info"
    names = ["METADATA", "RECORD", "direct_url.json", "entry_points.txt"]
    (info / "RECORD").write_text(
        "tool/__init__.py,,\ntool/cli.py,,\n../../../bin/tool-score,,\n"
        + "".join(f"tool-0.5.dist-info/{name},,\n" for name in names)
    )
    private = "https://zoe:token@git.example.org/private"
    (info / "direct_url.json").write_text(
        json.dumps({"url": private, "vcs_info": {"vcs": "git", "commit_id": "0" * 40}})
    )
    said = project.repropack("run", "--", "tool-score").stderr
    assert "tool (installed from no index)" in said
    assert project.segment()["from_code"] == ["tool"]
    bundle = released(project)
    text = subprocess.run(["tar", "--zstd", "-xOf", bundle], check=True, capture_output=True).stdout
    assert b"git.example.org" not in text
    assert b"of another package" not in text
    assert "REPRODUCED: score = 1.5" in check(project, bundle)
    place = by_hand(project, bundle) / "work-run-1"
    assert json.loads((place / "metrics.json").read_text()) == {"score": 1.5}


def test_code_outside_that_is_edited_while_it_runs_is_named(
    project: Project, tmp_path: Path
) -> None:
    repository(tmp_path / "lib", project, {"lib.py": "A = 1\n", "other.py": ""})
    project.write(
        "run.py",
        "import sys; sys.path.insert(0, '../lib')\nimport lib\n"
        "open('../lib/other.py', 'w').write('B = 1')\nopen('../lib/new.txt', 'w').write('x')\n"
        + REPORT
        % "lib.A",
    )
    said = project.repropack("run", "--", "python", "run.py").stderr
    assert "recorded as it was at the end: other.py" in said
    (root,) = roots(project).values()
    assert root["source"]["excluded"] == [
        {"path": "new.txt", "size": 1, "reason": "written while the run went on"}
    ]


def test_the_home_is_never_taken_as_a_whole(project: Project) -> None:
    """Dotfiles under git: a helper in the home is packed alone, not the home."""
    home = Path(project.environment["HOME"])
    repository(home, project, {".bashrc": "SECRET=1\n", "helper.py": "A = 5\n"})
    (home / ".ssh").mkdir()
    (home / ".ssh/config").write_text("Host secret\n")
    project.write(
        "run.py",
        "import os, sys; sys.path.insert(0, os.environ['HOME'])\nimport helper\n"
        + REPORT % "helper.A",
    )
    project.ok("run", "--", "python", "run.py")
    (root,) = roots(project).values()
    assert root["root"] == "{code:home}"
    assert not root["source"]["versioned"]
    bundle = released(project)
    content = subprocess.run(
        ["tar", "--zstd", "-xOf", bundle], check=True, capture_output=True
    ).stdout
    assert b"SECRET" not in content
    assert b"Host secret" not in content
    assert "REPRODUCED: score = 5.0" in check(project, bundle)


def test_a_directory_with_the_name_of_the_user_keeps_it_to_itself(
    project: Project, tmp_path: Path
) -> None:
    home = tmp_path / "home" / "zoe"
    home.mkdir()
    project.environment["HOME"] = str(home)
    repository(tmp_path / "zoe-lib", project, {"zlib_of_hers.py": "A = 2\n"})
    project.write(
        "run.py",
        "import glob, sys; sys.path[:0] = glob.glob('../*-lib')\nimport zlib_of_hers as z\n"
        + REPORT % "z.A",
    )
    project.ok("run", "--", "python", "run.py")
    (root,) = roots(project).values()
    assert root["root"] == "{code:code}"
    assert "position" not in root
    assert "zoe" not in json.dumps(project.segment()["python_path"])
    # It is not where it was, but Python finds it.
    assert "REPRODUCED: score = 2.0" in check(project, released(project))


def test_a_module_that_the_run_writes_itself_is_no_code(project: Project, tmp_path: Path) -> None:
    project.write(".gitignore", "gen.py\n")
    project.write("gen.py", "A = 1\n")
    project.write("run.py", "open('gen.py', 'w').write('A = 2')\nimport gen\n" + REPORT % "gen.A")
    assert "gen.py" in project.repropack("run", "--", "python", "run.py").stderr
    assert roots(project) == {}


def test_a_project_inside_the_repository_that_its_code_comes_from(
    bare_project: Project, tmp_path: Path
) -> None:
    """The project lies, ignored, in a larger repository: that is not taken as a whole."""
    repository(tmp_path, bare_project, {"shared/util.py": "A = 1\n", ".gitignore": "/project\n"})
    bare_project.write(
        "run.py", "import sys; sys.path.insert(0, '../shared')\nimport util\n" + REPORT % "util.A"
    )
    bare_project.ok("run", "--", "python", "run.py")
    (root,) = roots(bare_project).values()
    assert not root["source"]["versioned"]
    assert root["position"] == "../shared"
    shutil.rmtree(tmp_path / ".git")
    assert "REPRODUCED: score = 1.0" in check(bare_project, released(bare_project))


@pytest.mark.parametrize("command", [("python", "run.py"), ("sh", "-c", "python run.py && true")])
def test_lfs_content_is_data_and_its_endpoint_goes_nowhere(
    project: Project, command: tuple[str, ...]
) -> None:
    """No git-lfs here, and no network: a run works on what lies on the disk."""
    content = b"7\n" + b"\n" * 3000
    pointer = (
        "version https://git-lfs.github.com/spec/v1\n"
        f"oid sha256:{hashlib.sha256(content).hexdigest()}\nsize {len(content)}\n"
    )
    project.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
    project.write("weights.bin", pointer)
    project.write("unused.bin", pointer)
    project.write("run.py", REPORT % "int(open('weights.bin').read())")
    project.git("add", ".")
    project.git("commit", "-qm", "pointers")
    project.git("config", "lfs.url", "https://zoe:token@lfs.example.org/private")
    project.git("config", "filter.lfs.process", "git-lfs-that-is-not-here")
    project.git("config", "filter.lfs.required", "true")
    (project.root / "weights.bin").write_bytes(content)
    tree = project.git("rev-parse", "HEAD^{tree}").strip()
    said = project.repropack("run", "--", *command).stderr
    assert "changed while" not in said
    segment = project.segment()
    assert segment["source"]["tree"] == tree
    assert [m["path"] for m in segment["materials"]] == ["{project}/weights.bin"]
    bundle = released(project)
    text = subprocess.run(["tar", "--zstd", "-xOf", bundle], check=True, capture_output=True).stdout
    assert b"lfs.example.org" not in text
    assert content not in text
    away = project.root.rename(project.root.with_name("away"))
    assert project.repropack("verify", str(bundle), cwd=bundle.parent).returncode == 3
    data = bundle.parent / "data"
    data.mkdir()
    shutil.copy(away / "weights.bin", data)
    assert "REPRODUCED: score = 7.0" in project.ok(
        "verify", str(bundle), "--data", f"project={data}", cwd=bundle.parent
    )
    away.rename(project.root)
    project.ok("export", "-o", str(bundle), "--yes", "--include-data")
    assert "REPRODUCED: score = 7.0" in check(project, bundle)
    place = by_hand(project, bundle) / "work-run-1"
    assert json.loads((place / "metrics.json").read_text()) == {"score": 7}


def test_line_ends_are_as_they_ran(project: Project) -> None:
    project.write(".gitattributes", "*.csv text eol=crlf\n")
    (project.root / "table.csv").write_bytes(b"1\r\n2\r\n")
    project.write("run.py", REPORT % "len(open('table.csv', 'rb').read())")
    project.git("add", ".")
    project.git("commit", "-qm", "text")
    project.ok("run", "--", "python", "run.py")
    segment = project.segment()
    assert segment["source"]["tree"] == project.git("rev-parse", "HEAD^{tree}").strip()
    assert "materials" not in segment
    assert "REPRODUCED: score = 6.0" in check(project, released(project))


@pytest.mark.parametrize("kind", ["sha256", "shallow", "worktree", "detached", "unborn"])
def test_repositories_of_every_kind_reproduce(project: Project, tmp_path: Path, kind: str) -> None:
    project.write("run.py", REPORT % "1")
    project.git("add", ".")
    project.git("commit", "-qm", "second")
    place = tmp_path / "other"
    if kind == "shallow":
        project.git("clone", "-q", "--depth=1", project.root.as_uri(), str(place))
    elif kind == "worktree":
        project.git("worktree", "add", "-q", str(place))
    elif kind == "detached":
        project.git("checkout", "-q", "--detach", "HEAD~1")
        place = project.root
        project.write("run.py", REPORT % "1")
    else:
        place.mkdir()
        shutil.copy(project.root / "run.py", place)
        other = Project(place, project.environment)
        other.git("init", "-q", *(["--object-format=sha256"] if kind == "sha256" else []))
        if kind == "sha256":
            other.git("add", ".")
            other.git("commit", "-qm", "one")
    other = Project(place, project.environment)
    other.ok("run", "--", "python", "run.py")
    source = other.segment()["source"]
    assert len(source["tree"]) == (64 if kind == "sha256" else 40)
    bundle = released(other)
    if kind == "worktree":
        # Where the main work tree is away, its worktrees are no repositories any more.
        assert "REPRODUCED" in project.ok("verify", str(bundle), cwd=tmp_path)
    else:
        assert "REPRODUCED" in check(other, bundle)
    hand = by_hand(other, bundle) / "work-run-1"
    assert json.loads((hand / "metrics.json").read_text()) == {"score": 1}


def test_a_partial_clone_is_refused_with_the_reason(project: Project, tmp_path: Path) -> None:
    project.write("run.py", REPORT % "1")
    project.write("rest/more.py", "x = 1\n")
    project.git("add", ".")
    project.git("commit", "-qm", "second")
    project.git("config", "uploadpack.allowFilter", "true")
    place = tmp_path / "partial"
    project.git(
        "clone", "-q", "--filter=blob:none", "--no-checkout", project.root.as_uri(), str(place)
    )
    other = Project(place, project.environment)
    other.git("sparse-checkout", "set", "--no-cone", "/*", "!/rest/")
    other.git("checkout", "-q", "main")
    said = other.repropack("run", "--", "python", "run.py").stderr
    assert "are not on this machine" in said
    other.ok("key", "new")
    done = other.repropack("export", "-o", str(tmp_path / "x.rpk"), "--yes")
    assert done.returncode != 0
    assert "partial clone" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.rpk").exists()


def test_killed_while_submodules_are_taken(project: Project, tmp_path: Path) -> None:
    library = repository(
        tmp_path / "library", project, {f"m{n}.py": f"x = {n}\n" for n in range(40)}
    )
    for name in ("one", "two", "three"):
        add_submodule(project, library, name)
        for number in range(20):
            project.write(f"{name}/new{number}.py", f"y = {number}\n")
    project.git("add", ".")
    project.git("commit", "-qm", "submodules")
    before = fingerprint(project.root / ".git")
    for attempt in range(6):
        process = subprocess.Popen(
            [sys.executable, "-m", "repropack", "run", "--", "true"],
            cwd=project.root,
            env=project.environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.12 + attempt * 0.03)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert fingerprint(project.root / ".git") == before
    project.ok("run", "--", "true")
    assert fingerprint(project.root / ".git") == before
    assert [len(one["source"]["untracked"]) for one in roots(project).values()] == [20, 20, 20]
